"""Which entries (DIEs) of a file have a literal text in their names, told without reading them.

The strings with the text are found first; an entry is then looked at no further than the number or
offset of its name, whose place its abbreviation tells. Sources: DWARF 5 sections 7.5.3, 7.5.5 and
7.26.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from polydbg.base.pages import give_back
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.entry_search import Poll
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Unit
from polydbg.formats.section import Section

_CHUNK = 4 << 20
_MAX_STRING = 1 << 20
_POLL_EVERY = 1024
_BLOCK = 4096  # of bytes, a multiple of every size of offsets
_INDEXES = (c.FORM_STRX1, c.FORM_STRX2, c.FORM_STRX3, c.FORM_STRX4)
_INDEXED = c.FORM_STRX4  # stands for all of them
_ELSEWHERE = (c.AT_SPECIFICATION, c.AT_SIGNATURE, c.AT_ABSTRACT_ORIGIN)


class NameFilter:
    """The strings of *file* that contain *literal*, in lower case, whatever case they are in."""

    def __init__(self, file: DwarfFile, literal: bytes, poll: Poll) -> None:
        self._literal = literal
        self._starts, self._lasts = _strings_with(file.get(".debug_str"), literal, poll)

    def holds(self, offset: int) -> bool:
        """Tell whether the string at *offset*, which may be the end of another, has the text."""
        rank = bisect_right(self._starts, offset) - 1
        return rank >= 0 and offset <= self._lasts[rank]

    def is_in(self, name: bytes) -> bool:
        """Tell whether *name* has the text."""
        return self._literal in name.lower()

    def entries(
        self, unit: Unit, offsets: Sequence[int], parents: Sequence[int], tags: frozenset[int]
    ) -> Iterator[int]:
        """Yield those of *offsets*, counted from the unit's start and ascending, whose entries have
        one of *tags*, and the text in their names or those of a scope around them (*parents*, 0 for
        none). What their abbreviations do not tell counts, as do scopes that are shown by other
        words than their names: functions and those without a name.

        :raises FormatError: the unit is damaged.
        """
        data, order = unit.data, unit.section.order
        fields = {code: _field(unit, code) for code in unit.abbreviations}
        wanted = {code for code, each in unit.abbreviations.items() if each.tag in tags}
        indexes = _Indexes(unit, self)
        known = indexes.known
        within: set[int] = set()
        for start, parent in zip(offsets, parents, strict=True):
            code, at = data[start], start + 1
            if code >= 0x80:
                code, at = uleb128(data, start)
            field = fields.get(code)
            if parent in within or field is None:
                found: bool | None = True
            else:
                position, form, size = field
                value = data[at + position : at + position + size]
                if form == _INDEXED:
                    found = known.get(value)
                    if found is None:
                        found = indexes.holds(int.from_bytes(value, order), value)
                elif form == c.FORM_STRP:
                    found = self.holds(int.from_bytes(value, order))
                elif form == c.FORM_STRING:
                    found = self.is_in(_string(data, at + position))
                else:
                    found = code not in wanted
            if found:
                within.add(start)
                if code in wanted:
                    yield start


class _Indexes:
    """Which numbers of strings of *unit* are of strings that have the text of *names*."""

    def __init__(self, unit: Unit, names: NameFilter) -> None:
        self.known: dict[bytes, bool] = {}
        self._names = names
        self._unit = unit
        self._size = unit.header.offset_size
        self._table = unit.file.sections.get(".debug_str_offsets")
        self._base = unit.str_offsets_base if self._table.size else 0
        self._blocks: dict[int, bytes] = {}

    def holds(self, index: int, value: bytes) -> bool:
        """Tell it of string number *index*, which *value* stands for.

        :raises FormatError: the table of strings is shorter.
        """
        block, at = divmod(index * self._size, _BLOCK)
        data = self._blocks.get(block)
        if data is None:
            data = self._table.rest(self._base + block * _BLOCK, _BLOCK)
            self._blocks[block] = data
        offset = int.from_bytes(data[at : at + self._size], self._unit.section.order)
        found = self.known[value] = self._names.holds(offset)
        return found


def _string(data: bytes, at: int) -> bytes:
    end = data.find(b"\0", at)
    return data[at : end if end >= 0 else len(data)]


_Field = tuple[int, int, int]
_NONE: _Field = (0, 0, 0)


def _field(unit: Unit, code: int) -> _Field | None:
    """Return how many bytes behind the code the name is, its form and its size, form 0 without a
    name; ``None`` where it has no fixed place, is not in the entry or is not what is shown."""
    names = unit.abbreviations[code].names
    tag = unit.abbreviations[code].tag
    if tag == c.TAG_SUBPROGRAM or any(each in names for each in _ELSEWHERE):
        return None
    position = 0
    for name, form, size, _ in unit.layout.fields[code]:
        if name == c.AT_NAME:
            if form in _INDEXES:
                return position, _INDEXED, size
            return (position, form, size) if form in (c.FORM_STRP, c.FORM_STRING) else None
        if size < 0:
            return None if c.AT_NAME in names else _NONE
        position += size
    return _NONE


def _strings_with(section: Section, literal: bytes, poll: Poll) -> tuple[array[int], array[int]]:
    """Return where the strings that contain *literal* begin, and where it last does in each."""
    starts, lasts = array("Q"), array("Q")
    buffer, start, end = section.extent
    low = start
    while low < end:
        poll()
        high = min(low + _CHUNK, end)
        stop = buffer.find(b"\0", high - 1, min(high + _MAX_STRING, end))
        high = stop + 1 if stop >= 0 else high
        folded = bytes(buffer[low:high]).lower()
        at = folded.find(literal)
        while at >= 0:
            stop = folded.find(b"\0", at)
            stop = stop if stop >= 0 else len(folded)
            starts.append(low - start + folded.rfind(b"\0", 0, at) + 1)
            lasts.append(low - start + folded.rfind(literal, at, stop))
            at = folded.find(literal, stop)
            if len(starts) % _POLL_EVERY == 0:
                poll()
        give_back(buffer, low, high)
        low = high
    return starts, lasts
