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

_REFERENCE = re.compile(
    r"\$\{(?:/(?P<form>[fdnv]):)?(?P<inner>[^{}\s]+)\}"
    r'|(?<![^\s;"])(?P<word>(?:(?!\$\{)[^\s;"{}])+)(?![^\s;"{}])'
)


class Aliases:
    """The aliases of a session by name; names are case-sensitive."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._variables: list[Mapping[str, str]] = []

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the user-named aliases and their texts, sorted by name."""
        return iter(sorted(self._texts.items()))

    def define(self, name: str, text: str) -> bool:
        """Give *name* to *text*; return whether there was room for it."""
        if len(text) > MAX_TEXT or (name not in self._texts and len(self._texts) >= MAX_ALIASES):
            return False
        self._texts[name] = text
        return True

    def delete(self, name: str) -> bool:
        """Forget a name; return whether it was known."""
        return self._texts.pop(name, None) is not None

    def clear(self) -> None:
        """Forget all names."""
        self._texts.clear()

    @contextmanager
    def variables(self, values: Mapping[str, str]) -> Iterator[None]:
        """Within this, the names of *values* are replaced too: the variables of a loop."""
        self._variables.append(values)
        try:
            yield
        finally:
            self._variables.pop()

    def text_of(self, name: str) -> str | None:
        """Return what *name* stands for, ``None`` where it is no alias."""
        for values in reversed(self._variables):
            if name in values:
                return values[name]
        return self._texts.get(name)

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
            text = self.text_of(found["word"]) if words else None
            return found.group() if text is None else text
        text = self.text_of(name)
        match found["form"]:
            case None:
                return found.group() if text is None else text
            case "f":
                return text or ""
            case "d":
                return "0" if text is None else "1"
            case "n":
                return found.group() if text is None else name
            case _:
                return found.group()
