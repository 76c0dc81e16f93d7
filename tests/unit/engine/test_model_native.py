"""Native objects of types made by hand: flat fields, the type at run time, damage."""

from __future__ import annotations

import struct

import pytest

from polydbg.base.errors import ExpressionError
from polydbg.engine.model.fields import MAX_CLASSES, Field, fields_of
from polydbg.engine.model.native_text import in_base, native_words
from polydbg.engine.model.run_time_type import _table_offset
from polydbg.expr.dx.specifiers import PLAIN, Specifiers, read_specifiers
from polydbg.memory.space import BufferSpace
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    BitField,
    CompoundParts,
    CompoundType,
    Encoding,
    Enumerator,
    EnumType,
    Member,
    MemberKind,
    PointerType,
    ScalarType,
    Type,
)
from polydbg.types.place import in_memory
from polydbg.types.value import Surroundings, Value

INT = ScalarType("int", 4, Encoding.SIGNED)
UNSIGNED = ScalarType("unsigned int", 4, Encoding.UNSIGNED)
CHAR = ScalarType("char", 1, Encoding.CHAR)
BASE = 0x1000


def value(type_: Type, data: bytes) -> Value:
    around = Surroundings(BufferSpace(data, BASE), DataModel(), lambda origin: None)
    return Value(type_, in_memory(BASE), around)


def compound(name: str, size: int, *members: Member) -> CompoundType:
    return CompoundType(name, size, "struct", lambda: CompoundParts(members))


def rows(of: Value) -> list[tuple[str, int | None, str | None]]:
    return [(each.name, each.offset, native_words(each.value, PLAIN)) for each in fields_of(of)]


def test_fields_of_bases_come_first_and_anonymous_parts_are_flat() -> None:
    base = compound("Base", 8, Member("a", INT), Member("b", INT, 4))
    inner = compound("", 4, Member("c", INT))
    derived = compound(
        "Derived",
        16,
        Member("", inner, 12),
        Member("Base", base, 4, MemberKind.BASE),
        Member("vtable", INT, 0, MemberKind.VTABLE),
        Member("k", INT, constant=64),
    )
    data = struct.pack("<4i", 0, 1, 2, 3)
    assert rows(value(derived, data)) == [
        ("a", 4, "1"),
        ("b", 8, "2"),
        ("c", 12, "3"),
        ("k", None, "64"),
    ]


def test_bit_fields_say_their_bits() -> None:
    flags = compound("flags", 4, Member("mode", UNSIGNED, bit_field=BitField(1, 3, 4)))
    found: list[Field] = list(fields_of(value(flags, b"\x0a\0\0\0")))
    assert found[0].bits == (3, 1)
    assert native_words(found[0].value, PLAIN) == "0x5"


def test_classes_that_contain_themselves_end() -> None:
    def members() -> CompoundParts:
        bases = [Member("self", loop, 0, MemberKind.BASE) for _ in range(3)]
        return CompoundParts((*bases, Member("", loop)))

    loop = CompoundType("loop", 4, "struct", members)
    assert list(fields_of(value(loop, bytes(4)))) == []
    assert _table_offset(loop) is None
    assert MAX_CLASSES < 1 << 16


@pytest.mark.parametrize(
    ("number", "width", "base", "expected"),
    [
        (5, 8, 16, "0x5"),
        (-1, 8, 16, "0xff"),
        (-1, 8, 10, "-1"),
        (10, 8, 2, "0y1010"),
        (8, 8, 8, "010"),
    ],
)
def test_bases(number: int, width: int, base: int, expected: str) -> None:
    assert in_base(number, width, base) == expected


@pytest.mark.parametrize(
    ("type_", "data", "expected"),
    [
        (INT, b"\xff\xff\xff\xff", "-1"),
        (UNSIGNED, b"\x2a\0\0\0", "0x2a"),
        (CHAR, b"A", "65 'A'"),
        (ArrayType(lambda: CHAR, 4), b"ab\0c", '"ab"'),
        (ArrayType(lambda: INT, 1), bytes(4), None),
        (PointerType(lambda: INT, 8), bytes(8), "0x0"),
        (PointerType(lambda: INT, 8), struct.pack("<q", BASE), "0x1000 : 4096"),
        (
            PointerType(lambda: INT, 8),
            struct.pack("<q", 16),
            "0x10 : Unable to read memory at Address 0x10",
        ),
        (EnumType("e", lambda: INT, lambda: [Enumerator("low", -1)]), b"\xff" * 4, "low (-1)"),
        (EnumType("e", lambda: UNSIGNED, lambda: [Enumerator("hi", 3)]), b"\3\0\0\0", "hi (0x3)"),
        (EnumType("e", lambda: INT, list), b"\7\0\0\0", "7"),
    ],
)  # fmt: skip
def test_values_in_words(type_: Type, data: bytes, expected: str | None) -> None:
    assert native_words(value(type_, data), PLAIN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", PLAIN),
        (",x", Specifiers(base=16)),
        (",12x", Specifiers(base=16, count=12)),
        (", 5", Specifiers(count=5)),
        (",[a,b]", Specifiers(count_expression="a,b")),
        (",[4]s8", Specifiers(count=4, string=(1, True), is_utf8=True)),
        (",[n[1]]x", Specifiers(count_expression="n[1]", base=16)),
        (",!", Specifiers(is_raw=True)),
        (",!,d", Specifiers(is_raw=True, base=10)),
        (",sub", Specifiers(string=(2, False))),
        (",s8", Specifiers(string=(1, True), is_utf8=True)),
        (",nd,en", Specifiers(is_static=True, names_only=True)),
    ],
)
def test_specifiers(text: str, expected: Specifiers) -> None:
    assert read_specifiers(text) == expected


@pytest.mark.parametrize("text", [",", ",zz", "x", ",-1", ",1" * 20])
def test_what_is_no_specifier(text: str) -> None:
    with pytest.raises(ExpressionError):
        read_specifiers(text)
