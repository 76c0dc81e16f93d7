"""What a NatVis file says: views of types, as records. Expressions are texts here.

Source: Microsoft's "Create custom views of C++ objects in the debugger using the Natvis framework",
and the format's schema as described there.
"""

from __future__ import annotations

import msgspec


class Formatted(msgspec.Struct, frozen=True):
    """An expression and what stands behind its comma: ``x``, ``su``, ``[_Mysize]s8``."""

    expression: str
    specifiers: str = ""


Pieces = tuple[str | Formatted, ...]
"""Text with expressions in it."""


class ViewPart(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a view; it counts only where *condition* holds (``""``: always). Where *is_optional*,
    an expression of it that cannot be parsed or resolved leaves it out. *include_view* and
    *exclude_view* name the views it is in, with ``;`` between them."""

    condition: str = ""
    is_optional: bool = False
    include_view: str = ""
    exclude_view: str = ""
    line: int = 0


class DisplayString(ViewPart, frozen=True, kw_only=True):
    pieces: Pieces


class StringView(ViewPart, frozen=True, kw_only=True):
    what: Formatted


class SmartPointer(ViewPart, frozen=True, kw_only=True):
    what: Formatted
    usage: str = ""


class Item(ViewPart, frozen=True, kw_only=True):
    name: Pieces
    what: Formatted


class ExpandedItem(ViewPart, frozen=True, kw_only=True):
    what: Formatted


class Synthetic(ViewPart, frozen=True, kw_only=True):
    name: Pieces
    display: tuple[DisplayString, ...] = ()
    parts: tuple[ViewPart, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    """One of several texts for a thing: the first whose *condition* holds."""

    what: Formatted
    condition: str = ""


Choices = tuple[Choice, ...]


class ArrayItems(ViewPart, frozen=True, kw_only=True):
    """Elements of an array; *sizes* has one number per dimension with *rank* (``$i`` is which)."""

    sizes: Choices
    pointers: Choices
    rank: str = ""
    lower_bounds: Choices = ()
    is_forward: bool = True  # row-major: the last index runs fastest


class IndexListItems(ViewPart, frozen=True, kw_only=True):
    sizes: Choices
    values: Choices


class LinkedListItems(ViewPart, frozen=True, kw_only=True):
    """Nodes of a list; without *sizes* it ends with a null pointer or where it began."""

    head: str
    next: str
    value: Formatted
    value_name: Pieces = ()
    sizes: Choices = ()


class TreeItems(ViewPart, frozen=True, kw_only=True):
    """Nodes of a binary tree in order; only where *value_condition* holds there is a value."""

    head: str
    left: str
    right: str
    value: Formatted
    value_name: Pieces = ()
    value_condition: str = ""
    sizes: Choices = ()


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A step of :class:`CustomListItems`."""

    condition: str = ""


class Loop(Statement, frozen=True, kw_only=True):
    body: tuple[Statement, ...]


class If(Statement, frozen=True, kw_only=True):
    """``If`` with its ``Elseif`` and ``Else``: the first *branch* whose condition holds runs."""

    branches: tuple[tuple[str, tuple[Statement, ...]], ...]


class Exec(Statement, frozen=True, kw_only=True):
    expression: str


class Break(Statement, frozen=True, kw_only=True):
    pass


class Emit(Statement, frozen=True, kw_only=True):
    """A row."""

    name: Pieces
    what: Formatted


class CustomListItems(ViewPart, frozen=True, kw_only=True):
    variables: tuple[tuple[str, str], ...]
    sizes: Choices
    body: tuple[Statement, ...]


class Intrinsic(msgspec.Struct, frozen=True):
    """A function of views: *parameters* are the names that *expression* uses."""

    name: str
    expression: str
    parameters: tuple[str, ...] = ()
    is_optional: bool = False


class TypeView(msgspec.Struct, frozen=True, eq=False):
    """The view of the types whose names match one of *names*.

    *priority* is 0 (Low) to 4 (High), 2 where not said; with *is_inheritable* it serves classes
    derived from them as well. *parts* is ``None`` without ``Expand``.
    """

    names: tuple[str, ...]
    line: int
    priority: int = 2
    is_inheritable: bool = True
    include_view: str = ""
    exclude_view: str = ""
    display: tuple[DisplayString, ...] = ()
    strings: tuple[StringView, ...] = ()
    pointers: tuple[SmartPointer, ...] = ()
    parts: tuple[ViewPart, ...] | None = None
    hides_raw: bool = False
    intrinsics: tuple[Intrinsic, ...] = ()


class Unsupported(msgspec.Struct, frozen=True):
    """An element that is not applied, and the *line* it is on."""

    name: str
    line: int


class NatvisFile(msgspec.Struct, frozen=True, eq=False):
    """What a file holds; *intrinsics* serve all of its types."""

    types: tuple[TypeView, ...]
    intrinsics: tuple[Intrinsic, ...] = ()
    unsupported: tuple[Unsupported, ...] = ()
