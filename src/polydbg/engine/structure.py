"""A structure in a target's memory, read field by field by its published offsets.

Nothing is read before a field is asked for. A field that is not in the dump is ``None``: dumps hold
parts of structures, and one absent field must not hide the others.
"""

from __future__ import annotations

from typing import TypeVar, overload

from polydbg.memory.space import AddressSpace, ByteOrder

T = TypeVar("T", bound="Structure")

MAX_STRING = 0xFFFE  # bytes that a UNICODE_STRING can have: its length is 16 bits


class Structure:
    """*pointer_size* bytes wide pointers decide between the two layouts of each field; *order* is
    how numbers of several bytes lie in memory."""

    __slots__ = ("address", "memory", "order", "pointer_size")

    def __init__(
        self,
        memory: AddressSpace,
        address: int,
        pointer_size: int,
        order: ByteOrder = "little",
    ) -> None:
        self.memory = memory
        self.address = address
        self.pointer_size = pointer_size
        self.order = order

    def number(self, offset: int, size: int, *, signed: bool = False) -> int | None:
        """Return *size* bytes at *offset* as a number, ``None`` if one is absent."""
        data = self.memory.read_some(self.address + offset, size)
        return int.from_bytes(data, self.order, signed=signed) if len(data) == size else None

    def word(self, offset: int) -> int | None:
        """Return the number as wide as a pointer at *offset*, ``None`` if it is absent."""
        return self.number(offset, self.pointer_size)

    def string(self, offset: int, base: int = 0, limit: int = MAX_STRING) -> str | None:
        """Return the ``UNICODE_STRING`` at *offset*; *base* is added to its buffer's address.

        The text is as the target has it, of what is readable and at most *limit* bytes; ``None`` if
        nothing is.
        """
        length = self.number(offset, 2)
        pointer = self.number(offset + self.pointer_size, self.pointer_size)
        if length is None or pointer is None:
            return None
        if not length:
            return ""
        if not pointer:
            return None
        data = self.memory.read_some(base + pointer, min(length, limit))
        return data[: len(data) & ~1].decode("utf-16-le", "replace") if data else None


class Field:
    """A number at *wide* in 64-bit structures and at *narrow* in 32-bit ones.

    *size* 0 means as wide as a pointer.
    """

    def __init__(self, wide: int, narrow: int, size: int = 0, *, signed: bool = False) -> None:
        self._wide, self._narrow, self._size, self._signed = wide, narrow, size, signed

    @overload
    def __get__(self, instance: None, owner: type[Structure]) -> Field: ...
    @overload
    def __get__(self, instance: Structure, owner: type[Structure]) -> int | None: ...
    def __get__(self, instance: Structure | None, owner: type[Structure]) -> Field | int | None:
        if instance is None:
            return self
        offset = self.offset(instance.pointer_size)
        size = self._size or instance.pointer_size
        return instance.number(offset, size, signed=self._signed)

    def offset(self, pointer_size: int) -> int:
        """Return where the field lies, in bytes from the structure's start."""
        return self._wide if pointer_size == 8 else self._narrow


class StringField:
    """A ``UNICODE_STRING`` at *wide* in 64-bit structures and at *narrow* in 32-bit ones."""

    def __init__(self, wide: int, narrow: int, limit: int = MAX_STRING) -> None:
        self._wide, self._narrow, self._limit = wide, narrow, limit

    def __get__(self, instance: Structure, owner: type[Structure]) -> str | None:
        offset = self._wide if instance.pointer_size == 8 else self._narrow
        return instance.string(offset, limit=self._limit)
