"""Which units have code at an address.

What ``.debug_aranges`` says of a unit holds, in files without it what ``.gdb_index`` does; units
that are not listed there (clang writes neither) say so in their first entries. Of those that do
not, the functions are asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.aranges import read_aranges
from polydbg.formats.dwarf.constants import AT_LOW_PC, AT_RANGES, AT_STMT_LIST
from polydbg.formats.dwarf.gdb_index import GdbIndex
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.unit import Unit

#: Functions are aligned to this or less.
_PADDING = 64


class Coverage:
    """The code of the units of one linked file."""

    def __init__(
        self,
        file: DwarfFile,
        lowest: int = 1,
        known: tuple[Intervals, Sequence[int]] | None = None,
    ) -> None:
        """*lowest* is the lowest address that code can have: below lies what linkers dropped;
        *known* is :attr:`table` where an index has it."""
        self._file = file
        self._lowest = max(lowest, 1)
        self._known = known

    @cached_property
    def table(self) -> tuple[Intervals, Sequence[int]]:
        """Return the ranges with the offsets of their units, and the offsets of the units that may
        have code and give none."""
        if self._known is not None:
            return self._known
        triples: list[tuple[int, int, int]] = []
        described: set[int] = set()
        for offset, ranges in self._listed():
            if ranges and self._file.index_at_start(offset) is not None:
                described.add(offset)
                triples.extend(self._triples(ranges, offset))
        silent: list[int] = []
        room = self._most_ranges()
        for unit in self._file.units():
            offset = unit.header.offset
            if offset in described:
                continue
            try:
                ranges = unit.root.ranges()
            except FormatError:
                continue
            room -= max(len(ranges) - 1, 0)
            if room < 0:
                break
            triples.extend(self._triples(ranges, offset))
            if not ranges and _may_have_code(unit):
                silent.append(offset)
        return Intervals(triples), silent

    def _most_ranges(self) -> int:
        """Return how many ranges the lists of all units can have: each takes two bytes or more, and
        no two units share theirs."""
        room = 0
        for name in (".debug_ranges", ".debug_rnglists"):
            with suppress(FormatError):
                room += self._file.sections.get(name).size // 2
        return room

    def _listed(self) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """Yield the units by offset with their code as the file's own tables list it."""
        aranges = self._file.sections.get(".debug_aranges")
        if aranges.size:
            yield from read_aranges(aranges)
            return
        with suppress(FormatError):
            index = self._file.sections.get(".gdb_index")
            if index.size:
                yield from GdbIndex(index).units_with_code()

    def _triples(self, ranges: list[tuple[int, int]], unit: int) -> Iterator[tuple[int, int, int]]:
        """Yield *ranges* of *unit*, those joined that follow one another but for padding:
        there are thousands where each function has a section."""
        first, last = 0, -1
        for start, end in sorted(each for each in ranges if each[0] >= self._lowest):
            if last >= 0 and start - last < _PADDING:
                last = max(last, end)
                continue
            if last >= 0:
                yield first, last, unit
            first, last = start, end
        if last >= 0:
            yield first, last, unit

    def units_at(self, address: int) -> Iterator[Unit]:
        """Yield the units that say, or may, have code at *address*."""
        intervals, silent = self.table
        seen: set[int] = set()
        for rank in intervals.covering(address):
            offset = intervals.values[rank]
            if offset not in seen:
                seen.add(offset)
                yield from self._unit(offset)
        for offset in silent:
            yield from self._unit(offset)

    def units_above(self, address: int) -> Iterator[tuple[int, Unit]]:
        """Yield (start of a range, unit) ascending: what begins above *address*."""
        intervals, _ = self.table
        rank = intervals.above(address)
        for each in range(rank if rank is not None else len(intervals), len(intervals)):
            for unit in self._unit(intervals.values[each]):
                yield intervals.starts[each], unit

    def _unit(self, offset: int) -> list[Unit]:
        """Return the unit at *offset*, nothing where an index is wrong about it."""
        try:
            return [self._file.unit_known_at(offset)]
        except FormatError:
            return []


def _may_have_code(unit: Unit) -> bool:
    """Tell whether a unit that gives no ranges has functions with addresses of their own.

    A unit of version 4 or later that begins with a low_pc of 0 and no ranges has none.
    """
    attributes = unit.root.attributes
    return (
        AT_STMT_LIST in attributes
        and not unit.header.is_type
        and AT_RANGES not in attributes
        and AT_LOW_PC not in attributes
    )
