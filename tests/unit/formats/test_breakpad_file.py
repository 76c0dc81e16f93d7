"""Breakpad symbol files: records, indexes, bodies of functions, call frame rules, damage."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.breakpad.file import BreakpadFile
from polydbg.formats.breakpad.index import RecordIndex
from polydbg.formats.breakpad.records import parse_inline, parse_module, parse_rules, parse_win

HEADER = "MODULE Linux x86_64 C0BCC3F19827FE653058404B2831D9E60 app\n"


def sym(*lines: str, header: str = HEADER, end: str = "\n") -> BreakpadFile:
    return BreakpadFile((header + end.join(lines) + end).encode())


def test_module_record() -> None:
    record = parse_module(b"MODULE windows x86 3249D99D0C4049318610F4E4FB0B6936a my app.pdb\r\n")
    assert record is not None
    assert (record.os, record.arch, record.name) == ("windows", "x86", "my app.pdb")
    assert record.debug_id == DebugId("3249D99D0C4049318610F4E4FB0B6936", 10)


@pytest.mark.parametrize("text", ["0" * 33, "1234", "Z" * 33])
def test_ids_that_are_none(text: str) -> None:
    record = parse_module(f"MODULE Linux arm {text} app".encode())
    assert record is not None
    assert record.debug_id is None


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF\2\1", b"MODULEX a b c d\n", b"hello\n", b"MZ" * 40]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        BreakpadFile(data)
    assert caught.value.identifier == "breakpad.not-a-symbol-file"


def test_a_fragment_has_records_but_no_id() -> None:
    file = sym("STACK CFI 1004 .cfa: $rsp 16 +", header="STACK CFI INIT 1000 20 .cfa: $rsp 8 +\n")
    assert file.module is None
    assert file.call_frame_rules(0x1000) == {".cfa": "$rsp 8 +"}
    assert file.call_frame_rules(0x101F) == {".cfa": "$rsp 16 +"}
    assert file.call_frame_rules(0x1020) is None


def test_code_id_is_found_among_the_first_lines() -> None:
    file = sym("INFO GENERATOR tool 1", "INFO CODE_ID 5dDC1E9B6c000 app.dll", "FILE 0 a.c")
    assert file.code_id == "5DDC1E9B6C000"
    assert sym("FILE 0 a.c", "INFO CODE_ID 1234").code_id == ""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_functions_lines_and_names(end: str) -> None:
    file = sym(
        "FILE 3 /src/a b.c",
        "FUNC m 1000 20 0 f(int, char*)",
        "1000 10 7 3",
        "1010 10 9 3",
        "PUBLIC m 2000 4 other",
        "FUNC 3000 8 0 g",
        end=end,
    )
    assert list(file.functions.starts) == [0x1000, 0x3000]
    assert list(file.functions.sizes) == [0x20, 8]
    assert list(file.publics.starts) == [0x2000]
    assert file.name_at(file.functions.offsets[0]) == "f(int, char*)"
    assert file.name_at(file.publics.offsets[0]) == "other"
    body = file.body(file.functions.offsets[0])
    assert [(r.start, r.size, r.line, r.file) for r in body.rows] == [
        (0x1000, 0x10, 7, 3),
        (0x1010, 0x10, 9, 3),
    ]
    assert file.file_name(3) == "/src/a b.c"
    assert file.file_name(4) == ""
    assert list(file.rows_of_files(frozenset((3, 4)), lambda: None)) == [
        (0x1000, 0x10, 7),
        (0x1010, 0x10, 9),
    ]
    assert file.warnings == ()


def test_damaged_records_are_counted_and_left_out() -> None:
    file = sym(
        "FUNC 1000 20 0",  # no name
        "FUNC xyz 20 0 f",
        "FUNC 11112222333344445 1 0 beyond 64 bits",
        "FUNC 2000 10 0 good",
        "2000 4 1",  # no file
        "2004 4 5 0",
        "INLINE 0 1 2 3",  # no ranges
        "\x1b[31mjunk",
        "PUBLIC 3000",
        "FUNC fffffffffffffff0 ffffffffffffffff 0 last",
    )
    assert list(file.functions.starts) == [0x2000, 0xFFFFFFFFFFFFFFF0]
    assert file.functions.containing(0xFFFFFFFFFFFFFFFF) == 1
    assert len(file.publics) == 0
    body = file.body(file.functions.offsets[0])
    assert [row.line for row in body.rows] == [5]
    (warning,) = file.warnings
    assert warning.message == "7 records are damaged and left out"


def test_inlined_calls_of_both_dialects() -> None:
    new = parse_inline(b"INLINE 1 39 2 0 15b72 684 20000 10")
    assert new is not None
    assert (new.depth, new.call_line, new.call_file, new.origin) == (1, 39, 2, 0)
    assert new.ranges == ((0x15B72, 0x684), (0x20000, 0x10))
    assert new.covers(0x2000F)
    assert not new.covers(0x20010)
    old = parse_inline(b"INLINE 1 39 0 15b72 684")
    assert old is not None
    assert (old.call_file, old.origin) == (None, 0)
    for bad in (
        b"INLINE",
        b"INLINE 0 1 2 3 -5 6",
        b"INLINE 0 x 2 3 5 6",
        b"INLINE 0 1 2 3 5 1" + b"0" * 16,
    ):
        assert parse_inline(bad) is None


def test_origins_name_a_file_in_the_old_dialect_only() -> None:
    body = ["FUNC 0 10 0 f"]
    old = sym("INLINE_ORIGIN 5 1 2 fast(int)", *body, "INLINE 0 1 5 0 4")
    assert old.origin(5) == ("2 fast(int)", 1)
    new = sym("INLINE_ORIGIN 5 1 2 fast(int)", *body, "INLINE 0 1 0 5 0 4")
    assert new.origin(5) == ("1 2 fast(int)", None)
    assert new.origin(6) == ("", None)


def test_numbers_need_not_ascend() -> None:
    file = sym("FILE 9 nine", "FILE 2 two", "FILE x", "FILE 5 five", "FILE 2 again", "FUNC 0 1 0 f")
    assert [file.file_name(number) for number in (2, 5, 9, 3)] == ["two", "five", "nine", ""]


def test_lines_of_functions_in_pieces_stand_behind_the_last() -> None:
    file = sym(
        "FUNC 10 4 0 f", "FUNC 50 4 0 f", "10 4 1 0", "50 4 2 0", "FUNC 60 4 0 g", "60 4 3 0"
    )
    first, second, third = (file.body(offset) for offset in file.functions.offsets)
    assert [row.line for row in first.rows] == [row.line for row in second.rows] == [1, 2]
    assert [row.line for row in third.rows] == [3]


def test_rows_made_by_the_compiler_belong_to_the_row_before() -> None:
    file = sym("FUNC 10 10 0 f", "10 4 1 0", f"14 4 {0xF00F00} 0", "18 4 2 0")
    rows = file.body(file.functions.offsets[0]).rows
    assert [(row.start, row.size, row.line) for row in rows] == [(0x10, 8, 1), (0x18, 4, 2)]


def test_call_frame_rules_are_merged_up_to_the_address() -> None:
    file = sym(
        "STACK CFI INIT 1000 20 .cfa: $rsp 8 + .ra: .cfa -8 + ^",
        "STACK CFI 1004 .cfa: $rsp 16 + $rbp: .cfa -16 + ^",
        "STACK CFI 1008 .cfa: $rbp 16 +",
        "STACK CFI INIT 1020 10 .cfa: $rsp 8 +",
        "STACK CFI 1024 .cfa: $rsp 99 +",
    )
    assert file.call_frame_rules(0x1003) == {".cfa": "$rsp 8 +", ".ra": ".cfa -8 + ^"}
    assert file.call_frame_rules(0x1008) == {
        ".cfa": "$rbp 16 +",
        ".ra": ".cfa -8 + ^",
        "$rbp": ".cfa -16 + ^",
    }
    assert file.call_frame_rules(0xFFF) is None
    assert parse_rules(b"junk .cfa: 1 .ra:") == {".cfa": "1"}


def test_frame_data_comes_before_fpo() -> None:
    file = sym(
        "STACK WIN 0 1000 40 1 0 4 8 c 0 0 1",
        "STACK WIN 4 1000 40 2 0 4 8 c 10 1 $T0 $ebp = $eip $T0 4 + ^ =",
        "STACK WIN 4 1010 8 0 0 0 0 0 0 1 inner",
        "STACK WIN 0 2000 10 1 0 4 8 c 0 0 1",
        "STACK WIN 3 3000 10 1 0 4 8 c 0 0 1",
        "STACK WIN 4 4000 10",
    )
    outer, inner, fpo = (file.win_frame(address) for address in (0x1000, 0x1012, 0x2000))
    assert outer is not None
    assert (outer.program, outer.prolog_size, outer.max_stack_size) == (
        "$T0 $ebp = $eip $T0 4 + ^ =",
        2,
        0x10,
    )
    assert inner is not None
    assert inner.program == "inner"
    assert fpo is not None
    assert (fpo.program, fpo.allocates_base_pointer) == ("", True)
    assert (fpo.parameter_size, fpo.saved_size, fpo.local_size) == (4, 8, 12)
    assert file.win_frame(0x3000) is None
    assert file.win_frame(0x4000) is None
    assert parse_win(b"STACK WIN 4 1 2 3 4 5 6 7 8 x y") is None


def test_index_finds_the_innermost_of_overlapping_ranges() -> None:
    index = RecordIndex([(0x100, 0x100, 1), (0x10, 0x1000, 2), (0x100, 0x10, 3), (0x100, 0x10, 4)])

    def offset(found: int | None) -> int | None:
        return None if found is None else index.offsets[found]

    assert offset(index.containing(0x105)) == 3
    assert offset(index.containing(0x150)) == 1
    assert offset(index.containing(0x300)) == 2
    assert offset(index.containing(0x1010)) is None
    assert offset(index.containing(0xF)) is None
    assert offset(index.below(0x5000)) == 3
    assert offset(index.above(0x20)) == 3
    assert offset(index.above(0x100)) is None
    assert [index.offsets[i] for i in index.starting_at(0x100)] == [3, 4, 1]


def test_a_record_over_everything_does_not_make_lookups_endless() -> None:
    rows = [(0, (1 << 64) - 1, 0)] + [(i * 16, 1, i) for i in range(1, 20_000)]
    index = RecordIndex(rows)
    assert index.containing(16 * 100 + 8) == 0  # within reach
    assert index.containing(16 * 19_999 + 8) is None  # given up


def test_numbered_records_are_found_in_any_order() -> None:
    file = sym("FILE 9 nine.c", "FILE 2 two.c", "FILE 5 five.c", "INLINE_ORIGIN 4 f")
    assert [file.file_name(n) for n in (2, 5, 9, 3, 1 << 70)] == [
        "two.c",
        "five.c",
        "nine.c",
        "",
        "",
    ]
    assert file.origin(4) == ("f", None)
    assert file.origin(5) == ("", None)


def test_whole_file_searches_poll_and_lose_nothing_between_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [f"{0x1000 + i:x} 1 {i + 1} 0" for i in range(200)]
    file = sym("FILE 0 a.c", f"FUNC 1000 {len(rows):x} 0 f", *rows)
    polls: list[None] = []
    for piece in (1, 7, 64, 1 << 20):
        monkeypatch.setattr("polydbg.formats.breakpad.file._PIECE", piece)
        found = file.rows_of_files(frozenset((0,)), lambda: polls.append(None))
        assert [line for _, _, line in found] == list(range(1, 201))
    assert len(polls) > 200
    assert parse_inline(b"INLINE 0 99999999999 0 0 1000 10") is None
