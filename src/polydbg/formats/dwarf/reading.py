"""Bounds-checked reads of DWARF's numbers and strings.

Sources: DWARF 5 sections 7.4 (32-bit and 64-bit formats) and 7.6 (variable length data).
"""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.memory.space import ByteOrder

#: More bytes than a 64-bit number needs; padded numbers are legal, endless ones are not.
_MAX_LEB = 32
_MASK64 = 0xFFFFFFFFFFFFFFFF


def cut(what: str, offset: int) -> FormatError:
    """Return the error for data that ends within *what* at *offset*."""
    return FormatError(f"the DWARF {what} ends early at offset {offset:#x}", offset=offset)


def uleb128(data: bytes, position: int) -> tuple[int, int]:
    """Return an unsigned LEB128 number (its low 64 bits) and the position after it."""
    try:
        byte = data[position]
        position += 1
        if byte < 0x80:
            return byte, position
        value = byte & 0x7F
        for shift in range(7, 7 * _MAX_LEB, 7):
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & _MASK64, position
    except IndexError:
        raise cut("number", position) from None
    raise FormatError(f"a DWARF number at offset {position:#x} does not end", offset=position)


def sleb128(data: bytes, position: int) -> tuple[int, int]:
    """Return a signed LEB128 number and the position after it."""
    value = shift = 0
    try:
        for shift in range(7, 7 * _MAX_LEB, 7):
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << (shift - 7)
            if byte < 0x80:
                if byte & 0x40:
                    value -= 1 << shift
                return (value + (1 << 63) & _MASK64) - (1 << 63), position
    except IndexError:
        raise cut("number", position) from None
    raise FormatError(f"a DWARF number at offset {position:#x} does not end", offset=position)


def unsigned(data: bytes, position: int, size: int, order: ByteOrder) -> int:
    """Return the number of *size* bytes at *position*."""
    if position < 0 or position + size > len(data):
        raise cut("number", position)
    return int.from_bytes(data[position : position + size], order)


def cstring(data: bytes, position: int) -> tuple[bytes, int]:
    """Return the bytes up to a NUL and the position after it."""
    end = data.find(b"\0", position) if 0 <= position < len(data) else -1
    if end < 0:
        raise cut("string", position)
    return data[position:end], end + 1


def initial_length(data: bytes, position: int, order: ByteOrder) -> tuple[int, int, int]:
    """Return a unit's length, the size of its offsets (4 or 8) and the position after the field."""
    length = unsigned(data, position, 4, order)
    if length < 0xFFFFFFF0:
        return length, 4, position + 4
    if length != 0xFFFFFFFF:
        raise FormatError(f"reserved DWARF length {length:#x}", offset=position)
    return unsigned(data, position + 4, 8, order), 8, position + 12
