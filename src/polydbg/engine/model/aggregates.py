"""The methods of sequences that make one object of them, and the table of all methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING

from polydbg.engine.model import queries
from polydbg.engine.model.objects import DataObject, ErrorObject, Method, ModelError, loaded
from polydbg.engine.model.queries import Arguments, Maker, applied, elements_of
from polydbg.expr.cpp.operands import Scalar

if TYPE_CHECKING:
    from polydbg.engine.model.context import ModelContext


def _objects(
    context: ModelContext, source: DataObject, function: Arguments
) -> Iterator[DataObject]:
    """Yield the objects of a sequence, or what a function makes of them.

    :raises DebuggerError: one cannot be read.
    """
    for element in elements_of(context, source):
        object_ = element.load()
        yield applied(context, function[0], object_) if function else object_


def _matching(
    context: ModelContext, source: DataObject, predicate: Arguments
) -> Iterator[DataObject]:
    for element in elements_of(context, source):
        object_ = loaded(element.load)
        if not predicate:
            yield object_
            continue
        verdict = applied(context, predicate[0], object_)
        if not isinstance(verdict, ErrorObject) and context.truth(verdict):
            yield object_


def _nothing() -> ModelError:
    return ModelError("the sequence has no such element", identifier="model.no-element")


def _count(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    known = source.element_count() if not arguments else None
    if known is not None:
        return context.number(known)
    matching = _matching(context, source, arguments) if arguments else elements_of(context, source)
    return context.number(sum(1 for _ in matching))


def _sum(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    from polydbg.expr.cpp import operators

    total: Scalar | None = None
    for object_ in _objects(context, source, arguments):
        operand = context.operand(object_)
        left = total if total is not None else Scalar(context.machine.types.int, 0)
        total = operators.binary(context.machine, "+", left, operand)
    return context.made(total) if total is not None else context.scalar(0, "int")


def _extreme(pick: Callable[[bool], bool]) -> Maker:
    def find(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
        best: DataObject | None = None
        for object_ in _objects(context, source, arguments):
            if best is None or pick(_is_less(context, object_, best)):
                best = object_ if best is None or not context.equal(object_, best) else best
        if best is None:
            raise _nothing()
        return best

    return find


def _is_less(context: ModelContext, left: DataObject, right: DataObject) -> bool:
    a, b = context.key(left), context.key(right)
    if isinstance(a, str) or isinstance(b, str):
        return str(a) < str(b)
    return a < b


def _any(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    found = next(_matching(context, source, arguments), None)
    return context.truth_value(found is not None)


def _all(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    for object_ in _objects(context, source, arguments):
        if not context.truth(object_):
            return context.truth_value(False)
    return context.truth_value(True)


def _first(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    found = next(_matching(context, source, arguments), None)
    if found is None:
        raise _nothing()
    return found


def _last(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    found: DataObject | None = None
    for object_ in _matching(context, source, arguments):
        found = object_
    if found is None:
        raise _nothing()
    return found


def _single(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    matching = _matching(context, source, arguments)
    found = next(matching, None)
    if found is None:
        raise _nothing()
    if next(matching, None) is not None:
        raise ModelError("the sequence has more than one such element", identifier="model.many")
    return found


def _first_non_error(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _first(context, queries.all_non_error(context, source, ()), arguments)


def _last_non_error(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    return _last(context, queries.all_non_error(context, source, ()), arguments)


def _contains(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    wanted = arguments[0]
    for element in elements_of(context, source):
        if _same(context, loaded(element.load), wanted, arguments[1:]):
            return context.truth_value(True)
    return context.truth_value(False)


def _same(context: ModelContext, left: DataObject, right: DataObject, comparer: Arguments) -> bool:
    if isinstance(left, ErrorObject) or isinstance(right, ErrorObject):
        return False
    if comparer:
        return context.integer(context.call(comparer[0], left, right)) == 0
    try:
        return context.equal(left, right)
    except ModelError:
        return left is right  # objects without a number or a text


def _sequence_equal(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    first, second = elements_of(context, source), elements_of(context, arguments[0])
    for left, right in zip_longest(first, second):
        if left is None or right is None:
            return context.truth_value(False)
        if not _same(context, loaded(left.load), loaded(right.load), arguments[1:]):
            return context.truth_value(False)
    return context.truth_value(True)


def _aggregate(context: ModelContext, source: DataObject, arguments: Arguments) -> DataObject:
    """Fold a sequence: ``Aggregate(f)``, or ``Aggregate(seed, f)``."""
    total = arguments[0] if len(arguments) > 1 else None
    for object_ in _objects(context, source, ()):
        total = object_ if total is None else context.call(arguments[-1], total, object_)
    if total is None:
        raise _nothing()
    return total


_P, _F, _C = "[PredicateMethod]", "[ProjectionMethod]", "[ComparatorMethod]"
_METHODS: tuple[tuple[str, str, int, int, Maker], ...] = (
    ("Where(PredicateMethod)", "the elements for which the predicate holds", 1, 1, queries.where),
    ("Select(ProjectionMethod)", "what the projection makes of each element", 1, 1,
     queries.select),
    ("SelectMany(ProjectionMethod)", "the elements of what the projection makes of each element",
     1, 1, queries.flatten),
    (f"Flatten({_F})", "the elements of the elements, or of their projections", 0, 1,
     queries.flatten),
    (f"OrderBy(KeyProjectionMethod, {_C})", "the elements in ascending order of their keys", 1, 2,
     queries.order_by),
    (f"OrderByDescending(KeyProjectionMethod, {_C})",
     "the elements in descending order of their keys", 1, 2, queries.order_by_descending),
    ("Reverse()", "the elements in reverse order", 0, 0, queries.reverse),
    (f"GroupBy(KeyProjectionMethod, {_C})", "the elements in groups that have a key in common",
     1, 2, queries.group_by),
    (f"Join(InnerCollection, OuterKeyMethod, InnerKeyMethod, ResultMethod, {_C})",
     "pairs of elements that have equal keys", 4, 5, queries.join),
    (f"Intersect(OtherCollection, {_C})", "the elements that another sequence has, too", 1, 2,
     queries.intersect),
    (f"Union(OtherCollection, {_C})", "the elements of both sequences, each once", 1, 2,
     queries.union),
    (f"Except(OtherCollection, {_C})", "the elements that another sequence has not", 1, 2,
     queries.except_),
    ("Concat(OtherCollection)", "the elements of both sequences", 1, 1, queries.concat),
    (f"Distinct({_C})", "each value once", 0, 1, queries.distinct),
    ("Take(Count)", "the first elements", 1, 1, queries.take),
    ("TakeWhile(PredicateMethod)", "the elements before the first for which the predicate fails",
     1, 1, queries.take_while),
    ("Skip(Count)", "the elements behind the first ones", 1, 1, queries.skip),
    ("SkipWhile(PredicateMethod)", "the elements from the first on for which the predicate fails",
     1, 1, queries.skip_while),
    ("AllNonError([PredicateMethod])", "the elements that can be read, or whether the predicate "
     "holds for all of them", 0, 1, queries.all_non_error),
    (f"Contains(Object, {_C})", "whether the sequence has an equal element", 1, 2, _contains),
    (f"First({_P})", "the first element", 0, 1, _first),
    (f"Last({_P})", "the last element", 0, 1, _last),
    (f"Single({_P})", "the only element", 0, 1, _single),
    (f"FirstNonError({_P})", "the first element that can be read", 0, 1, _first_non_error),
    (f"LastNonError({_P})", "the last element that can be read", 0, 1, _last_non_error),
    (f"Count({_P})", "how many elements there are", 0, 1, _count),
    (f"Sum({_F})", "the sum of the elements", 0, 1, _sum),
    (f"Min({_F})", "the least element", 0, 1, _extreme(lambda less: less)),
    (f"Max({_F})", "the greatest element", 0, 1, _extreme(lambda less: not less)),
    (f"Any({_P})", "whether there is an element", 0, 1, _any),
    ("All(PredicateMethod)", "whether the predicate holds for all elements", 1, 1, _all),
    (f"SequenceEqual(OtherCollection, {_C})", "whether two sequences are equal", 1, 2,
     _sequence_equal),
    ("Aggregate([Seed], Method)", "what a method makes of all elements, one after the other", 1, 2,
     _aggregate),
)  # fmt: skip


def sequence_methods(context: ModelContext, source: DataObject) -> Mapping[str, Method]:
    """Return the methods of a sequence by name."""
    made = (
        Method(
            signature, f"Method which returns {words}", _bound(context, source, maker), low, high
        )
        for signature, words, low, high, maker in _METHODS
    )
    return {each.name: each for each in made}


def _bound(
    context: ModelContext, source: DataObject, maker: Maker
) -> Callable[[Arguments], DataObject]:
    return lambda arguments: maker(context, source, arguments)
