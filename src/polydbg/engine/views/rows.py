"""The rows that the ``Expand`` of a view gives, lazily."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.views import arrays, custom_lists, walks
from polydbg.engine.views.arrays import failure, row
from polydbg.engine.views.display import MISSING, applies, chosen, display_text, text_of
from polydbg.engine.views.environment import ViewError
from polydbg.engine.views.scope import ViewScope
from polydbg.formats.natvis.model import (
    ArrayItems,
    CustomListItems,
    ExpandedItem,
    IndexListItems,
    Item,
    LinkedListItems,
    Synthetic,
    TreeItems,
    ViewPart,
)
from polydbg.types.model import ArrayType, CompoundType, MemberKind, PointerType
from polydbg.types.naming import spelled_for_model
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Value

MAX_EXPANSIONS = 16
"""How deep expanded items may stand in each other."""


def rows_of(scope: ViewScope, parts: tuple[ViewPart, ...], view: str, skip: int) -> Iterator[Child]:
    """Yield the rows of *parts* from the one numbered *skip* on. What cannot be told is a row with
    the words for it."""
    for part in parts:
        if scope.depth == 0:
            scope.environment.begin_row()
        try:
            if not applies(scope, part, view):
                continue
            count = _count(scope, part, view)
        except DebuggerError as error:
            if not part.is_optional:
                yield failure("[...]", error)
            continue
        if count is not None and skip >= count:
            skip -= count
            continue
        rows = _rows(scope, part, view, skip if count is not None else 0)
        try:
            for each in rows:
                if skip and count is None:
                    skip -= 1
                else:
                    yield each
        except DebuggerError as error:
            yield failure("[...]", error)
        if count is not None:
            skip = 0


def count_of(scope: ViewScope, parts: tuple[ViewPart, ...] | None, view: str) -> int | None:
    """Return how many rows *parts* have, ``None`` where that takes walking.

    :raises DebuggerError: a size cannot be told.
    """
    total = 0
    for part in parts or ():
        try:
            if not applies(scope, part, view):
                continue
            _check_layout(scope, part)
            count = _count(scope, part, view)
        except DebuggerError:
            if part.is_optional:
                continue
            raise
        if count is None:
            return None
        total += count
    return total


def _check_layout(scope: ViewScope, part: ViewPart) -> None:
    """Make sure that what the rows of *part* begin with is there in the object's class.

    :raises DebuggerError: it is not: the view is for another layout.
    """
    try:
        if isinstance(part, ArrayItems) and part.pointers:
            found = chosen(scope, part.pointers)
            if found is not None:
                scope.evaluate(found.expression)
        elif isinstance(part, (LinkedListItems, TreeItems)):
            scope.evaluate(part.head)
        elif isinstance(part, IndexListItems) and arrays.size_of(scope, part.sizes):
            first = scope.with_index(0)
            found = chosen(first, part.values)
            if found is not None:
                first.evaluate(found.expression)
    except DebuggerError as error:
        if error.identifier in MISSING:
            raise


def _count(scope: ViewScope, part: ViewPart, view: str) -> int | None:
    if isinstance(part, Item) and part.is_optional:
        return sum(1 for _ in _item(scope, part))
    if isinstance(part, (Item, Synthetic)):
        return 1
    if isinstance(part, ArrayItems):
        return arrays.Array(scope, part).total
    if isinstance(part, IndexListItems):
        return arrays.size_of(scope, part.sizes)
    if isinstance(part, (LinkedListItems, TreeItems, CustomListItems)) and part.sizes:
        return arrays.size_of(scope, part.sizes)
    if isinstance(part, ExpandedItem):
        inner = _presentation(scope, part, view)
        return inner.count if inner is not None else None
    return None


def _rows(scope: ViewScope, part: ViewPart, view: str, skip: int) -> Iterator[Child]:
    if isinstance(part, Item):
        yield from _item(scope, part)
    elif isinstance(part, Synthetic):
        yield _synthetic(scope, part, view)
    elif isinstance(part, ExpandedItem):
        yield from _expanded(scope, part, view, skip)
    elif isinstance(part, ArrayItems):
        yield from arrays.Array(scope, part).rows(skip)
    elif isinstance(part, IndexListItems):
        yield from arrays.indexed_rows(scope, part, skip)
    elif isinstance(part, LinkedListItems):
        yield from walks.list_rows(scope, part, skip)
    elif isinstance(part, TreeItems):
        yield from walks.tree_rows(scope, part, skip)
    elif isinstance(part, CustomListItems):
        yield from islice(custom_lists.custom_rows(scope, part), skip, None)


def _item(scope: ViewScope, part: Item) -> Iterator[Child]:
    name = "[...]"
    try:
        name = text_of(scope, part.name)
        value = scope.evaluate(part.what.expression)
        yield row(name, value, arrays.with_number(scope, part.what.specifiers))
    except DebuggerError as error:
        if not part.is_optional:
            yield failure(name, error)


def _synthetic(scope: ViewScope, part: Synthetic, view: str) -> Child:
    inner: Callable[[], Iterator[Child]] | None = None
    if part.parts:

        def inner() -> Iterator[Child]:
            return rows_of(scope, part.parts, view, 0)

    try:
        name = text_of(scope, part.name)
        text = display_text(scope, part.display, view) or ""
    except DebuggerError as error:
        return Child("[...]", text=f"<{sanitise_line(error.message)}>", children=inner)
    return Child(name, text=text, children=inner)


def _expanded(scope: ViewScope, part: ExpandedItem, view: str, skip: int) -> Iterator[Child]:
    inner = _presentation(scope, part, view)
    if inner is not None and inner.children is not None:
        yield from inner.children(skip)
    else:
        yield from islice(raw_rows(_expanded_value(scope, part)), skip, None)


def _expanded_value(scope: ViewScope, part: ExpandedItem) -> Value:
    value = scope.evaluate(part.what.expression)
    bare = value.type.bare
    if isinstance(bare, PointerType) and isinstance(bare.target.bare, CompoundType):
        return value.target()
    return value


def _presentation(scope: ViewScope, part: ExpandedItem, view: str) -> Presentation | None:
    """Return what the view of an expanded item makes of it; ``None``: the item's own members are
    meant."""
    if "!" in part.what.specifiers:
        return None
    if scope.depth >= MAX_EXPANSIONS:
        raise ViewError("expanded items stand in each other without an end")
    found = scope.views.present(_expanded_value(scope, part), view, scope.depth + 1)
    has_rows = found is not None and not found.problem and found.children is not None
    return found if has_rows else None


def raw_rows(value: Value) -> Iterator[Child]:
    """Yield the parts that the type itself has: members, bases, elements."""
    bare = value.type.bare
    if isinstance(bare, ArrayType):
        for index in range(bare.count or 0):
            yield row(f"[{index + bare.lower}]", value.element(index))
    elif isinstance(bare, CompoundType):
        for member in bare.members:
            if member.kind in (MemberKind.STATIC, MemberKind.VTABLE):
                continue
            name = sanitise_line(member.name or spelled_for_model(member.type))
            try:
                yield row(name, value.member(member))
            except DebuggerError as error:
                yield failure(name, error)
