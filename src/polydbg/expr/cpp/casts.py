"""Conversions that are written: ``(T)e``, ``static_cast<T>(e)`` and the others.

Sources: the C++ standard, [expr.cast], [expr.static.cast], [class.derived]. Pointers and
references move with the class: from derived to base by the base's offset, back by the same.
"""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.operands import Machine, Operand, Scalar, class_of
from polydbg.types.members import base_path, follow
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    FunctionType,
    MemberKind,
    PointerType,
    Type,
    VoidType,
)
from polydbg.types.place import PlaceKind, constant
from polydbg.types.value import Value


def cast(machine: Machine, style: str, type_: Type, operand: Operand) -> Operand:
    """Return *operand* as *type_*; *style* is ``""`` or ``static_cast`` and its like.

    :raises OperandError: the conversion does not exist.
    Others are those of :meth:`~polydbg.expr.cpp.operands.Machine.loaded`.
    """
    bare = type_.bare
    if isinstance(bare, PointerType):
        if bare.is_reference:
            return _to_reference(machine, style, bare, operand)
        return _to_pointer(machine, style, type_, operand)
    if isinstance(bare, VoidType):
        return Value(type_, constant(b""), machine.around)
    if isinstance(bare, (CompoundType, ArrayType, FunctionType)):
        return _to_object(machine, type_, operand)
    kind = machine.types.of(bare)
    scalar = machine.loaded(operand)
    if kind is None:
        raise _conflict()
    source = machine.types.of(scalar.type)
    if source is None and kind.is_floating:
        raise _conflict()
    return Scalar(type_, kind.converted(scalar.number))


def _conflict(hint: str = "") -> OperandError:
    return OperandError("Type conflict error", hint=hint, identifier="expression.type-conflict")


def _to_pointer(machine: Machine, style: str, type_: Type, operand: Operand) -> Scalar:
    scalar = machine.loaded(operand)
    kind = machine.types.of(scalar.type)
    if kind is not None and kind.is_floating:
        raise _conflict()
    target, source = type_.bare, scalar.type.bare
    assert isinstance(target, PointerType)
    if isinstance(source, PointerType) and style not in ("reinterpret_cast", "const_cast"):
        wanted = class_of(target.target)
        moved = adjusted(machine, scalar, wanted) if wanted is not None else None
        if style == "dynamic_cast":
            moved = _dynamic(machine, scalar, wanted)
        if moved is not None:
            return Scalar(type_, moved.number)
    return Scalar(type_, int(scalar.number) & machine.address_mask)


def _dynamic(machine: Machine, scalar: Scalar, wanted: CompoundType | None) -> Scalar:
    """Return the pointer that ``dynamic_cast`` gives: to bases only, for the class of an object at
    run time is not in the types."""
    moved = adjusted(machine, scalar, wanted, upward_only=True) if wanted is not None else None
    if moved is None:
        raise OperandError(
            "Operand error",
            hint="whether the object is of that class cannot be told here; static_cast assumes it",
        )
    return moved


def adjusted(
    machine: Machine, scalar: Scalar, wanted: CompoundType, *, upward_only: bool = False
) -> Scalar | None:
    """Return a pointer to a class as one to *wanted*, a base of that class or a class that it is a
    base of; ``None``: they are not related, or nothing is to be done.

    :raises OperandError: the way leads through a virtual base that is not to be found.
    :raises AmbiguousMemberError: *wanted* is a base twice.
    """
    pointer = scalar.type.bare
    assert isinstance(pointer, PointerType)
    source = class_of(pointer.target)
    if source is None:
        return None
    up = base_path(source, wanted)
    if up is not None:
        if not scalar.number or not up:
            return Scalar(machine.pointer_to(wanted), scalar.number)
        base = follow(machine.at(source, int(scalar.number)), up)
        return Scalar(machine.pointer_to(wanted), machine.address_of(base))
    down = base_path(wanted, source) if not upward_only else None
    if down is None:
        return None
    if any(step.kind is MemberKind.VIRTUAL_BASE for step in down):
        raise OperandError(
            "Operand error", hint=f"{source.name} is a virtual base: there is no way back from it"
        )
    distance = sum(step.offset for step in down) if scalar.number else 0
    number = int(scalar.number) - distance & machine.address_mask
    return Scalar(machine.pointer_to(wanted), number)


def _to_reference(machine: Machine, style: str, type_: PointerType, operand: Operand) -> Value:
    """Return an object seen as another type, where it lies."""
    if isinstance(operand, Scalar):
        raise OperandError("Operand error", hint="only what has a place can be referred to")
    value = machine.referred(operand)
    wanted = class_of(type_.target)
    if wanted is None or class_of(value.type) is None or value.address is None:
        return value.as_type(type_.target)
    pointer = Scalar(machine.pointer_to(value.type), value.address)
    pointed = _to_pointer(machine, style, machine.pointer_to(type_.target), pointer)
    return machine.at(type_.target, int(pointed.number))


def _to_object(machine: Machine, type_: Type, operand: Operand) -> Value:
    """Return an object as one of its bases, or as the same class by another name."""
    wanted = class_of(type_)
    if isinstance(operand, Scalar):
        raise _conflict()
    value = machine.referred(operand)
    source = class_of(value.type)
    if wanted is None:
        if value.address is None:
            raise _conflict()
        return value.as_type(type_)
    if source is None:
        raise _conflict("a number is no object; (T *) makes it an address")
    try:
        path = base_path(source, wanted)
    except DebuggerError as error:
        raise _conflict(error.message) from error
    if path is None:
        raise _conflict(f"{wanted.name} is no base of {source.name}; *(T *)& takes its bytes")
    return follow(value, path)


def is_changeable(value: Value) -> bool:
    """Say whether a value has a place that could be written."""
    return value.place.kind in (PlaceKind.MEMORY, PlaceKind.REGISTER)
