"""Keeps the trees of expressions that were read, for those that are evaluated again and again."""

from __future__ import annotations

from collections import OrderedDict

from polydbg.expr.cpp.context import CppContext
from polydbg.expr.cpp.nodes import Node
from polydbg.expr.cpp.parser import Names, NoNames, Parser

_MAX_TREES = 512
_MAX_READINGS = 4


class ContextNames:
    """Tells types from variables as a :class:`~polydbg.expr.cpp.context.CppContext` does."""

    def __init__(self, context: CppContext) -> None:
        self._context = context

    def is_type_name(self, name: str) -> bool:
        return self._context.is_type_name(name)

    def is_known(self, name: str) -> bool:
        return (
            self._context.variable(name) is not None or self._context.type_named(name) is not None
        )


class _Asked:
    """Passes questions on and keeps the answers."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.answers: list[tuple[str, str, bool]] = []

    def is_type_name(self, name: str) -> bool:
        answer = self._names.is_type_name(name)
        self.answers.append(("type", name, answer))
        return answer

    def is_known(self, name: str) -> bool:
        answer = self._names.is_known(name)
        self.answers.append(("known", name, answer))
        return answer


_Reading = tuple[list[tuple[str, str, bool]], Node, int]
_kept: OrderedDict[str, list[_Reading]] = OrderedDict()


def parsed(text: str, names: Names | None = None) -> tuple[Node, int]:
    """Return the tree of the expression that *text* begins with, a kept one where it was read
    before and its names mean the same; and where what follows it begins, if anything does.

    :raises ExpressionError: it is no C++ expression.
    """
    names = names if names is not None else NoNames()
    readings = _kept.get(text)
    for answers, node, end in readings or ():
        if not answers or all(_answer(names, *each) for each in answers):
            return node, end
    asked = _Asked(names)
    parser = Parser(text, names=asked)
    node = parser.expression()
    end = parser.skip()
    _kept[text] = [(asked.answers, node, end), *(readings or ())][:_MAX_READINGS]
    while len(_kept) > _MAX_TREES:
        _kept.popitem(last=False)
    return node, end


def _answer(names: Names, kind: str, name: str, wanted: bool) -> bool:
    answer = names.is_type_name(name) if kind == "type" else names.is_known(name)
    return answer is wanted
