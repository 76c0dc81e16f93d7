"""The index of a package of split units (``.dwp``): which parts of the sections are whose.

Sources: DWARF 5 section 7.3.5; for version 2 the GNU proposal "DebugFissionDWP".
"""

from __future__ import annotations

from functools import cached_property

from polydbg.base.errors import FormatError
from polydbg.formats.section import Section

_MAX_UNITS = 1 << 24
_MAX_COLUMNS = 32
_SECTIONS_V2 = {
    1: ".debug_info",
    2: ".debug_types",
    3: ".debug_abbrev",
    4: ".debug_line",
    5: ".debug_loc",
    6: ".debug_str_offsets",
    7: ".debug_macinfo",
    8: ".debug_macro",
}
_SECTIONS_V5 = {
    1: ".debug_info",
    3: ".debug_abbrev",
    4: ".debug_line",
    5: ".debug_loclists",
    6: ".debug_str_offsets",
    7: ".debug_macro",
    8: ".debug_rnglists",
}


class PackageIndex:
    """``.debug_cu_index`` or ``.debug_tu_index``, searched in place. Rows count from 0."""

    def __init__(self, section: Section) -> None:
        """Read the header.

        :raises FormatError: unknown version, or sizes that the section does not have.
        """
        self._section = section
        version = section.number(0, 4)
        if version != 2:
            version = section.number(0, 2)
        if version not in (2, 5):
            raise FormatError(f"DWARF package index of version {version}", offset=0)
        columns, self.count, self._slots = section.numbers(4, 3, 4)
        if columns > _MAX_COLUMNS or self.count > _MAX_UNITS or self._slots & (self._slots - 1):
            raise FormatError("a DWARF package index has impossible sizes", offset=4)
        self._indexes_at = 16 + 8 * self._slots
        table = self._indexes_at + 4 * self._slots
        names = _SECTIONS_V2 if version == 2 else _SECTIONS_V5
        kinds = section.numbers(table, columns, 4)
        self._columns = {names[kind]: n for n, kind in enumerate(kinds) if kind in names}
        self._width = 4 * columns
        self._offsets_at = table + self._width
        self._sizes_at = self._offsets_at + self._width * self.count
        section.take(self._sizes_at, self._width * self.count)

    def row_of(self, signature: int) -> int | None:
        """Return the row of a unit by its id (split units) or signature (types)."""
        if not self._slots:
            return None
        mask = self._slots - 1
        slot = signature & mask
        step = signature >> 32 & mask | 1
        for _ in range(self._slots):
            row = self._section.number(self._indexes_at + 4 * slot, 4)
            if row == 0 or row > self.count:
                return None
            if self._section.number(16 + 8 * slot, 8) == signature:
                return row - 1
            slot = slot + step & mask
        return None

    def place(self, row: int, section: str) -> tuple[int, int] | None:
        """Return offset and size of the part of *section* that belongs to *row*."""
        column = self._columns.get(section)
        if column is None:
            return None
        at = row * self._width + 4 * column
        offset = self._section.number(self._offsets_at + at, 4)
        return offset, self._section.number(self._sizes_at + at, 4)

    @cached_property
    def _rows(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for kind in (".debug_info", ".debug_types"):
            for row in range(self.count if kind in self._columns else 0):
                place = self.place(row, kind)
                if place is not None and place[1]:
                    found.setdefault((kind, place[0]), row)
        return found

    def row_at(self, section: str, offset: int) -> int | None:
        """Return the row of the unit that begins at *offset* of *section*."""
        return self._rows.get((section, offset))
