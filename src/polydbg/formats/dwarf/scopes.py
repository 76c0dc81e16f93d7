"""The named scopes around entries (DIEs): namespaces, classes, functions.

Entries do not say what they lie in. Of a large unit, the scopes around a few entries are found by a
pass of their own each, over nothing but the entries around; for more of them, and in small units, a
pass over all entries keeps the scope of each function, variable and named type in arrays of
numbers. Sources: DWARF 5 sections 2.3 and 3.3.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import Abbreviation
from polydbg.formats.dwarf.forms import LOCAL_REFERENCES, step_over
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.skipping import is_large, run_of_subtrees
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
_NAMED_TYPES = frozenset(
    {
        c.TAG_BASE_TYPE,
        c.TAG_ENUMERATION_TYPE,
        c.TAG_SUBRANGE_TYPE,
        c.TAG_TEMPLATE_ALIAS,
        c.TAG_TYPEDEF,
        c.TAG_UNSPECIFIED_TYPE,
    }
)
_CODE = frozenset({c.AT_LOW_PC, c.AT_RANGES})
_NO_PARENT = 0
_MAX_DEPTH = 512
#: How many entries of a large unit are looked for one by one.
_MAX_PASSES = 4
_MAX_FOUND = 1024
_MAX_MISSED = 64


def _kind_of(abbreviation: Abbreviation) -> int:
    """Return what the pass does with entries of this abbreviation, 0 for nothing."""
    if abbreviation.tag in c.SCOPES:
        return _SCOPE
    if abbreviation.tag in _NAMED_TYPES and c.AT_NAME in abbreviation.names:
        return _DECLARATION
    if abbreviation.tag == c.TAG_SUBPROGRAM:
        return _DECLARATION if abbreviation.names.isdisjoint(_CODE) else _FUNCTION
    if abbreviation.tag == c.TAG_VARIABLE and c.AT_LOCATION in abbreviation.names:
        return _VARIABLE
    if abbreviation.tag in _BARREN and abbreviation.has_children:
        return _SKIPPED
    is_static = abbreviation.tag in (c.TAG_VARIABLE, c.TAG_MEMBER)
    return _DECLARATION if is_static and c.AT_EXTERNAL in abbreviation.names else 0


class Scopes:
    """The scopes of *unit*; *known* is what :func:`scope_table` says of it, where that is known."""

    def __init__(self, unit: Unit, known: ScopeTable | None = None) -> None:
        self.unit = unit
        self._known = known
        self._found: dict[int, list[int] | None] = {}

    @cached_property
    def _table(self) -> ScopeTable:
        return self._known or scope_table(self.unit)

    @property
    def variables(self) -> Sequence[int]:
        """Return the offsets of the variables with a location outside of functions.

        :raises FormatError: the unit has no abbreviations.
        """
        table = self._table
        return [table.base + offset for offset in table.variables]

    @property
    def entries(self) -> Sequence[int]:
        """Return the offsets of the entries that may have a scope: classes, enumerations, typedefs,
        namespaces, functions, variables, counted from the unit's start.

        :raises FormatError: the unit has no abbreviations.
        """
        return self._table.offsets

    @property
    def parents(self) -> Sequence[int]:
        """Return the offset of the scope around each of :attr:`entries`, 0 for none. Errors are
        those."""
        return self._table.parents

    def is_entry(self, offset: int) -> bool:
        """Tell whether an entry begins at *offset*: one of :attr:`entries`, or one of the few that
        are looked for besides (types within functions that are only inlined).

        :raises FormatError: the unit has no abbreviations.
        """
        if (self._has_table or not self._is_cheap(offset)) and self._table.has(offset):
            return True
        is_known = offset in self._found or len(self._found) < _MAX_MISSED
        return is_known and self._passed(offset) is not None

    def around(self, offset: int) -> list[int]:
        """Return the offsets of the named scopes around the entry at *offset*, the innermost first;
        empty where there are none or the entry is not found.

        :raises FormatError: the unit has no abbreviations.
        """
        if not self._has_table and self._is_cheap(offset):
            return self._passed(offset) or []
        if not self._table.has(offset):
            # One of the few that it is not worth to record: a variable that only has a value.
            return self._passed(offset) or []
        chain: list[int] = []
        parent = self.parent(offset)
        while parent is not None and len(chain) < _MAX_DEPTH:
            chain.append(parent)
            parent = self.parent(parent)
        return chain

    def parent(self, offset: int) -> int | None:
        """Return the offset of the named scope around the entry at *offset*, ``None`` where there
        is none; for many entries of a unit. Errors are those of :meth:`around`."""
        return self._table.parent(offset)

    @property
    def _has_table(self) -> bool:
        return self._known is not None or "_table" in self.__dict__

    def _is_cheap(self, offset: int) -> bool:
        """Tell whether a pass for *offset* alone is sooner done than one over all entries."""
        is_early = offset in self._found or len(self._found) < _MAX_PASSES
        return is_early and is_large(self.unit)

    def _passed(self, offset: int) -> list[int] | None:
        """Return what a pass of its own finds around *offset*, ``None`` where no entry begins
        there."""
        if offset not in self._found:
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[offset] = _ancestors(self.unit, offset)
        return self._found[offset]


class ScopeTable(msgspec.Struct, frozen=True):
    """The scope around each entry that may have one, by offset; 0 is none. All offsets count from
    *base*, the start of the unit."""

    base: int
    offsets: Sequence[int]
    parents: Sequence[int]
    variables: Sequence[int]

    def has(self, offset: int) -> bool:
        """Tell whether the entry at *offset* of the section is one of those."""
        rank = bisect_left(self.offsets, offset - self.base)
        return rank < len(self.offsets) and self.offsets[rank] == offset - self.base

    def parent(self, offset: int) -> int | None:
        """Return the offset of the scope around the entry at *offset*, both in the section;
        ``None`` for none."""
        rank = bisect_left(self.offsets, offset - self.base)
        if rank == len(self.offsets) or self.offsets[rank] != offset - self.base:
            return None
        return self.base + self.parents[rank] if self.parents[rank] else None


def scope_table(unit: Unit) -> ScopeTable:
    """Return the scopes of all entries of *unit*.

    :raises FormatError: the unit has no abbreviations.
    """
    scan = _Scan(unit)
    # Where the entries stop making sense the pass ends: what was found until then holds.
    with suppress(FormatError, KeyError, IndexError):
        scan.run()
    return ScopeTable(unit.header.offset, scan.offsets, scan.parents, scan.variables)


def _ancestors(unit: Unit, offset: int) -> list[int] | None:
    """Return the named scopes around the entry at *offset*, the innermost first; ``None`` where
    there is no entry."""
    kinds = {code: _kind_of(each) for code, each in unit.abbreviations.items()}
    opened: list[tuple[int, int]] = []
    try:
        _walk_to(unit, offset - unit.header.offset, opened)
    except (FormatError, KeyError, IndexError):
        return None
    start = unit.header.offset
    found = [start + at for at, code in opened[1 : _MAX_DEPTH + 1] if kinds[code] in _OPENING]
    return found[::-1]


def _walk_to(unit: Unit, target: int, opened: list[tuple[int, int]]) -> None:
    """Fill *opened* with position and code of the entries around the one at position *target*.

    :raises FormatError: no entry begins there.
    """
    data, layout, order = unit.data, unit.layout, unit.section.order
    run = run_of_subtrees(unit)
    position = unit.header.root - unit.header.offset
    while True:
        # What the target lies in does not end before it, so no run leads over it.
        match = run.match(data, position, target) if run is not None else None
        at = position = match.end() if match is not None else position
        if position >= target:
            break
        code, position = uleb128(data, position)
        size = layout.sizes[code]
        if size >= 0:
            position += size
        else:
            position = step_over(data, position, layout.steps[code], unit.encoding, order)
        if not code:
            opened.pop()
        elif layout.children[code]:
            opened.append((at, code))
    if position != target:
        raise FormatError("no entry of a DWARF unit begins there", offset=target)


class _Scan:
    """One pass over the entries of *unit*."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        # Offsets are 32 bits wide but in units that no one makes.
        code = "I" if unit.header.end - unit.header.offset < 1 << 32 else "Q"
        self.offsets, self.parents, self.variables = array(code), array(code), array(code)
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
        around = self._around
        while around[-1][0] >= depth > 0:
            around.pop()
        outer, parent, outer_kind = around[-1]
        if kind == _VARIABLE:
            if depth != outer + 1 or outer_kind == _FUNCTION:
                return  # local
            self.variables.append(at)
        self.offsets.append(at)
        self.parents.append(parent)
        if has_children and kind in _OPENING and depth and len(around) < _MAX_DEPTH:
            around.append((depth, at, kind))

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
