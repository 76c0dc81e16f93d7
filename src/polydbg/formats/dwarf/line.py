"""Line programs, run into arrays of rows. Source: DWARF 5 section 6.2."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line_header import FileEntry, LineHeader, old_file
from polydbg.formats.dwarf.reading import cstring, sleb128, uleb128, unsigned

IS_STMT, BASIC_BLOCK, END_SEQUENCE, PROLOGUE_END, EPILOGUE_BEGIN = 1, 2, 4, 8, 16
_MAX32 = 0xFFFFFFFF
(
    _COPY,
    _ADVANCE_PC,
    _ADVANCE_LINE,
    _SET_FILE,
    _SET_COLUMN,
    _NEGATE_STMT,
    _SET_BASIC_BLOCK,
    _CONST_ADD_PC,
    _FIXED_ADVANCE_PC,
    _SET_PROLOGUE_END,
    _SET_EPILOGUE_BEGIN,
) = range(1, 12)
_END_OF_SEQUENCE, _SET_ADDRESS, _DEFINE_FILE = 1, 2, 3
_ADDRESSING = (0, _FIXED_ADVANCE_PC)


class Row(msgspec.Struct, frozen=True):
    """A row: its code (start, end), the number of its file, its line and column (0 unknown)."""

    start: int
    end: int
    file: int
    line: int
    column: int
    flags: int


class LineTable:
    """The rows of a line program in the order that the program makes them.

    *addresses*, *files*, *lines*, *columns* and *flags* have an entry for each row.
    """

    def __init__(self, header: LineHeader, lowest: int = 1) -> None:
        """Run the program. Code below *lowest* or at the end of all addresses was dropped by the
        linker: its rows are there but answer nothing."""
        self.header = header
        self.addresses = array("Q")
        self.files = array("I")
        self.lines = array("I")
        self.columns = array("I")
        self.flags = array("B")
        self.extra_files: list[FileEntry] = []
        self._lowest = lowest
        self._ends: list[tuple[int, int]] = []
        self.is_damaged = False
        try:
            self._run()
        except (FormatError, IndexError):
            self.is_damaged = True  # the rows so far hold

    def __len__(self) -> int:
        return len(self.addresses)

    def path(self, number: int, comp_dir: str) -> str:
        """Return the path of file *number*, ``""`` where there is no such file."""
        extra = number - self.header.first_file - len(self.header.files)
        if 0 <= extra < len(self.extra_files):
            files = self.header.files + tuple(self.extra_files)
            return msgspec.structs.replace(self.header, files=files).path(number, comp_dir)
        return self.header.path(number, comp_dir)

    @property
    def file_count(self) -> int:
        """Return one more than the highest number that a file has."""
        return self.header.first_file + len(self.header.files) + len(self.extra_files)

    # -- by address ----------------------------------------------------------------------------

    @cached_property
    def _sequences(self) -> Intervals:
        """Return the sequences, each with the number of its first row and of its last one."""
        mask = (1 << 8 * self.header.address_size) - 1
        found: list[tuple[int, int, int]] = []
        for first, last in self._ends:
            part = self.addresses[first:last]
            low, high = min(part, default=0), self.addresses[last]
            # Dropped code begins at 0, or at the highest addresses (-1, -2) by newer linkers.
            if low >= self._lowest and low < mask - 1:
                found.append((low, high, first << 32 | last))
        return Intervals(found)

    def row_at(self, address: int) -> Row | None:
        """Return the row that covers *address*: the last one that begins at or below it."""
        sequences = self._sequences
        for rank in sequences.covering(address):
            value = sequences.values[rank]
            row = self._in_sequence(value >> 32, value & _MAX32, address)
            if row is not None:
                return row
        return None

    def _in_sequence(self, first: int, last: int, address: int) -> Row | None:
        index = bisect_right(self.addresses, address, first, last) - 1
        if index < first or not self.addresses[index] <= address:
            return None
        end = self.addresses[index + 1]
        return Row(
            self.addresses[index],
            max(end, address + 1),
            self.files[index],
            self.lines[index],
            self.columns[index],
            self.flags[index],
        )

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield (first, last) of each sequence that answers; the last row only ends it."""
        for value in self._sequences.values:
            yield value >> 32, value & _MAX32

    # -- running -------------------------------------------------------------------------------

    def _run(self) -> None:
        header = self.header
        data, base = header.program, header.opcode_base
        add_address, add_file = self.addresses.append, self.files.append
        add_line, add_column, add_flag = self.lines.append, self.columns.append, self.flags.append
        step = header.min_instruction_length
        advances, deltas = self._special_operations()
        mask = (1 << 8 * header.address_size) - 1
        default = IS_STMT if header.default_is_stmt else 0
        address, file, line, column, flag = 0, 1, 1, 0, default
        position, end = 0, len(data)
        while position < end:
            opcode = data[position]
            position += 1
            if opcode >= base:
                address = address + advances[opcode] & mask
                line = line + deltas[opcode] & _MAX32
            elif opcode == _ADVANCE_PC:
                value, position = uleb128(data, position)
                address = address + value * step & mask
                continue
            elif opcode == _SET_COLUMN:
                column, position = uleb128(data, position)
                continue
            elif opcode == _ADVANCE_LINE:
                value, position = sleb128(data, position)
                line = line + value & _MAX32
                continue
            elif opcode == _NEGATE_STMT:
                flag ^= IS_STMT
                continue
            elif opcode == _CONST_ADD_PC:
                address = address + advances[255] & mask
                continue
            elif opcode == _SET_FILE:
                file, position = uleb128(data, position)
                continue
            elif opcode in _ADDRESSING:
                address, is_end, position = self._extended(opcode, address, position)
                address &= mask
                if not is_end:
                    continue
                flag |= END_SEQUENCE
            elif opcode != _COPY:
                flag, position = self._rare(opcode, flag, position)
                continue
            add_address(address)
            add_file(file & _MAX32)
            add_line(line)
            add_column(column & _MAX32)
            add_flag(flag)
            flag &= IS_STMT
            if opcode == 0:
                first = self._ends[-1][1] + 1 if self._ends else 0
                self._ends.append((first, len(self.addresses) - 1))
                address, file, line, column, flag = 0, 1, 1, 0, default

    def _special_operations(self) -> tuple[list[int], list[int]]:
        """Return by operation how far the address and the line advance. A range of 0 divides
        nothing: operations that need it end the program."""
        header = self.header
        if not header.line_range:
            return [], []
        pairs = [divmod(each - header.opcode_base, header.line_range) for each in range(256)]
        step = header.min_instruction_length
        return [each * step for each, _ in pairs], [each + header.line_base for _, each in pairs]

    def _extended(self, opcode: int, address: int, position: int) -> tuple[int, bool, int]:
        """Return the address after the operation, if it ends the sequence, where to go on."""
        data, order = self.header.program, self.header.order
        if opcode == _FIXED_ADVANCE_PC:
            return address + unsigned(data, position, 2, order), False, position + 2
        size, position = uleb128(data, position)
        if size == 0:
            return address, False, position
        kind, after = data[position], position + size
        if kind == _SET_ADDRESS:
            address = unsigned(data, position + 1, min(size - 1, 8), order)
        elif kind == _DEFINE_FILE:
            name, there = cstring(data, position + 1)
            self.extra_files.append(old_file(data, there, name)[0])
        return address, kind == _END_OF_SEQUENCE, after

    def _rare(self, opcode: int, flag: int, position: int) -> tuple[int, int]:
        """Return the flags and the position after an operation that only marks, or is unknown."""
        if opcode == _SET_BASIC_BLOCK:
            return flag | BASIC_BLOCK, position
        if opcode == _SET_PROLOGUE_END:
            return flag | PROLOGUE_END, position
        if opcode == _SET_EPILOGUE_BEGIN:
            return flag | EPILOGUE_BEGIN, position
        lengths = self.header.opcode_lengths
        count = lengths[opcode - 1] if opcode <= len(lengths) else 0
        for _ in range(count):
            _, position = uleb128(self.header.program, position)
        return flag, position
