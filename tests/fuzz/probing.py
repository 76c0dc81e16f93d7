"""What targets have in common: the questions that they ask, and which errors are answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.symbols.source import SymbolSource

PROBES = (0, 1, 0x1000, 0x1010, 0x1234, 0x2000, 0x4000, 0xFFFFFFFF)


def attempt(*actions: Callable[[], object]) -> None:
    """Do each; errors of ours are answers."""
    for action in actions:
        try:
            action()
        except DebuggerError:
            continue


def members(thing: object) -> list[Callable[[], object]]:
    """Return readers of every lazy part of *thing*."""
    names = [n for n, m in vars(type(thing)).items() if isinstance(m, cached_property)]
    return [lambda name=name: getattr(thing, name) for name in names]  # type: ignore[misc]


def ask_table(source: SymbolSource, patterns: tuple[str, ...]) -> None:
    for probe in PROBES:
        attempt(
            lambda probe=probe: source.symbol_at(probe),
            lambda probe=probe: source.neighbours(probe),
        )
    for pattern in patterns:
        attempt(lambda pattern=pattern: list(source.symbols_matching(pattern, CancelToken())))
        attempt(lambda pattern=pattern: source.symbol_named(pattern))
