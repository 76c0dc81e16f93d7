"""The methods of sequences that make sequences: filters, projections, orders, sets.

What they make is read when it is shown or counted, element by element. An element that fails is an
element that says so, and the query goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cmp_to_key
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from polydbg.base.errors import DebuggerError
from polydbg.engine.model.objects import (
    DataObject,
    Element,
    ErrorObject,
    ModelError,
    Part,
    Sequence,
    loaded,
    member_path,
)

if TYPE_CHECKING:
    from polydbg.engine.model.context import Key, ModelContext

T = TypeVar("T")

MAX_HELD = 1 << 20
"""How many elements an order or a group may hold at once."""

Arguments = tuple[DataObject, ...]
Maker = Callable[["ModelContext", DataObject, Arguments], DataObject]


def elements_of(context: ModelContext, source: DataObject) -> Iterator[Element]:
    """Return the elements of a sequence. :raises ModelError: the object is none."""
    found = source.elements()
    if found is None:
        raise ModelError("Object is not iterable", identifier="model.no-sequence")
    return _polled(context, found)


def _polled(context: ModelContext, elements: Iterator[Element]) -> Iterator[Element]:
    for element in elements:
        context.cancel.check()
        yield element


def held(context: ModelContext, source: DataObject) -> list[tuple[Element, DataObject]]:
    """Return all elements with their objects. :raises ModelError: there are too many."""
    found: list[tuple[Element, DataObject]] = []
    for element in elements_of(context, source):
        if len(found) >= MAX_HELD:
            raise ModelError(f"the sequence has more than {MAX_HELD} elements")
        found.append((element, loaded(element.load)))
    return found


def fixed(element: Element, object_: DataObject) -> Element:
    """Return *element* with an object that is loaded already."""
    return Element(lambda: object_, element.key)


def applied(context: ModelContext, function: DataObject, *arguments: DataObject) -> DataObject:
    """Return what a function makes of its arguments; errors are objects, as are its own."""
    for each in arguments:
        if isinstance(each, ErrorObject):
            return each
    try:
        return context.call(function, *arguments)
    except DebuggerError as error:
        return ErrorObject(error)


# -- filters and projections -------------------------------------------------------------------


def where(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            verdict = applied(context, arguments[0], object_)
            if isinstance(verdict, ErrorObject):
                yield fixed(element, verdict)
            elif context.truth(verdict):
                yield fixed(element, object_)

    return Sequence(make)


def select(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        for element in elements_of(context, source):
            yield Element(_projected(context, arguments[0], element), element.key)

    return Sequence(make)


def _projected(
    context: ModelContext, function: DataObject, element: Element
) -> Callable[[], DataObject]:
    return lambda: applied(context, function, loaded(element.load))


def flatten(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    """Make one sequence of a sequence of sequences, or of those that a function makes."""

    def make() -> Iterator[Element]:
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            if arguments:
                object_ = applied(context, arguments[0], object_)
            inner = object_.elements()
            if inner is None:
                yield fixed(element, object_)
            else:
                for each in _polled(context, inner):
                    yield Element(each.load)

    return Sequence(make)


def reverse(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        for element, object_ in reversed(held(context, source)):
            yield fixed(element, object_)

    return Sequence(make)


def take(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    count = max(0, context.integer(arguments[0]))
    return Sequence(lambda: islice(elements_of(context, source), min(count, 1 << 62)))


def skip(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    count = max(0, context.integer(arguments[0]))
    return Sequence(lambda: islice(elements_of(context, source), min(count, 1 << 62), None))


def take_while(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            if not context.truth(applied(context, arguments[0], object_)):
                return
            yield fixed(element, object_)

    return Sequence(make)


def skip_while(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        skipping = True
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            skipping = skipping and context.truth(applied(context, arguments[0], object_))
            if not skipping:
                yield fixed(element, object_)

    return Sequence(make)


def all_non_error(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    """Leave out what failed; with a predicate, tell whether it holds for all the rest."""
    if arguments:
        good = all_non_error(context, source, ())
        verdicts = (applied(context, arguments[0], loaded(e.load)) for e in good.elements() or ())
        return context.truth_value(
            all(context.truth(each) for each in verdicts if not isinstance(each, ErrorObject))
        )

    def make() -> Iterator[Element]:
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            if not isinstance(object_, ErrorObject) and not _fails(object_):
                yield fixed(element, object_)

    return Sequence(make)


def _fails(object_: DataObject) -> bool:
    try:
        object_.words()
    except DebuggerError:
        return True
    return False


def non_errors(context: ModelContext, source: DataObject) -> Iterator[DataObject]:
    """Yield the objects that can be shown."""
    for element in all_non_error(context, source, ()).elements() or ():
        yield element.load()


# -- orders and groups -------------------------------------------------------------------------


def order_by(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return Sequence(lambda: _ordered(context, source, arguments, reverse=False))


def order_by_descending(
    context: ModelContext, source: DataObject, arguments: Arguments
) -> DataObject:
    return Sequence(lambda: _ordered(context, source, arguments, reverse=True))


def _ordered(
    context: ModelContext, source: DataObject, arguments: Arguments, *, reverse: bool
) -> Iterator[Element]:
    """Yield the elements in order of their keys; those without one come last."""
    sortable: list[tuple[Any, Element]] = []
    failed: list[Element] = []
    for element, object_ in held(context, source):
        key = applied(context, arguments[0], object_)
        if isinstance(key, ErrorObject):
            failed.append(fixed(element, object_))
            continue
        sort_key: Any = key if len(arguments) > 1 else _order_key(context.key(key))
        sortable.append((sort_key, fixed(element, object_)))
    if len(arguments) > 1:
        compare = arguments[1]
        by: Any = cmp_to_key(lambda a, b: context.integer(context.call(compare, a, b)))
        sortable.sort(key=lambda pair: by(pair[0]), reverse=reverse)
    else:
        sortable.sort(key=lambda pair: pair[0], reverse=reverse)
    yield from (element for _, element in sortable)
    yield from failed


def _order_key(key: Key) -> tuple[bool, Key]:
    """Return what sorts numbers before texts."""
    return isinstance(key, str), key


class Group(Sequence):
    """The elements that have one *key*."""

    def __init__(self, key: DataObject, members: list[Element]) -> None:
        super().__init__(lambda: iter(members))
        self._key = key

    def properties(self) -> Iterator[Part]:
        yield Part("Key", lambda: self._key, member_path("Key"), is_hidden=True)


def group_by(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        groups = Keyed[tuple[DataObject, list[Element]]](context, arguments[1:])
        for element, object_ in held(context, source):
            key = applied(context, arguments[0], object_)
            found = groups.find(key)
            if found is None:
                found = (key, [])
                groups.add(key, found)
            found[1].append(fixed(element, object_))
        for key, members in groups.values:
            yield Element(_group_load(key, members), key)

    return Sequence(make)


def _group_load(key: DataObject, members: list[Element]) -> Callable[[], DataObject]:
    return lambda: Group(key, members)


class Keyed(Generic[T]):
    """Values by objects that are equal, in the order they came; *comparer* is a function in a
    tuple of its own, or ``()`` for the values' own order."""

    def __init__(self, context: ModelContext, comparer: Arguments) -> None:
        self._context = context
        self._comparer = comparer[0] if comparer else None
        self._hashed: dict[Key, T] = {}
        self._compared: list[tuple[DataObject, T]] = []
        self.values: list[T] = []

    def find(self, key: DataObject) -> T | None:
        if self._comparer is None:
            return self._hashed.get(self._plain(key))
        for known, value in self._compared:
            self._context.cancel.check()
            if self._context.integer(self._context.call(self._comparer, known, key)) == 0:
                return value
        return None

    def add(self, key: DataObject, value: T) -> None:
        if self._comparer is None:
            self._hashed[self._plain(key)] = value
        else:
            self._compared.append((key, value))
        self.values.append(value)

    def _plain(self, key: DataObject) -> Key:
        if isinstance(key, ErrorObject):
            return f"\0{key.words()}"
        text = self._context.as_text(key)
        return text if text is not None else self._context.key(key)


# -- sets --------------------------------------------------------------------------------------


def distinct(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _without(context, (source,), arguments)


def union(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _without(context, (source, arguments[0]), arguments[1:])


def _without(
    context: ModelContext, sources: tuple[DataObject, ...], comparer: Arguments
) -> DataObject:
    """Return the elements of all *sources*, each value once."""

    def make() -> Iterator[Element]:
        seen = Keyed[bool](context, comparer)
        for source in sources:
            for element, object_ in held(context, source):
                if seen.find(object_) is None:
                    seen.add(object_, True)
                    yield fixed(element, object_)

    return Sequence(make)


def intersect(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _compared_with(context, source, arguments, wanted=True)


def except_(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _compared_with(context, source, arguments, wanted=False)


def _compared_with(
    context: ModelContext, source: DataObject, arguments: Arguments, *, wanted: bool
) -> DataObject:
    def make() -> Iterator[Element]:
        other = Keyed[bool](context, arguments[1:])
        for _, object_ in held(context, arguments[0]):
            if other.find(object_) is None:
                other.add(object_, True)
        seen = Keyed[bool](context, arguments[1:])
        for element, object_ in held(context, source):
            if (other.find(object_) is not None) is wanted and seen.find(object_) is None:
                seen.add(object_, True)
                yield fixed(element, object_)

    return Sequence(make)


def concat(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    def make() -> Iterator[Element]:
        for each in (source, arguments[0]):
            yield from (Element(element.load) for element in elements_of(context, each))

    return Sequence(make)


def join(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    """Pair the elements of two sequences that have equal keys."""
    inner, outer_key, inner_key, result = arguments[:4]

    def make() -> Iterator[Element]:
        known = Keyed[list[DataObject]](context, arguments[4:])
        for _, object_ in held(context, inner):
            key = applied(context, inner_key, object_)
            matches = known.find(key)
            if matches is None:
                matches = []
                known.add(key, matches)
            matches.append(object_)
        for element in elements_of(context, source):
            object_ = loaded(element.load)
            for other in known.find(applied(context, outer_key, object_)) or ():
                yield Element(_joined(context, result, object_, other))

    return Sequence(make)


def _joined(
    context: ModelContext, result: DataObject, left: DataObject, right: DataObject
) -> Callable[[], DataObject]:
    return lambda: applied(context, result, left, right)
