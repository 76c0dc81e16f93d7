"""Whether what a function returned means success, by its return type (``$fnsucc``).

Source: the description of ``$fnsucc`` in the debugger's public documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.types.model import (
    MAX_CHAIN,
    EnumType,
    FunctionType,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
)

if TYPE_CHECKING:
    from polydbg.engine.session import System

_STATUS_CODES = frozenset(("HRESULT", "NTSTATUS"))
_INVALID_HANDLE = -1


def is_success(system: System, function: int, value: int, zero_is_success: bool) -> bool | None:
    """Return whether *value*, returned by the function at *function*, means success; ``None``
    where its return type is not known. *zero_is_success* decides for types without a rule."""
    module = system.modules.at(function)
    source = system.modules.symbols(module) if module is not None else None
    if module is None or source is None:
        return None
    try:
        type_ = source.type_at(function - module.base)
        result = type_.result if isinstance(type_, FunctionType) else None
        if result is None:
            return None
        names = _names(result)
        bare = result.bare
    except DebuggerError:
        return None
    size = bare.size or 8
    number = value & (1 << 8 * size) - 1
    signed = number - (1 << 8 * size) if number >> (8 * size - 1) else number
    if _STATUS_CODES & names:
        return signed >= 0
    if "HANDLE" in names:
        return signed not in (0, _INVALID_HANDLE)
    if isinstance(bare, PointerType):
        return number != 0
    if isinstance(bare, (ScalarType, EnumType)):
        is_truth = "BOOL" in names or bare.name == "bool"
        return (number == 0) == (zero_is_success and not is_truth)
    return None


def _names(type_: Type) -> set[str]:
    """Return the names of a type and of the typedefs that lead to it."""
    names = set()
    for _ in range(MAX_CHAIN):
        names.add(type_.name)
        if not isinstance(type_, (TypedefType, QualifiedType)):
            break
        type_ = type_.target
    return names
