"""Operator precedence for every language of expressions here: one core, a table per language.

Each operator has two binding powers, as Pratt's parsers have: how strongly it holds the operand
before it and the one after it. Where two operators stand around an operand, the stronger takes it;
equal powers mean left-associative. The core keeps its own stack, so that a long expression needs
no deep recursion: what nests (parentheses, prefixes) nests in the language's ``operand``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Operator(NamedTuple):
    """An operator between operands: its text (lower case), how strongly it binds to the *left* and
    to the *right* (both above 0), and the position after it."""

    text: str
    left: int
    right: int
    end: int


class Language(Protocol[T]):
    """What the core asks of a language; *T* is what it makes: values, or nodes of a tree."""

    def operand(self) -> T:
        """Read one operand with what stands before and behind it."""
        ...

    def operator(self) -> Operator | None:
        """Return the operator at the position, without reading it; ``None``: the expression ends
        here."""
        ...

    def take(self, operator: Operator) -> None:
        """Read *operator*: for ``?`` of C, with the operand up to ``:``."""
        ...

    def combine(self, operator: Operator, left: T, right: T) -> T:
        """Join two operands."""
        ...


def read_expression(language: Language[T]) -> T:
    """Read operands joined by operators, from the language's position on."""
    operands = [language.operand()]
    pending: list[Operator] = []
    while True:
        found = language.operator()
        floor = found.left if found is not None else 0
        while pending and pending[-1].right >= floor:
            right = operands.pop()
            operands.append(language.combine(pending.pop(), operands.pop(), right))
        if found is None:
            return operands[0]
        language.take(found)
        pending.append(found)
        operands.append(language.operand())
