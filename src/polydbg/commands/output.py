"""What commands yield: typed items. Text, JSON and colour are renderings of the same items.

An item is a frozen :class:`msgspec.Struct` with a ``text`` method that gives WinDbg's words.
Command families define their own items beside their commands; the class name in snake case is the
``type`` of its JSON object. Fields annotated :data:`Hex` become hex strings there, since 64-bit
numbers do not survive JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Annotated, ClassVar

import msgspec

from polydbg.base.errors import CommandError, DebuggerError

Hex = Annotated[int, msgspec.Meta(extra={"hex": True})]
"""An address, register or other 64-bit number: a hex string in JSON."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all output. ``text`` returns one line or several, without a last newline, but for
    items whose *ends_line* is false: what they print may go on in the next one."""

    ends_line: ClassVar[bool] = True

    def text(self) -> str:
        raise NotImplementedError


class ShownItem(Item, frozen=True):
    """Base of items whose text is made along with them; JSON leaves *shown* out."""

    shown: str

    def text(self) -> str:
        return self.shown


class Text(Item, frozen=True):
    """Words without further structure, such as a confirmation."""

    value: str

    def text(self) -> str:
        return self.value


def joined(items: Iterable[Item], render: Callable[[Item], str] = lambda item: item.text()) -> str:
    """Return the text of *items* as *render* makes it, one behind the other: each on lines of its
    own, but for those that leave theirs open."""
    return "".join(render(item) + ("\n" if item.ends_line else "") for item in items)


class Heading(Item, frozen=True):
    """The heading of a table; JSON leaves it out, since its rows name their fields."""

    value: str

    def text(self) -> str:
        return self.value


class Notice(Item, frozen=True):
    """Something the user should know beside the answer: symbols not found, a guess.

    *identifier* is stable, for scripts.
    """

    identifier: str
    value: str

    def text(self) -> str:
        return self.value


_JOINS_ITS_COMMAND = (" in current debug session", "Couldn't resolve")
"""Ends of messages that the engine puts before the command without ``in``."""


class Failure(Item, frozen=True):
    """A command failed. *message* is WinDbg's; *caret* its column in *command* or ``None``. An
    expression that failed has the *column* in *command* of what could not be evaluated: that is
    shown in a line of its own, since the message goes without the command."""

    identifier: str
    message: str
    hint: str = ""
    command: str = ""
    caret: int | None = None
    prompt_width: int = 0
    column: int | None = None

    @classmethod
    def of(cls, error: DebuggerError) -> Failure:
        return cls(identifier=error.identifier, message=error.message, hint=error.hint)

    def text(self) -> str:
        lines = [self.message]
        if self.caret is not None:
            # The engine's one message that goes on without "in" (transcript nullwrite.mem, up).
            joint = "" if self.message.endswith(_JOINS_ITS_COMMAND) else " in"
            pointer = " " * (self.prompt_width + self.caret) + "^"
            lines = [f"{pointer} {self.message}{joint} '{self.command}'"]
        elif self.column is not None:
            lines = [" " * (self.prompt_width + self.column) + "^", self.message]
        if self.hint:
            lines.append(f"    {self.hint}")
        return "\n".join(lines)


class CommandEnd(Item, frozen=True):
    """Ends the output of one command of a line: JSON makes one object of what came before."""

    command: str
    ok: bool

    def text(self) -> str:
        return ""


def gathered(items: Iterator[Item], most: int) -> str:
    """Return the text of what commands yield, of at most *most* characters.

    :raises CommandError: it is longer; the commands are ended.
    """
    parts: list[str] = []
    size = 0
    for item in items:
        if isinstance(item, CommandEnd):
            continue
        parts.append(joined([item]))
        size += len(parts[-1])
        if size > most:
            if isinstance(items, Generator):
                items.close()
            raise CommandError(
                f"the output is longer than {most:,} characters", identifier="output.too-long"
            )
    return "".join(parts)
