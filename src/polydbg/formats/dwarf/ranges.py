"""Lists of address ranges: ``.debug_ranges`` (versions 2 to 4) and ``.debug_rnglists`` (5).

Sources: DWARF 4 section 2.17.3, DWARF 5 sections 2.17.3, 7.25 and 7.28.
"""

from __future__ import annotations

import re
from itertools import chain

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import cut, uleb128, unsigned
from polydbg.formats.dwarf.unit import Unit
from polydbg.formats.section import Section

_MAX_RANGES = 1 << 18
_CHUNK = 1 << 12
_PAIRS = 64
#: No entry is longer: a kind and two numbers.
_MAX_ENTRY = 65
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
#: A kind and two numbers, eight times or more: fewer are read one by one.
_LEB = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
_INDEXED_ENTRY = re.compile(rb"\x03(" + _LEB + rb")(" + _LEB + rb")")
_INDEXED_RUN = re.compile(rb"(?:\x03" + _LEB + _LEB + rb"){8,65536}+")

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
    room = (section.size - offset) // (2 * size)
    for first in range(0, min(_MAX_RANGES, room), _PAIRS):
        count = min(_PAIRS, room - first)
        numbers = section.numbers(offset + 2 * size * first, 2 * count, size)
        for start, end in zip(numbers[::2], numbers[1::2], strict=True):
            if start == mask:
                base = end
            elif start == end == 0:
                return found
            elif start < end:
                found.append((start + base & mask, end + base & mask))
    raise FormatError("a DWARF list of ranges does not end", offset=offset)


def _read_v5(unit: Unit, section: Section, offset: int) -> Ranges:
    data = section.rest(offset, _CHUNK)
    position = 0
    base: int | None = unit.base_address
    found: Ranges = []
    for _ in range(_MAX_RANGES):
        if len(found) > _MAX_RANGES:
            break
        if position + _MAX_ENTRY > len(data) and offset + len(data) < section.size:
            offset, position = offset + position, 0
            data = section.rest(offset, _CHUNK)
        if position >= len(data):
            raise cut("list of ranges", offset + position)
        kind = data[position]
        if kind == _END_OF_LIST:
            return found
        run = section.match(_INDEXED_RUN, offset + position) if kind == _STARTX_LENGTH else None
        if run is not None:
            found += _indexed(unit, run)
            offset, position = offset + position + len(run), 0
            data = section.rest(offset, _CHUNK)
            continue
        start, end, position = _entry(unit, data, position, base)
        if kind in (_BASE_ADDRESSX, _BASE_ADDRESS):
            base = start
        elif start is not None and end is not None and start < end:
            found.append((start, end))
    raise FormatError("a DWARF list of ranges does not end", offset=offset)


def _indexed(unit: Unit, run: bytes) -> Ranges:
    """Return the ranges of a *run* of entries with the number of an address and a length. Units
    whose functions lie apart have thousands of these."""
    pairs = _INDEXED_ENTRY.findall(run)
    numbers = {raw: uleb128(raw, 0)[0] for raw in set(chain.from_iterable(pairs))}
    starts = unit.indexed_addresses([numbers[raw] for raw, _ in pairs])
    return [
        (start, start + numbers[size])
        for start, (_, size) in zip(starts, pairs, strict=True)
        if start is not None and numbers[size]
    ]


def _entry(
    unit: Unit, data: bytes, position: int, base: int | None
) -> tuple[int | None, int | None, int]:
    """Return start, end (of a base address the start alone) and the position after an entry."""
    kind = data[position]
    position += 1
    if kind in (_STARTX_LENGTH, _STARTX_ENDX, _OFFSET_PAIR):
        first, position = uleb128(data, position)
        second, position = uleb128(data, position)
        if kind == _OFFSET_PAIR:
            return (
                (None, None, position) if base is None else (base + first, base + second, position)
            )
        start = unit.indexed_address(first)
        if kind == _STARTX_ENDX:
            return start, unit.indexed_address(second), position
        return start, None if start is None else start + second, position
    if kind == _BASE_ADDRESSX:
        first, position = uleb128(data, position)
        return unit.indexed_address(first), None, position
    if kind not in (_BASE_ADDRESS, _START_END, _START_LENGTH):
        raise FormatError(f"unknown DWARF range entry {kind:#x}", offset=position)
    size, order = unit.header.address_size, unit.section.order
    first = unsigned(data, position, size, order)
    position += size
    if kind == _BASE_ADDRESS:
        return first, None, position
    if kind == _START_END:
        return first, unsigned(data, position, size, order), position + size
    second, position = uleb128(data, position)
    return first, first + second, position
