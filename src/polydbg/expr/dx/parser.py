"""Reads expressions of ``dx`` into trees.

The grammar is that of C++ (:mod:`polydbg.expr.cpp.parser`); operands may also be lambdas and
``new { ... }``. There is no ``@@``, which would switch to another evaluator.
"""

from __future__ import annotations

import re

from polydbg.expr import lexer
from polydbg.expr.cpp.errors import cpp_error, rest_of
from polydbg.expr.cpp.nodes import MemberNode, NameNode, Node
from polydbg.expr.cpp.parser import Names, Parser
from polydbg.expr.dx.nodes import AnonymousNode, LambdaNode, NamedItem

MAX_PARAMETERS = 16
"""How many parameters a lambda may have."""

MAX_ITEMS = 256
"""How many members an anonymous object may have."""

_LAMBDA = re.compile(
    r"(?:(?P<one>[^\W\d]\w*)|\(\s*(?P<many>(?:[^\W\d]\w*\s*(?:,\s*[^\W\d]\w*\s*)*)?)\))\s*=>"
)
_ITEM = re.compile(r"(?P<name>[^\W\d]\w*)\s*=(?![=>])")
_NEW = re.compile(r"new\b(?!\s*[.(=,)]|\s*\Z)")


def parse(text: str, names: Names | None = None) -> tuple[Node, int]:
    """Return the tree of the expression that *text* begins with, and where what follows it
    begins: the comma of format specifiers, or the end.

    :raises ExpressionError: it is no expression.
    """
    parser = DxParser(text, names=names, commas=False)
    node = parser.expression()
    return node, parser.skip()


class DxParser(Parser):
    """Reads one expression of ``dx``."""

    def primary(self, at: int) -> Node:
        found = _LAMBDA.match(self.text, at, self.end)
        if found is not None:
            return self._lambda(at, found)
        new = _NEW.match(self.text, at, self.end)
        if new is not None:
            self.position = new.end()
            return self._anonymous(at)
        if self.text.startswith("@@", at):
            raise self.unexpected(at)
        return super().primary(at)

    def _lambda(self, at: int, found: re.Match[str]) -> Node:
        listed = found["one"] or found["many"]
        parameters = tuple(each.strip() for each in listed.split(",") if each.strip())
        if len(parameters) > MAX_PARAMETERS:
            raise self.too_deep(at)
        self.position = found.end()
        body = self.expression(commas=False)
        return LambdaNode(at, body.end, parameters, body)

    def _anonymous(self, at: int) -> Node:
        """Read ``{ A = 1, B.C }``: an item without a name has that of its last member."""
        if not self.accept("{"):
            where = self.skip()
            raise cpp_error(
                f"Expected '{{' at '{rest_of(self.text, where)}'",
                where,
                hint="new { Name = value, ... } makes an object",
                identifier="expression.syntax",
            )
        items: list[NamedItem] = []
        while not self.accept("}"):
            if items:
                self.expect(",")
            if len(items) >= MAX_ITEMS:
                raise self.too_deep(self.position)
            items.append(self._item())
        return AnonymousNode(at, self.position, tuple(items))

    def _item(self) -> NamedItem:
        at = lexer.skip_blanks(self.text, self.position, self.end)
        named = _ITEM.match(self.text, at, self.end)
        if named is not None:
            self.position = named.end()
            return NamedItem(named["name"], self.expression(commas=False))
        value = self.expression(commas=False)
        if isinstance(value, (MemberNode, NameNode)):
            return NamedItem(value.name, value)
        raise self.unexpected(at)
