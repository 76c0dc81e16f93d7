"""Variables of a frame as Python objects: typed, and read no further than they are asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.value_words import value_words
from polydbg.engine.model.run_time_type import run_time_object
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import variables_of
from polydbg.library.handle import Handle
from polydbg.targets.target import ThreadInfo
from polydbg.types.members import member_named
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    Encoding,
    EnumType,
    Member,
    PointerType,
    ScalarType,
    VoidType,
)
from polydbg.types.naming import spelled_for_model
from polydbg.types.place import PlaceKind, ValueUnavailableError
from polydbg.types.presentation import Child, Presentation
from polydbg.types.scalars import number_of
from polydbg.types.strings import character_type, characters_at, characters_in
from polydbg.types.value import Value

_MAX_STEPS = 64
"""How many pointers, references and typedefs an index goes through."""

_MAX_ROWS_BEFORE_ELEMENTS = 64
"""How many rows of a view may stand before its first element."""


class Variable:
    """A value of the process with its type. ``variable["port"]`` is a member (pointers and
    references are followed), ``variable[3]`` an element; both of what a view shows where there is
    one for the type (``std::vector``), of the raw object with :attr:`raw`."""

    def __init__(
        self, handle: Handle, name: str, value: Value, *, kind: str = "", use_views: bool = True
    ) -> None:
        self._handle = handle
        self._value = value
        self._use_views = use_views
        self.name = name
        self.kind = kind

    @property
    def type(self) -> str:
        """Return the type's name: ``Config``, ``char *``, ``int [5]``."""
        return sanitise_line(spelled_for_model(self._value.type))

    @property
    def size(self) -> int | None:
        """Return the size in bytes, ``None`` where the type has none."""
        return self._value.type.size

    @property
    def address(self) -> int | None:
        """Return where it lies, ``None`` for registers, constants, bit fields and what is lost."""
        return self._value.address

    @property
    def is_available(self) -> bool:
        """Tell whether its bytes can be told."""
        try:
            self._value.bytes()
        except DebuggerError:
            return False
        return True

    @property
    def problem(self) -> str:
        """Return why the value cannot be told, ``""`` where it can."""
        place = self._value.place
        if place.kind is PlaceKind.NOWHERE:
            return place.reason
        try:
            self._value.bytes()
        except DebuggerError as error:
            return error.message
        return ""

    @property
    def value(self) -> int | float | complex | bool | str | None:
        """Return the value as Python has it: numbers, truth values, pointers and enumerations as
        their numbers, what is text (arrays of characters, strings with a view) as ``str``; ``None``
        for other classes and arrays, whose parts are to be asked.

        :raises ValueUnavailableError: it cannot be told; the message says why.
        :raises MemoryReadError: it lies where the dump has no memory.
        """
        type_ = self._value.type.bare
        if isinstance(type_, PointerType) and type_.is_reference:
            return self._with(self._value.target()).value
        if isinstance(type_, ScalarType):
            number = number_of(self._value)
            return bool(number) if type_.encoding is Encoding.BOOL else number
        if isinstance(type_, (EnumType, PointerType)):
            return number_of(self._value)
        if isinstance(type_, ArrayType) and character_type(type_.element) is not None:
            return self.string()
        if isinstance(type_, CompoundType):
            shown = self._presentation()
            text = shown.text if shown is not None else None
            if text is not None and len(text) > 1 and text[0] == text[-1] == '"':
                return text[1:-1]
            return None
        if isinstance(type_, ArrayType):
            return None
        raise ValueUnavailableError("the type has no values")

    @property
    def text(self) -> str:
        """Return what the debugger prints for it: the display string of its view, else as ``dv``
        prints it."""
        try:
            shown = self._presentation()
        except DebuggerError:  # a reference to what cannot be told: value_words says so
            shown = None
        if shown is not None and shown.text is not None:
            return shown.text
        return value_words(self._value)

    def string(self) -> str:
        """Return the text that an array of characters holds or a pointer to characters leads to,
        without quotes; of more than 512 characters the first.

        :raises ValueUnavailableError: it is no text.
        :raises MemoryReadError: the text is not in the dump.
        """
        value, around = self._value, self._value.around
        type_ = value.type.bare
        if isinstance(type_, PointerType) and (unit := character_type(type_.target)):
            return characters_at(around.memory, value.bits(), unit, around.model)
        if isinstance(type_, ArrayType) and (unit := character_type(type_.element)):
            return characters_in(value.bytes(), unit, around.model)
        found = self.value
        if isinstance(found, str):
            return found
        raise ValueUnavailableError("the value is no text")

    @property
    def raw(self) -> Variable:
        """Return the same without views: the members as declared."""
        return Variable(self._handle, self.name, self._value, kind=self.kind, use_views=False)

    def dereference(self) -> Variable:
        """Return what a pointer, smart pointer or reference leads to. Errors are those of
        :attr:`value`."""
        shown = self._presentation()
        if shown is not None and shown.pointer is not None:
            return self._with(shown.pointer().target(), f"*{self.name}")
        return self._with(self._value.target(), f"*{self.name}")

    # -- parts -----------------------------------------------------------------------------

    def __getitem__(self, key: str | int) -> Variable:
        """Return a member by name, an element by index. Members are those of the declared class,
        then of what the object is at run time, then of what a smart pointer leads to.

        :raises KeyError: there is none of that name.
        :raises IndexError: the array, or what the view shows, has no such element.
        :raises DebuggerError: the way there cannot be told.
        """
        if isinstance(key, int):
            return self._element(key)
        shown = self._presentation()
        if shown is not None and shown.children is not None:
            for child in shown.children(0):
                self._handle.cancel.check()
                if child.name == key and child.value is not None:
                    return self._with(child.value, child.name)
        target = self._object()
        try:
            found = member_named(target, key)
        except DebuggerError as error:
            raise ValueUnavailableError(error.message) from error
        if found is not None:
            return self._with(found, key)
        whole = run_time_object(self._handle.system, target)
        found = member_named(whole, key) if whole is not target else None
        if found is not None:
            return self._with(found, key)
        if shown is not None and shown.pointer is not None:
            return self._with(shown.pointer())[key]
        raise KeyError(key)

    def _element(self, index: int) -> Variable:
        if index < 0:
            raise IndexError("an index counts from 0")
        name = f"[{index}]"
        shown = self._presentation()
        if shown is not None and shown.children is not None:
            # Rows such as [size] stand before the elements, which are called by their numbers.
            first = 0
            for child in itertools.islice(shown.children(0), _MAX_ROWS_BEFORE_ELEMENTS):
                if child.name in ("[0]", "[...]"):
                    if child.value is None:
                        raise ValueUnavailableError(child.text.strip("<>"))
                    break
                first += 1
            for child in itertools.islice(shown.children(first + index), 1):
                if child.value is None and child.name in (name, "[...]"):
                    raise ValueUnavailableError(child.text.strip("<>"))
                if child.value is not None and child.name == name:
                    return self._with(child.value, name)
            raise IndexError(f"{self.name} has no element {index}")
        value = self._value
        type_ = value.type.bare
        if isinstance(type_, PointerType) and not type_.is_reference:
            return self._with(value.target(index), name)
        target = self._object()
        array = target.type.bare
        if not isinstance(array, ArrayType):
            raise IndexError(f"{self.name} has no elements")
        if array.count is not None and index >= array.count:
            raise IndexError(f"{self.name} has {array.count} elements")
        return self._with(target.element(index), name)

    def __iter__(self) -> Iterator[Variable]:
        """Yield the elements of what is an array, or a container by its view; of others the parts:
        what the view shows, else the members."""
        shown = self._presentation()
        if shown is not None and shown.children is not None:
            yield from self._viewed(shown, shown.children)
            return
        target = self._object()
        type_ = target.type.bare
        if isinstance(type_, CompoundType):
            for member in type_.members:
                try:
                    yield self._with(target.member(member), _member_name(member))
                except DebuggerError:
                    continue
        elif isinstance(type_, ArrayType) and type_.count is not None:
            for index in range(type_.count):
                self._handle.cancel.check()
                yield self._with(target.element(index), f"[{index}]")

    def _viewed(
        self, shown: Presentation, children: Callable[[int], Iterator[Child]]
    ) -> Iterator[Variable]:
        about, is_element = _rows_before_elements(shown, children)
        for child in itertools.islice(children(0), about if is_element else 0, None):
            self._handle.cancel.check()
            if child.value is not None and (child.is_element or not is_element):
                yield self._with(child.value, child.name)

    def __len__(self) -> int:
        """Return how many parts :meth:`__iter__` yields.

        :raises ValueUnavailableError: that is not known without walking through them.
        """
        shown = self._presentation()
        if shown is not None and shown.children is not None:
            if shown.count is None:
                raise ValueUnavailableError("how many there are is known only by counting them")
            about, is_element = _rows_before_elements(shown, shown.children)
            return shown.count - about if is_element else shown.count
        type_ = self._object().type.bare
        if isinstance(type_, CompoundType):
            return len(type_.members)
        if isinstance(type_, ArrayType) and type_.count is not None:
            return type_.count
        raise ValueUnavailableError("it has no known number of parts")

    def __bool__(self) -> bool:
        """Return true: whether a variable is there says nothing of its value."""
        return True

    def keys(self) -> list[str]:
        """Return what :meth:`__getitem__` takes: the names of all parts, ``[size]`` too."""
        shown = self._presentation()
        if shown is None or shown.children is None:
            return [each.name for each in self]
        return [each.name for each in shown.children(0) if each.value is not None]

    def _object(self) -> Value:
        """Return the value behind pointers to classes and behind references."""
        value = self._value
        for _ in range(_MAX_STEPS):
            type_ = value.type.bare
            if not isinstance(type_, PointerType) or isinstance(type_.target.bare, VoidType):
                break
            if not type_.is_reference and not isinstance(type_.target.bare, CompoundType):
                break
            value = value.target()
        completed = self._handle.system.types.completed(value.type, self._handle.cancel)
        return value if completed is value.type else value.as_type(completed)

    def _presentation(self) -> Presentation | None:
        if not self._use_views:
            return None
        found = self._handle.session.presenter.present(self._object())
        return found if found is not None and not found.problem else None

    def _with(self, value: Value, name: str = "") -> Variable:
        return Variable(self._handle, name or self.name, value, use_views=self._use_views)

    def __repr__(self) -> str:
        return f"<Variable {self}>"

    def __str__(self) -> str:
        return f"{self.type} {self.name} = {self.text}"


def _rows_before_elements(
    shown: Presentation, children: Callable[[int], Iterator[Child]]
) -> tuple[int, bool]:
    """Return how many rows of a view stand before its elements, such as ``[size]``, and whether it
    is one that shows elements."""
    about = 0
    for child in itertools.islice(children(0), _MAX_ROWS_BEFORE_ELEMENTS):
        if child.is_element:
            return about, True
        about += 1
    return about, shown.is_sequence


def _member_name(member: Member) -> str:
    return member.name or sanitise_line(spelled_for_model(member.type))


class Locals(Mapping[str, Variable]):
    """The variables in scope in a frame by name; of several of one name the innermost. ``x@1`` is
    the next one outwards that is called ``x``."""

    def __init__(self, handle: Handle, row: StackFrame, thread: ThreadInfo | None) -> None:
        self._handle = handle
        self._found: dict[str, Variable] = {}
        named = variables_of(handle.system, row, thread)
        if named is None:
            raise CommandError(
                "the symbols of this frame have no records of variables",
                identifier="types.no-locals",
            )
        for each in named:
            name, count = each.name, 0
            while name in self._found:
                count += 1
                name = f"{each.name}@{count}"
            kind = each.variable.kind.value
            self._found[name] = Variable(handle, name, each.value, kind=kind)

    @property
    def parameters(self) -> dict[str, Variable]:
        """Return those that were passed."""
        return {name: each for name, each in self._found.items() if each.kind == "param"}

    def __getitem__(self, name: str) -> Variable:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<Locals {', '.join(self._found)}>"


def value_of(handle: Handle, expression: str) -> Variable:
    """Return the value of a C++ expression as ``??`` evaluates it: the way to global variables.

    :raises ExpressionError: it has none.
    """
    from polydbg.engine.cpp_scope import CppScope
    from polydbg.expr.cpp.evaluator import evaluate

    return Variable(handle, expression, evaluate(expression, CppScope(handle.session)))
