"""The address map: what regions are used for, whole and partial, and what they allow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.engine.address_map import MEM_COMMIT, MEM_FREE, MEM_RESERVE, AddressMap, Source
from polydbg.engine.address_usage import Usage
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, u32, u64

TEB = 0x7000_0000
PEB = 0x7100_0000
STACK = 0x20_0000
HEAP = 0x30_0000
IMAGE = 0x40_0000


def place(data: bytearray, offset: int, value: int, size: int) -> None:
    data[offset : offset + size] = value.to_bytes(size, "little")


def process(arch: str) -> MinidumpBuilder:
    """A process with one thread, its blocks, a heap of two segments and a module."""
    pointer = 4 if arch == "x86" else 8
    stack_fields = (4, 8, 0xE0C, 0x30) if arch == "x86" else (8, 0x10, 0x1478, 0x60)
    heap_fields = (0x18, 0x88, 0x90) if arch == "x86" else (0x30, 0xE8, 0xF0)
    signature, link, base, pages = (
        (0x8, 0x10, 0x1C, 0x20) if arch == "x86" else (0x10, 0x18, 0x30, 0x38)
    )
    teb, peb = bytearray(0x1800), bytearray(0x400)
    for offset, value in zip(stack_fields, (STACK + 0x10000, STACK + 0xE000, STACK, PEB)):
        place(teb, offset, value, pointer)
    place(peb, heap_fields[0], HEAP, pointer)
    place(peb, heap_fields[1], 1, 4)
    place(peb, heap_fields[2], PEB + 0x300, pointer)
    place(peb, 0x300, HEAP, pointer)
    first, second = bytearray(0x100), bytearray(0x100)
    further = HEAP + 0x80000
    for segment, at, other in ((first, HEAP, further), (second, further, HEAP)):
        place(segment, signature, 0xFFEEFFEE, 4)
        place(segment, link, other + link, pointer)
        place(segment, base, at, pointer)
        place(segment, pages, 0x10, 4)
    builder = MinidumpBuilder(arch=arch).misc(process_id=0x1A2C).thread(0x2B40, teb=TEB)
    builder.module(IMAGE, 0x3000, r"C:\app\app.exe")
    for address, data in ((TEB, teb), (PEB, peb), (HEAP, first), (further, second)):
        builder.memory(address, bytes(data))
    return builder


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[MinidumpBuilder], AddressMap]:
    def open_map(builder: MinidumpBuilder) -> AddressMap:
        path = tmp_path / "x.dmp"
        path.write_bytes(builder.build())
        return Session().open_dump(str(path)).address_map()

    return open_map


def usage_at(found: AddressMap, address: int) -> Usage | None:
    region = found.at(address)
    return region.usage if region is not None else None


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_whole_map(opened: Callable[[MinidumpBuilder], AddressMap], arch: str) -> None:
    builder = process(arch)
    builder.region(0, STACK, state=MEM_FREE, protect=1, kind=0)
    builder.region(STACK, 0xB000, state=MEM_RESERVE, protect=0, allocation=STACK)
    builder.region(STACK + 0xB000, 0x3000, protect=0x104, allocation=STACK)
    builder.region(STACK + 0xE000, 0x2000, allocation=STACK)
    builder.region(HEAP, 0x10000).region(HEAP + 0x80000, 0x10000)
    builder.region(IMAGE, 0x1000, protect=2, kind=0x1000000)
    builder.region(IMAGE + 0x1000, 0x2000, protect=0x20, kind=0x1000000, allocation=IMAGE)
    builder.region(TEB - 0x1000, 0x10000, allocation=TEB - 0x1000).region(PEB, 0x1000)
    found = opened(builder)
    assert found.is_whole
    assert usage_at(found, TEB - 1) is Usage.UNKNOWN
    assert usage_at(found, TEB) is Usage.TEB
    assert usage_at(found, PEB + 0x10) is Usage.PEB
    assert usage_at(found, HEAP + 0x80010) is Usage.HEAP
    assert usage_at(found, IMAGE + 0x2FFF) is Usage.IMAGE
    gap = found.at(STACK + 0x20000)
    assert gap is not None
    assert gap.is_free
    assert gap.base == STACK + 0x10000
    assert found.at(PEB + 0x1000) is None  # nothing is said of what comes after the list
    stacks = [r for r in found.regions if r.usage is Usage.STACK]
    assert [r.what for r in stacks] == ["~0; 1a2c.2b40"] * 3
    assert [r.starts_allocation for r in stacks] == [True, False, False]
    assert stacks[1].is_guard
    assert found.is_past_stack(STACK + 0xB000)
    assert found.is_past_stack(STACK + 0x10)
    assert not found.is_past_stack(STACK + 0xE000)
    thread = found.stack_of(STACK + 0xB000)
    assert thread is not None
    assert thread.id == 0x2B40
    assert found.can_write(STACK + 0xE000) is True
    assert found.can_write(STACK + 0xB000) is False
    assert found.can_write(IMAGE + 0x1000) is False
    assert found.can_execute(IMAGE + 0x1000) is True
    assert found.is_mapped(0x10) is False


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_partial_map(opened: Callable[[MinidumpBuilder], AddressMap], arch: str) -> None:
    found = opened(process(arch).memory(0x50_0123, b"x" * 16).memory(0x50_0140, b"y" * 16))
    assert not found.is_whole
    stored = found.at(0x50_0000)
    assert stored is not None
    assert (stored.source, stored.size, stored.state) == (Source.MEMORY, 0x1000, MEM_COMMIT)
    assert found.at(0x60_0000) is None
    assert found.is_mapped(0x60_0000) is None
    assert usage_at(found, HEAP + 0x8FFFF) is Usage.HEAP
    assert found.is_past_stack(STACK + 0xDFFF)
    assert not found.is_past_stack(STACK + 0xE000)
    assert found.can_write(IMAGE + 0x1000) is None
    module = found.at(IMAGE)
    assert module is not None
    assert module.module is not None
    assert module.module.name == "app"


def test_overlapping_and_endless_regions_are_cut(
    opened: Callable[[MinidumpBuilder], AddressMap],
) -> None:
    builder = MinidumpBuilder()
    builder.region(0x1000, 0x3000).region(0x2000, 0x3000, protect=2)
    builder.region((1 << 64) - 0x1000, 1 << 63).region(0x9000, 0)
    found = opened(builder)
    assert [(r.base, r.end) for r in found.regions] == [
        (0, 0x1000),  # free
        (0x1000, 0x4000),
        (0x4000, 0x5000),
        ((1 << 64) - 0x1000, 1 << 64),
    ]


def test_ring_of_segments_that_never_closes_ends(
    opened: Callable[[MinidumpBuilder], AddressMap],
) -> None:
    builder = process("amd64")
    builder._memory = [(a, d) for a, d in builder._memory if a not in (HEAP,)]
    heap = bytes(0x10) + u32(0xFFEEFFEE, 0) + u64(HEAP + 0x118) + bytes(0x10)
    heap += u64(HEAP) + u32(0x10)
    heap = heap.ljust(0x118, b"\0") + u64(HEAP + 0x118)
    found = opened(builder.memory(HEAP, heap))
    assert usage_at(found, HEAP) is Usage.HEAP


@pytest.mark.corpus
def test_sample_map(sample_dump: Callable[[str], Path]) -> None:
    found = Session().open_dump(str(sample_dump("lockstep-full"))).address_map()
    assert found.is_whole
    stacks = {r.thread.ordinal for r in found.regions if r.usage is Usage.STACK and r.thread}
    assert stacks == set(range(8))
    assert len([r for r in found.regions if r.usage is Usage.TEB]) == 8
    images = {r.what for r in found.regions if r.usage is Usage.IMAGE}
    assert {"lockstep", "ntdll", "kernel32"} <= images
    assert all(r.usage is not Usage.IMAGE or r.module for r in found.regions)


def test_map_is_made_anew_for_other_modules(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(process("amd64").build())
    system = Session().open_dump(str(path))
    first = system.address_map()
    assert system.address_map() is first
    fresh = system.modules.renew(system.modules.modules[0])
    region = system.address_map().at(IMAGE)
    assert region is not None
    assert region.module is fresh
