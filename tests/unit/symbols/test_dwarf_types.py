"""Types from DWARF's entries, in every version, byte order and size; hostile entries, too."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.memory.space import ByteOrder
from polydbg.symbols.dwarf import DwarfSource
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, uleb
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    BitField,
    CompoundType,
    Encoding,
    EnumType,
    FunctionType,
    MemberKind,
    MemberPointerType,
    PointerKind,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    UnknownType,
    VoidType,
)
from polydbg.types.place import ValueUnavailableError, in_memory, in_register
from polydbg.types.value import Surroundings, Value

Attribute = tuple[int, int, int | str | bytes]
SHAPES = [
    (version, big, address_size)
    for version in (2, 3, 4, 5)
    for big in (False, True)
    for address_size in (4, 8)
]
C99, CPP, RUST, FORTRAN90 = 0x0C, 0x04, 0x1C, 0x08
BASE = 0x400


def name(text: str, form: int = c.FORM_STRING) -> Attribute:
    return c.AT_NAME, form, text


def size(value: int) -> Attribute:
    return c.AT_BYTE_SIZE, c.FORM_DATA1 if value < 256 else c.FORM_UDATA, value


def of(label: str) -> Attribute:
    return c.AT_TYPE, c.FORM_REF4, label


def at(offset: int) -> Attribute:
    return c.AT_DATA_MEMBER_LOCATION, c.FORM_UDATA, offset


def flag(attribute: int) -> Attribute:
    return attribute, c.FORM_FLAG, 1


def member(text: str, type_: str, *more: Attribute, **keys: str) -> Entry:
    return Entry(c.TAG_MEMBER, name(text), of(type_), *more, **keys)


INT = Entry(c.TAG_BASE_TYPE, name("int"), size(4), (c.AT_ENCODING, c.FORM_DATA1, 5), label="int")
UINT = Entry(
    c.TAG_BASE_TYPE, name("unsigned"), size(4), (c.AT_ENCODING, c.FORM_DATA1, 7), label="unsigned"
)


def unit(made: DwarfBuilder, *children: Entry, language: int = CPP) -> None:
    root = (c.AT_LANGUAGE, c.FORM_DATA1, language)
    made.unit(Entry(c.TAG_COMPILE_UNIT, root, children=children))


def source(made: DwarfBuilder) -> DwarfSource:
    return DwarfSource(DwarfFile(made.debug_sections()), "x", base=BASE, lowest=0x800)


def types_of(*children: Entry, version: int = 5, language: int = CPP) -> DwarfSource:
    made = DwarfBuilder(version)
    unit(made, INT, UINT, *children, language=language)
    return source(made)


def compound(found: Type | None) -> CompoundType:
    assert found is not None
    bare = found.bare
    assert isinstance(bare, CompoundType)
    return bare


class Bytes:
    """Memory of a few bytes from *start* on."""

    def __init__(self, start: int, data: bytes) -> None:
        self._start = start
        self._data = data

    def read(self, address: int, size: int) -> bytes:
        found = self._data[address - self._start :][:size]
        assert len(found) == size
        return found


def value_of(type_: Type, data: bytes, order: ByteOrder = "little", pointer: int = 8) -> Value:
    model = DataModel(pointer_size=pointer, order=order)
    around = Surroundings(Bytes(0x1000, data), model, lambda origin: None)
    return Value(type_, in_memory(0x1000), around)


# -- basic types -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "bytes_", "encoding", "expected"),
    [
        ("char", 1, 6, Encoding.SIGNED_CHAR),
        ("char", 1, 8, Encoding.UNSIGNED_CHAR),
        ("bool", 1, 2, Encoding.BOOL),
        ("double", 8, 4, Encoding.FLOAT),
        ("complex double", 16, 3, Encoding.COMPLEX),
        ("_Decimal64", 8, 0x0F, Encoding.DECIMAL),
        ("char16_t", 2, 0x10, Encoding.UTF),
        ("wchar_t", 4, 5, Encoding.WIDE_CHAR),
        ("__int128", 16, 5, Encoding.SIGNED),
    ],
)
def test_scalars(text: str, bytes_: int, encoding: int, expected: Encoding) -> None:
    entry = Entry(
        c.TAG_BASE_TYPE, name(text), size(bytes_), (c.AT_ENCODING, c.FORM_DATA1, encoding)
    )
    found = types_of(entry).type_named(text)
    assert isinstance(found, ScalarType)
    assert (found.name, found.size, found.encoding) == (text, bytes_, expected)


@pytest.mark.parametrize(
    "attributes",
    [
        (size(0), (c.AT_ENCODING, c.FORM_DATA1, 5)),
        (size(65), (c.AT_ENCODING, c.FORM_DATA1, 5)),
        (size(4), (c.AT_ENCODING, c.FORM_DATA1, 0x0D)),
        (size(4), (c.AT_ENCODING, c.FORM_DATA1, 5), (c.AT_ENDIANITY, c.FORM_DATA1, 1)),
        ((c.AT_ENCODING, c.FORM_DATA1, 5),),
    ],
    ids=["no bytes", "too wide", "fixed point", "bytes the other way", "no size"],
)
def test_scalars_whose_values_would_be_wrong(attributes: Sequence[Attribute]) -> None:
    found = types_of(Entry(c.TAG_BASE_TYPE, name("odd"), *attributes)).type_named("odd")
    assert isinstance(found, UnknownType)
    assert found.reason


def test_what_has_no_name_of_its_own() -> None:
    made = types_of(
        Entry(c.TAG_VOLATILE_TYPE, of("const"), label="volatile"),
        Entry(c.TAG_CONST_TYPE, of("int"), label="const"),
        Entry(c.TAG_POINTER_TYPE, of("volatile"), label="pointer"),
        Entry(c.TAG_RVALUE_REFERENCE_TYPE, of("pointer"), label="reference"),
        Entry(c.TAG_POINTER_TYPE, size(8), label="any"),
        Entry(
            c.TAG_SUBROUTINE_TYPE,
            of("int"),
            children=[
                Entry(c.TAG_FORMAL_PARAMETER, of("any")),
                Entry(c.TAG_UNSPECIFIED_PARAMETERS),
            ],
            label="function",
        ),
        Entry(
            c.TAG_PTR_TO_MEMBER_TYPE,
            of("function"),
            (c.AT_CONTAINING_TYPE, c.FORM_REF4, "holder"),
            label="method",
        ),
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("Holder"),
            size(64),
            children=[
                member("reference", "reference", at(0)),
                member("any", "any", at(8)),
                member("method", "method", at(16)),
            ],
            label="holder",
        ),
        Entry(c.TAG_UNSPECIFIED_TYPE, name("decltype(nullptr)")),
    )
    holder = compound(made.type_named("Holder"))
    reference, nothing, method = (each.type for each in holder.members)
    assert isinstance(reference, PointerType)
    assert reference.kind is PointerKind.RVALUE_REFERENCE
    pointer = reference.target
    assert isinstance(pointer, PointerType)
    qualified = pointer.target
    assert isinstance(qualified, QualifiedType)
    assert qualified.qualifiers == ("const", "volatile")
    assert qualified.bare is made.type_named("int")
    assert isinstance(nothing, PointerType)
    assert isinstance(nothing.target, VoidType)
    assert isinstance(method, MemberPointerType)
    assert (method.owner, method.size) == (holder, 16)
    function = method.target
    assert isinstance(function, FunctionType)
    assert (function.is_variadic, list(function.parameters)) == (True, [nothing])
    null = made.type_named("decltype(nullptr)")
    assert isinstance(null, PointerType)
    assert (null.name, null.size) == ("decltype(nullptr)", 8)


# -- arrays ----------------------------------------------------------------------------------------


def dimension(*attributes: Attribute) -> Entry:
    return Entry(c.TAG_SUBRANGE_TYPE, *attributes)


def array_of(*dimensions: Entry, more: Sequence[Attribute] = (), language: int = CPP) -> Type:
    made = types_of(
        Entry(c.TAG_ARRAY_TYPE, of("int"), *more, children=dimensions, label="array"),
        Entry(c.TAG_TYPEDEF, name("Array"), of("array")),
        language=language,
    )
    found = made.type_named("Array")
    assert isinstance(found, TypedefType)
    return found.target


def shape(type_: Type) -> list[tuple[int | None, int]]:
    found = []
    while isinstance(type_, ArrayType):
        found.append((type_.count, type_.lower))
        type_ = type_.element
    return found


UPPER, COUNT, LOWER = c.AT_UPPER_BOUND, c.AT_COUNT, c.AT_LOWER_BOUND


@pytest.mark.parametrize(
    ("dimensions", "language", "expected", "bytes_"),
    [
        ([[(UPPER, c.FORM_DATA1, 1)], [(COUNT, c.FORM_DATA1, 3)]], CPP, [(2, 0), (3, 0)], 24),
        ([[]], CPP, [(None, 0)], None),
        ([[(UPPER, c.FORM_DATA8, -1)]], CPP, [(0, 0)], 0),
        ([[(UPPER, c.FORM_SDATA, -1)]], CPP, [(0, 0)], 0),
        ([[(UPPER, c.FORM_EXPRLOC, b"\x91\x00")]], CPP, [(None, 0)], None),
        ([[(UPPER, c.FORM_REF4, "int")]], CPP, [(None, 0)], None),
        (
            [[(UPPER, c.FORM_DATA1, 2)], [(LOWER, c.FORM_SDATA, -1), (UPPER, c.FORM_DATA1, 2)]],
            FORTRAN90,
            [(4, -1), (2, 1)],
            32,
        ),
    ],
    ids=["nested", "no bound", "none", "none signed", "computed", "variable", "fortran"],
)
def test_arrays(
    dimensions: list[list[Attribute]],
    language: int,
    expected: list[tuple[int | None, int]],
    bytes_: int | None,
) -> None:
    found = array_of(*(dimension(*each) for each in dimensions), language=language)
    assert (shape(found), found.size) == (expected, bytes_)


def test_vectors_are_marked() -> None:
    found = array_of(dimension((COUNT, c.FORM_DATA1, 4)), more=[flag(c.AT_GNU_VECTOR)])
    assert isinstance(found, ArrayType)
    assert (found.is_vector, found.size) == (True, 16)


@pytest.mark.parametrize(
    "more",
    [
        [(c.AT_BYTE_STRIDE, c.FORM_DATA1, 8)],
        [(c.AT_BIT_STRIDE, c.FORM_DATA1, 3)],
        [(c.AT_DATA_LOCATION, c.FORM_EXPRLOC, b"\x97\x06")],
    ],
    ids=["gaps", "bits", "descriptor"],
)
def test_arrays_that_lie_otherwise_are_not_guessed(more: list[Attribute]) -> None:
    found = array_of(dimension((COUNT, c.FORM_DATA1, 4)), more=more)
    assert isinstance(found, UnknownType)


def test_arrays_without_sense() -> None:
    huge = dimension((COUNT, c.FORM_DATA8, 1 << 62))
    assert isinstance(array_of(huge, huge), UnknownType)
    assert isinstance(array_of(*[dimension((COUNT, c.FORM_DATA1, 1))] * 33), UnknownType)


# -- enumerations ----------------------------------------------------------------------------------


def enumerator(text: str, form: int, value: int) -> Entry:
    return Entry(c.TAG_ENUMERATOR, name(text), (c.AT_CONST_VALUE, form, value))


def test_values_have_the_sign_of_the_underlying_type() -> None:
    values = [
        enumerator("a", c.FORM_DATA1, 200),
        enumerator("b", c.FORM_SDATA, -3),
        enumerator("c", c.FORM_DATA4, 0xFFFFFFFF),
    ]
    made = types_of(
        Entry(c.TAG_ENUMERATION_TYPE, name("S"), size(4), of("int"), children=values),
        Entry(
            c.TAG_ENUMERATION_TYPE,
            name("U"),
            of("unsigned"),
            flag(c.AT_ENUM_CLASS),
            children=[values[0], values[2]],
        ),
        Entry(c.TAG_ENUMERATION_TYPE, name("Old"), size(2), children=values[:2]),
    )
    found = made.type_named("S")
    assert isinstance(found, EnumType)
    assert [each.value for each in found.enumerators] == [200, -3, -1]
    found = made.type_named("U")
    assert isinstance(found, EnumType)
    assert (found.size, found.is_scoped) == (4, True)
    assert [each.value for each in found.enumerators] == [200, 0xFFFFFFFF]
    found = made.type_named("Old")
    assert isinstance(found, EnumType)
    assert (found.size, found.underlying.size) == (2, 2)
    assert [each.value for each in found.enumerators] == [200, -3]


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "big", "address_size"), SHAPES, ids=str)
def test_members(version: int, big: bool, address_size: int) -> None:
    made = DwarfBuilder(version, big=big, address_size=address_size)
    block = c.FORM_EXPRLOC if version >= 4 else c.FORM_BLOCK1
    plus = (c.AT_DATA_MEMBER_LOCATION, block, b"\x23" + uleb(4))
    # dup, deref, plus: the table begins with the distance to the base.
    virtual = (c.AT_DATA_MEMBER_LOCATION, block, b"\x12\x06\x22")
    base = Entry(
        c.TAG_STRUCTURE_TYPE,
        name("Base"),
        size(4),
        children=[member("x", "int", at(0))],
        label="Base",
    )
    whole = Entry(
        c.TAG_CLASS_TYPE,
        name("Whole"),
        size(32),
        children=[
            Entry(c.TAG_INHERITANCE, of("Base"), plus),
            Entry(
                c.TAG_INHERITANCE,
                of("Base"),
                (c.AT_VIRTUALITY, c.FORM_DATA1, 1),
                virtual,
            ),
            member("_vptr.Whole", "pointer", at(0), flag(c.AT_ARTIFICIAL)),
            member("y", "int", plus),
            Entry(
                c.TAG_MEMBER,
                name("count"),
                of("int"),
                flag(c.AT_EXTERNAL),
                flag(c.AT_DECLARATION),
                (c.AT_CONST_VALUE, c.FORM_SDATA, -7),
            ),
        ],
    )
    unit(made, INT, base, Entry(c.TAG_POINTER_TYPE, label="pointer"), whole)
    found = compound(source(made).type_named("Whole"))
    kinds = [each.kind for each in found.members]
    assert kinds == [
        MemberKind.BASE,
        MemberKind.VIRTUAL_BASE,
        MemberKind.VTABLE,
        MemberKind.FIELD,
        MemberKind.STATIC,
    ]
    assert [each.offset for each in found.members] == [4, 0, 0, 4, 0]
    assert found.members[4].constant == -7
    assert (found.keyword, found.size) == ("class", 32)
    order: ByteOrder = "big" if big else "little"
    data = (12).to_bytes(address_size, order) + bytes(4) + b"\1\2\3\4" * 5
    value = value_of(found, data, order, address_size)
    part = value.member(found.members[1])
    assert part.address == 0x100C
    moved = Value(found, in_register("rax", data), value.around)
    with pytest.raises(ValueUnavailableError):
        moved.member(found.members[1])


@pytest.mark.parametrize("big", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("old", [False, True], ids=["data_bit_offset", "bit_offset"])
def test_bit_fields(big: bool, old: bool) -> None:
    """Both ways give the same bits: first 3, then 7, in a unit of four bytes; the value of the
    second is 0x55."""

    def field(start: int, bits: int) -> Entry:
        if old:
            from_top = start if big else 32 - start - bits
            place = (size(4), (c.AT_BIT_OFFSET, c.FORM_DATA1, from_top), at(0))
            return member(f"f{start}", "unsigned", *place, (c.AT_BIT_SIZE, c.FORM_DATA1, bits))
        place = ((c.AT_DATA_BIT_OFFSET, c.FORM_DATA1, start),)
        return member(f"f{start}", "unsigned", *place, (c.AT_BIT_SIZE, c.FORM_DATA1, bits))

    made = DwarfBuilder(3 if old else 5, big=big)
    fields = [field(0, 3), field(3, 7)]
    unit(made, UINT, Entry(c.TAG_STRUCTURE_TYPE, name("Bits"), size(4), children=fields))
    found = compound(source(made).type_named("Bits"))
    position = 32 - 3 - 7 if big else 3
    assert found.members[1].bit_field == BitField(position, 7, 4)
    order: ByteOrder = "big" if big else "little"
    data = (0x55 << position | (1 << 31 if big else 1)).to_bytes(4, order)
    assert value_of(found, data, order).member(found.members[1]).bits() == 0x55


def test_bit_fields_of_packed_structures_read_nothing_beyond() -> None:
    bits = (c.AT_BIT_SIZE, c.FORM_DATA1, 11)
    made = types_of(
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("Packed"),
            size(3),
            children=[member("f", "int", (c.AT_DATA_BIT_OFFSET, c.FORM_DATA1, 10), bits)],
        )
    )
    (field,) = compound(made.type_named("Packed")).members
    assert (field.offset, field.bit_field) == (1, BitField(2, 11, 2))


@pytest.mark.parametrize(("bits", "start"), [(0, 0), (600, 0), (3, -1), (3, 1 << 60)], ids=str)
def test_bit_fields_without_sense(bits: int, start: int) -> None:
    made = types_of(
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("Odd"),
            size(4),
            children=[
                member(
                    "f",
                    "int",
                    (c.AT_DATA_BIT_OFFSET, c.FORM_SDATA, start),
                    (c.AT_BIT_SIZE, c.FORM_UDATA, bits),
                )
            ],
        )
    )
    found = compound(made.type_named("Odd"))
    with pytest.raises(FormatError):
        _ = found.members


def test_methods_and_arguments() -> None:
    this = Entry(c.TAG_FORMAL_PARAMETER, of("int"), flag(c.AT_ARTIFICIAL))
    made = types_of(
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("T<int, 3>"),
            size(8),
            children=[
                Entry(c.TAG_TEMPLATE_TYPE_PARAMETER, name("X"), of("int")),
                Entry(
                    c.TAG_TEMPLATE_VALUE_PARAMETER,
                    name("N"),
                    of("int"),
                    (c.AT_CONST_VALUE, c.FORM_DATA1, 3),
                ),
                Entry(
                    c.TAG_GNU_TEMPLATE_PARAMETER_PACK,
                    name("P"),
                    children=[Entry(c.TAG_TEMPLATE_TYPE_PARAMETER, of("unsigned"))],
                ),
                Entry(
                    c.TAG_SUBPROGRAM,
                    name("run"),
                    of("int"),
                    (c.AT_VIRTUALITY, c.FORM_DATA1, 1),
                    (c.AT_VTABLE_ELEM_LOCATION, c.FORM_EXPRLOC, b"\x10\x02"),
                    children=[this, Entry(c.TAG_FORMAL_PARAMETER, of("unsigned"))],
                ),
                Entry(c.TAG_SUBPROGRAM, name("make"), children=[]),
            ],
        )
    )
    found = compound(made.type_named("T<int,3>"))
    assert [(each.name, each.value) for each in found.parts.arguments] == [
        ("X", None),
        ("N", 3),
        ("", None),
    ]
    run, make = found.parts.methods
    assert (run.name, run.is_static, run.is_virtual, run.vtable_offset) == ("run", False, True, 16)
    assert [each.name for each in run.type.parameters] == ["unsigned"]
    assert run.type.owner is found
    assert (make.is_static, make.vtable_offset) == (True, None)


def test_variants() -> None:
    case = Entry(
        c.TAG_VARIANT,
        (c.AT_DISCR_VALUE, c.FORM_DATA1, 0xFF),
        children=[member("Low", "int", at(4))],
    )
    several = Entry(
        c.TAG_VARIANT,
        (c.AT_DISCR_LIST, c.FORM_BLOCK1, b"\x00\x05\x01\x07\x09"),
        children=[member("Some", "int", at(4))],
    )
    rest = Entry(c.TAG_VARIANT, children=[member("Rest", "int", at(4))])
    made = types_of(
        Entry(c.TAG_BASE_TYPE, name("i8"), size(1), (c.AT_ENCODING, c.FORM_DATA1, 5), label="i8"),
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("Choice"),
            size(8),
            children=[
                Entry(
                    c.TAG_VARIANT_PART,
                    (c.AT_DISCR, c.FORM_REF4, "tag"),
                    children=[
                        Entry(c.TAG_MEMBER, of("i8"), at(0), flag(c.AT_ARTIFICIAL), label="tag"),
                        case,
                        several,
                        rest,
                    ],
                )
            ],
        ),
        language=RUST,
    )
    part = compound(made.type_named("Choice")).parts.variant_part
    assert part is not None
    assert part.discriminant is not None
    assert [each.ranges for each in part.variants] == [((-1, -1),), ((5, 5), (7, 9)), ()]
    assert [each.members[0].name for each in part.variants] == ["Low", "Some", "Rest"]


# -- hostile entries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [c.TAG_TYPEDEF, c.TAG_CONST_TYPE, c.TAG_ARRAY_TYPE, c.TAG_VARIABLE, c.TAG_ENUMERATION_TYPE],
    ids=hex,
)
def test_circles(tag: int) -> None:
    made = types_of(
        Entry(tag, name("Loop"), of("back"), label="loop"),
        Entry(c.TAG_TYPEDEF, name("Back"), of("loop"), label="back"),
    )
    found = made.type_named("Back")
    assert found is not None
    assert found.size is None
    assert isinstance(found.bare, UnknownType)


def test_a_class_that_holds_itself() -> None:
    made = types_of(
        Entry(
            c.TAG_STRUCTURE_TYPE,
            name("Self"),
            size(8),
            children=[member("me", "self", at(0)), Entry(c.TAG_INHERITANCE, of("self"), at(0))],
            label="self",
        )
    )
    found = compound(made.type_named("Self"))
    assert [each.type for each in found.members] == [found, found]


def test_many_members() -> None:
    fields = [member(f"m{index}", "int", at(4 * index)) for index in range(10_000)]
    made = types_of(Entry(c.TAG_STRUCTURE_TYPE, name("Big"), size(40_000), children=fields))
    found = compound(made.type_named("Big"))
    assert len(found.members) == 10_000
    assert found.members[-1].offset == 39_996


def test_references_to_nowhere() -> None:
    made = types_of(
        Entry(c.TAG_TYPEDEF, name("Far"), (c.AT_TYPE, c.FORM_DATA4, 0x7FFFFFFF)),
        Entry(c.TAG_TYPEDEF, name("Sig"), (c.AT_TYPE, c.FORM_REF_SIG8, 0x1234)),
        Entry(c.TAG_STRUCTURE_TYPE, name("Odd"), (c.AT_BYTE_SIZE, c.FORM_STRING, "x")),
    )
    for text in ("Far", "Sig"):
        found = made.type_named(text)
        assert isinstance(found, TypedefType)
        assert isinstance(found.target, UnknownType)
    assert compound(made.type_named("Odd")).size is None


def test_damage_within_a_class_is_told() -> None:
    made = DwarfBuilder()
    fields = [member("a", "int", at(0)), member("b", "int", at(4))]
    unit(made, INT, Entry(c.TAG_STRUCTURE_TYPE, name("Cut"), size(8), children=fields))
    data = bytes(made.sections[".debug_info"])
    at_b = data.rindex(b"b\0")
    made.sections[".debug_info"][at_b - 1] = 0x7F  # a code that no abbreviation has
    found = compound(source(made).type_named("Cut"))
    with pytest.raises(FormatError):
        _ = found.members


def test_look_ups_can_be_stopped() -> None:
    made = types_of()
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        made.type_named("nothing", cancel)
    with pytest.raises(Cancelled):
        list(made.types_matching("*", cancel))
