"""How a value is presented: what a view of its type says in place of its raw members."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from polydbg.types.value import Value

_ELEMENT = re.compile(r"\[(?:\d+|0x[0-9a-fA-F]+|-\d+|[\"'].*)\]\Z", re.DOTALL)


class Child(msgspec.Struct, frozen=True, eq=False):
    """One row below a presented value.

    Either *value* is a native value, formatted by *specifiers* (``x``, ``su``, ``5``: without the
    comma), or *text* is all there is (a synthetic row, or the words for what failed). *path* is an
    expression that leads to the child, for people to type back, ``""`` where there is none.
    *children* of synthetic rows.
    """

    name: str
    value: Value | None = None
    text: str = ""
    specifiers: str = ""
    path: str = ""
    children: Callable[[], Iterator[Child]] | None = None

    @property
    def is_element(self) -> bool:
        """Whether it is called by an index or a key, unlike ``[size]``."""
        return _ELEMENT.match(self.name) is not None


class Presentation(msgspec.Struct, frozen=True, eq=False):
    """What a view makes of a value.

    *text* is the display string, ``None`` where the view has none. *children* yields the rows,
    lazily and anew each time, from the one numbered *skip* on; ``None``: those of the raw value.
    *count* is how many children there are, ``None`` where that is not known without walking.
    *is_sequence*: the view shows the elements of something, be there any or none.
    *problem* is ``""``, or why the view could not be applied: then the raw value is to be shown,
    with it. *pointer* returns what ``*`` and ``->`` of a smart pointer use in its place, ``None``
    for what is none.
    """

    text: str | None = None
    children: Callable[[int], Iterator[Child]] | None = None
    count: int | None = None
    problem: str = ""
    pointer: Callable[[], Value] | None = None
    is_sequence: bool = False
    view: str = ""  # the name and the file of the view, for .nvlist and for complaints


class Presenter(Protocol):
    """What knows views."""

    def present(self, value: Value) -> Presentation | None:
        """Return what the view of the value's type makes of it, ``None`` where there is none."""
        ...
