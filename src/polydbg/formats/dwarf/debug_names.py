"""``.debug_names``: entries by name, through hash tables. Source: DWARF 5 sections 6.1.1 and 7.33.

Names stand without scopes, and linker names beside them; only what is not a mere declaration is
listed.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.abbrev import Encoding
from polydbg.formats.dwarf.forms import read_value
from polydbg.formats.dwarf.reading import initial_length, uleb128
from polydbg.formats.section import Section

_IDX_COMPILE_UNIT, _IDX_TYPE_UNIT, _IDX_DIE_OFFSET = 1, 2, 3
_MAX_ENTRIES = 4096
_MAX_TABLES = 1 << 16
_MAX_ABBREVIATIONS = 1 << 16
_ENTRY_ROOM = 64


class NamedEntry(msgspec.Struct, frozen=True):
    """An entry: *unit* is the offset of its unit in ``.debug_info``, *offset* counts from there."""

    tag: int
    unit: int
    offset: int


class DebugNames:
    """One table of the section. Tables cover the units that they list."""

    def __init__(self, section: Section, offset: int, strings: Section) -> None:
        """Read the header at *offset*; names lie in *strings*, ``.debug_str``.

        :raises FormatError: unknown version, or sizes that the section does not have.
        """
        length, size, position = initial_length(section.rest(offset, 12), 0, section.order)
        self.end = offset + position + length
        part = self._part = section.window(offset, position + length)
        self._strings = strings
        self._size = size
        if part.number(position, 2) != 5:
            raise FormatError("DWARF name table of unknown version", offset=offset)
        counts = part.numbers(position + 4, 7, 4)
        units, types, foreign, self._buckets, self.count, abbreviations, augmentation = counts
        at = position + 32 + (augmentation + 3 & ~3)
        self.units = part.numbers(at, units, size)
        self._buckets_at = at + size * (units + types) + 8 * foreign
        self._hashes_at = self._buckets_at + 4 * self._buckets
        has_hashes = 4 * self.count if self._buckets else 0
        self._names_at = self._hashes_at + has_hashes
        self._entries_at = self._names_at + size * self.count
        table = self._entries_at + size * self.count
        self._pool_at = table + abbreviations
        self._encoding = Encoding(5, 8, size)
        self._abbreviations = _abbreviations(part.take(table, abbreviations))

    def find(self, name: bytes) -> Iterator[NamedEntry]:
        """Yield the entries called *name*.

        :raises FormatError: the table is damaged.
        """
        if not self._buckets:
            for row in range(self.count):
                if self._name(row) == name:
                    yield from self._entries(row)
            return
        wanted = _hash(name)
        bucket = wanted % self._buckets
        row = self._part.number(self._buckets_at + 4 * bucket, 4) - 1
        while 0 <= row < self.count:
            value = self._part.number(self._hashes_at + 4 * row, 4)
            if value % self._buckets != bucket:
                return
            if value == wanted and self._name(row) == name:
                yield from self._entries(row)
            row += 1

    def _name(self, row: int) -> bytes:
        offset = self._part.number(self._names_at + self._size * row, self._size)
        return self._strings.string(offset)

    def _entries(self, row: int) -> Iterator[NamedEntry]:
        offset = self._part.number(self._entries_at + self._size * row, self._size)
        position = self._pool_at + offset
        order = self._part.order
        for _ in range(_MAX_ENTRIES):
            data = self._part.rest(position, _ENTRY_ROOM)
            code, at = uleb128(data, 0)
            if code == 0:
                return
            if code not in self._abbreviations:
                raise FormatError("unknown abbreviation in a DWARF name table", offset=position)
            tag, attributes = self._abbreviations[code]
            values: dict[int, int] = {}
            for kind, form in attributes:
                _, value, at = read_value(data, at, form, 0, self._encoding, order)
                if isinstance(value, int):
                    values[kind] = value
            position += at
            # With one unit only, entries need not name it.
            unit = values.get(_IDX_COMPILE_UNIT, 0)
            if _IDX_TYPE_UNIT not in values and unit < len(self.units):
                yield NamedEntry(tag, self.units[unit], values.get(_IDX_DIE_OFFSET, 0))


def read_name_tables(section: Section, strings: Section) -> list[DebugNames]:
    """Return the tables of ``.debug_names``, up to the first that is damaged."""
    tables: list[DebugNames] = []
    offset = 0
    while offset < section.size and len(tables) < _MAX_TABLES:
        try:
            table = DebugNames(section, offset, strings)
        except FormatError:
            break
        tables.append(table)
        offset = table.end
    return tables


def _abbreviations(data: bytes) -> dict[int, tuple[int, tuple[tuple[int, int], ...]]]:
    found: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {}
    position = 0
    while position < len(data) and len(found) < _MAX_ABBREVIATIONS:
        code, position = uleb128(data, position)
        if code == 0:
            break
        tag, position = uleb128(data, position)
        attributes: list[tuple[int, int]] = []
        while True:
            kind, position = uleb128(data, position)
            form, position = uleb128(data, position)
            if kind == form == 0:
                break
            attributes.append((kind, form))
        found[code] = tag, tuple(attributes)
    return found


def _hash(name: bytes) -> int:
    """Return Bernstein's hash of the name in lower case (simple case folding)."""
    value = 5381
    try:
        folded = name.decode("utf-8").lower().encode("utf-8")
    except UnicodeDecodeError:
        folded = name.lower()
    for byte in folded:
        value = value * 33 + byte & 0xFFFFFFFF
    return value
