"""The macros of C++ expressions: ``#CONTAINING_RECORD`` and its like, as Windows' headers have
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.class_members import member_in
from polydbg.expr.cpp.nodes import IndexNode, MacroNode, MemberNode, NameNode, Node, TypeNode
from polydbg.expr.cpp.operands import Operand, Scalar
from polydbg.expr.cpp.operators import element
from polydbg.types.model import ArrayType, PointerType, Type
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.expr.cpp.evaluator import Evaluator


def _field(evaluator: Evaluator, value: Value, node: Node) -> Value:
    """Return the field that *node* (``a``, ``a.b``, ``a[2].b``) names within *value*."""
    if isinstance(node, NameNode):
        return member_in(evaluator, value, node.name, node)
    if isinstance(node, MemberNode) and not node.is_arrow:
        return member_in(evaluator, _field(evaluator, value, node.object), node.name, node)
    if isinstance(node, IndexNode):
        outer = _field(evaluator, value, node.object)
        try:
            return element(evaluator.machine, outer, evaluator.operand(node.arguments[0]))
        except OperandError as error:
            raise evaluator.failed(error, node) from error
    raise evaluator.error("Unexpected token", node.start, "expression.syntax", joint="")


def _object(evaluator: Evaluator, node: Node) -> tuple[Type, Value]:
    """Return the type that an argument names, and an object of it at address 0."""
    assert isinstance(node, TypeNode)
    type_ = evaluator.type_of(node)
    return type_, evaluator.machine.at(type_, 0)


def _offset(evaluator: Evaluator, type_node: Node, field: Node) -> tuple[Type, Value, int]:
    type_, whole = _object(evaluator, type_node)
    part = _field(evaluator, whole, field)
    if part.bit_field is not None or part.address is None:
        raise evaluator.error(
            "Operand error", field.start, "expression.operand", hint="a bit field has no offset"
        )
    return type_, part, part.address


def _size(evaluator: Evaluator, part: Value, node: Node) -> int:
    size = part.type.size
    if size is None:
        raise evaluator.error("Type information missing error", node.start, "expression.no-type")
    return size


def _containing_record(evaluator: Evaluator, node: MacroNode) -> Operand:
    address, type_node, field = node.arguments
    type_, _, offset = _offset(evaluator, type_node, field)
    try:
        number = int(evaluator.machine.loaded(evaluator.operand(address)).number)
    except OperandError as error:
        raise evaluator.failed(error, address) from error
    machine = evaluator.machine
    return Scalar(machine.pointer_to(type_), number - offset & machine.address_mask)


def _field_offset(evaluator: Evaluator, node: MacroNode) -> Operand:
    offset = _offset(evaluator, *node.arguments)[2]
    return Scalar(evaluator.machine.types.named("long"), offset)


def _field_size(evaluator: Evaluator, node: MacroNode) -> Operand:
    _, whole = _object(evaluator, node.arguments[0])
    part = _field(evaluator, whole, node.arguments[1])
    return Scalar(evaluator.machine.types.sizes, _size(evaluator, part, node.arguments[1]))


def _through_field(evaluator: Evaluator, node: MacroNode) -> Operand:
    _, part, offset = _offset(evaluator, *node.arguments)
    return Scalar(evaluator.machine.types.sizes, offset + _size(evaluator, part, node))


def _number_of(evaluator: Evaluator, node: MacroNode) -> Operand:
    with evaluator.unevaluated():
        operand = evaluator.operand(node.arguments[0])
    array = operand.type.bare
    if not isinstance(array, ArrayType) or array.count is None:
        raise evaluator.error(
            "Operand error", node.arguments[0].start, "expression.operand", hint="it is no array"
        )
    return Scalar(evaluator.machine.types.sizes, array.count)


def _contains_field(evaluator: Evaluator, node: MacroNode) -> Operand:
    """Say whether the field ends within the first *size* bytes of what a pointer points to."""
    pointer_node, size_node, field = node.arguments
    machine = evaluator.machine
    with evaluator.unevaluated():
        operand = machine.loaded(evaluator.operand(pointer_node))
    pointer = operand.type.bare
    if not isinstance(pointer, PointerType):
        raise evaluator.error("Type conflict error", pointer_node.start, "expression.type-conflict")
    part = _field(evaluator, machine.at(pointer.target, 0), field)
    if part.address is None:
        raise evaluator.error("Operand error", field.start, "expression.operand")
    try:
        _, size = machine.arithmetic(evaluator.operand(size_node))
    except OperandError as error:
        raise evaluator.failed(error, size_node) from error
    return Scalar(machine.types.bool, int(part.address + _size(evaluator, part, field) <= size))


MACRO_VALUES: dict[str, Callable[[Evaluator, MacroNode], Operand]] = {
    "CONTAINING_RECORD": _containing_record,
    "FIELD_OFFSET": _field_offset,
    "RTL_FIELD_SIZE": _field_size,
    "RTL_SIZEOF_THROUGH_FIELD": _through_field,
    "RTL_NUMBER_OF": _number_of,
    "RTL_CONTAINS_FIELD": _contains_field,
}
