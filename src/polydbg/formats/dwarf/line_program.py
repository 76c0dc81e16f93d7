"""Line programs, run into arrays of rows: all of a program, or one sequence of it.

Sequences can be told apart without running a program that is built as compilers build them: each
begins, behind the end of the one before, with the operation that sets an address. Sources: DWARF 5
sections 6.2.2 and 6.2.5.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

import msgspec

from polydbg.base.errors import FormatError
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
#: Operands of the standard operations as every version has them, up to DW_LNS_set_isa.
_USUAL_LENGTHS = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
#: What compilers put between the end of a sequence and the address of the next one: operations
#: that change the line, file, column, flags or instruction set, and the discriminator.
_BETWEEN = (
    rb"(?:[\x06\x07\x0a\x0b]|[\x03\x04\x05\x0c][\x80-\xff]{0,9}[\x00-\x7f]"
    rb"|\x00[\x02-\x06]\x04[\x80-\xff]{0,4}[\x00-\x7f]){0,16}"
)


class Rows:
    """The rows that a program, or a sequence of it, makes, in its order.

    *addresses*, *files*, *lines*, *columns* and *flags* have an entry for each row; *ends* are the
    numbers of the first and the last row of each sequence; *extra_files* are those that the program
    itself defines. Where the program *is_damaged*, the rows before the damage are there.
    """

    __slots__ = (
        "addresses",
        "columns",
        "ends",
        "extra_files",
        "files",
        "flags",
        "is_damaged",
        "lines",
    )

    def __init__(self) -> None:
        self.addresses = array("Q")
        self.files = array("I")
        self.lines = array("I")
        self.columns = array("I")
        self.flags = array("B")
        self.ends: list[tuple[int, int]] = []
        self.extra_files: list[FileEntry] = []
        self.is_damaged = False


def run(header: LineHeader, position: int = 0, *, once: bool = False) -> Rows:
    """Run the program of *header* from *position*, where a sequence begins: up to the end of that
    sequence with *once*, else to the end."""
    rows = Rows()
    try:
        _run(header, rows, position, once)
    except (FormatError, IndexError):
        rows.is_damaged = True
    return rows


class SequenceStarts(msgspec.Struct, frozen=True):
    """The address that each sequence sets first, in order, and its position in the program. The
    first row of a sequence may lie above."""

    addresses: Sequence[int]
    positions: Sequence[int]


def sequence_starts(header: LineHeader) -> SequenceStarts | None:
    """Return where the sequences of a program begin, ``None`` where that cannot be told without
    running it."""
    if header.opcode_lengths[: len(_USUAL_LENGTHS)] != _USUAL_LENGTHS:
        return None
    size = header.address_size
    setter = bytes((0, size + 1, _SET_ADDRESS))
    pattern = rb"(?s)(?:\A|\x00\x01\x01)(" + _BETWEEN + re.escape(setter) + rb"(.{%d}))" % size
    data, order = header.program, header.order
    found = [
        (int.from_bytes(match[2], order), match.start(1)) for match in re.finditer(pattern, data)
    ]
    # Any other address is set within a sequence, or the bytes mean something else.
    if len(found) != data.count(setter):
        return None
    found.sort()
    return SequenceStarts(
        array("Q", (address for address, _ in found)), array("Q", (at for _, at in found))
    )


def _run(header: LineHeader, rows: Rows, position: int, once: bool) -> None:
    data, base = header.program, header.opcode_base
    add_address, add_file, add_line = rows.addresses.append, rows.files.append, rows.lines.append
    add_column, add_flag = rows.columns.append, rows.flags.append
    step = header.min_instruction_length
    advances, deltas = _special_operations(header)
    mask = (1 << 8 * header.address_size) - 1
    default = IS_STMT if header.default_is_stmt else 0
    address, file, line, column, flag = 0, 1, 1, 0, default
    end = len(data)
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
            address, is_end, position = _extended(header, rows, opcode, address, position)
            address &= mask
            if not is_end:
                continue
            flag |= END_SEQUENCE
        elif opcode != _COPY:
            flag, position = _rare(header, opcode, flag, position)
            continue
        add_address(address)
        add_file(file & _MAX32)
        add_line(line)
        add_column(column & _MAX32)
        add_flag(flag)
        flag &= IS_STMT
        if opcode == 0:
            first = rows.ends[-1][1] + 1 if rows.ends else 0
            rows.ends.append((first, len(rows.addresses) - 1))
            if once:
                return
            address, file, line, column, flag = 0, 1, 1, 0, default


def _special_operations(header: LineHeader) -> tuple[list[int], list[int]]:
    """Return by operation how far the address and the line advance. A range of 0 divides nothing:
    operations that need it end the program."""
    if not header.line_range:
        return [], []
    pairs = [divmod(each - header.opcode_base, header.line_range) for each in range(256)]
    step = header.min_instruction_length
    return [each * step for each, _ in pairs], [each + header.line_base for _, each in pairs]


def _extended(
    header: LineHeader, rows: Rows, opcode: int, address: int, position: int
) -> tuple[int, bool, int]:
    """Return the address after the operation, if it ends the sequence, where to go on."""
    data, order = header.program, header.order
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
        rows.extra_files.append(old_file(data, there, name)[0])
    return address, kind == _END_OF_SEQUENCE, after


def _rare(header: LineHeader, opcode: int, flag: int, position: int) -> tuple[int, int]:
    """Return the flags and the position after an operation that only marks, or is unknown."""
    if opcode == _SET_BASIC_BLOCK:
        return flag | BASIC_BLOCK, position
    if opcode == _SET_PROLOGUE_END:
        return flag | PROLOGUE_END, position
    if opcode == _SET_EPILOGUE_BEGIN:
        return flag | EPILOGUE_BEGIN, position
    lengths = header.opcode_lengths
    count = lengths[opcode - 1] if opcode <= len(lengths) else 0
    for _ in range(count):
        _, position = uleb128(header.program, position)
    return flag, position
