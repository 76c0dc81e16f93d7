"""What the mappings of a core are used for: heaps, stacks with guards, TLS, vdso and its data."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.engine.address_map import Region
from polydbg.engine.address_usage import Usage
from polydbg.engine.session import Session
from polydbg.testing.core_builder import ElfCoreBuilder

PROGRAM, HEAP, STACK, BLOCK, VDSO = (
    0x400000,
    0x1200000,
    0x7F0000100000,
    0x7F0000400000,
    0x7FFC00000000,
)
RSP, FS_BASE = 19, 21  # in the order of Linux
ARENA = 0x7F0004000000

Regions = Callable[[ElfCoreBuilder], dict[int, Region]]


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    sessions: list[Session] = []

    def run(builder: ElfCoreBuilder) -> dict[int, Region]:
        path = tmp_path / f"{len(sessions)}.core"
        path.write_bytes(builder.build())
        sessions.append(Session())
        found = sessions[-1].open_dump(str(path)).address_map()
        return {region.base: region for region in found.regions if not region.is_free}

    yield run
    for session in sessions:
        session.close()


def process() -> ElfCoreBuilder:
    """A program with one thread."""
    registers = [0] * 27
    registers[RSP], registers[FS_BASE] = STACK + 0x100, BLOCK + 0x10
    builder = ElfCoreBuilder().thread(7, 0, *registers)
    builder.auxiliary(at3=PROGRAM + 0x40, at33=VDSO)
    builder.files((PROGRAM, PROGRAM + 0x1000, 0, "/bin/app"))
    builder.memory(PROGRAM, b"", 0x1000, 5).memory(STACK, bytes(0x1000))
    return builder.memory(BLOCK, bytes(0x1000))


def chunks(*sizes: int) -> bytes:
    data = bytearray(0x1000)
    at = 0
    for size in sizes:
        struct.pack_into("<Q", data, at + 8, size | 1)
        at += size
    return bytes(data)


def test_stack_guard_and_thread_storage(regions: Regions) -> None:
    found = regions(process().memory(STACK - 0x1000, b"", 0x1000, 0))
    stack, guard = found[STACK], found[STACK - 0x1000]
    assert stack.thread is not None
    assert (stack.usage, guard.usage) == (Usage.STACK, Usage.STACK)
    assert guard.thread is stack.thread
    assert (found[BLOCK].usage, found[BLOCK].what) == (Usage.TLS, "~0; 7.7")
    assert found[PROGRAM].usage is Usage.IMAGE


def test_the_heap_by_its_chunks(regions: Regions) -> None:
    found = regions(process().memory(HEAP, chunks(0x290, 0x40, 0xD30)))
    assert (found[HEAP].usage, found[HEAP].what) == (Usage.HEAP, "")


def test_the_heap_by_its_place_is_a_guess(regions: Regions) -> None:
    found = regions(process().memory(HEAP, bytes(0x1000)))
    assert found[HEAP].usage is Usage.HEAP
    assert found[HEAP].what.startswith("guess")


@pytest.mark.parametrize(("base", "flags"), [(PROGRAM + (1 << 32), 6), (HEAP, 4)])
def test_what_is_far_or_not_written_is_no_heap(regions: Regions, base: int, flags: int) -> None:
    found = regions(process().memory(base, chunks(0x290, 0x40, 0xD30), flags=flags))
    assert found[base].usage is Usage.ANONYMOUS


def arena(arena_at: int, previous: int, usable: int) -> bytes:
    return struct.pack("<4Q", arena_at, previous, usable, usable).ljust(0x2000, b"\0")


def test_arenas_of_threads(regions: Regions) -> None:
    builder = process().memory(ARENA, arena(ARENA + 0x30, 0, 0x2000))
    builder.memory(ARENA + 0x2000, b"", (64 << 20) - 0x2000, 0)
    found = regions(builder)
    assert (found[ARENA].usage, found[ARENA].what) == (Usage.HEAP, f"arena at {ARENA:x}")
    assert found[ARENA + 0x2000].usage is Usage.HEAP


@pytest.mark.parametrize("data", [arena(5, 0, 0x2000), arena(ARENA + 0x30, 0, 0x1000), b""])
def test_what_only_lies_like_an_arena(regions: Regions, data: bytes) -> None:
    found = regions(process().memory(ARENA, data, 0x2000))
    assert found[ARENA].usage is Usage.ANONYMOUS


def test_the_vdso_and_what_it_reads(regions: Regions) -> None:
    builder = process().memory(VDSO, b"", 0x1000, 5)
    builder.memory(VDSO - 0x2000, b"", 0x2000, 4).memory(VDSO - 0x3000, b"", 0x1000, 6)
    found = regions(builder)
    assert [found[VDSO + at].usage for at in (0, -0x2000, -0x3000)] == [
        Usage.VDSO,
        Usage.VVAR,
        Usage.ANONYMOUS,
    ]
