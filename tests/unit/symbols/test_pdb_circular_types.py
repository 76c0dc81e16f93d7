"""Type records of PDBs that lead back to themselves, or are too many: an answer, and soon."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

import pytest
from pdb_builder import PdbParts, record, types

from polydbg.base.errors import FormatError
from polydbg.symbols.pdb import PdbSource
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    MemberKind,
    PointerType,
    Type,
    UnknownType,
)
from polydbg.types.naming import spelled, spelled_for_model, spelled_tightly

FIRST = 0x1000
INT = 0x74


def source_of(records: Sequence[bytes]) -> PdbSource:
    return PdbSource(PdbParts(tpi=types(list(records))).build(), "x.pdb")


def type_of(records: Sequence[bytes], index: int = FIRST) -> Type:
    found = source_of(records).type_of_index(index)
    assert found is not None
    return found


def field(leaf: int, body: bytes) -> bytes:
    each = struct.pack("<H", leaf) + body
    return each + bytes(0xF0 | left for left in range(-len(each) % 4, 0, -1))


def member(name: str, type_: int, offset: int) -> bytes:
    return field(0x150D, struct.pack("<HIH", 3, type_, offset) + name.encode() + b"\0")


def continued(index: int) -> bytes:
    return field(0x1404, struct.pack("<HI", 0, index))


def structure(name: str, fields: int, count: int = 1, size: int = 8) -> bytes:
    head = struct.pack("<HHIIIH", count, 0, fields, 0, 0, size)
    return record(0x1505, head + name.encode() + b"\0")


def modifier(target: int) -> bytes:
    return record(0x1001, struct.pack("<IH", target, 1))


def bit_field(target: int) -> bytes:
    return record(0x1205, struct.pack("<IBB", target, 3, 1))


def enumeration(underlying: int, fields: int) -> bytes:
    return record(0x1507, struct.pack("<HHII", 1, 0, underlying, fields) + b"E\0")


def pointer(target: int) -> bytes:
    return record(0x1002, struct.pack("<II", target, 0x1000C))


def array(element: int, size: int) -> bytes:
    return record(0x1503, struct.pack("<IIH", element, 0x23, size) + b"\0")


def use(type_: Type) -> None:
    """Ask what commands ask."""
    assert type_.size is None or type_.size >= 0
    for words in (spelled, spelled_for_model, spelled_tightly):
        words(type_)
    assert isinstance(type_.bare, Type)


@pytest.mark.parametrize(
    "records",
    [
        [modifier(FIRST)],
        [modifier(FIRST + 1), modifier(FIRST)],
        [pointer(FIRST)],
        [array(FIRST, 16)],
        [bit_field(FIRST)],
        [bit_field(FIRST + 1), bit_field(FIRST)],
        [enumeration(FIRST, 0)],
        [enumeration(FIRST + 1, 0), modifier(FIRST)],
        [modifier(FIRST + 1), bit_field(FIRST)],
    ],
    ids=[
        "qualified",
        "qualified-twice",
        "pointer",
        "array",
        "bit-field",
        "bit-field-twice",
        "enumeration",
        "enumeration-qualified",
        "mixed",
    ],
)
def test_types_that_lead_to_themselves(records: list[bytes]) -> None:
    for index in range(len(records)):
        use(type_of(records, FIRST + index))


def test_a_chain_of_qualifiers_ends() -> None:
    records = [modifier(FIRST + 1 + number) for number in range(5000)] + [modifier(INT)]
    assert isinstance(type_of(records).bare, UnknownType)
    assert type_of(records, FIRST + 4990).size == 4


def test_a_chain_of_bit_fields_ends() -> None:
    records = [bit_field(FIRST + 1 + number) for number in range(5000)] + [bit_field(INT)]
    use(type_of(records))


@pytest.mark.parametrize(
    "lists",
    [
        [record(0x1203, member("a", INT, 0) + continued(FIRST))],
        [record(0x1203, continued(FIRST + 1)), record(0x1203, continued(FIRST))],
        [modifier(INT)],
        [record(0x1203, member("a", INT, 0) + continued(0xFFFF))],
    ],
    ids=["itself", "each-other", "no-list", "not-there"],
)
def test_lists_of_members_that_go_wrong(lists: list[bytes]) -> None:
    found = type_of([*lists, structure("S", FIRST)], FIRST + len(lists))
    assert isinstance(found, CompoundType)
    assert (found.name, found.size) == ("S", 8)
    with pytest.raises(FormatError):
        _ = found.members


def test_a_class_in_itself() -> None:
    fields = record(0x1203, member("inner", FIRST + 1, 0) + member("next", FIRST + 2, 8))
    found = type_of([fields, structure("S", FIRST, 2), pointer(FIRST + 1)], FIRST + 1)
    assert isinstance(found, CompoundType)
    inner, following = found.members
    assert inner.type is found
    assert isinstance(following.type, PointerType)
    assert following.type.target is found


def test_a_class_derived_from_itself() -> None:
    base = field(0x1400, struct.pack("<HIH", 3, FIRST + 1, 0))
    found = type_of([record(0x1203, base), structure("S", FIRST)], FIRST + 1)
    assert isinstance(found, CompoundType)
    assert [each.kind for each in found.members] == [MemberKind.BASE]


def test_ten_thousand_members_of_continued_lists() -> None:
    lists = []
    for part in range(10):
        members = b"".join(member(f"m{n}", INT, n) for n in range(part * 1000, part * 1000 + 1000))
        following = continued(FIRST + part + 1) if part < 9 else b""
        lists.append(record(0x1203, members + following))
    started = time.process_time()
    found = type_of([*lists, structure("S", FIRST, 10000, 0x7000)], FIRST + 10)
    assert isinstance(found, CompoundType)
    assert [each.name for each in found.members[9998:]] == ["m9998", "m9999"]
    assert found.members[9999].offset == 9999
    assert time.process_time() - started < 5


def test_an_enumeration_of_no_integer() -> None:
    fields = record(0x1203, field(0x1502, struct.pack("<HH", 3, 7) + b"Seven\0"))
    found = type_of([fields, enumeration(FIRST, FIRST)], FIRST + 1)
    assert isinstance(found, EnumType)
    assert [(each.name, each.value) for each in found.enumerators] == [("Seven", 7)]
    use(found)


def test_an_array_of_what_has_no_size() -> None:
    found = type_of([array(0x03, 16)])
    assert isinstance(found, ArrayType)
    assert (found.count, found.size) == (None, 16)


@pytest.mark.parametrize("index", [0xFFF, 0x2000, 0xFFFFFFFF])
def test_types_that_are_not_there(index: int) -> None:
    found = source_of([modifier(INT)]).type_of_index(index)
    assert found is not None
    use(found)
