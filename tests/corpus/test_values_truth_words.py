"""What ``dv``, ``dt``, ``??``, ``dx`` and ``kp`` print of sample dumps and cores, value by value.

The lines are those of windbg-transcripts where the engine could name the variable there, else what
the sources say in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import polydbg
from polydbg.library.session import DumpSession

pytestmark = pytest.mark.corpus

Open = Callable[[str], DumpSession]


@pytest.fixture
def opened(data_dir: Path, sample_dump: Callable[[str], Path]) -> Iterator[Open]:
    samples = data_dir / "samples"
    windows = [samples / "win" / "bin", samples / "win" / "wine"]
    linux = [samples / "linux" / "bin", samples / "linux" / "bin" / "debug"]
    sessions: list[DumpSession] = []

    def find(name: str) -> DumpSession:
        core = samples / "linux" / "cores" / f"{name}.core.zst"
        folders = linux if core.exists() else windows
        path = core if core.exists() else sample_dump(name)
        sessions.append(polydbg.open(path, symbols=folders, images=folders))
        return sessions[-1]

    yield find
    for session in sessions:
        session.close()


def said(session: DumpSession, function: str, command: str) -> list[str]:
    """Return the lines of *command* in the first frame of *function* in the event's stack."""
    frame = next(each for each in session.crash_frames() if each.symbol == function)
    if session.exception is not None and session.exception.registers:
        session.command(".ecxr")
    session.command(f".frame {frame.number:x}")
    items = session.command(command).items
    text = "\n".join(item.text() for item in items if item.text())
    return [line.rstrip() for line in text.splitlines()]


DIAMOND = [
    "   +0x028 base_value       : 0n1",
    "   +0x008 left_value       : 0n2",
    "   +0x018 right_value      : 0n3",
    "   +0x020 own_value        : 0n4",
]
HATCH = [
    "   +0x000 open             : 0y1",
    "   +0x000 number           : 0y10101 (0x15)",
    "   +0x000 tilt             : 0y111001 (0x39)",
    "   +0x000 serial           : 0y0001001000110100010101100111100010011010 (0x123456789a)",
]
#: dump, function, command -> lines
WORDS: list[tuple[str, str, str, list[str]]] = [
    (
        "figures-throw",
        "geometry::Box::paint",
        "dv /t",
        [
            "class geometry::Box * this = 0x00000000`0011fc60",
            "int layer = 0n7",
            "int before = 0n-1",
            "class geometry::Figure * missing = 0x00000000`7b095dbd",
        ],
    ),
    ("figures-throw", "run", "?? diamond", ["struct geometry::Diamond", *DIAMOND]),
    (
        "figures-throw",
        "run",
        "dt diamond",
        ["Local var @ 0x11fc08 Type geometry::Diamond", *DIAMOND],
    ),
    (
        "figures-throw",
        "run",
        "dx box.size_",
        [
            "box.size_        [Type: geometry::Vec<int>]",
            "    [+0x000] x                : 3 [Type: int]",
            "    [+0x004] y                : 4 [Type: int]",
        ],
    ),
    (
        "figures-throw",
        "throw_failure",
        "?? failure.place",
        [
            "struct geometry::Vec<short>",
            "   +0x000 x                : 0n4",
            "   +0x002 y                : 0n5",
        ],
    ),
    ("nullwrite", "run_shop", "?? first.flags.offset", ["int 0n-3"]),
    ("nullwrite", "run_shop", "?? first.weight + rates[2]", ["double 6.5"]),
    ("cargo-gcc-O2-dwarf5", "voyage", "?? ship.crates[0].hatch", ["struct hatch", *HATCH]),
    ("cargo-clang-O2-dwarf4", "voyage", "?? ship.crates[0].hatch", ["struct hatch", *HATCH]),
    ("cargo-clang-O0-dwarf5", "voyage", "?? ship.crates[0].hatch", ["struct hatch", *HATCH]),
    (
        "cargo-gcc-O2-dwarf5",
        "voyage",
        "dx ship.crates[0].hatch",
        [
            "ship.crates[0].hatch [Type: hatch]",
            "    [+0x000 ( 0: 0)] open             : 0x1 [Type: unsigned int]",
            "    [+0x000 ( 5: 1)] number           : 0x15 [Type: unsigned int]",
            "    [+0x000 (11: 6)] tilt             : -7 [Type: int]",
            "    [+0x000 (51:12)] serial           : 0x123456789a [Type: long unsigned int]",
        ],
    ),
    (
        "cargo-gcc-O2-dwarf5",
        "stamp",
        "dv",
        [
            "          crate = 0x00000000`00000000",
            "           mark = 0n9",
            "        doubled = 0n18",
        ],
    ),
    (
        "cargo-gcc-O2-dwarf5",
        "load_ship",
        "dv sum",
        ["            sum = <value unavailable>"],
    ),
    ("zoo-gxx", "zoo::open_cage", "dv number", ["         number = 0n42"]),
]


@pytest.mark.parametrize(
    ("name", "function", "command", "lines"),
    WORDS,
    ids=[f"{name}-{command.replace(' ', '_')}" for name, _, command, _ in WORDS],
)
def test_words(opened: Open, name: str, function: str, command: str, lines: list[str]) -> None:
    assert said(opened(name), function, command) == lines


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        (
            "nullwrite",
            [
                "apply_discount(struct line_item * item = 0x00000000`00000000, int percent = 0n41)",
                "price_order(struct order * order = 0x00000000`0011fb90, "
                "unsigned char depth = 0x07 '', int * rates = 0x00000000`0011fb70, "
                "int rate_count = 0n5)",
                'run_shop(char * name = 0x00000001`40009168 "Blue Door")',
            ],
        ),
        (
            "cargo-gcc-O2-dwarf5",
            [
                "stamp(struct crate * crate = 0x00000000`00000000, int mark = 0n9)",
                "load_ship(struct ship * ship = 0x00007ffe`f1ca5620, "
                "short int * weights = 0x00007ffe`f1ca5618, int count = 0n4, int mark = 0n9)",
                'voyage(char * name = 0x00005610`96e5f011 "Albatross", int mark = 0n9)',
            ],
        ),
    ],
)
def test_calls(opened: Open, name: str, calls: list[str]) -> None:
    """``kp`` shows the arguments of each call."""
    session = opened(name)
    rows = said(session, calls[0].partition("(")[0], "kp 3")[-3:]
    assert [row.partition("!")[2].rpartition("+0x")[0] for row in rows] == calls


def test_an_exception_in_flight(opened: Open) -> None:
    """The exception's second parameter leads to the thrown object, a copy of ``failure``."""
    session = opened("figures-throw")
    assert session.exception is not None
    address = session.exception.parameters[1]
    thrown = session.value(f"*(figures!geometry::Failure *){address:#x}")
    assert (thrown["code"].value, thrown["text"].string()) == (404, "no such figure")
    assert [thrown["place"][name].value for name in ("x", "y")] == [4, 5]
