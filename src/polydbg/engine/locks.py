"""Critical sections of a Windows process: which are held, by whom, who waits, and deadlocks.

Layouts are those of ``RTL_CRITICAL_SECTION`` and ``RTL_CRITICAL_SECTION_DEBUG`` in winnt.h.
``LockCount`` has two readings. Since Windows Server 2003 SP1 bit 0 clear says locked, bit 1 clear
that a waiter was woken, and the other bits are the complement of the number of waiters; free is -1
and every held value below it. Before, and in Wine, it counts up from -1 with every entry, also
recursive and waiting ones. The sign tells which it is.

Sections are found by the list that ntdll links their debug information into, by the calls that
threads wait in, and by their shape in the data of modules: see :class:`Evidence`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.lock_graph import cycles
from polydbg.engine.lock_scan import MAX_RECURSION, owned_words, pointers_in
from polydbg.engine.lock_waits import MAX_THREADS, SectionWait, section_waits
from polydbg.engine.session import System
from polydbg.engine.structure import Field, Structure
from polydbg.engine.windows_process import is_windows, peb
from polydbg.targets.target import ThreadInfo

MAX_SECTIONS = 100_000
MAX_CANDIDATES = 20_000
_POLL_EVERY = 256
_LIST_HEAD = "RtlCriticalSectionList"


class SectionFields(Structure):
    """``RTL_CRITICAL_SECTION``."""

    debug_info = Field(0x00, 0x00)
    lock_count = Field(0x08, 0x04, 4, signed=True)
    recursion_count = Field(0x0C, 0x08, 4, signed=True)
    owning_thread = Field(0x10, 0x0C)
    lock_semaphore = Field(0x18, 0x10)
    spin_count = Field(0x20, 0x14)


class DebugFields(Structure):
    """``RTL_CRITICAL_SECTION_DEBUG``."""

    kind = Field(0x00, 0x00, 2)  # 0 critical section, 1 resource
    section = Field(0x08, 0x04)
    next_link = Field(0x10, 0x08)
    previous_link = Field(0x18, 0x0C)
    entry_count = Field(0x20, 0x10, 4)
    contention_count = Field(0x24, 0x14, 4)


class Evidence(enum.Enum):
    """Why something is taken for a critical section, from certain to guessed."""

    GIVEN = "the address was given"
    DEBUG_INFO = "its debug information points back to it"
    WAIT = "a thread waits for it"
    SHAPE = "its contents look like one held by a thread of the dump"


class CriticalSection(msgspec.Struct, frozen=True):
    """One section; numbers are ``None`` where the dump does not have them.

    *lock_count* is the raw number; :attr:`waiters` and :attr:`is_locked` read it. *owner* is the
    owning thread where the dump has a thread of *owner_id*.
    """

    address: int
    debug_info: int | None
    lock_count: int | None
    recursion_count: int | None
    owner_id: int | None
    lock_semaphore: int | None
    spin_count: int | None
    entry_count: int | None
    contention_count: int | None
    owner: ThreadInfo | None
    evidence: Evidence

    @property
    def is_present(self) -> bool:
        """Return whether the dump has its memory."""
        return self.lock_count is not None

    @property
    def is_locked(self) -> bool:
        count = self.lock_count
        return count is not None and count != -1 and (count >= 0 or not count & 1)

    @property
    def is_plausible(self) -> bool:
        """Return whether owner and counts fit together, as they do in every section."""
        recursion, owner = self.recursion_count, self.owner_id
        if recursion is None or owner is None or not 0 <= recursion < MAX_RECURSION:
            return False
        return bool(owner and recursion) if self.is_locked else not owner

    @property
    def waiters(self) -> int:
        """Return how many threads wait, by the count."""
        count = self.lock_count
        if count is None or not self.is_locked:
            return 0
        if count >= 0:
            return max(0, count - max(0, (self.recursion_count or 1) - 1))
        return (-1 - count) >> 2

    @property
    def waiter_woken(self) -> bool:
        """Return whether a thread was woken to take it; older layouts do not say."""
        count = self.lock_count
        return count is not None and count < -1 and self.is_locked and not count & 2

    @property
    def is_guess(self) -> bool:
        return self.evidence is Evidence.SHAPE


class LockWait(msgspec.Struct, frozen=True):
    """A thread that waits for a section, and whom it waits for where that is known."""

    thread: ThreadInfo
    section: CriticalSection
    is_guess: bool
    reason: str

    @property
    def owner(self) -> ThreadInfo | None:
        return self.section.owner

    @property
    def address(self) -> int:
        return self.section.address

    @property
    def kind(self) -> str:
        """Return what it is that is waited for."""
        return "critical section"


class LockReport(msgspec.Struct, frozen=True):
    """What is known of a process's sections, ascending by address.

    *cycles* are deadlocks: in each, every thread waits for a section that the next one's thread
    owns, and the last for the first's. *orphans* are addresses of debug information in ntdll's list
    whose section does not point back, looked for where symbols tell the list's head. *notes* say
    what could not be looked at.
    """

    sections: tuple[CriticalSection, ...] = ()
    waits: tuple[LockWait, ...] = ()
    cycles: tuple[tuple[LockWait, ...], ...] = ()
    orphans: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def critical_section(
    system: System,
    address: int,
    evidence: Evidence = Evidence.GIVEN,
    threads: Mapping[int, ThreadInfo] | None = None,
) -> CriticalSection:
    """Return the section at *address*, whatever lies there.

    *threads* are the system's by id, for callers that ask about many sections.
    """
    fields = SectionFields(system.memory, address, system.pointer_size)
    info = fields.debug_info
    debug = _debug(system, info) if info else None
    if debug is not None and (debug.section != address or debug.kind not in (0, 1)):
        debug = None  # a list's links may point back too
    if debug is not None and evidence in (Evidence.WAIT, Evidence.SHAPE):
        evidence = Evidence.DEBUG_INFO
    owner_id = fields.owning_thread
    return CriticalSection(
        address=address,
        debug_info=info,
        lock_count=fields.lock_count,
        recursion_count=fields.recursion_count,
        owner_id=owner_id,
        lock_semaphore=fields.lock_semaphore,
        spin_count=fields.spin_count,
        entry_count=debug.entry_count if debug else None,
        contention_count=debug.contention_count if debug else None,
        owner=(_threads_by_id(system) if threads is None else threads).get(owner_id or 0),
        evidence=evidence,
    )


def lock_report(
    system: System, cancel: CancelToken, progress: Callable[[str, int, int], None] | None = None
) -> LockReport:
    """Find the sections of a process, their owners, who waits for them, and deadlocks.

    Long in processes with many threads or much module data: polls *cancel* and calls *progress*.
    """
    if not is_windows(system):
        return LockReport(notes=("critical sections are Windows'",))
    finder = _Finder(system, cancel)
    finder.from_blocks()
    finder.from_symbols()
    finder.from_data(progress or _no_progress)
    waits = section_waits(
        system,
        finder.is_contended,
        finder.contended(),
        cancel,
        progress or _no_progress,
    )
    for wait in waits:
        finder.add(wait.address, Evidence.WAIT)
    if len(system.threads) > MAX_THREADS:
        finder.notes.append(f"only the stacks of the first {MAX_THREADS} threads were looked at")
    finder.from_lists()
    found = finder.sections
    lock_waits = tuple(_wait(found[w.address], w) for w in waits if w.address in found)
    sections = tuple(found[address] for address in sorted(found))
    return LockReport(
        sections,
        lock_waits,
        tuple(cycles(lock_waits)),
        tuple(finder.orphans),
        tuple(finder.notes),
    )


def sections_in(
    system: System, start: int, end: int, cancel: CancelToken
) -> Iterator[CriticalSection]:
    """Yield the sections from *start* up to *end* whose debug information points back to them."""
    size = system.pointer_size
    threads = _threads_by_id(system)
    for count, at in enumerate(pointers_in(system.memory, start, end, size, cancel)):
        if count % _POLL_EVERY == 0:
            cancel.check()
        section = critical_section(system, at, Evidence.SHAPE, threads)
        if section.evidence is Evidence.DEBUG_INFO and section.is_plausible:
            yield section


def _no_progress(text: str, done: int, total: int) -> None:
    """Take progress that nobody wants to see."""


def _wait(section: CriticalSection, wait: SectionWait) -> LockWait:
    return LockWait(wait.thread, section, wait.is_guess, wait.reason)


def _threads_by_id(system: System) -> dict[int, ThreadInfo]:
    return {thread.id: thread for thread in system.threads if thread.id}


def _debug(system: System, address: int) -> DebugFields | None:
    """Return the debug information at *address*; sections made without any have -1 there."""
    if address == (1 << 8 * system.pointer_size) - 1:
        return None
    debug = DebugFields(system.memory, address, system.pointer_size)
    return debug if debug.section is not None else None


class _Finder:
    """Gathers sections; each address is looked at once."""

    def __init__(self, system: System, cancel: CancelToken) -> None:
        self._system = system
        self._cancel = cancel
        self.sections: dict[int, CriticalSection] = {}
        self._threads = _threads_by_id(system)
        self._heads: list[int] = []
        self.orphans: list[int] = []
        self.notes: list[str] = []

    def add(self, address: int | None, evidence: Evidence) -> None:
        """Take the section at *address*, unless what lies there cannot be one."""
        known = self.sections.get(address or 0)
        if known is not None and (evidence is not Evidence.WAIT or not known.is_guess):
            return
        if not address or len(self.sections) >= MAX_SECTIONS:
            return
        section = critical_section(self._system, address, evidence, self._threads)
        if not section.is_present and evidence is not Evidence.WAIT:
            return
        if section.is_present and not section.is_plausible:
            return
        self.sections[address] = section

    def is_contended(self, address: int) -> bool:
        """Return whether a section that threads wait for lies at *address*."""
        section = critical_section(self._system, address, Evidence.WAIT, self._threads)
        return section.is_present and section.is_plausible and section.waiters > 0

    def contended(self) -> frozenset[int]:
        return frozenset(a for a, s in self.sections.items() if s.waiters)

    def from_blocks(self) -> None:
        """Add the two sections that the PEB names."""
        try:
            block = peb(self._system)
        except DebuggerError as error:
            self.notes.append(error.message)
            return
        self.add(block.loader_lock, Evidence.DEBUG_INFO)
        self.add(block.fast_peb_lock, Evidence.DEBUG_INFO)

    def from_symbols(self) -> None:
        """Take the head of ntdll's list where symbols name it."""
        module = self._system.modules.named("ntdll")
        source = self._system.modules.symbols(module) if module else None
        if module is None or source is None:
            return
        try:
            symbol = source.symbol_named(_LIST_HEAD)
        except DebuggerError:
            return
        if symbol is not None:
            self._heads.append(module.base + symbol.rva)

    def from_data(self, progress: Callable[[str, int, int], None]) -> None:
        """Add what has the shape of a section that a thread of the dump holds."""
        size = self._system.pointer_size
        offset = SectionFields.owning_thread.offset(size)
        ids = frozenset(self._threads)
        for count, at in enumerate(owned_words(self._system, ids, self._cancel, progress)):
            if count % _POLL_EVERY == 0:
                self._cancel.check()
            if count >= MAX_CANDIDATES:
                self.notes.append("too much module data looks like critical sections")
                return
            address = at - offset
            section = critical_section(self._system, address, Evidence.SHAPE, self._threads)
            if section.is_locked and section.is_plausible and self._has_debug_pointer(section):
                self.sections.setdefault(address, section)

    def _has_debug_pointer(self, section: CriticalSection) -> bool:
        """Return whether the debug information is -1 (none), its own, or not in the dump."""
        info, size = section.debug_info, self._system.pointer_size
        if section.evidence is Evidence.DEBUG_INFO:
            return True
        if info is None or info == (1 << 8 * size) - 1:
            return info is not None
        return info >= 0x10000 and not info % size and _debug(self._system, info) is None

    def from_lists(self) -> None:
        """Follow the links of every known section's debug information both ways."""
        size = self._system.pointer_size
        link_at = DebugFields.next_link.offset(size)
        pending = list(self._heads)
        for section in self.sections.values():
            if section.entry_count is not None and section.debug_info:
                pending.append(section.debug_info + link_at)
        seen = set(pending)
        while pending and len(seen) < MAX_SECTIONS:
            self._cancel.check()
            link = pending.pop()
            debug = DebugFields(self._system.memory, link - link_at, size)
            if (address := debug.section) and link not in self._heads:
                fields = SectionFields(self._system.memory, address, size)
                if fields.debug_info == debug.address:
                    self.add(address, Evidence.DEBUG_INFO)
                elif self._heads:  # without a head, this may be the head
                    self.orphans.append(debug.address)
            for following in (debug.next_link, debug.previous_link):
                if following and following not in seen and following % size == 0:
                    seen.add(following)
                    pending.append(following)
