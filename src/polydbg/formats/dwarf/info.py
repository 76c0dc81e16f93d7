"""A file's DWARF: its units by offset, by signature and by number.

A file may belong to others: split units (``.dwo``, ``.dwp``) hold the entries of the skeletons of
the linked file, a supplementary file (dwz) what several files have in common. Whoever opens files
gives those readers to :class:`DwarfFile`; nothing is opened here.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.abbrev import Abbreviation, AbbreviationTable, iterate
from polydbg.formats.dwarf.constants import AT_GNU_DWO_ID
from polydbg.formats.dwarf.package import PackageIndex
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.dwarf.unit import Unit
from polydbg.formats.dwarf.units import UnitHeader, read_header, read_headers
from polydbg.formats.section import Section

#: How many bytes of units are kept at hand.
_KEPT_BYTES = 24 << 20
_MAX_TABLES = 4096
_MAX_KEPT_ABBREVIATIONS = 1 << 20


class DwarfFile:
    """The DWARF of one file. *suffix* is ``.dwo`` for split files and packages, else empty."""

    def __init__(
        self,
        sections: DebugSections,
        *,
        suffix: str = "",
        supplementary: DwarfFile | None = None,
    ) -> None:
        self.sections = sections
        self.suffix = suffix
        self.supplementary = supplementary
        self._tables: dict[int, AbbreviationTable] = {}
        self._tables_room = _MAX_KEPT_ABBREVIATIONS
        self._first_abbreviations: dict[tuple[int, int], Abbreviation | None] = {}
        self._abbreviations_passed = 0
        self._kept: OrderedDict[int, Unit] = OrderedDict()
        self._kept_size = 0

    def get(self, name: str) -> Section:
        """Return a section of the entries' own file (``.debug_str`` means ``.debug_str.dwo``)."""
        return self.sections.get(name + self.suffix)

    # -- units ---------------------------------------------------------------------------------

    @cached_property
    def _info(self) -> _Units:
        return _Units(self, self.get(".debug_info"), types=False)

    @cached_property
    def _types(self) -> _Units:
        return _Units(self, self.get(".debug_types"), types=True)

    def unit(self, index: int) -> Unit:
        """Return unit *index* of ``.debug_info``."""
        return self._info.unit(index)

    def units(self) -> Iterator[Unit]:
        """Yield the units of ``.debug_info`` in the order of the file."""
        return map(self._info.unit, range(len(self._info)))

    def unit_at(self, offset: int) -> Unit | None:
        """Return the unit that holds *offset* of ``.debug_info``."""
        index = self._info.index_at(offset)
        return self._info.unit(index) if index is not None else None

    def type_unit_at(self, offset: int) -> Unit | None:
        """Return the unit that holds *offset* of ``.debug_types``."""
        index = self._types.index_at(offset)
        return self._types.unit(index) if index is not None else None

    def all_units(self) -> Iterator[Unit]:
        """Yield the units of ``.debug_info`` and ``.debug_types`` in the order of the file."""
        for units in (self._info, self._types):
            yield from map(units.unit, range(len(units)))

    def index_at_start(self, offset: int) -> int | None:
        """Return the number of the unit that begins at *offset* of ``.debug_info``."""
        return self._info.index_at_start(offset)

    def unit_starting_at(self, offset: int) -> Unit | None:
        """Return the unit that begins at *offset* of ``.debug_info``."""
        index = self._info.index_at_start(offset)
        return self._info.unit(index) if index is not None else None

    def unit_known_at(self, offset: int) -> Unit:
        """Return the unit at *offset* of ``.debug_info``, without a look at those before it.

        :raises FormatError: no unit can begin there.
        """
        return self._info.known(offset)

    @cached_property
    def _by_signature(self) -> dict[int, tuple[_Units, int]]:
        found: dict[int, tuple[_Units, int]] = {}
        for units in (self._types, self._info):
            for index in range(len(units)):
                header = units.header(index)
                if header.is_type:
                    found.setdefault(header.signature, (units, index))
        return found

    def type_unit(self, signature: int) -> tuple[Unit, int] | None:
        """Return the unit of the type with *signature* and the offset of the type in it."""
        place = self._by_signature.get(signature)
        if place is None:
            return None
        unit = place[0].unit(place[1])
        return unit, unit.header.offset + unit.header.type_offset

    # -- split units ---------------------------------------------------------------------------

    @cached_property
    def package(self) -> PackageIndex | None:
        """Return the index of a package's units, ``None`` in other files.

        :raises FormatError: it is damaged.
        """
        section = self.sections.get(".debug_cu_index")
        return PackageIndex(section) if section.size else None

    @cached_property
    def _type_package(self) -> PackageIndex | None:
        section = self.sections.get(".debug_tu_index")
        return PackageIndex(section) if section.size else None

    def split_unit(self, dwo_id: int) -> Unit | None:
        """Return the split unit with this id, of a package or a file of its own."""
        if self.package is not None:
            row = self.package.row_of(dwo_id)
            place = self.package.place(row, ".debug_info") if row is not None else None
            return self.unit_starting_at(place[0]) if place is not None else None
        for unit in self.units():
            if not unit.header.is_type and split_id(unit) == dwo_id:
                return unit
        return None

    def contribution(self, unit: Unit, section: str) -> int:
        """Return where the unit's part of *section* begins: not 0 in packages only."""
        if not self.suffix or self.package is None:
            return 0
        index, kind = self.package, ".debug_info"
        if unit.header.is_type and self._type_package is not None:
            index = self._type_package
            kind = ".debug_types" if unit.header.version < 5 else kind
        row = index.row_at(kind, unit.header.offset)
        place = index.place(row, section) if row is not None else None
        return place[0] if place is not None else 0

    # -- what units keep -----------------------------------------------------------------------

    @cached_property
    def _abbreviations(self) -> bytes:
        section = self.get(".debug_abbrev")
        return section.take(0, section.size)

    def abbreviation(self, unit: Unit, code: int) -> Abbreviation | None:
        """Return one abbreviation of *unit*, early in its table: the one of its first entry.

        :raises FormatError: tables overlap: more was looked through than there can be.
        """
        offset = self.contribution(unit, ".debug_abbrev") + unit.header.abbrev_offset
        if offset in self._tables:
            return self._tables[offset].by_code.get(code)
        known = self._first_abbreviations
        if (offset, code) not in known:
            known[offset, code] = self._search_abbreviation(offset, code)
        return known[offset, code]

    def _search_abbreviation(self, offset: int, code: int) -> Abbreviation | None:
        for number, abbreviation in iterate(self._abbreviations, offset):
            self._abbreviations_passed += 1
            if self._abbreviations_passed > len(self._abbreviations):
                raise FormatError("DWARF abbreviation tables overlap", offset=offset)
            if number == code:
                return abbreviation
        return None

    def abbreviations(self, unit: Unit) -> AbbreviationTable:
        """Return the abbreviations of *unit*."""
        offset = self.contribution(unit, ".debug_abbrev") + unit.header.abbrev_offset
        table = self._tables.get(offset)
        if table is None:
            table = AbbreviationTable(self._abbreviations, offset)
            self._tables_room -= len(table.by_code)
            if len(self._tables) >= _MAX_TABLES or self._tables_room < 0:
                self._tables.clear()
                self._tables_room = _MAX_KEPT_ABBREVIATIONS - len(table.by_code)
            self._tables[offset] = table
        return table

    def keep(self, unit: Unit) -> None:
        """Note that *unit* has read its bytes; units read long ago give back theirs."""
        self._kept[id(unit)] = unit
        self._kept_size += unit.header.end - unit.header.offset
        while self._kept_size > _KEPT_BYTES and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._kept_size -= oldest.header.end - oldest.header.offset
            oldest.forget()


def split_id(unit: Unit) -> int | None:
    """Return the id that a skeleton and its split unit share, ``None`` in other units."""
    if unit.header.signature and not unit.header.is_type:
        return unit.header.signature
    return unit.root.number(AT_GNU_DWO_ID)


class _Units:
    """The units of one section; objects are made for those that are asked for."""

    def __init__(self, file: DwarfFile, section: Section, *, types: bool) -> None:
        self._file = file
        self._section = section
        self._types = types
        self._units: dict[int, Unit] = {}

    @cached_property
    def _headers(self) -> Sequence[UnitHeader]:
        return list(read_headers(self._section, types=self._types))

    @cached_property
    def _starts(self) -> array[int]:
        return array("Q", (header.offset for header in self._headers))

    def __len__(self) -> int:
        return len(self._headers)

    def header(self, index: int) -> UnitHeader:
        return self._headers[index]

    def unit(self, index: int) -> Unit:
        return self._of(self._headers[index])

    def _of(self, header: UnitHeader) -> Unit:
        unit = self._units.get(header.offset)
        if unit is None:
            unit = self._units[header.offset] = Unit(self._file, self._section, header)
        return unit

    def known(self, offset: int) -> Unit:
        unit = self._units.get(offset)
        if unit is not None:
            return unit
        header = read_header(self._section, offset, types=self._types)
        if header is None:
            raise FormatError("a DWARF unit of unknown version", offset=offset)
        return self._of(header)

    def index_at(self, offset: int) -> int | None:
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or not self._headers[index].root <= offset < self._headers[index].end:
            return None
        return index

    def index_at_start(self, offset: int) -> int | None:
        index = bisect_right(self._starts, offset) - 1
        return index if index >= 0 and self._starts[index] == offset else None
