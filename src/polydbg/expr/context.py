"""What an evaluator asks of its surroundings, and the errors that evaluation adds.

The engine implements :class:`EvaluationContext`. The other protocols are abilities that a context
may have besides; an evaluator looks for them when an expression needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from polydbg.base.errors import CommandError, ExpressionError
from polydbg.memory.space import ByteOrder

if TYPE_CHECKING:
    from polydbg.types.value import Value


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
class HasByteOrder(Protocol):
    """A context whose memory may be big-endian; without it memory is little-endian."""

    @property
    def byte_order(self) -> ByteOrder: ...


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

    def evaluate_cpp(
        self,
        text: str,
        position: int = 0,
        *,
        end: int | None = None,
        blamed: int | None = None,
    ) -> tuple[int, int]:
        """Return the value of the expression at *position*, as 64 bits, and where it ends, at most
        at *end*. *blamed* is where what has no number begins for its user.

        :raises ExpressionError: there is no C++ expression with a numeric value.
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
    """An error that WinDbg prints with a caret and the command: ``^ Range error in 'db 5 4'``.

    As with every :class:`~polydbg.base.errors.CommandError` that has a *caret*, the message is the
    part before `` in '...'``, and *caret* the index of the last character read in the text that
    was passed in.
    """

    def __init__(self, message: str, caret: int) -> None:
        CommandError.__init__(self, message, caret=max(caret, 0))


class ExtraCharacterError(ArgumentError):
    """Text follows a complete expression. WinDbg prints its *value* before it complains: a number,
    or that of a C++ expression."""

    def __init__(self, caret: int, value: int | Value) -> None:
        super().__init__("Extra character error", caret)
        self.value = value
