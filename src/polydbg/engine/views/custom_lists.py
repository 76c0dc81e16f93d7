"""Rows of ``CustomListItems``: a small program of loops and conditions."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from polydbg.base.errors import DebuggerError
from polydbg.engine.views.arrays import failure, row, size_of, with_number
from polydbg.engine.views.display import text_of
from polydbg.engine.views.scope import ViewScope
from polydbg.formats.natvis.model import (
    Break,
    CustomListItems,
    Emit,
    Exec,
    If,
    Loop,
    Statement,
)
from polydbg.types.place import constant
from polydbg.types.presentation import Child
from polydbg.types.value import Value

MAX_ROWS = 1 << 20


def custom_rows(scope: ViewScope, part: CustomListItems) -> Iterator[Child]:
    """Yield the items of the program, at most as many as its size says. A failure is a row, the
    last one."""
    count = 0
    try:
        limit = size_of(scope, part.sizes) if part.sizes else MAX_ROWS
        own = ViewScope(scope.views, scope.bound, scope.this, dict(scope.variables), scope.depth)
        for name, initial in part.variables:
            own.variables[name] = _copied(own.evaluate(initial))
        if limit == 0:
            return
        for each in _run(own, part.body, [0]):
            yield each
            count += 1
            own.environment.begin_row()
            if count >= min(limit, MAX_ROWS):
                return
    except DebuggerError as error:
        yield failure(f"[{count}]", error)


def _copied(value: Value) -> Value:
    """Return a value that no longer lies in memory: a variable of its own."""
    return Value(value.type, constant(value.bytes()), value.around)


def _run(
    scope: ViewScope, body: tuple[Statement, ...], counter: list[int]
) -> Generator[Child, None, bool]:
    """Run statements, yield their items; return whether a ``Break`` ended them. *counter* holds
    how many items there were."""
    for each in body:
        scope.environment.step()
        if isinstance(each, Loop):
            while scope.holds(each.condition):
                scope.environment.step()
                if (yield from _run(scope, each.body, counter)):
                    break
        elif isinstance(each, If):
            if (yield from _branch(scope, each, counter)):
                return True
        elif scope.holds(each.condition):
            if isinstance(each, Break):
                return True
            if isinstance(each, Exec):
                scope.evaluate(each.expression)
            elif isinstance(each, Emit):
                yield _item(scope, each, counter)
    return False


def _branch(scope: ViewScope, statement: If, counter: list[int]) -> Generator[Child, None, bool]:
    for condition, body in statement.branches:
        if scope.holds(condition):
            return (yield from _run(scope, body, counter))
    return False


def _item(scope: ViewScope, statement: Emit, counter: list[int]) -> Child:
    number = counter[0]
    counter[0] += 1
    inner = scope.with_index(number)
    name = text_of(inner, statement.name) if statement.name else f"[{number}]"
    value = inner.evaluate(statement.what.expression)
    return row(name, value, with_number(inner, statement.what.specifiers))
