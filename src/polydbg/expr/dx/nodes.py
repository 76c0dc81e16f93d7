"""What the language of ``dx`` has beyond C++ (command-language reference, 10.1)."""

from __future__ import annotations

import msgspec

from polydbg.expr.cpp.nodes import Node


class LambdaNode(Node, frozen=True):
    """``x => body`` or ``(a, b) => body``."""

    parameters: tuple[str, ...]
    body: Node


class NamedItem(msgspec.Struct, frozen=True):
    """``Name = value`` in an anonymous object."""

    name: str
    value: Node


class AnonymousNode(Node, frozen=True):
    """``new { A = 1, B = "t" }``."""

    items: tuple[NamedItem, ...]
