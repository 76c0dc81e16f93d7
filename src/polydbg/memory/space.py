"""Address spaces: bytes addressed by unsigned integers (a process, an image, a file)."""

from __future__ import annotations

import mmap
from typing import Literal, Protocol

from polydbg.base.errors import MemoryReadError

Buffer = bytes | bytearray | memoryview | mmap.mmap
"""What a reader may slice: real bytes or a mapped file."""

ByteOrder = Literal["little", "big"]


class AddressSpace(Protocol):
    """Bytes addressed by unsigned integers. Absent bytes are errors, never zeros."""

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes.

        :raises MemoryReadError: carries the first missing address.
        """
        ...

    def read_some(self, address: int, size: int) -> bytes:
        """Return the longest readable prefix, at most *size* bytes; ``b""`` if there is none."""
        ...

    def next_readable(self, address: int) -> int | None:
        """Return the lowest readable address >= *address*, or ``None``."""
        ...


def read_exactly(space: AddressSpace, address: int, size: int) -> bytes:
    """Implement :meth:`AddressSpace.read` over :meth:`AddressSpace.read_some`."""
    data = space.read_some(address, size)
    if len(data) < size:
        raise MemoryReadError(address + len(data))
    return data


class BufferSpace:
    """A buffer seen from address *base* on."""

    def __init__(self, data: Buffer, base: int = 0) -> None:
        self._data = data
        self._base = base

    def read(self, address: int, size: int) -> bytes:
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        offset = address - self._base
        if offset < 0 or size <= 0:
            return b""
        return bytes(self._data[offset : offset + size])

    def next_readable(self, address: int) -> int | None:
        if address < self._base:
            return self._base if len(self._data) else None
        return address if address - self._base < len(self._data) else None
