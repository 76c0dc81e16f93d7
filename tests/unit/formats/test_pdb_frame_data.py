"""FPO records and frame data: fields, nesting, order, and tables inside a module's lines."""

from __future__ import annotations

import random
import struct

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.frame_data import (
    FRAME_EBP,
    fpo_table,
    frame_data_of_module,
    frame_data_table,
)


class Data:
    """A stream of bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def frame_data(rva: int, size: int, saved: int = 0, program: int = 7) -> bytes:
    return struct.pack("<IIIIIIHHI", rva, size, 8, 4, 0, program, 3, saved, 4)


def test_fields_of_fpo() -> None:
    bits = 5 | 3 << 8 | 1 << 12 | 3 << 14
    found = fpo_table(Data(struct.pack("<IIIHH", 0x1000, 0x20, 2, 3, bits))).at(0x101F)
    assert found is not None
    assert (found.rva, found.code_size, found.prolog_size) == (0x1000, 0x20, 5)
    assert (found.locals_size, found.parameters_size, found.saved_size) == (8, 12, 12)
    assert (found.uses_ebp, found.kind, found.program) == (True, FRAME_EBP, None)


def test_the_innermost_record_is_found() -> None:
    records = [(0x1000, 0x100, 0), (0x1001, 0xFF, 4), (0x1003, 0x10, 8), (0x2000, 4, 0)]
    table = frame_data_table(Data(b"".join(frame_data(*each) for each in records)))
    for rva, saved in ((0x1000, 0), (0x1002, 4), (0x1003, 8), (0x1012, 8), (0x1013, 4)):
        found = table.at(rva)
        assert found is not None
        assert found.saved_size == saved
    assert [table.at(rva) for rva in (0, 0xFFF, 0x1100, 0x2004, 0xFFFFFFFF)] == [None] * 5


def test_records_out_of_order() -> None:
    starts = [0x1000 + index * 16 for index in range(1000)]
    random.Random(3).shuffle(starts)
    table = frame_data_table(Data(b"".join(frame_data(start, 16) for start in starts)))
    for start in starts:
        found = table.at(start + 15)
        assert found is not None
        assert found.rva == start


def test_frame_data_in_a_modules_lines() -> None:
    part = struct.pack("<I", 0x4000) + frame_data(0x10, 0x20)
    lines = struct.pack("<II", 0xF2, 3) + b"abc\0"
    lines += struct.pack("<II", 0xF5, len(part)) + part
    (table,) = frame_data_of_module(lines)
    found = table.at(0x4010)
    assert found is not None
    assert (found.rva, found.program) == (0x4010, 7)
    assert frame_data_of_module(lines[:-1]) == []
    assert frame_data_of_module(struct.pack("<II", 0xF5, 0xFFFFFFFF)) == []


def test_tables_that_end_early() -> None:
    assert frame_data_table(Data(b"")).at(5) is None
    assert frame_data_table(Data(frame_data(0, 9) + b"abc")).at(5) is not None
    assert fpo_table(Data(b"x" * 15)).at(5) is None

    class Short(Data):
        def read(self, offset: int, size: int) -> bytes:
            return b""

    with pytest.raises(FormatError):
        fpo_table(Short(bytes(16))).at(0)
