"""Where a value is: in memory, in a register, in pieces, nowhere but known, or not known at all."""

from __future__ import annotations

import enum

import msgspec

from polydbg.base.errors import DebuggerError


class ValueUnavailableError(DebuggerError):
    """A value cannot be told; the message says why. It is shown as ``<value unavailable>``."""

    identifier = "value.unavailable"


class PlaceKind(enum.Enum):
    """Where a value is."""

    MEMORY = "memory"
    REGISTER = "register"
    CONSTANT = "constant"
    PIECES = "pieces"
    NOWHERE = "nowhere"


class PlacePiece(msgspec.Struct, frozen=True):
    """*bit_size* bits of a value, from bit *bit_offset* of *place* on (both in the order in which
    the value's bits lie in memory)."""

    place: Place
    bit_size: int
    bit_offset: int = 0


class Place(msgspec.Struct, frozen=True):
    """Where a value is; make it with the functions below.

    MEMORY: at *address*. REGISTER: *data* are the bytes of the *register* of that name in the
    frame that the value is of, as a store of it would leave them. CONSTANT: *data* are the value's
    bytes, which lie nowhere. PIECES: *pieces*, the first bits first. NOWHERE: *reason* says why.
    Only what is in memory has an address.
    """

    kind: PlaceKind
    address: int = 0
    register: str = ""
    data: bytes = b""
    pieces: tuple[PlacePiece, ...] = ()
    reason: str = ""

    def part(self, offset: int, size: int) -> Place:
        """Return the place of the *size* bytes that begin *offset* bytes into this one."""
        if self.kind is PlaceKind.MEMORY:
            return in_memory(self.address + offset)
        if self.kind is PlaceKind.NOWHERE:
            return self
        if self.kind is PlaceKind.PIECES:
            return Place(PlaceKind.PIECES, pieces=_cut(self.pieces, 8 * offset, 8 * size))
        data = self.data[max(offset, 0) : max(offset, 0) + size]
        if offset < 0 or len(data) < size:
            return nowhere("it lies outside of the object it is part of")
        return Place(self.kind, register=self.register, data=data)


def in_memory(address: int) -> Place:
    """Return the place of what lies at *address*."""
    return Place(PlaceKind.MEMORY, address=address)


def in_register(name: str, data: bytes) -> Place:
    """Return the place of what is in a register whose bytes are *data*."""
    return Place(PlaceKind.REGISTER, register=name, data=data)


def constant(data: bytes) -> Place:
    """Return the place of a value that is known and lies nowhere."""
    return Place(PlaceKind.CONSTANT, data=data)


def in_pieces(pieces: tuple[PlacePiece, ...]) -> Place:
    """Return the place of a value that lies in pieces."""
    return Place(PlaceKind.PIECES, pieces=pieces)


def nowhere(reason: str) -> Place:
    """Return the place of a value that cannot be told; *reason* is for people."""
    return Place(PlaceKind.NOWHERE, reason=reason)


OPTIMIZED_OUT = nowhere("optimized out")
"""What the compiler kept nowhere at this point."""


def _cut(pieces: tuple[PlacePiece, ...], start: int, size: int) -> tuple[PlacePiece, ...]:
    """Return what *pieces* hold from bit *start* on, *size* bits."""
    found: list[PlacePiece] = []
    at, end = 0, start + size
    for piece in pieces:
        low, high = max(at, start), min(at + piece.bit_size, end)
        if low < high:
            found.append(PlacePiece(piece.place, high - low, piece.bit_offset + low - at))
        at += piece.bit_size
    return tuple(found)
