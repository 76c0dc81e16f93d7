"""A section of a file that is read in place: bounds-checked, in the byte order of its file."""

from __future__ import annotations

import mmap
import re
import struct

from polydbg.base.errors import FormatError
from polydbg.memory.space import Buffer, ByteOrder

Searchable = bytes | bytearray | mmap.mmap
"""A buffer that finds bytes in itself, which a view cannot."""


class Section:
    """A section of a file, read in place: offsets are counted from its start, in bytes."""

    __slots__ = ("_buffer", "_start", "order", "size")

    def __init__(
        self, buffer: Buffer = b"", start: int = 0, size: int | None = None, *, big: bool = False
    ) -> None:
        """See *size* bytes of *buffer* from *start*; what passes its end does not count."""
        room = max(len(buffer) - start, 0)
        self.size = room if size is None else min(size, room)
        if isinstance(buffer, memoryview):
            # A view can be sliced but not searched. It may be a whole file in an archive: of that
            # no more than the section is copied.
            buffer, start = bytes(buffer[start : start + self.size]), 0
        self._buffer: Searchable = buffer
        self._start = start
        self.order: ByteOrder = "big" if big else "little"

    def __len__(self) -> int:
        return self.size

    @property
    def extent(self) -> tuple[Searchable, int, int]:
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
            raise _cut("section", offset)
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
            raise _cut("string", offset)
        return bytes(self._buffer[start:stop])

    def name(self, offset: int, most: int) -> bytes:
        """Return the bytes from *offset* up to a NUL, at most *most*; what does not end is cut, and
        past the end there are none."""
        if not 0 <= offset < self.size:
            return b""
        buffer, start, end = self.extent
        start += offset
        end = min(end, start + most)
        stop = buffer.find(b"\0", start, end)
        return bytes(buffer[start : stop if stop >= 0 else end])

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


def _cut(what: str, offset: int) -> FormatError:
    """Return the error for a section that ends within *what* at *offset*."""
    return FormatError(f"the {what} ends early at offset {offset:#x}", offset=offset)
