"""Encoded pointers of ``.eh_frame`` and ``.eh_frame_hdr``.

Source: LSB Core, "DWARF Extensions" (``DW_EH_PE_...``). What they lead to is an RVA: pointers
relative to something loaded are counted from its RVA, absolute ones go through *absolute*.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.reading import sleb128, uleb128, unsigned
from polydbg.memory.space import ByteOrder

OMIT: Final = 0xFF
ABSOLUTE: Final = 0
_ULEB, _SLEB = 1, 9
_PCREL, _TEXTREL, _DATAREL, _FUNCREL, _ALIGNED = 0x10, 0x20, 0x30, 0x40, 0x50
_INDIRECT = 0x80
_SIZES = {2: 2, 3: 4, 4: 8, 0xA: 2, 0xB: 4, 0xC: 8}
_SIGNED = frozenset((8, 0xA, 0xB, 0xC))


class Bases(msgspec.Struct, frozen=True):
    """What pointers of a section are relative to.

    *absolute* turns an address that the section holds into an RVA. *text* and *data* are the RVAs
    that ``textrel`` and ``datarel`` count from, ``None`` where nothing says.
    """

    address_size: int
    order: ByteOrder
    absolute: Callable[[int], int]
    text: int | None = None
    data: int | None = None

    @property
    def mask(self) -> int:
        return (1 << 8 * self.address_size) - 1


def size_of(encoding: int, address_size: int) -> int | None:
    """Return how many bytes a pointer has, ``None`` where that varies or is not known."""
    kind = encoding & 0x0F
    if encoding == OMIT or encoding & 0x70 == _ALIGNED:
        return None
    return address_size if kind in (0, 8) else _SIZES.get(kind)


def read_number(data: bytes, position: int, encoding: int, bases: Bases) -> tuple[int, int]:
    """Return the number as its format says, relative to nothing yet, and the position after it.

    :raises FormatError: unknown format, or the data ends.
    """
    kind = encoding & 0x0F
    if kind == _ULEB:
        return uleb128(data, position)
    if kind == _SLEB:
        return sleb128(data, position)
    size = bases.address_size if kind in (0, 8) else _SIZES.get(kind)
    if size is None:
        raise FormatError(f"unknown pointer encoding {encoding:#x}", offset=position)
    value = unsigned(data, position, size, bases.order)
    if kind in _SIGNED and value >> (8 * size - 1):
        value -= 1 << 8 * size
    return value, position + size


def read_pointer(
    data: bytes, position: int, encoding: int, bases: Bases, place: int, function: int = 0
) -> tuple[int, int]:
    """Return the RVA that a pointer leads to and the position after it.

    :param place: the RVA of ``data[0]``.
    :param function: the RVA that ``funcrel`` counts from.
    :raises FormatError: unknown or indirect encoding, nothing it can be relative to, or the data
        ends.
    """
    application = encoding & 0x70
    if encoding & _INDIRECT or encoding == OMIT:
        raise FormatError(f"pointer encoding {encoding:#x} is not allowed here", offset=position)
    if application == _ALIGNED:
        position = aligned(position, place, bases.address_size)
        value = unsigned(data, position, bases.address_size, bases.order)
        return bases.absolute(value) & bases.mask, position + bases.address_size
    value, after = read_number(data, position, encoding, bases)
    if application == ABSOLUTE:
        return bases.absolute(value & bases.mask) & bases.mask, after
    base: int | None
    if application == _PCREL:
        base = place + position
    elif application == _FUNCREL:
        base = function
    else:
        base = {_TEXTREL: bases.text, _DATAREL: bases.data}.get(application)
    if base is None:
        raise FormatError(f"nothing for pointer encoding {encoding:#x}", offset=position)
    return base + value & bases.mask, after


def skip_pointer(data: bytes, position: int, encoding: int, bases: Bases, place: int) -> int:
    """Return the position after a pointer that nobody follows: that of a personality routine.

    :raises FormatError: unknown encoding, or the data ends.
    """
    if encoding == OMIT:
        return position
    if encoding & 0x70 == _ALIGNED:
        return aligned(position, place, bases.address_size) + bases.address_size
    return read_number(data, position, encoding, bases)[1]


def aligned(position: int, place: int, size: int) -> int:
    """Return the first position from *position* on whose address is a multiple of *size*."""
    return position + -(place + position) % size
