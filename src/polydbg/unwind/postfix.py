"""The small language of frame programs: postfix arithmetic over registers and memory.

One machine serves the programs of x86 frame data (``$T0 $ebp = $eip $T0 4 + ^ =``), which assign
variables, and the expressions of call frame rules (``.cfa 8 - ^``), which leave one value. Source:
Breakpad, "Symbol files" (``STACK WIN``, ``STACK CFI``).

Operators: ``+ - * / %`` wrap to the width of a pointer, unsigned; ``@`` rounds down to a multiple
of a power of two; ``^`` reads a pointer; ``=`` assigns. What cannot be known (a register that is
not, memory that is absent, ``.undef``) is carried along: it fails only what needs it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Final, TypeAlias

from polydbg.base.errors import MemoryReadError, UnwindError
from polydbg.base.text import sanitise_line
from polydbg.memory.space import AddressSpace

MAX_LENGTH: Final = 4096
"""Characters of a program: what compilers write has less than 300."""

_MAX_STACK = 64
_MAX_DIGITS = 20
_SHOWN = 80
_NUMBER = re.compile(r"[+-]?[0-9]+")
_NAME = re.compile(r"[.$A-Za-z_][\w.$]*")

Unknown: TypeAlias = MemoryReadError | UnwindError
"""Why a value is not known: raised when the value is needed."""

Value: TypeAlias = int | Unknown
_Operand: TypeAlias = int | str | Unknown


def words_of(program: str) -> list[str]:
    """Return the words of a program; Microsoft's compilers leave blanks out behind ``=``."""
    return program.replace("=", " = ").split()


class _NonsenseError(Exception):
    """What is wrong with a program, as the end of a sentence."""


def run_program(
    program: str, variables: MutableMapping[str, Value], memory: AddressSpace, size: int
) -> None:
    """Run a program of assignments on *variables*, named as the program does (``$esp``).

    :param size: the width of a pointer in bytes.
    :raises UnwindError: the program makes no sense.
    """
    if _run(program, variables, memory, size):
        raise UnwindError(f"frame program leaves values behind: {_quoted(program)}")


def evaluate(
    expression: str, variables: Mapping[str, Value], memory: AddressSpace, size: int
) -> Value:
    """Return the value of an expression, or why it is not known.

    :raises UnwindError: the expression makes no sense.
    """
    stack = _run(expression, dict(variables), memory, size)
    if len(stack) != 1:
        raise UnwindError(f"call frame rule has not one value: {_quoted(expression)}")
    return _value(stack[0], variables)


def _run(
    text: str, variables: MutableMapping[str, Value], memory: AddressSpace, size: int
) -> list[_Operand]:
    if len(text) > MAX_LENGTH:
        raise UnwindError(f"frame program is too long: {_quoted(text)}")
    mask = (1 << size * 8) - 1
    stack: list[_Operand] = []
    for token in words_of(text):
        try:
            _step(token, stack, variables, memory, mask)
        except IndexError:
            raise UnwindError(f"frame program lacks an operand: {_quoted(text)}") from None
        except _NonsenseError as error:
            raise UnwindError(f"frame program {error}: {_quoted(text)}") from None
        if len(stack) > _MAX_STACK:
            raise UnwindError(f"frame program needs too much: {_quoted(text)}")
    return stack


def _step(
    token: str,
    stack: list[_Operand],
    variables: MutableMapping[str, Value],
    memory: AddressSpace,
    mask: int,
) -> None:
    operation = _OPERATORS.get(token)
    if operation is not None:
        right, left = _value(stack.pop(), variables), _value(stack.pop(), variables)
        if not isinstance(left, int):
            stack.append(left)
        elif not isinstance(right, int):
            stack.append(right)
        else:
            stack.append(operation(left, right) & mask)
    elif token == "^":
        stack.append(_read(_value(stack.pop(), variables), memory, mask))
    elif token == "=":
        value, name = _value(stack.pop(), variables), stack.pop()
        if not isinstance(name, str):
            raise _NonsenseError("assigns to a value")
        variables[name] = value
    elif token == ".undef":
        stack.append(UnwindError("the register was not saved"))
    elif _NUMBER.fullmatch(token):
        stack.append(_number(token, mask))
    elif _NAME.fullmatch(token):
        stack.append(token)
    else:
        raise _NonsenseError(f"has the unknown word {sanitise_line(token)}")


def _number(token: str, mask: int) -> int:
    if len(token) > _MAX_DIGITS:
        raise _NonsenseError("has a number of too many digits")
    return int(token) & mask


def _value(operand: _Operand, variables: Mapping[str, Value]) -> Value:
    if not isinstance(operand, str):
        return operand
    found = variables.get(operand)
    return UnwindError(f"unwinding needs {operand}, which is not known") if found is None else found


def _read(address: Value, memory: AddressSpace, mask: int) -> Value:
    if not isinstance(address, int):
        return address
    try:
        return int.from_bytes(memory.read(address, mask.bit_length() // 8), "little")
    except MemoryReadError as error:
        return error


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise _NonsenseError("divides by zero")
    return left // right


def _modulo(left: int, right: int) -> int:
    if right == 0:
        raise _NonsenseError("divides by zero")
    return left % right


def _align(left: int, right: int) -> int:
    if right == 0 or right & (right - 1):
        raise _NonsenseError("aligns to no power of two")
    return left & -right


_OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "@": _align,
}


def _quoted(program: str) -> str:
    text = sanitise_line(program.strip())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
