"""``!runaway``: the processor time that each thread used."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.commands.times import UNIX_EPOCH_TICKS, duration_text
from polydbg.engine.session import System
from polydbg.engine.windows_process import is_windows
from polydbg.targets.target import TICKS_PER_SECOND, ThreadTimes

_KINDS = ((1, "user", " User Mode Time"), (2, "kernel", " Kernel Mode Time"))
_ELAPSED = (4, "elapsed", " Elapsed Time")


class ThreadTimeRow(ShownItem, frozen=True):
    """A thread and its time in 100 ns ticks; *kind* is ``user``, ``kernel`` or ``elapsed``."""

    kind: str
    ordinal: int
    id: Hex
    name: str
    ticks: int


@command(
    "!runaway",
    summary="Show the time that each thread used, the largest first. Flags: 1 user mode, 2 kernel "
    "mode, 4 since the thread began; 7 all of them.",
    syntax="!runaway [flags]",
    example="!runaway 7",
    family="threads",
)
def runaway(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    flags = 1 if cursor.at_end else ctx.expression(cursor)
    if not flags & 7:
        raise cursor.error("Invalid flags", hint="1 user mode, 2 kernel mode, 4 elapsed time")
    system = ctx.system
    if not any(thread.times for thread in system.threads):
        raise CommandError(
            "Thread times not available",
            identifier="target.no-thread-times",
            hint=_absence(system),
        )
    for bit, kind, heading in (*_KINDS, _ELAPSED):
        rows = list(_rows(system, kind)) if flags & bit else []
        if rows or flags & bit & 3:
            yield Heading(value=f"{heading}\n  Thread       Time")
            yield from rows


def _absence(system: System) -> str:
    """Return why there are no times, and what else to ask."""
    if is_windows(system):
        missing = "the dump has no thread information (MiniDumpWithThreadInfo)"
    else:
        missing = "the dump does not say them, or no thread ran long enough to be counted"
    return f"{missing}; .time shows what is known of the process"


def _rows(system: System, kind: str) -> Iterator[ThreadTimeRow]:
    found = []
    for thread in system.threads:
        ticks = _ticks(system, thread.times, kind) if thread.times is not None else None
        if ticks is not None:
            found.append((ticks, thread))
    for ticks, thread in sorted(found, key=lambda pair: (-pair[0], pair[1].ordinal)):
        yield ThreadTimeRow(
            kind=kind,
            ordinal=thread.ordinal,
            id=thread.id,
            name=sanitise_line(thread.name or ""),
            ticks=ticks,
            shown=f"{thread.ordinal:5}:{thread.id:<8x}  {duration_text(ticks)}",
        )


def _ticks(system: System, times: ThreadTimes, kind: str) -> int | None:
    """Return a time of a thread; what it lived ends when it ended or when the dump was written,
    which is known in whole seconds only."""
    if kind != "elapsed":
        return times.user_time if kind == "user" else times.kernel_time
    written = system.target.system().dump_time_unix
    end = times.exit_time
    if not end and written is not None:
        end = written * TICKS_PER_SECOND + UNIX_EPOCH_TICKS
    return max(0, end - times.create_time) if end and times.create_time else None
