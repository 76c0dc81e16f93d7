"""The rows of ``dt`` for types made by hand, with and without an object."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from polydbg.base.cancel import Cancelled, CancelToken
from polydbg.commands.dt_fields import Field, field_of
from polydbg.commands.dt_values import ValueWriter
from polydbg.commands.type_rows import MAX_ELEMENTS, RowOptions, TypeRows, compacted
from polydbg.engine.session import Session
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
    FunctionType,
    Member,
    MemberKind,
    Method,
    PointerType,
    ScalarType,
    Type,
    Variant,
    VariantPart,
    VoidType,
)
from polydbg.types.place import in_memory
from polydbg.types.presentation import Presentation
from polydbg.types.value import Surroundings, Value

INT = ScalarType("int", 4, Encoding.SIGNED)
UNSIGNED = ScalarType("unsigned int", 4, Encoding.UNSIGNED)
CHAR = ScalarType("char", 1, Encoding.CHAR)
DOUBLE = ScalarType("double", 8, Encoding.FLOAT)
BASE = 0x10000
PLAIN = RowOptions()


def pointer(target: Callable[[], Type]) -> PointerType:
    return PointerType(target, 8)


def structure(name: str, size: int, *members: Member, **more: object) -> CompoundType:
    parts = CompoundParts(members, **more)  # type: ignore[arg-type]
    return CompoundType(name, size, "struct", lambda: parts)


STATE = EnumType("state", lambda: INT, lambda: (Enumerator("NEW", 0), Enumerator("LOST", -1)))
POINT = structure("point", 8, Member("x", INT), Member("y", INT, 4))
FLAGS = structure(
    "flags",
    4,
    Member("gift", UNSIGNED, bit_field=BitField(0, 1, 4)),
    Member("zone", UNSIGNED, bit_field=BitField(4, 7, 4)),
)
ORDER: CompoundType = structure(
    "order",
    80,
    Member("id", INT),
    Member("state", STATE, 4),
    Member("flags", FLAGS, 8),
    Member("items", ArrayType(lambda: POINT, 2), 12),
    Member("code", ArrayType(lambda: CHAR, 4), 28),
    Member("next", pointer(lambda: ORDER), 32),
    Member("check", pointer(lambda: FunctionType(lambda: INT, lambda: (INT,))), 40),
    Member("name", pointer(lambda: CHAR), 48),
    Member("count", pointer(lambda: INT), 56),
    Member("weight", DOUBLE, 64),
    Member("any", pointer(VoidType), 72),
)
IMAGE = (
    struct.pack("<iiI", 7, -1, 0b1100101_0001)
    + struct.pack("<iiii", 11, -12, 3, 4)
    + b"AX\0\0"
    + struct.pack("<QQQQdQ", BASE, 0x500, BASE + 80, BASE, 2.5, 0)
    + b"Ada\0"
)


@pytest.fixture
def rows(session: Session) -> Callable[..., list[str]]:
    def made(
        type_: Type,
        options: RowOptions = PLAIN,
        image: bytes | None = None,
        cancel: CancelToken | None = None,
    ) -> list[str]:
        around = Surroundings(BufferSpace(image or b"", BASE), DataModel(), lambda origin: 0x4000)
        writer = ValueWriter(session.current, None, verbose=options.verbose, brief=options.embedded)
        maker = TypeRows(options, writer, cancel or CancelToken(), lambda each: each, around)
        value = Value(type_, in_memory(BASE), around) if image is not None else None
        found = maker.members(type_, value)
        lines = [row.text() for row in (compacted(found) if options.compact else found)]
        return [*lines, f"fault {writer.fault:#x}"] if writer.fault is not None else lines

    return made


def fields(*texts: str) -> tuple[Field, ...]:
    return tuple(found for text in texts if (found := field_of(text, is_prefix=False)))


def test_a_type(rows: Callable[..., list[str]]) -> None:
    assert rows(ORDER) == [
        "   +0x000 id               : Int4B",
        "   +0x004 state            : state",
        "   +0x008 flags            : flags",
        "   +0x00c items            : [2] point",
        "   +0x01c code             : [4] Char",
        "   +0x020 next             : Ptr64 order",
        "   +0x028 check            : Ptr64     int ",
        "   +0x030 name             : Ptr64 Char",
        "   +0x038 count            : Ptr64 Int4B",
        "   +0x040 weight           : Float",
        "   +0x048 any              : Ptr64 Void",
    ]


def test_an_object(rows: Callable[..., list[str]]) -> None:
    assert rows(ORDER, image=IMAGE) == [
        "   +0x000 id               : 0n7",
        "   +0x004 state            : ffffffff ( LOST )",
        "   +0x008 flags            : flags",
        "   +0x00c items            : [2] point",
        '   +0x01c code             : [4]  "AX"',
        "   +0x020 next             : 0x00000000`00010000 order",
        "   +0x028 check            : 0x00000000`00000500     int  ",
        '   +0x030 name             : 0x00000000`00010050  "Ada"',
        "   +0x038 count            : 0x00000000`00010000  -> 0n7",
        "   +0x040 weight           : 2.5 ",
        "   +0x048 any              : (null) ",
    ]


def test_levels_below(rows: Callable[..., list[str]]) -> None:
    found = rows(ORDER, RowOptions(depth=1))
    assert found[1:4] == [
        "   +0x004 state            : ",
        "      NEW = 0n0",
        "      LOST = 0xffffffff",
    ]
    assert "      +0x000 zone             : Pos 4, 7 Bits" in found
    assert "      +0x004 y                : Int4B" in found
    assert "      +0x028 check            : Ptr64        int " in found
    below = rows(ORDER, RowOptions(depth=1), image=IMAGE)
    assert "      +0x000 zone             : 0y1100101 (0x65)" in below
    assert "      +0x004 y                : 0n-12" in below


def test_what_points_to_itself_ends(rows: Callable[..., list[str]]) -> None:
    assert len(rows(ORDER, RowOptions(depth=9), image=IMAGE)) < 500


def test_embedded(rows: Callable[..., list[str]]) -> None:
    found = rows(ORDER, RowOptions(embedded=True), image=IMAGE)
    assert found[5:20] == [
        "   +0x00c items            : ",
        "    [00] point",
        "      +0x000 x                : 0n11",
        "      +0x004 y                : 0n-12",
        "    [01] ",
        "      +0x000 x                : 0n3",
        "      +0x004 y                : 0n4",
        '   +0x01c code             :  "AX"',
        "    [00] 65 'A'",
        "    [01] 88 'X'",
        "    [02] 0 ''",
        "    [03] 0 ''",
        "   +0x020 next             : 0x00000000`00010000 ",
        "   +0x028 check            : 0x00000000`00000500 ",
        '   +0x030 name             : 0x00000000`00010050  "Ada"',
    ]
    typed = rows(ORDER, RowOptions(embedded=True))
    assert "   +0x01c code             : Char" in typed
    assert "   +0x020 next             : Ptr64 " in typed


def test_fields(rows: Callable[..., list[str]]) -> None:
    assert rows(ORDER, RowOptions(fields=fields("id", "state"))) == [
        "   +0x000 id    : Int4B",
        "   +0x004 state : state",
    ]
    assert rows(ORDER, RowOptions(fields=fields("items[1].y")), image=IMAGE) == [
        "   +0x00c items      : [1] ",
        "      +0x004 y          : 0n4",
    ]
    assert rows(ORDER, RowOptions(fields=fields("items[1]")), image=IMAGE) == [
        "   +0x00c items    : [1] point"
    ]
    assert rows(ORDER, RowOptions(fields=fields("flags.")), image=IMAGE) == [
        "   +0x008 flags  : ",
        "      +0x000 gift   : 0y1",
        "      +0x000 zone   : 0y1100101 (0x65)",
    ]
    assert rows(ORDER, RowOptions(fields=fields("next->id")), image=IMAGE) == [
        "   +0x020 next     : 0x00000000`00010000 ",
        "      +0x000 id       : 0n7",
    ]
    assert rows(ORDER, RowOptions(fields=fields("nosuch"))) == []


def test_columns(rows: Callable[..., list[str]]) -> None:
    assert rows(POINT, RowOptions(offsets=False)) == [
        "   x                : Int4B",
        "   y                : Int4B",
    ]
    assert rows(POINT, RowOptions(indents=False))[0] == "+0x000 x                : Int4B"


def test_compact_rows(rows: Callable[..., list[str]]) -> None:
    found = rows(ORDER, RowOptions(compact=True, indents=False), image=IMAGE)
    assert found[0] == "+0x000 id 0n7  "
    assert found[1] == "+0x004 state ffffffff ( LOST )\n  "
    assert found[2] == "+0x008 flags flags   "
    assert found[4] == '+0x01c code [4]  "AX"\n  '
    assert found[-1] == "+0x048 any (null)   "


def test_missing_memory(rows: Callable[..., list[str]]) -> None:
    found = rows(ORDER, image=IMAGE[:12])
    assert found[0] == "   +0x000 id               : 0n7"
    assert found[4] == (
        '   +0x01c code             : [4]  "--- memory read error at address '
        '0x00000000`0001001c ---"'
    )
    assert found[5] == "   +0x020 next             : ???? "
    assert found[9] == "   +0x040 weight           : ??"
    assert found[-1] == "fault 0x10048"


def test_classes(rows: Callable[..., list[str]]) -> None:
    base = structure(
        "Base",
        16,
        Member("__vfptr", pointer(VoidType), kind=MemberKind.VTABLE),
        Member("s_made", INT, kind=MemberKind.STATIC, address=0x10),
        Member("kLimit", INT, kind=MemberKind.STATIC, constant=64),
        Member("value", INT, 8),
        methods=(
            Method("run", FunctionType(lambda: INT, lambda: (pointer(lambda: CHAR), INT))),
            Method("stop", FunctionType(VoidType, tuple)),
        ),
    )
    derived = structure(
        "Derived",
        40,
        Member("Base", base, 16, MemberKind.BASE),
        Member("Shared", POINT, 0, MemberKind.VIRTUAL_BASE, locate=lambda value: 32),
        Member("own", INT, 8),
    )
    image = bytes(24) + struct.pack("<i", 5) + bytes(4) + struct.pack("<ii", 8, 9)
    plain = rows(derived)
    assert plain == [
        "   +0x010 __VFN_table : Ptr64 ",
        "   =00000000`00004010 s_made           : Int4B",
        "   +0x018 value            : Int4B",
        "   +0x008 own              : Int4B",
    ]
    assert rows(derived, RowOptions(verbose=True))[:1] == [
        "   +0x010 __BaseClass struct Base, 6 elements, 0x10 bytes"
    ]
    assert rows(derived, RowOptions(verbose=True))[4:6] == [
        "   <function> run     int (\n\tchar*, \n\tint)",
        "   <function> stop     void ( void )",
    ]
    assert rows(derived, image=image)[2:6] == [
        "   +0x018 value            : 0n5",
        "   +0x020 x                : 0n8",
        "   +0x024 y                : 0n9",
        "   +0x008 own              : 0n0",
    ]


def test_anonymous_parts_are_flat(rows: Callable[..., list[str]]) -> None:
    inner = CompoundType(
        "", 8, "union", lambda: CompoundParts((Member("a", INT), Member("b", POINT)))
    )
    outer = structure("outer", 16, Member("", inner, 4), Member("c", INT, 12))
    assert rows(outer) == [
        "   +0x004 a                : Int4B",
        "   +0x004 b                : point",
        "   +0x00c c                : Int4B",
    ]


def test_variants(rows: Callable[..., list[str]]) -> None:
    part = VariantPart(
        Member("", UNSIGNED, 0),
        (
            Variant(((0, 0),), (Member("Calm", structure("Calm", 8)),)),
            Variant(((1, 3),), (Member("Rising", structure("Rising", 8, Member("0", INT, 4))),)),
        ),
    )
    tide = CompoundType("Tide", 8, "struct", lambda: CompoundParts(variant_part=part))
    assert [line[10:16] for line in rows(tide)] == ["Calm  ", "Rising"]
    assert rows(tide, RowOptions(depth=1), image=struct.pack("<II", 2, 9)) == [
        "   +0x000 Rising           : Rising",
        "      +0x004 0                : 0n9",
    ]
    assert rows(tide, image=struct.pack("<II", 7, 9)) == [
        "   +0x000 <variant>        : <value unavailable> (no form belongs to the discriminant 0x7)"
    ]
    holder = structure("holder", 8, Member("tide", tide))
    assert rows(holder, image=bytes(8)) == ["   +0x000 tide             : Tide::Calm"]


def test_known_structures(rows: Callable[..., list[str]]) -> None:
    entry = structure("_LIST_ENTRY", 16)
    guid = structure("_GUID", 16)
    both = structure("both", 32, Member("links", entry), Member("id", guid, 16))
    image = struct.pack("<QQ", 0x1000, 0x2000) + bytes(range(16))
    assert rows(both, image=image) == [
        "   +0x000 links            : _LIST_ENTRY [ 0x00000000`00001000 - 0x00000000`00002000 ]",
        "   +0x010 id               : _GUID {03020100-0504-0706-0809-0a0b0c0d0e0f}",
    ]


def test_counted_strings(rows: Callable[..., list[str]]) -> None:
    wide, narrow = structure("_UNICODE_STRING", 16), structure("_STRING", 16)
    members = (Member("path", wide), Member("name", narrow, 16), Member("no", wide, 32))
    both = structure("both", 48, *members)
    image = struct.pack("<HHIQHHIQHHIQ", 8, 10, 0, BASE + 48, 3, 4, 0, BASE + 56, 4, 4, 0, 0x10)
    image += "Köln".encode("utf-16-le") + b"Ada"
    assert [line[29:] for line in rows(both, image=image)] == [
        '_UNICODE_STRING "Köln"',
        '_STRING "Ada"',
        '_UNICODE_STRING "--- memory read error at address 0x00000000`00000010 ---"',
    ]


def test_arrays_without_end_are_cut(rows: Callable[..., list[str]]) -> None:
    huge = structure("huge", 8, Member("all", ArrayType(lambda: INT, 1 << 60), 0))
    found = rows(huge, RowOptions(embedded=True), image=bytes(8))
    assert len(found) == MAX_ELEMENTS + 3
    assert found[-2] == f"    [..] {(1 << 60) - MAX_ELEMENTS} more elements"


def test_classes_that_hold_themselves_end(rows: Callable[..., list[str]]) -> None:
    loop: CompoundType = CompoundType(
        "loop", 8, "struct", lambda: CompoundParts((Member("", loop), Member("again", loop)))
    )
    assert len(rows(loop)) < 100
    own: CompoundType = CompoundType(
        "own", 8, "struct", lambda: CompoundParts((Member("again", own),))
    )
    assert len(rows(own, RowOptions(embedded=True), image=bytes(8))) < 100


def test_rows_can_be_stopped(rows: Callable[..., list[str]]) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        rows(ORDER, cancel=token)


def test_views_stand_behind_the_type(session: Session) -> None:
    class Views:
        def present(self, value: Value) -> Presentation | None:
            return Presentation("(1, 2)") if value.type is POINT else None

    around = Surroundings(BufferSpace(bytes(8), BASE), DataModel(), lambda origin: None)
    writer = ValueWriter(session.current, Views(), verbose=False, brief=False)
    assert writer.words(Value(POINT, in_memory(BASE), around)) == "point (1, 2)"
