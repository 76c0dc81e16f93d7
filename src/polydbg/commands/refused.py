"""Commands that need a live target: each says so in WinDbg's words, and what to use instead."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.registry import command

_NOT_RUNNABLE = "No runnable debuggees error"
_NOT_HERE = "Operation not supported by current debuggee error"
_NOT_IN_SESSION = "Operation not supported in current debug session"

_RUN = "a dump is a snapshot and cannot run; k shows how the thread got here"
_BREAK = "a dump is a snapshot and cannot run into a breakpoint"
_FILTER = "a dump has no further events; .lastevent shows the one it has, !analyze what it means"
_PROCESS = "polydbg opens dumps: .opendump FILE"
_ALLOCATE = "memory cannot be allocated in a dump; .overlay on lets what is there be edited"
_HARDWARE = "a dump of a process has no ports and no machine registers"

REFUSED: tuple[tuple[str, str, str, str], ...] = (
    ("g", "Go: run the target.", _NOT_RUNNABLE, _RUN),
    ("gc", "Go on from a conditional breakpoint.", _NOT_RUNNABLE, _RUN),
    ("gh", "Go with the exception handled.", _NOT_RUNNABLE, _RUN),
    ("gn", "Go with the exception not handled.", _NOT_RUNNABLE, _RUN),
    ("gN", "Go with the exception not handled.", _NOT_RUNNABLE, _RUN),
    ("gu", "Go up: run until the function returns.", _NOT_RUNNABLE, _RUN),
    ("p", "Step over a call.", _NOT_RUNNABLE, _RUN),
    ("pa", "Step to an address.", _NOT_RUNNABLE, _RUN),
    ("pc", "Step to the next call.", _NOT_RUNNABLE, _RUN),
    ("pct", "Step to the next call or return.", _NOT_RUNNABLE, _RUN),
    ("ph", "Step to the next branch.", _NOT_RUNNABLE, _RUN),
    ("pt", "Step to the next return.", _NOT_RUNNABLE, _RUN),
    ("t", "Step into a call.", _NOT_RUNNABLE, _RUN),
    ("ta", "Trace to an address.", _NOT_RUNNABLE, _RUN),
    ("tb", "Trace to the next branch.", _NOT_RUNNABLE, _RUN),
    ("tc", "Trace to the next call.", _NOT_RUNNABLE, _RUN),
    ("tct", "Trace to the next call or return.", _NOT_RUNNABLE, _RUN),
    ("th", "Trace to the next branch.", _NOT_RUNNABLE, _RUN),
    ("tt", "Trace to the next return.", _NOT_RUNNABLE, _RUN),
    ("wt", "Trace a function and what it calls.", _NOT_RUNNABLE, _RUN),
    (".restart", "Start the target again.", _NOT_RUNNABLE, _RUN),
    (".breakin", "Stop the target.", _NOT_RUNNABLE, _RUN),
    (".call", "Call a function of the target.", _NOT_RUNNABLE, _RUN),
    ("bl", "List breakpoints.", _NOT_HERE, _BREAK),
    ("bp", "Set a breakpoint.", _NOT_HERE, _BREAK),
    ("bu", "Set a breakpoint on a symbol not loaded yet.", _NOT_HERE, _BREAK),
    ("bm", "Set breakpoints on symbols by pattern.", _NOT_HERE, _BREAK),
    ("ba", "Break on access to memory.", _NOT_HERE, _BREAK),
    ("bc", "Clear breakpoints.", _NOT_HERE, _BREAK),
    ("bd", "Disable breakpoints.", _NOT_HERE, _BREAK),
    ("be", "Enable breakpoints.", _NOT_HERE, _BREAK),
    ("br", "Renumber breakpoints.", _NOT_HERE, _BREAK),
    ("bs", "Change the commands of a breakpoint.", _NOT_HERE, _BREAK),
    ("bsc", "Change the condition of a breakpoint.", _NOT_HERE, _BREAK),
    (".bpcmds", "Show the commands that recreate breakpoints.", _NOT_HERE, _BREAK),
    ("sx", "Show event filters.", _NOT_HERE, _FILTER),
    ("sxe", "Break on an event.", _NOT_HERE, _FILTER),
    ("sxd", "Break on an event that nobody handled.", _NOT_HERE, _FILTER),
    ("sxn", "Print an event.", _NOT_HERE, _FILTER),
    ("sxi", "Ignore an event.", _NOT_HERE, _FILTER),
    ("sxr", "Reset event filters.", _NOT_HERE, _FILTER),
    (".attach", "Attach to a process.", _NOT_IN_SESSION, _PROCESS),
    (".create", "Start a process.", _NOT_IN_SESSION, _PROCESS),
    (".abandon", "Leave the process stopped.", _NOT_IN_SESSION, _PROCESS),
    (".childdbg", "Follow child processes.", _NOT_IN_SESSION, _PROCESS),
    (".dvalloc", "Allocate memory in the target.", _NOT_IN_SESSION, _ALLOCATE),
    (".dvfree", "Free memory of the target.", _NOT_IN_SESSION, _ALLOCATE),
    ("fp", "Fill physical memory.", _NOT_IN_SESSION, _HARDWARE),
    ("ib", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("iw", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("id", "Read a port.", _NOT_IN_SESSION, _HARDWARE),
    ("ob", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("ow", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("od", "Write to a port.", _NOT_IN_SESSION, _HARDWARE),
    ("rdmsr", "Read a machine register.", _NOT_IN_SESSION, _HARDWARE),
    ("wrmsr", "Write a machine register.", _NOT_IN_SESSION, _HARDWARE),
)
"""Name, what it does in a live session, WinDbg's words, what to do instead."""


def _refuse(
    ctx: CommandContext, cursor: Cursor, name: str, message: str, hint: str
) -> Iterator[Item]:
    """Raise the error of the table; a longer word that only begins like *name* is unknown."""
    from polydbg.commands.language import suggestion

    ctx.session.current  # noqa: B018 - without a dump that is what to say first
    if cursor.match(r"[A-Za-z_]\w*"):
        word = cursor.text[: cursor.position].split()[-1]
        raise cursor.error("Syntax error", hint=suggestion(word))
    raise CommandError(
        message, caret=cursor.position - 1, hint=hint, identifier="target.unsupported"
    )
    yield  # a generator like every command


def _declare() -> None:
    for name, summary, message, hint in REFUSED:
        command(
            name,
            summary=f"{summary} Not possible with a dump.",
            syntax=name,
            example=f"{name}    {hint}",
            family="live",
        )(functools.partial(_refuse, name=name, message=message, hint=hint))


_declare()
