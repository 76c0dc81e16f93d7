"""Parts of the DWARF readers: numbers, intervals, paths, line programs, lists, supplements."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.aranges import read_aranges
from polydbg.formats.dwarf.gdb_index import GdbIndex
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line import LineTable
from polydbg.formats.dwarf.line_header import join, read_header
from polydbg.formats.dwarf.line_program import END_SEQUENCE, IS_STMT, sequence_starts
from polydbg.formats.dwarf.names import name_of
from polydbg.formats.dwarf.package import PackageIndex
from polydbg.formats.dwarf.reading import initial_length, sleb128, uleb128
from polydbg.formats.section import Section
from polydbg.testing import dwarf_builder as build
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, sleb, uleb


@pytest.mark.parametrize("value", [0, 1, 63, 64, 127, 128, 0xFFFFFFFF, (1 << 64) - 1])
def test_leb128(value: int) -> None:
    assert uleb128(b"\xff" + uleb(value), 1) == (value, 1 + len(uleb(value)))
    small = value >> 1
    for each in (small, -small, -small - 1):
        assert sleb128(sleb(each), 0) == (each, len(sleb(each)))


def test_endless_and_cut_numbers() -> None:
    assert uleb128(b"\x81\x80\x80\x00", 0) == (1, 4)  # padded
    for read in (uleb128, sleb128):
        with pytest.raises(FormatError):
            read(b"\x80" * 100, 0)
        with pytest.raises(FormatError):
            read(b"\x80", 0)
    assert initial_length(b"\xff\xff\xff\xff\x10" + bytes(7), 0, "little") == (16, 8, 12)
    with pytest.raises(FormatError):
        initial_length(b"\xf3\xff\xff\xff", 0, "little")


def test_sections_are_bounded() -> None:
    section = Section(b"xxab\0cdyy", 2, 5)
    assert (section.string(0), section.take(3, 2), section.number(0, 2)) == (b"ab", b"cd", 0x6261)
    for read in (
        lambda: section.string(3),
        lambda: section.take(4, 2),
        lambda: section.take(-1, 1),
    ):
        with pytest.raises(FormatError):
            read()
    assert section.window(3, 100).size == 2


def test_intervals_overlap() -> None:
    found = Intervals([(10, 100, 1), (20, 30, 2), (25, 26, 3), (50, 50, 4), (200, 1 << 65, 5)])
    assert [found.values[rank] for rank in found.covering(25)] == [3, 2, 1]
    assert [found.values[rank] for rank in found.covering(99)] == [1]
    assert not list(found.covering(100))
    assert not list(found.covering(9))
    assert found.above(19) == 1
    assert found.above(25) is None


def test_paths() -> None:
    assert join("/a", "b.c") == "/a/b.c"
    assert join("C:\\a", "b.c") == "C:\\a\\b.c"
    assert join("", "b.c") == "b.c"
    made = DwarfBuilder(4)
    made.lines(b"", directories=["/inc", "sub"], files=[("a.c", 0), ("b.h", 1), ("c.h", 2)])
    header = read_header(Section(bytes(made.sections[".debug_line"])), 0, 8, lambda *_: None)
    paths = [header.path(number, "/comp") for number in range(5)]
    assert paths == ["", "/comp/a.c", "/inc/b.h", "/comp/sub/c.h", ""]


def _run(program: bytes, **options: int) -> LineTable:
    made = DwarfBuilder(3)
    made.lines(program, files=[("a.c", 0)], **options)
    header = read_header(Section(bytes(made.sections[".debug_line"])), 0, 8, lambda *_: None)
    return LineTable(header)


def test_line_operations() -> None:
    made = DwarfBuilder(3)
    table = _run(made.set_address(0x100) + bytes([18, 8, 255, 9, 16, 0, 6, 5, 7, 1]))
    assert list(table.table.addresses) == [0x100, 0x122, 0x132]
    assert list(table.table.lines) == [1, 1 - 5 + 4, 0]
    assert list(table.table.columns) == [0, 0, 7]
    assert list(table.table.flags) == [IS_STMT, IS_STMT, 0]
    assert table.row_at(0x100) is None  # the sequence does not end
    assert not table.table.is_damaged


def test_line_table_answers() -> None:
    made = DwarfBuilder(3)
    program = made.set_address(0x100) + b"\x01\x02\x08\x03\x02\x01\x01"
    program += b"\x02\x08" + build.END_SEQUENCE
    program += made.set_address(-1) + b"\x01\x02\x08" + build.END_SEQUENCE
    table = _run(program, min_length=2)
    assert [row.line for row in map(table.row_at, (0x100, 0x10F, 0x110, 0x11F)) if row] == [
        1,
        1,
        3,
        3,
    ]
    assert table.row_at(0x120) is None
    assert table.row_at((1 << 64) - 1) is None
    assert table.table.flags[3] & END_SEQUENCE
    row = table.row_at(0x101)
    assert row is not None
    assert (row.start, row.end) == (0x100, 0x110)


def test_one_sequence_answers_as_the_whole_program_does() -> None:
    made = DwarfBuilder(3)
    between = b"\x04\x01\x05\x81\x02\x0a"
    program = b"".join(
        between
        + made.set_address(start)
        + bytes([0x14, 0x4B, 3, line, 1, 2, 4])
        + build.END_SEQUENCE
        for start, line in ((0x300, 9), (0x100, 5), (0x200, 7), (0x200, 3))
    )
    quick, whole = _run(program), _run(program)
    assert len(whole.table.ends) == 4
    for address in range(0xF0, 0x320):
        assert quick.row_at(address) == whole.row_at(address)
    assert sequence_starts(quick.header) is not None
    # An address that is set within a sequence: only the program itself tells what that means.
    inner = (
        program
        + made.set_address(0x400)
        + b"\x01"
        + made.set_address(0x410)
        + b"\x01"
        + build.END_SEQUENCE
    )
    table = _run(inner)
    assert sequence_starts(table.header) is None
    row = table.row_at(0x100)
    assert row is not None
    assert row.line == quick.row_at(0x100).line  # type: ignore[union-attr]


def test_a_line_range_of_zero_ends_the_program() -> None:
    table = _run(DwarfBuilder(3).set_address(0x100) + b"\x01\xff\x01", line_range=0)
    assert table.table.is_damaged
    assert len(table.table.lines) == 1


def test_aranges_stop_at_damage() -> None:
    made = DwarfBuilder(4)
    made.aranges(0, (0x1000, 16), (0x2000, 0))
    made.aranges(0x40, (0x3000, 16))
    data = bytes(made.sections[".debug_aranges"])
    assert list(read_aranges(Section(data))) == [
        (0, [(0x1000, 0x1010)]),
        (0x40, [(0x3000, 0x3010)]),
    ]
    assert len(list(read_aranges(Section(data[:-60])))) == 1


def test_supplementary_file() -> None:
    shared = DwarfBuilder(4)
    name = shared.add(".debug_str", b"\0common\0") + 1
    origin = Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRP, "run"), label="run")
    shared.unit(Entry(c.TAG_PARTIAL_UNIT, children=[origin]))
    at = shared._labels["run"]
    made = DwarfBuilder(4)
    call = Entry(c.TAG_SUBPROGRAM, (c.AT_ABSTRACT_ORIGIN, c.FORM_GNU_REF_ALT, at), label="call")
    root = Entry(c.TAG_COMPILE_UNIT, (c.AT_NAME, c.FORM_GNU_STRP_ALT, name), children=[call])
    made.unit(root)
    other = DwarfFile(shared.debug_sections())
    unit = DwarfFile(made.debug_sections(), supplementary=other).unit(0)
    die = unit.die(made._labels["call"])
    assert die is not None
    assert unit.root.string(c.AT_NAME) == b"common"
    assert name_of(die).plain == b"run"
    alone = DwarfFile(made.debug_sections()).unit(0)
    die = alone.die(made._labels["call"])
    assert die is not None
    assert alone.root.string(c.AT_NAME) is None
    assert name_of(die).plain == b""


def test_circular_origins_end() -> None:
    made = DwarfBuilder(4)
    one = Entry(c.TAG_SUBPROGRAM, (c.AT_SPECIFICATION, c.FORM_REF4, "two"), label="one")
    two = Entry(c.TAG_SUBPROGRAM, (c.AT_ABSTRACT_ORIGIN, c.FORM_REF4, "one"), label="two")
    made.unit(Entry(c.TAG_COMPILE_UNIT, children=[one, two]))
    die = DwarfFile(made.debug_sections()).unit(0).die(made._labels["one"])
    assert die is not None
    assert name_of(die).plain == b""


@pytest.mark.parametrize("version", [2, 5])
def test_package_index(version: int) -> None:
    made = DwarfBuilder()
    head = made.number(version, 4 if version == 2 else 2) + bytes(0 if version == 2 else 2)
    head += b"".join(made.number(each, 4) for each in (2, 1, 2))
    slots = made.number(0, 8) + made.number(7, 8) + made.number(0, 4) + made.number(1, 4)
    table = b"".join(made.number(each, 4) for each in (1, 3, 0x10, 0x20, 0x30, 0x40))
    index = PackageIndex(Section(head + slots + table))
    assert index.row_of(7) == 0
    assert index.row_of(9) is None
    assert index.place(0, ".debug_info") == (0x10, 0x30)
    assert index.place(0, ".debug_abbrev") == (0x20, 0x40)
    assert index.place(0, ".debug_line") is None
    assert index.row_at(".debug_info", 0x10) == 0
    for size in range(len(head + slots + table)):
        with pytest.raises(FormatError):
            PackageIndex(Section((head + slots + table)[:size]))


def test_damaged_gdb_index() -> None:
    for data in (b"", bytes(24), b"\x08" + bytes(23), b"\x07\0\0\0" + b"\xff" * 20):
        with pytest.raises(FormatError):
            GdbIndex(Section(data))


def test_runs_of_indexed_ranges() -> None:
    made = DwarfBuilder(5)
    addresses = [0x1000 + 0x100 * index for index in range(200)]
    made.add(".debug_addr", b"".join(made.number(each, 8) for each in addresses))
    body = b"\x01" + uleb(3) + b"\x04" + uleb(1) + uleb(9)
    body += b"".join(b"\x03" + uleb(index) + uleb(index % 150) for index in range(200))
    body += b"\x07" + made.number(0x9000, 8) + uleb(200) + b"\x00"
    at = made.add(".debug_rnglists", body) - 0
    low = (c.AT_LOW_PC, c.FORM_ADDR, 0)
    base = (c.AT_ADDR_BASE, c.FORM_SEC_OFFSET, 0)
    made.unit(Entry(c.TAG_COMPILE_UNIT, (c.AT_RANGES, c.FORM_SEC_OFFSET, at), low, base))
    found = DwarfFile(made.debug_sections()).unit(0).root.ranges()
    middle = [(start, start + n % 150) for n, start in enumerate(addresses) if n % 150]
    assert found == [(0x1301, 0x1309), *middle, (0x9000, 0x90C8)]
