"""One unit: its entries (DIEs) by offset, and what the values of their attributes stand for.

Entries are read where they lie; no tree is built. Sources: DWARF 5 sections 2, 3.1, 7.3 and 7.5,
the GNU extensions for split units (version 4) and supplementary files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import Abbreviation, Encoding, Layout
from polydbg.formats.dwarf.forms import (
    ADDRESS_INDEXES,
    LOCAL_REFERENCES,
    STRING_INDEXES,
    Value,
    read_value,
)
from polydbg.formats.dwarf.reading import cut, uleb128
from polydbg.formats.dwarf.units import UnitHeader
from polydbg.formats.section import Section

if TYPE_CHECKING:
    from polydbg.formats.dwarf.info import DwarfFile

_ROOT_ROOM = 4096
_MAX_SPREAD = 16

Attributes = dict[int, tuple[int, Value]]
"""From DW_AT numbers to (form, value)."""


class Die:
    """One entry: *offset* is from the start of its section, *after* where the next entry begins."""

    __slots__ = ("after", "attributes", "has_children", "offset", "tag", "unit")

    def __init__(
        self, unit: Unit, offset: int, after: int, abbreviation: Abbreviation, values: Attributes
    ) -> None:
        self.unit = unit
        self.offset = offset
        self.after = after
        self.tag = abbreviation.tag
        self.has_children = abbreviation.has_children
        self.attributes = values

    def number(self, name: int) -> int | None:
        """Return a number as it stands, ``None`` without one."""
        found = self.attributes.get(name)
        return found[1] if found is not None and isinstance(found[1], int) else None

    def block(self, name: int) -> bytes | None:
        """Return a block or expression, ``None`` where the attribute is not one."""
        found = self.attributes.get(name)
        return found[1] if found is not None and isinstance(found[1], bytes) else None

    def string(self, name: int) -> bytes | None:
        """Return a string, ``None`` without one."""
        found = self.attributes.get(name)
        return self.unit.string(*found) if found is not None else None

    def address(self, name: int) -> int | None:
        """Return an address, ``None`` without one."""
        found = self.attributes.get(name)
        return self.unit.address(*found) if found is not None else None

    def reference(self, name: int) -> Die | None:
        """Return the entry that the attribute leads to, ``None`` where it is not in reach."""
        found = self.attributes.get(name)
        place = self.unit.reference(*found) if found is not None else None
        return place[0].die(place[1]) if place is not None else None

    def ranges(self) -> list[tuple[int, int]]:
        """Return (start, end) of each piece of code, in the order of the file."""
        return self.unit.ranges(self.attributes)


class Unit:
    """One unit of *file*; *skeleton* is the unit of the linked file that a split unit belongs to.

    Offsets count from the start of the unit's section. Methods raise
    :class:`~polydbg.base.errors.FormatError` where the file is damaged.
    """

    __slots__ = (
        "_addresses",
        "_data",
        "_layout",
        "_root",
        "_table",
        "encoding",
        "file",
        "header",
        "section",
        "skeleton",
    )

    def __init__(self, file: DwarfFile, section: Section, header: UnitHeader) -> None:
        self.file = file
        self.section = section
        self.header = header
        self.encoding = Encoding(header.version, header.address_size, header.offset_size)
        self.skeleton: Unit | None = None
        self._addresses: tuple[Section | None, int] | None = None
        self._data: bytes | None = None
        self._table: dict[int, Abbreviation] | None = None
        self._layout: Layout | None = None
        self._root: Die | None = None

    @property
    def data(self) -> bytes:
        """Return the bytes of the whole unit; position 0 is :attr:`UnitHeader.offset`."""
        if self._data is None:
            self._data = self.section.take(self.header.offset, self.header.end - self.header.offset)
            self.file.keep(self)
        return self._data

    def forget(self) -> None:
        """Give back the memory of the unit's bytes; they are read again when needed."""
        self._data = None

    @property
    def abbreviations(self) -> dict[int, Abbreviation]:
        if self._table is None:
            self._table = self.file.abbreviations(self).by_code
        return self._table

    @property
    def layout(self) -> Layout:
        """Return how to skip this unit's entries."""
        if self._layout is None:
            self._layout = self.file.abbreviations(self).layout(self.encoding)
        return self._layout

    @property
    def root(self) -> Die:
        """Return the entry of the unit itself."""
        if self._root is None:
            self._root = self._read_root()
        return self._root

    def _read_root(self) -> Die:
        # Entries of units are read by the thousand, before anything else is wanted of them.
        offset, size = self.header.root, self.header.end - self.header.root
        try:
            return self._parse_root(self.section.take(offset, min(size, _ROOT_ROOM)))
        except FormatError:
            if size <= _ROOT_ROOM:
                raise
        return self._parse_root(self.section.take(offset, size))

    def _parse_root(self, data: bytes) -> Die:
        offset, order = self.header.root, self.section.order
        code, position = uleb128(data, 0)
        abbreviation = self.file.abbreviation(self, code)
        if abbreviation is None:
            raise FormatError("a DWARF unit has no first entry", offset=offset)
        values: Attributes = {}
        for name, form, constant in abbreviation.attributes:
            form, value, position = read_value(data, position, form, constant, self.encoding, order)
            values[name] = form, value
        return Die(self, offset, offset + position, abbreviation, values)

    def die(self, offset: int) -> Die | None:
        """Return the entry at *offset*, ``None`` for the end of a list of children.

        :raises FormatError: no entry can begin there.
        """
        header = self.header
        if not header.root <= offset < header.end:
            raise FormatError(f"DIE offset {offset:#x} lies outside of its unit", offset=offset)
        return self._read(self.data, offset - header.offset, offset)

    def _read(self, data: bytes, position: int, offset: int) -> Die | None:
        start = position
        code, position = uleb128(data, position)
        if code == 0:
            return None
        abbreviation = self.abbreviations.get(code)
        if abbreviation is None:
            raise FormatError(f"unknown DWARF abbreviation {code:#x}", offset=offset)
        order, encoding = self.section.order, self.encoding
        values: Attributes = {}
        for name, form, size, value in self.layout.fields[code]:
            if size > 0:
                values[name] = form, int.from_bytes(data[position : position + size], order)
                position += size
            elif size == 0:
                values[name] = form, value
            else:
                form, found, position = read_value(data, position, form, 0, encoding, order)
                values[name] = form, found
        if position > len(data):
            raise cut("entry", offset)
        return Die(self, offset, offset + position - start, abbreviation, values)

    # -- what values stand for -----------------------------------------------------------------

    def string(self, form: int, value: Value) -> bytes | None:
        """Return the string behind a value, ``None`` where it is in a file that is not here."""
        if isinstance(value, bytes):
            return value
        if form in STRING_INDEXES:
            size = self.header.offset_size
            table = self.file.get(".debug_str_offsets")
            offset = table.number(self.str_offsets_base + value * size, size)
            return self.file.get(".debug_str").string(offset)
        if form == c.FORM_LINE_STRP:
            return self.file.sections.get(".debug_line_str").string(value)
        if form in (c.FORM_STRP_SUP, c.FORM_GNU_STRP_ALT):
            other = self.file.supplementary
            return other.get(".debug_str").string(value) if other is not None else None
        if form == c.FORM_STRP:
            return self.file.get(".debug_str").string(value)
        return None

    @property
    def str_offsets_base(self) -> int:
        """Return where in ``.debug_str_offsets`` the unit's table of strings begins."""
        base = self.root.number(c.AT_STR_OFFSETS_BASE)
        if base is None:
            # Version 4 has no header; the table of a split unit begins after it.
            base = self.header.offset_size * 2 if self.header.version >= 5 else 0
        return self.file.contribution(self, ".debug_str_offsets") + base

    def address(self, form: int, value: Value) -> int | None:
        """Return the address behind a value, ``None`` where the table of addresses is not here."""
        if not isinstance(value, int):
            return None
        if form in ADDRESS_INDEXES:
            return self.indexed_address(value)
        if form == c.FORM_LLVM_ADDRX_OFFSET:
            base = self.indexed_address(value >> 32)
            return base + (value & 0xFFFFFFFF) if base is not None else None
        return value

    def indexed_address(self, index: int) -> int | None:
        """Return entry *index* of the unit's part of ``.debug_addr``."""
        if self._addresses is None:
            self._addresses = self._address_table()
        table, base = self._addresses
        if table is None:
            return None
        size = self.header.address_size
        return table.number(base + index * size, size)

    def indexed_addresses(self, indexes: Sequence[int]) -> Sequence[int | None]:
        """Return what :meth:`indexed_address` does for each of *indexes*."""
        low, high = min(indexes, default=0), max(indexes, default=0)
        if high - low > _MAX_SPREAD * len(indexes) or self.indexed_address(low) is None:
            return [self.indexed_address(index) for index in indexes]
        table, base = self._addresses or (None, 0)
        size = self.header.address_size
        assert table is not None
        found = table.numbers(base + low * size, high - low + 1, size)
        return [found[index - low] for index in indexes]

    def _address_table(self) -> tuple[Section | None, int]:
        """Return ``.debug_addr`` and where the unit's part begins."""
        owner = self.skeleton or self
        if owner.file.suffix:
            return None, 0  # a split unit without its skeleton
        base = owner.root.number(c.AT_ADDR_BASE)
        if base is None:
            base = owner.root.number(c.AT_GNU_ADDR_BASE)
        if base is None:
            base = owner.header.offset_size * 2 if self.header.version >= 5 else 0
        return owner.file.get(".debug_addr"), base

    def reference(self, form: int, value: Value) -> tuple[Unit, int] | None:
        """Return the unit and offset that a reference leads to, ``None`` where not in reach."""
        if not isinstance(value, int):
            return None
        if form in LOCAL_REFERENCES:
            return self, self.header.offset + value
        if form == c.FORM_REF_SIG8:
            return self.file.type_unit(value)
        file: DwarfFile | None = self.file
        if form in (c.FORM_GNU_REF_ALT, c.FORM_REF_SUP4, c.FORM_REF_SUP8):
            file = self.file.supplementary
        elif form != c.FORM_REF_ADDR:
            return None
        unit = file.unit_at(value) if file is not None else None
        return (unit, value) if unit is not None else None

    # -- code ----------------------------------------------------------------------------------

    @property
    def base_address(self) -> int:
        """Return the address that ranges count from."""
        owner = self.skeleton or self
        found = owner.root.attributes.get(c.AT_LOW_PC)
        return (owner.address(*found) if found is not None else 0) or 0

    def ranges(self, attributes: Attributes) -> list[tuple[int, int]]:
        """Return (start, end) of each piece of code that *attributes* give, none of them empty."""
        found = attributes.get(c.AT_RANGES)
        if found is not None and isinstance(found[1], int):
            from polydbg.formats.dwarf.ranges import read_ranges

            return read_ranges(self, found[0], found[1])
        low = attributes.get(c.AT_LOW_PC)
        high = attributes.get(c.AT_HIGH_PC)
        if low is None or high is None:
            return []
        start = self.address(*low)
        form, value = high
        if start is None or not isinstance(value, int):
            return []
        is_address = form == c.FORM_ADDR or form in ADDRESS_INDEXES
        end = self.address(form, value) if is_address else start + value
        return [(start, end)] if end is not None and start < end else []

    @property
    def language(self) -> int:
        """Return the DW_LANG number, 0 when not said."""
        return self.root.number(c.AT_LANGUAGE) or 0
