"""Searches over all memory of a dump: byte patterns and runs of printable characters.

The mapped file is read in slices that fit a cache, joined across adjacent ranges, so that a hit may
span them; absent memory costs nothing. A search polls its caller after each slice (a few
milliseconds of work), which may raise to end it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

import msgspec

from polydbg.base.pages import give_back
from polydbg.memory.ranges import MappedMemory
from polydbg.memory.space import AddressSpace

CHUNK = 1 << 17
"""Bytes read at once: larger slices are given back to the system after each use, which costs more
than the search itself."""

_RELEASE_AFTER = 32 << 20  # bytes read between two times that pages are given back
_PAGE = 0x1000
_HITS_BETWEEN_POLLS = 0x1000
_LONGEST_CARRY = 0x1000  # bytes of a run kept back at the end of a slice
_PICTURES = "\U0001f300-\U0001faff"
_IS_PRINTABLE = bytes(0x20 <= byte < 0x7F for byte in range(256))

Patch = Callable[[int, bytes], bytes]
Fill = Callable[[int, int], Iterator[tuple[int, bytes]]]


class Area(msgspec.Struct, frozen=True):
    """Where to search: the addresses from *start* up to *end* of *space*.

    *poll* is called with the number of bytes searched so far; *patch* gives bytes read at an
    address the user's edits. *fill* yields (address, bytes), ascending and within (start, end), of
    what stands in for memory that *space* lacks there.
    """

    space: AddressSpace
    start: int
    end: int
    poll: Callable[[int], None]
    patch: Patch | None = None
    fill: Fill | None = None


def slices(area: Area, chunk: int = CHUNK) -> Iterator[tuple[int, bytes]]:
    """Yield (address, bytes) of what is present, ascending, at most *chunk* bytes at once."""
    done = 0
    pieces = _mapped(area, chunk) if isinstance(area.space, MappedMemory) else _read(area, chunk)
    if area.fill is not None:
        pieces = _filled(area, pieces, area.fill)
    for address, data in pieces:
        area.poll(done)
        done += len(data)
        yield address, area.patch(address, data) if area.patch else data


def _filled(
    area: Area, pieces: Iterator[tuple[int, bytes]], fill: Fill
) -> Iterator[tuple[int, bytes]]:
    """Yield *pieces* and, between them, what stands in for absent memory."""
    at = area.start
    for address, data in pieces:
        if address > at:
            yield from fill(at, address)
        yield address, data
        at = address + len(data)
    if at < area.end:
        yield from fill(at, area.end)


def _mapped(area: Area, chunk: int) -> Iterator[tuple[int, bytes]]:
    space = area.space
    assert isinstance(space, MappedMemory)
    buffer = space.buffer
    unread = offset_released = 0
    for start, size, offset in _joined(area, space):
        for at in range(0, size, chunk):
            data = bytes(buffer[offset + at : offset + min(size, at + chunk)])
            if not data:
                continue
            yield start + at, data
            unread += len(data)
            if unread >= _RELEASE_AFTER:
                give_back(buffer, offset_released, offset + at + len(data))
                unread, offset_released = 0, offset + at + len(data)


def _joined(area: Area, space: MappedMemory) -> Iterator[tuple[int, int, int]]:
    """Yield (address, size, file offset) within the area; neighbours in both are one."""
    last_start, last_size, last_offset = 0, 0, 0
    for start, size, offset in space.ranges(area.start):
        if start >= area.end:
            break
        skipped = max(0, area.start - start)
        size = min(size, area.end - start) - skipped
        start, offset = start + skipped, offset + skipped
        if start == last_start + last_size and offset == last_offset + last_size:
            last_size += size
            continue
        if last_size:
            yield last_start, last_size, last_offset
        last_start, last_size, last_offset = start, size, offset
    if last_size:
        yield last_start, last_size, last_offset


def _read(area: Area, chunk: int) -> Iterator[tuple[int, bytes]]:
    """Read memory that does not lie in a file."""
    at = area.start
    while at < area.end:
        data = area.space.read_some(at, min(chunk, area.end - at))
        if data:
            yield at, data
            at += len(data)
            continue
        following = area.space.next_readable(at)
        if following is None:
            return
        at = following if following > at else at + _PAGE


def find_pattern(area: Area, pattern: bytes, granularity: int = 1) -> Iterator[int]:
    """Yield the address of every *pattern* that lies wholly in the area, also overlapping ones.

    Only addresses whose distance from the start is a multiple of *granularity* count.
    """
    keep = len(pattern) - 1
    tail, tail_end = b"", -1
    for address, data in slices(area):
        if tail and address == tail_end:
            base, data = address - len(tail), tail + data
        else:
            base = address
        skew = (base - area.start) % granularity
        for count, at in enumerate(_hits(data, pattern, skew, granularity), 1):
            if at >= 0:
                yield base + at
            if count % _HITS_BETWEEN_POLLS == 0:
                area.poll(0)
        tail, tail_end = data[-keep:] if keep else b"", base + len(data)


def _hits(data: bytes, pattern: bytes, skew: int, granularity: int) -> Iterator[int]:
    """Yield where *pattern* is in *data*; -1 for each that is not aligned, so that all count."""
    at = data.find(pattern)
    while at >= 0:
        off = (at + skew) % granularity
        if off:
            yield -1
            at = data.find(pattern, at + granularity - off)
        else:
            yield at
            at = data.find(pattern, at + granularity)


def find_runs(
    area: Area, least: int, unit: int, is_printable: Callable[[str], bool]
) -> Iterator[tuple[int, bytes]]:
    """Yield (address, bytes) of runs of at least *least* printable characters.

    With *unit* 1 these are ASCII, with 2 UTF-16 units at even distances from the area's start that
    *is_printable* accepts.
    """
    runs = _Runs(area.start, least, unit, is_printable)
    pending, base = b"", 0
    for address, data in slices(area):
        if pending and base + len(pending) == address:
            data = pending + data
        else:
            yield from runs.find(base, pending)
            base = address
        cut = runs.cut(base, data)
        yield from runs.find(base, data[:cut])
        pending, base = data[cut:], base + cut
    yield from runs.find(base, pending)


class _Runs:
    """Finds runs within one piece of memory."""

    def __init__(
        self, start: int, least: int, unit: int, is_printable: Callable[[str], bool]
    ) -> None:
        self._start = start
        self._unit = unit
        self._is_printable = is_printable
        self._least = least
        if unit == 2:
            # Inside a run that was too short nothing needs to be tried again.
            chars = _printable_class(is_printable)
            self._text = re.compile(f"(?<![{chars}])[{chars}]{{{least},}}")

    def find(self, base: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        if self._unit == 1:
            yield from self._find_ascii(base, data)
            return
        skew = (base - self._start) % 2
        even = skew + (len(data) - skew) // 2 * 2
        text = data[skew:even].decode("utf-16-le", "surrogatepass")
        seen, address = 0, base + skew
        for found in self._text.finditer(text):
            # Characters above U+FFFF are two units: distances count in encoded bytes.
            address += len(_encoded(text[seen : found.start()]))
            run = _encoded(found.group())
            yield address, run
            seen, address = found.end(), address + len(run)

    def _find_ascii(self, base: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Search a map of what is printable: ten times as fast as a regular expression."""
        marks = data.translate(_IS_PRINTABLE)
        wanted = b"\1" * self._least
        at = marks.find(wanted)
        while at >= 0:
            end = marks.find(0, at)
            end = len(data) if end < 0 else end
            yield base + at, data[at:end]
            at = marks.find(wanted, end)

    def cut(self, base: int, data: bytes) -> int:
        """Return where the run begins that reaches the end of *data*: the next piece may go on."""
        if self._unit == 1:
            at = len(data)
            lowest = max(0, at - _LONGEST_CARRY)
            while at > lowest and 0x20 <= data[at - 1] < 0x7F:
                at -= 1
            return at
        skew = (base - self._start) % 2
        at = skew + max(0, len(data) - skew) // 2 * 2
        lowest = max(skew, at - _LONGEST_CARRY)
        while at - 2 >= lowest:
            code = int.from_bytes(data[at - 2 : at], "little")
            if not (0xD800 <= code < 0xE000 or self._is_printable(chr(code))):
                break
            at -= 2
        return min(at, len(data))


def _encoded(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


@functools.cache
def _printable_class(is_printable: Callable[[str], bool]) -> str:
    """Return the inside of a regex set: what is printable up to U+FFFF, and pictographs."""
    parts: list[str] = []
    first: int | None = None
    for code in range(0x10000):
        shown = not 0xD800 <= code < 0xE000 and is_printable(chr(code))
        if shown and first is None:
            first = code
        elif not shown and first is not None:
            parts.append(f"\\u{first:04x}-\\u{code - 1:04x}")
            first = None
    if first is not None:
        parts.append(f"\\u{first:04x}-\\uffff")
    return "".join(parts) + _PICTURES
