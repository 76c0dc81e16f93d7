"""Display strings: which of them applies, and its text."""

from __future__ import annotations

from collections.abc import Iterable

from polydbg.base.errors import DebuggerError, MemoryReadError
from polydbg.engine.views.scope import ViewScope
from polydbg.engine.views.words import MAX_TEXT, words_of
from polydbg.formats.natvis.model import Choices, DisplayString, Formatted, Pieces, ViewPart
from polydbg.types.place import ValueUnavailableError

MISSING = frozenset(
    (
        "expression.unresolved",
        "expression.no-member",
        "expression.no-type",
        "expression.no-calls",
        "expression.syntax",
    )
)
"""Errors that say that a view is for another layout than the object has."""

UNREADABLE = "???"


def is_in_view(include: str, exclude: str, view: str) -> bool:
    """Tell whether what has these attributes is in the view of that name, ``""`` the usual one."""
    if include and view not in (each.strip() for each in include.split(";")):
        return False
    return not (view and view in (each.strip() for each in exclude.split(";")))


def applies(scope: ViewScope, part: ViewPart, view: str) -> bool:
    """Tell whether *part* counts in *view* for the object of *scope*.

    :raises DebuggerError: its condition cannot be told, and it is not optional.
    """
    if not is_in_view(part.include_view, part.exclude_view, view):
        return False
    try:
        return scope.holds(part.condition)
    except DebuggerError as error:
        if part.is_optional and error.identifier in MISSING:
            return False
        raise


def display_text(scope: ViewScope, displays: Iterable[DisplayString], view: str) -> str | None:
    """Return the text of the first display string that applies, ``None`` where none does.

    :raises DebuggerError: it has an expression that cannot be told.
    """
    for each in displays:
        if not applies(scope, each, view):
            continue
        try:
            return text_of(scope, each.pieces)
        except DebuggerError as error:
            if not each.is_optional or error.identifier not in MISSING:
                raise
    return None


def text_of(scope: ViewScope, pieces: Pieces) -> str:
    """Return a display string's text, at most :data:`~polydbg.engine.views.words.MAX_TEXT`
    characters. Values that cannot be read are ``???`` among others.

    :raises DebuggerError: an expression has no value, or the only one cannot be read.
    """
    shown: list[str] = []
    length = 0
    for piece in pieces:
        text = piece if isinstance(piece, str) else _piece_text(scope, piece, len(pieces) == 1)
        shown.append(text)
        length += len(text)
        if length > MAX_TEXT:
            return "".join(shown)[:MAX_TEXT] + "..."
    return "".join(shown)


def _piece_text(scope: ViewScope, piece: Formatted, is_only: bool) -> str:
    value = scope.evaluate(piece.expression)
    try:
        return words_of(scope.views, value, piece.specifiers, scope)
    except (MemoryReadError, ValueUnavailableError):
        if is_only:
            raise
        return UNREADABLE


def chosen(scope: ViewScope, choices: Choices) -> Formatted | None:
    """Return the first of *choices* whose condition holds, ``None`` where none does."""
    for each in choices:
        if scope.holds(each.condition):
            return each.what
    return None
