"""Reading memory for display: cells that may be absent, and where the last listing ended."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from polydbg.memory.space import AddressSpace, ByteOrder

CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Size of a cell in bytes -> its letter in :mod:`struct`."""

MARKS = {"little": "<", "big": ">"}
"""Byte orders as :mod:`struct` writes them."""

_PAGE = 0x1000
_ADDRESS_LIMIT = 1 << 64


class MemoryView(msgspec.Struct, eq=False):
    """What the ``d*``, ``e*`` and ``s`` commands of one system remember.

    *kind* is the last ``d*`` command, *next_address* where it ended (``None``: nothing was listed
    yet), *entry* the type letter of the last ``e*``, *found* what ``s -[s]`` saved, ascending.
    """

    kind: str = "db"
    next_address: int | None = None
    entry: str = "b"
    found: list[int] = msgspec.field(default_factory=list)


def read_pieces(space: AddressSpace, address: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of what is present of *size* bytes at *address*, ascending.

    Where nothing is present, the next page is tried as well as the next readable address: a page
    may come from an image file, of which the dump's own ranges know nothing.
    """
    size = min(size, _ADDRESS_LIMIT - address)
    at = 0
    while at < size:
        here = address + at
        if data := space.read_some(here, size - at):
            yield at, data
            at += len(data)
            continue
        page = (here // _PAGE + 1) * _PAGE
        following = space.next_readable(here)
        if following is not None and here < following < page:
            page = following
        at = page - address


def read_cells(
    space: AddressSpace,
    address: int,
    count: int,
    unit: int,
    order: ByteOrder = "little",
) -> list[int | None]:
    """Return *count* numbers of *unit* bytes; ``None`` where a byte is missing."""
    size, mark = count * unit, MARKS[order]
    data = space.read_some(address, size)
    if len(data) == size:
        return list(struct.unpack(f"{mark}{count}{CODES[unit]}", data))
    cells: list[int | None] = [None] * count
    for at, piece in read_pieces(space, address, size):
        first = -(-at // unit)
        last = (at + len(piece)) // unit
        if last > first:
            whole = piece[first * unit - at : last * unit - at]
            cells[first:last] = struct.unpack(f"{mark}{last - first}{CODES[unit]}", whole)
    return cells


def read_pointer(
    space: AddressSpace, address: int, size: int, order: ByteOrder = "little"
) -> int | None:
    """Return the pointer of *size* bytes at *address*, ``None`` where it is not present."""
    return read_cells(space, address, 1, size, order)[0]
