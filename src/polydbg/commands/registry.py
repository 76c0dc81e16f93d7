"""The table of commands: each declared once; help, completion and the manual derive from it."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from polydbg.commands.cursor import Cursor
from polydbg.commands.index import INDEX
from polydbg.commands.output import Item

if TYPE_CHECKING:
    from polydbg.commands.context import CommandContext

CommandFunction = Callable[["CommandContext", Cursor], Iterator[Item]]
"""Yields output as it is found, so that streaming and Ctrl+C between items come for free."""


class Command(msgspec.Struct, frozen=True):
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


class Registry:
    """Commands by spelling, case-sensitive where WinDbg is (``dd``/``dD``), else folded.

    A family's module is imported when one of its commands is first used: :mod:`.index` knows which
    module declares which spelling, and a test keeps it true.
    """

    def __init__(self) -> None:
        self._declared: dict[str, Command] = {}
        self._folded: dict[str, str] = {}
        for name in INDEX:
            self._folded.setdefault(name.lower(), name)
        self._longest = max(map(len, INDEX))

    def add(self, command: Command) -> None:
        for name in (command.name, *command.aliases):
            if name in self._declared:
                raise ValueError(f"command {name} is declared twice")
            self._declared[name] = command

    def exact(self, name: str) -> Command | None:
        """Return the command spelled *name*, folding case only where that is unambiguous."""
        spelling = name if name in INDEX else self._folded.get(name.lower())
        if spelling is None:
            return None
        if spelling not in self._declared:
            importlib.import_module(f"polydbg.commands.{INDEX[spelling]}")
        return self._declared.get(spelling)

    def longest_prefix(self, text: str) -> tuple[Command, int] | None:
        """Return the command whose spelling is the longest prefix of *text*, and its length."""
        for length in range(min(self._longest, len(text)), 0, -1):
            if found := self.exact(text[:length]):
                return found, length
        return None

    def is_name(self, name: str) -> bool:
        """Return whether *name* spells a command; imports nothing."""
        return name in INDEX or name.lower() in self._folded

    def declared(self) -> dict[str, Command]:
        """Return every command by spelling; imports all families."""
        for family in sorted(set(INDEX.values())):
            importlib.import_module(f"polydbg.commands.{family}")
        return self._declared

    def commands(self) -> list[Command]:
        """Return every command once, by family and name; imports all families."""
        unique = {id(c): c for c in self.declared().values()}
        return sorted(unique.values(), key=lambda c: (c.family, c.name.lower(), c.name))

    def import_all(self) -> None:
        """Import every module of commands, also those that a command imports when it needs them."""
        for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
            importlib.import_module(f"polydbg.commands.{module.name}")

    def index_source(self) -> str:
        """Return the text of :mod:`.index`, made anew from what all modules beside it declare."""
        self.import_all()
        rows = [
            f'    "{name}": "{_family_of(entry)}",'
            # Of spellings that differ in case the lower one stands first: it is what folds.
            for name, entry in sorted(
                self._declared.items(), key=lambda e: (e[0].lower(), e[0].swapcase())
            )
        ]
        return "\n".join(
            [
                '"""Which module declares which command: made by ``polydbg docs index``."""',
                "",
                "INDEX = {",
                *(row.replace("\\", "\\\\") for row in rows),
                "}",
                "",
            ]
        )


def _family_of(entry: Command) -> str:
    """Return the module that declares a command; tables declare partial functions."""
    function = entry.function
    while isinstance(function, functools.partial):
        function = function.func
    return function.__module__.rpartition(".")[2]


REGISTRY = Registry()

LIVE_FAMILY = "live"
ABSENT_FAMILY = "not_in_this_version"
"""The families of commands that only say why they do nothing: no hint may lead to them."""


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
