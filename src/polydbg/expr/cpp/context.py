"""What the C++ evaluator asks of its surroundings. The engine implements it."""

from __future__ import annotations

from typing import Protocol

from polydbg.types.data_model import DataModel
from polydbg.types.model import Type
from polydbg.types.value import Surroundings, Value


class CppContext(Protocol):
    """Names, types, registers and memory as C++ expressions see them."""

    @property
    def model(self) -> DataModel: ...

    @property
    def around(self) -> Surroundings:
        """Return what values that the evaluator makes itself are given."""
        ...

    def variable(self, name: str) -> Value | None:
        """Return the variable, function or enumerator *name* means here: a local of the selected
        frame (innermost block first), a member of ``this``, a static of the file, a global of the
        module, then of others; ``mod!name`` of that module alone, a leading ``::`` no local.

        A function is a value of a :class:`~polydbg.types.model.FunctionType` at its address.
        """
        ...

    def type_named(self, name: str) -> Type | None:
        """Return the type of that name, ``mod!name`` that module's; definitions go before
        declarations, the module of the selected frame before others."""
        ...

    def is_type_name(self, name: str) -> bool:
        """Say whether *name* means a type here and no variable. Cheap: for the parser."""
        ...

    def register(self, name: str) -> int | None:
        """Return a register in force, named without ``@``; ``None``: no such one."""
        ...

    def pseudo_register(self, name: str) -> Value | int | None:
        """Return ``$t0``, ``$teb`` and their like: a value where it has a type; ``None`` when not
        available."""
        ...

    def evaluate_masm(self, text: str) -> int:
        """Return the value of what stands in ``@@masm(...)``.

        :raises ExpressionError: it has none.
        """
        ...

    def write(self, value: Value, data: bytes) -> None:
        """Store *data* where *value* is.

        :raises DebuggerError: the target cannot be written, or the value is in no place.
        """
        ...
