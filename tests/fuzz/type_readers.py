"""Fuzz target of DWARF's types: by name and by pattern, with all that they hold."""

from __future__ import annotations

from probing import attempt

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf import DwarfSource
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry
from polydbg.testing.elf_builder import ElfBuilder
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    FunctionType,
    Member,
    MemberPointerType,
    PointerType,
    QualifiedType,
    Type,
    TypedefType,
)
from polydbg.types.place import in_memory
from polydbg.types.value import Surroundings, Value

MAX_TYPES = 256
NAMES = ("Whole", "ns::Whole", "WHOLE", "Inner", "Whole::Inner", "int", "struct Base", "Alias")
Attribute = tuple[int, int, int | str | bytes]


class _Memory:
    def read(self, address: int, size: int) -> bytes:
        return bytes(range(1, size + 1)) if size < 200 else bytes(size)


def read_types(data: bytes) -> None:
    """Read the debug sections of an ELF file, and all types in them."""
    try:
        sections = ElfImage.from_buffer(data, "x").debug_sections()
        file = DwarfFile(sections, supplementary=DwarfFile(sections))
    except DebuggerError:
        return
    source = DwarfSource(file, "x", base=0x400)
    found: list[Type] = []
    attempt(lambda: found.extend(source.types_matching("*", CancelToken())))
    for name in NAMES:
        attempt(lambda name=name: _find(source, name, found))  # type: ignore[misc]
    seen: set[int] = set()
    for count, type_ in enumerate(found):
        if count >= MAX_TYPES:
            break
        if id(type_) not in seen:
            seen.add(id(type_))
            attempt(lambda type_=type_: found.extend(_parts(type_)))  # type: ignore[misc]


def _find(source: DwarfSource, name: str, found: list[Type]) -> None:
    type_ = source.type_named(name)
    if type_ is not None:
        found.append(type_)


def _parts(type_: Type) -> list[Type]:
    """Return the types that *type_* leads to; ask all that it answers."""
    attempt(lambda: type_.size, lambda: type_.bare, lambda: repr(type_))
    if isinstance(type_, (PointerType, QualifiedType, TypedefType, MemberPointerType)):
        return [type_.target]
    if isinstance(type_, ArrayType):
        return [type_.element]
    if isinstance(type_, EnumType):
        attempt(lambda: type_.enumerators)
        return [type_.underlying]
    if isinstance(type_, FunctionType):
        attempt(lambda: type_.owner)
        return [type_.result, *type_.parameters]
    if isinstance(type_, CompoundType):
        parts = type_.parts
        members = list(parts.members)
        if parts.variant_part is not None:
            members += [each for variant in parts.variant_part.variants for each in variant.members]
        for member in members:
            attempt(lambda member=member: _read(type_, member))  # type: ignore[misc]
        arguments = [each.type for each in parts.arguments]
        return [
            *(each.type for each in members),
            *(each.type for each in parts.methods),
            *arguments,
        ]
    return []


def _read(type_: Type, member: Member) -> None:
    around = Surroundings(_Memory(), DataModel(), lambda origin: 0x10000)
    value = Value(type_, in_memory(0x1000), around).member(member)
    if (value.type.size or 0) <= 64:
        value.bits()


def type_seeds() -> list[bytes]:
    return [_seed(2), _seed(3, big=True), _seed(4), _seed(5), _seed(5, big=True)]


def _name(text: str) -> Attribute:
    return c.AT_NAME, c.FORM_STRP if len(text) > 4 else c.FORM_STRING, text


def _small(attribute: int, value: int) -> Attribute:
    return attribute, c.FORM_DATA1, value


def _of(label: str, attribute: int = c.AT_TYPE) -> Attribute:
    return attribute, c.FORM_REF4, label


def _seed(version: int, *, big: bool = False) -> bytes:
    made = DwarfBuilder(version, big=big)
    block = c.FORM_EXPRLOC if version >= 4 else c.FORM_BLOCK1
    flag = c.AT_DECLARATION, c.FORM_FLAG, 1
    size, place = c.AT_BYTE_SIZE, c.AT_DATA_MEMBER_LOCATION

    def member(text: str, *more: Attribute) -> Entry:
        return Entry(c.TAG_MEMBER, _name(text), _of("int"), *more)

    integer = Entry(
        c.TAG_BASE_TYPE, _name("int"), _small(size, 4), _small(c.AT_ENCODING, 5), label="int"
    )
    base = Entry(
        c.TAG_STRUCTURE_TYPE,
        _name("Base"),
        _small(size, 4),
        children=[member("x", _small(place, 0))],
        label="base",
    )
    variant = Entry(
        c.TAG_VARIANT,
        (c.AT_DISCR_LIST, c.FORM_BLOCK1, b"\x00\x05\x01\x07\x09"),
        children=[member("case", _small(place, 4))],
    )
    method = Entry(
        c.TAG_SUBPROGRAM,
        _name("method"),
        _small(c.AT_VIRTUALITY, 1),
        (c.AT_VTABLE_ELEM_LOCATION, block, b"\x10\x02"),
        children=[
            Entry(c.TAG_FORMAL_PARAMETER, _of("pointer"), (c.AT_ARTIFICIAL, c.FORM_FLAG, 1)),
            Entry(c.TAG_FORMAL_PARAMETER, _of("array")),
            Entry(c.TAG_UNSPECIFIED_PARAMETERS),
        ],
    )
    whole = Entry(
        c.TAG_CLASS_TYPE,
        _name("Whole"),
        _small(size, 32),
        children=[
            Entry(c.TAG_INHERITANCE, _of("base"), (place, block, b"\x23\x04")),
            Entry(
                c.TAG_INHERITANCE,
                _of("base"),
                _small(c.AT_VIRTUALITY, 1),
                (place, block, b"\x12\x06\x22"),
            ),
            member("new", _small(c.AT_BIT_SIZE, 7), _small(c.AT_DATA_BIT_OFFSET, 37)),
            member("old", _small(c.AT_BIT_SIZE, 3), _small(c.AT_BIT_OFFSET, 9), _small(place, 8)),
            member("count", flag, (c.AT_EXTERNAL, c.FORM_FLAG, 1), _small(c.AT_CONST_VALUE, 9)),
            Entry(c.TAG_TEMPLATE_VALUE_PARAMETER, _of("int"), _small(c.AT_CONST_VALUE, 3)),
            Entry(c.TAG_STRUCTURE_TYPE, _name("Inner"), flag, label="inner"),
            Entry(
                c.TAG_VARIANT_PART,
                _of("tag", c.AT_DISCR),
                children=[
                    Entry(c.TAG_MEMBER, _of("int"), _small(place, 0), label="tag"),
                    variant,
                ],
            ),
            method,
        ],
        label="whole",
    )
    others = [
        Entry(
            c.TAG_STRUCTURE_TYPE,
            _of("inner", c.AT_SPECIFICATION),
            _small(size, 8),
            children=[Entry(c.TAG_TYPEDEF, _name("Alias"), _of("pointer"))],
        ),
        Entry(c.TAG_POINTER_TYPE, _of("const"), label="pointer"),
        Entry(c.TAG_CONST_TYPE, _of("whole"), label="const"),
        Entry(
            c.TAG_ARRAY_TYPE,
            _of("int"),
            children=[Entry(c.TAG_SUBRANGE_TYPE, _small(c.AT_UPPER_BOUND, n)) for n in (1, 2)],
            label="array",
        ),
        Entry(
            c.TAG_ENUMERATION_TYPE,
            _name("Choice"),
            _small(size, 4),
            _of("int"),
            children=[Entry(c.TAG_ENUMERATOR, _name("ONE"), _small(c.AT_CONST_VALUE, 1))],
        ),
    ]
    language = _small(c.AT_LANGUAGE, 4)
    space = Entry(c.TAG_NAMESPACE, _name("ns"), children=[whole])
    made.unit(Entry(c.TAG_COMPILE_UNIT, language, children=[integer, base, space, *others]))
    file = ElfBuilder(True, big, 62)
    for name, data in made.sections.items():
        file.section(name, bytes(data))
    return file.build()
