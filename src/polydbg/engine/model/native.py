"""Native values as objects of the model: fields, elements, what pointers lead to, views."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.model.fields import Field, fields_of
from polydbg.engine.model.native_text import character_of, native_words
from polydbg.engine.model.objects import (
    DataObject,
    Element,
    Method,
    Part,
    TextObject,
    member_path,
)
from polydbg.engine.model.run_time_type import run_time_object
from polydbg.expr.cpp.operands import Operand
from polydbg.expr.dx.specifiers import PLAIN, Specifiers, read_specifiers
from polydbg.types.members import member_named
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    FunctionType,
    PointerType,
    ScalarType,
)
from polydbg.types.naming import spelled_for_model
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext

MAX_ELEMENTS = 1 << 32
"""The most elements that an array or a count may have: they are read one by one."""

_QUOTED = re.compile(r'[LuU8]*"(.*)"\Z', re.DOTALL)
RAW = "[<Raw View>]"


class NativeObject(DataObject):
    """A value of the target, or a number of the C++ evaluator: its *operand*. Those that are not
    *is_typed* are results of arithmetic, which are shown without their type. *how* is what a view
    says about how to show it."""

    def __init__(
        self,
        operand: Operand,
        context: ModelContext,
        *,
        is_typed: bool = True,
        how: Specifiers = PLAIN,
    ) -> None:
        self.operand = operand
        self.is_typed = is_typed
        self._context = context
        self._how = how

    @cached_property
    def value(self) -> Value:
        return self._context.machine.value(self.operand)

    @property
    def type_name(self) -> str:
        if not self.is_typed:
            return ""
        return sanitise_line(spelled_for_model(self.value.type))

    # -- what lies there -------------------------------------------------------------------

    def seen_as(self, how: Specifiers) -> NativeObject:
        """Return the whole object at run time (unless *how* asks for the static type), as the
        definition of its class."""
        value = self._context.completed(self.value)
        if not how.is_static and isinstance(value.type.bare, CompoundType):
            value = run_time_object(self._context.system, value)
        return self if value is self.value else self._with(value)

    def _with(self, value: Value, how: Specifiers = PLAIN) -> NativeObject:
        return NativeObject(value, self._context, how=how)

    @cached_property
    def presentation(self) -> Presentation | None:
        """Return what the view of its type makes of it, ``None``: there is none, or it failed."""
        if not isinstance(self.value.type.bare, (CompoundType, EnumType, ArrayType, ScalarType)):
            return None
        return self._context.present(self.value)

    def _view(self, how: Specifiers) -> Presentation | None:
        if how.is_raw or self._how.is_raw or not self._context.use_views:
            return None
        found = self.presentation
        return found if found is not None and not found.problem else None

    def problem(self, how: Specifiers) -> str:
        """Return why the view of its type could not be applied, ``""`` without a view."""
        if how.is_raw or not self._context.use_views or self.presentation is None:
            return ""
        return self.presentation.problem

    def words(self, how: Specifiers = PLAIN) -> str | None:
        how = self._how if how is PLAIN else how
        view = self._view(how)
        if view is not None and view.text is not None:
            return sanitise_line(view.text)
        return native_words(self.value, how)

    def view_text(self) -> str | None:
        """Return the text of a string class, whose view shows it in quotes; else ``None``."""
        if not isinstance(self.value.type.bare, CompoundType):
            return None
        view = self._view(self._how)
        text = view.text if view is not None else None
        quoted = _QUOTED.match(text) if text is not None else None
        return quoted[1] if quoted is not None else None

    # -- parts -----------------------------------------------------------------------------

    def parts(self, how: Specifiers = PLAIN) -> Iterator[Part]:
        how = self._how if how is PLAIN else how
        bare = self.value.type.bare
        view = self._view(how)
        if view is not None and view.children is not None:
            yield from self._view_parts(view)
        elif isinstance(bare, PointerType):
            yield from self._pointed(bare, how)
        elif isinstance(bare, ArrayType):
            yield from self._array_parts(bare, how)
        elif isinstance(bare, CompoundType):
            yield from (self._field_part(each) for each in fields_of(self.value))

    def elements_from(self, skip: int, how: Specifiers) -> Iterator[Part] | None:
        """Yield the elements from the one numbered *skip* on, without a walk to it where a view
        can do that; ``None``: the object has none."""
        how = self._how if how is PLAIN else how
        view = self._view(how)
        before = _rows_before(view)
        if view is None or view.children is None or before is None:
            return None
        return (self._view_part(each) for each in view.children(before + skip))

    def element_at(self, index: int) -> DataObject | None:
        view = self._view(self._how)
        before = _rows_before(view)
        if view is None or view.children is None or before is None or index < 0:
            return None
        child = next(view.children(before + index), None)
        return self._of_child(child) if child is not None and child.name == f"[{index}]" else None

    def element_count(self) -> int | None:
        view = self._view(self._how)
        before = _rows_before(view)
        if view is None or view.count is None or before is None:
            return None
        count = view.count - before
        # The last row tells whether all behind the first one are elements, and are there.
        return count if count > 0 and self.element_at(count - 1) is not None else None

    def _view_parts(self, view: Presentation) -> Iterator[Part]:
        raw = msgspec.structs.replace(PLAIN, is_raw=True)
        yield Part(
            RAW,
            lambda: NativeObject(self.value, self._context, how=raw),
            lambda parent: parent,
            suffix=",!",
        )
        for child in view.children(0) if view.children is not None else ():
            yield self._view_part(child)

    def _view_part(self, child: Child) -> Part:
        path = child.path

        def lead(parent: str) -> str:
            return path

        name = sanitise_line(child.name)
        suffix = f",{child.specifiers}" if child.specifiers and path else ""
        return Part(name, self._child_load(child), lead, is_element=child.is_element, suffix=suffix)

    def _of_child(self, child: Child) -> DataObject:
        if child.value is not None:
            how = read_specifiers(f",{child.specifiers}" if child.specifiers else "")
            return NativeObject(child.value, self._context, how=how)
        return SyntheticObject(child, self._of_child, self._context)

    def _field_part(self, field: Field) -> Part:
        value = field.value

        def load() -> DataObject:
            return self._with(value)

        bits = field.bits
        return Part(
            sanitise_line(field.name), load, member_path(field.name), field.offset, bits,
            is_static=field.is_static,
        )  # fmt: skip

    def _pointed(self, pointer: PointerType, how: Specifiers) -> Iterator[Part]:
        try:
            address = self.value.bits()
        except DebuggerError:
            return  # that it cannot be read is its own value
        if not address:
            return
        target = pointer.target.bare
        if how.count is not None:
            if how.string is None:  # else it is the length of a text
                yield from self._indexed(how.count, self.value.target, how)
            return
        if isinstance(target, CompoundType):
            pointed = self._with(self.value.target()).seen_as(how)
            arrow = not pointer.is_reference
            for part in pointed.parts(how):
                yield _behind_arrow(part) if arrow and part.offset is not None else part
        elif isinstance(target, FunctionType) or (
            isinstance(target, (ScalarType, EnumType, PointerType, ArrayType))
            and character_of(target) is None
        ):
            value = self.value
            path = (lambda parent: parent) if pointer.is_reference else _dereferenced
            yield Part("", lambda: self._pointee(value), path)

    def _pointee(self, pointer: Value) -> DataObject:
        """Return what a pointer leads to; of a function there is only the type to show."""
        pointed = self._with(pointer.target())
        is_code = isinstance(pointed.value.type.bare, FunctionType)
        return FunctionObject(pointed.value, self._context) if is_code else pointed

    def _array_parts(self, array: ArrayType, how: Specifiers) -> Iterator[Part]:
        count = how.count if how.count is not None else array.count
        if character_of(array.element) is not None and how.count is None:
            return
        yield from self._indexed(count or 0, self.value.element, how, array.lower)

    def _indexed(
        self, count: int, element: Callable[[int], Value], how: Specifiers, lower: int = 0
    ) -> Iterator[Part]:
        inner = msgspec.structs.replace(how, count=None)
        for index in range(min(count, MAX_ELEMENTS)):
            shown = f"[{index + lower:#x}]" if how.base == 16 else f"[{index + lower}]"
            load = self._element_load(element, index, inner)
            yield Part(shown, load, _indexed_path(shown), is_element=True)

    def _element_load(
        self, element: Callable[[int], Value], index: int, how: Specifiers
    ) -> Callable[[], DataObject]:
        return lambda: self._with(element(index), how)

    # -- as a sequence ---------------------------------------------------------------------

    def elements(self) -> Iterator[Element] | None:
        bare = self.value.type.bare
        view = self._view(self._how)
        if view is not None and view.children is not None:
            children = view.children
            return (
                Element(self._child_load(each), self._key(each.name))
                for each in children(0)
                if each.is_element
            )
        count = self._how.count
        if isinstance(bare, ArrayType):
            value, total = self.value, count if count is not None else bare.count or 0
            return self._keyed(value.element, total)
        if isinstance(bare, PointerType) and count is not None:
            return self._keyed(self.value.target, count)
        if isinstance(bare, PointerType) and bare.is_called_reference:
            return self._with(self.value.target()).elements()
        return None

    def _keyed(self, element: Callable[[int], Value], count: int) -> Iterator[Element]:
        for index in range(min(count, MAX_ELEMENTS)):
            load = self._element_load(element, index, PLAIN)
            yield Element(load, self._context.number(index))

    def _child_load(self, child: Child) -> Callable[[], DataObject]:
        return lambda: self._of_child(child)

    def _key(self, name: str) -> DataObject:
        inner = name[1:-1]
        try:
            return self._context.number(int(inner, 0))
        except ValueError:
            return TextObject(inner.strip("\"'"), self._context)

    # -- names -----------------------------------------------------------------------------

    def property(self, name: str) -> DataObject | None:
        """Return the field *name* of the object or of what a pointer points to: of its static type,
        else of its type at run time, else what a view calls so, with brackets or without; of a
        smart pointer also that of what it points to."""
        value = self._context.completed(self._object())
        found = member_named(value, name)
        if found is not None:
            return self._with(found)
        whole = self._with(value).seen_as(PLAIN)
        if whole.value is not value:
            found = member_named(whole.value, name)
            if found is not None:
                return self._with(found)
        view = whole._view(PLAIN)
        if view is not None and view.children is not None:
            for child in view.children(0):
                if child.is_element:
                    break  # what has a name stands in front of them, and there may be very many
                if child.name in (name, f"[{name}]"):
                    return self._of_child(child)
        pointer = whole.smart_pointer()
        return self._with(pointer).property(name) if pointer is not None else None

    def smart_pointer(self) -> Value | None:
        """Return the pointer that an object of a smart pointer's class stands for, by its view."""
        view = self._view(PLAIN)
        return view.pointer() if view is not None and view.pointer is not None else None

    def _object(self) -> Value:
        bare = self.value.type.bare
        return self.value.target() if isinstance(bare, PointerType) else self.value

    def methods(self) -> Mapping[str, Method]:
        return {}


def _rows_before(view: Presentation | None) -> int | None:
    """Return how many rows of a view come before its elements, ``None`` where it has none."""
    if view is None or view.children is None:
        return None
    return next((at for at, each in enumerate(view.children(0)) if each.is_element), None)


class FunctionObject(NativeObject):
    """A function that a pointer leads to: its address is the pointer's value already."""

    def words(self, how: Specifiers = PLAIN) -> str | None:
        return None


class SyntheticObject(DataObject):
    """A row of a view that is no value of the target: *child*'s text and children."""

    def __init__(
        self, child: Child, make: Callable[[Child], DataObject], context: ModelContext
    ) -> None:
        self._child = child
        self._make = make
        self._context = context

    def words(self, how: Specifiers = PLAIN) -> str | None:
        return sanitise_line(self._child.text) or None

    def parts(self, how: Specifiers = PLAIN) -> Iterator[Part]:
        for each in self._child.children() if self._child.children is not None else ():
            yield self._part(each)

    def _part(self, child: Child) -> Part:
        path = child.path
        name = sanitise_line(child.name)
        return Part(name, lambda: self._make(child), lambda parent: path, is_rooted=True)


def _behind_arrow(part: Part) -> Part:
    name = part.name
    return msgspec.structs.replace(part, path=lambda parent: f"{parent}->{name}")


def _dereferenced(parent: str) -> str:
    return f"(*{parent})"


def _indexed_path(shown: str) -> Callable[[str], str]:
    return lambda parent: f"{parent}{shown}"
