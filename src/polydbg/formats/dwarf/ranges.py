"""Lists of address ranges: ``.debug_ranges`` (versions 2 to 4) and ``.debug_rnglists`` (5).

Sources: DWARF 4 section 2.17.3, DWARF 5 sections 2.17.3, 7.25 and 7.28.
"""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import Section, uleb128, unsigned
from polydbg.formats.dwarf.unit import Unit

_MAX_RANGES = 1 << 18
_CHUNK = 1 << 16
(
    _END_OF_LIST,
    _BASE_ADDRESSX,
    _STARTX_ENDX,
    _STARTX_LENGTH,
    _OFFSET_PAIR,
    _BASE_ADDRESS,
    _START_END,
    _START_LENGTH,
) = range(8)

Ranges = list[tuple[int, int]]
"""(start, end) of each range: addresses in bytes, none of them empty."""


def read_ranges(unit: Unit, form: int, value: int) -> Ranges:
    """Return the list that DW_AT_ranges of an entry of *unit* leads to.

    :raises FormatError: it is damaged.
    """
    if unit.header.version >= 5:
        section = unit.file.get(".debug_rnglists")
        offset = _list_offset(unit, section, value) if form == c.FORM_RNGLISTX else value
        return _read_v5(unit, section, unit.file.contribution(unit, ".debug_rnglists") + offset)
    owner = unit.skeleton
    if owner is None:
        return _read_v4(unit, unit.file.get(".debug_ranges"), value)
    base = owner.root.number(c.AT_GNU_RANGES_BASE) or 0
    return _read_v4(unit, owner.file.get(".debug_ranges"), base + value)


def _list_offset(unit: Unit, section: Section, index: int) -> int:
    """Return where list *index* of the unit's part of ``.debug_rnglists`` begins."""
    size = unit.header.offset_size
    base = unit.root.number(c.AT_RNGLISTS_BASE)
    if base is None:
        # Without the attribute the table of a split unit stands behind the section's header.
        base = 12 if size == 4 else 20
    start = unit.file.contribution(unit, ".debug_rnglists") + base + index * size
    return base + section.number(start, size)


def _read_v4(unit: Unit, section: Section, offset: int) -> Ranges:
    size = unit.header.address_size
    mask = (1 << 8 * size) - 1
    base = unit.base_address
    found: Ranges = []
    for _ in range(_MAX_RANGES):
        start, end = section.numbers(offset, 2, size)
        offset += 2 * size
        if start == mask:
            base = end
        elif start == end == 0:
            return found
        elif start < end:
            found.append((start + base & mask, end + base & mask))
    raise FormatError("a DWARF list of ranges does not end", offset=offset)


def _read_v5(unit: Unit, section: Section, offset: int) -> Ranges:
    data = section.rest(offset, _CHUNK)
    size, order = unit.header.address_size, section.order
    position = 0
    base: int | None = unit.base_address
    found: Ranges = []
    for _ in range(_MAX_RANGES):
        if position + 32 > len(data) and offset + len(data) < section.size:
            offset, position = offset + position, 0
            data = section.rest(offset, _CHUNK)
        kind = unsigned(data, position, 1, order)
        position += 1
        start: int | None
        end: int | None
        if kind == _END_OF_LIST:
            return found
        if kind in (_BASE_ADDRESSX, _STARTX_ENDX, _STARTX_LENGTH, _OFFSET_PAIR):
            first, position = uleb128(data, position)
            second = 0
            if kind != _BASE_ADDRESSX:
                second, position = uleb128(data, position)
            if kind == _BASE_ADDRESSX:
                base = unit.indexed_address(first)
                continue
            if kind == _OFFSET_PAIR:
                start, end = _plus(base, first), _plus(base, second)
            else:
                start = unit.indexed_address(first)
                end = unit.indexed_address(second) if kind == _STARTX_ENDX else None
                end = _plus(start, second) if kind == _STARTX_LENGTH else end
        elif kind in (_BASE_ADDRESS, _START_END, _START_LENGTH):
            start = unsigned(data, position, size, order)
            position += size
            if kind == _BASE_ADDRESS:
                base = start
                continue
            if kind == _START_END:
                end = unsigned(data, position, size, order)
                position += size
            else:
                length, position = uleb128(data, position)
                end = start + length
        else:
            raise FormatError(f"unknown DWARF range entry {kind:#x}", offset=offset + position)
        if start is not None and end is not None and start < end:
            found.append((start, end))
    raise FormatError("a DWARF list of ranges does not end", offset=offset)


def _plus(base: int | None, offset: int) -> int | None:
    return None if base is None else base + offset
