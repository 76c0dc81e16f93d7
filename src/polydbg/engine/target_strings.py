"""Strings in the target's memory, as aliases and ``.printf`` want them: short, decoded."""

from __future__ import annotations

from polydbg.base.errors import MemoryReadError
from polydbg.engine.session import System

MAX_STRING = 16384
"""Most characters of a string."""
_PIECE = 256


def terminated_string(system: System, address: int, *, wide: bool = False) -> str:
    """Return the string at *address* up to its NUL, or up to where memory ends.

    :raises MemoryReadError: nothing is there.
    """
    unit, data = (2 if wide else 1), b""
    while len(data) < MAX_STRING * unit:
        piece = system.memory.read_some(address + len(data), _PIECE)
        if not piece and not data:
            raise MemoryReadError(address)
        end = _end_of(data + piece, unit, max(0, len(data) - unit))
        data += piece
        if end >= 0:
            return _decoded(data[:end], wide=wide)
        if len(piece) < _PIECE:
            break
    return _decoded(data, wide=wide)


def counted_string(system: System, address: int, *, wide: bool = False) -> str:
    """Return the text of an ``ANSI_STRING`` or ``UNICODE_STRING`` at *address*: length in bytes,
    room, pointer.

    :raises MemoryReadError: the structure or its text is not there.
    """
    order = system.byte_order
    length = int.from_bytes(system.memory.read(address, 2), order)
    offset = 8 if system.pointer_size == 8 else 4
    pointer = int.from_bytes(system.memory.read(address + offset, system.pointer_size), order)
    return _decoded(system.memory.read(pointer, length), wide=wide) if length else ""


def _end_of(data: bytes, unit: int, start: int) -> int:
    """Return where the NUL is, -1 without one."""
    if unit == 1:
        return data.find(b"\0", start)
    for at in range(start - start % 2, len(data) - 1, 2):
        if data[at : at + 2] == b"\0\0":
            return at
    return -1


def _decoded(data: bytes, *, wide: bool) -> str:
    if wide:
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
