"""Why nothing goes on: deadlocks, locks that are held for long, what each thread waits for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.engine.analysis.model import Confidence, ThreadWait, Verdict
from polydbg.engine.analysis.runtime import is_system
from polydbg.engine.futexes import FutexReport, FutexWait, Kind, futex_report
from polydbg.engine.locks import LockReport, LockWait, lock_report
from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.targets.target import ThreadInfo

THREAD_END: Final = Kind.THREAD.value
_TOP_FRAMES: Final = 12
_MAX_THREADS: Final = 512

_WAITS: Final = (
    (
        re.compile(
            r"^(?:Rtlp?(?:Enter|WaitOn|pWaitOn)CriticalSection\w*|RtlAcquireSRW\w+|"
            r"_?_?lll_lock_wait\w*|_?_?pthread_mutex_\w*lock\w*|_?_?pthread_rwlock_\w+|"
            r"psynch_mutexwait|_?pthread_mutex_firstfit_lock_slow)$"
        ),
        "a lock",
    ),
    (
        re.compile(
            r"^(?:_?_?pthread_cond_\w*wait\w*|Sleep ?ConditionVariable\w+|"
            r"RtlSleepConditionVariable\w+|psynch_cvwait|___pthread_cond_\w+)$"
        ),
        "a condition",
    ),
    (re.compile(r"^(?:_?_?pthread_\w*join\w*|ulock_wait)$"), "a thread to end"),
    (
        re.compile(
            r"^(?:Sleep(?:Ex)?|NtDelayExecution|ZwDelayExecution|_?_?(?:clock_)?nanosleep\w*|"
            r"usleep|sleep)$"
        ),
        "time to pass",
    ),
    (
        re.compile(
            r"^(?:NtUserGetMessage|GetMessage[AW]|NtUserWaitMessage|MsgWaitFor\w+|"
            r"mach_msg\w*|CFRunLoopRun\w*)$"
        ),
        "messages",
    ),
    (
        re.compile(
            r"^(?:NtRemoveIoCompletion\w*|GetQueuedCompletionStatus\w*|epoll_p?wait\w*|"
            r"_?_?p?poll|_?_?p?select|kevent\w*|NtWaitForWorkViaWorkerFactory)$"
        ),
        "events or work",
    ),
    (
        re.compile(
            r"^(?:Nt(?:Read|Write)File|ReadFile(?:Ex)?|WriteFile|_?_?(?:read|recv\w*|accept4?|"
            r"recvmsg|write|send\w*))$"
        ),
        "input or output",
    ),
    (
        re.compile(
            r"^(?:(?:Nt|Zw)WaitFor(?:Single|Multiple)Objects?\w*|WaitFor(?:Single|Multiple)"
            r"Objects?(?:Ex)?|(?:Nt|Zw)WaitForAlertByThreadId|RtlWaitOnAddress|"
            r"_?_?futex\w*|_?_?sem_\w*wait\w*|semaphore_wait\w*)$"
        ),
        "an object",
    ),
)


class Hang(msgspec.Struct, frozen=True):
    """*verdict* is ``None`` where no thread waits for another; *thread* is the one to look at."""

    verdict: Verdict | None
    thread: ThreadInfo | None
    waits: tuple[ThreadWait, ...]


def judge_hang(
    session: Session,
    system: System,
    cancel: CancelToken | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Hang:
    """Return what the threads wait for, and the deadlock or the long-held lock among them."""
    report = _wait_report(system, cancel or CancelToken(), progress)
    waits = tuple(_waits(session, system, report, cancel))
    if report.cycles:
        return Hang(_deadlock(system, report.cycles[0]), report.cycles[0][0].thread, waits)
    for held in report.waits:
        if held.owner is not None:
            return Hang(_held(system, report, held.owner), held.thread, waits)
    return Hang(None, None, waits)


def _wait_report(
    system: System, cancel: CancelToken, progress: Callable[[str, int, int], None] | None
) -> LockReport | FutexReport:
    """Return who waits for whom, by the locks that the system has."""
    if system.target.system().platform in ("linux", "android"):
        return futex_report(system, cancel, progress)
    return lock_report(system, cancel, progress)


def _deadlock(system: System, cycle: Sequence[LockWait | FutexWait]) -> Verdict:
    names = " -> ".join(f"thread {wait.thread.ordinal}" for wait in cycle)
    return Verdict(
        "HANG_DEADLOCK",
        f"a deadlock: {names} -> thread {cycle[0].thread.ordinal}, each waits for a lock that the "
        "next one holds",
        Confidence.LIKELY if any(wait.is_guess for wait in cycle) else Confidence.CERTAIN,
        tuple(_wait_words(system, wait) for wait in cycle),
    )


def _held(system: System, report: LockReport | FutexReport, owner: ThreadInfo) -> Verdict:
    found = [wait for wait in report.waits if wait.owner is owner]
    threads = "a thread waits" if len(found) == 1 else f"{len(found)} threads wait"
    what = f"for a lock that thread {owner.ordinal} holds"
    if all(wait.kind == THREAD_END for wait in found):
        what = f"for thread {owner.ordinal} to end"
    return Verdict(
        "HANG_LOCK",
        f"{threads} {what}",
        Confidence.POSSIBLE,
        tuple(_wait_words(system, wait) for wait in found)[:8],
    )


def _wait_words(system: System, wait: LockWait | FutexWait) -> str:
    return f"thread {wait.thread.ordinal} waits for {_lock_words(system, wait)}: {wait.reason}"


def _lock_words(system: System, wait: LockWait | FutexWait) -> str:
    """Return what is waited for and who holds it."""
    owner = f"thread {wait.owner.ordinal}" if wait.owner else "an unknown thread"
    guess = " (a guess)" if wait.is_guess else ""
    if wait.kind == THREAD_END:
        return f"the end of {owner}{guess}"
    place = system.modules.place(wait.address)
    name = place.text if place.module else f"at {place.text}"
    return f"the {wait.kind} {name}, which {owner} holds{guess}"


def _waits(
    session: Session,
    system: System,
    report: LockReport | FutexReport,
    cancel: CancelToken | None,
) -> Iterator[ThreadWait]:
    """Yield what each thread waits for, and in which code."""
    locks = {wait.thread.id: wait for wait in report.waits if wait.kind != Kind.FUTEX.value}
    for thread in system.threads[:_MAX_THREADS]:
        rows = list(session.stack(system, system.thread_registers(thread), _TOP_FRAMES, cancel))
        what = what_it_waits_for(rows)
        if (lock := locks.get(thread.id)) is not None:
            place = system.modules.place(lock.address).text
            owner = f", held by thread {lock.owner.ordinal}" if lock.owner else ""
            what = f"the {lock.kind} {place}{owner}"
            if lock.kind == THREAD_END and lock.owner is not None:
                what = f"thread {lock.owner.ordinal} to end"
        own = (row.place.text for row in rows if _is_own(system, row))
        # Without a name, code of the system may be the call that waits.
        is_known = bool(what or (rows and (rows[0].place.symbol or _is_own(system, rows[0]))))
        yield ThreadWait(thread, what, is_known, next(own, ""))


def what_it_waits_for(rows: list[StackFrame]) -> str:
    """Return what the functions on top of a stack wait for, ``""`` when they do not wait.

    The outermost of them says it best: a lock waits for an object underneath.
    """
    found = ""
    for row in rows:
        names = (row.place.symbol, _plain(row.place.symbol))
        kind = next((words for pattern, words in _WAITS if any(map(pattern.match, names))), "")
        if kind:
            found = found if kind == "an object" and found else kind
        elif found:
            break
    return found


def _plain(symbol: str) -> str:
    """Return the name that programs use of a function of glibc: ``read`` of ``__GI___libc_read``,
    ``sem_wait`` of ``__new_sem_wait``."""
    name = symbol.removeprefix("__GI_").lstrip("_")
    return name.removeprefix("libc_").removeprefix("new_")


def _is_own(system: System, row: StackFrame) -> bool:
    module = system.modules.at(row.frame.lookup_pc)
    return module is not None and not is_system(module)
