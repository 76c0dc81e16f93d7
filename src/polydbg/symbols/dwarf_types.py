"""Names of types as signatures print them, and sizes of variables, from DWARF entries.

Entries of types are read one by one along DW_AT_type; chains in damaged files may be circular, so
each has its limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.names import find
from polydbg.formats.dwarf.unit import Die

_MAX_CHAIN = 64
_MAX_PARAMETERS = 256
_MAX_CHILDREN = 1 << 16
_SUFFIXES = {
    c.TAG_POINTER_TYPE: "*",
    c.TAG_REFERENCE_TYPE: "&",
    c.TAG_RVALUE_REFERENCE_TYPE: "&&",
}
_QUALIFIERS = {c.TAG_CONST_TYPE: "const", c.TAG_VOLATILE_TYPE: "volatile"}
_MARKS = frozenset("*&")


Namer = Callable[[Die], str]
"""From the entry of a class, enumeration or typedef to its qualified name, ``""`` without one."""


def parameters_of(function: Die, namer: Namer) -> str | None:
    """Return a function's parameters, ``(char *, int)`` or ``(void)``; ``None`` where the file
    describes none: a C function without a prototype.

    :raises FormatError: the entries are damaged.
    """
    if function.tag != c.TAG_SUBPROGRAM:
        return None
    shown: list[str] = []
    for child in children(function):
        if child.tag == c.TAG_FORMAL_PARAMETER:
            type_ = _type_of(child)
            # Whether the copy that a function gets is constant is its own affair.
            for _ in _QUALIFIERS:
                if type_ is not None and type_.tag in _QUALIFIERS:
                    type_ = type_.reference(c.AT_TYPE)
            shown.append(type_name(type_, namer))
        elif child.tag == c.TAG_UNSPECIFIED_PARAMETERS:
            shown.append("...")
        if len(shown) >= _MAX_PARAMETERS:
            break
    if not shown:
        origin = function.reference(c.AT_ABSTRACT_ORIGIN)
        if origin is not None and origin.tag == c.TAG_SUBPROGRAM and _is_shorter(origin, function):
            return parameters_of(origin, namer)
        is_old = function.unit.language in c.LANG_C_LIKE
        if is_old and find(function, c.AT_PROTOTYPED) is None:
            return None
    return f"({', '.join(shown) or 'void'})"


def _is_shorter(origin: Die, function: Die) -> bool:
    """Tell whether *origin* ends the chain: abstract entries have no origins of their own."""
    return c.AT_ABSTRACT_ORIGIN not in origin.attributes and origin.offset != function.offset


def children(die: Die) -> Iterator[Die]:
    """Yield the entries directly below *die*; where they have a sibling, theirs are skipped."""
    if not die.has_children:
        return
    depth, offset, end = 1, die.after, die.unit.header.end
    for _ in range(_MAX_CHILDREN):
        if offset >= end:
            return
        child = die.unit.die(offset)
        if child is None:
            depth -= 1
            offset += 1
            if depth == 0:
                return
            continue
        if depth == 1:
            yield child
        offset = child.after
        if child.has_children:
            sibling = child.reference(c.AT_SIBLING)
            if sibling is not None and sibling.offset > offset and sibling.unit is die.unit:
                offset = sibling.offset
            else:
                depth += 1


def _type_of(die: Die) -> Die | None:
    owner = find(die, c.AT_TYPE)
    return owner.reference(c.AT_TYPE) if owner is not None else None


def type_name(die: Die | None, namer: Namer) -> str:
    """Return the name of a type, ``void`` for ``None``: what lies behind pointers and qualifiers
    first, these behind it.

    :raises FormatError: the entries are damaged.
    """
    marks: list[str] = []
    for _ in range(_MAX_CHAIN):
        if die is None:
            return _marked("void", marks)
        if die.tag in _SUFFIXES:
            marks.append(_SUFFIXES[die.tag])
        elif die.tag in _QUALIFIERS:
            marks.append(_QUALIFIERS[die.tag])
        elif die.tag == c.TAG_ARRAY_TYPE:
            marks.append("[]")
        elif die.tag == c.TAG_SUBROUTINE_TYPE:
            return _marked("<function>", marks)
        else:
            return _marked(_plain_name(die, namer), marks)
        die = die.reference(c.AT_TYPE)
    return _marked("...", marks)


def _plain_name(die: Die, namer: Namer) -> str:
    if die.tag == c.TAG_PTR_TO_MEMBER_TYPE:
        return "<member pointer>"
    if c.AT_NAME not in die.attributes and c.AT_SIGNATURE in die.attributes:
        target = die.reference(c.AT_SIGNATURE)
        die = die if target is None else target
    return namer(die) or "<unnamed type>"


def _marked(name: str, marks: list[str]) -> str:
    """Return *name* with *marks*, the outermost of the type first."""
    for mark in reversed(marks):
        if mark in _QUALIFIERS.values() and name[-1] not in _MARKS:
            name = f"{mark} {name}"
        elif name[-1] in _MARKS and mark[0] in _MARKS:
            name += mark
        else:
            name = f"{name} {mark}" if mark != "[]" else name + mark
    return name


def size_of(variable: Die) -> int:
    """Return the size of a variable in bytes, 0 where its type does not say.

    :raises FormatError: the entries are damaged.
    """
    die = _type_of(variable)
    count = 1
    for _ in range(_MAX_CHAIN):
        if die is None:
            return 0
        size = die.number(c.AT_BYTE_SIZE)
        if size is not None:
            return min(count * size, 0xFFFFFFFF)
        if die.tag in _SUFFIXES:
            return min(count * die.unit.header.address_size, 0xFFFFFFFF)
        if die.tag == c.TAG_ARRAY_TYPE:
            for child in children(die):
                count *= _length(child)
        die = die.reference(c.AT_TYPE)
    return 0


def _length(subrange: Die) -> int:
    """Return how many elements a dimension of an array has, 0 where it does not say."""
    count = subrange.number(c.AT_COUNT)
    if count is None:
        bound = subrange.number(c.AT_UPPER_BOUND)
        count = bound + 1 if bound is not None else 0
    return min(max(count, 0), 0xFFFFFFFF)
