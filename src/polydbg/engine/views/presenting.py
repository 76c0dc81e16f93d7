"""What a view makes of an object: its display string and its rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.engine.views.display import MISSING, display_text, is_in_view
from polydbg.engine.views.environment import ViewError
from polydbg.engine.views.rows import count_of, rows_of
from polydbg.engine.views.scope import BoundView, ViewScope
from polydbg.engine.views.words import words_of
from polydbg.formats.natvis.model import (
    ArrayItems,
    CustomListItems,
    IndexListItems,
    LinkedListItems,
    SmartPointer,
    StringView,
    TreeItems,
    TypeView,
    ViewPart,
)
from polydbg.types.members import follow
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.views.view_set import Candidate, ViewSet


_LISTS = (ArrayItems, CustomListItems, IndexListItems, LinkedListItems, TreeItems)


def present_with(
    views: ViewSet, candidates: Sequence[Candidate], value: Value, view: str, depth: int
) -> tuple[Presentation | None, int]:
    """Return what the first of *candidates* that can be applied says, or why none can; and how many
    before it are for other layouts of the class than the object's."""
    problem, name = "", ""
    is_other_layout = True
    for index, each in enumerate(candidates):
        bound = each.bound
        if not _is_shown(bound.view, view):
            continue
        try:
            this = follow(views.environment.completed(value), each.path)
            found = _presented(views, bound, this, view, depth)
        except DebuggerError as error:
            is_other_layout = is_other_layout and error.identifier in MISSING
            if not problem or error.identifier not in MISSING:
                problem, name = error.message, _name_of(bound)
            continue
        return found, index if is_other_layout else 0
    return (Presentation(problem=problem, view=name) if problem else None), 0


def _presented(
    views: ViewSet, bound: BoundView, this: Value, view: str, depth: int
) -> Presentation:
    scope = ViewScope(views, bound, this, depth=depth)
    if depth == 0:
        views.environment.begin_row()
    text = _display(bound.view, scope, view)
    parts = bound.view.parts
    if text is None and parts is None:
        raise ViewError("no display string of the view applies")
    pointer = _smart_pointer(bound.view, scope, view)
    if parts is None or views.environment.is_nested:
        return Presentation(text=text, pointer=pointer, view=_name_of(bound))
    count = count_of(scope, parts, view)
    rows = parts

    def children(skip: int) -> Iterator[Child]:
        return rows_of(scope, rows, view, skip)

    is_sequence = any(isinstance(each, _LISTS) for each in parts)
    return Presentation(
        text, children, count, pointer=pointer, is_sequence=is_sequence, view=_name_of(bound)
    )


def _smart_pointer(view: TypeView, scope: ViewScope, name: str) -> Callable[[], Value] | None:
    for each in view.pointers:
        if _is_shown(each, name) and scope.holds(each.condition):
            return partial(scope.evaluate, each.what.expression)
    return None


def _display(view: TypeView, scope: ViewScope, name: str) -> str | None:
    shown = display_text(scope, view.display, name)
    if shown is not None:
        return shown
    texts: tuple[StringView | SmartPointer, ...] = (*view.strings, *view.pointers)
    for each in texts:
        if _is_shown(each, name) and scope.holds(each.condition):
            value = scope.evaluate(each.what.expression)
            return words_of(scope.views, value, each.what.specifiers, scope)
    return None


def _name_of(bound: BoundView) -> str:
    return f"{bound.view.names[0]} ({os.path.basename(bound.file)})"


def _is_shown(part: TypeView | ViewPart, view: str) -> bool:
    return is_in_view(part.include_view, part.exclude_view, view)
