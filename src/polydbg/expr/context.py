"""What an evaluator asks of its surroundings, and the errors that evaluation adds.

The engine implements :class:`EvaluationContext`. The other protocols are abilities that a context
may have besides; an evaluator looks for them when an expression needs one.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from polydbg.base.errors import CommandError, ExpressionError


class EvaluationContext(Protocol):
    """Registers, symbols and memory as the evaluator sees them. Values are 64-bit unsigned."""

    @property
    def radix(self) -> int:
        """Return the base of numbers without a prefix: 8, 10 or 16."""
        ...

    @property
    def pointer_size(self) -> int:
        """Return the size of a pointer of the target in bytes: 4 or 8."""
        ...

    def register(self, name: str) -> int | None:
        """Return a register, sub-register or flag named without ``@``; ``None``: no such one."""
        ...

    def pseudo_register(self, name: str) -> int | None:
        """Return ``$ip``, ``$t0`` and their like; ``None`` when not available."""
        ...

    def symbol(self, name: str) -> int | None:
        """Return the address of ``mod!sym`` or ``sym``, or the base of the module ``mod``.

        A name that starts with ``$!`` may only be a local variable.
        """
        ...

    def source_line(self, text: str) -> int | None:
        """Return the address of what stands between two backticks: ``mod!file.c:12``."""
        ...

    def read_memory(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes of virtual memory.

        :raises MemoryReadError: a byte is missing.
        """
        ...

    def module_entry(self, base: int) -> int | None:
        """Return the entry point address of the image at *base*; ``None``: no image there."""
        ...


@runtime_checkable
class PhysicalMemory(Protocol):
    """A context that can read physical memory (``$pby`` and its like)."""

    def read_physical(self, address: int, size: int) -> bytes:
        """Return exactly *size* bytes.

        :raises MemoryReadError: a byte is missing.
        """
        ...


@runtime_checkable
class FunctionTypes(Protocol):
    """A context that knows return types (``$fnsucc``)."""

    def function_succeeded(self, function: int, value: int, flag: int) -> bool | None:
        """Say whether *value*, returned by *function*, means success.

        *flag* is nonzero when unknown types count as status codes; ``None``: cannot be told.
        """
        ...


@runtime_checkable
class CppEvaluation(Protocol):
    """A context with a C++ evaluator behind it (``@@(...)``, ``@@c++(...)``)."""

    def evaluate_cpp(self, text: str) -> int:
        """Return the value as 64 bits.

        :raises ExpressionError: *text* is not a C++ expression with a numeric value.
        """
        ...


@runtime_checkable
class SignExtendsLiterals(Protocol):
    """A context of kernel mode may say so: 8-digit literals from 80000000 on are extended."""

    @property
    def sign_extends_literals(self) -> bool:
        """Say whether literals 0x80000000..0xffffffff without a backtick become negative."""
        ...


class ArgumentError(ExpressionError, CommandError):
    """An error that WinDbg prints with a caret and the text: ``^ Range error in 'db 5 4'``.

    *what* is the part before `` in '...'``, *text* what was read, *caret* the index in it of the
    last character read.
    """

    def __init__(self, what: str, text: str, caret: int) -> None:
        CommandError.__init__(self, f"{what} in '{text}'", caret=max(caret, 0))
        self.what = what

    def within(self, command: str, offset: int) -> CommandError:
        """Return the same error for *command*, in which the text read begins at *offset*."""
        caret = offset + (self.caret or 0)
        return CommandError(f"{self.what} in '{command}'", caret=caret, hint=self.hint)


class ExtraCharacterError(ArgumentError):
    """Text follows a complete expression. WinDbg prints *value* before it complains."""

    def __init__(self, text: str, caret: int, value: int) -> None:
        super().__init__("Extra character error", text, caret)
        self.value = value
