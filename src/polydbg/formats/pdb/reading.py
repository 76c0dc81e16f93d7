"""Bounds-checked reads of little-endian records: what ``struct`` does, failing as FormatError."""

from __future__ import annotations

import re
import struct
from typing import Any

from polydbg.base.errors import FormatError

_ANONYMOUS = re.compile(r"\?A0x[0-9A-Fa-f]{1,8}(?=::|$)|`anonymous-namespace'")
U16 = struct.Struct("<H")
U32 = struct.Struct("<I")


def unpack(layout: struct.Struct, data: bytes, offset: int) -> tuple[Any, ...]:
    """Return the fields of *layout* at *offset*.

    :raises FormatError: when the record does not lie within *data*.
    """
    if offset < 0 or offset + layout.size > len(data):
        raise FormatError(f"a record of the PDB ends early at offset {offset:#x}", offset=offset)
    return layout.unpack_from(data, offset)


def u16(data: bytes, offset: int) -> int:
    """Return the 16-bit number at *offset*; FormatError past the end."""
    return int(unpack(U16, data, offset)[0])


def u32(data: bytes, offset: int) -> int:
    """Return the 32-bit number at *offset*; FormatError past the end."""
    return int(unpack(U32, data, offset)[0])


def cstring(data: bytes, offset: int, limit: int | None = None) -> bytes:
    """Return the bytes up to a NUL; the end of the record also ends the name."""
    end = len(data) if limit is None else min(limit, len(data))
    if not 0 <= offset <= end:
        raise FormatError(f"a name lies outside its record at offset {offset:#x}", offset=offset)
    stop = data.find(b"\0", offset, end)
    return bytes(data[offset : end if stop < 0 else stop])


def text(name: bytes) -> str:
    """Return a name as text. Names are UTF-8 (old compilers: the code page of the machine)."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp1252", "replace")


def qualified(name: str) -> str:
    """Return a qualified name with anonymous namespaces as the debugger spells them.

    Compilers also write them with the hash of linker names (``?A0x97f35ffc::f``, in the scopes of
    function ids) and with a hyphen (in names of types).
    """
    if "?A0x" in name or "anonymous-" in name:
        return _ANONYMOUS.sub("`anonymous namespace'", name)
    return name


#: Sizes of the CodeView numeric leaves that hold integers, and whether they are signed.
_NUMERIC = {
    0x8000: (1, True),
    0x8001: (2, True),
    0x8002: (2, False),
    0x8003: (4, True),
    0x8004: (4, False),
    0x8009: (8, True),
    0x800A: (8, False),
    0x8017: (16, True),
    0x8018: (16, False),
}
#: Sizes of the numeric leaves that are no integers (floats); their value reads as 0.
_NUMERIC_OTHER = {0x8005: 4, 0x8006: 8, 0x8007: 10, 0x8008: 16, 0x800B: 6}


def constant(data: bytes, offset: int) -> tuple[int | bytes, int]:
    """Return a numeric leaf's value and the offset after it, as :func:`numeric` does; one that is
    no integer is the bytes of a floating-point number."""
    value, end = numeric(data, offset)
    size = _NUMERIC_OTHER.get(u16(data, offset))
    if size is None:
        return value, end
    if end > len(data):
        raise FormatError("a numeric leaf ends early", offset=offset)
    return bytes(data[end - size : end]), end


def numeric(data: bytes, offset: int) -> tuple[int, int]:
    """Return a numeric leaf's value and the offset after it."""
    first = u16(data, offset)
    offset += 2
    if first < 0x8000:
        return first, offset
    known = _NUMERIC.get(first)
    if known is None:
        if first in _NUMERIC_OTHER:
            return 0, offset + _NUMERIC_OTHER[first]
        raise FormatError(f"unknown numeric leaf {first:#x}", offset=offset - 2)
    size, signed = known
    if offset + size > len(data):
        raise FormatError("a numeric leaf ends early", offset=offset)
    return int.from_bytes(data[offset : offset + size], "little", signed=signed), offset + size
