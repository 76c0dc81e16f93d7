"""What objects of the model are made with: one evaluation's session, numbers, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.cpp_scope import CppScope
from polydbg.engine.model.native import NativeObject
from polydbg.engine.model.native_text import text_of
from polydbg.engine.model.objects import (
    DataObject,
    ErrorObject,
    Lambda,
    Method,
    ModelError,
    TextObject,
)
from polydbg.expr.cpp.arithmetic import OperandError
from polydbg.expr.cpp.operands import Machine, Operand, Scalar
from polydbg.types.model import PointerType
from polydbg.types.presentation import Presentation
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session, System

Key = int | float | str


class ModelContext:
    """Makes objects for one evaluation. *run* executes a command line and returns its lines;
    *use_views* tells whether views of types apply."""

    def __init__(
        self,
        session: Session,
        cancel: CancelToken,
        run: Callable[[str], Iterable[str]] = lambda line: (),
        *,
        use_views: bool = True,
    ) -> None:
        self.session = session
        self.cancel = cancel
        self.run = run
        self.use_views = use_views
        self.scope = CppScope(session)
        self.machine = Machine(self.scope.model, self.scope.around)

    @property
    def system(self) -> System:
        return self.session.current

    # -- making objects --------------------------------------------------------------------

    def number(self, value: int) -> DataObject:
        """Return an unsigned 64-bit number: shown in hex."""
        return self.scalar(value, "unsigned long long")

    def scalar(self, value: int, type_name: str) -> DataObject:
        """Return a number of an arithmetic type of the language."""
        type_ = self.machine.types.named(type_name)
        return self.made(Scalar(type_, type_.converted(value)))

    def truth_value(self, value: bool) -> DataObject:
        return self.scalar(int(value), "bool")

    def made(self, operand: Operand, *, is_typed: bool = False) -> NativeObject:
        """Return an operand of the C++ evaluator as an object; numbers of arithmetic types have
        no type of their own to show unless *is_typed*."""
        if isinstance(operand, Value):
            return NativeObject(operand, self)
        arithmetic = self.machine.types.of(operand.type) is operand.type
        return NativeObject(operand, self, is_typed=is_typed or not arithmetic)

    def text(self, value: str) -> TextObject:
        return TextObject(value, self)

    def completed(self, value: Value) -> Value:
        """Return *value* as the definition of a class that its own module only declares."""
        found = self.system.types.completed(value.type, self.cancel)
        return value if found is value.type else value.as_type(found)

    def present(self, value: Value) -> Presentation | None:
        return self.session.presenter.present(value)

    def text_methods(self, text: TextObject) -> Mapping[str, Method]:
        from polydbg.engine.model.strings import text_methods

        return text_methods(self, text)

    # -- using objects ---------------------------------------------------------------------

    def call(self, function: DataObject, *arguments: DataObject) -> DataObject:
        """Return what a lambda or method makes of *arguments*.

        :raises ModelError: it is neither. Others are those of its body.
        """
        self.cancel.check()
        if isinstance(function, (Lambda, Method)):
            return function.call(arguments)
        raise ModelError("a function is needed: x => ...", identifier="model.no-function")

    def operand(self, object_: DataObject) -> Operand:
        """Return the native value of an object.

        :raises ModelError: it has none.
        """
        if isinstance(object_, NativeObject):
            return object_.operand
        if isinstance(object_, ErrorObject):
            raise object_.error
        raise ModelError("Object does not have a native value", identifier="model.no-value")

    def truth(self, object_: DataObject) -> bool:
        """Return whether an object counts as true. Errors are those of :meth:`operand`."""
        try:
            return self.machine.truth(self.operand(object_))
        except OperandError as error:
            raise ModelError(error.message, hint=error.hint) from error

    def key(self, object_: DataObject) -> Key:
        """Return what an object is compared by: its number or its text.

        :raises ModelError: it has neither. :raises DebuggerError: it cannot be read.
        """
        if isinstance(object_, TextObject):
            return object_.value
        if isinstance(object_, ErrorObject):
            raise object_.error
        if isinstance(object_, NativeObject):
            try:
                number = self.machine.loaded(object_.operand).number
                return number if isinstance(number, (int, float)) else float(number)
            except OperandError:
                if object_.value.address is not None:
                    return object_.value.address
        words = object_.words()
        if words is None:
            raise ModelError("the objects cannot be compared", identifier="model.no-order")
        return words

    def equal(self, left: DataObject, right: DataObject) -> bool:
        """Tell whether two objects have the same value; text of the target equals text."""
        if isinstance(left, TextObject) or isinstance(right, TextObject):
            text = self.as_text(left)
            return text is not None and text == self.as_text(right)
        return self.key(left) == self.key(right)

    def as_text(self, object_: DataObject) -> str | None:
        """Return the text of a string, of the model or of the target; else ``None``."""
        if isinstance(object_, TextObject):
            return object_.value
        if isinstance(object_, NativeObject):
            return object_.view_text() or text_of(object_.value)
        return None

    def integer(self, object_: DataObject) -> int:
        """Return an argument that is a whole number. :raises ModelError: it is none."""
        found = self.key(object_)
        if not isinstance(found, int):
            raise ModelError("a whole number is needed", identifier="model.no-number")
        return found

    def address(self, object_: DataObject) -> int:
        """Return where an object lies, or the address that a pointer holds.

        :raises ModelError: it lies in no memory.
        """
        if isinstance(object_, NativeObject):
            value = object_.value
            if isinstance(value.type.bare, PointerType) or value.address is None:
                return self.integer(object_)
            return value.address
        return self.integer(object_)


def safe_words(object_: DataObject) -> str:
    """Return an object's value in words, ``""`` where it has none or it cannot be read."""
    try:
        return object_.words() or ""
    except DebuggerError:
        return ""
