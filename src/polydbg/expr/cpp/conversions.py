"""Numbers from the values that expressions have, for those who need a number and no type."""

from __future__ import annotations

import math

from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.operands import Machine
from polydbg.types.value import Value

_MASK = (1 << 64) - 1


def to_number(value: Value) -> int | float:
    """Return the number that a value holds: addresses for arrays and functions, what a reference
    refers to.

    :raises OperandError: it is of a class.
    :raises ValueUnavailableError: it cannot be told.
    """
    number = Machine(value.around.model, value.around).loaded(value).number
    if isinstance(number, (int, float)):
        return number
    try:
        return float(number)
    except OverflowError:  # a long double out of the range of doubles
        return math.inf if number > 0 else -math.inf


def to_bits(value: Value) -> int:
    """Return the number that a value holds as 64 bits, fractions cut off. Errors are those of
    :func:`to_number`.

    :raises OperandError: it is infinite or not a number.
    """
    number = to_number(value)
    if isinstance(number, float) and not math.isfinite(number):
        raise OperandError("Overflow error", hint=f"{number} is no integer")
    return int(number) & _MASK
