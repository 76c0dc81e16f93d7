"""The functions of one unit, found in one pass over its entries.

The pass keeps numbers in arrays, not objects: of every function and named type its offset and the
scope around it, of functions with code their addresses. Sources: DWARF 5 sections 3.3.1 to 3.3.8.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from contextlib import suppress

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import Abbreviation
from polydbg.formats.dwarf.forms import LOCAL_REFERENCES, step_over
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Unit

_SCOPE, _DECLARATION, _FUNCTION, _VARIABLE, _SKIPPED = 1, 2, 3, 4, 5
_OPENING = (_SCOPE, _FUNCTION)
#: What lies below these is of no interest here; their siblings say where it ends.
_BARREN = frozenset(
    {
        c.TAG_ARRAY_TYPE,
        c.TAG_CALL_SITE,
        c.TAG_GNU_CALL_SITE,
        c.TAG_SUBROUTINE_TYPE,
    }
)
_CODE = frozenset({c.AT_LOW_PC, c.AT_RANGES})
_NO_PARENT = 0
_MAX_DEPTH = 512


def _kind_of(abbreviation: Abbreviation) -> int:
    """Return what the pass does with entries of this abbreviation, 0 for nothing."""
    if abbreviation.tag in c.SCOPES:
        return _SCOPE
    if abbreviation.tag in (c.TAG_ENUMERATION_TYPE, c.TAG_TYPEDEF):
        return _DECLARATION
    if abbreviation.tag == c.TAG_SUBPROGRAM:
        return _DECLARATION if abbreviation.names.isdisjoint(_CODE) else _FUNCTION
    if abbreviation.tag == c.TAG_VARIABLE and c.AT_LOCATION in abbreviation.names:
        return _VARIABLE
    if abbreviation.tag in _BARREN and abbreviation.has_children:
        return _SKIPPED
    is_static = abbreviation.tag in (c.TAG_VARIABLE, c.TAG_MEMBER)
    return _DECLARATION if is_static and c.AT_EXTERNAL in abbreviation.names else 0


class FunctionIndex:
    """What :func:`scan_unit` found in *unit*.

    *functions* are ranges of code with the offset of the function's entry; *variables* the offsets
    of variables with a location outside of functions.
    """

    __slots__ = ("_offsets", "_parents", "functions", "unit", "variables")

    def __init__(
        self,
        unit: Unit,
        offsets: array[int],
        parents: array[int],
        functions: Intervals,
        variables: array[int],
    ) -> None:
        self.unit = unit
        self._offsets = offsets
        self._parents = parents
        self.functions = functions
        self.variables = variables

    def parent(self, offset: int) -> int | None:
        """Return the offset of the named scope around the entry at *offset*, ``None`` for none."""
        rank = bisect_left(self._offsets, offset)
        if rank == len(self._offsets) or self._offsets[rank] != offset:
            return None
        return self._parents[rank] or None


def scan_unit(unit: Unit, lowest: int = 1) -> FunctionIndex:
    """Find the functions of *unit*; code below *lowest* was dropped by the linker.

    Where the entries stop making sense the search ends: what was found until then holds.

    :raises FormatError: the unit has no abbreviations, or its root is damaged.
    """
    scan = _Scan(unit, lowest)
    with suppress(FormatError, KeyError, IndexError):
        scan.run()
    return FunctionIndex(unit, scan.offsets, scan.parents, Intervals(scan.triples), scan.variables)


class _Scan:
    """One pass over the entries of *unit*."""

    def __init__(self, unit: Unit, lowest: int) -> None:
        self._unit = unit
        self._lowest = lowest
        self._start = unit.header.offset
        self.offsets, self.parents, self.variables = array("Q"), array("Q"), array("Q")
        self.triples: list[tuple[int, int, int]] = []
        # (depth, offset, kind) of the scopes that are open.
        self._around: list[tuple[int, int, int]] = [(0, _NO_PARENT, _SCOPE)]
        abbreviations = unit.abbreviations.items()
        self._kinds = {0: 0} | {code: _kind_of(each) for code, each in abbreviations}
        # Where those without anything of interest below them say where they end.
        self._siblings = {
            code: place
            for code, kind in self._kinds.items()
            if kind in (_SKIPPED, _DECLARATION)
            for place in _sibling_field(unit, code)
        }

    def run(self) -> None:
        data, header, kinds = self._unit.data, self._unit.header, self._kinds
        layout, encoding = self._unit.layout, self._unit.encoding
        sizes, children, steps = layout.sizes, layout.children, layout.steps
        order = self._unit.section.order
        end, position, depth = len(data), header.root - header.offset, 0
        while position < end:
            at = position
            code = data[position]
            position += 1
            if code >= 0x80:
                second = data[position]
                position += 1
                code = code & 0x7F | second << 7
                if second >= 0x80:
                    code, position = uleb128(data, at)
            kind = kinds[code]
            if kind:
                if kind != _SKIPPED:
                    self._record(kind, at, depth, children[code])
                if code in self._siblings:
                    target = self._sibling(code, data, position)
                    if target > position:
                        position = target
                        continue
            depth += children[code]
            size = sizes[code]
            if size >= 0:
                position += size
            else:
                position = step_over(data, position, steps[code], encoding, order)

    def _record(self, kind: int, at: int, depth: int, has_children: int) -> None:
        around, offset = self._around, self._start + at
        while around[-1][0] >= depth > 0:
            around.pop()
        outer, parent, outer_kind = around[-1]
        if kind == _VARIABLE:
            if depth != outer + 1 or outer_kind == _FUNCTION:
                return  # local
            self.variables.append(offset)
        self.offsets.append(offset)
        self.parents.append(parent)
        if kind == _FUNCTION:
            _add_function(self._unit, offset, self._lowest, self.triples)
        if has_children and kind in _OPENING and depth and len(around) < _MAX_DEPTH:
            around.append((depth, offset, kind))

    def _sibling(self, code: int, data: bytes, position: int) -> int:
        """Return the position of the entry's sibling, 0 where that makes no sense."""
        field, size = self._siblings[code]
        raw = data[position + field : position + field + size]
        target = int.from_bytes(raw, self._unit.section.order)
        return target if target < len(data) else 0


def _sibling_field(unit: Unit, code: int) -> list[tuple[int, int]]:
    """Return where DW_AT_sibling lies behind the code of an entry, and its size; empty where that
    is not the same for all entries."""
    position = 0
    for name, form, size, _ in unit.layout.fields[code]:
        if size < 0:
            break
        if name == c.AT_SIBLING and form in LOCAL_REFERENCES:
            return [(position, size)]
        position += size
    return []


def _add_function(
    unit: Unit, offset: int, lowest: int, triples: list[tuple[int, int, int]]
) -> None:
    die = unit.die(offset)
    if die is None:
        return
    try:
        ranges = die.ranges()
    except FormatError:
        return  # its list of ranges is damaged; others are not
    triples.extend((low, high, offset) for low, high in ranges if low >= lowest)
