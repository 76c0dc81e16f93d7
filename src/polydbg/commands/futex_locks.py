"""What ``!locks`` and ``!cs`` show of a Linux process: mutexes, futexes, who waits, deadlocks."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.engine.futexes import Futex, FutexReport, FutexWait, Kind, futex_report, mutex_at
from polydbg.engine.session import System
from polydbg.targets.target import ThreadInfo

UNAVAILABLE = "<unavailable>"
_HINT = "~*k shows where every thread waits"


class FutexItem(ShownItem, frozen=True):
    """A lock that threads wait for. *kind* is ``mutex``, ``thread`` (its end is waited for),
    ``lock with priority inheritance`` or ``futex`` of something else; *owner* the number of the
    thread that holds it, ``None`` where the dump has none of *owner_id*, which is ``None`` where
    the lock does not record its owner. *waiters* are threads' numbers."""

    address: Hex
    name: str
    kind: str
    lock_type: str
    library: str
    word: Hex | None
    count: int | None
    owner_id: Hex | None
    owner: int | None
    waiters: tuple[int, ...]
    is_locked: bool
    is_guess: bool


class FutexWaitItem(ShownItem, frozen=True):
    """A thread that waits in the futex call, and for what."""

    thread: int
    lock: Hex
    lock_name: str
    kind: str
    owner: int | None
    is_guess: bool
    reason: str


class FutexDeadlockItem(ShownItem, frozen=True):
    """A deadlock: each thread waits for the lock beside it, which the next thread holds."""

    threads: tuple[int, ...]
    locks: tuple[Hex, ...]
    is_guess: bool


def _require_linux(system: System) -> None:
    """:raises CommandError: the process has no futexes."""
    if system.target.system().platform not in ("linux", "android"):
        raise CommandError(
            "critical sections are Windows' and futexes are Linux'; this process has neither",
            identifier="process.not-windows",
            hint=_HINT,
        )


def lock_items(ctx: CommandContext) -> Iterator[Item]:
    """Show the locks that threads wait for, who waits, and the deadlocks."""
    system = ctx.system
    _require_linux(system)
    report = futex_report(system, ctx.cancel, ctx.progress)
    waiters: dict[int, list[ThreadInfo]] = {}
    for wait in report.waits:
        waiters.setdefault(wait.address, []).append(wait.thread)
    for lock in report.locks:
        yield _lock_item(system, lock, waiters[lock.address])
    yield from _findings(system, report)
    yield Text(value=f"Looked at {report.threads} threads: {len(report.waits)} wait in futex calls")


def mutex_items(ctx: CommandContext, address: int) -> Iterator[Item]:
    """Show the mutex at *address*."""
    system = ctx.system
    _require_linux(system)
    lock = mutex_at(system, address)
    if lock is None:
        raise CommandError(
            f"what lies at {address:#x} is no mutex of glibc or musl, or not in the dump",
            identifier="memory.absent",
            hint="dd ADDRESS L6 shows it; !locks finds what threads wait for",
        )
    report = futex_report(system, ctx.cancel, ctx.progress)
    waiters = [wait.thread for wait in report.waits if wait.address == lock.address]
    yield _lock_item(system, lock, waiters)


def _label(thread: ThreadInfo) -> str:
    return f"0:{thread.ordinal:03d}"


def _name(system: System, lock: Futex) -> str:
    """Return what is at the lock's address, ``""`` outside of modules."""
    place = system.modules.place(lock.address)
    return place.text if place.module else ""


def _lock_item(system: System, lock: Futex, waiters: list[ThreadInfo]) -> FutexItem:
    name = _name(system, lock)
    address = f"{lock.address:0{2 * system.pointer_size}x}"
    guess = " (guess: no thread of the dump has the owner's id)" if lock.is_guess else ""
    title = {Kind.MUTEX: "Mutex", Kind.THREAD: "End of thread", Kind.PI: "Lock"}
    rows = [("Word", UNAVAILABLE if lock.word is None else f"{lock.word:08x}")]
    if lock.type:
        rows.append(("Type", f"{lock.type} ({lock.library.value})"))
    if lock.kind is not Kind.FUTEX:
        owner = "not recorded by such a lock" if lock.owner_id is None else f"{lock.owner_id:x}"
        owner = "none" if lock.owner_id == 0 else owner
        rows.append(("OwningThread", owner + (f" ({_label(lock.owner)})" if lock.owner else "")))
    if lock.count:
        rows.append(("RecursionCount", str(lock.count)))
    rows.append(("WaitingThreads", " ".join(map(_label, waiters)) or "0"))
    head = " ".join(part for part in (title.get(lock.kind, "Futex"), name) if part)
    lines = [f"{head} at {address}{guess}"]
    lines += [f"{label:<18} {value}" for label, value in rows]
    if lock.kind in (Kind.MUTEX, Kind.PI):
        lines.append("*** Locked" if lock.is_locked else "NOT LOCKED")
    if lock.is_locked and lock.owner_id and lock.owner is None:
        lines.append(f"*** no thread of the dump has the id {lock.owner_id:x}: it ended")
    return FutexItem(
        address=lock.address,
        name=name,
        kind=lock.kind.value,
        lock_type=lock.type,
        library=lock.library.value,
        word=lock.word,
        count=lock.count,
        owner_id=lock.owner_id,
        owner=lock.owner.ordinal if lock.owner else None,
        waiters=tuple(each.ordinal for each in waiters),
        is_locked=lock.is_locked,
        is_guess=lock.is_guess,
        shown="\n".join([*lines, ""]),
    )


def _wanted(system: System, wait: FutexWait) -> str:
    lock = wait.lock
    if lock.kind is Kind.THREAD and lock.owner is not None:
        return f"the end of thread {_label(lock.owner)}"
    text = f"{wait.kind} {system.modules.place(lock.address).text}"
    if lock.owner is not None:
        return f"{text} owned by {_label(lock.owner)}"
    return f"{text} owned by {lock.owner_id:x}, no thread of the dump" if lock.owner_id else text


def _findings(system: System, report: FutexReport) -> Iterator[Item]:
    for wait in report.waits:
        guess = "guess: " if wait.is_guess else ""
        yield FutexWaitItem(
            thread=wait.thread.ordinal,
            lock=wait.address,
            lock_name=_name(system, wait.lock),
            kind=wait.kind,
            owner=wait.owner.ordinal if wait.owner else None,
            is_guess=wait.is_guess,
            reason=wait.reason,
            shown=f"{_label(wait.thread)} waits for {_wanted(system, wait)} ({guess}{wait.reason})",
        )
    for cycle in report.cycles:
        yield _deadlock_item(system, cycle)
    if report.waits:
        yield Text(value="")
    for note in report.notes:
        yield Notice(identifier="locks.not-looked-at", value=f"not all were found: {note}")


def _deadlock_item(system: System, cycle: tuple[FutexWait, ...]) -> FutexDeadlockItem:
    steps = ", which waits for ".join(_wanted(system, wait) for wait in cycle)
    is_guess = any(wait.is_guess for wait in cycle)
    stacks = " ".join(str(wait.thread.ordinal) for wait in cycle)
    return FutexDeadlockItem(
        threads=tuple(wait.thread.ordinal for wait in cycle),
        locks=tuple(wait.address for wait in cycle),
        is_guess=is_guess,
        shown=f"DEADLOCK{' (guess)' if is_guess else ''}: {_label(cycle[0].thread)} waits for "
        f"{steps}\n    ~Nk shows the stacks of the threads {stacks}",
    )
