"""What C++ operators work on: values in their places, and numbers that lie nowhere.

A :class:`~polydbg.types.value.Value` stays in its place until an operator needs its number, so
that it can be assigned to, and so that what is not asked for is not read.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import MemoryReadError
from polydbg.expr.cpp.arithmetic import ArithmeticType, Number, OperandError, arithmetic_types
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    MAX_CHAIN,
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    PointerType,
    ScalarType,
    Type,
    UnknownType,
)
from polydbg.types.place import PlaceKind, constant, in_memory
from polydbg.types.scalars import exact_number_of, number_of
from polydbg.types.value import Surroundings, Value


class Scalar(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A number of a type that lies nowhere. *type* is an :class:`ArithmeticType`, or one of
    enumerations and pointers of the debug information."""

    type: Type
    number: Number


Operand = Value | Scalar


class UnreadableError(OperandError):
    """The memory that an operand lies in is not in the dump."""

    identifier = "expression.memory"


class Machine:
    """Reads and makes operands for one data model.

    With *is_evaluating* off (``sizeof``, the branch of ``?:`` that is not taken) only types count:
    nothing is read, and numbers are 1.
    """

    def __init__(self, model: DataModel, around: Surroundings) -> None:
        self.model = model
        self.around = around
        self.types = arithmetic_types(model)
        self.is_evaluating = True
        self.address_mask = (1 << 8 * model.pointer_size) - 1

    # -- numbers from values ---------------------------------------------------------------

    def loaded(self, operand: Operand) -> Scalar:
        """Return the number of an operand: arrays and functions are their addresses, references
        what they refer to, bit fields that fit an ``int`` are one.

        :raises OperandError: it is of a type without a number (a class).
        :raises ValueUnavailableError: it cannot be told. :raises MemoryReadError: it is absent.
        """
        if isinstance(operand, Scalar):
            return operand
        value = self.referred(operand)
        bare = value.type.bare
        arithmetic = self.types.of(bare)
        if arithmetic is not None:
            if value.bit_field is not None and not arithmetic.is_floating:
                arithmetic = self._of_bits(arithmetic, value.bit_field[1])
            type_ = value.type if isinstance(bare, EnumType) else arithmetic
            if arithmetic.long_format is not None:
                return Scalar(type_, self._long_number(value))
            return Scalar(type_, self._number(value))
        if isinstance(bare, PointerType):
            return Scalar(value.type, self._number(value))
        if isinstance(bare, ArrayType):
            return Scalar(self.pointer_to(bare.element), self.address_of(value))
        if isinstance(bare, FunctionType):
            return Scalar(self.pointer_to(value.type), self.address_of(value))
        if isinstance(bare, UnknownType):
            raise OperandError(
                "Type information missing error",
                hint=bare.reason,
                identifier="expression.no-type",
            )
        if isinstance(bare, ScalarType) and bare.encoding is Encoding.FLOAT and bare.size < 8:
            return Scalar(self.types.named("double"), self._number(value))
        raise OperandError("Type conflict error", identifier="expression.type-conflict")

    def _of_bits(self, type_: ArithmeticType, width: int) -> ArithmeticType:
        """Return the type that a bit field of *width* bits is promoted to ([conv.prom]/5)."""
        if width > self.types.int.bits:
            return type_
        fits = width < self.types.int.bits or type_.is_signed
        return self.types.int if fits else self.types.named("unsigned int")

    def _number(self, value: Value) -> int | float:
        if not self.is_evaluating:
            return 1
        try:
            number = number_of(value)
        except MemoryReadError as error:
            raise UnreadableError("Memory access error") from error
        assert not isinstance(number, complex)
        return number

    def _long_number(self, value: Value) -> Number:
        """Return the number of a ``long double`` exactly."""
        if not self.is_evaluating:
            return 1
        from fractions import Fraction

        try:
            exact = exact_number_of(value)
        except MemoryReadError as error:
            raise UnreadableError("Memory access error") from error
        if isinstance(exact, float):
            return exact
        mantissa, exponent = exact
        return Fraction(mantissa) * Fraction(2) ** exponent

    def referred(self, value: Value) -> Value:
        """Return what a reference refers to; other values as they are."""
        for _ in range(MAX_CHAIN):
            bare = value.type.bare
            if not isinstance(bare, PointerType) or not bare.is_reference:
                return value
            value = self.at(bare.target, int(self._number(value)))
        raise OperandError("Type conflict error", hint="references of references without an end")

    def arithmetic(self, operand: Operand) -> tuple[ArithmeticType, Number]:
        """Return an operand's number with the type to calculate in.

        :raises OperandError: it is a pointer or a class. Others as :meth:`loaded`.
        """
        scalar = self.loaded(operand)
        type_ = self.types.of(scalar.type)
        if type_ is None:
            raise OperandError("Type conflict error", identifier="expression.type-conflict")
        return type_, scalar.number

    def truth(self, operand: Operand) -> bool:
        """Return whether an operand counts as true. Errors are those of :meth:`loaded`."""
        return self.loaded(operand).number != 0

    def address_of(self, value: Value) -> int:
        """Return where a value lies in memory.

        :raises OperandError: it does not; :raises ValueUnavailableError: it is nowhere.
        """
        address = value.address
        if address is not None:
            return address
        if not self.is_evaluating:
            return 1
        reason = _PLACELESS.get(value.place.kind, value.place.reason)
        if value.place.kind is PlaceKind.REGISTER:
            reason = f"it is in register {value.place.register}"
        elif value.bit_field is not None:
            reason = "it is a bit field"
        raise OperandError(
            "Operand error",
            hint=f"it has no address: {reason}",
            identifier="value.not-in-memory",
        )

    # -- values from numbers ---------------------------------------------------------------

    def pointer_to(self, target: Type) -> PointerType:
        return PointerType(lambda: target, self.model.pointer_size)

    def at(self, type_: Type, address: int) -> Value:
        """Return what of *type_* lies at *address*."""
        return Value(type_, in_memory(address & self.address_mask), self.around)

    def value(self, operand: Operand) -> Value:
        """Return an operand as a value; numbers become constants."""
        if isinstance(operand, Value):
            return operand
        return Value(operand.type, constant(self.encoded(operand)), self.around)

    def encoded(self, scalar: Scalar) -> bytes:
        """Return the bytes of a number, as the target has them in memory.

        :raises OperandError: no format is known for its type.
        """
        size = scalar.type.size or 0
        arithmetic = self.types.of(scalar.type)
        if arithmetic is not None and arithmetic.is_floating:
            return self._encoded_float(arithmetic, scalar.number, size)
        return (int(scalar.number) & (1 << 8 * size) - 1).to_bytes(size, self.model.order)

    def _encoded_float(self, type_: ArithmeticType, number: Number, size: int) -> bytes:
        letter = {4: "f", 8: "d"}.get(size)
        if letter is not None:
            return struct.pack((">" if self.model.order == "big" else "<") + letter, number)
        if type_.long_format is None:
            raise OperandError(
                "Operand error", hint=f"{type_.name} of this target is not calculated with"
            )
        from polydbg.expr.cpp.long_floats import encoded

        return encoded(number, type_.long_format, size, self.model.order)


_PLACELESS = {
    PlaceKind.CONSTANT: "it is a constant",
    PlaceKind.PIECES: "it lies in pieces",
}


def class_of(type_: Type) -> CompoundType | None:
    """Return the class that *type_* is, behind typedefs and qualifiers."""
    bare = type_.bare
    return bare if isinstance(bare, CompoundType) else None
