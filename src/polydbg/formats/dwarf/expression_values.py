"""Values on the stack of DWARF expressions, and their arithmetic.

Before DWARF 5 all values are of the generic type: as wide as an address, unsigned or signed as the
operation needs it. Others have a base type. Source: DWARF 5 sections 2.5.1.1 and 2.5.1.4.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.memory.space import ByteOrder

Number = int | float

_FLOAT = 4
_SIGNED = frozenset((5, 6, 13))  # signed, signed_char, signed_fixed
_FLOATS: Final = {2: "e", 4: "f", 8: "d"}
MAX_SIZE: Final = 64
"""Bytes of the widest value: a vector register."""


class BaseType(msgspec.Struct, frozen=True):
    """The type of a value: *size* bytes, *encoding* a ``DW_ATE_...`` number, 0 for the generic
    type."""

    size: int
    encoding: int = 0

    @property
    def is_float(self) -> bool:
        return self.encoding == _FLOAT

    @property
    def is_signed(self) -> bool:
        return self.encoding in _SIGNED

    @property
    def bits(self) -> int:
        return 8 * self.size


class Value(msgspec.Struct, frozen=True):
    """A number of a type; integers are in its range."""

    number: Number
    type: BaseType

    @property
    def bits(self) -> int:
        """Return an integer as the unsigned number of its bytes.

        :raises FormatError: it is a floating-point number.
        """
        if isinstance(self.number, float):
            raise FormatError("a DWARF expression takes a floating-point number for an address")
        return self.number & (1 << self.type.bits) - 1


def signed(number: int, bits: int) -> int:
    """Return the number of *bits* bits, the top one of which is the sign."""
    return number - (1 << bits) if number >> (bits - 1) & 1 else number


def make(number: Number, kind: BaseType) -> Value:
    """Return *number* as a value of a type: wrapped, or rounded."""
    if kind.is_float:
        return Value(_rounded(number, kind), kind)
    if isinstance(number, float):
        number = int(number) if math.isfinite(number) else 0
    number &= (1 << kind.bits) - 1
    return Value(signed(number, kind.bits) if kind.is_signed else number, kind)


def _rounded(number: Number, kind: BaseType) -> float:
    form = _FLOATS.get(kind.size)
    if form is None:
        raise FormatError(f"floating-point numbers of {kind.size} bytes are not computed with")
    number = float(number)
    try:
        found: float = struct.unpack(form, struct.pack(form, number))[0]
    except OverflowError:
        return math.inf if number > 0 else -math.inf
    return found


def from_bytes(data: bytes, kind: BaseType, order: ByteOrder) -> Value:
    """Return the value whose bytes *data* are."""
    if kind.is_float:
        form = _FLOATS.get(kind.size)
        if form is None or len(data) != kind.size:
            raise FormatError(f"floating-point numbers of {kind.size} bytes are not computed with")
        return Value(struct.unpack((">" if order == "big" else "<") + form, data)[0], kind)
    return make(int.from_bytes(data, order), kind)


def to_bytes(value: Value, order: ByteOrder) -> bytes:
    """Return the bytes of a value."""
    if isinstance(value.number, float):
        form = _FLOATS[value.type.size]
        return struct.pack((">" if order == "big" else "<") + form, value.number)
    return value.bits.to_bytes(value.type.size, order)


def _as_signed(value: Value) -> Number:
    """Return the number with a sign where the generic type has one."""
    if isinstance(value.number, int) and not value.type.encoding:
        return signed(value.number, value.type.bits)
    return value.number


def _divide(left: Number, right: Number) -> Number:
    if right == 0:
        raise FormatError("a DWARF expression divides by zero")
    if isinstance(left, float) or isinstance(right, float):
        return left / right
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _modulo(left: int, right: int) -> int:
    if right == 0:
        raise FormatError("a DWARF expression divides by zero")
    return left - right * int(_divide(left, right))


def _shift(left: Value, right: Value, opcode: int) -> Value:
    count, bits = right.bits, left.type.bits
    if opcode == 0x24:  # shl
        return make(left.bits << count if count < bits else 0, left.type)
    if opcode == 0x25:  # shr
        return make(left.bits >> min(count, bits), left.type)
    return make(signed(left.bits, bits) >> min(count, bits), left.type)


_NUMERIC: Final[dict[int, Callable[[Number, Number], Number]]] = {
    0x1B: _divide,
    0x1C: operator.sub,
    0x1E: operator.mul,
    0x22: operator.add,
}
_BITWISE: Final[dict[int, Callable[[int, int], int]]] = {
    0x1A: operator.and_,
    0x1D: _modulo,
    0x21: operator.or_,
    0x27: operator.xor,
}
_COMPARISONS: Final[dict[int, Callable[[Number, Number], bool]]] = {
    0x29: operator.eq,
    0x2A: operator.ge,
    0x2B: operator.gt,
    0x2C: operator.le,
    0x2D: operator.lt,
    0x2E: operator.ne,
}
_SHIFTS = frozenset((0x24, 0x25, 0x26))
BINARY: Final = frozenset((*_NUMERIC, *_BITWISE, *_COMPARISONS, *_SHIFTS))
"""Opcodes of two operands."""

UNARY: Final = frozenset((0x19, 0x1F, 0x20))
"""Opcodes of one operand: abs, neg, not."""


def binary(opcode: int, left: Value, right: Value, generic: BaseType) -> Value:
    """Return what an operation makes of two values.

    :raises FormatError: their types do not go together, or a division by zero.
    """
    if opcode in _SHIFTS:
        return _shift(left, right, opcode)
    if left.type != right.type:
        raise FormatError("a DWARF expression mixes values of two types")
    compare = _COMPARISONS.get(opcode)
    if compare is not None:
        return make(int(compare(_as_signed(left), _as_signed(right))), generic)
    numeric = _NUMERIC.get(opcode)
    if numeric is not None:
        return make(numeric(_as_signed(left), _as_signed(right)), left.type)
    if opcode == 0x1D and left.type.is_signed:
        return make(_modulo(int(left.number), int(right.number)), left.type)
    return make(_BITWISE[opcode](left.bits, right.bits), left.type)


def unary(opcode: int, value: Value) -> Value:
    """Return what an operation makes of one value."""
    if opcode == 0x20:
        return make(~value.bits, value.type)
    number = _as_signed(value)
    return make(-number if opcode == 0x1F else abs(number), value.type)
