"""Versions of dynamic symbols: which entry belongs to which, and which one is the default.

Sources: the LSB's "Symbol Versioning" (``Verdef``, ``Verneed``, ``Versym``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polydbg.base.errors import FormatError
from polydbg.formats.section import Section

_HIDDEN = 0x8000
_LOCAL, _GLOBAL = 0, 1
_BASE = 1  # VER_FLG_BASE: the name of the file itself
_MAX_RECORDS = 1 << 16


class SymbolVersions:
    """The versions of one dynamic symbol table."""

    def __init__(self, indexes: Section, defined: dict[int, str], needed: dict[int, str]) -> None:
        """*indexes* is ``.gnu.version``; the names are from the two readers below."""
        self._indexes = indexes
        self._defined = defined
        self._needed = needed

    def of(self, index: int) -> tuple[str, bool]:
        """Return the version of symbol *index*, ``""`` if none, and whether it is the default."""
        if 2 * index + 2 > self._indexes.size:
            return "", True
        value = self._indexes.number(2 * index, 2)
        if value & ~_HIDDEN in (_LOCAL, _GLOBAL):
            return "", True
        # A version that another file has is wanted, not offered: none of its names is the default.
        if (name := self._needed.get(value & ~_HIDDEN)) is not None:
            return name, False
        return self._defined.get(value & ~_HIDDEN, ""), not value & _HIDDEN


def defined_versions(section: Section, strings: Section, count: int) -> dict[int, str]:
    """Return number -> name of the versions that ``.gnu.version_d`` defines, *count* records."""
    layout = struct.Struct((">" if section.order == "big" else "<") + "HHHHIII")
    found: dict[int, str] = {}
    for position in _walk(section, count, layout, 6):
        _, flags, number, names, _, first, _ = layout.unpack(section.take(position, layout.size))
        # The first name is the version, further ones are its ancestors.
        if names and not flags & _BASE:
            name = _text(strings, _number(section, position + first))
            if name is not None:
                found[number & ~_HIDDEN] = name
    return found


def needed_versions(section: Section, strings: Section, count: int) -> dict[int, str]:
    """Return number -> name of the versions that ``.gnu.version_r`` needs of other files."""
    mark = ">" if section.order == "big" else "<"
    layout, inner = struct.Struct(mark + "HHIII"), struct.Struct(mark + "IHHII")
    found: dict[int, str] = {}
    left = _MAX_RECORDS
    for position in _walk(section, count, layout, 4):
        _, wanted, _, first, _ = layout.unpack(section.take(position, layout.size))
        wanted = min(wanted, left)
        left -= wanted
        part = section.window(position + first, section.size)
        for each in _walk(part, wanted, inner, 4):
            _, _, number, name, _ = inner.unpack(part.take(each, inner.size))
            text = _text(strings, name)
            if text is not None:
                found[number & ~_HIDDEN] = text
    return found


def _walk(section: Section, count: int, layout: struct.Struct, link: int) -> Iterator[int]:
    """Yield the places of at most *count* records; field *link* leads on from each to the next."""
    position = 0
    for _ in range(min(count, _MAX_RECORDS)):
        if position + layout.size > section.size:
            return
        yield position
        step = layout.unpack(section.take(position, layout.size))[link]
        if not step:
            return
        position += step


def _number(section: Section, position: int) -> int:
    return section.number(position, 4) if position + 4 <= section.size else -1


def _text(strings: Section, offset: int) -> str | None:
    try:
        return strings.string(offset).decode("utf-8", "replace")
    except FormatError:
        return None
