"""Expressions of views: the names of an object's class first, ``$T1`` and its like, intrinsics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

import msgspec

from polydbg.base.errors import CommandError, ExpressionError
from polydbg.engine.views.environment import ViewEnvironment, ViewError
from polydbg.expr.cpp.evaluator import Evaluator, parse
from polydbg.expr.cpp.nodes import CallNode, MemberNode, NameNode, Node
from polydbg.expr.cpp.operands import Operand
from polydbg.expr.cpp.parser import Parser
from polydbg.expr.cpp.trees import ContextNames
from polydbg.formats.natvis.model import Intrinsic, TypeView
from polydbg.formats.natvis.names import Binding
from polydbg.types.data_model import DataModel
from polydbg.types.members import member_named
from polydbg.types.model import CompoundType, Encoding, PointerType, ScalarType, Type
from polydbg.types.place import constant
from polydbg.types.value import Surroundings, Value
from polydbg.types.variants import variant_of

if TYPE_CHECKING:
    from polydbg.engine.views.view_set import ViewSet

_ARGUMENT = re.compile(r"\$T(\d+)")
_NUMBER = re.compile(r"-?(?:0x[0-9a-f]+|\d+)[uUlL]*\Z|true\Z|false\Z")
_MAX_INTRINSICS = 16
"""How deep intrinsics may call each other."""

BASE = "__base"
"""An intrinsic of our own: the base class of that number."""

FORM = "__form"
"""An intrinsic of our own: the form in force of an object of a variant type (Rust)."""

_INDEX = ScalarType("long long", 8, Encoding.SIGNED)


class BoundView(msgspec.Struct, frozen=True, eq=False):
    """A view that matches a class: *owner* is the class whose name does, *bindings* what ``$T1``
    and so on stand for in it. *file* is the path of the view's file; those that came along name no
    global variables (*is_own*), so that a member of another layout is not sought everywhere."""

    view: TypeView
    owner: CompoundType
    bindings: tuple[Binding, ...]
    intrinsics: Mapping[str, Intrinsic]
    file: str
    is_own: bool = False


class ViewScope:
    """A :class:`~polydbg.expr.cpp.context.CppContext` within *this*, an object of the class of
    *bound* or a node that it owns. *variables* are ``$i``, those of loops, parameters."""

    def __init__(
        self,
        views: ViewSet,
        bound: BoundView,
        this: Value,
        variables: dict[str, Value] | None = None,
        depth: int = 0,
    ) -> None:
        self.views = views
        self.environment: ViewEnvironment = views.environment
        self.bound = bound
        self.this = self.environment.completed(this)
        self.variables = variables if variables is not None else {}
        self.depth = depth

    def within(self, this: Value) -> ViewScope:
        """Return the scope of a node."""
        return ViewScope(self.views, self.bound, this, self.variables, self.depth)

    def with_index(self, index: int) -> ViewScope:
        """Return this scope with ``$i``."""
        number = Value(_INDEX, constant(index.to_bytes(8, self.model.order)), self.around)
        return ViewScope(
            self.views, self.bound, self.this, {**self.variables, "$i": number}, self.depth
        )

    # -- expressions -----------------------------------------------------------------------

    def evaluate(self, text: str) -> Value:
        """Return the value of an expression.

        :raises DebuggerError: it has none here, or there were too many steps.
        """
        self.environment.step()
        return ViewEvaluator(text, self).result(parse(text, self))

    def number(self, text: str) -> int:
        """Return the value of an expression as a whole number. Errors as above."""
        self.environment.step()
        evaluator = ViewEvaluator(text, self)
        return int(evaluator.machine.loaded(evaluator.operand(parse(text, self))).number)

    def holds(self, condition: str) -> bool:
        """Tell whether a condition holds, ``""`` always does. Errors as above."""
        return not condition or self.number(condition) != 0

    # -- what the evaluator asks -----------------------------------------------------------

    @property
    def model(self) -> DataModel:
        return self.this.around.model

    @property
    def around(self) -> Surroundings:
        return self.this.around

    def variable(self, name: str) -> Value | None:
        found = self.variables.get(name)
        if found is not None:
            return found
        if name == "this":
            return self._this()
        if name.startswith("$"):
            return self._argument_value(name)
        bare = self.this.type.bare
        if isinstance(bare, CompoundType):
            found = member_named(self.this, name)
            if found is not None:
                return found
        if name in self.bound.intrinsics or self.bound.is_own:
            return None
        return self.environment.global_named(self._spelled_out(name))

    def _this(self) -> Value | None:
        address, target = self.this.address, self.this.type
        if address is None:
            return None
        size = self.model.pointer_size
        data = address.to_bytes(size, self.model.order)
        return Value(PointerType(lambda: target, size), constant(data), self.around)

    def _binding(self, name: str) -> Binding | None:
        match = _ARGUMENT.fullmatch(name)
        index = int(match[1][:6]) - 1 if match is not None else -1
        return self.bound.bindings[index] if 0 <= index < len(self.bound.bindings) else None

    def _argument_value(self, name: str) -> Value | None:
        """Return a template argument that is a number."""
        binding = self._binding(name)
        if binding is None or not _NUMBER.match(binding.text):
            return None
        text = binding.text.rstrip("uUlL")
        number = int(text == "true") if text in ("true", "false") else int(text, 0)
        data = (number & (1 << 64) - 1).to_bytes(8, self.model.order)
        return Value(_INDEX, constant(data), self.around)

    def _spelled_out(self, name: str) -> str:
        """Return *name* with what its ``$T1`` stand for."""

        def text_of(match: re.Match[str]) -> str:
            binding = self._binding(match.group())
            return binding.text if binding is not None else match.group()

        return _ARGUMENT.sub(text_of, name) if "$T" in name else name

    def type_named(self, name: str) -> Type | None:
        binding = self._binding(name)
        if binding is None:
            return self.environment.type_named(self._spelled_out(name), self.bound.owner)
        if _NUMBER.match(binding.text):
            return None
        return self._argument_type(binding) or self._written_type(binding.text)

    def _argument_type(self, binding: Binding) -> Type | None:
        """Return the type that the debug information has for a template argument."""
        type_: Type = self.bound.owner
        for index in binding.path:
            bare = type_.bare
            if not isinstance(bare, CompoundType):
                return None
            arguments = bare.parts.arguments
            if index >= len(arguments) or arguments[index].value is not None:
                return None
            type_ = arguments[index].type
        return type_ if binding.path else None

    def _written_type(self, text: str) -> Type | None:
        found = self.environment.type_named(text, self.bound.owner)
        if found is not None:
            return found
        parser = Parser(text, names=ContextNames(self))
        try:
            node = parser.types.parse(0)
        except ExpressionError:
            return None
        if node is None or node.end != len(text):
            return None
        if node.name == text and not node.is_builtin:
            return None  # as a name it was looked for already
        return ViewEvaluator(text, self).builder.build(node)

    def is_type_name(self, name: str) -> bool:
        if name in self.variables:
            return False
        return self.variable(name) is None and self.type_named(name) is not None

    def register(self, name: str) -> int | None:
        return None

    def pseudo_register(self, name: str) -> Value | int | None:
        return None

    def evaluate_masm(self, text: str) -> int:
        raise ViewError("views have no MASM expressions")

    def write(self, value: Value, data: bytes) -> None:
        """Store *data* in a variable of a loop; nothing else is written.

        :raises CommandError: it is something else.
        """
        for name, each in self.variables.items():
            if each is value:
                self.variables[name] = Value(value.type, constant(data), value.around)
                return
        raise CommandError("views do not change the target", identifier="view.read-only")


class ViewEvaluator(Evaluator):
    """Evaluates expressions of views: C++ and calls of intrinsics."""

    def __init__(self, text: str, scope: ViewScope) -> None:
        super().__init__(text, scope)
        self._scope = scope

    def _intrinsic(self, node: CallNode) -> Operand | None:
        function, scope = node.function, self._scope
        if isinstance(function, NameNode):
            found = scope.bound.intrinsics.get(function.name)
            if found is not None:
                return self._applied(found, scope, node)
            if function.name not in (BASE, FORM) or len(node.arguments) != 1:
                return None
            return self._base(node) if function.name == BASE else self._form(node)
        if not isinstance(function, MemberNode):
            return None
        operand = self.operand(function.object)
        value = self.machine.value(operand)
        if function.is_arrow:
            value = value.target()
        for bound, this in scope.views.matches(value):
            found = bound.intrinsics.get(function.name)
            if found is not None:
                inner = ViewScope(scope.views, bound, this, {}, scope.depth)
                return self._applied(found, inner, node)
        return None

    def _base(self, node: CallNode) -> Operand:
        """Return a base of the object by its number: bases whose names are not known otherwise."""
        compound = self._scope.this.type.bare
        bases = compound.bases if isinstance(compound, CompoundType) else ()
        number = int(self.machine.loaded(self.operand(node.arguments[0])).number)
        if not 0 <= number < len(bases):
            raise ViewError(f"{BASE}: the class has {len(bases)} bases")
        return self._scope.this.member(bases[number])

    def _form(self, node: CallNode) -> Operand:
        """Return the form in force of a variant type."""
        value = self.machine.value(self.operand(node.arguments[0]))
        variant = variant_of(value)
        if variant is None or not variant.members:
            raise ViewError(f"{FORM}: the type has no forms")
        return value.member(variant.members[0])

    def _applied(self, intrinsic: Intrinsic, scope: ViewScope, node: CallNode) -> Operand:
        if len(node.arguments) != len(intrinsic.parameters):
            raise ViewError(f"{intrinsic.name} takes {len(intrinsic.parameters)} arguments")
        if scope.depth >= _MAX_INTRINSICS:
            raise ViewError(f"intrinsics call each other without an end: {intrinsic.name}")
        values = [self.machine.value(self.operand(each)) for each in node.arguments]
        variables = dict(zip(intrinsic.parameters, values))
        inner = ViewScope(scope.views, scope.bound, scope.this, variables, scope.depth + 1)
        return inner.evaluate(intrinsic.expression)

    def _call_in_view(self, node: CallNode) -> Operand:
        found = self._intrinsic(node)
        return found if found is not None else self._call(node)

    handlers: ClassVar[Mapping[type[Node], Callable[..., Operand]]] = {
        **Evaluator.handlers,
        CallNode: _call_in_view,
    }
