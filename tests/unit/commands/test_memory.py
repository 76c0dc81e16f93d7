"""Listings, searches, comparisons and the scratch copy on a dump of a few pages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest_types import Items, Run

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.commands.language import Interpreter
from polydbg.commands.memory import MemoryRow
from polydbg.commands.output import Failure
from polydbg.commands.refused import REFUSED
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context

STACK = 0x1000
"""One page; the next one, at 0x2000, is absent, the one after that is there."""

_WIDE = "Sphinx \u4e2d".encode("utf-16-le")


def _page() -> bytes:
    page = bytearray(0x1000)
    page[0:16] = struct.pack("<IIQ", 0x2A, 0x29, 0x3000)
    page[0x10:0x20] = struct.pack("<QQ", 0x1100, 0xDEAD_0000_0000)
    page[0x100:0x12D] = b"The quick brown fox jumps over the lazy dog\0\0"
    page[0x200 : 0x200 + len(_WIDE)] = _WIDE
    page[0x300:0x310] = struct.pack("<HHIQ", 9, 10, 0, 0x1100)  # STRING
    page[0x310:0x320] = struct.pack("<HHIQ", 16, 18, 0, 0x1200)  # UNICODE_STRING
    page[0x320:0x330] = struct.pack("<HHIQ", 4, 4, 0, 0x2000)
    page[0x400:0x420] = struct.pack("<ffdd", 1.5, float("inf"), 2.25, float("nan"))
    # A list: 0x1500 -> 0x1540 -> 0x1500, with links back in the second words.
    page[0x500:0x510] = struct.pack("<QQ", 0x1540, 0x1540)
    page[0x540:0x550] = struct.pack("<QQ", 0x1500, 0x1500)
    page[0xFF8:0x1000] = b"tail end"
    return bytes(page)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    builder = MinidumpBuilder()
    builder.thread(7, amd64_context(rsp=STACK, rip=0x3000), stack=(STACK, _page()))
    builder.memory64(0x3000, b"page three".ljust(0x800, b"\xcc"))
    builder.memory64(0x3800, bytes(0x7F8) + b"split up")
    builder.memory64(0x4000, b"\x11\x22\x33".ljust(0x1000, b"\0"))
    builder.region(STACK, 0x1000, protect=4)
    builder.region(0x3000, 0x2000, protect=2)
    path = tmp_path / "memory.dmp"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    yield session
    session.close()


def test_bytes_have_a_dash_in_the_middle_and_characters(run: Run) -> None:
    assert run("db @rsp L10") == [
        "00000000`00001000  2a 00 00 00 29 00 00 00-00 30 00 00 00 00 00 00  *...)....0......"
    ]
    assert run("db @rsp L3") == [f"00000000`00001000  2a 00 00{'':41}*.."]
    assert run("db /c4 @rsp L8") == [
        "00000000`00001000  2a 00 00 00  *...",
        "00000000`00001004  29 00 00 00  )...",
    ]
    assert run("db @rsp @rsp+3") == [f"00000000`00001000  2a 00 00 00{'':38}*..."]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ("dw @rsp L3", "002a 0000 0029"),
        ("dW @rsp L2", "002a 0000                                *..."),
        ("dd @rsp L3", "0000002a 00000029 00003000"),
        ("dc @rsp L1", "0000002a                             *..."),
        ("dq @rsp L2", "00000029`0000002a 00000000`00003000"),
        ("dp @rsp+8 L1", "00000000`00003000"),
        ("df 1400 L2", "             1.5              inf"),
        ("dD 1408 L2", "                  2.25                    nan"),
    ],
)
def test_words_and_floats(run: Run, line: str, body: str) -> None:
    assert run(line)[0][19:] == body


def test_bits_have_a_heading(run: Run) -> None:
    assert run("dyb @rsp L4") == [
        "                   76543210 76543210 76543210 76543210",
        "                   -------- -------- -------- --------",
        "00000000`00001000  00101010 00000000 00000000 00000000  2a 00 00 00",
    ]
    assert run("dyd @rsp L1") == [
        "                    3          2          1          0",
        "                   10987654 32109876 54321098 76543210",
        "                   -------- -------- -------- --------",
        "00000000`00001000  00000000 00000000 00000000 00101010  0000002a",
    ]


def test_absent_memory_is_question_marks_for_each_unit(run: Run) -> None:
    assert run("db 1ff8 L10") == [
        "00000000`00001ff8  74 61 69 6c 20 65 6e 64-?? ?? ?? ?? ?? ?? ?? ??  tail end????????"
    ]
    assert run("db 2ffe L4")[0][19:] == f"?? ?? 70 61{'':38}??pa"
    # A word that is only partly there is absent.
    assert run("dd 1ffe L1") == ["00000000`00001ffe  ????????"]
    assert run("dq 2000 L1") == ["00000000`00002000  ????????`????????"]
    assert run("df 2000 L1") == ["00000000`00002000          ????????"]
    assert run("dqs 2000 L1") == ["00000000`00002000  ????????`????????"]


def test_a_listing_goes_on_where_the_last_one_ended(run: Run, session: Session) -> None:
    assert run("db L1")[0].startswith("00000000`00003000  70")  # the instruction pointer
    run("dd @rsp L4")
    assert run("dd L2") == ["00000000`00001010  00001100 00000000"]
    assert run("d L1") == ["00000000`00001018  00000000"]
    run("dqp @rsp L2")
    assert run("d L1") == ["00000000`00001010  00000000`00001100 63697571`20656854"]
    assert run("dd @rsp L0") == [""]
    assert run("dd")[0].startswith("00000000`00001000  0000002a")
    assert len(run("dd")) == 8
    assert run("dw 1000 L1; ? $p")[-1].startswith("Evaluate expression: 42 ")


def test_strings_end_at_their_nul(run: Run) -> None:
    assert run("da 1100") == [
        '00000000`00001100  "The quick brown fox jumps over t"',
        '00000000`00001120  "he lazy dog"',
    ]
    assert run("da L1") == ['00000000`0000112c  ""']
    assert run("du 1200") == ['00000000`00001200  "Sphinx \u4e2d"']
    assert run("da /c8 1100 L10") == [
        '00000000`00001100  "The quic"',
        '00000000`00001108  "k brown "',
    ]


def test_an_absent_string_is_twelve_rows_and_a_cut_one_ends_with_its_row(run: Run) -> None:
    assert run("da 0") == [f'00000000`{at:08x}  "{"?" * 32}"' for at in range(0, 12 * 32, 32)]
    assert run("da 1ff8") == [f'00000000`00001ff8  "tail end{"?" * 24}"']


def test_string_structures(run: Run) -> None:
    assert run("ds 1300") == ['00000000`00001100  "The quick"']
    assert run("dS 1310") == ['00000000`00001200  "Sphinx \u4e2d"']
    assert run("ds 1320") == ['00000000`00002000  "????"']
    assert "not present" in run("ds 2000")[0]


def test_pointers_are_followed(run: Run) -> None:
    assert run("dpp @rsp+8 L3") == [
        "00000000`00001008  00000000`00003000 72687420`65676170",
        "00000000`00001010  00000000`00001100 63697571`20656854",
        "00000000`00001018  0000dead`00000000",
    ]
    assert run("dpa @rsp+10 L2") == [
        '00000000`00001010  00000000`00001100 "The quick brown fox jumps over the lazy dog"',
        "00000000`00001018  0000dead`00000000",
    ]
    assert run("ddp @rsp L1") == ["00000000`00001000  0000002a"]


def test_lists_end_where_they_began(run: Run) -> None:
    expected = ["00000000`00001500", "00000000`00001540"]
    assert [row[:17] for row in run("dl 1500 10 2")] == expected
    assert [row[:17] for row in run("dlb 1500 10 2")] == expected
    assert len(run("dl 1500 1")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("db @rsp L?100000000", "^ Overflow error in 'db @rsp L?100000000'"),
        ("db 0 L10000001", "^ Range error in 'db 0 L10000001'"),
        ("db 5 4", "^ Range error in 'db 5 4'"),
        ("db /x 5", "^ Syntax error in 'db /x 5'"),
        ("s", "Search pattern missing from 's'"),
        ("s 0 L10", "Search pattern missing from 's 0 L10'"),
        ("s -v @rsp L8", "^ Non-empty string required in 's -v @rsp L8'"),
        ("s -b @rsp L8 100", "^ Overflow error in 's -b @rsp L8 100'"),
        ("eb @rsp 1", "^ Memory access error in 'eb @rsp 1'"),
        ("f @rsp L4 0", "^ Memory access error in 'f @rsp L4 0'"),
        ("m @rsp L4 @rsp+10", "^ Memory access error in 'm @rsp L4 @rsp+10'"),
        ("g", "^ No runnable debuggees error in 'g'"),
        ("bp 1", "^ Operation not supported by current debuggee error in 'bp 1'"),
        ("gruesome", "^ Syntax error in 'gruesome'"),
    ],
)
def test_refusals_in_windbgs_words(run: Run, line: str, message: str) -> None:
    assert run(line)[0].strip() == message


def test_carets_stand_under_the_last_character_read(run: Run) -> None:
    assert run("eb @rsp 1")[0].index("^") == len("0:000> eb @rsp 1") - 1
    assert run("g")[0].index("^") == len("0:000> g") - 1
    assert run("bp 1")[0].index("^") == len("0:000> bp") - 1


def test_every_refused_command_refuses_with_a_hint(items: Items) -> None:
    for name, *_ in REFUSED:
        failure = items(name)[0]
        assert isinstance(failure, Failure)
        assert failure.hint
        assert failure.identifier == "target.unsupported"


def test_rows_of_hits_go_past_the_range(run: Run) -> None:
    assert run('s -a 1000 L200 "lazy"') == [
        "00000000`00001123  6c 61 7a 79 20 64 6f 67-00 00 00 00 00 00 00 00  lazy dog........"
    ]
    assert run("s 1000 L1000 28 29") == [""]
    assert run("s -d @rsp L20 29")[0][:60] == (
        "00000000`00001004  00000029 00003000 00000000 00001100  )..."
    )
    assert run("s -q @rsp L20 1100") == ["00000000`00001010  00000000`00001100 0000dead`00000000"]
    assert run('s -u @rsp L1000 "nx"')[0].endswith("n.x. .-N........")


def test_hits_are_aligned_lie_in_the_range_and_overlap(run: Run) -> None:
    assert run("s -[1]w 1000 L100 2900") == [""]
    assert run("s -[1]b 1000 L100 00 29") == ["0x00000000`00001003"]
    assert run("s -[1]b 1ff8 Lf 65 6e 64") == ["0x00000000`00001ffd"]
    assert run("s -[1]b 1ff8 L7 65 6e 64") == [""]
    assert run("s -[1]b 4004 L4 0 0") == [f"0x00000000`0000400{i}" for i in (4, 5, 6)]


def test_hits_span_adjacent_ranges_and_gaps_are_skipped(run: Run) -> None:
    assert run("s -[1]b 0 L?7fffffffffff 75 70 11 22") == ["0x00000000`00003ffe"]
    assert run("s -[1]b 0 L?7fffffffffff 65 6e 64 70") == [""]  # over the absent page
    assert run("s -b 0 L10000001 1")[0].strip().startswith("^ Range error")


def test_text_is_found_in_both_widths(run: Run) -> None:
    assert run("s -sa 1000 L1000") == [
        '00000000`00001100  "The quick brown fox jumps over t"',
        '00000000`00001120  "he lazy dog"',
        '00000000`00001ff8  "tail end"',
    ]
    assert run("s -[l9]sa 3000 L20") == ['00000000`00003000  "page three"']
    assert run("s -[l6]su 1200 L100") == ['00000000`00001200  "Sphinx \u4e2d"']


def test_writable_saved_and_restricted_searches(run: Run) -> None:
    assert run('s -[w1]a 0 L?7fffffffffff "a"') == [
        "0x00000000`00001124",
        "0x00000000`00001ff9",
    ]
    assert run('s -[1sn2]a 0 L?7fffffffffff "a"')[-1] == "0x00000000`00003001"
    assert run('s -[1r]a 0 L?7fffffffffff "az"') == ["0x00000000`00001124"]


def test_comparison(run: Run) -> None:
    assert run("c 1000 L8 1000") == [""]
    assert run("c 1000 L8 1010") == [
        "00000000`00001000  2a - 00000000`00001010  00",
        "00000000`00001001  00 - 00000000`00001011  11",
        "00000000`00001004  29 - 00000000`00001014  00",
    ]
    refused = run("c 1ffc L8 1ffc")
    assert refused[0].strip() == "^ Memory access error in 'c 1ffc L8 1ffc'"
    assert "00000000`00002000" in refused[1]


def test_memory_to_file_and_back(run: Run, tmp_path: Path, session: Session) -> None:
    out = tmp_path / "out.bin"
    assert run(f'.writemem "{out}" @rsp L20') == ["Writing 20 bytes."]
    assert out.read_bytes() == _page()[:0x20]
    assert run(f'.writemem "{out}" 1000 L1000') == ["Writing 1000 bytes.."]
    assert "file is incomplete" in run(f'.writemem "{out}" 1ff8 L10')[0]
    assert (
        "is the dump that is open" in run(f'.writemem "{session.current.target.path}" 1000 L8')[0]
    )
    out.write_bytes(b"1234")
    assert "load is incomplete" in run(f'.readmem "{out}" @rsp L4')[0]
    run(".overlay on")
    assert run(f'.readmem "{out}" @rsp L4; db @rsp L4')[-1].endswith("1234")


def test_the_overlay_takes_edits_and_drops_them(run: Run, session: Session) -> None:
    run(".overlay on")
    assert "(overlay)" in session.prompt
    run('ed @rsp 11223344; ed @rsp+4,-1; ew 1100 5a; eza 1104 "new"; eu 1200 "W"; ef 1400 2.5')
    assert run("dd @rsp L2")[0].endswith("11223344 ffffffff")
    assert run("da 1104") == ['00000000`00001104  "new"']
    assert run("df 1400 L1")[0].split()[-1] == "2.5"
    assert run("f 1000 L5 1 2; db 1000 L6")[-1][19:36] == "01 02 01 02 01 ff"
    assert run("f 1000 L2 0")[0] == "Filled 0x2 bytes"
    assert run("m 1000 L4 1002; db 1000 L6")[-1][19:36] == "00 00 00 00 01 02"
    assert run("s -[1]b 1000 L6 01 02") == ["0x00000000`00001004"]  # searches see edits
    assert run("eb 2000 1")[0].strip().startswith("^ Memory access error")
    assert run("eb 1000 100")[0].strip().startswith("^ Overflow error")
    run(".overlay off")
    assert run("dd @rsp L2")[0].endswith("0000002a 00000029")
    assert "(overlay)" not in session.prompt


def test_rows_are_data(items: Items) -> None:
    row = items("dd 1ffc L2")[0]
    assert isinstance(row, MemoryRow)
    assert (row.address, row.unit, row.values) == (0x1FFC, 4, (0x646E6520, None))


def test_long_work_can_be_interrupted_and_goes_on_behind_the_last_row(session: Session) -> None:
    cancel = CancelToken()
    rows = Interpreter(session, cancel, lambda text, done, total: None).run("db 1000 L1000000")
    for _ in range(3):
        next(rows)
    cancel.cancel()
    with pytest.raises(Cancelled):
        next(rows)
    del rows
    assert session.current.memory_view.next_address in (0x1030, 0x1040)
