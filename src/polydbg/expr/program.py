"""MASM expressions that were evaluated before, as programs for a stack: to run one is no reading.

A program is kept of what an evaluation did. It holds numbers, registers, reads of memory and
operators; where a symbol or another evaluator had a part the next evaluation may go another way,
and there is none. A program that cannot be run to its end says nothing of why: then the text is
read again, and what reads it finds the error.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import msgspec

from polydbg.base.errors import MemoryReadError
from polydbg.expr.context import EvaluationContext
from polydbg.expr.numbers import MASK64

_KEPT: Final = 512


class Op(IntEnum):
    """What a step does; see :class:`Step`."""

    CONSTANT = 0
    REGISTER = 1
    PSEUDO_REGISTER = 2
    READ = 3
    UNARY = 4
    BINARY = 5
    DIVIDE = 6


class Step(msgspec.Struct, frozen=True):
    """A step of a program: it pushes *number*, the register *name*, or works on what was pushed:
    reads *number* bytes (0: as many as a pointer has), or applies *function*."""

    op: Op
    number: int = 0
    name: str = ""
    function: Callable[..., int] | None = None


class Program(msgspec.Struct, frozen=True):
    """The steps of an expression that ends at *end* of its text."""

    steps: tuple[Step, ...]
    end: int

    def run(self, context: EvaluationContext) -> int | None:
        """Return the value in *context*; ``None`` where it has none there."""
        stack: list[int] = []
        push, pop = stack.append, stack.pop
        for step in self.steps:
            op = step.op
            if op == Op.CONSTANT:
                push(step.number)
            elif op >= Op.BINARY:
                right = pop()
                if op == Op.DIVIDE and not right:
                    return None
                assert step.function is not None
                stack[-1] = int(step.function(stack[-1], right)) & MASK64
            elif op == Op.UNARY:
                assert step.function is not None
                stack[-1] = step.function(stack[-1])
            elif op == Op.READ:
                size = step.number or context.pointer_size
                try:
                    data = context.read_memory(pop(), size)
                except MemoryReadError:
                    return None
                push(int.from_bytes(data, getattr(context, "byte_order", "little")))
            else:
                if op == Op.REGISTER:
                    value = context.register(step.name)
                else:
                    value = context.pseudo_register(step.name)
                if value is None:
                    return None
                push(value & MASK64)
        return stack[0]


Key = tuple[str, int, int, int, bool]
"""A text, where its expression begins, where it ends at the latest, and what decides what its
numbers are: the radix, and whether literals are sign-extended."""

_programs: dict[Key, Program] = {}


def key_of(text: str, position: int, end: int, context: EvaluationContext) -> Key:
    """Return what tells programs apart."""
    extends = getattr(context, "sign_extends_literals", False)
    return text, position, end, context.radix, bool(extends)


def kept(key: Key) -> Program | None:
    """Return the program of an expression that was evaluated before."""
    return _programs.get(key)


def keep(key: Key, program: Program) -> None:
    """Keep a program; of many the older ones are forgotten."""
    if len(_programs) >= _KEPT:
        _programs.clear()
    _programs[key] = program
