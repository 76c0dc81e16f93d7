"""Compares variables and expressions of an open dump with what is known of them.

A table says for each function (in the order of the stack, innermost first) what its variables hold,
by paths that :class:`polydbg.library.variables.Variable` understands: ``first.items[1].sku``, and
``*p`` for what a pointer leads to. A text is what the characters say, :data:`LOST` that a value
must not be told, :data:`UNSURE` with a value that it may be missing but never another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from polydbg.base.errors import DebuggerError
from polydbg.library.records import Frame
from polydbg.library.session import DumpSession
from polydbg.library.variables import Locals, Variable

_STEP = re.compile(r"\[(\d+)\]|(\[[a-z]+\]|[^.\[\]]+)")

Plain = int | float | str


class Unsure:
    """A value that may be missing from the dump; another one is wrong."""

    def __init__(self, value: Plain) -> None:
        self.value = value


class Lost:
    """What must not be told: no record says where it is, or the file has it not."""


LOST = Lost()
Expected = Plain | Unsure | Lost
Truth = Mapping[str, Expected]
Stack = Sequence[tuple[str, Truth]]


def variable_at(variables: Locals, path: str) -> Variable:
    """Return the variable that *path* leads to."""
    stars = len(path) - len(path.lstrip("*"))
    steps = _STEP.findall(path[stars:])
    found = variables[steps[0][1]]
    for number, name in steps[1:]:
        found = found[int(number)] if number else found[name]
    for _ in range(stars):
        found = found.dereference()
    return found


def plain(variable: Variable, like: Plain) -> Plain | None:
    """Return a value as the table states it; texts as what a pointer or an array says."""
    if isinstance(like, str):
        return variable.string()
    found = variable.value
    return found if isinstance(found, (int, float, str)) else None


def _difference(variable: Variable, expected: Expected) -> str:
    if isinstance(expected, Lost):
        return f"must be lost, is {variable.value!r}" if variable.is_available else ""
    may_miss = isinstance(expected, Unsure)
    wanted = expected.value if isinstance(expected, Unsure) else expected
    try:
        found = plain(variable, wanted)
    except DebuggerError as error:
        return "" if may_miss else f"must be {wanted!r}: {error.message}"
    return "" if found == wanted else f"must be {wanted!r}, is {found!r}"


def frames_of(frames: Sequence[Frame], stack: Stack) -> list[Frame]:
    """Return the frames of the functions of *stack*, which stand in the stack in that order."""
    found, position = [], 0
    for function, _ in stack:
        while position < len(frames) and frames[position].symbol != function:
            position += 1
        assert position < len(frames), (function, [each.symbol for each in frames])
        found.append(frames[position])
        position += 1
    return found


def differences(frames: Sequence[Frame], stack: Stack) -> list[str]:
    """Return where the variables of *frames* are not as *stack* says."""
    found = []
    for frame, (function, truth) in zip(frames_of(frames, stack), stack, strict=True):
        for path, expected in truth.items():
            try:
                problem = _difference(variable_at(frame.locals, path), expected)
            except DebuggerError as error:  # a pointer on the way
                may_miss = isinstance(expected, (Lost, Unsure))
                problem = "" if may_miss else f"must be {expected!r}: {error.message}"
            except (KeyError, IndexError) as error:
                problem = f"is not there: {error!r}"
            if problem:
                found.append(f"{function}: {path} {problem}")
    return found


def expression_differences(session: DumpSession, truth: Truth) -> list[str]:
    """Return where C++ expressions in the selected frame are not as *truth* says."""
    found = []
    for expression, expected in truth.items():
        try:
            problem = _difference(session.value(expression), expected)
        except DebuggerError as error:
            may_miss = isinstance(expected, (Lost, Unsure))
            problem = "" if may_miss else f"must be {expected!r}: {error.message}"
        if problem:
            found.append(f"{expression} {problem}")
    return found
