"""Reads types as C++ spells them in casts: ``const app!Box<int> *[3]``, ``void (*)(int)``."""

from __future__ import annotations

import re

from polydbg.expr import lexer
from polydbg.expr.cpp import tokens
from polydbg.expr.cpp.nodes import TypeNode, TypeStep
from polydbg.expr.cpp.type_names import BUILTIN, KEYWORDS, POINTER_WORDS, QUALIFIERS, WORDS

MAX_STEPS = 32
"""How many ``*``, ``[]`` and the like one type may have."""

MAX_PARAMETERS = 64

_WORD = re.compile(r"[^\W\d]\w*")
_COUNT = re.compile(r"\[\s*(\d{0,9}|0[xX][0-9a-fA-F]{1,8})\s*\]")
_GROUP = re.compile(r"\(\s*(?:__cdecl|__stdcall|__fastcall)?\s*(?=[*&]|\w+(?:::\w+)*::\*)")
_OWNER = re.compile(r"((?:::)?[^\W\d]\w*(?:::[^\W\d]\w*)*)\s*::\s*\*")


class TypeParser:
    """Reads the types of one text, up to *end*. It asks nobody which names are types."""

    def __init__(self, text: str, end: int) -> None:
        self._text = text
        self._end = end
        self._depth = 0

    @staticmethod
    def is_plain(found: TypeNode) -> bool:
        """Say whether the type read may as well be a variable's name."""
        return (
            not found.steps and not found.is_builtin and found.end - found.start == len(found.name)
        )

    @staticmethod
    def is_indexed(found: TypeNode) -> bool:
        """Say whether the type read, ``name[2]``, may as well be an element of a variable."""
        is_array = bool(found.steps) and all(step.kind == "[]" for step in found.steps)
        return is_array and not found.is_builtin

    def parse(self, at: int) -> TypeNode | None:
        """Return the type that is written at *at*, as much as can be one; ``None``: none is."""
        at = start = lexer.skip_blanks(self._text, at, self._end)
        steps: list[TypeStep] = []
        at = self._qualifiers(at, steps)
        base = self.builtin(at)
        if base is None:
            base = self._named(at)
        if base is None:
            return None
        at = self._qualifiers(base.end, steps)
        at = self._declarator(at, steps, 0)
        if len(steps) > MAX_STEPS:
            return None
        return TypeNode(start, at, base.name, tuple(steps), base.is_builtin)

    def builtin(self, at: int) -> TypeNode | None:
        """Return the arithmetic type at *at*, such as ``unsigned long``."""
        words: list[str] = []
        end = start = at
        for _ in range(8):
            match = _WORD.match(self._text, at, self._end)
            word = match.group() if match is not None else ""
            if match is None or (word not in WORDS and word not in ("int64", *QUALIFIERS)):
                break
            if word == "int64" and "unsigned" not in words and "signed" not in words:
                break
            if word not in QUALIFIERS:
                words.append(word)
            end = match.end()
            at = lexer.skip_blanks(self._text, end, self._end)
        name = BUILTIN.get(tuple(sorted(words)))
        return TypeNode(start, end, name, (), True) if name is not None else None

    def _named(self, at: int) -> TypeNode | None:
        start = at
        match = _WORD.match(self._text, at, self._end)
        if match is not None and match.group() in KEYWORDS:
            at = lexer.skip_blanks(self._text, match.end(), self._end)
        ends = tokens.name_ends(self._text, at, self._end)
        if not ends:
            return None
        return TypeNode(start, ends[-1], self._text[at : ends[-1]])

    def _qualifiers(self, at: int, steps: list[TypeStep]) -> int:
        """Read ``const`` and its like; return the position after them and blanks before others."""
        while True:
            next_ = lexer.skip_blanks(self._text, at, self._end)
            match = _WORD.match(self._text, next_, self._end)
            if match is None or match.group() not in QUALIFIERS | POINTER_WORDS:
                return next_ if not steps or match is not None else at
            at = match.end()
            if match.group() in QUALIFIERS:
                steps.append(TypeStep(match.group()))
            if len(steps) > MAX_STEPS:
                return at

    def _declarator(self, at: int, steps: list[TypeStep], depth: int) -> int:
        """Read ``*``, ``&``, ``[n]``, ``(*)(...)`` in the order in which they apply; return where
        they end."""
        end = at
        while len(steps) <= MAX_STEPS:
            at = lexer.skip_blanks(self._text, end, self._end)
            owner = _OWNER.match(self._text, at, self._end)
            if owner is not None:
                steps.append(TypeStep("::*", owner=owner[1]))
                end = owner.end()
                continue
            symbol = self._text[at : at + 2] if self._text.startswith("&&", at) else ""
            symbol = symbol or self._text[at : min(at + 1, self._end)]
            if symbol not in ("*", "&", "&&") or self._text.startswith("=", at + len(symbol)):
                break
            steps.append(TypeStep(symbol))
            end = self._qualifiers(at + len(symbol), steps)
        group = _GROUP.match(self._text, at, self._end)
        inner: list[TypeStep] = []
        if group is not None and depth < 8:
            close = lexer.skip_blanks(
                self._text, self._declarator(group.end(), inner, depth + 1), self._end
            )
            if not inner or not self._text.startswith(")", close):
                return end
            end = at = close + 1
        end = self._tail(at, end, steps, is_grouped=bool(inner))
        steps += inner
        return end

    def _tail(self, at: int, end: int, steps: list[TypeStep], *, is_grouped: bool) -> int:
        """Read ``[2][3]`` or, behind a group, ``(int, char)``."""
        counts: list[TypeStep] = []
        while (match := _COUNT.match(self._text, at, self._end)) is not None:
            counts.append(TypeStep("[]", int(match[1], 0) if match[1] else None))
            end = match.end()
            at = lexer.skip_blanks(self._text, end, self._end)
            if len(counts) > MAX_STEPS:
                break
        steps += reversed(counts)
        if is_grouped and not counts and self._text.startswith("(", at):
            parameters = self._parameters(at + 1)
            if parameters is not None:
                steps.append(TypeStep("()", parameters=parameters[0]))
                end = parameters[1]
        return end

    def _parameters(self, at: int) -> tuple[tuple[TypeNode, ...], int] | None:
        """Read ``int, char)``; return the types and where they end."""
        self._depth += 1
        found: list[TypeNode] = []
        try:
            while self._depth <= 8 and len(found) < MAX_PARAMETERS:
                at = lexer.skip_blanks(self._text, at, self._end)
                if not found and self._text.startswith(")", at):
                    return (), at + 1
                parameter = self.parse(at)
                if parameter is None:
                    return None
                found.append(parameter)
                at = lexer.skip_blanks(self._text, parameter.end, self._end)
                if self._text.startswith(")", at):
                    return tuple(found), at + 1
                if not self._text.startswith(",", at):
                    return None
                at += 1
            return None
        finally:
            self._depth -= 1
