"""Headers of units: where each begins, and what its bytes mean. Source: DWARF 5 section 7.5.1."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import initial_length, unsigned
from polydbg.formats.section import Section

#: The longest header: 64-bit lengths, a type unit of version 5.
_MAX_HEADER = 40
_MAX_UNITS = 1 << 22


class UnitHeader(msgspec.Struct, frozen=True, gc=False):
    """The header of the unit at *offset* of its section; *end* is where the next one begins.

    *root* is the offset of the first DIE. *kind* is a DW_UT number, for versions before 5 what
    comes nearest. *signature* is the id of a type or split unit, 0 for others; *type_offset* leads
    from the unit's start to its type.
    """

    offset: int
    end: int
    version: int
    offset_size: int
    address_size: int
    abbrev_offset: int
    kind: int
    root: int
    signature: int = 0
    type_offset: int = 0

    @property
    def is_type(self) -> bool:
        return self.kind in (c.UT_TYPE, c.UT_SPLIT_TYPE)


def read_headers(section: Section, *, types: bool = False) -> Iterator[UnitHeader]:
    """Yield the headers of ``.debug_info``, or of ``.debug_types`` with *types*.

    Stops at the first header that makes no sense: nothing tells where the next one would be.
    """
    offset = 0
    for _ in range(_MAX_UNITS):
        if offset >= section.size:
            return
        try:
            header = read_header(section, offset, types=types)
        except FormatError:
            return
        if header is not None:
            yield header
            offset = header.end
        else:
            offset += _skip(section, offset)


def _skip(section: Section, offset: int) -> int:
    length, _, after = initial_length(section.rest(offset, 12), 0, section.order)
    return after + length


def read_header(section: Section, offset: int, *, types: bool = False) -> UnitHeader | None:
    """Return the header at *offset*, ``None`` for a unit of a version that is not known.

    A unit that passes the end of its section is cut there: its start may still answer.

    :raises FormatError: it is cut, or its numbers are impossible.
    """
    data = section.rest(offset, _MAX_HEADER)
    order = section.order
    length, offset_size, position = initial_length(data, 0, order)
    end = min(offset + position + length, section.size)
    data = data[: end - offset]
    version = unsigned(data, position, 2, order)
    position += 2
    if not 2 <= version <= 5:
        return None
    kind = c.UT_TYPE if types else c.UT_COMPILE
    if version >= 5:
        kind = unsigned(data, position, 1, order)
        address_size = unsigned(data, position + 1, 1, order)
        abbrev_offset = unsigned(data, position + 2, offset_size, order)
        position += 2 + offset_size
    else:
        abbrev_offset = unsigned(data, position, offset_size, order)
        address_size = unsigned(data, position + offset_size, 1, order)
        position += offset_size + 1
    if address_size not in (1, 2, 4, 8):
        raise FormatError(f"a DWARF unit has addresses of {address_size} bytes", offset=offset)
    signature = type_offset = 0
    if kind in (c.UT_TYPE, c.UT_SPLIT_TYPE):
        signature = unsigned(data, position, 8, order)
        type_offset = unsigned(data, position + 8, offset_size, order)
        position += 8 + offset_size
    elif kind in (c.UT_SKELETON, c.UT_SPLIT_COMPILE):
        signature = unsigned(data, position, 8, order)
        position += 8
    return UnitHeader(
        offset,
        end,
        version,
        offset_size,
        address_size,
        abbrev_offset,
        kind,
        offset + position,
        signature,
        type_offset,
    )
