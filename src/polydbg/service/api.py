"""The one interface between front ends and the engine: a client, its requests, the events back.

Front ends know nothing else. Implemented in process by :mod:`polydbg.service.local`; a client over
a connection has the same shape, so a front end cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from polydbg.commands.output import CommandEnd, Item, joined


class OpenRequest(msgspec.Struct, frozen=True):
    """What to open at the start. Paths of ``symbol_path`` and the like are in WinDbg's grammar;
    ``None`` means: from the environment. *sysroots* are root file systems. *arch* is the processor
    of minidumps, over what they say. *symbol_wait* is for how many seconds in all commands may wait
    for servers, ``None`` at a prompt; with *offline* no server is asked. *programs* tells whether
    commands may run programs of the engine's computer and Python. *evaluator*, ``masm`` or ``c++``,
    reads the expressions of commands; ``None``: as the environment says."""

    dumps: Sequence[str] = ()
    symbol_path: str | None = None
    image_path: str | None = None
    source_path: str | None = None
    use_environment: bool = True
    lines: bool = True
    first_screen: bool = True
    arch: str | None = None
    sysroots: Sequence[str] = ()
    symbol_wait: float | None = None
    offline: bool = False
    programs: bool = True
    evaluator: str | None = None


class ItemsEvent(msgspec.Struct, frozen=True):
    """Output, in order."""

    items: Sequence[Item]


class ProgressEvent(msgspec.Struct, frozen=True):
    """Work done of work to do, in the unit that *text* says."""

    text: str
    done: int
    total: int


class FinishedEvent(msgspec.Struct, frozen=True):
    """A request is over. *failures* counts failed commands; *interrupted* says Ctrl+C ended it;
    *session_ended* that the session is over (``q``)."""

    failures: int
    interrupted: bool
    session_ended: bool
    prompt: str


Event = ItemsEvent | ProgressEvent | FinishedEvent


class Completion(msgspec.Struct, frozen=True):
    """A text that may replace the last *length* characters before the cursor."""

    text: str
    length: int
    meaning: str = ""


class DebugClient(Protocol):
    """The only thing a front end knows."""

    @property
    def prompt(self) -> str:
        """Return the prompt after the last finished request, with its trailing blank."""
        ...

    def open(self, request: OpenRequest) -> Iterator[Event]:
        """Set the paths and open dumps; the last event is a :class:`FinishedEvent`."""
        ...

    def execute(self, line: str) -> Iterator[Event]:
        """Run a command line; the last event is a :class:`FinishedEvent`."""
        ...

    def repeat(self) -> Iterator[Event]:
        """Run the last command again; listings go on where they ended (an empty line)."""
        ...

    def pending(self) -> Iterator[Event]:
        """Return the rest of the running request's events, after their reader was interrupted."""
        ...

    def complete(self, line: str, position: int) -> Sequence[Completion]:
        """Return what could stand at *position* of *line*."""
        ...

    def listen(self, listener: Callable[[Sequence[Item]], None] | None) -> None:
        """Hand what is said between commands (files that arrived) to *listener*, on another thread;
        without one it stands before the output of the next command."""
        ...

    def activity(self) -> str:
        """Return one line about what goes on beside the session, ``""`` for nothing."""
        ...

    def interrupt(self) -> None:
        """Ask the running command to stop; safe from any thread."""
        ...

    def close(self) -> None:
        """Leave the session."""
        ...


__all__ = [
    "CommandEnd",
    "Completion",
    "DebugClient",
    "Event",
    "FinishedEvent",
    "Item",
    "ItemsEvent",
    "OpenRequest",
    "ProgressEvent",
    "joined",
]
