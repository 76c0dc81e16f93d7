"""The plain names of the types of a unit, all of them. Source: DWARF 5 section 5."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.scopes import scope_table
from polydbg.formats.dwarf.unit import Die, Unit

COMPOUNDS = frozenset(
    (c.TAG_STRUCTURE_TYPE, c.TAG_CLASS_TYPE, c.TAG_UNION_TYPE, c.TAG_INTERFACE_TYPE)
)
"""The tags of classes."""

TYPES = COMPOUNDS | {
    c.TAG_ENUMERATION_TYPE,
    c.TAG_TYPEDEF,
    c.TAG_TEMPLATE_ALIAS,
    c.TAG_BASE_TYPE,
    c.TAG_SUBRANGE_TYPE,
    c.TAG_UNSPECIFIED_TYPE,
}
"""The tags of types that may have a name of their own."""


def type_entries(unit: Unit, offsets: Iterator[int], tags: frozenset[int]) -> Iterator[int]:
    """Yield those of *offsets*, counted from the start of the unit, whose entries have one of
    *tags*; no more than their codes are read.

    :raises FormatError: the unit is damaged.
    """
    codes = {code for code, each in unit.abbreviations.items() if each.tag in tags}
    data = unit.data
    for at in offsets:
        if uleb128(data, at)[0] in codes:
            yield at


def named_types(unit: Unit) -> Iterator[tuple[int, bytes, bool]]:
    """Yield the offset in the section, the plain name, and whether it is only declared, of each
    type of *unit* with a name; the name may be that of the declaration which it completes.

    :raises FormatError: the unit is damaged.
    """
    for at in type_entries(unit, iter(scope_table(unit).offsets), TYPES):
        die = unit.die(unit.header.offset + at)
        if die is not None:
            name = _own_name(die)
            if name:
                yield die.offset, name, bool(die.number(c.AT_DECLARATION))


def _own_name(die: Die) -> bytes | None:
    if c.AT_NAME not in die.attributes and c.AT_SPECIFICATION in die.attributes:
        owner = die.reference(c.AT_SPECIFICATION)
        return owner.string(c.AT_NAME) if owner is not None else None
    return die.string(c.AT_NAME)
