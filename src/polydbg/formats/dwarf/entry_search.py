"""Finds entries (DIEs) by name without a pass over all of them.

Names lie in ``.debug_str``; what refers to one holds its offset, or its number in a table of
offsets, at a place that the abbreviation tells. So the name is searched for there, then its offset
in the section of the entries, and the abbreviation's code in front of each find. What is found
looks like an entry and has the name; whether one begins there is for the caller to check.
Linkers let names share their ends: each string that ends in the name is tried, those that are
nothing else first. Sources: DWARF 5 sections 7.5.2, 7.5.3, 7.5.5 and 7.26.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from polydbg.base.errors import FormatError
from polydbg.base.pages import give_back
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.forms import STRING_INDEXES
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.scopes import scope_table
from polydbg.formats.dwarf.unit import Unit
from polydbg.formats.section import Searchable, Section

_CHUNK = 4 << 20
_MAX_ENDS = 4096
_AT_ONCE = 4
_MAX_SPELLINGS = 64
_MAX_CODE = 0x3FFF
_ALT_FORMS = (c.FORM_GNU_STRP_ALT, c.FORM_STRP_SUP)
_INDEX_SIZES = {c.FORM_STRX1: 1, c.FORM_STRX2: 2, c.FORM_STRX3: 3, c.FORM_STRX4: 4}

Poll = Callable[[], None]
"""Called every few milliseconds; what it raises ends the search."""
Place = tuple[Unit, int]
"""A unit and the offset of an entry in its section."""


class EntrySearch:
    """Finds entries with one of *tags* by the value of *attribute*, ``DW_AT_name`` as a rule."""

    def __init__(self, file: DwarfFile, tags: frozenset[int]) -> None:
        self._file = file
        self._tags = tags
        self._fields: dict[int, _Fields] = {}
        self._tables: tuple[list[int], list[Unit]] | None = None

    def named(self, name: bytes, poll: Poll) -> Iterator[Place]:
        """Yield where entries called *name* seem to begin, each once for each way to find it."""
        yield from self._by_table(name, poll)
        yield from self._inline(name, poll)
        yield from self._loose(name, poll)

    def completing(self, declaration: Place, poll: Poll) -> Iterator[Place]:
        """Yield where entries of the same unit seem to begin whose ``DW_AT_specification`` is
        *declaration*."""
        unit, offset = declaration
        fields = self._fields_of(unit, c.AT_SPECIFICATION)
        for form, size in ((c.FORM_REF4, 4), (c.FORM_REF2, 2), (c.FORM_REF1, 1), (c.FORM_REF8, 8)):
            if form in fields.places and offset - unit.header.offset < 1 << 8 * size:
                value = (offset - unit.header.offset).to_bytes(size, unit.section.order)
                for at in _all(unit.data, value):
                    yield from fields.entries(unit, at, form)
        poll()

    def spelled(self, name: bytes, poll: Poll) -> set[bytes]:
        """Return how *name* is spelled, in whatever case, at the ends of strings of the file; what
        is not ASCII is taken as it is."""
        wanted = name.lower() + b"\0"
        found: set[bytes] = set()
        for section in (self._file.get(".debug_str"), self._file.get(".debug_info")):
            buffer, start, end = section.extent
            for low in range(start, end, _CHUNK):
                poll()
                high = min(low + _CHUNK + len(wanted) - 1, end)
                for at in _all(bytes(buffer[low:high]).lower(), wanted):
                    if len(found) < _MAX_SPELLINGS:
                        found.add(bytes(buffer[low + at : low + at + len(name)]))
                give_back(buffer, low, high)
        return found

    # -- names in tables -----------------------------------------------------------------------

    def _by_table(self, name: bytes, poll: Poll) -> Iterator[Place]:
        strings = self._file.get(".debug_str")
        ends: list[tuple[bytes, int]] = []
        for at in occurrences(strings, name + b"\0", poll):
            if at == 0 or strings.take(at - 1, 1) == b"\0":
                yield from self._with_strings([at], c.FORM_STRP, poll)
            elif len(ends) < _MAX_ENDS:
                ends.append((_before(strings, at)[::-1], at))
        # GNU ld keeps the end in the string that comes next when they are sorted from behind.
        ends.sort()
        offsets = [at for _, at in ends]
        for at in offsets[:_AT_ONCE]:
            yield from self._with_strings([at], c.FORM_STRP, poll)
        if len(offsets) > _AT_ONCE:
            yield from self._with_strings(offsets[_AT_ONCE:], c.FORM_STRP, poll)
        other = self._file.supplementary
        if other is not None:
            found = list(occurrences(other.get(".debug_str"), name + b"\0", poll))[:_MAX_ENDS]
            for form in _ALT_FORMS:
                yield from self._with_strings(found, form, poll)

    def _with_strings(self, offsets: Sequence[int], form: int, poll: Poll) -> Iterator[Place]:
        """Yield the entries whose names are the strings at *offsets*."""
        for section, unit_at in self._entries():
            for size in (4, 8):
                values = [each.to_bytes(size, section.order) for each in offsets]
                for at in _any(section, values, poll):
                    poll()
                    unit = unit_at(at)
                    if unit is not None and unit.header.offset_size == size:
                        fields = self._fields_of(unit)
                        yield from fields.entries(unit, at - unit.header.offset, form)
                if not self._has_wide():
                    break
        if form == c.FORM_STRP:
            yield from self._with_indexes(offsets, poll)

    def _entries(self) -> list[tuple[Section, Callable[[int], Unit | None]]]:
        file = self._file
        return [
            (file.get(".debug_info"), file.unit_at),
            (file.get(".debug_types"), file.type_unit_at),
        ]

    def _has_wide(self) -> bool:
        """Tell whether the file may have units with offsets of 64 bits."""
        section = self._file.get(".debug_info")
        return section.rest(0, 4) == b"\xff\xff\xff\xff"

    def _with_indexes(self, offsets: Sequence[int], poll: Poll) -> Iterator[Place]:
        """Yield the entries that name the strings at *offsets* by their numbers in a table."""
        section = self._file.get(".debug_str_offsets")
        if not section.size:
            return
        starts, units = self._string_tables()
        size = 8 if self._has_wide() else 4
        values = [each.to_bytes(size, section.order) for each in offsets]
        for at in _any(section, values, poll):
            rank = bisect_right(starts, at) - 1
            # Units may share a table; split units without a base of their own all do.
            start = starts[rank] if rank >= 0 else 0
            if (at - start) % size:
                continue
            while rank >= 0 and starts[rank] == start:
                poll()
                yield from self._with_index(units[rank], (at - start) // size)
                rank -= 1

    def _with_index(self, unit: Unit, index: int) -> Iterator[Place]:
        fields = self._fields_of(unit)
        for form in fields.places.keys() & STRING_INDEXES:
            size = _INDEX_SIZES.get(form)
            if size is not None and index >> 8 * size:
                continue
            value = _uleb(index) if size is None else index.to_bytes(size, unit.section.order)
            for at in _all(unit.data, value):
                yield from fields.entries(unit, at, form)

    def _string_tables(self) -> tuple[list[int], list[Unit]]:
        """Return where the units' tables of strings begin, in ascending order, and the units."""
        if self._tables is None:
            found: list[tuple[int, int, Unit]] = []
            for unit in self._file.all_units():
                try:
                    found.append((unit.str_offsets_base, len(found), unit))
                except FormatError:
                    continue
            found.sort()
            self._tables = [each[0] for each in found], [each[2] for each in found]
        return self._tables

    # -- other names ---------------------------------------------------------------------------

    def _inline(self, name: bytes, poll: Poll) -> Iterator[Place]:
        """Yield the entries with the name in themselves."""
        for section, unit_at in self._entries():
            for at in occurrences(section, name + b"\0", poll):
                poll()
                unit = unit_at(at)
                if unit is not None:
                    fields = self._fields_of(unit)
                    yield from fields.entries(unit, at - unit.header.offset, c.FORM_STRING)

    def _loose(self, name: bytes, poll: Poll) -> Iterator[Place]:
        """Yield the entries whose names have no fixed place: these are read one by one."""
        for unit in self._file.all_units():
            poll()
            try:
                codes = self._fields_of(unit).loose
                table = scope_table(unit) if codes else None
                for offset in table.offsets if table is not None else ():
                    die = unit.die(unit.header.offset + offset)
                    if die is not None and die.tag in self._tags and die.string(c.AT_NAME) == name:
                        yield unit, die.offset
            except FormatError:
                continue

    def _fields_of(self, unit: Unit, attribute: int = c.AT_NAME) -> _Fields:
        try:
            table = unit.abbreviations
        except FormatError:
            return _NO_FIELDS
        # Tables are kept by the file, or made anew for a unit: then they belong to that.
        key = hash((id(table), attribute, unit.encoding.key))
        found = self._fields.get(key)
        if found is None or found.table is not table:
            try:
                found = _Fields(unit, self._tags, attribute)
            except FormatError:
                return _NO_FIELDS
            self._fields[key] = found
        return found


class _Fields:
    """Where an attribute lies in entries of certain tags. *places*: by form, how many bytes after
    the code it begins, for which codes. *loose* are the codes that do not have it at a fixed
    place."""

    def __init__(self, unit: Unit | None, tags: frozenset[int], attribute: int) -> None:
        self.table = unit.abbreviations if unit is not None else None
        self.places: dict[int, dict[int, set[int]]] = {}
        self.loose: set[int] = set()
        for code, abbreviation in (self.table or {}).items():
            if abbreviation.tag not in tags or attribute not in abbreviation.names:
                continue
            assert unit is not None
            position = 0
            for name, form, size, _ in unit.layout.fields[code]:
                if name == attribute:
                    self.places.setdefault(form, {}).setdefault(position, set()).add(code)
                    break
                if size < 0:
                    self.loose.add(code)
                    break
                position += size
            if code > _MAX_CODE:
                self.loose.add(code)

    def entries(self, unit: Unit, at: int, form: int) -> Iterator[Place]:
        """Yield the entries that have the attribute at position *at* of the unit."""
        places = self.places.get(form)
        if not places:
            return
        data, first = unit.data, unit.header.root - unit.header.offset
        start = unit.header.offset
        for distance, codes in places.items():
            last = at - distance - 1
            if last < first:
                continue
            code = data[last]
            if code in codes and code < 0x80:
                yield unit, start + last
            if last > first and code < 0x80 and data[last - 1] >= 0x80:
                wide = data[last - 1] & 0x7F | code << 7
                if wide in codes:
                    yield unit, start + last - 1


_NO_FIELDS = _Fields(None, frozenset(), 0)


def occurrences(section: Section, pattern: bytes, poll: Poll) -> Iterator[int]:
    """Yield where *pattern* occurs, in ascending order."""
    yield from _any(section, [pattern], poll)


def _any(section: Section, patterns: Sequence[bytes], poll: Poll) -> Iterator[int]:
    """Yield where one of *patterns*, all equally long, occurs."""
    if not patterns or not section.size:
        return
    buffer, start, end = section.extent
    one = patterns[0]
    wanted = None
    if len(patterns) > 1:
        wanted = re.compile(b"|".join(map(re.escape, patterns)), re.DOTALL)
    for low in range(start, end, _CHUNK):
        poll()
        high = min(low + _CHUNK + len(one) - 1, end)
        if wanted is None:
            found = _all(buffer, one, low, high)
        else:
            found = _matches(buffer, wanted, low, high)
        for at in found:
            yield at - start
        give_back(buffer, low, high)


def _all(
    buffer: Searchable, pattern: bytes, low: int = 0, high: int | None = None
) -> Iterator[int]:
    high = len(buffer) if high is None else high
    at = buffer.find(pattern, low, high)
    while at >= 0:
        yield at
        at = buffer.find(pattern, at + 1, high)


def _matches(buffer: Searchable, wanted: re.Pattern[bytes], low: int, high: int) -> Iterator[int]:
    match = wanted.search(buffer, low, high)
    while match is not None:
        yield match.start()
        match = wanted.search(buffer, match.start() + 1, high)


def _before(strings: Section, at: int) -> bytes:
    """Return what stands before offset *at* in the string that ends there, or its last bytes."""
    low = max(at - 256, 0)
    data = strings.take(low, at - low)
    return data[data.rfind(b"\0") + 1 :]


def _uleb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
