"""The functions of one unit, found in one pass over its entries.

The pass keeps numbers in arrays, not objects: of every function and named scope its offset and the
scope around it, of functions with code their addresses. Sources: DWARF 5 sections 3.3.1 to 3.3.8.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import Abbreviation
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Unit

_SCOPE, _DECLARATION, _FUNCTION, _VARIABLE = 1, 2, 3, 4
_OPENING = (_SCOPE, _FUNCTION)
_CODE = frozenset({c.AT_LOW_PC, c.AT_RANGES})
_NO_PARENT = 0
_MAX_DEPTH = 512


def _kind_of(abbreviation: Abbreviation) -> int:
    """Return what the pass does with entries of this abbreviation, 0 for nothing."""
    if abbreviation.tag in c.SCOPES:
        return _SCOPE
    if abbreviation.tag == c.TAG_SUBPROGRAM:
        return _DECLARATION if abbreviation.names.isdisjoint(_CODE) else _FUNCTION
    if abbreviation.tag == c.TAG_VARIABLE and c.AT_LOCATION in abbreviation.names:
        return _VARIABLE
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

    :raises FormatError: where the entries stop making sense.
    """
    data, header = unit.data, unit.header
    layout = unit.layout
    sizes, children = layout.sizes, layout.children
    kinds = {code: _kind_of(each) for code, each in unit.abbreviations.items()}
    kinds[0] = 0
    offsets, parents, variables = array("Q"), array("Q"), array("Q")
    triples: list[tuple[int, int, int]] = []
    # (depth, offset, kind) of the scopes that are open.
    around: list[tuple[int, int, int]] = [(0, _NO_PARENT, _SCOPE)]
    start, end = header.offset, header.end - header.offset
    position, depth = header.root - start, 0
    try:
        while position < end:
            at = position
            code = data[position]
            position += 1
            if code >= 0x80:
                code, position = uleb128(data, at)
            kind = kinds[code]
            if kind:
                while around[-1][0] >= depth > 0:
                    around.pop()
                outer, parent, outer_kind = around[-1]
                if kind == _VARIABLE and (depth != outer + 1 or outer_kind == _FUNCTION):
                    kind = 0  # local
                else:
                    offsets.append(start + at)
                    parents.append(parent)
                if kind == _VARIABLE:
                    variables.append(start + at)
                elif kind == _FUNCTION:
                    _add_function(unit, start + at, lowest, triples)
                if children[code] and kind in _OPENING and depth and len(around) < _MAX_DEPTH:
                    around.append((depth, start + at, kind))
            depth += children[code]
            size = sizes[code]
            position = position + size if size >= 0 else unit.skip(position, code)
    except KeyError:
        raise FormatError("unknown DWARF abbreviation", offset=start + position) from None
    return FunctionIndex(unit, offsets, parents, Intervals(triples), variables)


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
