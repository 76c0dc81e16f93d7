"""``!locks`` and ``!cs``: critical sections, their owners, who waits, and deadlocks.

The texts are those of the debugger's documentation of ``ntsdexts.locks`` and ``exts.cs``; what it
has not (owners by number, waits, deadlocks) stands behind a value or below the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.futex_locks import lock_items, mutex_items
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.process_blocks import UNAVAILABLE, plain_hex
from polydbg.commands.registry import command
from polydbg.commands.stack import Layout, stack_rows
from polydbg.engine.locks import (
    CriticalSection,
    DebugFields,
    LockReport,
    LockWait,
    critical_section,
    lock_report,
    sections_in,
)
from polydbg.engine.session import System
from polydbg.engine.windows_process import is_windows
from polydbg.targets.target import ThreadInfo

_MAX_RANGE = 16 << 20
_RULE = "-" * 41


class CriticalSectionItem(ShownItem, frozen=True):
    """A critical section. *lock_count* is the raw number, *waiters* what it says; *owner* is the
    number of the owning thread, ``None`` where the dump has none of that id. What the dump lacks is
    ``None``; *evidence* says why this is taken for a section."""

    address: Hex
    name: str
    is_locked: bool
    lock_count: int | None
    waiters: int
    waiter_woken: bool
    recursion_count: int | None
    owner_id: Hex | None
    owner: int | None
    debug_info: Hex | None
    lock_semaphore: Hex | None
    spin_count: Hex | None
    entry_count: int | None
    contention_count: int | None
    is_guess: bool
    evidence: str


class LockWaitItem(ShownItem, frozen=True):
    """A thread that waits for a section; *owner* as in :class:`CriticalSectionItem`."""

    thread: int
    section: Hex
    section_name: str
    owner: int | None
    is_guess: bool
    reason: str


class DeadlockItem(ShownItem, frozen=True):
    """A deadlock: each thread waits for the section beside it, which the next thread owns."""

    threads: tuple[int, ...]
    sections: tuple[Hex, ...]
    is_guess: bool


def thread_label(thread: ThreadInfo) -> str:
    """Return ``0:001``, the way prompts name a thread."""
    return f"0:{thread.ordinal:03d}"


@command(
    "!locks",
    summary="List the critical sections that are held, who waits for them, and deadlocks. Of Linux "
    "what threads wait for in futex calls: mutexes with their owners, ends of threads, others.",
    syntax="!locks [-v] [-o]",
    example="!locks    -v shows free sections too, -o what is left of sections that are gone",
    family="process",
)
def locks(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    letters = _options(cursor, "vo")
    cursor.expect_end()
    if not is_windows(ctx.system):
        yield from lock_items(ctx)
        return
    report = _report(ctx)
    if "o" in letters:
        yield from _orphans(ctx.system, report)
        return
    for section in report.sections:
        if section.is_locked or not section.is_present or "v" in letters:
            yield _item(ctx.system, section, _locks_lines(ctx.system, section))
    yield from _findings(ctx.system, report)
    yield Text(value=f"Scanned {len(report.sections)} critical sections")


def _options(cursor: Cursor, known: str) -> str:
    letters = ""
    while True:
        cursor.skip_blanks()
        found = cursor.match(rf"-([{known}]+)(?=[\s;]|$)")
        if found is None:
            return letters
        letters += found.group(1)


def _report(ctx: CommandContext) -> LockReport:
    return lock_report(ctx.system, ctx.cancel, ctx.progress)


def _orphans(system: System, report: LockReport) -> Iterator[Item]:
    for address in report.orphans:
        yield Text(value=f"Orphaned debug information at {plain_hex(address, system.pointer_size)}")
    yield Text(value=f"Scanned {len(report.sections)} critical sections")


def _name(system: System, section: CriticalSection) -> str:
    place = system.modules.place(section.address)
    return place.base_text + f"+{place.displacement:x}" if place.module else place.text


def _owner(section: CriticalSection) -> str:
    return f" ({thread_label(section.owner)})" if section.owner else ""


def _item(system: System, section: CriticalSection, lines: list[str]) -> CriticalSectionItem:
    return CriticalSectionItem(
        address=section.address,
        name=_name(system, section),
        is_locked=section.is_locked,
        lock_count=section.lock_count,
        waiters=section.waiters,
        waiter_woken=section.waiter_woken,
        recursion_count=section.recursion_count,
        owner_id=section.owner_id,
        owner=section.owner.ordinal if section.owner else None,
        debug_info=section.debug_info,
        lock_semaphore=section.lock_semaphore,
        spin_count=section.spin_count,
        entry_count=section.entry_count,
        contention_count=section.contention_count,
        is_guess=section.is_guess,
        evidence=section.evidence.value,
        shown="\n".join(lines),
    )


def _locks_lines(system: System, section: CriticalSection) -> list[str]:
    """Return the block of ``!locks``; the count is that of waiters, as it prints it today."""
    address = plain_hex(section.address, system.pointer_size)
    guess = f" (guess: {section.evidence.value})" if section.is_guess else ""
    head = f"CritSec {_name(system, section)} at {address}{guess}"
    if not section.is_present:
        return [head, f"{'OwningThread':<18} {UNAVAILABLE}", ""]
    lines = [head]
    if section.is_locked:
        lines.append(f"{'WaiterWoken':<18} {'Yes' if section.waiter_woken else 'No'}")
    owner = UNAVAILABLE if section.owner_id is None else f"{section.owner_id:x}"
    rows = (
        ("LockCount", f"{section.waiters}" if section.is_locked else "NOT LOCKED"),
        ("RecursionCount", _decimal(section.recursion_count)),
        ("OwningThread", owner + _owner(section)),
        ("EntryCount", _decimal(section.entry_count)),
        ("ContentionCount", _decimal(section.contention_count)),
    )
    lines += [f"{label:<18} {value}" for label, value in rows]
    if section.is_locked:
        lines.append("*** Locked")
        if section.owner is None:
            lines.append(f"*** no thread of the dump has the id {owner}: it ended, or this is none")
    return [*lines, ""]


def _decimal(value: int | None) -> str:
    return UNAVAILABLE if value is None else str(value)


def _findings(system: System, report: LockReport) -> Iterator[Item]:
    """Yield who waits for whom, the deadlocks, and what could not be looked at."""
    for wait in report.waits:
        text = f"{thread_label(wait.thread)} waits for {_wanted(system, wait)}"
        yield LockWaitItem(
            thread=wait.thread.ordinal,
            section=wait.section.address,
            section_name=_name(system, wait.section),
            owner=wait.owner.ordinal if wait.owner else None,
            is_guess=wait.is_guess,
            reason=wait.reason,
            shown=f"{text} ({'guess: ' if wait.is_guess else ''}{wait.reason})",
        )
    for cycle in report.cycles:
        yield deadlock_item(system, cycle)
    if report.waits or report.cycles:
        yield Text(value="")
    for note in report.notes:
        yield Notice(identifier="locks.not-looked-at", value=f"not all were found: {note}")


def _wanted(system: System, wait: LockWait) -> str:
    section, name = wait.section, _name(system, wait.section)
    if wait.owner is not None:
        return f"CritSec {name} owned by {thread_label(wait.owner)}"
    if not section.is_present:
        return f"CritSec {name}, whose memory and with it its owner is not in the dump"
    return f"CritSec {name} owned by {section.owner_id or 0:x}, no thread of the dump"


def deadlock_item(system: System, cycle: tuple[LockWait, ...]) -> DeadlockItem:
    """Return the line that names a deadlock."""
    steps = ", which waits for ".join(_wanted(system, wait) for wait in cycle)
    guess = any(wait.is_guess or wait.section.is_guess for wait in cycle)
    return DeadlockItem(
        threads=tuple(wait.thread.ordinal for wait in cycle),
        sections=tuple(wait.section.address for wait in cycle),
        is_guess=guess,
        shown=f"DEADLOCK{' (guess)' if guess else ''}: {thread_label(cycle[0].thread)} "
        f"waits for {steps}",
    )


@command(
    "!cs",
    summary="Show critical sections: all that are found, one, or those in a range. Of Linux the "
    "mutex at an address.",
    syntax="!cs [-l] [-o] [-s] [address | start end] | !cs [-o] [-s] -d debuginfo",
    example="!cs -l -o    those that are held, with their owners' stacks",
    family="process",
)
def critical_sections(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    letters = _options(cursor, "losd")
    if cursor.match(r"-t\b"):
        raise CommandError(
            "trees of critical sections are Application Verifier's; they are not read",
            identifier="target.unsupported",
            hint="!cs without -t lists those that are found",
        )
    if not is_windows(ctx.system):
        yield from lock_items(ctx) if cursor.at_end else mutex_items(ctx, ctx.expression(cursor))
        return
    sections, report = _asked(ctx, cursor, letters)
    if not sections:
        yield Text(value="No critical sections were found")
    for section in sections:
        if "l" in letters and not section.is_locked:
            continue
        yield _item(ctx.system, section, _cs_lines(ctx.system, section, "s" in letters))
        if "o" in letters and section.is_locked:
            yield from _owner_stack(ctx, section)
    if report is not None:
        yield from _findings(ctx.system, report)


def _asked(
    ctx: CommandContext, cursor: Cursor, letters: str
) -> tuple[list[CriticalSection], LockReport | None]:
    """Read the addresses; return the sections meant, and the report where all are."""
    system = ctx.system
    if cursor.at_end:
        report = _report(ctx)
        return list(report.sections), report
    start = ctx.expression(cursor)
    if "d" in letters:
        debug = DebugFields(system.memory, start, system.pointer_size)
        section = debug.section
        if section is None:
            raise CommandError(
                f"no debug information is readable at {start:#x}",
                identifier="memory.absent",
                hint="!cs shows the DebugInfo of each section",
            )
        return [critical_section(system, section)], None
    if cursor.at_end:
        return [_readable(system, start)], None
    end = ctx.expression(cursor)
    if not start < end <= start + _MAX_RANGE:
        raise cursor.error("Range error", hint="a range is at most 16 MB")
    return list(sections_in(system, start, end, ctx.cancel)), None


def _readable(system: System, address: int) -> CriticalSection:
    section = critical_section(system, address)
    if not section.is_present:
        raise CommandError(
            f"the critical section at {plain_hex(address, system.pointer_size)} is not in the dump",
            identifier="memory.absent",
            hint="!cs without an address lists those that are found",
        )
    return section


def _cs_lines(system: System, section: CriticalSection, with_origin: bool) -> list[str]:
    size = system.pointer_size

    def number(value: int | None, digits: int = 0) -> str:
        return UNAVAILABLE if value is None else f"0x{value:0{digits}x}"

    place = system.modules.place(section.address)
    name = f" ({place.base_text}+0x{place.displacement:X})" if place.module else ""
    guess = f"  guess: {section.evidence.value}" if section.is_guess else ""
    lines = [
        _RULE,
        f"Critical section   = {number(section.address, 2 * size)}{name}{guess}",
        f"DebugInfo          = {number(section.debug_info, 2 * size)}",
    ]
    if section.is_locked:
        lines += [
            "LOCKED",
            f"LockCount          = {number(section.waiters)}",
            f"WaiterWoken        = {'Yes' if section.waiter_woken else 'No'}",
            f"OwningThread       = {number(section.owner_id, 2 * size)}{_owner(section)}",
            f"RecursionCount     = {number(section.recursion_count)}",
        ]
    else:
        lines.append("NOT LOCKED" if section.is_present else f"LockCount          = {UNAVAILABLE}")
    lines += [
        f"LockSemaphore      = {number(section.lock_semaphore)}",
        f"SpinCount          = {number(section.spin_count, 2 * size)}",
    ]
    if with_origin:
        lines.append("Stack trace of its initialization is not in the dump")
    return lines


def _owner_stack(ctx: CommandContext, section: CriticalSection) -> Iterator[Item]:
    owner = section.owner
    if owner is None:
        yield Text(value="OwningThread DbgId = not a thread of the dump")
        return
    yield Text(value=f"OwningThread DbgId = ~{owner.ordinal}s\nOwningThread Stack =")
    system, settings = ctx.system, ctx.session.settings
    layout = Layout.of(ctx)
    try:
        yield from stack_rows(
            ctx, system, system.thread_registers(owner), settings.stack_limit, layout
        )
    except DebuggerError as error:
        yield Notice(identifier=error.identifier, value=sanitise_line(error.message))
