"""Line tables: which row of a line program covers an address. Source: DWARF 5 section 6.2.

A question by address runs only the sequence that it falls in, where the program tells its
sequences apart; the other questions run all of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

import msgspec

from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line_header import LineHeader
from polydbg.formats.dwarf.line_program import Rows, SequenceStarts, run, sequence_starts

_MAX32 = 0xFFFFFFFF
_MAX_KEPT = 256


class Row(msgspec.Struct, frozen=True):
    """A row: its code (start, end), the number of its file, its line and column (0 unknown)."""

    start: int
    end: int
    file: int
    line: int
    column: int
    flags: int


class LineTable:
    """The rows of a line program by address. Code below *lowest* or at the end of all addresses was
    dropped by the linker: its rows are there but answer nothing."""

    def __init__(
        self, header: LineHeader, lowest: int = 1, starts: SequenceStarts | None = None
    ) -> None:
        """*starts* is what :func:`sequence_starts` says of *header*, where that is known."""
        self.header = header
        self._lowest = lowest
        self._known_starts = starts
        self._kept: dict[int, _Sequences] = {}

    @cached_property
    def _all(self) -> _Sequences:
        return _Sequences(run(self.header), self.header, self._lowest)

    @property
    def table(self) -> Rows:
        """Return the rows of the whole program."""
        return self._all.table

    def path(self, number: int, comp_dir: str) -> str:
        """Return the path of file *number*, ``""`` where there is no such file."""
        header = self.header
        extra = number - header.first_file - len(header.files)
        if extra >= 0 and header.version < 5 and extra < len(self.table.extra_files):
            files = header.files + tuple(self.table.extra_files)
            return msgspec.structs.replace(header, files=files).path(number, comp_dir)
        return header.path(number, comp_dir)

    def row_at(self, address: int) -> Row | None:
        """Return the row that covers *address*: the last one that begins at or below it."""
        if "_all" not in self.__dict__ and self._starts is not None:
            row = self._in_one(self._starts, address)
            if row is not None:
                return row
        return self._all.row_at(address)

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of each sequence that answers: numbers of rows of :attr:`table`; the
        last row only ends it."""
        return self._all.rows()

    @cached_property
    def _starts(self) -> SequenceStarts | None:
        return self._known_starts or sequence_starts(self.header)

    def _in_one(self, starts: SequenceStarts, address: int) -> Row | None:
        """Return the row of the sequence that begins last below *address*, ``None`` where that does
        not reach so far, or where several begin there."""
        rank = bisect_right(starts.addresses, address) - 1
        if rank < 0 or (rank and starts.addresses[rank - 1] == starts.addresses[rank]):
            return None
        position = starts.positions[rank]
        found = self._kept.get(position)
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            rows = run(self.header, position, once=True)
            found = self._kept[position] = _Sequences(rows, self.header, self._lowest)
        return found.row_at(address)


class _Sequences:
    """The sequences of *table*, by address."""

    def __init__(self, table: Rows, header: LineHeader, lowest: int) -> None:
        self.table = table
        mask = (1 << 8 * header.address_size) - 1
        found: list[tuple[int, int, int]] = []
        for first, last in table.ends:
            part = table.addresses[first:last]
            low, high = min(part, default=0), table.addresses[last]
            # Dropped code begins at 0, or at the highest addresses (-1, -2) by newer linkers.
            if low >= lowest and low < mask - 1:
                found.append((low, high, first << 32 | last))
        self._code = Intervals(found)

    def rows(self) -> Iterator[tuple[int, int]]:
        for value in self._code.values:
            yield value >> 32, value & _MAX32

    def row_at(self, address: int) -> Row | None:
        for rank in self._code.covering(address):
            value = self._code.values[rank]
            row = self._in_sequence(value >> 32, value & _MAX32, address)
            if row is not None:
                return row
        return None

    def _in_sequence(self, first: int, last: int, address: int) -> Row | None:
        table = self.table
        index = bisect_right(table.addresses, address, first, last) - 1
        if index < first or not table.addresses[index] <= address:
            return None
        end = table.addresses[index + 1]
        return Row(
            table.addresses[index],
            max(end, address + 1),
            table.files[index],
            table.lines[index],
            table.columns[index],
            table.flags[index],
        )
