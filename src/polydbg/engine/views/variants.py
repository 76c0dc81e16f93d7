"""Rust's enumerations and tuples, which need no view: the form in force, with what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.engine.views.arrays import failure, row
from polydbg.engine.views.display import UNREADABLE
from polydbg.engine.views.words import MAX_TEXT, words_of
from polydbg.types.model import CompoundType, Member, MemberKind
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Value
from polydbg.types.variants import variant_of

if TYPE_CHECKING:
    from polydbg.engine.views.view_set import ViewSet

_MAX_FIELDS = 8


def present_variant(views: ViewSet, value: Value) -> Presentation:
    """Return ``Some(7)``, ``None``, ``Circle { r: 1.5 }``: as Rust spells the value.

    A discriminant that cannot be told is a problem.
    """
    try:
        variant = variant_of(value)
        member = next((each for each in variant.members if each.name), None) if variant else None
        if member is None:
            return Presentation(problem="the debug information names no form", view="Rust")
        form = value.member(member)
    except DebuggerError as error:
        return Presentation(problem=error.message, view="Rust")
    return _presented(views, member.name, form)


def present_tuple(views: ViewSet, value: Value) -> Presentation | None:
    """Return ``(1, "one")`` for a tuple, ``None`` for other types whose name begins with a
    parenthesis."""
    fields = _fields(value)
    if not all(each.name.startswith("__") for each in fields):
        return None
    return _presented(views, "", value)


def _presented(views: ViewSet, name: str, form: Value) -> Presentation:
    fields = _fields(form)

    def children(skip: int) -> Iterator[Child]:
        for each in fields[skip:]:
            try:
                yield row(sanitise_line(each.name), form.member(each))
            except DebuggerError as error:
                yield failure(sanitise_line(each.name), error)

    return Presentation(
        text=_text(views, name, form, fields),
        children=children,
        count=len(fields),
        view="Rust",
    )


def _fields(form: Value) -> list[Member]:
    bare = form.type.bare
    if not isinstance(bare, CompoundType):
        return []
    return [each for each in bare.members if each.kind is MemberKind.FIELD and each.name]


def _text(views: ViewSet, name: str, form: Value, fields: list[Member]) -> str:
    shown = sanitise_line(name)
    if not fields:
        return shown or "()"
    is_tuple = all(each.name.startswith("__") for each in fields)
    texts: list[str] = []
    for each in fields[:_MAX_FIELDS]:
        with views.environment.nested():
            words = _words(views, form, each)
        texts.append(words if is_tuple else f"{sanitise_line(each.name)}: {words}")
    if len(fields) > _MAX_FIELDS:
        texts.append("...")
    inner = ", ".join(texts)[:MAX_TEXT]
    return f"{shown}({inner})" if is_tuple else f"{shown} {{ {inner} }}"


def _words(views: ViewSet, form: Value, member: Member) -> str:
    try:
        return words_of(views, form.member(member))
    except DebuggerError:
        return UNREADABLE
