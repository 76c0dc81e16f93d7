"""The objects of the data model: what each can be asked, whatever stands behind it.

Everything is lazy: parts and elements say how to load them, and are loaded when they are used.
What cannot be read becomes an :class:`ErrorObject` where a list goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

import msgspec

from polydbg.base.errors import DebuggerError, ExpressionError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.expr.dx.specifiers import PLAIN, Specifiers
from polydbg.types.place import ValueUnavailableError

UNAVAILABLE = "<value unavailable>"


class ModelError(ExpressionError):
    """An expression of the data model that has no value; the message is the engine's."""

    identifier = "model.error"


def unbound(name: str, hint: str = "") -> ModelError:
    """Return the error for a name that means nothing where it stands."""
    return ModelError(f"Unable to bind name '{name}'", hint=hint, identifier="model.unbound")


Load = Callable[[], "DataObject"]


class Part(msgspec.Struct, frozen=True, eq=False):
    """A part of an object: *load* makes it, *path* the expression that leads to it out of the
    object's own. *offset* is where a field lies in its class in bytes (of a static member its
    address), *bits* the highest and lowest bit of a bit field. With *is_hidden* it is shown only on
    demand; elements (*is_element*) are shown a hundred at a time. *suffix* are format
    specifiers behind the path, which no longer path has; *is_rooted* tells that the path does
    not begin with the object's own."""

    name: str
    load: Load
    path: Callable[[str], str]
    offset: int | None = None
    bits: tuple[int, int] | None = None
    is_static: bool = False
    is_hidden: bool = False
    is_element: bool = False
    suffix: str = ""
    is_rooted: bool = False

    def path_from(self, parent: str) -> str:
        """Return the path of the part of the object that *parent* leads to, ``""`` where there is
        none: nothing leads to that object."""
        return self.path(parent) if parent or self.is_rooted else ""


class Element(msgspec.Struct, frozen=True, eq=False):
    """An element of a sequence; without a *key* its position is its key."""

    load: Load
    key: DataObject | None = None


class DataObject:
    """Base of all objects: one without value and parts."""

    @property
    def type_name(self) -> str:
        """Return the name of the native type, ``""`` for objects that have none."""
        return ""

    def words(self, how: Specifiers = PLAIN) -> str | None:
        """Return the value in words, ``None`` where there is none.

        :raises DebuggerError: it cannot be read.
        """
        return None

    def properties(self) -> Iterable[Part]:
        """Return the named parts."""
        return ()

    def property(self, name: str) -> DataObject | None:
        """Return the named part, ``None`` where there is none."""
        found = next((each for each in self.properties() if each.name == name), None)
        return found.load() if found is not None else None

    def elements(self) -> Iterator[Element] | None:
        """Return the elements anew, ``None`` where the object is no sequence."""
        return None

    def element_at(self, index: int) -> DataObject | None:
        """Return the element whose key is *index* where it is found without a visit to those in
        front of it, else ``None``."""
        return None

    def element_count(self) -> int | None:
        """Return how many elements there are where that is known without a visit to each."""
        return None

    def methods(self) -> Mapping[str, Method]:
        """Return what may be called."""
        return {}

    def parts(self, how: Specifiers = PLAIN) -> Iterator[Part]:
        """Yield what is shown one level below: properties, then elements."""
        yield from self.properties()
        elements = self.elements()
        for position, element in enumerate(elements or ()):
            if how.count is not None and position >= how.count:
                return
            yield element_part(element, position)


def member_path(name: str) -> Callable[[str], str]:
    """Return the way to a named part."""
    return lambda parent: f"{parent}.{name}"


def element_part(element: Element, position: int) -> Part:
    """Return the row of an element: ``[0x2b40]``, ``["key"]``, by position ``[0x0]``."""
    key = element.key
    if key is None:
        shown = f"[{position:#x}]"
    elif isinstance(key, TextObject):
        shown = '["' + key.value.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    else:
        shown = f"[{key.words() or ''}]"
    return Part(shown, element.load, lambda parent: f"{parent}{shown}", is_element=True)


class ErrorObject(DataObject):
    """What failed, where a list goes on without it."""

    def __init__(self, error: DebuggerError) -> None:
        self.error = error

    def words(self, how: Specifiers = PLAIN) -> str:
        return error_words(self.error)


def error_words(error: DebuggerError) -> str:
    """Return the words for a value that cannot be shown."""
    if isinstance(error, MemoryReadError):
        return f"Unable to read memory at Address {error.address:#x}"
    return UNAVAILABLE if isinstance(error, ValueUnavailableError) else error.message


def loaded(load: Load) -> DataObject:
    """Return what *load* makes, or the error."""
    try:
        return load()
    except DebuggerError as error:
        return ErrorObject(error)


class TextObject(DataObject):
    """A string of the model; *length* makes the number that its length is."""

    def __init__(self, value: str, context: TextContext) -> None:
        self.value = value
        self._context = context

    def words(self, how: Specifiers = PLAIN) -> str:
        quote = '"' if how.string is not None and how.string[1] else ""
        return f"{quote}{sanitise_line(self.value)}{quote}"

    def properties(self) -> Iterable[Part]:
        length = len(self.value)
        return (Part("Length", lambda: self._context.number(length), member_path("Length")),)

    def methods(self) -> Mapping[str, Method]:
        return self._context.text_methods(self)


class TextContext(Protocol):
    """What strings need to make their lengths and methods; the context of an evaluation."""

    def number(self, value: int) -> DataObject:
        """Return the object of a count."""
        ...

    def text_methods(self, text: TextObject) -> Mapping[str, Method]:
        """Return what may be called on a string."""
        ...


class Method(DataObject):
    """Something to call: with at least *least*, at most *most* arguments."""

    def __init__(
        self,
        signature: str,
        description: str,
        call: Callable[[tuple[DataObject, ...]], DataObject],
        least: int = 0,
        most: int = 0,
    ) -> None:
        self.signature = signature
        self.description = description
        self._call = call
        self._least, self._most = least, most

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    def call(self, arguments: tuple[DataObject, ...]) -> DataObject:
        """Return what the method makes of *arguments*. :raises ModelError: there are too few or
        too many of them."""
        if not self._least <= len(arguments) <= self._most:
            raise ModelError(
                f"Invalid number of arguments to method '{self.name}'",
                hint=self.signature,
                identifier="model.arguments",
            )
        return self._call(arguments)


class Lambda(DataObject):
    """``x => ...``: *apply* evaluates its body with the arguments given."""

    def __init__(
        self, parameters: tuple[str, ...], apply: Callable[[tuple[DataObject, ...]], DataObject]
    ) -> None:
        self.parameters = parameters
        self._apply = apply

    def call(self, arguments: tuple[DataObject, ...]) -> DataObject:
        """Return the value of the body. :raises ModelError: there are too few arguments."""
        if len(arguments) < len(self.parameters):
            raise ModelError(
                f"the lambda takes {len(self.parameters)} arguments, not {len(arguments)}",
                identifier="model.arguments",
            )
        return self._apply(arguments[: len(self.parameters)])


class ModelObject(DataObject):
    """An object with a name and properties: processes, threads, anonymous objects.

    *hidden* names properties that are there, but shown only by ``-v``.
    """

    def __init__(
        self,
        properties: Mapping[str, Load],
        *,
        words: Callable[[], str | None] = lambda: None,
        methods: Callable[[], Mapping[str, Method]] = dict,
        hidden: frozenset[str] = frozenset(),
    ) -> None:
        self._properties = properties
        self._words = words
        self._methods = methods
        self._hidden = hidden

    def words(self, how: Specifiers = PLAIN) -> str | None:
        return self._words()

    def properties(self) -> Iterator[Part]:
        for name, load in self._properties.items():
            yield Part(name, load, member_path(name), is_hidden=name in self._hidden)

    def property(self, name: str) -> DataObject | None:
        load = self._properties.get(name)
        return load() if load is not None else None

    def methods(self) -> Mapping[str, Method]:
        return self._methods()


class Sequence(DataObject):
    """Elements that *make* yields anew each time; *words* are those of the whole."""

    def __init__(self, make: Callable[[], Iterator[Element]], words: str | None = None) -> None:
        self._make = make
        self._words = words

    def words(self, how: Specifiers = PLAIN) -> str | None:
        return self._words

    def elements(self) -> Iterator[Element]:
        return self._make()


def sliced(elements: Iterator[Element], position: int) -> Element | None:
    """Return the element at *position*, ``None`` past the end."""
    return next(islice(elements, position, None), None) if position >= 0 else None
