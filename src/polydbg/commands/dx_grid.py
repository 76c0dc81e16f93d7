"""``dx -g``: the elements of an object as the rows of a table, their parts as its columns."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Heading, Item, ShownItem
from polydbg.engine.model.native import RAW, NativeObject
from polydbg.engine.model.objects import DataObject, ErrorObject, Part
from polydbg.expr.dx.specifiers import Specifiers

MAX_COLUMNS = 64
_MARGIN = 4


class GridRow(ShownItem, frozen=True):
    """A row of ``dx -g``: the *path* of its object, and the *values* of its columns by name."""

    name: str
    path: str
    values: dict[str, str]


def grid(
    object_: DataObject,
    path: str,
    how: Specifiers,
    *,
    skip: int,
    limit: int,
    width: int | None,
    cancel: CancelToken,
) -> Iterator[Item]:
    """Yield heading and rows; *width* is the widest a cell may be, ``None``: as wide as needed."""
    found: list[tuple[Part, dict[str, str]]] = []
    columns: dict[str, None] = {}
    parts = (each for each in object_.parts(how) if not each.is_hidden)
    if object_.elements() is not None:
        parts = (each for each in parts if each.is_element)
    for part in islice(parts, skip, skip + limit):
        cancel.check()
        cells = _cells(part, how, width)
        found.append((part, cells))
        columns.update(dict.fromkeys(cells))
    names = list(columns)[:MAX_COLUMNS]
    first = max([len(part.name) + _MARGIN for part, _ in found] or [1])
    widths = [
        max([len(name) + 1, *(len(cells.get(name, "")) + _MARGIN for _, cells in found)])
        for name in names
    ]
    heading = _line("", names, [first, *widths], "=")
    rule = "=" * len(heading)
    yield Heading(value=f"{rule}\n{heading}\n{rule}")
    for part, cells in found:
        values = [cells.get(name, "") for name in names]
        yield GridRow(
            name=part.name,
            path=part.path_from(path),
            values={name: cells[name] for name in names if name in cells},
            shown=_line(part.name, values, [first, *widths], "-"),
        )
    yield Heading(value=rule)


def _line(name: str, cells: list[str], widths: list[int], joint: str) -> str:
    first = f"= {name:<{widths[0]}}"
    rest = "".join(
        f"{joint if name or joint == '=' else '='} {cell:<{width}}"
        for cell, width in zip(cells, widths[1:])
    )
    return f"{first}{rest}="


def _cells(part: Part, how: Specifiers, width: int | None) -> dict[str, str]:
    """Return the values of the parts of a row by their names; of what has none its own value."""
    try:
        object_ = part.load()
        if isinstance(object_, NativeObject):
            object_ = object_.seen_as(how)
        cells = {
            each.name: _cut(_words(each), width)
            for each in islice(object_.parts(), MAX_COLUMNS)
            if each.name not in ("", RAW) and not each.is_hidden
        }
        if not cells or (object_.words() is not None and "Length" in cells):
            cells = {"": _cut(object_.words() or "", width)}
    except DebuggerError as error:
        cells = {"": _cut(ErrorObject(error).words(), width)}
    return cells


def _words(part: Part) -> str:
    try:
        object_ = part.load()
        words = object_.words()
    except DebuggerError as error:
        return ErrorObject(error).words()
    if words is None:
        return "{...}" if not object_.type_name else sanitise_line(object_.type_name)
    return words


def _cut(text: str, width: int | None) -> str:
    if width is None or len(text) <= width:
        return text
    return text[: max(width - 3, 1)] + "..."
