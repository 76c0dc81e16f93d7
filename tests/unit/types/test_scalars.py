"""Scalars from bytes and their texts."""

from __future__ import annotations

import math
import struct

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.memory.space import BufferSpace
from polydbg.types.data_model import DataModel, LongDouble
from polydbg.types.model import Encoding, EnumType, PointerType, ScalarType, Type, VoidType
from polydbg.types.place import ValueUnavailableError, constant
from polydbg.types.scalars import dt_words, dx_words, float_of, number_of, scalar_words
from polydbg.types.strings import characters_at, characters_in
from polydbg.types.value import Surroundings, Value

LINUX = DataModel()
WINDOWS = DataModel(long_size=4, wchar_size=2, wchar_is_signed=False, is_microsoft=True)
BIG = DataModel(order="big", char_is_signed=False, long_double=LongDouble.DOUBLE_DOUBLE)
CHAR = ScalarType("char", 1, Encoding.CHAR)
WIDE = ScalarType("wchar_t", 2, Encoding.WIDE_CHAR)


def value(
    type_: Type, data: bytes, model: DataModel = LINUX, bits: tuple[int, int] | None = None
) -> Value:
    around = Surroundings(BufferSpace(b""), model, lambda origin: None)
    return Value(type_, constant(data), around, bits)


def scalar(encoding: Encoding, data: bytes, model: DataModel = LINUX, name: str = "x") -> Value:
    return value(ScalarType(name, len(data), encoding), data, model)


@pytest.mark.parametrize(
    ("encoding", "data", "model", "texts"),
    [
        (Encoding.SIGNED, b"\xf9\xff\xff\xff", LINUX, ("0n-7", "0n-7", "-7")),
        (Encoding.SIGNED, bytes(4), LINUX, ("0n0", "0n0", "0")),
        (Encoding.UNSIGNED, bytes(4), LINUX, ("0", "0", "0x0")),
        (Encoding.UNSIGNED, b"\4\0\0\0", LINUX, ("4", "0x4", "0x4")),
        (Encoding.UNSIGNED, b"\0\0\0\x2a", BIG, ("0x2a", "0x2a", "0x2a")),
        (
            Encoding.UNSIGNED,
            bytes.fromhex("0807060504030201"),
            LINUX,
            ("0x01020304`05060708", "0x01020304`05060708", "0x102030405060708"),
        ),
        (Encoding.CHAR, b"A", LINUX, ("0n65 'A'", "65 'A'", "65 'A'")),
        (Encoding.CHAR, b"\0", LINUX, ("0n0 ''", "0 ''", "0")),
        (Encoding.CHAR, b"\xfe", LINUX, ("0n-2 ''", "-2 ''", "-2 ''")),
        (Encoding.CHAR, b"\xfe", BIG, ("0n254 ''", "254 ''", "254 ''")),
        (Encoding.UNSIGNED_CHAR, b"\7", LINUX, ("0x07 ''", "0x7 ''", "0x7 ''")),
        (Encoding.UNSIGNED_CHAR, b"@", LINUX, ("0x40 '@'", "0x40 '@'", "0x40 '@'")),
        (Encoding.WIDE_CHAR, b"\xb1\3", WINDOWS, ("0x3b1 '?'", "0x3b1 '?'", "945 '?'")),
        (Encoding.WIDE_CHAR, b"\xb1\3\0\0", LINUX, ("0x3b1 'α'", "0x3b1 'α'", "945 'α'")),
        (Encoding.UTF, b"\x80\xf6\1\0", LINUX, ("0x1f680 '🚀'", "0x1f680 '🚀'", "128640 '🚀'")),
        (Encoding.BOOL, b"\1", LINUX, ("true", "1", "true")),
        (Encoding.BOOL, b"\0", LINUX, ("false", "0", "false")),
        (Encoding.FLOAT, struct.pack("<f", 1.5), LINUX, ("1.5", "1.5 ", "1.500000")),
        (
            Encoding.FLOAT,
            struct.pack("<d", 1 / 3),
            LINUX,
            ("0.33333333333333331483", "0.33333333333333331483 ", "0.333333"),
        ),
        (
            Encoding.COMPLEX,
            struct.pack("<dd", 1, -2),
            LINUX,
            ("1-2i", "1-2i ", "1.000000-2.000000i"),
        ),
    ],
    ids=lambda each: each.hex() if isinstance(each, bytes) else getattr(each, "name", ""),
)
def test_one_scalar_has_three_texts(
    encoding: Encoding, data: bytes, model: DataModel, texts: tuple[str, str, str]
) -> None:
    found = scalar(encoding, data, model)
    assert (scalar_words(found), dt_words(found), dx_words(found)) == texts


PI_X87 = bytes.fromhex("35c26821a2da0fc90040")


@pytest.mark.parametrize(
    ("data", "model", "text"),
    [
        (PI_X87, LINUX, "3.1415926535897932385"),
        (PI_X87 + b"\xaa\xaa", LINUX, "3.1415926535897932385"),
        (PI_X87 + bytes(6), LINUX, "3.1415926535897932385"),
        (
            int("4000921fb54442d18469898cc51701b8", 16).to_bytes(16, "little"),
            DataModel(long_double=LongDouble.QUAD),
            "3.1415926535897932385",
        ),
        (struct.pack(">dd", 1.0, 2.0**-60), BIG, "1.0000000000000000009"),
        (struct.pack(">dd", 1.0, -(2.0**-60)), BIG, "0.99999999999999999913"),
        (bytes.fromhex("ffffffffffffffffff7f"), LINUX, "nan"),
        (bytes.fromhex("0000000000000080ffff"), LINUX, "-inf"),
        (bytes.fromhex("00000000000000000080"), LINUX, "-0"),
        (bytes.fromhex("fffffffffffffffffe7f"), LINUX, "1.189731495357231765e+4932"),
        (bytes.fromhex("01000000000000000000"), LINUX, "3.6451995318824746025e-4951"),
        (b"\0\x3e", LINUX, "1.5"),
        # As C prints them with %.20Lg.
        (bytes.fromhex("0000000000000080ee3f"), LINUX, "7.62939453125e-06"),
        (bytes.fromhex("0000000000000080f23f"), LINUX, "0.0001220703125"),
        (bytes.fromhex("00000000000000804140"), LINUX, "73786976294838206464"),
        (bytes.fromhex("00000000000000804340"), LINUX, "2.9514790517935282586e+20"),
    ],
    ids=lambda each: each.hex() if isinstance(each, bytes) else "",
)
def test_floats_of_all_formats(data: bytes, model: DataModel, text: str) -> None:
    assert scalar_words(scalar(Encoding.FLOAT, data, model)) == text


def test_quadruple_precision_by_name_on_x86() -> None:
    data = int("3fff8000000000000000000000000000", 16).to_bytes(16, "little")
    assert scalar_words(scalar(Encoding.FLOAT, data, LINUX, "__float128")) == "1.5"


def test_long_floats_are_rounded_for_arithmetic() -> None:
    assert float_of(PI_X87, "long double", LINUX) == math.pi
    assert float_of(bytes.fromhex("fffffffffffffffffe7f"), "long double", LINUX) == math.inf


def test_formats_that_are_not_known_have_no_value() -> None:
    with pytest.raises(ValueUnavailableError):
        number_of(scalar(Encoding.DECIMAL, bytes(8)))
    with pytest.raises(ValueUnavailableError):
        number_of(scalar(Encoding.FLOAT, bytes(5)))
    with pytest.raises(ValueUnavailableError):
        number_of(value(VoidType(), b""))


def test_numbers_of_pointers_enumerations_and_bit_fields() -> None:
    signed = ScalarType("int", 4, Encoding.SIGNED)
    assert number_of(value(PointerType(VoidType, 8), b"\xff" * 8)) == (1 << 64) - 1
    assert number_of(value(EnumType("E", lambda: signed, tuple), b"\xff" * 4)) == -1
    field = value(signed, bytes.fromhex("00e80000"), bits=(11, 5))
    assert number_of(field) == -3
    assert dt_words(field) == "0y11101 (0x1d)"
    assert dt_words(value(signed, b"\5\0\0\0", bits=(0, 3))) == "0y101"
    assert dt_words(value(signed, bytes(4), bits=(0, 7))) == "0y0000000 (0)"


def test_strings() -> None:
    memory = BufferSpace(b"Ada\0" + b"x" * 700 + "Köln\0".encode("utf-16-le"), 0x1000)
    assert characters_at(memory, 0x1000, CHAR, LINUX) == "Ada"
    assert characters_at(memory, 0x1000, CHAR, LINUX, 2) == "Ad"
    assert characters_at(memory, 0x1004, CHAR, LINUX) == "x" * 512 + "..."
    assert characters_at(memory, 0x1004 + 700, WIDE, WINDOWS) == "Köln"
    assert characters_at(memory, 0x1004 + 690, CHAR, LINUX) == "x" * 10 + "K"


def test_a_string_ends_where_memory_does() -> None:
    memory = BufferSpace(b"abc", 0x10FE)
    assert characters_at(memory, 0x10FE, CHAR, LINUX) == "abc"
    with pytest.raises(MemoryReadError):
        characters_at(memory, 0x1101, CHAR, LINUX)
    with pytest.raises(MemoryReadError):
        characters_at(memory, 0x1100, WIDE, WINDOWS)


def test_bytes_without_text_end_after_three() -> None:
    assert characters_in(bytes(range(8, 0, -1)), CHAR, LINUX) == "???"
    assert characters_in("Köln".encode(), CHAR, LINUX) == "Köln"
    assert characters_in(b"K\xf6ln", CHAR, WINDOWS) == "Köln"
