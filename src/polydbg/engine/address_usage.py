"""Who uses which addresses: thread stacks, thread and process blocks, heaps, modules, known pages.

What a block of the system says is read from the target's memory; what is not there gives no span.
Offsets are those of the public symbols of ntdll (Windows 7 to 11), as in
:mod:`polydbg.engine.windows_process`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from polydbg.engine.modules import Module
from polydbg.engine.structure import Field, Structure
from polydbg.engine.windows_process import Peb, Teb, other_teb
from polydbg.memory.space import AddressSpace
from polydbg.targets.minidump import USER_SHARED_DATA
from polydbg.targets.target import UNKNOWN_PROCESS_ID, ThreadInfo

if TYPE_CHECKING:
    from polydbg.engine.session import System

PAGE = 0x1000
_MAX_STACK = 1 << 30
_MAX_SEGMENTS = 64
_POLL_EVERY = 256
_HEAP_SEGMENT_SIGNATURE = 0xFFEEFFEE
_START = attrgetter("start")


class Usage(Enum):
    """What a region is used for, in WinDbg's words."""

    FREE = "Free"
    UNKNOWN = "<unknown>"
    IMAGE = "Image"
    STACK = "Stack"
    STACK32 = "Stack32"
    TEB = "TEB"
    TEB32 = "TEB32"
    PEB = "PEB"
    PEB32 = "PEB32"
    HEAP = "Heap"
    MAPPED_FILE = "MappedFile"
    TLS = "TLS"
    VDSO = "vdso"
    VVAR = "vvar"
    ANONYMOUS = "Anon"
    OTHER = "Other"

    @property
    def is_stack(self) -> bool:
        return self in (Usage.STACK, Usage.STACK32)


class Span(msgspec.Struct, frozen=True, gc=False):  # there may be 400,000
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


class _SharedPages(Structure):
    """What the process block points to beyond what :class:`Peb` has."""

    api_set_map = Field(0x68, 0x38)
    read_only_shared_memory = Field(0x88, 0x4C)
    code_page_data = Field(0xA0, 0x58)
    activation_context_data = Field(0x2F8, 0x1F8)
    system_activation_context_data = Field(0x308, 0x200)

    def named(self) -> Iterator[tuple[int | None, str]]:
        yield self.api_set_map, "API Set Map"
        yield self.read_only_shared_memory, "Read Only Shared Memory"
        yield self.code_page_data, "NLS Tables"
        yield self.activation_context_data, "Activation Context Data"
        yield self.system_activation_context_data, "Activation Context Data"


class _HeapSegment(Structure):
    """``HEAP_SEGMENT`` of an NT heap, whose first one is the heap itself."""

    signature = Field(0x10, 0x08, 4)
    next_link = Field(0x18, 0x10)
    base = Field(0x30, 0x1C)
    pages = Field(0x38, 0x20, 4)

    def segments(self) -> Iterator[tuple[int, int]]:
        """Yield start and end of the heap's segments that are in memory, its own first.

        The links form a ring that also passes the list's head inside the heap, which bears no
        signature and is passed over.
        """
        offset = _HeapSegment.next_link.offset(self.pointer_size)
        segment = self
        for _ in range(_MAX_SEGMENTS):
            base, pages = segment.base, segment.pages
            if segment.signature == _HEAP_SEGMENT_SIGNATURE and base and pages:
                yield base, base + pages * PAGE
            link = segment.next_link
            if not link or link - offset == self.address:
                return
            segment = _HeapSegment(self.memory, link - offset, self.pointer_size)


class AddressUsage:
    """The spans of one system.

    *spans* are ascending and never overlap. *allocations* says what a whole allocation of the
    system is used for, by its base: heaps, and what the process block points to.
    """

    def __init__(self, system: System, poll: Callable[[], None] = lambda: None) -> None:
        """Find the spans of *system*; *poll* is called meanwhile, and may raise."""
        self._system = system
        self._poll = poll
        self._memory: AddressSpace = system.target.memory
        ident = system.target.process_id
        self._process = f"{UNKNOWN_PROCESS_ID if ident is None else ident:x}"
        self.allocations: dict[int, Span] = {}
        self.spans: list[Span] = []
        self._starts: list[int] = []
        if system.target.system().platform == "windows":
            self._add_windows_blocks()
        else:
            self._add(self._dumped_stacks())
        self._add(self._modules())

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

    def is_free(self, start: int, end: int) -> bool:
        """Return whether no span meets the addresses from *start* up to *end*."""
        index = bisect_right(self._starts, start)
        return (not index or self.spans[index - 1].end <= start) and (
            index == len(self._starts) or self._starts[index] >= end
        )

    def _add(self, spans: Iterable[Span]) -> None:
        """Add what of *spans* no span covers that is there already; of *spans* that overlap each
        other the one that begins first stays whole."""
        fresh: list[Span] = []
        done = 0
        for count, span in enumerate(sorted(spans, key=_START)):
            if count % _POLL_EVERY == 0:
                self._poll()
            if span.start >= done and self.is_free(span.start, span.end):
                done = span.end
                fresh.append(span)
                continue
            at, done = max(span.start, done), max(span.end, done)
            for taken in self.overlapping(at, span.end):
                if at < taken.start:
                    fresh.append(msgspec.structs.replace(span, start=at, end=taken.start))
                at = taken.end
            if at < span.end:
                fresh.append(msgspec.structs.replace(span, start=at))
        self.spans = sorted(self.spans + fresh, key=_START)
        self._starts = [span.start for span in self.spans]

    def _add_windows_blocks(self) -> None:
        blocks = list(self._blocks())
        self._add(self._thread_blocks(blocks))
        process_blocks: dict[int, Peb] = {}
        for _, block in blocks:
            address = block.peb
            if address and address not in process_blocks and len(process_blocks) < 2:
                process_blocks[address] = Peb(self._memory, address, block.pointer_size)
        for peb in process_blocks.values():
            usage = Usage.PEB if self._is_native(peb) else Usage.PEB32
            self._add([Span(peb.address, peb.address + PAGE, usage, self._process)])
        self._add(self._stacks(blocks))
        self._add(self._dumped_stacks())
        shared = Span(USER_SHARED_DATA, USER_SHARED_DATA + PAGE, Usage.OTHER, "User Shared Data")
        self._add([shared])
        for peb in process_blocks.values():
            self._add(self._heaps(peb))
            for base, what in _SharedPages(self._memory, peb.address, peb.pointer_size).named():
                if base:
                    self.allocations.setdefault(base, Span(base, base + 1, Usage.OTHER, what))

    def _thread_blocks(self, blocks: Sequence[tuple[ThreadInfo, Teb]]) -> Iterator[Span]:
        native = self._system.target.pointer_size
        for thread in self._system.threads:
            if thread.teb:
                end = thread.teb + (0x2000 if native == 8 else PAGE)
                yield Span(thread.teb, end, Usage.TEB, self._name(thread), None, thread)
        for thread, block in blocks:
            if not self._is_native(block):
                end = block.address + (0x2000 if block.pointer_size == 8 else PAGE)
                yield Span(block.address, end, Usage.TEB32, self._name(thread), None, thread)

    def _blocks(self) -> Iterator[tuple[ThreadInfo, Teb]]:
        """Yield each thread's block that is in memory, then a WOW64 thread's other one."""
        has_other = self._system.is_wow64 or self._system.target.pointer_size == 4
        for count, thread in enumerate(self._system.threads):
            if count % _POLL_EVERY == 0:
                self._poll()
            if thread.teb and self._memory.read_some(thread.teb, 1):
                block = Teb(self._memory, thread.teb, self._system.target.pointer_size)
                yield thread, block
                if has_other and (other := other_teb(block)) is not None:
                    yield thread, other

    def _is_native(self, block: Structure) -> bool:
        return block.pointer_size == self._system.target.pointer_size

    def _stacks(self, blocks: Sequence[tuple[ThreadInfo, Teb]]) -> Iterator[Span]:
        """Yield the stacks as the thread blocks bound them."""
        for thread, block in blocks:
            top, limit = block.stack_base or 0, block.stack_limit or 0
            bottom = block.deallocation_stack or 0
            if not bottom or bottom > limit:
                bottom = limit
            if bottom and bottom < top <= bottom + _MAX_STACK:
                usage = Usage.STACK if self._is_native(block) else Usage.STACK32
                yield Span(bottom, top, usage, self._name(thread), None, thread, None, limit)

    def _dumped_stacks(self) -> Iterator[Span]:
        """Yield what the dump has of the stacks, in whole pages."""
        for thread in self._system.threads:
            if thread.stack_base and thread.stack_size:
                start = thread.stack_base & -PAGE
                end = (thread.stack_base + thread.stack_size + PAGE - 1) & -PAGE
                yield Span(start, end, Usage.STACK, self._name(thread), None, thread, None, start)

    def _heaps(self, peb: Peb) -> Iterator[Span]:
        heaps = dict.fromkeys([peb.process_heap or 0, *peb.heaps()])
        for number, heap in enumerate(each for each in heaps if each):
            if number % _POLL_EVERY == 0:
                self._poll()
            digits = 2 * peb.pointer_size
            what = f"ID: {number}; Handle: {heap:0{digits}x}; Type: Segment"
            self.allocations[heap] = Span(heap, heap + 1, Usage.HEAP, what, heap=heap)
            for start, end in _HeapSegment(self._memory, heap, peb.pointer_size).segments():
                span = Span(start, end, Usage.HEAP, what, heap=heap)
                self.allocations.setdefault(start, span)
                yield span

    def _modules(self) -> Iterator[Span]:
        for module in self._system.modules.modules:
            if module.base < module.end:
                yield Span(module.base, module.end, Usage.IMAGE, module.name, module)

    def _name(self, thread: ThreadInfo) -> str:
        return f"~{thread.ordinal}; {self._process}.{thread.id:x}"
