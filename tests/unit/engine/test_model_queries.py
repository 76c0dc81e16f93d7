"""The methods of sequences, on sequences of numbers made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from itertools import count

import pytest

from polydbg.base.cancel import Cancelled, CancelToken
from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.engine.model.context import ModelContext
from polydbg.engine.model.evaluator import ModelEvaluator, evaluate
from polydbg.engine.model.objects import DataObject, Element, Sequence
from polydbg.engine.session import Session
from polydbg.expr.cpp.trees import ContextNames
from polydbg.expr.dx.parser import parse

PRACTICE = resources.files("polydbg") / "demo" / "practice.dmp"


@pytest.fixture(scope="module")
def context() -> Iterator[ModelContext]:
    session = Session()
    session.open_dump(str(PRACTICE))
    yield ModelContext(session, CancelToken())
    session.close()


def numbers(context: ModelContext, values: list[int]) -> DataObject:
    def load(value: int) -> Callable[[], DataObject]:
        if value < 0:

            def fail() -> DataObject:
                raise MemoryReadError(0x1000)

            return fail
        return lambda: context.number(value)

    return Sequence(lambda: (Element(load(value)) for value in values))


def shown(object_: DataObject) -> object:
    """Return an object as plain data."""
    elements = object_.elements()
    if elements is None:
        words = object_.words() or ""
        return words if words in ("true", "false") or " " in words else int(words, 0)
    found = []
    for element in elements:
        try:
            found.append(shown(element.load()))
        except DebuggerError:
            found.append("error")
    return found


def ask(
    context: ModelContext, values: list[int], query: str, other: tuple[int, ...] = ()
) -> object:
    context.session.model_variables["s"] = numbers(context, values)
    context.session.model_variables["o"] = numbers(context, list(other))
    return shown(evaluate(f"@$s.{query}", context)[0])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Where(x => x > 2)", [3, 5, 4]),
        ("Select(x => x * 2u)", [6, 2, 10, 8, 2]),
        ("Take(2)", [3, 1]),
        ("Skip(3)", [4, 1]),
        ("TakeWhile(x => x != 5)", [3, 1]),
        ("SkipWhile(x => x != 5)", [5, 4, 1]),
        ("Reverse()", [1, 4, 5, 1, 3]),
        ("OrderBy(x => x)", [1, 1, 3, 4, 5]),
        ("OrderByDescending(x => x)", [5, 4, 3, 1, 1]),
        ("OrderBy(x => x, (a, b) => a < b ? 1 : a > b ? -1 : 0)", [5, 4, 3, 1, 1]),
        ("Distinct()", [3, 1, 5, 4]),
        ("Distinct((a, b) => (a % 2) == (b % 2) ? 0 : 1)", [3, 4]),
        ("Intersect(@$o)", [1, 4]),
        ("Union(@$o)", [3, 1, 5, 4, 7]),
        ("Except(@$o)", [3, 5]),
        ("Concat(@$o)", [3, 1, 5, 4, 1, 4, 1, 7]),
        ("Flatten(x => @$o)", [4, 1, 7] * 5),
        ("SelectMany(x => @$o.Take(1))", [4] * 5),
        ("GroupBy(x => x % 2)", [[3, 1, 5, 1], [4]]),
        ("Join(@$o, x => x, y => y, (x, y) => x + y)", [2, 8, 2]),
        ("First()", 3),
        ("First(x => x > 3)", 5),
        ("Last()", 1),
        ("Last(x => x > 3)", 4),
        ("Single(x => x == 5)", 5),
        ("Count()", 5),
        ("Count(x => x == 1)", 2),
        ("Sum()", 14),
        ("Sum(x => x * 2)", 28),
        ("Min()", 1),
        ("Max()", 5),
        ("Any(x => x > 4)", "true"),
        ("Any(x => x > 5)", "false"),
        ("All(x => x > 0)", "true"),
        ("Contains(5)", "true"),
        ("Contains(6)", "false"),
        ("SequenceEqual(@$s)", "true"),
        ("SequenceEqual(@$o)", "false"),
        ("Aggregate((a, b) => a + b)", 14),
        ("Aggregate(10u, (a, b) => a + b)", 24),
        ("Where(x => x > 2).Select(x => x + 1u).First()", 4),
    ],
)
def test_queries(context: ModelContext, query: str, expected: object) -> None:
    assert ask(context, [3, 1, 5, 4, 1], query, (4, 1, 7)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Count()", 3),
        ("AllNonError()", [1, 2]),
        ("FirstNonError()", 1),
        ("LastNonError()", 2),
        ("OrderBy(x => x)", [1, 2, "Unable to read memory at Address 0x1000"]),
        ("AllNonError(x => x > 0)", "true"),
        ("Any()", "true"),
    ],
)
def test_elements_that_fail(context: ModelContext, query: str, expected: object) -> None:
    assert ask(context, [1, -1, 2], query) == expected


@pytest.mark.parametrize(
    "query", ["First()", "Last()", "Min()", "Single()", "Aggregate((a, b) => a)"]
)
def test_of_nothing_there_is_no_element(context: ModelContext, query: str) -> None:
    with pytest.raises(DebuggerError, match="no such element"):
        ask(context, [], query)


def test_sequences_without_end_stay_lazy(context: ModelContext) -> None:
    def endless() -> Iterator[Element]:
        for number in count():
            yield Element(lambda number=number: context.number(number))  # type: ignore[misc]

    context.session.model_variables["n"] = Sequence(endless)
    query = "@$n.Where(x => x % 3 == 0).Select(x => x * 2u).Skip(2).Take(3)"
    assert shown(evaluate(query, context)[0]) == [12, 18, 24]
    assert shown(evaluate("@$n.First(x => x > 1000)", context)[0]) == 1001
    assert shown(evaluate("@$n[5]", context)[0]) == 5


def test_long_queries_can_be_stopped(context: ModelContext) -> None:
    cancel = CancelToken()
    stopped = ModelContext(context.session, cancel)

    def endless() -> Iterator[Element]:
        for number in count():
            if number == 1000:
                cancel.cancel()
            yield Element(lambda: stopped.number(1))

    context.session.model_variables["n"] = Sequence(endless)
    with pytest.raises(Cancelled):
        evaluate("@$n.Count()", stopped)


def test_lambdas_keep_the_names_around_them(context: ModelContext) -> None:
    text = "(a => @$s.Select(x => x + a).Select(y => y * a))(10u)"
    context.session.model_variables["s"] = numbers(context, [1, 2])
    node, end = parse(text, ContextNames(context.scope))
    assert end == len(text)
    assert shown(ModelEvaluator(text, context).object(node)) == [110, 120]


def test_strings_that_grow_without_end_are_refused(context: ModelContext) -> None:
    text = '"' + "a" * 1024 + '"'
    lines = [f"@$s = {text}", *["@$s = @$s + @$s"] * 10]
    for line in lines:
        evaluate(line, context)
    with pytest.raises(DebuggerError, match="too long"):
        evaluate("@$s + @$s", context)
