"""COFF symbol tables: entries, auxiliary records, names, long names of sections, damage."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.pe import coff_symbols as coff
from polydbg.images.pe import PeImage
from polydbg.testing.pe_builder import PeBuilder

AUXILIARY = bytes(range(18))


def builder() -> PeBuilder:
    made = PeBuilder()
    made.symbol(".file", 0, -2, kind=0, storage_class=coff.CLASS_FILE, auxiliaries=AUXILIARY * 2)
    made.symbol(".text", 0, kind=0, storage_class=coff.CLASS_STATIC, auxiliaries=AUXILIARY)
    made.symbol(".bss", 0, 2, kind=0, storage_class=coff.CLASS_STATIC)
    made.symbol("exactly8", 0x10, storage_class=coff.CLASS_STATIC, auxiliaries=AUXILIARY)
    made.symbol("a_name_of_many_letters", 0x20)
    made.symbol("label", 0x24, kind=0, storage_class=coff.CLASS_LABEL)
    made.symbol("counter", 4, 2, kind=0)
    made.symbol("absolute", 7, -1, kind=0)
    made.symbol("elsewhere", 0, 0)
    made.symbol(".weak.f.g", 0x30, kind=0x20, storage_class=coff.CLASS_WEAK_EXTERNAL)
    made.symbol(".bf", 0, storage_class=101)
    return made


def table_of(data: bytes) -> coff.CoffSymbolTable:
    table = PeImage.from_buffer(data, "x").coff_symbols()
    assert table is not None
    return table


def test_symbols() -> None:
    table = table_of(builder().build())
    found = list(table.symbols())
    assert [each.index for each in found] == [0, 3, 5, 6, 8, 9, 10, 11, 12, 13, 14]
    assert len(table) == 15
    names = [each.name for each in found]
    assert names[:5] == [".file", ".text", ".bss", "exactly8", "a_name_of_many_letters"]
    assert found[0].section == -2
    assert found[0].auxiliaries == 2
    assert found[7].section == -1
    assert [each.is_function for each in found[3:7]] == [True, True, False, False]
    assert table.symbol(8) == found[4]
    assert found[4].value == 0x20


def test_naming() -> None:
    table = table_of(builder().build())
    polled: list[int] = []
    named = [table.name_of(entry) for entry in table.naming(lambda: polled.append(1))]
    assert polled
    assert named == [
        b"exactly8", b"a_name_of_many_letters", b"label", b"counter", b".weak.f.g",
    ]  # fmt: skip


def test_a_cut_table_ends() -> None:
    data = builder().build()
    at = int.from_bytes(data[0x80 + 12 : 0x80 + 16], "little")
    table = table_of(data[: at + 18 * 9 + 7])
    assert len(table) == 9
    assert [each.name for each in table.symbols()][-1] == ""  # its string is cut off
    assert [each.index for each in table.symbols()] == [0, 3, 5, 6, 8]
    with pytest.raises(FormatError):
        table.symbol(9)
    assert len(table_of(data[:at])) == 0


def test_no_table() -> None:
    assert PeImage.from_buffer(PeBuilder().build(), "x").coff_symbols() is None
    far = bytearray(builder().build())
    far[0x80 + 12 : 0x80 + 20] = b"\xff" * 8  # offset and count
    assert len(table_of(bytes(far))) == 0


def test_long_section_names() -> None:
    made = PeBuilder()
    made.sections += [(".short", b"1"), (".debug_info", b"2"), (".gnu_debuglink", b"3")]
    image = PeImage.from_buffer(made.build(), "x")
    names = [section.name for section in image.sections()]
    assert names == [".text", ".data", ".short", ".debug_info", ".gnu_debuglink"]
    strings = coff.strings_behind(b"\0\0\0\x0d\0\0\0.debug_x\0", 3, 0)
    assert coff.long_section_name("/4", strings) == ".debug_x"
    assert coff.long_section_name("//AAAAAE", strings) == ".debug_x"
    for damaged in ("/0", "/99", "/x", "//!", "/", "//", "/٣", "plain"):
        assert coff.long_section_name(damaged, strings) == damaged


def test_debug_link() -> None:
    made = PeBuilder()
    assert PeImage.from_buffer(made.build(), "x").debug_link() is None
    made.sections.append((".gnu_debuglink", b"x.debug\0\x78\x56\x34\x12"))
    link = PeImage.from_buffer(made.build(), "x").debug_link()
    assert link is not None
    assert (link.name, link.crc) == ("x.debug", 0x12345678)
    made.sections[0] = (".gnu_debuglink", b"x" * 0x200)
    with pytest.raises(FormatError):
        PeImage.from_buffer(made.build(), "x").debug_link()
