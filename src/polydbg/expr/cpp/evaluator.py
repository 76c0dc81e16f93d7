"""Evaluates C++ expressions over the names, types and memory of a frame.

Errors are the engine's: ``TEXT at 'REST'``, where REST runs from the token that failed, or for
failures of an operation from the last token of its operand (command-language reference, 6.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from polydbg.base.errors import DebuggerError, ExpressionError, MemoryReadError
from polydbg.expr.context import ExtraCharacterError
from polydbg.expr.cpp import operators
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.casts import cast
from polydbg.expr.cpp.context import CppContext
from polydbg.expr.cpp.conversions import to_bits
from polydbg.expr.cpp.errors import cpp_error, rest_of, unexpected
from polydbg.expr.cpp.literals import literal
from polydbg.expr.cpp.nodes import (
    AssignmentNode,
    BinaryNode,
    BoolNode,
    CallNode,
    CastNode,
    CharacterNode,
    ConditionalNode,
    FloatNode,
    IndexNode,
    IntegerNode,
    MacroNode,
    MasmNode,
    MemberNode,
    NameNode,
    Node,
    NullNode,
    PostfixNode,
    PseudoRegisterNode,
    RegisterNode,
    SizeofNode,
    StringNode,
    TypeNode,
    UnaryNode,
)
from polydbg.expr.cpp.operands import Machine, Operand, Scalar
from polydbg.expr.cpp.parser import Parser
from polydbg.expr.cpp.template_names import other_spellings
from polydbg.expr.cpp.trees import ContextNames, parsed
from polydbg.expr.cpp.type_building import VOID, TypeBuilder
from polydbg.types.model import (
    EnumType,
    FunctionType,
    PointerType,
    ScalarType,
    Type,
    UnknownType,
)
from polydbg.types.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 150
"""Deepest tree that is evaluated; chains of binary operators do not count."""

_SMALL = 1 << 31
_LAST_WORD = re.compile(r"[\w$]+\Z|\+\+\Z|--\Z|.\Z", re.DOTALL)


def parse(text: str, context: CppContext | None = None) -> Node:
    """Return the tree of an expression; *context* tells types from variables.

    :raises ExpressionError: *text* is no C++ expression.
    """
    node, end = parsed(text, ContextNames(context) if context is not None else None)
    if end < len(text):
        raise unexpected(text, end)
    return node


def evaluate(text: str, context: CppContext) -> Value:
    """Return the value of the whole of *text*. What lies in memory is a value in its place.

    :raises ExpressionError: it is not an expression, or something in it has no value;
        :class:`~polydbg.expr.context.ExtraCharacterError` when text follows the expression.
    :raises ValueUnavailableError: a value it needs is optimized out.
    """
    node, end = parsed(text, ContextNames(context))
    value = Evaluator(text, context).result(node)
    if end < len(text):
        raise ExtraCharacterError(end, value)
    return value


def evaluate_prefix(
    text: str, position: int, context: CppContext, *, end: int | None = None
) -> tuple[Value, int]:
    """Evaluate the expression that starts at *position*; return its value and where it ends: before
    what cannot continue it, which a comma cannot either. Errors are those of :func:`evaluate`."""
    parser = Parser(text, position, end, names=ContextNames(context), commas=False)
    node = parser.expression()
    value = Evaluator(text, context).result(node)
    return value, len(text[: parser.position].rstrip())


def evaluate_number(
    text: str,
    position: int,
    context: CppContext,
    *,
    end: int | None = None,
    blamed: int | None = None,
) -> tuple[int, int]:
    """Return the number that the expression at *position* is worth, as 64 bits, and where it ends:
    what commands take for addresses and counts.

    Errors are those of :func:`evaluate`. A class is no number: *blamed* is where what failed then
    begins, *position* by default.
    """
    value, after = evaluate_prefix(text, position, context, end=end)
    try:
        return to_bits(value), after
    except OperandError as error:
        at = position if blamed is None else blamed
        words = f"{error.message} at '{rest_of(text, at)}'"
        raise cpp_error(words, at, hint=error.hint, identifier=error.identifier) from error


def evaluate_node(node: Node, context: CppContext, text: str = "") -> Value:
    """Return the value of a tree that was read from *text*. Errors are those of
    :func:`evaluate`."""
    evaluator = Evaluator(text, context)
    return evaluator.machine.value(evaluator.operand(node))


class Evaluator:
    """Evaluates trees of one *text*. Languages that extend C++ add to :attr:`handlers`."""

    def __init__(self, text: str, context: CppContext) -> None:
        self.text = text
        self.context = context
        self.machine = Machine(context.model, context.around)
        self.builder = TypeBuilder(context, self.machine.types)
        self._depth = 0

    # -- entry points ----------------------------------------------------------------------

    def result(self, node: Node) -> Value:
        """Return the value of a whole expression; functions are pointers to them, and numbers that
        lie in memory are known to be readable."""
        operand = self.operand(node)
        if isinstance(operand, Value):
            bare = operand.type.bare
            if isinstance(bare, FunctionType):
                return self.machine.value(self.machine.loaded(operand))
            if isinstance(bare, UnknownType) and not bare.size:
                raise self.failed(
                    OperandError("Type information missing error", hint=bare.reason), node
                )
            if isinstance(bare, (ScalarType, EnumType, PointerType)):
                self._check_readable(operand, node)
            return operand
        return self.machine.value(operand)

    def _check_readable(self, value: Value, node: Node) -> None:
        try:
            value.bytes()
        except MemoryReadError as error:
            raise self.error(
                "Memory access error",
                self.last_token(node),
                "expression.memory",
                hint=f"the dump has no memory at {error.address:#x}; !address {error.address:#x} "
                "says what was there",
            ) from error
        except DebuggerError:
            return  # it is shown as what it is: <value unavailable>

    def operand(self, node: Node) -> Operand:
        """Return what *node* is worth, in its place where it has one."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error("Overflow error", node.start, "expression.too-deep")
        found = self.handlers[type(node)](self, node)
        self._depth -= 1
        return found

    # -- errors ----------------------------------------------------------------------------

    def error(
        self, what: str, at: int, identifier: str, *, hint: str = "", joint: str = " at"
    ) -> ExpressionError:
        """Return ``WHAT at 'REST'`` with the rest of the text from *at* on."""
        words = f"{what}{joint} '{rest_of(self.text, at)}'"
        return cpp_error(words, at, hint=hint, identifier=identifier)

    def failed(self, error: OperandError, node: Node) -> ExpressionError:
        """Return *error* of an operation whose last operand is *node* with its position."""
        if error.identifier == "expression.no-pointer":
            at = self.after(node)
            return self.error(error.message, at, error.identifier, hint=error.hint, joint="")
        return self.error(error.message, self.last_token(node), error.identifier, hint=error.hint)

    def last_token(self, node: Node) -> int:
        """Return where the last token of *node* begins."""
        if isinstance(node, MemberNode):
            return node.end - len(node.name)
        if isinstance(node, (UnaryNode, CastNode)) and node.operand.end == node.end:
            return self.last_token(node.operand)
        if isinstance(node, (BinaryNode, ConditionalNode, IndexNode, CallNode, PostfixNode)):
            match = _LAST_WORD.search(self.text, 0, node.end)
            return match.start() if match is not None else node.start
        return node.start

    def after(self, node: Node) -> int:
        """Return where the token after *node* begins."""
        rest = self.text[node.end :]
        return node.end + len(rest) - len(rest.lstrip())

    # -- names -----------------------------------------------------------------------------

    def _name(self, node: NameNode) -> Operand:
        found = self.named(node.name)
        if found is None:
            # In a method the engine seeks a name that is no variable in *this, and says so.
            in_class = node.name.isidentifier() and self.context.variable("this") is not None
            raise self.error(
                "Type does not have given member error" if in_class else "Couldn't resolve error",
                node.start,
                "expression.unresolved",
                hint="x *!*part* searches names, dv lists those of the frame",
            )
        return found

    def named(self, name: str) -> Value | None:
        """Return what a name means: a variable, a function, an enumerator, a static member."""
        found = self.context.variable(name)
        if found is not None:
            return found
        from polydbg.expr.cpp.class_members import scoped_name

        for spelling in other_spellings(name):
            found = self.context.variable(spelling)
            if found is not None:
                return found
        return scoped_name(self, name)

    def type_of(self, node: TypeNode) -> Type:
        """Return the type that *node* spells. :raises ExpressionError: there is none."""
        found = self.builder.build(node)
        if found is None:
            raise self.error(
                "Couldn't resolve error",
                node.start,
                "expression.no-type",
                hint=f"no symbols have a type {node.name}; dt module!*part* lists names",
            )
        return found

    # -- registers and the other evaluator -------------------------------------------------

    def _register(self, node: RegisterNode) -> Operand:
        number = self.context.register(node.name)
        if number is None:
            raise self.error("Bad register error", node.start, "expression.bad-register")
        return self._word(number)

    def _pseudo_register(self, node: PseudoRegisterNode) -> Operand:
        found = self.context.pseudo_register(node.name)
        if found is None:
            raise self.error("Bad register error", node.start, "expression.bad-register")
        return found if isinstance(found, Value) else self._word(found)

    def _word(self, number: int) -> Scalar:
        word = self.machine.types.word
        if number >> word.bits:
            word = self.machine.types.named("unsigned __int128")
        return Scalar(word, word.converted(number))

    def _masm(self, node: MasmNode) -> Operand:
        return self._word(self.context.evaluate_masm(node.text))

    def _string(self, node: StringNode) -> Operand:
        raise self.error(
            "String literals not allowed",
            node.start,
            "expression.string",
            hint="$scmp() of ? compares strings; dx takes them",
            joint=" in",
        )

    # -- operators -------------------------------------------------------------------------

    def _binary(self, node: BinaryNode) -> Operand:
        """Evaluate a chain of operators from its innermost left operand on, without recursion."""
        chain = [node]
        while isinstance(chain[-1].left, BinaryNode):
            chain.append(chain[-1].left)
        left = self.operand(chain[-1].left)
        for each in reversed(chain):
            left = self._joined(each, left)
        return left

    def _joined(self, node: BinaryNode, left: Operand) -> Operand:
        symbol = node.symbol
        if symbol in ("&&", "||"):
            return self._logical(node, left)
        right = self.operand(node.right)
        try:
            return self.joined(symbol, left, right)
        except OperandError as error:
            raise self.failed(error, self._guilty(node, left)) from error

    def _guilty(self, node: BinaryNode, left: Operand) -> Node:
        """Return the operand of a failed operation to blame: the left one if it has no number."""
        try:
            self.machine.loaded(left)
        except OperandError:
            return node.left
        return node.right

    def joined(self, symbol: str, left: Operand, right: Operand) -> Operand:
        """Return ``left SYMBOL right`` for all but ``&&`` and ``||``.

        :raises OperandError: the operands do not go with the operator.
        """
        if symbol == ",":
            return right
        if symbol in (".*", "->*"):
            from polydbg.expr.cpp.class_members import pointed_member

            return pointed_member(self.machine, symbol, left, right)
        return operators.binary(self.machine, symbol, left, right)

    def _logical(self, node: BinaryNode, left: Operand) -> Operand:
        first = self.truth(left, node.left)
        if first == (node.symbol == "||") and self.machine.is_evaluating:
            return Scalar(self.machine.types.bool, int(first))
        second = self.truth(self.operand(node.right), node.right)
        return Scalar(self.machine.types.bool, int(second))

    def truth(self, operand: Operand, node: Node) -> bool:
        """Return whether the value of *node* counts as true."""
        try:
            return self.machine.truth(operand)
        except OperandError as error:
            raise self.failed(error, node) from error

    def _unary(self, node: UnaryNode) -> Operand:
        if node.symbol in ("++", "--"):
            from polydbg.expr.cpp.assignment import step

            return step(self, node, node.symbol, node.operand)[1]
        operand = self._method_address(node)
        if operand is not None:
            return operand
        inner = self.operand(node.operand)
        try:
            return operators.unary(self.machine, node.symbol, inner)
        except OperandError as error:
            raise self.failed(error, node.operand) from error

    def _method_address(self, node: UnaryNode) -> Operand | None:
        """Return ``&Class::member`` as a pointer to a member, if it is one."""
        inner = node.operand
        if node.symbol != "&" or not isinstance(inner, NameNode) or "::" not in inner.name:
            return None
        if self.context.variable(inner.name) is not None:
            return None
        from polydbg.expr.cpp.class_members import member_pointer

        return member_pointer(self, inner.name)

    def _postfix(self, node: PostfixNode) -> Operand:
        from polydbg.expr.cpp.assignment import step

        return step(self, node, node.symbol, node.operand)[0]

    def _assignment(self, node: AssignmentNode) -> Operand:
        from polydbg.expr.cpp.assignment import assign

        return assign(self, node)

    def _conditional(self, node: ConditionalNode) -> Operand:
        condition = self.truth(self.operand(node.condition), node.condition)
        taken, other = (
            (node.positive, node.negative) if condition else (node.negative, node.positive)
        )
        result = self.operand(taken)
        with self.unevaluated():
            unused = self.operand(other)
        return self._as_both(result, unused)

    def _as_both(self, result: Operand, unused: Operand) -> Operand:
        """Return *result* in the type that both branches have ([expr.cond])."""
        types = self.machine.types
        kind, other = types.of(result.type), types.of(unused.type)
        if kind is not None and other is not None:
            if result.type.bare is unused.type.bare:
                return result
            common = types.common(kind, other)
            return Scalar(common, common.converted(self.machine.loaded(result).number))
        pointer = unused.type.bare
        if kind is not None and isinstance(pointer, PointerType) and not pointer.is_reference:
            return Scalar(unused.type, self.machine.loaded(result).number)
        return result

    @contextmanager
    def unevaluated(self) -> Iterator[None]:
        """Let only types count."""
        outside = self.machine.is_evaluating
        self.machine.is_evaluating = False
        try:
            yield
        finally:
            self.machine.is_evaluating = outside

    # -- members and elements --------------------------------------------------------------

    def _member(self, node: MemberNode) -> Operand:
        from polydbg.expr.cpp.class_members import member_of

        return member_of(self, node)

    def _index(self, node: IndexNode) -> Operand:
        operand = self.operand(node.object)
        if len(node.arguments) != 1:
            raise unexpected(self.text, node.arguments[1].start)
        index = self.operand(node.arguments[0])
        try:
            return operators.element(self.machine, operand, index)
        except OperandError as error:
            at_index = error.identifier == "expression.type-conflict"
            raise self.failed(error, node.arguments[0] if at_index else node.object) from error

    def _call(self, node: CallNode) -> Operand:
        """Evaluate ``T(e)``; functions of the target are not called."""
        name = node.function
        if isinstance(name, NameNode) and self.context.variable(name.name) is None:
            type_ = self.builder.named(name.name)
            if type_ is None:
                raise self.error("Couldn't resolve error", name.start, "expression.unresolved")
            if len(node.arguments) == 1:
                return self.casted("", type_, node.arguments[0])
        raise self.error(
            "Unexpected token",
            name.end,
            "expression.no-calls",
            hint="functions of the target are not called",
            joint="",
        )

    def _cast(self, node: CastNode) -> Operand:
        return self.casted(node.style, self.type_of(node.type), node.operand)

    def casted(self, style: str, type_: Type, node: Node) -> Operand:
        """Return the value of *node* converted to *type_*."""
        operand = self.operand(node)
        try:
            return cast(self.machine, style, type_, operand)
        except OperandError as error:
            raise self.failed(error, node) from error

    def _sizeof(self, node: SizeofNode) -> Operand:
        type_ = self._sized(node.operand)
        if isinstance(type_, PointerType) and type_.is_reference:
            type_ = type_.target
        size = type_.size
        if size is None:
            raise self.error(
                "Type information missing error",
                node.operand.start,
                "expression.no-type",
                hint="the type is only declared: its size is not known",
            )
        return Scalar(self.machine.types.sizes, size)

    def _sized(self, node: Node) -> Type:
        if isinstance(node, TypeNode):
            return self.type_of(node)
        if isinstance(node, NameNode):
            found = self.named(node.name)
            if found is not None:
                return found.type.bare
            type_ = self.builder.named(node.name)
            if type_ is not None:
                return type_.bare
        with self.unevaluated():
            operand = self.operand(node)
        if isinstance(operand, Value) and operand.bit_field is not None:
            raise self.error("Operand error", node.start, "expression.operand", hint="a bit field")
        return operand.type.bare

    def _macro(self, node: MacroNode) -> Operand:
        from polydbg.expr.cpp.macros import MACRO_VALUES

        return MACRO_VALUES[node.name](self, node)

    def _integer(self, node: IntegerNode) -> Operand:
        types = self.machine.types
        if node.value < _SMALL and not node.suffix:
            return Scalar(types.int, node.value)
        return literal(types, node)

    def _literal(self, node: Node) -> Operand:
        return literal(self.machine.types, node)

    def _null(self, node: NullNode) -> Operand:
        return Scalar(self.machine.pointer_to(VOID), 0)

    handlers: ClassVar[Mapping[type[Node], Callable[..., Operand]]] = {
        IntegerNode: _integer,
        FloatNode: _literal,
        CharacterNode: _literal,
        BoolNode: _literal,
        NullNode: _null,
        StringNode: _string,
        NameNode: _name,
        RegisterNode: _register,
        PseudoRegisterNode: _pseudo_register,
        MasmNode: _masm,
        MemberNode: _member,
        IndexNode: _index,
        CallNode: _call,
        UnaryNode: _unary,
        PostfixNode: _postfix,
        BinaryNode: _binary,
        AssignmentNode: _assignment,
        ConditionalNode: _conditional,
        CastNode: _cast,
        SizeofNode: _sizeof,
        MacroNode: _macro,
    }
