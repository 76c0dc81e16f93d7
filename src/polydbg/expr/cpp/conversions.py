"""Numbers from the values that expressions have, for those who need a number and no type."""

from __future__ import annotations

from polydbg.expr.cpp.operands import Machine
from polydbg.types.value import Value


def to_number(value: Value) -> int | float:
    """Return the number that a value holds: addresses for arrays and functions, what a reference
    refers to.

    :raises OperandError: it is of a class.
    :raises ValueUnavailableError: it cannot be told.
    """
    number = Machine(value.around.model, value.around).loaded(value).number
    return number if isinstance(number, (int, float)) else float(number)
