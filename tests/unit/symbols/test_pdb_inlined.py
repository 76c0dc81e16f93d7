"""Inlined calls by name: the function's own name, its scope's, and damaged records between."""

from __future__ import annotations

import struct

import pdb_builder as b
import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.symbols.pdb import PdbSource

TREE = b.record(0x1505, struct.pack("<HHIIIH", 0, 0, 0, 0, 0, 4) + b"garden::Tree\0")
PROCEDURE = b.record(0x1008, struct.pack("<IBBHI", 3, 0, 0, 0, 0))
LEAF, SPACE, WALK, RUN, LOST = range(0x1000, 0x1005)
IDS = [
    b.record(0x1601, struct.pack("<II", SPACE, 0x1000) + b"leaf\0"),
    b.record(0x1605, struct.pack("<I", 0) + b"garden\0"),
    b.record(0x1601, struct.pack("<II", 0, 0x1000) + b"walk\0"),
    b.record(0x1602, struct.pack("<II", 0x1001, 0x1000) + b"run\0"),
    b.record(0x1602, struct.pack("<II", 0x1999, 0x1000) + b"lost\0"),  # of no class there is
]


def _source() -> PdbSource:
    """``outer`` at 0x1010 with walk from 4 on, garden::leaf within it from 8 on; run and lost."""
    leaf = b.inline_site(LEAF, bytes([3, 8, 4, 4]))
    walk = b.inline_site(WALK, bytes([3, 4, 4, 0x0C]))
    run = b.inline_site(RUN, bytes([3, 0x10, 4, 2]))
    lost = b.inline_site(LOST, bytes([3, 0x14, 4, 2]))
    body = walk + leaf + b.INLINE_END * 2 + run + b.INLINE_END + lost + b.INLINE_END
    parts = b.PdbParts(tpi=b.types([PROCEDURE, TREE]), ipi=b.types(IDS))
    parts.modules = [
        b.Module("empty.obj", b""),
        b.Module("a.obj", b.procedure("outer", 1, 0x10, 0x20, body, at=4)),
    ]
    parts.contributions = [(1, 0x10, 0x20, 1)]
    return PdbSource(parts.build(), "a.pdb")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("walk", [("walk", 0x1014, 0xC)]),
        ("WALK", [("walk", 0x1014, 0xC)]),
        ("leaf", []),
        ("garden::leaf", [("garden::leaf", 0x1018, 4)]),
        ("*leaf*", [("garden::leaf", 0x1018, 4)]),
        ("garden::Tree::*", [("garden::Tree::run", 0x1020, 2)]),
        ("*garden*", [("garden::leaf", 0x1018, 4), ("garden::Tree::run", 0x1020, 2)]),
        ("g*n", [("garden::Tree::run", 0x1020, 2)]),
        ("lost", []),
        ("nosuch*", []),
        ("outer", []),
    ],
)
def test_which_calls_a_pattern_finds(pattern: str, found: list[tuple[str, int, int]]) -> None:
    calls = list(_source().inlined_matching(pattern, CancelToken()))
    assert [(call.name, call.rva, call.size) for call in calls] == found
    assert all((call.caller.name, call.caller.rva) == ("outer", 0x1010) for call in calls)


def test_a_list_of_everything() -> None:
    names = [call.name for call in _source().inlined_matching("*", CancelToken())]
    assert {"walk", "garden::leaf", "garden::Tree::run"} <= set(names)


def test_the_search_can_be_cancelled() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        list(_source().inlined_matching("*leaf*", cancel))
