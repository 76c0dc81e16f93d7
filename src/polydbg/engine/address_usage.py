"""Who uses which addresses: thread stacks, thread and process blocks, heaps, modules, known pages.

What a block of the system says is read from the target's memory; what is not there gives no span.
Facts: NT_TIB of winnt.h; the further fields of TEB, PEB and the heap's segments are those of
Microsoft's public symbols of ntdll (Windows 7 to 11).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from polydbg.engine.modules import Module
from polydbg.memory.space import AddressSpace
from polydbg.targets.minidump import USER_SHARED_DATA
from polydbg.targets.target import UNKNOWN_PROCESS_ID, ThreadInfo

if TYPE_CHECKING:
    from polydbg.engine.session import System

PAGE = 0x1000
_MAX_STACK = 1 << 30
_MAX_HEAPS = 256
_MAX_SEGMENTS = 64
_HEAP_SEGMENT_SIGNATURE = 0xFFEEFFEE


class Usage(Enum):
    """What a region is used for, in WinDbg's words."""

    FREE = "Free"
    UNKNOWN = "<unknown>"
    IMAGE = "Image"
    STACK = "Stack"
    TEB = "TEB"
    PEB = "PEB"
    HEAP = "Heap"
    OTHER = "Other"


class Span(msgspec.Struct, frozen=True):
    """Addresses from *start* up to *end* that are known to be used for something.

    *what* is what stands in brackets behind the usage. *committed_from* is where a stack's
    committed part begins: below it lie the guard page and reserved addresses.
    """

    start: int
    end: int
    usage: Usage
    what: str = ""
    module: Module | None = None
    thread: ThreadInfo | None = None
    heap: int | None = None
    committed_from: int | None = None


class _Layout(msgspec.Struct, frozen=True):
    """Offsets of the fields that are read, for pointers of *pointer* bytes."""

    pointer: int
    teb_size: int
    stack_base: int
    stack_limit: int
    deallocation_stack: int
    teb_peb: int
    peb_process_heap: int
    peb_heap_count: int
    peb_heaps: int
    peb_others: tuple[tuple[int, str], ...]
    segment_signature: int
    segment_link: int
    segment_base: int
    segment_pages: int


_WIDE = _Layout(
    pointer=8,
    teb_size=0x2000,
    stack_base=0x8,
    stack_limit=0x10,
    deallocation_stack=0x1478,
    teb_peb=0x60,
    peb_process_heap=0x30,
    peb_heap_count=0xE8,
    peb_heaps=0xF0,
    peb_others=(
        (0x68, "API Set Map"),
        (0x88, "Read Only Shared Memory"),
        (0xA0, "NLS Tables"),
        (0x2F8, "Activation Context Data"),
        (0x308, "Activation Context Data"),
    ),
    segment_signature=0x10,
    segment_link=0x18,
    segment_base=0x30,
    segment_pages=0x38,
)
_NARROW = _Layout(
    pointer=4,
    teb_size=0x1000,
    stack_base=0x4,
    stack_limit=0x8,
    deallocation_stack=0xE0C,
    teb_peb=0x30,
    peb_process_heap=0x18,
    peb_heap_count=0x88,
    peb_heaps=0x90,
    peb_others=(
        (0x38, "API Set Map"),
        (0x4C, "Read Only Shared Memory"),
        (0x58, "NLS Tables"),
        (0x1F8, "Activation Context Data"),
        (0x200, "Activation Context Data"),
    ),
    segment_signature=0x8,
    segment_link=0x10,
    segment_base=0x1C,
    segment_pages=0x20,
)


class AddressUsage:
    """The spans of one system.

    *spans* are ascending and never overlap. *allocations* says what a whole allocation of the
    system is used for, by its base: heaps, and what the process block points to.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._memory: AddressSpace = system.target.memory
        self._layout = _WIDE if system.target.pointer_size == 8 else _NARROW
        self.allocations: dict[int, Span] = {}
        self.spans: list[Span] = []
        self._starts: list[int] = []
        if system.target.system().platform == "windows":
            self._add_windows_blocks()
        else:
            self._add_all(self._dumped_stacks())
        self._add_all(self._modules())

    def at(self, address: int) -> Span | None:
        """Return the span that holds *address*."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and address < self.spans[index].end:
            return self.spans[index]
        return None

    def overlapping(self, start: int, end: int) -> Iterator[Span]:
        """Yield the spans that meet the addresses from *start* up to *end*, ascending."""
        index = max(0, bisect_right(self._starts, start) - 1)
        while index < len(self.spans) and self.spans[index].start < end:
            if self.spans[index].end > start:
                yield self.spans[index]
            index += 1

    def _add_all(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self._add(span)

    def _add(self, span: Span) -> None:
        """Add what of *span* no earlier span covers."""
        at = span.start
        for taken in list(self.overlapping(span.start, span.end)):
            self._insert(span, at, taken.start)
            at = taken.end
        self._insert(span, at, span.end)

    def _insert(self, span: Span, start: int, end: int) -> None:
        if start < end:
            index = bisect_left(self._starts, start)
            self._starts.insert(index, start)
            self.spans.insert(index, msgspec.structs.replace(span, start=start, end=end))

    def _add_windows_blocks(self) -> None:
        layout = self._layout
        threads = self._system.threads
        peb = 0
        for thread in threads:
            if thread.teb:
                peb = peb or self._pointer(thread.teb + layout.teb_peb)
                end = thread.teb + layout.teb_size
                self._add(Span(thread.teb, end, Usage.TEB, self._name(thread), thread=thread))
        if peb:
            self._add(Span(peb, peb + PAGE, Usage.PEB, self._process()))
        self._add_all(self._stacks())
        shared = Span(USER_SHARED_DATA, USER_SHARED_DATA + PAGE, Usage.OTHER, "User Shared Data")
        self._add(shared)
        self.allocations[USER_SHARED_DATA] = shared
        if peb:
            self._add_all(self._heaps(peb))
            for offset, what in layout.peb_others:
                if base := self._pointer(peb + offset):
                    self.allocations.setdefault(base, Span(base, base + 1, Usage.OTHER, what))

    def _stacks(self) -> Iterator[Span]:
        """Yield the stacks as the thread blocks bound them, else what the dump has of them."""
        layout = self._layout
        for thread in self._system.threads:
            teb = thread.teb or 0
            top = self._pointer(teb + layout.stack_base) if teb else 0
            limit = self._pointer(teb + layout.stack_limit) if teb else 0
            bottom = self._pointer(teb + layout.deallocation_stack) if teb else 0
            if not bottom or bottom > limit:
                bottom = limit
            if bottom and bottom < top <= bottom + _MAX_STACK:
                yield Span(bottom, top, Usage.STACK, self._name(thread), None, thread, None, limit)
        yield from self._dumped_stacks()

    def _dumped_stacks(self) -> Iterator[Span]:
        for thread in self._system.threads:
            if thread.stack_base and thread.stack_size:
                start = thread.stack_base & -PAGE
                end = (thread.stack_base + thread.stack_size + PAGE - 1) & -PAGE
                yield Span(start, end, Usage.STACK, self._name(thread), None, thread, None, start)

    def _heaps(self, peb: int) -> Iterator[Span]:
        layout = self._layout
        count = min(self._number(peb + layout.peb_heap_count), _MAX_HEAPS)
        array = self._pointer(peb + layout.peb_heaps)
        bases = [self._pointer(peb + layout.peb_process_heap)]
        if array:
            bases += [self._pointer(array + index * layout.pointer) for index in range(count)]
        for heap in dict.fromkeys(bases):
            if not heap:
                continue
            what = f"Handle: {heap:x}"
            self.allocations[heap] = Span(heap, heap + 1, Usage.HEAP, what, heap=heap)
            for start, end in self._segments(heap):
                span = Span(start, end, Usage.HEAP, what, heap=heap)
                self.allocations.setdefault(start, span)
                yield span

    def _segments(self, heap: int) -> Iterator[tuple[int, int]]:
        """Yield the segments of an NT heap that are in memory; the heap itself begins the first.

        Their links form a ring that also passes the list's head inside the heap, which bears no
        signature and is passed over.
        """
        layout = self._layout
        link = first = heap + layout.segment_link
        for _ in range(_MAX_SEGMENTS):
            segment = link - layout.segment_link
            if self._number(segment + layout.segment_signature) == _HEAP_SEGMENT_SIGNATURE:
                base = self._pointer(segment + layout.segment_base)
                pages = self._number(segment + layout.segment_pages)
                if base and pages:
                    yield base, base + pages * PAGE
            link = self._pointer(link)
            if not link or link == first:
                return

    def _modules(self) -> Iterator[Span]:
        for module in self._system.modules.modules:
            if module.base < module.end:
                yield Span(module.base, module.end, Usage.IMAGE, module.name, module)

    def _name(self, thread: ThreadInfo) -> str:
        return f"~{thread.ordinal}; {self._process()}.{thread.id:x}"

    def _process(self) -> str:
        ident = self._system.target.process_id
        return f"{UNKNOWN_PROCESS_ID if ident is None else ident:x}"

    def _pointer(self, address: int) -> int:
        """Return a pointer of the target, 0 where it is not in memory."""
        data = self._memory.read_some(address, self._layout.pointer)
        return int.from_bytes(data, "little") if len(data) == self._layout.pointer else 0

    def _number(self, address: int) -> int:
        data = self._memory.read_some(address, 4)
        return int.from_bytes(data, "little") if len(data) == 4 else 0
