"""Bounds-checked reads of DWARF's numbers and strings, and sections that are read in place.

Sources: DWARF 5 sections 7.4 (32-bit and 64-bit formats) and 7.6 (variable length data).
"""

from __future__ import annotations

import re
import struct
from typing import Literal

from polydbg.base.errors import FormatError
from polydbg.memory.space import Buffer

ByteOrder = Literal["little", "big"]

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


class Section:
    """A section of a file, read in place: offsets are counted from its start, in bytes."""

    __slots__ = ("_buffer", "_start", "order", "size")

    def __init__(
        self, buffer: Buffer = b"", start: int = 0, size: int | None = None, *, big: bool = False
    ) -> None:
        """See *size* bytes of *buffer* from *start*; what passes its end does not count."""
        room = max(len(buffer) - start, 0)
        # A view can be sliced but not searched; it comes from expanded sections, which are small.
        self._buffer = bytes(buffer) if isinstance(buffer, memoryview) else buffer
        self._start = start
        self.size = room if size is None else min(size, room)
        self.order: ByteOrder = "big" if big else "little"

    def __len__(self) -> int:
        return self.size

    @property
    def extent(self) -> tuple[Buffer, int, int]:
        """Return what holds the section, where it begins and ends there: to search it at once."""
        return self._buffer, self._start, self._start + self.size

    def window(self, start: int, size: int) -> Section:
        """Return the part of *size* bytes from *start*, as a section of its own."""
        start = min(start, self.size)
        size = min(size, self.size - start)
        return Section(self._buffer, self._start + start, size, big=self.order == "big")

    def take(self, offset: int, size: int) -> bytes:
        """Return exactly *size* bytes at *offset*."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise cut("section", offset)
        start = self._start + offset
        return bytes(self._buffer[start : start + size])

    def rest(self, offset: int, limit: int) -> bytes:
        """Return at most *limit* bytes from *offset* on: as many as there are."""
        return self.take(offset, min(limit, max(self.size - offset, 0)))

    def number(self, offset: int, size: int) -> int:
        """Return the unsigned number of *size* bytes at *offset*."""
        return int.from_bytes(self.take(offset, size), self.order)

    def string(self, offset: int) -> bytes:
        """Return the bytes from *offset* up to a NUL."""
        start, end = self._start + offset, self._start + self.size
        stop = self._buffer.find(b"\0", start, end) if 0 <= offset < self.size else -1
        if stop < 0:
            raise cut("string", offset)
        return bytes(self._buffer[start:stop])

    def contains(self, pattern: re.Pattern[bytes]) -> bool:
        """Tell whether *pattern* matches anywhere."""
        return pattern.search(*self.extent) is not None

    def match(self, pattern: re.Pattern[bytes], offset: int) -> bytes | None:
        """Return what *pattern* matches at *offset*, ``None`` where it does not."""
        buffer, start, end = self.extent
        found = pattern.match(buffer, start + offset, end) if 0 <= offset <= self.size else None
        return found[0] if found is not None else None

    def numbers(self, offset: int, count: int, size: int) -> tuple[int, ...]:
        """Return *count* unsigned numbers of *size* (1, 2, 4 or 8) bytes each."""
        data = self.take(offset, count * size)
        mark = ">" if self.order == "big" else "<"
        return struct.unpack(f"{mark}{count}{'BHIQ'[size.bit_length() - 1]}", data)
