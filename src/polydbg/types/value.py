"""Values: a type in a place. Bytes are read when they are asked for, never guessed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from polydbg.base.errors import MemoryReadError
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    MAX_CHAIN,
    ArrayType,
    CompoundType,
    Member,
    MemberKind,
    PointerType,
    Type,
    TypedefType,
)
from polydbg.types.place import (
    Place,
    PlaceKind,
    PlacePiece,
    ValueUnavailableError,
    constant,
    in_memory,
)

MAX_SIZE = 1 << 20
"""The most bytes that are read for one value at once; larger arrays are read by element."""


class Memory(Protocol):
    """What reads the memory that values lie in."""

    def read(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes. :raises MemoryReadError:"""
        ...


class Surroundings(msgspec.Struct, frozen=True, eq=False):
    """What values of one process share. *base_of* returns where the module lies whose debug
    information is the :class:`~polydbg.types.source.TypeSource` given, ``None`` if none does."""

    memory: Memory
    model: DataModel
    base_of: Callable[[object], int | None]


class Value(msgspec.Struct, frozen=True, eq=False):
    """A value of *type* in *place*.

    *bit_field* is set when it is one: the place is then that of its storage unit.
    """

    type: Type
    place: Place
    around: Surroundings
    bit_field: tuple[int, int] | None = None  # position from the least significant bit, bits

    @property
    def address(self) -> int | None:
        """Return where it lies in memory, ``None`` for what has no address (registers, constants,
        pieces and bit fields)."""
        in_memory_ = self.place.kind is PlaceKind.MEMORY and self.bit_field is None
        return self.place.address if in_memory_ else None

    def bytes(self, size: int | None = None) -> bytes:
        """Return the bytes of the value, or the first *size* of them.

        :raises ValueUnavailableError: it is nowhere, its size is not known or too large.
        :raises MemoryReadError: a byte of it is not in the target's memory.
        """
        if size is None:
            size = self.type.size
        if size is None:
            raise ValueUnavailableError("the type is only declared: its size is not known")
        if size > MAX_SIZE:
            raise ValueUnavailableError(f"the object has {size:#x} bytes, too many to read at once")
        data = _read(self.place, size, self.around)
        type_ = self.type.bare
        if isinstance(type_, PointerType) and type_.adjustment and size == type_.size:
            order = self.around.model.order
            number = int.from_bytes(data, order) - type_.adjustment
            return (number & (1 << 8 * size) - 1).to_bytes(size, order)
        return data

    def bits(self) -> int:
        """Return the value's bits as an unsigned number, in the target's byte order.

        Errors are those of :meth:`bytes`.
        """
        number = int.from_bytes(self.bytes(), self.around.model.order)
        if self.bit_field is not None:
            position, size = self.bit_field
            number = number >> position & (1 << size) - 1
        return number

    # -- parts -----------------------------------------------------------------------------

    def member(self, member: Member) -> Value:
        """Return the part of a class that *member* describes.

        :raises ValueUnavailableError: it is a static member without a place.
        :raises DebuggerError: a virtual base cannot be found.
        """
        around = self.around
        if member.kind is MemberKind.STATIC or member.constant is not None:
            if member.constant is not None:
                size = member.type.size or 0
                data = member.constant & (1 << 8 * size) - 1
                return Value(member.type, constant(data.to_bytes(size, around.model.order)), around)
            owner = self.type.bare
            origin = owner.origin if isinstance(owner, CompoundType) else None
            base = around.base_of(origin)
            if member.address is None or base is None:
                raise ValueUnavailableError("the file does not say where the static member lies")
            return Value(member.type, in_memory(base + member.address), around)
        offset = member.locate(self) if member.locate is not None else member.offset
        field = member.bit_field
        if field is not None:
            place = self.place.part(offset, field.unit_size)
            unit = _BitUnit(member.type, field.unit_size)
            return Value(unit, place, around, (field.position, field.size))
        # Of a flexible array at the end nothing is known but where it begins.
        return Value(member.type, self.place.part(offset, member.type.size or 0), around)

    def element(self, index: int) -> Value:
        """Return an element of an array, *index* counting from 0; bounds are not checked.

        :raises ValueUnavailableError: it is no array of a type with a size.
        """
        array = self.type.bare
        if not isinstance(array, ArrayType) or not array.element.size:
            raise ValueUnavailableError("elements of no known size")
        size = array.element.size
        return Value(array.element, self.place.part(index * size, size), self.around)

    def target(self, index: int = 0) -> Value:
        """Return what a pointer or reference leads to; *index* counts objects of its type.

        :raises ValueUnavailableError: it is no pointer, or its value cannot be told.
        :raises MemoryReadError: the pointer itself is not in the target's memory.
        """
        pointer = self.type.bare
        if not isinstance(pointer, PointerType):
            raise ValueUnavailableError("not a pointer")
        address = self.bits() + index * (pointer.target.size or 0)
        mask = (1 << 8 * self.around.model.pointer_size) - 1
        return Value(pointer.target, in_memory(address & mask), self.around)

    def as_type(self, type_: Type) -> Value:
        """Return the same place seen as another type."""
        return Value(type_, self.place, self.around)


class _BitUnit(TypedefType):
    """The declared type of a bit field, as wide as its storage unit."""

    def __init__(self, target: Type, unit_size: int) -> None:
        super().__init__(target.name, lambda: target)
        self._unit_size = unit_size

    @property
    def size(self) -> int:
        return self._unit_size


def _read(place: Place, size: int, around: Surroundings) -> bytes:
    if place.kind is PlaceKind.MEMORY:
        limit = 1 << 8 * around.model.pointer_size
        if place.address + size > limit:
            raise MemoryReadError(place.address)
        return around.memory.read(place.address, size)
    if place.kind is PlaceKind.NOWHERE:
        raise ValueUnavailableError(place.reason)
    if place.kind is PlaceKind.PIECES:
        return _joined(place.pieces, size, around)
    if place.kind is PlaceKind.REGISTER and around.model.order == "big":
        # A value narrower than its register is in its least significant bytes.
        data = place.data[-size:] if size else b""
    else:
        data = place.data[:size]
    if len(data) < size:
        raise ValueUnavailableError("the place that the debug information gives is too small")
    return data


def _joined(pieces: tuple[PlacePiece, ...], size: int, around: Surroundings) -> bytes:
    """Return the bytes of a value in pieces.

    :raises ValueUnavailableError: one is missing.
    """
    big = around.model.order == "big"
    total = at = 0
    for piece in pieces:
        width = (piece.bit_offset + piece.bit_size + 7) // 8
        if width > MAX_SIZE:
            raise ValueUnavailableError("a piece of the value is too large")
        number = int.from_bytes(_read(piece.place, width, around), around.model.order)
        if big:
            number >>= 8 * width - piece.bit_offset - piece.bit_size
        else:
            number >>= piece.bit_offset
        number &= (1 << piece.bit_size) - 1
        total = total << piece.bit_size | number if big else total | number << at
        at += piece.bit_size
    if at < 8 * size:
        raise ValueUnavailableError("the debug information describes only a part of the value")
    return (total >> (at - 8 * size) if big else total & (1 << 8 * size) - 1).to_bytes(
        size, around.model.order
    )


def complete_object(type_: Type) -> CompoundType | None:
    """Return the class behind typedefs, qualifiers and references, ``None`` for other types."""
    for _ in range(MAX_CHAIN):
        type_ = type_.bare
        if isinstance(type_, CompoundType):
            return type_
        if not isinstance(type_, PointerType) or not type_.is_reference:
            return None
        type_ = type_.target
    return None
