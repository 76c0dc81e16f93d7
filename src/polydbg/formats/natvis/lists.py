"""Reads the elements of NatVis that stand for many rows: arrays, lists, trees, and loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from polydbg.formats.natvis.model import (
    ArrayItems,
    Break,
    Choice,
    Choices,
    CustomListItems,
    Emit,
    Exec,
    Formatted,
    If,
    IndexListItems,
    LinkedListItems,
    Loop,
    Pieces,
    Statement,
    TreeItems,
    Unsupported,
    ViewPart,
)
from polydbg.formats.natvis.texts import split_format, split_pieces
from polydbg.formats.natvis.xml_tree import Element


class Guard(TypedDict):
    """The attributes that all parts have."""

    condition: str
    is_optional: bool
    include_view: str
    exclude_view: str
    line: int


def is_true(element: Element, name: str, default: bool) -> bool:
    """Return an attribute that is true or false."""
    text = element.attributes.get(name, "").strip().lower()
    return text in ("true", "1") if text else default


def guard(element: Element) -> Guard:
    """Return the attributes that all parts have."""
    get = element.attributes.get
    return Guard(
        condition=get("Condition", "").strip(),
        is_optional=is_true(element, "Optional", False),
        include_view=get("IncludeView", ""),
        exclude_view=get("ExcludeView", ""),
        line=element.line,
    )


def formatted(element: Element) -> Formatted:
    """Return the expression that an element holds. :raises FormatError: it holds none."""
    found = split_format(element.text)
    if not found.expression:
        raise element.error(f"{element.name} has no expression")
    return found


def pieces(element: Element, text: str) -> Pieces:
    """Return the display string *text*. :raises FormatError: a brace in it does not close."""
    found = split_pieces(text)
    if found is None:
        raise element.error("a brace does not close")
    return found


def choices(element: Element, name: str) -> Choices:
    """Return the elements *name* within *element*, in order."""
    return tuple(
        Choice(formatted(each), each.attributes.get("Condition", "").strip())
        for each in element.children
        if each.name == name
    )


def _child(element: Element, name: str) -> Element:
    for each in element.children:
        if each.name == name:
            return each
    raise element.error(f"{element.name} needs {name}")


def _needed(element: Element, name: str) -> Choices:
    found = choices(element, name)
    if not found:
        raise element.error(f"{element.name} needs {name}")
    return found


def _plain(element: Element, name: str) -> str:
    return formatted(_child(element, name)).expression


def _name_of(element: Element) -> Pieces:
    return pieces(element, element.attributes.get("Name", ""))


def _array(element: Element, guarded: Guard, _: list[Unsupported]) -> ViewPart:
    direction = next((each.text for each in element.children if each.name == "Direction"), "")
    rank = next((each.text for each in element.children if each.name == "Rank"), "")
    return ArrayItems(
        sizes=_needed(element, "Size"),
        pointers=_needed(element, "ValuePointer"),
        rank=rank,
        lower_bounds=choices(element, "LowerBound"),
        is_forward=direction.strip().lower() != "backward",
        **guarded,
    )


def _indexed(element: Element, guarded: Guard, _: list[Unsupported]) -> ViewPart:
    values = _needed(element, "ValueNode")
    return IndexListItems(sizes=_needed(element, "Size"), values=values, **guarded)


def _linked(element: Element, guarded: Guard, _: list[Unsupported]) -> ViewPart:
    value = _child(element, "ValueNode")
    return LinkedListItems(
        head=_plain(element, "HeadPointer"),
        next=_plain(element, "NextPointer"),
        value=formatted(value),
        value_name=_name_of(value),
        sizes=choices(element, "Size"),
        **guarded,
    )


def _tree(element: Element, guarded: Guard, _: list[Unsupported]) -> ViewPart:
    value = _child(element, "ValueNode")
    return TreeItems(
        head=_plain(element, "HeadPointer"),
        left=_plain(element, "LeftPointer"),
        right=_plain(element, "RightPointer"),
        value=formatted(value),
        value_name=_name_of(value),
        value_condition=value.attributes.get("Condition", "").strip(),
        sizes=choices(element, "Size"),
        **guarded,
    )


def _custom(element: Element, guarded: Guard, unsupported: list[Unsupported]) -> ViewPart:
    variables = []
    for each in element.children:
        if each.name == "Variable":
            name = each.attributes.get("Name", "").strip()
            initial = each.attributes.get("InitialValue", "").strip()
            if not name or not initial:
                raise each.error("a variable needs a name and an initial value")
            variables.append((name, initial))
    inner = [each for each in element.children if each.name not in ("Variable", "Size")]
    return CustomListItems(
        variables=tuple(variables),
        sizes=choices(element, "Size"),
        body=_statements(element, inner, unsupported),
        **guarded,
    )


def _statements(
    outer: Element, elements: list[Element], unsupported: list[Unsupported]
) -> tuple[Statement, ...]:
    found: list[Statement] = []
    for element in elements:
        condition = element.attributes.get("Condition", "").strip()
        inner = element.children
        if element.name == "Loop":
            found.append(Loop(condition=condition, body=_statements(element, inner, unsupported)))
        elif element.name == "If":
            found.append(If(branches=((condition, _statements(element, inner, unsupported)),)))
        elif element.name in ("Elseif", "Else"):
            last = found.pop() if found else None
            if not isinstance(last, If):
                raise element.error(f"{element.name} without If")
            branch = (condition, _statements(element, inner, unsupported))
            found.append(If(branches=(*last.branches, branch)))
        elif element.name == "Exec":
            found.append(Exec(condition=condition, expression=formatted(element).expression))
        elif element.name == "Break":
            found.append(Break(condition=condition))
        elif element.name == "Item":
            emit = Emit(condition=condition, name=_name_of(element), what=formatted(element))
            found.append(emit)
        else:
            unsupported.append(Unsupported(f"{outer.name}/{element.name}", element.line))
    return tuple(found)


LISTS: dict[str, Callable[[Element, Guard, list[Unsupported]], ViewPart]] = {
    "ArrayItems": _array,
    "IndexListItems": _indexed,
    "LinkedListItems": _linked,
    "TreeItems": _tree,
    "CustomListItems": _custom,
}
