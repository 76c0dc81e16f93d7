"""The code of the functions of one unit, found in one pass over its entries.

Functions inside of others and of classes count too. Sources: DWARF 5 sections 2.17 and 3.3.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import LEB_FORMS
from polydbg.formats.dwarf.forms import ADDRESS_INDEXES, step_over
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.skipping import run_of_entries
from polydbg.formats.dwarf.unit import Unit

_CODE = frozenset({c.AT_LOW_PC, c.AT_RANGES})
_MAX_PIECES = 1 << 20
"""Of the code of one unit's functions: a damaged file can lead all of them to one long list."""


def functions_of(unit: Unit, lowest: int = 1) -> Intervals:
    """Return (start, end, offset of the entry) of each piece of each function of *unit*; code below
    *lowest* was dropped by the linker.

    Where the entries stop making sense the search ends: what was found until then holds.

    :raises FormatError: the unit has no abbreviations, or its root is damaged.
    """
    found: list[tuple[int, int, int]] = []
    wanted = {
        code: _place_of(unit, code)
        for code, each in unit.abbreviations.items()
        if each.tag == c.TAG_SUBPROGRAM and not each.names.isdisjoint(_CODE)
    }
    if wanted:
        with suppress(FormatError, KeyError, IndexError):
            _find(unit, wanted, lowest, found)
    return Intervals(found)


class _Place(msgspec.Struct, frozen=True):
    """Where an entry has its two addresses: *low* bytes behind its code the first, of *low_size*
    bytes (0: an index of variable length), and *gap* bytes behind that the second."""

    low: int
    low_size: int
    is_index: bool
    gap: int
    high_size: int


def _find(
    unit: Unit,
    wanted: dict[int, _Place | None],
    lowest: int,
    found: list[tuple[int, int, int]],
) -> None:
    data, start, order = unit.data, unit.header.offset, unit.section.order
    sizes, steps, encoding = unit.layout.sizes, unit.layout.steps, unit.encoding
    run = run_of_entries(unit, wanted)
    position, end, room = unit.header.root - start, len(data), _MAX_PIECES
    while position < end:
        if run is not None:
            match = run.match(data, position)
            position = match.end() if match is not None else position
            if position >= end:
                return
        at = position
        code = data[position]
        position += 1
        if code >= 0x80:
            second = data[position]
            position += 1
            code = code & 0x7F | second << 7
            if second >= 0x80:
                code, position = uleb128(data, at)
        if code in wanted:
            pieces = _pieces(unit, wanted[code], at, position)
            room -= len(pieces)
            if room < 0:
                return
            found.extend((low, high, start + at) for low, high in pieces if low >= lowest)
        size = sizes[code]
        if size >= 0:
            position += size
        else:
            position = step_over(data, position, steps[code], encoding, order)


def _place_of(unit: Unit, code: int) -> _Place | None:
    """Return where entries with this *code* have both addresses, ``None`` where that differs from
    entry to entry, or they have a list of ranges."""
    position = low = 0
    low_field: tuple[int, int] | None = None
    for name, form, size, _ in unit.layout.fields[code]:
        if name == c.AT_RANGES:
            return None
        if name == c.AT_LOW_PC and low_field is None:
            if size < 0 and form not in LEB_FORMS:
                return None
            low_field, low, position = (form, max(size, 0)), position, 0
            continue
        if size < 0:
            return None
        if name == c.AT_HIGH_PC and low_field is not None:
            is_length = form not in ADDRESS_INDEXES and form != c.FORM_ADDR
            if not is_length or not size:
                return None
            form, low_size = low_field
            return _Place(low, low_size, form in ADDRESS_INDEXES, position, size)
        position += size
    return None


def _pieces(unit: Unit, place: _Place | None, at: int, position: int) -> list[tuple[int, int]]:
    """Return the code of the function whose entry begins *at*, its first value at *position*."""
    try:
        if place is None:
            die = unit.die(unit.header.offset + at)
            return die.ranges() if die is not None else []
        data, order = unit.data, unit.section.order
        position += place.low
        if place.low_size:
            low = int.from_bytes(data[position : position + place.low_size], order)
            position += place.low_size
        else:
            low, position = uleb128(data, position)
        position += place.gap
        raw = data[position : position + place.high_size]
        start = unit.indexed_address(low) if place.is_index else low
        if start is None or len(raw) != place.high_size:
            return []
    except FormatError:
        return []  # its list of ranges or its address is damaged; others are not
    return [(start, start + int.from_bytes(raw, order))]
