"""DWARF expressions: every kind of operation, and what must be refused."""

from __future__ import annotations

import struct

import pytest

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.dwarf.expression import (
    Encoding,
    Environment,
    Piece,
    PlaceKind,
    ValueUnknownError,
    evaluate,
    evaluate_address,
)
from polydbg.formats.dwarf.expression_values import BaseType, Value, make

MINUS_1 = (1 << 64) - 1
CODE = Encoding()
TYPES = {1: BaseType(4, 5), 2: BaseType(4, 7), 3: BaseType(8, 4), 4: BaseType(4, 4)}


class World(Environment):
    def register(self, number: int) -> int:
        if number > 40:
            return super().register(number)
        return 0x1000 + number

    def read(self, address: int, size: int) -> bytes:
        if address < 0x1000:
            raise MemoryReadError(address)
        return bytes((address + i) & 0xFF for i in range(size))

    def frame_base(self) -> int:
        return 0x2000

    def call_frame_cfa(self) -> int:
        return 0x3000

    def loaded_address(self, address: int) -> int:
        return address + 0x10000

    def indexed(self, index: int) -> int:
        return 0x500 + index

    def called(self, reference: int, is_local: bool) -> bytes:
        return {1: bytes.fromhex("35"), 2: bytes.fromhex("980200"), 3: b""}[reference]

    def thread_address(self, offset: int) -> int:
        return 0x4000 + offset

    def object_address(self) -> int:
        return 0x5000

    def entry_value(self, expression: bytes) -> Value:
        return make(0x6000 + expression[0], BaseType(8))

    def entry_of(self, reference: int, is_local: bool) -> Value:
        return make(reference + is_local, BaseType(8))

    def base_type(self, reference: int) -> BaseType:
        return TYPES[reference]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("30", 0),
        ("4f", 31),
        ("08ff", 0xFF),
        ("09ff", MINUS_1),
        ("0a0180", 0x8001),
        ("0b0180", MINUS_1 - 0x7FFE),
        ("0c01000080", 0x80000001),
        ("0d01000080", MINUS_1 - 0x7FFFFFFE),
        ("0e0100000000000080", 0x8000000000000001),
        ("0fffffffffffffffff", MINUS_1),
        ("108001", 0x80),
        ("117f", MINUS_1),
        ("031000000000000000", 0x10010),
        ("a103", 0x10503),
        ("a203", 0x503),
        ("fb03", 0x10503),
        ("fc03", 0x503),
        ("7710", 0x1017),
        ("92057f", 0x1004),
        ("9178", 0x1FF8),
        ("9c", 0x3000),
        ("97", 0x5000),
        ("3a9b", 0x400A),
        ("3ae0", 0x400A),
        ("3312 22", 6),
        ("333413", 3),
        ("333414", 3),
        ("33343515 02", 3),
        ("333416", 3),
        ("33343517", 4),  # 3 4 5 -> 5 3 4
        ("3334351713", 3),
        ("3f3a1a", 10),
        ("09f619", 10),
        ("09f6321b", MINUS_1 - 4),  # signed
        ("09f6331d", (MINUS_1 - 9) % 3),  # unsigned
        ("33341c", MINUS_1),
        ("33341e", 12),
        ("331f", MINUS_1 - 2),
        ("3020", MINUS_1),
        ("333421", 7),
        ("332310", 0x13),
        ("333424", 0x30),
        ("330ce8030000 24", 0),
        ("09ff38 25", MINUS_1 >> 8),
        ("09ff38 26", MINUS_1),
        ("333627", 5),
        ("09ff302d", 1),  # -1 < 0: signed
        ("30302a", 1),
        ("30302e", 0),
        ("312f01003233", 3),  # skip
        ("3030280100 3533", 3),
        ("31280100353f", 15),
        ("96f033", 3),
        ("0a001006", 0x0706050403020100),
        ("0a00109402", 0x0100),
        ("980100", 5),
        ("9901000000", 5),
        ("9a01000000", 5),
        ("33980300", 3),
        ("a30150", 0x6050),
        ("f30150", 0x6050),
        ("fa07000000", 8),
        ("fd07000000", 7),
        ("a40104ffffffff a800", MINUS_1),  # int -> generic
        ("a40204ffffffff a800", 0xFFFFFFFF),
        ("a40104f6ffffff a40104fdffffff 1b a800", 3),
        ("a40104f6ffffff a40104fdffffff 1d a800", MINUS_1),
        ("a4040400002041 a800", 10),  # 10.0
        ("a4040400002041 a40404000020411e a800", 100),
        ("a4040400002041 a901 a800", 0x41200000),
        ("a50501a800", 0x1005),
        ("0a0010a60402a800", 0x03020100),
        ("0a0010f60402f700", 0x03020100),
        ("33a803 12 22 a800", 6),
    ],
)
def test_numbers(code: str, expected: int) -> None:
    assert evaluate_address(bytes.fromhex(code), World(), CODE) == expected


def test_an_initial_stack() -> None:
    assert evaluate_address(bytes.fromhex("2308"), World(), CODE, (0x100,)) == 0x108


def test_big_endian_and_narrow() -> None:
    narrow = Encoding(4, "big", 4, 2)
    assert evaluate_address(bytes.fromhex("0300000010"), World(), narrow) == 0x10010
    assert evaluate_address(bytes.fromhex("0a100006"), World(), narrow) == 0x00010203
    assert evaluate_address(bytes.fromhex("3020"), World(), narrow) == 0xFFFFFFFF
    assert evaluate_address(bytes.fromhex("9a00000001"), World(), narrow) == 5


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", [Piece(PlaceKind.NOWHERE)]),
        ("53", [Piece(PlaceKind.REGISTER, 3)]),
        ("9028", [Piece(PlaceKind.REGISTER, 0x28)]),
        ("9110", [Piece(PlaceKind.MEMORY, 0x2010)]),
        ("359f", [Piece(PlaceKind.VALUE, 5, size=8)]),
        ("9e03010203", [Piece(PlaceKind.BYTES, data=b"\1\2\3")]),
        ("a010000000 7c", [Piece(PlaceKind.POINTER, 0x10, offset=-4)]),
        ("f210000000 04", [Piece(PlaceKind.POINTER, 0x10, offset=4)]),
        ("a4040400002041 9f", [Piece(PlaceKind.BYTES, data=struct.pack("<f", 10))]),
        (
            "53 9304 9304 9110 9308",
            [
                Piece(PlaceKind.REGISTER, 3, bit_size=32),
                Piece(PlaceKind.NOWHERE, bit_size=32),
                Piece(PlaceKind.MEMORY, 0x2010, bit_size=64),
            ],
        ),
        (
            "53 9d0304 359f 9d0500",
            [
                Piece(PlaceKind.REGISTER, 3, bit_size=3, bit_offset=4),
                Piece(PlaceKind.VALUE, 5, size=8, bit_size=5),
            ],
        ),
    ],
)
def test_places(code: str, expected: list[Piece]) -> None:
    assert list(evaluate(bytes.fromhex(code), World(), CODE)) == expected


@pytest.mark.parametrize(
    "code",
    [
        "22",  # nothing to add
        "3022",
        "08",  # operands end
        "9eff",
        "2f",
        "2ffdff",  # for ever
        "2f1000",  # out of itself
        "30301b",
        "30301d",
        "3018",  # address spaces
        "01",
        "ff",
        "53 9304 53",  # behind the last piece
        "980200",  # calls itself for ever
        "a40104ffffffff 31 22",  # mixed types
        "a4040400002041 06",  # an address that is a float
        "a40304 00000000",
        "309400",
        "30 9441",
        "1505",
    ],
)
def test_nonsense(code: str) -> None:
    with pytest.raises(FormatError):
        evaluate(bytes.fromhex(code), World(), CODE)


def test_a_stack_that_grows_for_ever() -> None:
    with pytest.raises(FormatError, match="too much"):
        evaluate(bytes.fromhex("302ffcff"), World(), CODE)


def test_what_is_not_known_is_named() -> None:
    with pytest.raises(ValueUnknownError, match="register 41"):
        evaluate(bytes.fromhex("922900"), World(), CODE)
    with pytest.raises(ValueUnknownError, match="frame base"):
        evaluate(bytes.fromhex("9100"), Environment(), CODE)
    with pytest.raises(MemoryReadError):
        evaluate(bytes.fromhex("3006"), World(), CODE)


def test_rules_need_a_number() -> None:
    for code in ("53", "9e0101", "53930453 9304"):
        with pytest.raises(FormatError):
            evaluate_address(bytes.fromhex(code), World(), CODE)
