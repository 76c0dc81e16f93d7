"""Qualified names of C++ and Rust, taken apart.

``::`` within template arguments, parentheses or quotes parts nothing; the signs of an operator's
name (``operator<``, ``operator->``) open and close nothing.
"""

from __future__ import annotations

import re

_OPERATOR = re.compile(r"\boperator\s*(?:\(\)|->\*?|<=>|<<=?|>>=?|[<>]=?)")
_OPENING, _CLOSING = "<({`", ">)}'"
_NESTS = re.compile(r"[<({`]|\boperator\b")


def name_parts(name: str) -> list[str]:
    """Return the parts of *name*, at least one: ``["a", "b<c::d>", "f"]``; a leading ``::`` makes
    the first ``""``."""
    if "::" not in name:
        return [name]
    if _NESTS.search(name) is None:
        return name.split("::")
    parts: list[str] = []
    depth = start = at = 0
    while at < len(name):
        char = name[at]
        operator = _OPERATOR.match(name, at) if char == "o" else None
        if operator is not None:
            at = operator.end()
            continue
        if char in _OPENING:
            depth += 1
        elif char in _CLOSING and depth:
            depth -= 1
        elif char == ":" and not depth and name.startswith("::", at):
            parts.append(name[start:at])
            at += 1
            start = at + 1
        at += 1
    return [*parts, name[start:]]


def scope_and_name(name: str) -> tuple[str, str]:
    """Return what *name* is qualified by, ``""`` where it is not, and its last part."""
    *scope, last = name_parts(name)
    return "::".join(scope), last


def last_part(name: str) -> str:
    """Return the last part of *name*."""
    return name_parts(name)[-1]
