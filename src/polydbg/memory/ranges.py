"""A sorted map from address ranges to places in a (mapped) file: the memory of a dump.

Nothing is copied but the bytes that a read returns. Ranges live in three arrays of 64-bit numbers,
so that a dump with millions of them costs 24 bytes a range; looking one up is a bisection.
"""

from __future__ import annotations

import heapq
import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import NamedTuple, Protocol, runtime_checkable

from polydbg.memory.space import AddressSpace, Buffer, read_exactly

ADDRESS_LIMIT = 1 << 64

Range = tuple[int, int, int]
"""(start address, size, file offset), all in bytes."""


class FileRange(NamedTuple):
    """*size* bytes of memory from *start* on, which lie in one piece in the file behind them."""

    start: int
    size: int
    file_offset: int

    @property
    def end(self) -> int:
        return self.start + self.size


@runtime_checkable
class MappedMemory(AddressSpace, Protocol):
    """Memory that lies in a file; searches may run over the buffer itself."""

    @property
    def buffer(self) -> Buffer:
        """Return the mapped file."""
        ...

    def ranges(self, start: int = 0) -> Iterator[FileRange]:
        """Yield the ranges that end above *start*, ascending, never overlapping.

        Neighbouring ranges are not joined, and the first one may begin below *start*.
        """
        ...


class Layer:
    """Ranges of one list of a dump as three arrays; earlier ones win where they overlap."""

    __slots__ = ("offsets", "sizes", "starts")

    def __init__(
        self,
        starts: Iterable[int] = (),
        sizes: Iterable[int] = (),
        offsets: Iterable[int] = (),
    ) -> None:
        self.starts = _array(starts)
        self.sizes = _array(sizes)
        self.offsets = _array(offsets)

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> Layer:
        """Return the layer of *ranges*: empty ones dropped, cut where addresses end."""
        layer = cls()
        for start, size, offset in ranges:
            size = min(size, ADDRESS_LIMIT - start)
            if size > 0 and 0 <= start < ADDRESS_LIMIT:
                layer.append(start, size, offset)
        return layer

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[Range]:
        return zip(self.starts, self.sizes, self.offsets)

    def append(self, start: int, size: int, offset: int) -> None:
        self.starts.append(start)
        self.sizes.append(size)
        self.offsets.append(offset)

    def disjoint(self) -> Layer:
        """Return these ranges ascending and without overlaps; the earlier one keeps its bytes."""
        if 0 in self.sizes:
            return Layer.of(self).disjoint()
        if _ascends(self) and (not len(self) or self.starts[-1] + self.sizes[-1] <= ADDRESS_LIMIT):
            return self
        if not _fits(self):
            return Layer.of(self).disjoint()
        order = sorted(range(len(self)), key=self.starts.__getitem__)
        ordered = Layer(
            map(self.starts.__getitem__, order),
            map(self.sizes.__getitem__, order),
            map(self.offsets.__getitem__, order),
        )
        return ordered if _ascends(ordered) else _resolve(ordered, order)

    def merged_under(self, winner: Layer) -> Layer:
        """Return both layers' ranges, *winner*'s where they overlap. Both must be disjoint."""
        if not len(winner):
            return self
        rest = Layer.of(_uncovered(self, winner))
        if not len(rest):
            return winner
        both = Layer(
            winner.starts + rest.starts, winner.sizes + rest.sizes, winner.offsets + rest.offsets
        )
        return both.disjoint()


def _array(values: Iterable[int]) -> array[int]:
    return values if isinstance(values, array) else array("Q", values)


def _fits(layer: Layer) -> bool:
    """Tell whether no range passes the last address."""
    ends = map(operator.add, layer.starts, layer.sizes)
    return max(ends, default=0) <= ADDRESS_LIMIT


def _ascends(layer: Layer) -> bool:
    """Tell whether each range ends before the next begins."""
    ends = map(operator.add, layer.starts, layer.sizes)
    return all(map(operator.le, ends, islice(layer.starts, 1, None)))


def _resolve(ordered: Layer, priorities: list[int]) -> Layer:
    """Sweep over ranges ascending by start; at each address the lowest priority number wins."""
    out = Layer()
    active: list[int] = []  # priority << 32 | index: half the room of a tuple
    position = 0
    for index, start in enumerate(ordered.starts):
        position = _emit_until(out, ordered, active, position, start)
        heapq.heappush(active, priorities[index] << 32 | index)
        position = start
    _emit_until(out, ordered, active, position, ADDRESS_LIMIT)
    return out


def _emit_until(out: Layer, ordered: Layer, active: list[int], position: int, limit: int) -> int:
    """Emit what the active ranges cover from *position* to *limit*; forget those that ended."""
    while active and position < limit:
        index = active[0] & 0xFFFFFFFF
        start = ordered.starts[index]
        end = start + ordered.sizes[index]
        if end <= position:
            heapq.heappop(active)
            continue
        upto = min(end, limit)
        _emit(out, position, upto - position, ordered.offsets[index] + position - start)
        position = upto
    return position


def _emit(out: Layer, start: int, size: int, offset: int) -> None:
    """Append a piece, or lengthen the last one when both continue it."""
    if len(out):
        last_size = out.sizes[-1]
        if out.starts[-1] + last_size == start and out.offsets[-1] + last_size == offset:
            out.sizes[-1] = last_size + size
            return
    out.append(start, size, offset)


def _uncovered(layer: Layer, winner: Layer) -> Iterator[Range]:
    """Yield the pieces of *layer* that *winner* has no bytes for."""
    for start, size, offset in layer:
        end = start + size
        position = start
        index = max(0, bisect_right(winner.starts, start) - 1)
        while position < end:
            gap_end = end
            next_position = end
            if index < len(winner):
                first = winner.starts[index]
                past = first + winner.sizes[index]
                index += 1
                if past <= position:
                    continue
                if first < end:
                    gap_end = first
                    next_position = past
            if position < gap_end:
                yield position, gap_end - position, offset + position - start
            position = max(position, next_position)


class RangeMap:
    """Memory that lies in pieces of a buffer. Reads join neighbouring pieces."""

    __slots__ = ("_buffer", "_layer")

    def __init__(self, buffer: Buffer, layers: Iterable[Layer]) -> None:
        """Map *layers* of *buffer*; where they overlap, the first layer and its first range win.

        Ranges must lie in the buffer: what passes its end reads as absent.
        """
        self._buffer = buffer
        merged = Layer()
        for layer in layers:
            merged = layer.disjoint().merged_under(merged)
        self._layer = merged

    def __len__(self) -> int:
        return len(self._layer)

    @property
    def buffer(self) -> Buffer:
        """Return the file that the ranges lie in."""
        return self._buffer

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes.

        :raises MemoryReadError: carries the first missing address.
        """
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        """Return the longest readable prefix of *size* bytes; it may span many ranges."""
        layer = self._layer
        index = bisect_right(layer.starts, address) - 1
        if index < 0 or size <= 0:
            return b""
        skip = address - layer.starts[index]
        available = layer.sizes[index] - skip
        if available <= 0:
            return b""
        offset = layer.offsets[index] + skip
        if size <= available:
            return bytes(self._buffer[offset : offset + size])
        return self._join(index, offset, available, size)

    def _join(self, index: int, offset: int, available: int, size: int) -> bytes:
        layer = self._layer
        pieces = []
        while True:
            take = min(available, size)
            piece = bytes(self._buffer[offset : offset + take])
            pieces.append(piece)
            size -= len(piece)
            end = layer.starts[index] + layer.sizes[index]
            index += 1
            if size <= 0 or len(piece) < take or index == len(layer) or layer.starts[index] != end:
                return b"".join(pieces)
            offset = layer.offsets[index]
            available = layer.sizes[index]

    def next_readable(self, address: int) -> int | None:
        """Return the lowest readable address >= *address*, or ``None``."""
        layer = self._layer
        index = bisect_right(layer.starts, address) - 1
        if index >= 0 and address < layer.starts[index] + layer.sizes[index]:
            return address
        index += 1
        return layer.starts[index] if index < len(layer) else None

    def ranges(self, start: int = 0) -> Iterator[FileRange]:
        """Yield the ranges as :meth:`MappedMemory.ranges` promises."""
        layer = self._layer
        index = max(0, bisect_right(layer.starts, max(start, 0)) - 1)
        if index < len(layer) and layer.starts[index] + layer.sizes[index] <= start:
            index += 1
        for at in range(index, len(layer)):
            yield FileRange(layer.starts[at], layer.sizes[at], layer.offsets[at])


def clipped(layer: Layer, file_size: int) -> tuple[Layer, int]:
    """Return *layer* cut where the file ends, and how many bytes that lost.

    A range that starts past the end is lost whole.
    """
    if max(layer.offsets, default=0) + max(layer.sizes, default=0) <= file_size:
        return layer, 0
    ends = map(operator.add, layer.offsets, layer.sizes)
    if all(map(operator.le, ends, repeat(file_size))):
        return layer, 0
    kept = Layer()
    lost = 0
    for start, size, offset in layer:
        room = max(0, min(size, file_size - offset))
        lost += size - room
        if room:
            kept.append(start, room, offset)
    return kept, lost


def clipped_ascending(layer: Layer, file_size: int) -> tuple[Layer, int]:
    """Do what :func:`clipped` does for offsets that ascend, without visiting the ranges kept."""
    count = bisect_left(layer.offsets, file_size)
    past = max(0, layer.offsets[count - 1] + layer.sizes[count - 1] - file_size) if count else 0
    if count == len(layer) and not past:
        return layer, 0
    kept = Layer(layer.starts[:count], layer.sizes[:count], layer.offsets[:count])
    if past:
        kept.sizes[-1] -= past
    return kept, past + sum(layer.sizes[count:])
