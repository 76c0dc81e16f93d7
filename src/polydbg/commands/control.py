"""``q``, ``.echo``, comments, ``.logopen``, ``.sleep``: the session itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Text
from polydbg.commands.registry import command
from polydbg.commands.times import session_time_text


@command(
    "q",
    summary="End the session.",
    syntax="q",
    example="q",
    family="control",
    aliases=("qq", "qd"),
)
def quit_session(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if not cursor.at_end:
        cursor.position += 1
        raise cursor.error("Syntax error")
    ctx.session.is_finished = True
    yield from ()


@command(
    ".echo",
    summary="Print text.",
    syntax=".echo text",
    example='.echo "with; semicolon"',
    family="control",
)
def echo(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield Text(value=_echoed(cursor))


def _echoed(cursor: Cursor) -> str:
    cursor.skip_blanks()
    if quoted := cursor.match(r'"([^"]*)"[ \t]*(?=;|$)'):
        return quoted.group(1)
    return cursor.rest()


@command(
    "*",
    summary="Comment to the end of the line.",
    syntax="* text",
    example="* crash of build 42",
    family="control",
    rest_of_line=True,
)
def comment_line(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.rest_of_line()
    yield from ()


@command(
    "$$",
    summary="Comment up to the next semicolon.",
    syntax="$$ text",
    example="r; $$ registers first; k",
    family="control",
)
def comment(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.match(r"[^;]*")
    yield from ()


@command(
    ".echotime",
    summary="Print this computer's time.",
    syntax=".echotime",
    example=".echotime",
    family="control",
)
def echo_time(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    now = session_time_text(time.time(), None)
    yield Text(value=f"Debugger (not debuggee) time: {now}")


@command(
    ".sleep",
    summary="Wait some milliseconds.",
    syntax=".sleep milliseconds",
    example=".sleep 0n500",
    family="control",
)
def sleep(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    until = time.monotonic() + min(ctx.expression(cursor), 86_400_000) / 1000
    while (left := until - time.monotonic()) > 0:
        ctx.cancel.check()
        time.sleep(min(left, 0.05))
    yield from ()


@command(
    ".detach",
    summary="Close the current dump.",
    syntax=".detach",
    example=".detach",
    family="control",
    aliases=(".kill",),
)
def detach(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    ctx.session.close_system(ctx.system.ordinal)
    yield Text(value="Detached")


@command(
    ".logopen",
    summary="Write everything that is shown to a file.",
    syntax=".logopen [/t] [file] | .logappend [file] | .logclose | .logfile",
    example=".logopen crash.log",
    family="control",
)
def log_open(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _open_log(ctx, cursor, append=False)


@command(
    ".logappend",
    summary="As .logopen, behind what the file already holds.",
    syntax=".logappend [file]",
    example=".logappend crash.log",
    family="control",
)
def log_append(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _open_log(ctx, cursor, append=True)


def _open_log(ctx: CommandContext, cursor: Cursor, *, append: bool) -> Iterator[Item]:
    cursor.skip_blanks()
    with_time = cursor.match(r"/t\b") is not None
    path = cursor.string_or_word() or "dbgeng.log"
    if with_time:
        stem, dot, ending = path.rpartition(".")
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        path = f"{stem or ending}_{stamp}{dot}{ending if stem else ''}"
    try:
        ctx.session.log.open(path, append=append)
    except OSError as error:
        raise CommandError(
            f"Unable to open log file '{path}': {error.strerror}",
            identifier="log.not-opened",
            hint="name a file in a folder that you may write to",
        ) from error
    yield Text(value=f"Opened log file '{path}'")


@command(
    ".logclose",
    summary="Close the log file.",
    syntax=".logclose",
    example=".logclose",
    family="control",
)
def log_close(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    path = ctx.session.log.path
    if path is None:
        yield Text(value="No log file open")
        return
    yield Text(value=f"Closing open log file {path}")
    ctx.session.log.close()


@command(
    ".logfile",
    summary="Say whether a log file is open.",
    syntax=".logfile",
    example=".logfile",
    family="control",
)
def log_file(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    path = ctx.session.log.path
    yield Text(value=f"Log '{path}' open" if path else "No log file open")
