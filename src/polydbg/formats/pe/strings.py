"""Zero-terminated strings in an image, with a limit."""

from __future__ import annotations

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.memory.space import AddressSpace

_CHUNK = 128


def read_c_string(space: AddressSpace, address: int, limit: int = 0x4000) -> bytes:
    """Return the bytes before the zero at or after *address*.

    :raises FormatError: no zero within *limit* bytes.
    :raises MemoryReadError: the bytes end before the zero.
    """
    parts: list[bytes] = []
    length = 0
    while length < limit:
        wanted = min(_CHUNK, limit - length)
        data = space.read_some(address + length, wanted)
        end = data.find(b"\0")
        if end >= 0:
            parts.append(data[:end])
            return b"".join(parts)
        parts.append(data)
        length += len(data)
        if len(data) < wanted:
            raise MemoryReadError(address + length)
    raise FormatError(f"string longer than {limit:#x} bytes", offset=address)
