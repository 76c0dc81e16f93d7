"""C++'s unary and binary operators on operands.

Sources: the C++ standard, [expr]. Overflow of signed numbers wraps, shifts past the width shift
everything out; what the standard leaves open otherwise is an error.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from polydbg.expr.cpp.arithmetic import ArithmeticType, Number, OperandError
from polydbg.expr.cpp.casts import adjusted
from polydbg.expr.cpp.operands import Machine, Operand, Scalar, class_of
from polydbg.types.model import CompoundType, FunctionType, PointerType, VoidType
from polydbg.types.value import Value

_COMPARISONS: dict[str, Callable[[Number, Number], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_BITWISE: dict[str, Callable[[int, int], int]] = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_SIMPLE: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_INTEGER_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {**_SIMPLE, **_BITWISE}
_MAX_SHIFT = 128


def binary(machine: Machine, symbol: str, left: Operand, right: Operand) -> Scalar:
    """Return ``left SYMBOL right`` for arithmetic, shifts, comparisons and bitwise operators.

    :raises OperandError: the operands' types do not go with the operator; a division by zero.
    Others are those of :meth:`~polydbg.expr.cpp.operands.Machine.loaded`.
    """
    if isinstance(left, Scalar) and isinstance(right, Scalar) and left.type is right.type:
        # Most operations are of two numbers of one type that nothing promotes.
        same, operation = left.type, _INTEGER_OPERATIONS.get(symbol)
        if (
            operation is not None
            and isinstance(same, ArithmeticType)
            and same.promoted is same
            and not same.is_floating
        ):
            return Scalar(same, same.converted(operation(left.number, right.number)))
    first = left if isinstance(left, Scalar) else machine.loaded(left)
    second = right if isinstance(right, Scalar) else machine.loaded(right)
    kind, other = machine.types.of(first.type), machine.types.of(second.type)
    if kind is None or other is None:
        return _on_pointers(machine, symbol, first, second)
    if symbol in ("<<", ">>"):
        return _shift(machine, symbol, kind, first.number, other, second.number)
    a, b, common = first.number, second.number, kind.promoted
    if kind is not other:
        common = machine.types.common(kind, other)
        a, b = common.converted(a), common.converted(b)
    compare = _COMPARISONS.get(symbol)
    if compare is not None:
        return Scalar(machine.types.bool, int(compare(a, b)))
    return Scalar(common, common.converted(_calculated(machine, symbol, common, a, b)))


def _calculated(
    machine: Machine, symbol: str, type_: ArithmeticType, a: Number, b: Number
) -> Number:
    if type_.long_format is not None:
        a, b = _alike(a, b)
    simple = _SIMPLE.get(symbol)
    if simple is not None:
        result: Number = simple(a, b)
        return result
    if type_.is_floating:
        if symbol == "/":
            return a / b if b else _divided_by_zero(a, float(b))
        raise OperandError("Operand error", hint=f"{symbol} does not take floating-point numbers")
    left, right = int(a), int(b)
    bitwise = _BITWISE.get(symbol)
    if bitwise is not None:
        return bitwise(left, right)
    if right == 0:
        if not machine.is_evaluating:
            return 1
        raise OperandError("Operand error", hint="a division by zero")
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient if symbol == "/" else left - quotient * right


def _divided_by_zero(a: Number, zero: float) -> float:
    if not a or (isinstance(a, float) and math.isnan(a)):
        return math.nan
    return math.copysign(math.inf, zero) * (1 if a > 0 else -1)


def _alike(a: Number, b: Number) -> tuple[Number, Number]:
    """Return two numbers of a long format in one kind: where one is infinite or none, only the
    other's sign matters."""
    if isinstance(a, float) == isinstance(b, float):
        return a, b
    if isinstance(a, float):
        return a, float((b > 0) - (b < 0))
    return float((a > 0) - (a < 0)), b


def _shift(
    machine: Machine,
    symbol: str,
    kind: ArithmeticType,
    number: Number,
    other: ArithmeticType,
    count: Number,
) -> Scalar:
    if kind.is_floating or other.is_floating or (count < 0 and machine.is_evaluating):
        raise OperandError(
            "Operand error",
            hint="a negative count" if count < 0 else "shifts are for integers only",
        )
    type_ = kind.promoted
    places = min(max(int(count), 0), _MAX_SHIFT)
    whole = int(type_.converted(number))
    shifted = whole << places if symbol == "<<" else whole >> places
    return Scalar(type_, type_.converted(shifted))


# -- pointers ----------------------------------------------------------------------------------


def _on_pointers(machine: Machine, symbol: str, left: Scalar, right: Scalar) -> Scalar:
    pointers = [each.type.bare for each in (left, right)]
    first, second = (each if isinstance(each, PointerType) else None for each in pointers)
    if symbol in _COMPARISONS:
        return _compared(machine, symbol, left, right)
    if symbol == "-" and first is not None and second is not None:
        return _difference(machine, left, right)
    if symbol == "+" and first is None:
        left, right, first, second = right, left, second, first
    number = machine.types.of(right.type)
    if symbol not in ("+", "-") or first is None or number is None or number.is_floating:
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    count = int(right.number) if symbol == "+" else -int(right.number)
    step = _step(first)
    return Scalar(left.type, int(left.number) + count * step & machine.address_mask)


def _step(pointer: PointerType) -> int:
    """Return how far one more is for a pointer."""
    target = pointer.target.bare
    if isinstance(target, FunctionType):
        raise OperandError(
            "Operand error",
            hint="pointers to functions are not calculated with: cast to (char *) first",
        )
    if isinstance(target, VoidType):
        return 1
    size = target.size
    if size is None:
        raise OperandError(
            "Type information missing error",
            hint="what the pointer points to is only declared: its size is not known",
            identifier="expression.no-type",
        )
    return size


def _difference(machine: Machine, left: Scalar, right: Scalar) -> Scalar:
    first, second = left.type.bare, right.type.bare
    assert isinstance(first, PointerType)
    assert isinstance(second, PointerType)
    step = _step(first)
    if step != _step(second):
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    type_ = machine.types.difference
    distance = int(type_.converted(int(left.number) - int(right.number)))
    quotient = abs(distance) // max(step, 1)
    return Scalar(type_, quotient if distance >= 0 else -quotient)


def _compared(machine: Machine, symbol: str, left: Scalar, right: Scalar) -> Scalar:
    for each in (left, right):
        kind = machine.types.of(each.type)
        if kind is not None and kind.is_floating:
            raise OperandError("Type conflict error", identifier="expression.type-conflict")
    first, second = left.type.bare, right.type.bare
    if isinstance(first, PointerType) and isinstance(second, PointerType):
        left, right = _same_class(machine, left, first, right, second)
    mask = machine.address_mask
    result = _COMPARISONS[symbol](int(left.number) & mask, int(right.number) & mask)
    return Scalar(machine.types.bool, int(result))


def _same_class(
    machine: Machine, left: Scalar, first: PointerType, right: Scalar, second: PointerType
) -> tuple[Scalar, Scalar]:
    """Return two pointers, one to a base of the other's class, as pointers to that base."""
    one, two = class_of(first.target), class_of(second.target)
    if one is None or two is None or one is two or one.name == two.name:
        return left, right
    if not left.number or not right.number:
        return left, right
    up = adjusted(machine, left, two, upward_only=True)
    if up is not None:
        return up, right
    up = adjusted(machine, right, one, upward_only=True)
    return (left, up) if up is not None else (left, right)


# -- unary -------------------------------------------------------------------------------------


def unary(machine: Machine, symbol: str, operand: Operand) -> Operand:
    """Return ``SYMBOL operand`` for ``+ - ~ ! * &``. Errors are those of :func:`binary`."""
    if symbol == "*":
        return dereferenced(machine, operand)
    if symbol == "&":
        return address(machine, operand)
    if symbol == "!":
        return Scalar(machine.types.bool, int(not machine.truth(operand)))
    scalar = machine.loaded(operand)
    kind = machine.types.of(scalar.type)
    if kind is None:
        if symbol == "+":
            return scalar
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    type_ = kind.promoted
    number = type_.converted(scalar.number)
    if symbol == "-":
        number = -number
    elif symbol == "~":
        if type_.is_floating:
            raise OperandError("Operand error", hint="~ does not take floating-point numbers")
        number = ~int(number)
    return Scalar(type_, type_.converted(number))


_OVERLOADED = "operators of classes are not called: dx reads elements and smart pointers by views"


def _hint_for(operand: Operand) -> str:
    """Return what to do where a class stands in the place of a pointer or an array."""
    is_class = isinstance(operand, Value) and isinstance(operand.type.bare, CompoundType)
    return _OVERLOADED if is_class else ""


def dereferenced(machine: Machine, operand: Operand) -> Value:
    """Return what a pointer points to. :raises OperandError: it is none, or to ``void``."""
    if isinstance(operand, Value) and isinstance(operand.type.bare, FunctionType):
        return operand
    scalar = _pointer(machine, operand)
    if scalar is None:
        raise OperandError(
            "No pointer for operator*", hint=_hint_for(operand), identifier="expression.no-pointer"
        )
    pointer = scalar.type.bare
    assert isinstance(pointer, PointerType)
    if isinstance(pointer.target.bare, VoidType):
        raise OperandError(
            "Operand error", hint="void has no value: cast to the pointer you mean first"
        )
    return machine.at(pointer.target, int(scalar.number))


def _pointer(machine: Machine, operand: Operand) -> Scalar | None:
    try:
        scalar = machine.loaded(operand)
    except OperandError as error:
        if error.identifier == "expression.type-conflict":
            return None
        raise
    return scalar if isinstance(scalar.type.bare, PointerType) else None


def address(machine: Machine, operand: Operand) -> Scalar:
    """Return the address of what lies in memory. :raises OperandError: it does not."""
    if isinstance(operand, Scalar):
        raise OperandError(
            "Operand error",
            hint="only what lies in memory has an address",
            identifier="value.not-in-memory",
        )
    value = machine.referred(operand)
    return Scalar(machine.pointer_to(value.type), machine.address_of(value))


def element(machine: Machine, operand: Operand, index: Operand) -> Value:
    """Return ``operand[index]``; arrays are not bound, as in C.

    :raises OperandError: neither is an array or a pointer, or the other is no integer.
    """
    if isinstance(operand, Value):
        operand = machine.referred(operand)
    array = operand.type.bare if isinstance(operand, Value) else None
    number = machine.loaded(index)
    if isinstance(number.type.bare, PointerType):  # 1[p]
        operand, number, array = number, machine.loaded(operand), None
    kind = machine.types.of(number.type)
    if kind is None or kind.is_floating:
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    from polydbg.types.model import ArrayType

    if isinstance(array, ArrayType) and isinstance(operand, Value) and operand.address is None:
        return operand.element(int(number.number) - array.lower)
    scalar = _pointer(machine, operand)
    if scalar is None:
        raise OperandError(
            "No pointer for operator[]", hint=_hint_for(operand), identifier="expression.no-pointer"
        )
    pointer = scalar.type.bare
    assert isinstance(pointer, PointerType)
    lower = array.lower if isinstance(array, ArrayType) else 0
    distance = (int(number.number) - lower) * _step(pointer)
    return machine.at(pointer.target, int(scalar.number) + distance)
