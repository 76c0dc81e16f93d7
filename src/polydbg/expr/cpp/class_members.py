"""Members of classes in expressions: ``.``, ``->``, ``.*``, ``A::b`` and ``&A::b``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.errors import MemoryReadError
from polydbg.base.qualified_names import scope_and_name
from polydbg.base.text import sanitise_line
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.nodes import MemberNode, Node
from polydbg.expr.cpp.operands import Machine, Operand, Scalar, class_of
from polydbg.types.members import base_path, follow, path_to
from polydbg.types.model import (
    EnumType,
    FunctionType,
    Member,
    MemberKind,
    MemberPointerType,
    PointerType,
    Type,
)
from polydbg.types.place import constant
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.expr.cpp.evaluator import Evaluator


def member_of(evaluator: Evaluator, node: MemberNode) -> Operand:
    """Return the member of an object, or of the one that a pointer points to.

    :raises ExpressionError: it is no pointer, no class, or the class has no such member.
    """
    operand = evaluator.operand(node.object)
    machine = evaluator.machine
    try:
        if node.is_arrow:
            value = _pointed(machine, operand)
            if value is None:
                raise evaluator.error(
                    "Type is not pointer for operator->",
                    node.operator,
                    "expression.no-pointer",
                    hint=""
                    if class_of(operand.type) is None
                    else "it is an object: use . (dx follows smart pointers)",
                    joint="",
                )
        else:
            value = machine.referred(operand) if isinstance(operand, Value) else None
    except OperandError as error:
        raise evaluator.failed(error, node.object) from error
    bare = value.type.bare if value is not None else operand.type.bare
    if value is None or (isinstance(bare, PointerType) and not node.is_arrow):
        raise evaluator.error(
            "Type does not have given member error",
            node.end - len(node.name),
            "expression.no-member",
            hint="it is a pointer: use ->" if isinstance(bare, PointerType) else "it is no class",
        )
    return member_in(evaluator, value, node.name, node)


def _pointed(machine: Machine, operand: Operand) -> Value | None:
    """Return what a pointer points to, ``None`` for what is no pointer."""
    if isinstance(operand, Value):
        operand = machine.referred(operand)
        if class_of(operand.type) is not None:
            return None
    scalar = machine.loaded(operand)
    pointer = scalar.type.bare
    if not isinstance(pointer, PointerType):
        return None
    return machine.at(pointer.target, int(scalar.number))


def defined(evaluator: Evaluator, value: Value) -> Value:
    """Return *value* as the definition of its class, where its own module only declares it."""
    compound = class_of(value.type)
    if compound is None or not compound.is_declaration:
        return value
    found = evaluator.context.type_named(compound.name)
    return value.as_type(found) if found is not None else value


def _member(evaluator: Evaluator, value: Value, name: str) -> Value | None:
    """Return the member *name*, which may be qualified by a base."""
    value = defined(evaluator, value)
    qualifier, last = scope_and_name(name)
    if qualifier:
        base = base_path(value.type, qualifier.removeprefix("::"))
        if base is None:
            return None
        value = follow(value, base)
    path = path_to(value.type, last)
    if path is None:
        return _method(evaluator, value, last)
    try:
        return follow(value, path)
    except MemoryReadError as error:  # on the way to a virtual base
        raise OperandError("Memory access error", identifier="expression.memory") from error


def _method(evaluator: Evaluator, value: Value, name: str) -> Value | None:
    """Return the function that a method's name means, where the symbols have its address."""
    compound = class_of(value.type)
    if compound is None or not any(each.name == name for each in compound.parts.methods):
        return None
    return evaluator.context.variable(f"{compound.name}::{name}")


def scoped_name(evaluator: Evaluator, name: str) -> Value | None:
    """Return ``A::b`` where ``A`` is a class or an enumeration: a static member, an enumerator, or
    in a method of a class derived from ``A`` a member of ``this``."""
    scope, last = scope_and_name(name)
    type_ = evaluator.builder.named(scope) if scope and not scope.endswith("!") else None
    if type_ is None:
        return None
    bare = type_.bare
    if isinstance(bare, EnumType):
        return _enumerator(evaluator, type_, bare, last)
    path = path_to(bare, last)
    if path is None:
        return None
    if path[-1].kind is MemberKind.STATIC or path[-1].constant is not None:
        return follow(evaluator.machine.at(type_, 0), path)
    this = evaluator.context.variable("this")
    if this is not None:
        value = _pointed(evaluator.machine, this)
        base = base_path(value.type, type_) if value is not None else None
        if value is not None and base is not None:
            return follow(follow(value, base), path)
    return None


def _enumerator(evaluator: Evaluator, type_: Type, bare: EnumType, name: str) -> Value | None:
    for each in bare.enumerators:
        if each.name == name:
            data = evaluator.machine.encoded(Scalar(type_, each.value))
            return Value(type_, constant(data), evaluator.machine.around)
    return None


# -- pointers to members -----------------------------------------------------------------------


def member_pointer(evaluator: Evaluator, name: str) -> Scalar | None:
    """Return ``&A::b`` for a field: its offset, which is what both ABIs make of it."""
    scope, last = scope_and_name(name)
    owner = evaluator.builder.named(scope) if scope else None
    path = path_to(owner, last) if owner is not None else None
    if owner is None or path is None or path[-1].kind is not MemberKind.FIELD:
        return None
    offset = fixed_offset(path)
    if offset is None or path[-1].bit_field is not None:
        return None
    target, class_ = path[-1].type, owner
    size = 4 if evaluator.machine.model.is_microsoft else evaluator.machine.model.pointer_size
    return Scalar(MemberPointerType(lambda: target, lambda: class_, size), offset)


def fixed_offset(path: tuple[Member, ...]) -> int | None:
    """Return how far *path* leads from the start of any object, ``None`` where that differs from
    object to object."""
    if any(step.locate is not None or step.kind is MemberKind.STATIC for step in path):
        return None
    return sum(step.offset for step in path)


def pointed_member(machine: Machine, symbol: str, left: Operand, right: Operand) -> Value:
    """Return ``left.*right`` or ``left->*right`` for pointers to fields.

    Both ABIs store the offset, and -1 for null.
    :raises OperandError: *right* is no such pointer, *left* no object of its class.
    """
    pointer = right.type.bare
    value = _pointed(machine, left) if symbol == "->*" else left
    if isinstance(value, Scalar) or value is None or not isinstance(pointer, MemberPointerType):
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    if isinstance(pointer.target.bare, FunctionType):
        raise OperandError("Operand error", hint="a pointer to a method is not an address")
    if isinstance(right, Scalar):
        offset = int(right.number)
    else:
        width = 8 * (right.type.size or machine.model.pointer_size)
        offset = right.bits()
        offset -= (offset >> (width - 1)) << width
    value = machine.referred(value)
    path = base_path(value.type, pointer.owner)
    if path is None:
        raise OperandError("Type conflict error", identifier="expression.type-conflict")
    if offset < 0:
        raise OperandError("Operand error", hint="the pointer to a member is null")
    start = follow(value, path)
    return machine.at(pointer.target, machine.address_of(start) + offset)


def member_in(evaluator: Evaluator, value: Value, name: str, node: Node) -> Value:
    """Return the member *name* of *value*, which *node* names.

    :raises ExpressionError: the class has no such member.
    """
    try:
        found = _member(evaluator, value, name)
    except OperandError as error:
        raise evaluator.failed(error, node) from error
    if found is None:
        compound = class_of(value.type)
        hint = "it is no class" if compound is None else ""
        if compound is not None and compound.name:
            hint = f"dt {sanitise_line(compound.name)} lists the members"
        raise evaluator.error(
            "Type does not have given member error",
            node.end - len(name),
            "expression.no-member",
            hint=hint,
        )
    return found
