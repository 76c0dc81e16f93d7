"""What the completion offers, and that it never keeps anyone waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import resources

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.registry import REGISTRY
from polydbg.engine.modules import SymbolState
from polydbg.engine.session import Session
from polydbg.service.completion import completions
from polydbg.symbols.exports import ExportSource
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.symbols.store.path import SymbolPath

DEMO = resources.files("polydbg") / "demo"


@pytest.fixture
def session() -> Iterator[Session]:
    REGISTRY.declared()
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(DEMO))
    session.settings.image_path = SymbolPath.parse(str(DEMO))
    session.open_dump(str(DEMO / "practice.dmp"))
    yield session
    session.close()


def _texts(session: Session, line: str) -> list[str]:
    return [found.text for found in completions(session, line, len(line))]


def test_commands_modules_registers_symbols(session: Session) -> None:
    assert "!lmi" in _texts(session, "!lm")
    assert _texts(session, "lm; .imgs") == [".imgscan"]
    assert _texts(session, "ln prac") == ["practice!"]
    assert _texts(session, "r @ri") == ["@rip"]
    assert "practice!price_order" in _texts(session, "x practice!PRICE_")
    assert _texts(session, "x nosuch!a") == []
    assert _texts(session, "~*e !lm") == ["!lmi"]
    assert _texts(session, "~*e .imgs") == [".imgscan"]
    assert _texts(session, ".help !ana") == ["!analyze"]
    assert _texts(session, ".help k") == ["k"]
    assert _texts(session, "x practice!price_line?") == []


def test_expressions(session: Session) -> None:
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    list(interpreter.run(".ecxr; .frame 2"))
    assert _texts(session, "dv o") == ["order"]
    assert "order" in _texts(session, "?? or")
    assert _texts(session, "?? order->li") == ["line_count", "lines"]
    assert _texts(session, "dx order->lines[0].q") == ["quantity"]
    assert _texts(session, "?? nosuch->") == []
    assert _texts(session, "dx order->lines.Wh") == ["Where"]
    assert _texts(session, "?? sho") == ["shop"]  # a variable, and a type
    assert "line" in _texts(session, "dt lin")
    assert "practice!order" in _texts(session, "dt practice!ord")
    assert _texts(session, "dx @$curp") == ["@$curprocess"]
    assert "Threads" in _texts(session, "dx @$curprocess.T")
    assert "Where" in _texts(session, "dx @$curprocess.Threads.W")
    assert _texts(session, "k order->li") == []


class _Endless(ExportSource):
    """Symbols without end, each of them slow to find; *matches* tells whether they fit."""

    def __init__(self, matches: bool) -> None:
        self._matches = matches

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        number = 0
        while True:
            cancel.check()
            time.sleep(0.01)
            number += 1
            if self._matches:
                yield Symbol(f"s{number}\x07", number, 1, SymbolKind.DATA, False)


@pytest.mark.parametrize("matches", [True, False])
def test_a_slow_search_ends_with_what_was_found(session: Session, matches: bool) -> None:
    module = session.current.modules.named("practice")
    assert module is not None
    module.symbols, module.state = _Endless(matches), SymbolState.LOADED
    start = time.monotonic()
    found = _texts(session, "x practice!s")
    assert time.monotonic() - start < 2
    assert bool(found) == matches
    assert all("\x07" not in text for text in found)
