"""``=``, ``+=`` and its like, ``++`` and ``--``: what changes the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.expr.cpp import operators
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.casts import cast
from polydbg.expr.cpp.nodes import AssignmentNode, Node
from polydbg.expr.cpp.operands import Operand, Scalar, class_of
from polydbg.types.model import ArrayType
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.expr.cpp.evaluator import Evaluator


def assign(evaluator: Evaluator, node: AssignmentNode) -> Value:
    """Carry out an assignment; return the target.

    :raises ExpressionError: the target has no place or cannot be written, or the types do not go
        together.
    """
    target = _target(evaluator, node.target)
    operand = evaluator.operand(node.value)
    try:
        if node.symbol != "=":
            operand = operators.binary(evaluator.machine, node.symbol, target, operand)
        _store(evaluator, target, operand, evaluator.after(node))
    except OperandError as error:
        raise evaluator.failed(error, node.value) from error
    return target


def step(evaluator: Evaluator, node: Node, symbol: str, inner: Node) -> tuple[Operand, Value]:
    """Add one or take it away; return the value before, and the target. Errors are those of
    :func:`assign`."""
    machine = evaluator.machine
    target = _target(evaluator, inner)
    try:
        before = machine.loaded(target)
        after = operators.binary(machine, symbol[0], before, Scalar(machine.types.int, 1))
        at = evaluator.after(node) if node.end == inner.end else node.end - len(symbol)
        _store(evaluator, target, after, at)
    except OperandError as error:
        raise evaluator.failed(error, inner) from error
    kind = machine.types.of(target.type)
    return (Scalar(target.type, before.number) if kind is not None else before), target


def _target(evaluator: Evaluator, node: Node) -> Value:
    operand = evaluator.operand(node)
    if isinstance(operand, Scalar):
        raise evaluator.error(
            "Operand error",
            node.start,
            "expression.no-place",
            hint="only what lies in memory can be changed; r changes registers",
        )
    try:
        return evaluator.machine.referred(operand)
    except OperandError as error:
        raise evaluator.failed(error, node) from error


def _store(evaluator: Evaluator, target: Value, operand: Operand, at: int) -> None:
    """Write *operand* where *target* is, converted to its type; *at* is the token to blame."""
    machine = evaluator.machine
    if isinstance(target.type.bare, ArrayType):
        raise OperandError("Operand error", hint="arrays are not assigned to: name an element")
    converted = cast(machine, "static_cast", target.type, operand)
    if not machine.is_evaluating:
        return
    if isinstance(converted, Value):
        if class_of(target.type) is None:
            raise OperandError("Type conflict error", identifier="expression.type-conflict")
        data = converted.bytes(target.type.size)
    else:
        data = machine.encoded(converted)
    if target.bit_field is not None:
        data = _with_bits(target, int.from_bytes(data, machine.model.order))
    try:
        evaluator.context.write(target, data)
    except DebuggerError as error:
        raise evaluator.error(
            "Memory access error",
            at,
            error.identifier,
            hint=": ".join(each for each in (error.message, error.hint) if each),
        ) from error


def _with_bits(target: Value, number: int) -> bytes:
    """Return the storage unit of a bit field with *number* in its bits."""
    assert target.bit_field is not None
    position, width = target.bit_field
    try:
        unit = target.bytes()
    except MemoryReadError as error:
        raise OperandError("Memory access error", identifier="expression.memory") from error
    order = target.around.model.order
    mask = (1 << width) - 1 << position
    changed = int.from_bytes(unit, order) & ~mask | number << position & mask
    return changed.to_bytes(len(unit), order)
