"""The map of a process's addresses: what each region is, may do, and is used for.

Built when it is first asked for. Where the dump has the system's own list of regions
(MemoryInfoList) the map is whole and a gap is free; otherwise it is made of the memory that the
dump holds, of the modules and of the stacks, is marked partial, and says of nothing that it is
free. Numbers are those of ``VirtualQuery`` (MEM_*, PAGE_* of winnt.h); ``None`` is not known.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.engine.address_usage import PAGE, AddressUsage, Span, Usage
from polydbg.engine.modules import Module
from polydbg.memory.ranges import ADDRESS_LIMIT, MappedMemory
from polydbg.targets.target import RegionFile, ThreadInfo

if TYPE_CHECKING:
    from polydbg.engine.session import System

MEM_COMMIT = 0x1000
MEM_RESERVE = 0x2000
MEM_FREE = 0x10000
MEM_PRIVATE = 0x20000
MEM_MAPPED = 0x40000
MEM_IMAGE = 0x1000000

PAGE_NOACCESS = 0x1
PAGE_GUARD = 0x100

_READABLE = 0x2 | 0x4 | 0x8 | 0x20 | 0x40 | 0x80
_WRITABLE = 0x4 | 0x8 | 0x40 | 0x80
_EXECUTABLE = 0x10 | 0x20 | 0x40 | 0x80

T = TypeVar("T")

_POLL_EVERY = 0x1000
_USER_LIMIT = 1 << 47


class Source(Enum):
    """Where a region's facts come from."""

    SYSTEM = "memory information of the dump"
    MEMORY = "memory that the dump holds"
    USAGE = "modules and thread blocks"


class Region(msgspec.Struct, frozen=True, gc=False):  # there may be a million
    """Addresses from *base* on, *size* bytes, alike in all that is said of them.

    *what* stands in brackets behind the usage (``~0; 1a2c.2b40``, ``ID: 0; Handle: ...``, a
    module's name). *thread* is the one whose stack or block this is, *heap* the handle of a heap.
    """

    base: int
    size: int
    usage: Usage
    source: Source
    state: int | None = None
    protect: int | None = None
    type: int | None = None
    allocation_base: int | None = None
    allocation_protect: int | None = None
    what: str = ""
    module: Module | None = None
    thread: ThreadInfo | None = None
    heap: int | None = None
    file: RegionFile | None = None  # Linux's own permissions and file

    @property
    def end(self) -> int:
        return self.base + self.size

    @property
    def is_free(self) -> bool:
        return self.state == MEM_FREE

    @property
    def is_guard(self) -> bool:
        """Whether the first access raises STATUS_GUARD_PAGE_VIOLATION or grows a stack."""
        return bool((self.protect or 0) & PAGE_GUARD)

    @property
    def starts_allocation(self) -> bool:
        """Whether WinDbg would mark it with ``+``: the first region of its allocation."""
        return self.is_free or self.allocation_base is None or self.allocation_base == self.base


def _allows(region: Region, bits: int) -> bool | None:
    """Tell whether committed pages of *region* allow one of the accesses, guard pages none."""
    if region.state in (MEM_FREE, MEM_RESERVE):
        return False
    if not region.protect:  # cores list files whose protection they do not tell
        return None
    return bool(region.protect & bits) and not region.is_guard


class AddressMap:
    """The regions of one system, by address."""

    def __init__(self, system: System, poll: Callable[[], None] = lambda: None) -> None:
        """Take the map of *system*; *poll* is called while it is made, and may raise."""
        self._system = system
        self.modules = list(system.modules.modules)  # those that the regions name
        self._listed = system.target.regions()
        self.usage = AddressUsage(system, poll)
        self._mappings: dict[int, Span] = {}  # of systems that list mappings, by base
        # Dumps hold up to millions of pieces of memory: regions of those are made when asked for.
        self._stored_starts, self._stored_sizes = array("Q"), array("Q")
        self._kept = list(_polled(self._whole() if self._listed else self._used(), poll))
        self._starts = [region.base for region in self._kept]
        for start, end in () if self._listed else _polled(self._dumped(), poll):
            self._stored_starts.append(start)
            self._stored_sizes.append(end - start)

    @property
    def regions(self) -> Iterator[Region]:
        """Yield the regions, ascending: of a partial map what is known to be used, and the further
        memory in the dump."""
        stored = map(_stored, self._stored_starts, self._stored_sizes)
        return heapq.merge(self._kept, stored, key=attrgetter("base"))

    @property
    def is_whole(self) -> bool:
        """Whether the dump has the system's list, so that what is not in the map is free."""
        return bool(self._listed)

    def at(self, address: int) -> Region | None:
        """Return the region of *address*; ``None`` where a partial map does not know."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self._kept[index].end:
            return self._kept[index]
        if not self.is_whole or address < 0:
            return self._stored_at(address)
        if index + 1 >= len(self._kept):  # past what the list speaks of
            return None
        start = self._kept[index].end if index >= 0 else 0
        return _free(start, self._starts[index + 1] - start)

    def _stored_at(self, address: int) -> Region | None:
        index = bisect_right(self._stored_starts, address) - 1
        if index < 0 or address - self._stored_starts[index] >= self._stored_sizes[index]:
            return None
        return _stored(self._stored_starts[index], self._stored_sizes[index])

    def can_read(self, address: int) -> bool | None:
        """Tell whether *address* could be read, ``None`` when it is not known."""
        return self._can(address, _READABLE, "r")

    def can_write(self, address: int) -> bool | None:
        """Tell whether *address* could be written (copy-on-write counts), ``None``: not known."""
        return self._can(address, _WRITABLE, "w")

    def can_execute(self, address: int) -> bool | None:
        """Tell whether *address* holds code that may run, ``None`` when it is not known."""
        return self._can(address, _EXECUTABLE, "x")

    def is_mapped(self, address: int) -> bool | None:
        """Tell whether memory was committed at *address*, ``None`` when it is not known."""
        region = self.at(address)
        return None if region is None or region.state is None else region.state == MEM_COMMIT

    def stack_of(self, address: int) -> ThreadInfo | None:
        """Return the thread whose stack holds *address*; guard and reserved pages belong to it."""
        region = self.at(address)
        return region.thread if region is not None and region.usage.is_stack else None

    def is_past_stack(self, address: int) -> bool:
        """Tell whether *address* lies in a stack's guard pages or what is reserved below them:
        where a stack overflow ends."""
        region = self.at(address)
        if region is None:
            return False
        if not region.usage.is_stack:
            # Linux's guard pages are a mapping of their own below the stack's.
            above = self.at(region.end)
            is_guard = region.file is not None and region.protect == PAGE_NOACCESS
            return is_guard and above is not None and above.usage.is_stack
        if region.source is Source.SYSTEM:
            return region.is_guard or region.protect in (None, PAGE_NOACCESS)
        span = self.usage.at(address)
        return (
            span is not None and span.committed_from is not None and address < span.committed_from
        )

    def _can(self, address: int, bits: int, letter: str) -> bool | None:
        region = self.at(address)
        if region is None:
            return None
        answer = _allows(region, bits)
        if answer is None and region.module is not None:
            return self._image_allows(region.module, address, letter)
        return answer

    def _image_allows(self, module: Module, address: int, letter: str) -> bool | None:
        """Return what the image says: the first protection of these pages."""
        image = self._system.modules.image(module)
        if image is None:
            return None
        try:
            allowed = image.permissions_at(address - module.base)
        except DebuggerError:
            return None
        return None if allowed is None else letter in allowed

    def _whole(self) -> Iterator[Region]:
        """Yield the system's regions, cut where their usage changes."""
        pieces = list(self._listed_pieces())
        self._note_stacks(pieces)
        if any(piece.file is not None for piece in pieces):
            from polydbg.engine.mapping_usage import mapping_usage

            self._mappings = mapping_usage(self._system, pieces)
        for piece in pieces:
            if piece.is_free:
                yield piece
            else:
                yield from _joined(self._split(piece))

    def _listed_pieces(self) -> Iterator[Region]:
        """Yield the system's regions, ascending; of overlapping ones the earlier base wins."""
        at = 0
        for item in sorted(self._listed, key=lambda region: region.base):
            start, end = max(item.base, at), min(item.end, ADDRESS_LIMIT)
            if start >= end:
                continue
            if at < start <= _USER_LIMIT:  # Linux lists no free addresses
                yield _free(at, start - at)
            at = end
            if item.state == MEM_FREE:
                yield _free(start, end - start)
                continue
            yield Region(
                start,
                end - start,
                Usage.UNKNOWN,
                Source.SYSTEM,
                item.state,
                item.protect if item.state == MEM_COMMIT else None,
                item.type,
                item.allocation_base,
                item.allocation_protect,
                file=item.file,
            )

    def _note_stacks(self, pieces: list[Region]) -> None:
        """Note whose stack an allocation is: more of it than what the thread block bounds."""
        starts = [piece.base for piece in pieces]
        for span in self.usage.spans:
            index = bisect_right(starts, span.start) - 1
            if span.usage.is_stack and index >= 0:
                base = pieces[index].allocation_base
                if base is not None and span.start < pieces[index].end:
                    self.usage.allocations.setdefault(base, span)

    def _used(self) -> Iterator[Region]:
        """Yield the spans as regions; a stack's committed part stands by itself."""
        return _joined(self._span_regions())

    def _span_regions(self) -> Iterator[Region]:
        for span in self.usage.spans:
            committed = span.usage not in (Usage.IMAGE, Usage.HEAP)
            state = MEM_COMMIT if committed else None
            limit = min(max(span.committed_from or span.start, span.start), span.end)
            if span.start < limit:
                yield _region(span, span.start, limit, None)
            if limit < span.end:
                yield _region(span, limit, span.end, state)

    def _dumped(self) -> Iterator[tuple[int, int]]:
        """Yield start and end of the memory in the dump that no span covers, in whole pages,
        neighbours joined."""
        for start, end in self._dumped_pages():
            at = start
            overlapping = () if self.usage.is_free(start, end) else self.usage.overlapping(at, end)
            for span in overlapping:
                if at < span.start:
                    yield at, span.start
                at = span.end
            if at < end:
                yield at, end

    def _dumped_pages(self) -> Iterator[tuple[int, int]]:
        memory = self._system.target.memory
        if not isinstance(memory, MappedMemory):
            return
        start = end = 0
        for item in memory.ranges():
            first = item.start & -PAGE
            if first > end:
                if start < end:
                    yield start, end
                start = first
            end = (item.end + PAGE - 1) & -PAGE
        if start < end:
            yield start, end

    def _split(self, piece: Region) -> Iterator[Region]:
        """Yield *piece* cut where its usage changes."""
        at = piece.base
        for span in self.usage.overlapping(piece.base, piece.end):
            low, high = max(span.start, piece.base), min(span.end, piece.end)
            if at < low:
                yield self._by_allocation(piece, at, low)
            mapped = self._mappings.get(piece.base)
            if mapped is not None and mapped.usage is Usage.VDSO:
                span = msgspec.structs.replace(span, usage=Usage.VDSO)
            yield _part(piece, low, high, span)
            at = high
        if at < piece.end:
            yield self._by_allocation(piece, at, piece.end)

    def _by_allocation(self, piece: Region, start: int, end: int) -> Region:
        """Return a part that no span covers: its allocation may tell what it is."""
        base = piece.allocation_base
        span = self.usage.allocations.get(base) if base is not None else None
        if piece.type == MEM_IMAGE:
            path = piece.file.path if piece.file is not None else ""
            span = Span(start, end, Usage.IMAGE, path)
        elif span is None:
            span = self._mappings.get(piece.base)
        return _part(piece, start, end, span)


def _free(start: int, size: int) -> Region:
    return Region(start, size, Usage.FREE, Source.SYSTEM, MEM_FREE, PAGE_NOACCESS, None, None, None)


def _polled(found: Iterable[T], poll: Callable[[], None]) -> Iterator[T]:
    for count, item in enumerate(found):
        if count % _POLL_EVERY == 0:
            poll()
        yield item


def _stored(start: int, size: int) -> Region:
    return Region(start, size, Usage.UNKNOWN, Source.MEMORY, MEM_COMMIT)


def _region(span: Span, start: int, end: int, state: int | None) -> Region:
    """Return the addresses from *start* up to *end* of a span of a partial map."""
    kind = MEM_IMAGE if span.usage is Usage.IMAGE else MEM_PRIVATE
    alone = span.usage.is_stack or span.usage in (Usage.IMAGE, Usage.HEAP)
    return Region(
        start,
        end - start,
        span.usage,
        Source.USAGE,
        state,
        type=kind,
        allocation_base=span.start if alone else None,
        what=span.what,
        module=span.module,
        thread=span.thread,
        heap=span.heap,
    )


def _part(piece: Region, start: int, end: int, span: Span | None) -> Region:
    """Return the addresses from *start* up to *end* of *piece*, used as *span* says."""
    if span is None:
        return msgspec.structs.replace(piece, base=start, size=end - start)
    return msgspec.structs.replace(
        piece,
        base=start,
        size=end - start,
        usage=span.usage,
        what=span.what,
        module=span.module,
        thread=span.thread,
        heap=span.heap,
    )


def _joined(parts: Iterable[Region]) -> Iterator[Region]:
    """Yield neighbouring parts, those of the same usage and state as one."""
    last: Region | None = None
    for part in parts:
        if last is not None and _goes_on(last, part):
            last = msgspec.structs.replace(last, size=last.size + part.size)
            continue
        if last is not None:
            yield last
        last = part
    if last is not None:
        yield last


def _goes_on(last: Region, part: Region) -> bool:
    return last.end == part.base and (last.usage, last.what, last.state) == (
        part.usage,
        part.what,
        part.state,
    )
