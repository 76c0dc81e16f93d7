"""``.shell``, ``!!`` and ``.noshell``: programs of this computer.

Who may run one may do everything that the user can. So ``-noshell`` and ``.noshell`` forbid it for
the rest of the session (and Python, which can do as much), and a line into which text of the target
or of output was put runs none: nobody vouches for what that text says.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO

import msgspec

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Text, gathered
from polydbg.commands.registry import command

_MAX_LINE = 1 << 16
_MAX_INPUT = 64 << 20
_QUEUED_LINES = 256
_POLL = 0.05
# A program gets a group of its own, which Ctrl+C at the terminal does not reach: it is ended with
# all that it started.
if sys.platform == "win32":
    _NEW_GROUP, _PROCESS_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP, None
else:
    _NEW_GROUP, _PROCESS_GROUP = 0, 0
_HINT = ".shell [-i FILE|-] [-o FILE|-] [-e FILE|-] [-ci COMMANDS] [-x] [-tt MS] PROGRAM ARGUMENTS"


class ShellExit(Item, frozen=True):
    """A program of ``.shell`` ended; *code* is its exit status, below zero that of a signal."""

    code: int

    def text(self) -> str:
        status = f" with status {self.code}" if self.code else ""
        return f".shell: Process exited{status}"


class _Options(msgspec.Struct):
    """*input*, *output* and *errors* are names of files, ``-`` for none, ``""`` where not given."""

    input: str = ""
    output: str = ""
    errors: str = ""
    commands: str | None = None
    detached: bool = False
    seconds: float | None = None


def require_programs(ctx: CommandContext, what: str) -> None:
    """Check that the session may run programs and scripts.

    :raises CommandError: it may not, or the line holds text that the user did not write.
    """
    if not ctx.session.settings.programs:
        raise CommandError(
            f"{what} has been disabled", identifier="shell.disabled",
            hint="-noshell or .noshell forbids programs and scripts until the session ends",
        )  # fmt: skip
    if ctx.flow.foreign:
        raise CommandError(
            f"{what} is not run in a line that holds text of the target or of output",
            identifier="shell.foreign-text",
            hint="a name in a dump may say anything; a Python script can read it as data: !py",
        )


@command(
    ".noshell",
    summary="Forbid programs (.shell, !!) and Python for the rest of the session.",
    syntax=".noshell",
    example=".noshell",
    family="scripting",
)
def forbid_programs(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    ctx.session.settings.programs = False
    yield Text(value="Shell commands disabled")


@command(
    ".shell",
    summary="Run a program of this computer with its shell, and show what it prints; it gets no "
    "input unless -i names a file or -ci commands whose output it reads. -o and -e write its "
    "output and errors to files (- drops them), -x starts it and does not wait, -tt ends it after "
    "some milliseconds. Off with -noshell.",
    syntax='.shell [-i file|-] [-o file|-] [-e file|-] [-ci "commands"] [-x] [-tt ms] command',
    example='.shell -ci "lm" sort',
    family="scripting",
    rest_of_line=True,
)
def shell(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = _options(ctx, cursor)
    line = cursor.rest_of_line().strip()
    require_programs(ctx, ".shell")
    if not line:
        raise CommandError("a program is missing", identifier="shell.no-program", hint=_HINT)
    yield from _run(ctx, options, line)


@command(
    "!!",
    summary="Run a program of this computer: short for .shell.",
    syntax="!!command",
    example="!!echo hello",
    family="scripting",
    rest_of_line=True,
)
def shell_in_short(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    line = cursor.rest_of_line().strip()
    require_programs(ctx, "!!")
    if not line:
        raise CommandError("a program is missing", identifier="shell.no-program", hint=_HINT)
    yield from _run(ctx, _Options(), line)


def _options(ctx: CommandContext, cursor: Cursor) -> _Options:
    options = _Options()
    while found := cursor.match(r"[ \t]*-(ci|tt|x|i|o|e)(?=[ \t-]|$)"):
        match found[1]:
            case "x":
                options.detached = True
            case "ci":
                cursor.skip_blanks()
                quoted = cursor.command_string()
                options.commands = cursor.word() if quoted is None else quoted
            case "tt":
                number = cursor.word()
                options.seconds = int(number) / 1000 if number.isdecimal() else None
            case "i":
                options.input = cursor.string_or_word()
            case "o":
                options.output = cursor.string_or_word()
            case _:
                options.errors = cursor.string_or_word()
    return options


def _run(ctx: CommandContext, options: _Options, line: str) -> Iterator[Item]:
    """Run *line* by the shell, and yield its output as it comes.

    :raises CommandError: a file of the options cannot be opened, or the shell cannot start.
    :raises Cancelled: the user asked to stop: the program was ended.
    """
    with contextlib.ExitStack() as files:
        try:
            process = subprocess.Popen(
                line,
                shell=True,
                stdin=files.enter_context(_input(ctx, options)),
                stdout=_output(files, options.output, options.detached, subprocess.PIPE),
                stderr=_output(files, options.errors, options.detached, subprocess.STDOUT),
                creationflags=_NEW_GROUP,
                process_group=_PROCESS_GROUP,
            )
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise CommandError(f"cannot run: {words}", identifier="shell.failed") from error
        if options.detached:
            yield Text(value=".shell: Process started")
            return
        try:
            yield from _shown(ctx, process, options.seconds)
        finally:
            _end(process)
    yield ShellExit(code=process.returncode)


def _input(ctx: CommandContext, options: _Options) -> IO[bytes]:
    if options.commands is None:
        name = os.devnull if options.input in ("", "-") else options.input
        return open(name, "rb")
    text = gathered(ctx.run(options.commands), _MAX_INPUT)
    with contextlib.ExitStack() as on_error:
        file = on_error.enter_context(tempfile.TemporaryFile())
        file.write(text.encode("utf-8", "replace"))
        file.seek(0)
        on_error.pop_all()
    return file


def _output(
    files: contextlib.ExitStack, name: str, detached: bool, otherwise: int
) -> int | IO[bytes]:
    if name and name != "-":
        return files.enter_context(open(name, "wb"))
    return subprocess.DEVNULL if name == "-" or detached else otherwise


def _shown(
    ctx: CommandContext, process: subprocess.Popen[bytes], seconds: float | None
) -> Iterator[Item]:
    """Yield the lines that the program prints until it ends, or the time is over."""
    lines: queue.Queue[bytes | None] = queue.Queue(_QUEUED_LINES)
    stopped = threading.Event()
    reader = threading.Thread(
        target=_read_lines, args=(process.stdout, lines, stopped), name="shell", daemon=True
    )
    reader.start()
    until = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            ctx.cancel.check()
            if until is not None and time.monotonic() > until:
                yield Text(value=".shell: the time is over")
                return
            try:
                line = lines.get(timeout=_POLL)
            except queue.Empty:
                continue
            if line is None:
                break
            yield Text(value=sanitise(line.decode("utf-8", "replace").rstrip("\r\n")))
        while process.poll() is None and (until is None or time.monotonic() < until):
            ctx.cancel.check()
            time.sleep(_POLL)
    finally:
        stopped.set()


def _read_lines(
    stream: IO[bytes] | None, lines: queue.Queue[bytes | None], stopped: threading.Event
) -> None:
    """Put what *stream* says into *lines*, and ``None`` at its end; no more once *stopped*."""

    def put(line: bytes | None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                lines.put(line, timeout=_POLL)
                return True
        return False

    if stream is not None:
        with stream, contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_MAX_LINE):
                if not put(line):
                    return
    put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started, if it still runs."""
    if process.poll() is None:
        if sys.platform == "win32":
            ended = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            subprocess.run(ended, capture_output=True, check=False)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    process.wait()
