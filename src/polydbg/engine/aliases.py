"""Names for text in command lines: user-named aliases, and the variables of loops.

A name is replaced where it stands as a word (between blanks, ``;``, ``"``, the line's ends) and
inside of ``${}`` anywhere (command-language reference, section 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

MAX_TEXT = 64 * 1024
"""Longest text of an alias, and of a line after replacement, in characters."""
MAX_ALIASES = 10_000

_UNFIT = re.compile(r'[;"$\x00-\x1f\x7f]')
_BRACE = re.compile(r"[{}]")
_REFERENCE = re.compile(
    r"\$\{(?:/(?P<form>[fdnv]):)?(?P<inner>[^{}\s]+)\}"
    r'|(?<![^\s;"])(?P<word>(?:(?!\$\{)[^\s;"{}])+)(?![^\s;"{}])'
)


class Aliases:
    """The aliases of a session by name; names are case-sensitive."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._foreign: set[str] = set()
        self._variables: list[tuple[Mapping[str, str], bool]] = []
        self.foreign_fixed: set[int] = set()
        """The numbers of the fixed aliases ($u0 to $u9) whose text is foreign."""
        self.foreign_uses = 0
        """Counts the replacements by text that the user did not write: the target's, output's."""

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the user-named aliases and their texts, sorted by name."""
        return iter(sorted(self._texts.items()))

    def define(self, name: str, text: str, *, is_foreign: bool = False) -> bool:
        """Give *name* to *text*; return whether there was room for it. *is_foreign* tells that
        the text comes from the target or from output."""
        if len(text) > MAX_TEXT or (name not in self._texts and len(self._texts) >= MAX_ALIASES):
            return False
        self._texts[name] = text
        (self._foreign.add if is_foreign else self._foreign.discard)(name)
        return True

    def delete(self, name: str) -> bool:
        """Forget a name; return whether it was known."""
        return self._texts.pop(name, None) is not None

    def clear(self) -> None:
        """Forget all names."""
        self._texts.clear()

    @contextmanager
    def variables(self, values: Mapping[str, str], *, is_foreign: bool = False) -> Iterator[None]:
        """Within this, the names of *values* are replaced too: the variables of a loop.
        *is_foreign* is as for :meth:`define`."""
        self._variables.append((values, is_foreign))
        try:
            yield
        finally:
            self._variables.pop()

    def text_of(self, name: str) -> str | None:
        """Return what *name* stands for, ``None`` where it is no alias."""
        return self._found(name)[0]

    def _found(self, name: str) -> tuple[str | None, bool]:
        """Return what *name* stands for, and whether that text is foreign."""
        for values, is_foreign in reversed(self._variables):
            if name in values:
                return values[name], is_foreign
        return self._texts.get(name), name in self._foreign

    def expand(self, line: str, *, words: bool = True) -> str:
        """Return *line* with its aliases replaced, once; *words* tells whether those are that stand
        as words. Longer lines than :data:`MAX_TEXT` are left as they are."""
        if not (self._texts or self._variables) and "${" not in line:
            return line
        parts: list[str] = []
        size = at = 0
        for found in _REFERENCE.finditer(line):
            replaced = self._replaced(found, words=words)
            part = line[at : found.start()] + replaced
            size += len(part)
            if size > MAX_TEXT:
                return line
            parts.append(part)
            at = found.end()
        return "".join([*parts, line[at:]])

    def _replaced(self, found: re.Match[str], *, words: bool) -> str:
        name = found["inner"]
        if name is None:
            text = self._used(found["word"]) if words else None
            return found.group() if text is None else text
        match found["form"]:
            case None:
                text = self._used(name)
                return found.group() if text is None else text
            case "f":
                return self._used(name) or ""
            case "d":
                return "0" if self.text_of(name) is None else "1"
            case "n":
                return found.group() if self.text_of(name) is None else name
            case _:
                return found.group()

    def _used(self, name: str) -> str | None:
        """Return what *name* stands for; foreign text is counted, and begins no command."""
        text, is_foreign = self._found(name)
        if text is None or not is_foreign:
            return text
        self.foreign_uses += 1
        return within_a_command(text)


def fit_for_commands(name: str) -> str:
    """Return a name of the target with ``_`` for what would end the command that it is put in."""
    return _UNFIT.sub("_", name)


def within_a_command(text: str) -> str:
    """Return foreign *text* with ``_`` for what would end the command or the block that it is put
    in: semicolons, and braces that do not belong together (``{{closure}}`` stays)."""
    depth = lowest = 0
    for brace in _BRACE.findall(text):
        depth += 1 if brace == "{" else -1
        lowest = min(lowest, depth)
    text = text.replace(";", "_")
    return _BRACE.sub("_", text) if depth or lowest else text
