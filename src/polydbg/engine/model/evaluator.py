"""Evaluates expressions of ``dx``: C++ on native values, and the objects of the model.

Wherever an operand is native the C++ evaluator does the work: numbers have one meaning only. Here
is what it has not: names of the model, lambdas, calls, strings, keys, anonymous objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

from polydbg.base.errors import DebuggerError, ExpressionError, MemoryReadError
from polydbg.engine.model.aggregates import sequence_methods
from polydbg.engine.model.context import ModelContext
from polydbg.engine.model.native import NativeObject
from polydbg.engine.model.objects import (
    DataObject,
    ErrorObject,
    Lambda,
    Method,
    ModelError,
    ModelObject,
    TextObject,
    sliced,
    unbound,
)
from polydbg.engine.model.roots import model_root, pseudo_variable
from polydbg.engine.model.strings import MAX_JOINED_TEXT, to_display_string
from polydbg.expr.cpp import operators
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.evaluator import Evaluator
from polydbg.expr.cpp.nodes import (
    AssignmentNode,
    BinaryNode,
    CallNode,
    CastNode,
    ConditionalNode,
    IndexNode,
    MemberNode,
    NameNode,
    Node,
    PseudoRegisterNode,
    StringNode,
    TypeNode,
    UnaryNode,
)
from polydbg.expr.cpp.operands import Operand
from polydbg.expr.cpp.trees import ContextNames
from polydbg.expr.dx.nodes import AnonymousNode, LambdaNode
from polydbg.expr.dx.parser import parse
from polydbg.types.model import ArrayType, EnumType, PointerType, UnknownType
from polydbg.types.place import PlaceKind, ValueUnavailableError
from polydbg.types.value import Value

MAX_LEVELS = 100
"""Deepest nesting of nodes and calls."""

_TEMPORARY = re.compile(r"\$t(1?\d)\Z", re.IGNORECASE)
_UNEXPECTED = re.compile(r"Unexpected token '(.*)'\Z", re.DOTALL)


def evaluate(text: str, context: ModelContext) -> tuple[DataObject, Node, int]:
    """Return the object that the expression at the start of *text* means, its tree, and where
    format specifiers behind it begin.

    :raises ExpressionError: it is no expression, or has no value.
    :raises DebuggerError: something cannot be read.
    """
    try:
        node, end = parse(text, ContextNames(context.scope))
    except ExpressionError as error:
        raise _in_words_of_the_model(error) from error
    return ModelEvaluator(text, context).object(node), node, end


def _in_words_of_the_model(error: ExpressionError) -> ExpressionError:
    found = _UNEXPECTED.match(error.message)
    if found is None:
        return error
    return ModelError(
        f"Unexpected token at '{found[1]}'", hint=error.hint, identifier=error.identifier
    )


class ModelEvaluator(Evaluator):
    """Evaluates the trees of one text."""

    def __init__(self, text: str, context: ModelContext) -> None:
        super().__init__(text, context.scope)
        self._model = context
        self._names: Mapping[str, DataObject] = {}
        self._level = 0

    # -- nodes -----------------------------------------------------------------------------

    def object(self, node: Node) -> DataObject:
        """Return what *node* means."""
        self._level += 1
        try:
            if self._level > MAX_LEVELS:
                raise ModelError("the expression nests too deep", identifier="expression.too-deep")
            own = self._objects.get(type(node))
            if own is not None:
                return own(self, node)
            return self._made(self.handlers[type(node)](self, node))
        finally:
            self._level -= 1

    def operand(self, node: Node) -> Operand:
        return self._model.operand(self.object(node))

    def _made(self, operand: Operand, *, is_typed: bool = False) -> DataObject:
        return self._model.made(operand, is_typed=is_typed)

    # -- names -----------------------------------------------------------------------------

    def _named_object(self, node: NameNode) -> DataObject:
        bound = self._names.get(node.name)
        if bound is not None:
            return bound
        if node.name == "Debugger":
            return model_root(self._model)
        found = self.named(node.name)
        if found is None or not _is_exactly(found, node.name):
            raise unbound(node.name)
        if isinstance(found.type.bare, UnknownType) and not found.type.size:
            raise unbound(node.name, hint=found.type.bare.reason)
        return self._made(self._referred(found, node))

    def _referred(self, value: Value, node: Node) -> Value:
        """Return what a reference that is a variable refers to: the name means that."""
        try:
            return self.machine.referred(value)
        except ValueUnavailableError:
            return value  # it is shown as what it is
        except OperandError as error:
            raise self.failed(error, node) from error

    def _pseudo_object(self, node: PseudoRegisterNode) -> DataObject:
        name = node.name[1:]
        found = self._model.session.model_variables.get(name)
        if found is not None and isinstance(found, DataObject):
            return found
        variable = pseudo_variable(self._model, name)
        if variable is not None:
            return variable
        try:
            return self._made(self._pseudo_register(node))
        except ExpressionError as error:
            raise ModelError(
                "Use of undefined variable",
                hint=f"dx @{node.name} = expression makes one",
                identifier="model.undefined-variable",
            ) from error

    def _string_object(self, node: StringNode) -> DataObject:
        return self._model.text(node.value)

    def _anonymous(self, node: AnonymousNode) -> DataObject:
        objects = {item.name: self._lazy(self.object(item.value)) for item in node.items}
        return ModelObject(objects)

    @staticmethod
    def _lazy(object_: DataObject) -> Callable[[], DataObject]:
        return lambda: object_

    # -- lambdas and calls -----------------------------------------------------------------

    def _lambda(self, node: LambdaNode) -> DataObject:
        outer = self._names

        def apply(arguments: tuple[DataObject, ...]) -> DataObject:
            with self._naming({**outer, **dict(zip(node.parameters, arguments))}):
                return self.object(node.body)

        return Lambda(node.parameters, apply)

    @contextmanager
    def _naming(self, names: Mapping[str, DataObject]) -> Iterator[None]:
        outside = self._names
        self._names = names
        try:
            yield
        finally:
            self._names = outside

    def _call_object(self, node: CallNode) -> DataObject:
        function = node.function
        if isinstance(function, NameNode) and function.name not in self._names:
            return self._made(self._call(node), is_typed=True)
        callee = self.object(function)
        if not isinstance(callee, (Lambda, Method)):
            raise ModelError("Object is not a method", identifier="model.no-function")
        return self._model.call(callee, *(self.object(each) for each in node.arguments))

    # -- parts -----------------------------------------------------------------------------

    def _member_object(self, node: MemberNode) -> DataObject:
        owner = self.object(node.object)
        if isinstance(owner, ErrorObject):
            raise owner.error
        if isinstance(owner, NativeObject) and "::" in node.name:
            return self._made(self._member(node))
        try:
            found = owner.property(node.name)
        except OperandError as error:
            raise self.failed(error, node) from error
        if found is None:
            found = methods_of(self._model, owner).get(node.name)
        if found is None:
            raise unbound(node.name)
        return found

    def _index_object(self, node: IndexNode) -> DataObject:
        owner = self.object(node.object)
        keys = [self.object(each) for each in node.arguments]
        if isinstance(owner, NativeObject) and len(keys) == 1:
            bare = self.machine.referred(owner.value).type.bare
            if isinstance(bare, (PointerType, ArrayType)):
                try:
                    operand = operators.element(
                        self.machine, owner.value, self._model.operand(keys[0])
                    )
                except OperandError as error:
                    raise self.failed(error, node.object) from error
                return self._made(operand)
        if len(keys) != 1:
            raise ModelError("one key is needed", identifier="model.arguments")
        return self._element(owner, keys[0])

    def _element(self, owner: DataObject, key: DataObject) -> DataObject:
        """Return the element of a sequence that has the key, or that position."""
        elements = owner.elements()
        if elements is None:
            found = owner.property(key.value) if isinstance(key, TextObject) else None
            if found is None:
                raise ModelError("Object does not have an indexer", identifier="model.no-indexer")
            return found
        wanted = self._model.key(key)
        placed = owner.element_at(wanted) if isinstance(wanted, int) else None
        if placed is not None:
            return placed
        first = next(elements, None)
        if first is not None and first.key is None and isinstance(wanted, int):
            element = first if not wanted else sliced(elements, wanted - 1)
            if element is not None:
                return element.load()
        while first is not None:
            self._model.cancel.check()
            if first.key is not None and self._model.equal(first.key, key):
                return first.load()
            first = next(elements, None)
        shown = f"{wanted:#x}" if isinstance(wanted, int) else wanted
        raise ModelError(f"The sequence has no element {shown}", identifier="model.no-element")

    # -- operators -------------------------------------------------------------------------

    def _unary_object(self, node: UnaryNode) -> DataObject:
        if node.symbol != "*":
            return self._made(self._unary(node))
        pointer = self.object(node.operand)
        smart = pointer.smart_pointer() if isinstance(pointer, NativeObject) else None
        operand = smart if smart is not None else self._model.operand(pointer)
        try:
            return self._made(operators.dereferenced(self.machine, operand))
        except OperandError as error:
            raise self.failed(error, node.operand) from error

    def _binary_object(self, node: BinaryNode) -> DataObject:
        chain = [node]
        while isinstance(chain[-1].left, BinaryNode):
            chain.append(chain[-1].left)
        left = self.object(chain[-1].left)
        for each in reversed(chain):
            left = self._joined_objects(each, left)
        return left

    def _joined_objects(self, node: BinaryNode, left: DataObject) -> DataObject:
        symbol = node.symbol
        if symbol in ("&&", "||"):
            return self._made(self._logical(node, self._model.operand(left)))
        right = self.object(node.right)
        if symbol == ",":
            return right
        if isinstance(left, TextObject) or isinstance(right, TextObject):
            return self._of_texts(symbol, left, right)
        try:
            joined = self.joined(symbol, self._model.operand(left), self._model.operand(right))
        except OperandError as error:
            raise self.failed(error, node.right) from error
        return self._made(joined)

    def _of_texts(self, symbol: str, left: DataObject, right: DataObject) -> DataObject:
        first, second = self._model.as_text(left), self._model.as_text(right)
        if first is None or second is None:
            if symbol in ("==", "!="):
                return self._model.truth_value(symbol == "!=")
            raise ModelError("the operator needs two strings", identifier="model.no-text")
        if symbol == "+":
            if len(first) + len(second) > MAX_JOINED_TEXT:
                raise ModelError("the string would be too long", identifier="model.range")
            return self._model.text(first + second)
        compare = _TEXT_COMPARISONS.get(symbol)
        if compare is None:
            raise ModelError(f"strings have no operator {symbol}", identifier="model.no-operator")
        return self._model.truth_value(compare(first, second))

    def _conditional_object(self, node: ConditionalNode) -> DataObject:
        condition = self._model.truth(self.object(node.condition))
        taken, other = node.positive, node.negative
        if not condition:
            taken, other = other, taken
        result = self.object(taken)
        if not isinstance(result, NativeObject) or result.is_typed:
            return result
        try:
            with self.unevaluated():
                unused = self.object(other)
            if isinstance(unused, NativeObject):
                return self._made(self._as_both(result.operand, unused.operand))
        except DebuggerError:
            return result  # what is not taken need not have a value
        return result

    def _assignment_object(self, node: AssignmentNode) -> DataObject:
        """Evaluate ``@$name = value``, which makes a variable or sets one of ``$t0`` to ``$t19``,
        and C++'s assignments."""
        target = node.target
        if not isinstance(target, PseudoRegisterNode):
            return self._made(self._assignment(node))
        if node.symbol == "=":
            value = self.object(node.value)
        else:
            value = self._joined_objects(
                BinaryNode(node.start, node.end, node.symbol, target, node.value),
                self._pseudo_object(target),
            )
        temporary = _TEMPORARY.match(target.name)
        if temporary is not None:
            self._set_temporary(int(temporary[1]), value)
        else:
            self._model.session.model_variables[target.name[1:]] = value
        return value

    def _set_temporary(self, number: int, value: DataObject) -> None:
        """Set ``$tN`` to a number, which keeps its type where it has one of the target's."""
        registers = self._model.session.evaluator
        registers.user_registers[number] = self._model.integer(value) & 0xFFFF_FFFF_FFFF_FFFF
        registers.typed_registers.pop(f"$t{number}", None)
        if isinstance(value, NativeObject) and value.is_typed:
            registers.typed_registers[f"$t{number}"] = value.value

    def _cast_object(self, node: CastNode) -> DataObject:
        found = self.builder.build(node.type)
        if found is None:
            words = _spelled(node.type)
            raise ModelError(
                f"Unable to find type '{words}' for cast.",
                hint="dt module!*part* lists names of types",
                identifier="expression.no-type",
            )
        return self._made(self.casted(node.style, found, node.operand), is_typed=True)

    _objects: ClassVar[Mapping[type[Node], Callable[..., DataObject]]] = {
        NameNode: _named_object,
        PseudoRegisterNode: _pseudo_object,
        StringNode: _string_object,
        AnonymousNode: _anonymous,
        LambdaNode: _lambda,
        CallNode: _call_object,
        MemberNode: _member_object,
        IndexNode: _index_object,
        UnaryNode: _unary_object,
        BinaryNode: _binary_object,
        ConditionalNode: _conditional_object,
        AssignmentNode: _assignment_object,
        CastNode: _cast_object,
    }


_TEXT_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _is_exactly(found: Value, name: str) -> bool:
    """Tell whether an enumerator has that name in the same case: the model tells ``box``, which may
    be no variable here, from ``Box``."""
    bare = found.type.bare
    if found.place.kind is not PlaceKind.CONSTANT or not isinstance(bare, EnumType):
        return True
    last = name.replace("!", "::").rpartition("::")[2]
    return any(each.name == last for each in bare.enumerators)


def _spelled(node: TypeNode) -> str:
    """Return a type as the engine's error has it: without the module."""
    marks = " ".join(step.kind for step in node.steps if step.kind in ("*", "&", "&&"))
    return f"{node.name.rpartition('!')[2]} {marks}".strip()


def methods_of(context: ModelContext, object_: DataObject) -> dict[str, Method]:
    """Return all that may be called on an object."""
    found = dict(object_.methods())
    try:
        is_sequence = object_.elements() is not None
    except MemoryReadError:
        is_sequence = False
    if is_sequence:
        found = {**sequence_methods(context, object_), **found}
    shown = to_display_string(context, object_)
    found.setdefault(shown.name, shown)
    return found
