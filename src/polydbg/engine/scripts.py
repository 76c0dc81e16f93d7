"""Python scripts and packages of a session: what is loaded, and which commands they declare.

A command of Python is a function under :func:`command`::

    @polydbg.command("!pending", summary="Count the orders that wait.")
    def pending(session, arguments):
        print(session.evaluate("practice!pending"))

Packages name theirs in the entry point group :data:`ENTRY_POINTS`: a decorated function, or a
module that holds some. They are imported when a command is not known otherwise, or the list is
wanted.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Protocol

import msgspec

ENTRY_POINTS = "polydbg.commands"
_NAME = re.compile(r"![A-Za-z_]\w{0,63}")
_MAX_PROBLEM = 200

ScriptFunction = Callable[..., object]
"""Takes the session (the library's) and the text behind the name; what it returns is printed."""


class ScriptSession(Protocol):
    """What the library lends to scripts: the open dump, and what is current in it."""

    @property
    def thread(self) -> object: ...

    @property
    def frame(self) -> object: ...

    def close(self) -> None: ...


class ScriptCommand:
    """A function of Python that is a command; calling it calls the function."""

    def __init__(
        self, function: ScriptFunction, name: str, summary: str, syntax: str, example: str
    ) -> None:
        self.function = function
        self.name = name
        self.summary = summary
        self.syntax = syntax
        self.example = example

    def __call__(self, session: ScriptSession, arguments: str = "") -> object:
        return self.function(session, arguments)


def command(
    name: str, *, summary: str = "", syntax: str = "", example: str = ""
) -> Callable[[ScriptFunction], ScriptCommand]:
    """Declare the decorated function of a script or package as a command; *name* begins with ``!``.

    :raises ValueError: it is no name of an extension command.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a command of Python is called !name, not {name}")

    def declare(function: ScriptFunction) -> ScriptCommand:
        doc = (function.__doc__ or "").strip().split("\n")[0]
        return ScriptCommand(function, name, summary or doc, syntax or name, example or name)

    return declare


class LoadedScript(msgspec.Struct, frozen=True, eq=False):
    """A script that was run and stays; *path* is absolute."""

    path: str
    module: ModuleType
    commands: tuple[ScriptCommand, ...]


class Package(msgspec.Struct, frozen=True, eq=False):
    """An installed package that declares commands; *problem* says why it could not be imported."""

    name: str
    version: str
    commands: tuple[ScriptCommand, ...]
    problem: str = ""


class ScriptBook:
    """The scripts and packages of one session, and the names that ``!py`` keeps."""

    def __init__(self) -> None:
        self.lend: Callable[[], ScriptSession | None] = lambda: None
        """Returns the library's view of the session; who makes the session sets it."""
        self.namespace: dict[str, object] = {}
        self._scripts: dict[str, LoadedScript] = {}
        self._packages: list[Package] | None = None

    @property
    def scripts(self) -> list[LoadedScript]:
        return list(self._scripts.values())

    def add(self, script: LoadedScript) -> None:
        """Keep a script; one of the same path goes."""
        self.remove(script.path)
        self._scripts[script.path] = script
        sys.modules[script.module.__name__] = script.module

    def remove(self, name: str) -> LoadedScript | None:
        """Forget the script of that path, or of that file name, and return it."""
        for path, script in list(self._scripts.items()):
            if name in (path, script.module.__name__, re.split(r"[\\/]", path)[-1]):
                del self._scripts[path]
                sys.modules.pop(script.module.__name__, None)
                return script
        return None

    def packages(self) -> list[Package]:
        """Return the packages with commands; imports them when first asked."""
        if self._packages is None:
            self._packages = list(_packages())
        return self._packages

    @property
    def has_asked_packages(self) -> bool:
        return self._packages is not None

    def commands(self) -> list[ScriptCommand]:
        """Return the commands of all scripts and packages by name; a later script goes before an
        earlier one, scripts before packages."""
        found: dict[str, ScriptCommand] = {}
        of_scripts = [script.commands for script in reversed(self.scripts)]
        of_packages = [package.commands for package in self.packages()]
        for commands in of_scripts + of_packages:
            for each in commands:
                found.setdefault(each.name.lower(), each)
        return [found[name] for name in sorted(found)]

    def command_named(self, name: str) -> ScriptCommand | None:
        """Return the command called *name*, with its ``!``; case is folded."""
        for script in reversed(self.scripts):
            for each in script.commands:
                if each.name.lower() == name.lower():
                    return each
        return next((c for c in self.commands() if c.name.lower() == name.lower()), None)


def declared_in(names: dict[str, object]) -> tuple[ScriptCommand, ...]:
    """Return the commands among the values of a module's names, each once."""
    found = {id(each): each for each in names.values() if isinstance(each, ScriptCommand)}
    return tuple(found.values())


def _packages() -> Iterator[Package]:
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS):
        distribution = entry.dist
        name = distribution.name if distribution is not None else entry.name
        version = distribution.version if distribution is not None else ""
        try:
            found = entry.load()
        except Exception as error:
            # Code of others: whatever it raises, its commands are missing and nothing else.
            words = f"{type(error).__name__}: {error}".split("\n")[0][:_MAX_PROBLEM]
            yield Package(name, version, (), words)
            continue
        named = {entry.name: found} if isinstance(found, ScriptCommand) else vars(found)
        yield Package(name, version, declared_in(named))
