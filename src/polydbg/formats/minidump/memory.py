"""Where a minidump keeps memory: MemoryList, Memory64List, thread stacks, and the region list.

Facts: MINIDUMP_MEMORY_LIST, MINIDUMP_MEMORY64_LIST, MINIDUMP_MEMORY_INFO_LIST of minidumpapiset.h.
Only Memory64List may pass 4 GiB: its ranges lie one after the other from BaseRva on.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.lists import Stream, counted, extended
from polydbg.formats.minidump.process import Thread
from polydbg.formats.minidump.view import View
from polydbg.memory.ranges import Layer, RangeMap, clipped, clipped_ascending

MAX_RANGES = 5_000_000
MAX_OFFSET = (1 << 64) - 1
DESCRIPTOR_SIZE = 16

_REGION = struct.Struct("<QQIIQIIII")


class Region(msgspec.Struct, frozen=True):
    """MINIDUMP_MEMORY_INFO: numbers as VirtualQuery gives them."""

    base: int
    allocation_base: int
    allocation_protect: int
    size: int
    state: int
    protect: int
    type: int


class Memory64(msgspec.Struct, frozen=True):
    """A Memory64List: *base_rva* is where the bytes of the first range begin."""

    base_rva: int
    starts: array[int]
    sizes: array[int]

    def __len__(self) -> int:
        return len(self.starts)


def parse_memory_list(view: View, stream: Stream) -> Layer:
    """Return the ranges of a MemoryListStream as the file has them, in its order.

    :raises FormatError: the stream holds no list.
    """
    entries = counted(view, stream, DESCRIPTOR_SIZE, MAX_RANGES)
    data = view.slice(entries.offset, entries.count * DESCRIPTOR_SIZE)
    halves = _numbers("I", data)
    return Layer(_numbers("Q", data)[::2], array("Q", halves[2::4]), array("Q", halves[3::4]))


def _numbers(code: str, data: bytes) -> array[int]:
    """Return little-endian numbers: *code* ``I`` of 32 bits, ``Q`` of 64."""
    numbers: array[int] = array(code, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def parse_memory64_list(view: View, stream: Stream) -> Memory64:
    """Return the ranges of a Memory64ListStream.

    :raises FormatError: the stream holds no list.
    """
    if stream.size < 16:
        raise FormatError(
            f"{stream.name}: {stream.size} bytes hold no list header",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    count, base_rva = struct.unpack("<QQ", view.slice(stream.rva, 16))
    kept = min(count, (stream.size - 16) // 16, MAX_RANGES)
    if kept < count:
        view.warn(
            "dump.count-clamped", f"{stream.name}: {kept} of {count} entries are in the stream"
        )
    numbers = _numbers("Q", view.slice(stream.rva + 16, kept * DESCRIPTOR_SIZE))
    return Memory64(base_rva, numbers[::2], numbers[1::2])


def parse_regions(view: View, stream: Stream) -> tuple[Region, ...]:
    """Return the regions of a MemoryInfoListStream.

    :raises FormatError: the stream holds no list.
    """
    entries = extended(view, stream, least_entry=_REGION.size, wide_count=True, limit=MAX_RANGES)
    regions = []
    for at in entries.offsets():
        base, alloc, alloc_protect, _, size, state, protect, kind, _ = _REGION.unpack(
            view.slice(at, _REGION.size)
        )
        regions.append(Region(base, alloc, alloc_protect, size, state, protect, kind))
    return tuple(regions)


def build_map(
    view: View,
    ranges: Layer,
    ranges64: Memory64 | None,
    threads: Sequence[Thread],
) -> RangeMap:
    """Return all memory of the dump; the order of the arguments is who wins on overlaps.

    What lies past the end of the file is left out, with one warning a list.
    """
    layers = [_clip(view, "MemoryListStream", ranges)]
    if ranges64 is not None:
        layers.append(_layer64(view, ranges64))
    stacks = [thread.stack for thread in threads if thread.stack.rva]
    stacks += [t.backing_store for t in threads if t.backing_store and t.backing_store.rva]
    stack_layer = Layer.of((item.start, item.size, item.rva) for item in stacks)
    layers.append(_clip(view, "thread stacks", stack_layer))
    return RangeMap(view.buffer, layers)


def _clip(view: View, what: str, layer: Layer) -> Layer:
    kept, lost = clipped(layer, view.size)
    _warn_lost(view, what, lost)
    return kept


def _layer64(view: View, ranges: Memory64) -> Layer:
    """Return the layer of a Memory64List: each range begins where the one before it ends."""
    starts, sizes = ranges.starts, ranges.sizes
    try:
        offsets = array("Q", accumulate(sizes[:-1], initial=ranges.base_rva))
    except OverflowError:
        # Sizes add up past 2**64: only what precedes that can be in any file.
        offsets = array("Q")
        position = ranges.base_rva
        for size in sizes:
            if position > MAX_OFFSET:
                break
            offsets.append(position)
            position += size
        _warn_lost(view, "Memory64ListStream", sum(sizes[len(offsets) :]))
        starts, sizes = starts[: len(offsets)], sizes[: len(offsets)]
    layer, lost = clipped_ascending(Layer(starts, sizes, offsets[: len(starts)]), view.size)
    _warn_lost(view, "Memory64ListStream", lost)
    return layer


def _warn_lost(view: View, what: str, lost: int) -> None:
    if lost:
        view.warn("dump.truncated", f"{what}: {lost:#x} bytes of memory lie past the end of file")
