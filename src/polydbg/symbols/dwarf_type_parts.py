"""What classes hold, from DWARF's entries: members, bases, methods, arguments, variants.

Sources: DWARF 5 sections 2.23 (template parameters), 5.7 (classes) and 5.7.10 (variants), GNU's
tags for packs of template arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf import expression
from polydbg.formats.dwarf.reading import sleb128, uleb128
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_type_builder import (
    DwarfTypeBuilder,
    is_signed_scalar,
    text_of,
)
from polydbg.symbols.dwarf_type_numbers import (
    as_number,
    bit_field,
    constant,
    member_offset,
    signed_number,
    vtable_index,
)
from polydbg.symbols.dwarf_types import children
from polydbg.types.model import (
    CompoundParts,
    FunctionType,
    Member,
    MemberKind,
    Method,
    TemplateArgument,
    Type,
    UnknownType,
    Variant,
    VariantPart,
)
from polydbg.types.place import ValueUnavailableError
from polydbg.types.value import Value

_MAX_RANGES = 4096
_MAX_VARIANTS = 1 << 16
_RANGE = 1  # DW_DSC_range
_ARGUMENTS = frozenset(
    (
        c.TAG_TEMPLATE_TYPE_PARAMETER,
        c.TAG_TEMPLATE_VALUE_PARAMETER,
        c.TAG_GNU_TEMPLATE_TEMPLATE_PARAM,
    )
)


def compound_parts(builder: DwarfTypeBuilder, die: Die) -> CompoundParts:
    """Return what the class with the entry *die* holds.

    :raises FormatError: the entries are damaged.
    """
    members: list[Member] = []
    methods: list[Method] = []
    arguments: list[TemplateArgument] = []
    variants: VariantPart | None = None
    for child in children(die):
        if child.tag in (c.TAG_MEMBER, c.TAG_VARIABLE):
            if not _is_static(child):
                members.append(_field(builder, child, die))
            else:
                members.append(_static(builder, child, die))
        elif child.tag == c.TAG_INHERITANCE:
            members.append(_base(builder, child))
        elif child.tag == c.TAG_SUBPROGRAM:
            methods.append(_method(builder, child, die))
        elif child.tag == c.TAG_VARIANT_PART and variants is None:
            variants = _variant_part(builder, child, die)
        elif child.tag == c.TAG_GNU_TEMPLATE_PARAMETER_PACK:
            arguments += (
                _argument(builder, each) for each in children(child) if each.tag in _ARGUMENTS
            )
        elif child.tag in _ARGUMENTS:
            arguments.append(_argument(builder, child))
    return CompoundParts(tuple(members), tuple(methods), tuple(arguments), variants)


# -- members ---------------------------------------------------------------------------------------


def _is_static(die: Die) -> bool:
    if die.tag == c.TAG_VARIABLE:
        return True
    # Before DWARF 5 static members are members that are only declared here.
    return bool(die.number(c.AT_DECLARATION)) and bool(die.number(c.AT_EXTERNAL))


def _field(builder: DwarfTypeBuilder, die: Die, owner: Die) -> Member:
    name, type_ = text_of(die), builder.target_of(die)
    is_artificial = bool(die.number(c.AT_ARTIFICIAL))
    is_table = name.startswith(("_vptr.", "_vptr$"))
    kind = MemberKind.VTABLE if is_table else MemberKind.FIELD
    if die.number(c.AT_BIT_SIZE) is not None:
        offset, bits = bit_field(die, type_.size, owner.number(c.AT_BYTE_SIZE))
        return Member(name, type_, offset, kind, bits, is_artificial=is_artificial)
    start = signed_number(die, c.AT_DATA_BIT_OFFSET)
    if start is not None and start % 8:
        reason = "a member that begins within a byte"
        return Member(name, UnknownType(type_.name, reason), start // 8, kind)
    place = start // 8 if start is not None else member_offset(die)
    if isinstance(place, bytes):
        locate = _locator(builder, die, place)
        return Member(name, type_, 0, kind, locate=locate, is_artificial=is_artificial)
    return Member(name, type_, place, kind, is_artificial=is_artificial)


def _base(builder: DwarfTypeBuilder, die: Die) -> Member:
    type_ = builder.target_of(die)
    kind = MemberKind.VIRTUAL_BASE if die.number(c.AT_VIRTUALITY) else MemberKind.BASE
    place = member_offset(die)
    if isinstance(place, bytes):
        return Member(type_.name, type_, 0, kind, locate=_locator(builder, die, place))
    return Member(type_.name, type_, place, kind)


def _static(builder: DwarfTypeBuilder, die: Die, owner: Die) -> Member:
    name, type_ = text_of(die), builder.target_of(die)
    value = constant(die, c.AT_CONST_VALUE, type_.size, is_signed_scalar(type_.bare))
    address = None
    scope = builder.name_of(owner)
    if value is None and scope and name:
        address = builder.address_of(f"{scope}::{name}")
    return Member(name, type_, kind=MemberKind.STATIC, address=address, constant=value)


class _Object(expression.Environment):
    """What an expression may ask to find a part of the object *value*, which lies at *address*."""

    def __init__(self, builder: DwarfTypeBuilder, die: Die, value: Value, address: int) -> None:
        self._builder = builder
        self._unit = die.unit
        self._value = value
        self._address = address

    def read(self, address: int, size: int) -> bytes:
        return self._value.around.memory.read(address, size)

    def object_address(self) -> int:
        return self._address

    def loaded_address(self, address: int) -> int:
        base = self._value.around.base_of(self._builder.origin)
        if base is None:
            raise ValueUnavailableError("the module of the class is not loaded")
        return address - self._builder.base + base

    def indexed(self, index: int) -> int:
        found = self._unit.indexed_address(index)
        if found is None:
            raise ValueUnavailableError("the table of addresses is in a file that is not here")
        return found


def _locator(builder: DwarfTypeBuilder, die: Die, place: bytes) -> Callable[[Value], int]:
    """Return what finds the offset of a part whose address the expression *place* computes."""
    header = die.unit.header
    encoding = expression.Encoding(
        header.address_size, die.unit.section.order, header.offset_size, header.version
    )

    def locate(value: Value) -> int:
        address = value.address
        if address is None:
            raise ValueUnavailableError("a virtual base of an object that is not in memory")
        around = _Object(builder, die, value, address)
        pieces = expression.evaluate(place, around, encoding, (address,))
        kinds = (expression.PlaceKind.MEMORY, expression.PlaceKind.VALUE)
        if len(pieces) != 1 or pieces[0].kind not in kinds:
            raise FormatError("the place of a member is none", offset=die.offset)
        return as_number(pieces[0].value - address, header.address_size, True)

    return locate


# -- methods and arguments -------------------------------------------------------------------------


def _method(builder: DwarfTypeBuilder, die: Die, owner: Die) -> Method:
    type_: FunctionType = builder.function(die, partial(builder.type_of, owner))
    first = next((each for each in children(die) if each.tag == c.TAG_FORMAL_PARAMETER), None)
    has_this = first is not None and bool(first.number(c.AT_ARTIFICIAL))
    has_this = has_this or c.AT_OBJECT_POINTER in die.attributes
    index = vtable_index(die)
    return Method(
        text_of(die),
        type_,
        is_static=not has_this,
        is_virtual=bool(die.number(c.AT_VIRTUALITY)),
        vtable_offset=index * die.unit.header.address_size if index is not None else None,
    )


def _argument(builder: DwarfTypeBuilder, die: Die) -> TemplateArgument:
    name = text_of(die)
    if die.tag == c.TAG_GNU_TEMPLATE_TEMPLATE_PARAM:
        template = (die.string(c.AT_GNU_TEMPLATE_NAME) or b"").decode("utf-8", "replace")
        return TemplateArgument(name, UnknownType(template, "a template is no type"))
    type_ = builder.target_of(die)
    value = None
    if die.tag == c.TAG_TEMPLATE_VALUE_PARAMETER:
        value = constant(die, c.AT_CONST_VALUE, type_.size, is_signed_scalar(type_.bare))
    return TemplateArgument(name, type_, value)


# -- variants --------------------------------------------------------------------------------------


def _variant_part(builder: DwarfTypeBuilder, die: Die, owner: Die) -> VariantPart:
    place = die.reference(c.AT_DISCR)
    discriminant = _field(builder, place, owner) if place is not None else None
    kind: Type | None = discriminant.type.bare if discriminant is not None else None
    size = kind.size if kind is not None else None
    is_signed = kind is not None and is_signed_scalar(kind)
    variants: list[Variant] = []
    for child in children(die):
        if child.tag != c.TAG_VARIANT:
            continue
        if len(variants) >= _MAX_VARIANTS:
            raise FormatError("a type of too many variants", offset=die.offset)
        members = tuple(
            _field(builder, each, owner) for each in children(child) if each.tag == c.TAG_MEMBER
        )
        variants.append(Variant(tuple(_ranges(child, size, is_signed)), members))
    return VariantPart(discriminant, tuple(variants))


def _ranges(die: Die, size: int | None, is_signed: bool) -> Iterator[tuple[int, int]]:
    """Yield the values of the discriminant that a variant is in force for, both ends included."""
    value = constant(die, c.AT_DISCR_VALUE, size, is_signed)
    if value is not None:
        yield value, value
    data = die.block(c.AT_DISCR_LIST)
    position = 0
    read = sleb128 if is_signed else uleb128
    for _ in range(_MAX_RANGES):
        if data is None or position >= len(data):
            return
        kind = data[position]
        low, position = read(data, position + 1)
        high = low
        if kind == _RANGE:
            high, position = read(data, position)
        yield low, high
    raise FormatError("a variant of too many values", offset=die.offset)
