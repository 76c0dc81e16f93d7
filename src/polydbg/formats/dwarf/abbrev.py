"""Abbreviations: which attributes the entries (DIEs) of a unit have, and how far to skip.

Skipping is what scans spend their time on, so each abbreviation is reduced to one number (all
attributes of fixed size) or a short list of steps. Source: DWARF 5 sections 7.5.3 and 7.5.6.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.reading import sleb128, uleb128

_MAX_ATTRIBUTES = 1024
_PRESENT = c.FORM_FLAG_PRESENT
_MAX_ABBREVIATIONS = 1 << 20

#: Sizes of forms that are the same everywhere.
_FIXED = {
    c.FORM_DATA1: 1,
    c.FORM_DATA2: 2,
    c.FORM_DATA4: 4,
    c.FORM_DATA8: 8,
    c.FORM_DATA16: 16,
    c.FORM_FLAG: 1,
    c.FORM_FLAG_PRESENT: 0,
    c.FORM_IMPLICIT_CONST: 0,
    c.FORM_REF1: 1,
    c.FORM_REF2: 2,
    c.FORM_REF4: 4,
    c.FORM_REF8: 8,
    c.FORM_REF_SIG8: 8,
    c.FORM_REF_SUP4: 4,
    c.FORM_REF_SUP8: 8,
    c.FORM_STRX1: 1,
    c.FORM_STRX2: 2,
    c.FORM_STRX3: 3,
    c.FORM_STRX4: 4,
    c.FORM_ADDRX1: 1,
    c.FORM_ADDRX2: 2,
    c.FORM_ADDRX3: 3,
    c.FORM_ADDRX4: 4,
}
#: Forms that are offsets into a section: 4 or 8 bytes as the unit says.
_OFFSETS = frozenset(
    {
        c.FORM_STRP,
        c.FORM_SEC_OFFSET,
        c.FORM_STRP_SUP,
        c.FORM_LINE_STRP,
        c.FORM_GNU_REF_ALT,
        c.FORM_GNU_STRP_ALT,
    }
)
LEB_FORMS = frozenset(
    {
        c.FORM_SDATA,
        c.FORM_UDATA,
        c.FORM_REF_UDATA,
        c.FORM_STRX,
        c.FORM_ADDRX,
        c.FORM_LOCLISTX,
        c.FORM_RNGLISTX,
        c.FORM_GNU_ADDR_INDEX,
        c.FORM_GNU_STR_INDEX,
    }
)
#: Steps over what has no fixed size; positive steps are bytes.
STEP_LEB = -1
STEP_STRING = -2
STEP_BLOCK1 = -3
STEP_BLOCK2 = -4
STEP_BLOCK4 = -5
STEP_BLOCK = -6
STEP_INDIRECT = -7
_STEPS = {
    c.FORM_STRING: (STEP_STRING,),
    c.FORM_BLOCK1: (STEP_BLOCK1,),
    c.FORM_BLOCK2: (STEP_BLOCK2,),
    c.FORM_BLOCK4: (STEP_BLOCK4,),
    c.FORM_BLOCK: (STEP_BLOCK,),
    c.FORM_EXPRLOC: (STEP_BLOCK,),
    c.FORM_INDIRECT: (STEP_INDIRECT,),
    c.FORM_LLVM_ADDRX_OFFSET: (STEP_LEB, 4),
}


class Encoding:
    """The sizes that a unit's header decides: of addresses, of offsets, of DW_FORM_ref_addr."""

    __slots__ = ("address_size", "key", "offset_size", "version")

    def __init__(self, version: int, address_size: int, offset_size: int) -> None:
        self.version = version
        self.address_size = address_size
        self.offset_size = offset_size
        self.key = (self.reference_size, address_size, offset_size)

    @property
    def reference_size(self) -> int:
        """Return the size of DW_FORM_ref_addr: an address in version 2."""
        return self.address_size if self.version == 2 else self.offset_size

    def size_of(self, form: int) -> int | None:
        """Return the size of *form* in bytes, ``None`` where each value has its own."""
        size = _FIXED.get(form)
        if size is None:
            if form in _OFFSETS:
                return self.offset_size
            if form == c.FORM_ADDR:
                return self.address_size
            if form == c.FORM_REF_ADDR:
                return self.reference_size
        return size

    def steps_of(self, form: int) -> tuple[int, ...]:
        """Return the steps over a value of *form*.

        :raises FormatError: no such form.
        """
        size = self.size_of(form)
        if size is not None:
            return (size,)
        if form in LEB_FORMS:
            return (STEP_LEB,)
        steps = _STEPS.get(form)
        if steps is None:
            raise FormatError(f"unknown DWARF form {form:#x}")
        return steps


class Abbreviation:
    """One abbreviation: *attributes* are (name, form, value of DW_FORM_implicit_const)."""

    __slots__ = ("attributes", "has_children", "names", "tag")

    def __init__(
        self, tag: int, has_children: bool, attributes: tuple[tuple[int, int, int], ...]
    ) -> None:
        self.tag = tag
        self.has_children = has_children
        self.attributes = attributes
        self.names = frozenset(name for name, _, _ in attributes)


class Layout:
    """A table of abbreviations as scans want it, indexed by code (0 ends a list of children).

    *sizes*: bytes to skip, -1 where *steps* say how. *children*: what an entry adds to the depth.
    *fields*: (name, form, size, value) of each attribute; the size is -1 for what is no number of
    fixed size, the value is given where the entry itself has no bytes of it.
    """

    __slots__ = ("children", "fields", "sizes", "steps")

    def __init__(self, table: dict[int, Abbreviation], encoding: Encoding) -> None:
        self.sizes: dict[int, int] = {0: 0}
        self.steps: dict[int, tuple[int, ...]] = {}
        self.children: dict[int, int] = {0: -1}
        self.fields: dict[int, tuple[tuple[int, int, int, int], ...]] = {}
        for code, abbreviation in table.items():
            steps = _merged(abbreviation, encoding)
            self.children[code] = int(abbreviation.has_children)
            self.fields[code] = tuple(
                (name, form, _number_size(form, encoding), 1 if form == _PRESENT else constant)
                for name, form, constant in abbreviation.attributes
            )
            if not steps or (len(steps) == 1 and steps[0] >= 0):
                self.sizes[code] = sum(steps)
            else:
                self.sizes[code] = -1
                self.steps[code] = steps


def _number_size(form: int, encoding: Encoding) -> int:
    size = encoding.size_of(form)
    return -1 if size is None or size > 8 else size


def _merged(abbreviation: Abbreviation, encoding: Encoding) -> tuple[int, ...]:
    merged: list[int] = []
    for _, form, _ in abbreviation.attributes:
        for step in encoding.steps_of(form):
            if step >= 0 and merged and merged[-1] >= 0:
                merged[-1] += step
            else:
                merged.append(step)
    return tuple(merged)


class AbbreviationTable:
    """The abbreviations of one or more units, by code, with a layout for each encoding."""

    __slots__ = ("_layouts", "by_code")

    def __init__(self, data: bytes, offset: int) -> None:
        """Read the table at *offset* of the section *data*.

        :raises FormatError: it does not end within the section.
        """
        self.by_code = _parse(data, offset)
        self._layouts: dict[tuple[int, int, int], Layout] = {}

    def layout(self, encoding: Encoding) -> Layout:
        """Return how to skip the entries of a unit with this *encoding*.

        :raises FormatError: a form is unknown, so nothing behind it can be found.
        """
        layout = self._layouts.get(encoding.key)
        if layout is None:
            layout = self._layouts[encoding.key] = Layout(self.by_code, encoding)
        return layout


def _parse(data: bytes, offset: int) -> dict[int, Abbreviation]:
    table: dict[int, Abbreviation] = {}
    for code, abbreviation in iterate(data, offset):
        table.setdefault(code, abbreviation)
    return table


def iterate(data: bytes, offset: int) -> Iterator[tuple[int, Abbreviation]]:
    """Yield the codes and abbreviations of the table at *offset*.

    :raises FormatError: it does not end within the section.
    """
    position = offset
    for _ in range(_MAX_ABBREVIATIONS):
        code, position = uleb128(data, position)
        if code == 0:
            return
        tag, position = uleb128(data, position)
        if position >= len(data):
            break
        has_children = data[position] != 0
        attributes, position = _parse_attributes(data, position + 1)
        yield code, Abbreviation(tag, has_children, attributes)
    raise FormatError("a DWARF abbreviation table does not end", offset=position)


def _parse_attributes(data: bytes, position: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
    attributes: list[tuple[int, int, int]] = []
    while True:
        name, position = uleb128(data, position)
        form, position = uleb128(data, position)
        constant = 0
        if form == c.FORM_IMPLICIT_CONST:
            constant, position = sleb128(data, position)
        if name == 0 and form == 0:
            return tuple(attributes), position
        if len(attributes) >= _MAX_ATTRIBUTES:
            raise FormatError("a DWARF abbreviation has too many attributes", offset=position)
        attributes.append((name, form, constant))
