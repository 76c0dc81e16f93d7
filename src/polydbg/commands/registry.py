"""The table of commands: each declared once; help, completion and the manual derive from it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item

if TYPE_CHECKING:
    from polydbg.commands.context import CommandContext

CommandFunction = Callable[["CommandContext", Cursor], Iterator[Item]]
"""Yields output as it is found, so that streaming and Ctrl+C between items come for free."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command as declared.

    *name* is what is typed; *aliases* are other spellings of the same; *syntax* and *example* are
    shown by help; *family* groups the help. *rest_of_line* commands take ``;`` as text.
    """

    name: str
    function: CommandFunction
    summary: str
    syntax: str
    example: str
    family: str
    aliases: tuple[str, ...] = ()
    rest_of_line: bool = False


@dataclass(slots=True)
class Registry:
    """Commands by spelling, case-sensitive where WinDbg is (``dd``/``dD``), else folded."""

    by_name: dict[str, Command] = field(default_factory=dict)
    _folded: dict[str, Command] = field(default_factory=dict)
    _longest: int = 1

    def add(self, command: Command) -> None:
        for name in (command.name, *command.aliases):
            if name in self.by_name:
                raise ValueError(f"command {name} is declared twice")
            self.by_name[name] = command
            self._folded.setdefault(name.lower(), command)
            self._longest = max(self._longest, len(name))

    def exact(self, name: str) -> Command | None:
        """Return the command spelled *name*, folding case only where that is unambiguous."""
        return self.by_name.get(name) or self._folded.get(name.lower())

    def longest_prefix(self, text: str) -> tuple[Command, int] | None:
        """Return the command whose spelling is the longest prefix of *text*, and its length."""
        for length in range(min(self._longest, len(text)), 0, -1):
            if found := self.exact(text[:length]):
                return found, length
        return None

    def commands(self) -> list[Command]:
        """Return every command once, by family and name."""
        unique = {id(c): c for c in self.by_name.values()}
        return sorted(unique.values(), key=lambda c: (c.family, c.name.lower(), c.name))


REGISTRY = Registry()

LIVE_FAMILY = "live"
ABSENT_FAMILY = "not_in_this_version"
"""The families of commands that only say why they do nothing: no hint may lead to them."""

FAMILIES = (
    "control",
    "disassemble",
    "disassemble_function",
    "dumps",
    "evaluate",
    "events",
    "function_table",
    "headers",
    "help",
    "memory",
    "memory_files",
    "memory_strings",
    "memory_words",
    "modules",
    "overlay",
    "refused",
    "registers",
    "reload",
    "settings",
    "source_listing",
    "search",
    "stack",
    "symbols",
    "symbol_path",
    "target_info",
    "threads",
)
"""The modules of this package that declare commands."""


def command(
    name: str,
    *,
    summary: str,
    syntax: str,
    example: str,
    family: str,
    aliases: tuple[str, ...] = (),
    rest_of_line: bool = False,
) -> Callable[[CommandFunction], CommandFunction]:
    """Declare the decorated function as a command."""

    def declare(function: CommandFunction) -> CommandFunction:
        REGISTRY.add(
            Command(name, function, summary, syntax, example, family, aliases, rest_of_line)
        )
        return function

    return declare


def load_all() -> Registry:
    """Import every family and return the full table."""
    for family in FAMILIES:
        importlib.import_module(f"polydbg.commands.{family}")
    return REGISTRY
