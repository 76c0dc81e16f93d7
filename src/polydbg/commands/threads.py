"""``~``, ``|`` and ``||``: threads, processes and systems; status, selection, prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, Text
from polydbg.commands.registry import command
from polydbg.commands.stop_display import selection_display
from polydbg.engine.program import process_id, program_path
from polydbg.targets.dump_file import shown_path
from polydbg.targets.target import ThreadInfo

_LIVE_ONLY = "fumn"


class ThreadRow(Item, frozen=True):
    """A row of ``~``. Ids are the system's; *marker* is ``.`` current, ``#`` event."""

    ordinal: int
    id: Hex
    process_id: Hex
    marker: str
    suspend_count: int
    teb: Hex | None
    name: str
    start: str
    start_address: Hex | None
    priority: int | None
    priority_class: int | None
    affinity: Hex | None
    detailed: bool
    pointer_size: int

    def text(self) -> str:
        teb = address_text(self.teb or 0, self.pointer_size)
        line = (
            f"{self.marker:1} {self.ordinal:>2}  Id: {self.process_id:x}.{self.id:x} "
            f"Suspend: {self.suspend_count} Teb: {teb} Unfrozen"
        )
        if self.name:
            line += f' "{self.name}"'
        lines = [line]
        if self.detailed:
            if self.start_address:
                at = address_text(self.start_address, self.pointer_size)
                lines.append(f"      Start: {self.start} ({at})")
            parts = []
            if self.priority is not None:
                parts.append(f"Priority: {self.priority}")
            if self.priority_class:
                parts.append(f"Priority class: {self.priority_class}")
            if self.affinity is not None:
                parts.append(f"Affinity: {self.affinity:x}")
            if parts:
                lines.append(f"      {'  '.join(parts)}")
        return "\n".join(lines)


class ProcessRow(Item, frozen=True):
    """A row of ``|``; a dump's process is only examined."""

    ordinal: int
    id: Hex
    marker: str
    image: str

    def text(self) -> str:
        return f"{self.marker:1} {self.ordinal:>2}\tid: {self.id:x}\texamine\tname: {self.image}"


class SystemRow(Item, frozen=True):
    """A row of ``||``: an open dump."""

    ordinal: int
    marker: str
    kind: str
    path: str

    def text(self) -> str:
        return f"{self.marker:1} {self.ordinal:>2} {self.kind}: {self.path}"


def thread_row(
    ctx: CommandContext,
    thread: ThreadInfo,
    *,
    detailed: bool = False,
    current: ThreadInfo | None = None,
) -> ThreadRow:
    """Return the row of one thread; *current* is the marked one, else the system's current."""
    system = ctx.system
    current = current or system.thread
    event = system.event_thread
    marker = ""
    if current is not None and thread.ordinal == current.ordinal:
        marker = "."
    elif event is not None and thread.ordinal == event.ordinal:
        marker = "#"
    start = ""
    if detailed and thread.start_address:
        start = system.modules.place(thread.start_address).text
    return ThreadRow(
        ordinal=thread.ordinal,
        id=thread.id,
        process_id=process_id(system),
        marker=marker,
        suspend_count=thread.suspend_count,
        teb=thread.teb,
        name=sanitise_line(thread.name or ""),
        start=start,
        start_address=thread.start_address,
        priority=thread.priority,
        priority_class=thread.priority_class,
        affinity=thread.affinity,
        detailed=detailed,
        pointer_size=system.pointer_size,
    )


@command(
    "~",
    summary="List threads, choose one, or run a command on some.",
    syntax="~ | ~N | ~Ns | ~~[tid]s | ~[expr]s | ~. | ~# | ~* | ~Nk | ~*e commands",
    example="~*k    every thread's stack; ~2s makes thread 2 current; ~~[1a4]s by system id",
    family="threads",
)
def threads(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end and cursor.text[cursor.position - 1 : cursor.position] == "~":
        for thread in ctx.system.threads:
            yield thread_row(ctx, thread)
        yield from _left_out(ctx)
        return
    chosen, is_all = _select(ctx, cursor)
    if cursor.at_end:
        for thread in chosen:
            yield thread_row(ctx, thread, detailed=True)
        return
    yield from _apply(ctx, cursor, chosen, is_all)


def _left_out(ctx: CommandContext) -> Iterator[Item]:
    """Say it where the dump states more threads than are read."""
    for warning in ctx.system.target.warnings():
        if warning.identifier == "dump.threads-left-out":
            yield Text(value=warning.message)


def _select(ctx: CommandContext, cursor: Cursor) -> tuple[Sequence[ThreadInfo], bool]:
    """Read the selector after ``~``; return the threads and whether it was ``*``."""
    system = ctx.system
    all_threads = system.threads
    if cursor.take("*"):
        return all_threads, True
    if cursor.take("."):
        return ([system.thread] if system.thread else []), False
    if cursor.take("#"):
        event = system.event_thread
        return ([event] if event else []), False
    if cursor.take("~["):
        wanted = _bracketed(ctx, cursor)
        found = [t for t in all_threads if t.id == wanted]
    elif cursor.take("["):
        wanted = _bracketed(ctx, cursor)
        found = [t for t in all_threads if t.ordinal == wanted]
    elif number := cursor.match(r"\d+"):
        found = [t for t in all_threads if t.ordinal == int(number.group())]
    elif cursor.peek() == "s":
        return ([system.thread] if system.thread else []), False
    else:
        cursor.position += 1
        raise cursor.error("Syntax error")
    if not found:
        cursor.position = len(cursor.text)
        raise cursor.error(
            "Illegal thread error", hint=f"there are threads 0 to {len(all_threads) - 1}; see ~"
        )
    return found, False


def _bracketed(ctx: CommandContext, cursor: Cursor) -> int:
    value = ctx.expression(cursor)
    cursor.skip_blanks()
    if not cursor.take("]"):
        cursor.position += 1
        raise cursor.error("Syntax error")
    return value


def _apply(
    ctx: CommandContext, cursor: Cursor, chosen: Sequence[ThreadInfo], is_all: bool
) -> Iterator[Item]:
    """Run what follows the selector: ``s``, ``e commands``, or one prefixed command."""
    system = ctx.system
    if cursor.match(r"\s*s\s*(?=;|$)"):
        if not chosen:
            raise cursor.error("Illegal thread error")
        system.select_thread(chosen[-1])
        yield from selection_display(ctx)
        return
    if cursor.match(rf"\s*[{_LIVE_ONLY}]\s*(?=;|$)"):
        raise cursor.error(
            "Operation not supported in current debug session",
            hint="threads of a dump cannot be frozen or suspended",
        )
    cursor.skip_blanks()
    if cursor.match(r"e\s"):
        line = cursor.rest_of_line()
    else:
        line = cursor.rest()
    kept, scope = system.thread, system.scope
    try:
        for thread in chosen:
            ctx.cancel.check()
            system.select_thread(thread)
            if is_all and line.startswith("k"):
                yield Text(value="")
                yield thread_row(ctx, thread, current=kept)
            yield from ctx.run(line)
    finally:
        system.thread, system.scope = kept, scope


@command(
    "|",
    summary="List or choose processes; a dump has one.",
    syntax="| | |N | |Ns",
    example="|",
    family="threads",
)
def processes(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    number = cursor.match(r"\d+|[*.#]")
    if number and number.group().isdigit() and int(number.group()) != 0:
        cursor.position = len(cursor.text)
        raise cursor.error("Illegal process error", hint="a user dump holds one process, 0")
    if number and cursor.match(r"s(?=[\s;]|$)"):
        yield from selection_display(ctx)
        return
    yield ProcessRow(
        ordinal=0,
        id=process_id(system),
        marker=".",
        image=sanitise_line(program_path(system) or "?NoImage?"),
    )


@command(
    "||",
    summary="List the open dumps, or make one current.",
    syntax="|| | ||N | ||Ns",
    example="||1s    go on with the second dump",
    family="threads",
)
def systems(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    session = ctx.session
    number = cursor.match(r"\d+|[*.#]")
    chosen = session.systems
    if number and number.group() != "*":
        digits = number.group()
        wanted = int(digits) if digits.isdigit() else session.current.ordinal
        chosen = [s for s in session.systems if s.ordinal == wanted]
        if not chosen:
            cursor.position = len(cursor.text)
            raise cursor.error("Illegal debuggee error", hint="see || for the open dumps")
        if cursor.match(r"s(?=[\s;]|$)"):
            session.select_system(wanted)
            return
    for system in chosen:
        marker = "." if session.has_target and system is session.current else ""
        yield SystemRow(
            ordinal=system.ordinal,
            marker=marker,
            kind=system.target.kind_short,
            path=sanitise_line(shown_path(system.target.path, system.target.member)),
        )


@command(
    ".thread",
    summary="Show the thread block of the current thread.",
    syntax=".thread",
    example=".thread",
    family="threads",
)
def implicit_thread(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    thread = ctx.system.thread
    if not cursor.at_end:
        raise CommandError(
            "choosing a thread by its block is for kernel sessions",
            identifier="target.unsupported",
            hint="use ~Ns",
        )
    if thread is None or thread.teb is None:
        raise CommandError("Unable to get the current thread data")
    yield Text(value=f"Implicit thread is now {address_text(thread.teb, ctx.system.pointer_size)}")


@command(
    ".ttime",
    summary="Show the times of the current thread.",
    syntax=".ttime",
    example="~*e .ttime",
    family="threads",
)
def thread_times(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.times import duration_text, filetime_text

    thread = ctx.system.thread
    if thread is None or thread.times is None:
        yield Text(value="Thread times not available")
        return
    times = thread.times
    if times.create_time:
        yield Text(value=f"Created: {filetime_text(times.create_time)}")
    yield Text(value=f"Kernel:  {duration_text(times.kernel_time)}")
    yield Text(value=f"User:    {duration_text(times.user_time)}")
