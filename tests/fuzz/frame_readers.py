"""Fuzz targets of call frame information, of DWARF's expressions and of ARM's exception tables."""

from __future__ import annotations

import struct
from typing import Literal

from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf.cfi import CallFrameTable, SearchTable
from polydbg.formats.dwarf.cfi_pointers import Bases
from polydbg.formats.dwarf.expression import Encoding, Environment, evaluate
from polydbg.formats.dwarf.expression_values import BaseType, Value, make
from polydbg.formats.elf.arm_exidx import ExceptionIndex, IndexRow
from polydbg.formats.section import Section
from polydbg.memory.space import BufferSpace
from polydbg.unwind.arm_places import Code, undoing_at, undoing_epilog
from polydbg.unwind.arm_rules import undo
from polydbg.unwind.method import ARM, Callee
from polydbg.unwind.walker import walk

START, TABLE_RVA, FRAME_RVA = 0x1000, 0x7000, 0x8000
STACK = BufferSpace(bytes(range(256)) * 64, 0x1000)
_TABLE_SIZE = 28
_MACHINES = ("amd64", "x86", "arm64", "sparc64", "s390x", "mips")


class _Context:
    """One module whose tables are what is read."""

    address_mask = 0
    memory = STACK

    def __init__(self, frames: CallFrameTable, order: Literal["little", "big"]) -> None:
        self.frames = frames
        self.byte_order: Literal["little", "big"] = order

    def call_frames_at(self, address: int) -> tuple[int, CallFrameTable] | None:
        return (0, self.frames) if address < 0x100000 else None

    def image_at(self, address: int) -> None:
        return None

    def is_code(self, address: int) -> bool:
        return True

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None


def read_cfi(data: bytes) -> None:
    """Read a byte of options, the table of ``.eh_frame_hdr`` where they say so, then the frames."""
    if not data:
        return
    options = data[0]
    is_eh, big, size = bool(options & 1), bool(options & 2), 4 if options & 4 else 8
    order: Literal["little", "big"] = "big" if big else "little"
    bases = Bases(size, order, lambda value: value, 0x400, 0x9000)
    search = None
    at = 1
    if options & 8:
        at += _TABLE_SIZE
        try:
            search = SearchTable(Section(data[1:at], big=big), bases, TABLE_RVA)
        except DebuggerError:
            search = None
    section = Section(data[at:], big=big)
    frames = CallFrameTable(
        section, bases, rva=FRAME_RVA, is_eh=is_eh, is_sparc=bool(options & 16), search=search
    )
    for rva in (0, START, START + 4, START + 0x3F, 0x2000):
        _ask(frames, rva)
    _walk(_Context(frames, order), _MACHINES[(options >> 5) % len(_MACHINES)])


def _ask(frames: CallFrameTable, rva: int) -> None:
    try:
        frames.rules_at(rva)
    except DebuggerError:
        return


def _walk(context: _Context, machine: str) -> None:
    names = {"amd64": ("rip", "rsp"), "x86": ("eip", "esp")}.get(machine, ("pc", "sp"))
    registers = dict.fromkeys((f"r{number}" for number in range(32)), 0x1100)
    registers |= {names[0]: START, names[1]: 0x1100, "r15": 0x1100, "fp": 0x1100, "rbp": 0x1100}
    list(walk(context, registers, 5, None, machine))  # type: ignore[arg-type]


def cfi_seeds() -> list[bytes]:
    program = bytes.fromhex("44 0e10 8602 44 0d06 0a 46 0c0708 c6 0b 1006027708 1606027708 2d 2e10")
    head = bytes.fromhex("0000000001 7a5200 01 78 10 01 00 0c0708 9001")
    first = _sized(head)
    place = START.to_bytes(8, "little") + (0x40).to_bytes(8, "little")
    frames = first + _sized((len(first) + 4).to_bytes(4, "little") + place + b"\0" + program)
    table = bytes.fromhex("011b033b") + (FRAME_RVA - TABLE_RVA - 4).to_bytes(4, "little")
    rows = (START - TABLE_RVA, FRAME_RVA + len(first) - TABLE_RVA)
    table += (1).to_bytes(4, "little") + b"".join(
        (row & 0xFFFFFFFF).to_bytes(4, "little") for row in rows
    )
    common = _sized(b"\xff\xff\xff\xff\4\0\10\0" + bytes.fromhex("01 78 10 0c0708 9001"))
    debug = common + _sized(bytes(4) + place + program)
    wide = b"\xff\xff\xff\xff" + len(head).to_bytes(8, "little") + head
    return [
        b"\x01" + frames,
        b"\x09" + table.ljust(_TABLE_SIZE, b"\0") + frames,
        b"\x00" + debug,
        b"\x51" + frames,
        b"\x71" + frames,
        b"\x01" + wide + frames,
    ]


def _sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


class _World(Environment):
    """Knows everything."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def register(self, number: int) -> int:
        return 0x1000 + number

    def read(self, address: int, size: int) -> bytes:
        return STACK.read(address, size)

    def frame_base(self) -> int:
        return 0x1200

    def call_frame_cfa(self) -> int:
        return 0x1300

    def indexed(self, index: int) -> int:
        return index

    def called(self, reference: int, is_local: bool) -> bytes:
        return self._data[reference % (len(self._data) + 1) :]

    def thread_address(self, offset: int) -> int:
        return offset

    def object_address(self) -> int:
        return 0x1400

    def entry_value(self, expression: bytes) -> Value:
        return make(len(expression), BaseType(8))

    def entry_of(self, reference: int, is_local: bool) -> Value:
        return make(reference, BaseType(8))

    def base_type(self, reference: int) -> BaseType:
        return BaseType((1, 2, 4, 8, 16, 10)[reference % 6], reference % 9)


def read_expression(data: bytes) -> None:
    """Read a byte of options, then an expression."""
    if not data:
        return
    options = data[0]
    encoding = Encoding(
        4 if options & 1 else 8,
        "big" if options & 2 else "little",
        8 if options & 4 else 4,
        2 if options & 8 else 5,
    )
    try:
        evaluate(data[1:], _World(data), encoding, (0x1100,))
    except DebuggerError:
        return


def expression_seeds() -> list[bytes]:
    codes = (
        "77 10 06 23 08 9f",
        "53 9304 9110 9304 9d0304",
        "9c 1c 12 13 14 16 17 1500",
        "30 31 28 0100 2f 0000 96 98 0100 99 01000000 9a 01000000",
        "a40304 00000000 a80b a901 a50104 a60801 a30150 f30150",
        "0301000000 00000000 a101 a201 97 9b e0 a0 00000000 01 f200000000 01",
        "09f6 321b 1d 1a 19 1f 20 21 22 24 25 26 27 29 2a 2b 2c 2d 2e 1e",
        "9e 03 010203 fa 00000000 fd 00000000",
    )
    return [b"\0" + bytes.fromhex(code) for code in codes]


# The exception tables of 32-bit ARM


def read_exidx(data: bytes) -> None:
    """Read a byte of options, with the number of rows, then an image that begins with the index."""
    if not data:
        return
    space = BufferSpace(data[1:])
    order: Literal["little", "big"] = "big" if data[0] & 1 else "little"
    index = ExceptionIndex(space, 0, (data[0] >> 1) * 8, order)
    for rva in (0, 0x40, 0x44, 0x5C, 0x2000, 0xFFFFFFFF):
        try:
            row = index.row_at(rva)
            if row is not None:
                _undo_row(index, row, space, rva)
        except DebuggerError:
            continue


def _undo_row(index: ExceptionIndex, row: IndexRow, space: BufferSpace, rva: int) -> None:
    codes = index.codes(row)
    for is_thumb in (False, True):
        code = Code(space, is_thumb)
        undoing_at(codes, code, row.start, rva)
        undoing_epilog(code, rva, row.start, row.end)
    registers = dict.fromkeys((f"r{number}" for number in range(13)), 0x1100)
    callee = Callee({**registers, "sp": 0x1100, "lr": 0x40, "pc": rva}, False, True, ARM)
    undo(codes, callee, STACK)


def exidx_seeds() -> list[bytes]:
    start, table = 0x40, 0x80
    words = [start, 0x80A8B0B0, start + 0x10 - 8, table - 12, start + 0x20 - 16, table - 20]
    words += [start + 0x2C - 24, 1]
    code = [0xE92D4010, 0xE24DD008, 0xEB000001, 0xE8BD8010]
    code += [0xE92D4800, 0xE28DB004, 0x0A000001, 0xE24BD004, 0xE8BD8800, 0xE12FFF1E]
    extab = [0x8102979B, 0x84800344, 0xB281B0B0, 0x10, 0x02B308A8, 0xC931C631, 0xD1C703B0]
    seeds = []
    for options, order in ((8, "<"), (9, ">")):
        head = struct.pack(f"{order}{len(words)}I", *words).ljust(start, b"\0")
        body = struct.pack(f"<{len(code)}I", *code).ljust(table - start, b"\0")
        tail = struct.pack(f"{order}{len(extab)}I", *extab)
        seeds.append(bytes([options]) + head + body + tail)
    thumb = bytes.fromhex("2de9f04f 82b0 0daf 10b1 bd46 02b0 bde8f08f 7047")
    return [*seeds, seeds[0][:0x41] + thumb.ljust(table - start, b"\0") + seeds[0][0x81:]]
