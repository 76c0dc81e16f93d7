"""A session on the practice dump, and commands run in it without service or terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Item
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

PRACTICE = resources.files("polydbg") / "demo" / "practice.dmp"


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session()
    folder = str(resources.files("polydbg") / "demo")
    session.settings.symbol_path = SymbolPath.parse(folder)
    session.settings.image_path = SymbolPath.parse(folder)
    session.open_dump(str(PRACTICE))
    yield session
    session.close()


@pytest.fixture
def interpreter(session: Session) -> Interpreter:
    return Interpreter(session, CancelToken(), lambda text, done, total: None)


@pytest.fixture
def items(interpreter: Interpreter) -> Callable[[str], list[Item]]:
    """The items of a line of commands, without the marks between commands."""
    return lambda line: [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]


@pytest.fixture
def run(items: Callable[[str], list[Item]]) -> Callable[[str], list[str]]:
    """The lines that a line of commands prints."""
    return lambda line: "\n".join(i.text() for i in items(line)).split("\n")
