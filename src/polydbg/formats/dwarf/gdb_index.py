"""``.gdb_index``: which units define a name. Source: GDB's manual, "Index Section Format".

Names of C++ are qualified; writers differ in whether parameters follow. The section is always
little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polydbg.base.errors import FormatError
from polydbg.formats.section import Section

_MAX_UNITS = 1 << 22
_OLDEST, _NEWEST = 4, 9


class GdbIndex:
    """The index, searched in place."""

    def __init__(self, section: Section) -> None:
        """Read the header.

        :raises FormatError: unknown version, or sizes that the section does not have.
        """
        version, *offsets = struct.unpack("<6I", section.take(0, 24))
        if not _OLDEST <= version <= _NEWEST:
            raise FormatError(f".gdb_index of version {version}", offset=0)
        units, types, addresses, table, pool = offsets
        if version >= 9:
            # A table of shortcuts stands between the names and what they lead to.
            (pool,) = struct.unpack("<I", section.take(24, 4))
        shortcuts = offsets[4]
        if not 24 <= units <= types <= addresses <= table <= shortcuts <= pool <= section.size:
            raise FormatError("a .gdb_index has impossible offsets", offset=0)
        count = (types - units) // 16
        self.units = tuple(
            unit for unit, _ in struct.iter_unpack("<QQ", section.take(units, 16 * count))
        )
        self._section = section
        self._version = version
        self._addresses = addresses, (table - addresses) // 20
        self._table = table
        self._slots = (shortcuts - table) // 8
        self._pool = pool
        if self._slots & (self._slots - 1):
            raise FormatError("the table of a .gdb_index has an impossible size", offset=table)

    def _word(self, offset: int) -> int:
        return int.from_bytes(self._section.take(offset, 4), "little")

    def units_with_code(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield the offset of each unit in ``.debug_info`` that has code, with (start, end) of it.

        :raises FormatError: the index is damaged.
        """
        start, count = self._addresses
        found: dict[int, list[tuple[int, int]]] = {}
        for low, high, unit in struct.iter_unpack("<QQI", self._section.take(start, 20 * count)):
            if unit < len(self.units) and low < high:
                found.setdefault(self.units[unit], []).append((low, high))
        yield from found.items()

    def find(self, name: bytes) -> list[int]:
        """Return the offsets of the units in ``.debug_info`` that define *name*.

        :raises FormatError: the index is damaged.
        """
        if not self._slots:
            return []
        mask = self._slots - 1
        value = _hash(name, self._version)
        slot, step = value & mask, value * 17 & mask | 1
        for _ in range(self._slots):
            name_at = self._word(self._table + 8 * slot)
            list_at = self._word(self._table + 8 * slot + 4)
            if name_at == list_at == 0:
                return []
            if self._section.string(self._pool + name_at) == name:
                return self._units_of(self._pool + list_at)
            slot = slot + step & mask
        return []

    def _units_of(self, offset: int) -> list[int]:
        count = self._word(offset)
        if count > _MAX_UNITS:
            raise FormatError("a list of a .gdb_index is too long", offset=offset)
        data = self._section.take(offset + 4, 4 * count)
        # The low 24 bits are the unit; numbers above the compile units are type units.
        numbers = {word & 0xFFFFFF for (word,) in struct.iter_unpack("<I", data)}
        return [self.units[each] for each in sorted(numbers) if each < len(self.units)]


def _hash(name: bytes, version: int) -> int:
    value = 0
    for byte in name.lower() if version >= 5 else name:
        value = value * 67 + byte - 113 & 0xFFFFFFFF
    return value
