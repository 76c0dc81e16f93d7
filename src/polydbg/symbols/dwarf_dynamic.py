"""Arrays whose lengths a program computes when it runs: their types in one frame.

A bound is an expression, or the value of a variable that the compiler made for it. Source: DWARF 5
sections 2.19, 5.5 and 5.13.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.names import find
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_call_sites import FrameCode
from polydbg.symbols.dwarf_places import PlaceFinder
from polydbg.symbols.dwarf_type_numbers import FORTRAN, bounds
from polydbg.symbols.dwarf_types import children
from polydbg.types.model import MAX_CHAIN, ArrayType, Type

_MAX_DIMENSIONS = 32
_MAX_COUNT = 1 << 48
_NAMES = frozenset({c.TAG_TYPEDEF, c.TAG_CONST_TYPE, c.TAG_VOLATILE_TYPE})


class TypeMaker(Protocol):
    """Makes types of entries."""

    def type_of(self, die: Die | None) -> Type: ...


def array_in_frame(
    variable: Die, builder: TypeMaker, places: PlaceFinder, code: FrameCode
) -> Type | None:
    """Return the type of *variable* with its lengths in the frame of *code*; ``None`` for types
    that are the same in every frame, and where a length is not known."""
    try:
        array = _array_of(variable)
        return _sized(array, builder, places, code) if array is not None else None
    except DebuggerError:
        return None


def _array_of(variable: Die) -> Die | None:
    owner = find(variable, c.AT_TYPE)
    die = owner.reference(c.AT_TYPE) if owner is not None else None
    for _ in range(MAX_CHAIN):
        if die is None or die.tag == c.TAG_ARRAY_TYPE:
            return die
        if die.tag not in _NAMES:
            return None
        die = die.reference(c.AT_TYPE)
    return None


def _sized(array: Die, builder: TypeMaker, places: PlaceFinder, code: FrameCode) -> Type | None:
    if array.unit.language in FORTRAN:
        return None  # their descriptors say more than lengths
    ranges = [each for each in children(array) if each.tag == c.TAG_SUBRANGE_TYPE]
    fixed = [bounds(each) for each in ranges]
    if len(ranges) > _MAX_DIMENSIONS or all(count is not None for count, _ in fixed):
        return None
    found = builder.type_of(array.reference(c.AT_TYPE))
    for subrange, (count, lower) in reversed(list(zip(ranges, fixed, strict=True))):
        if count is None:
            count = _count(subrange, lower, places, code)
        if count is None or not 0 <= count <= _MAX_COUNT:
            return None
        found = ArrayType(partial(_same, found), count, lower=lower)
    return found


def _count(subrange: Die, lower: int, places: PlaceFinder, code: FrameCode) -> int | None:
    if c.AT_COUNT in subrange.attributes:
        return places.number(subrange, c.AT_COUNT, code)
    upper = places.number(subrange, c.AT_UPPER_BOUND, code)
    if upper is None:
        return None
    bits = 8 * subrange.unit.header.address_size
    upper = upper - (1 << bits) if upper >> bits - 1 else upper
    return max(upper - lower + 1, 0)


def _same(found: Type) -> Type:
    return found
