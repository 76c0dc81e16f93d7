"""Type records of a PDB as the types of :mod:`polydbg.types.model`.

Each record becomes one type, when it is first asked for. A declaration takes size and members from
the definition, which is looked for when they are wanted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Final

from polydbg.base.errors import FormatError
from polydbg.formats.pdb import fields as field_lists
from polydbg.formats.pdb import tpi
from polydbg.formats.pdb.fields import Field, FieldKind
from polydbg.formats.pdb.reading import numeric, qualified, u16, u32, unpack
from polydbg.formats.pdb.tpi import Aggregate, Types
from polydbg.symbols.pdb_bases import virtual_base
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
    MemberPointerType,
    Method,
    NestedType,
    PointerKind,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    UnknownType,
    VoidType,
)

_KEPT_TYPES = 1 << 16
_MAX_PARAMETERS = 4096
_PROPERTIES_OF_METHOD = struct.Struct("<IIIBBHIi")
_PROPERTIES_OF_PROCEDURE = struct.Struct("<IBBHI")
_BITS = struct.Struct("<BB")
_VARIADIC = 0  # "no type" at the end of a list of arguments

_ENCODINGS: Final = {
    0x08: Encoding.UNSIGNED,
    0x10: Encoding.SIGNED_CHAR,
    0x68: Encoding.SIGNED_CHAR,
    0x70: Encoding.CHAR,
    0x20: Encoding.UNSIGNED_CHAR,
    0x69: Encoding.UNSIGNED_CHAR,
    0x71: Encoding.WIDE_CHAR,
    0x7A: Encoding.UTF,
    0x7B: Encoding.UTF,
    0x7C: Encoding.UTF,
    **dict.fromkeys((0x11, 0x12, 0x13, 0x14, 0x72, 0x74, 0x76, 0x78), Encoding.SIGNED),
    **dict.fromkeys((0x21, 0x22, 0x23, 0x24, 0x73, 0x75, 0x77, 0x79), Encoding.UNSIGNED),
    **dict.fromkeys((0x30, 0x31, 0x32, 0x33), Encoding.BOOL),
    **dict.fromkeys((0x40, 0x41, 0x42, 0x43, 0x46), Encoding.FLOAT),
}
_KEYWORDS: Final = {
    tpi.LF_CLASS: "class",
    tpi.LF_CLASS2: "class",
    tpi.LF_STRUCTURE: "struct",
    tpi.LF_STRUCTURE2: "struct",
    tpi.LF_UNION: "union",
    tpi.LF_UNION2: "union",
    tpi.LF_INTERFACE: "interface",
    tpi.LF_INTERFACE2: "interface",
}
_POINTER_KINDS: Final = {
    1: PointerKind.REFERENCE,
    4: PointerKind.RVALUE_REFERENCE,
}
_MEMBER_POINTERS: Final = (2, 3)
_QUALIFIERS: Final = ((1, "const"), (2, "volatile"), (4, "__unaligned"))
_CONVENTIONS: Final = {
    0x00: "__cdecl",
    0x01: "__cdecl",
    0x02: "__pascal",
    0x04: "__fastcall",
    0x07: "__stdcall",
    0x0B: "__thiscall",
    0x18: "__vectorcall",
}
_UNNAMED: Final = ("<unnamed-tag>", "<anonymous-tag>", "__unnamed", "<unnamed-type-")

StaticPlace = Callable[[str], tuple[int | None, int | None]]
"""From the qualified name of a static member to its RVA and to the value of one that is only a
constant, ``None`` where the file does not say."""


class PdbTypeBuilder:
    """The types of a PDB by index. *origin* is what they are said to come from, *place_of* finds
    static members."""

    def __init__(self, types: Types, origin: object, place_of: StaticPlace) -> None:
        self._types = types
        self._origin = origin
        self._place_of = place_of
        self._built: dict[int, Type] = {}

    def type_of(self, index: int) -> Type:
        """Return the type of that index; what is damaged is an :class:`UnknownType`."""
        known = self._built.get(index)
        if known is None:
            if len(self._built) >= _KEPT_TYPES:
                self._built.clear()
            try:
                known = self._build(index)
            except FormatError as error:
                known = UnknownType("", error.message)
            self._built[index] = known
        return known

    def _lazy(self, index: int) -> Callable[[], Type]:
        return partial(self.type_of, index)

    def _build(self, index: int) -> Type:
        if index < tpi.FIRST_INDEX:
            return _simple(index)
        leaf, body = self._types.tpi.record(index)
        if leaf == tpi.LF_MODIFIER:
            attributes = u16(body, 4)
            words = tuple(word for bit, word in _QUALIFIERS if attributes & bit)
            return QualifiedType(self._lazy(u32(body, 0)), words)
        if leaf == tpi.LF_POINTER:
            return self._pointer(body)
        if leaf == tpi.LF_ARRAY:
            return self._array(body)
        if leaf == tpi.LF_PROCEDURE:
            result, call, _, _, arguments = unpack(_PROPERTIES_OF_PROCEDURE, body, 0)
            return self._function(result, call, arguments, None)
        if leaf == tpi.LF_MFUNCTION:
            result, owner, _, call, _, _, arguments, _ = unpack(_PROPERTIES_OF_METHOD, body, 0)
            return self._function(result, call, arguments, owner)
        if leaf == tpi.LF_ENUM:
            return self._enumeration(tpi.aggregate(leaf, body))
        if leaf in _KEYWORDS:
            return self._class(leaf, tpi.aggregate(leaf, body))
        if leaf == tpi.LF_BITFIELD:
            return self._of_bit_field(u32(body, 0))
        return UnknownType("", f"type record {leaf:#x} of the PDB is not known")

    # -- kinds of types --------------------------------------------------------------------

    def _of_bit_field(self, index: int) -> Type:
        if index >= tpi.FIRST_INDEX and self._types.tpi.record(index)[0] == tpi.LF_BITFIELD:
            raise FormatError("a bit field of a bit field")
        return self.type_of(index)

    def _pointer(self, body: bytes) -> Type:
        target, attributes = u32(body, 0), u32(body, 4)
        mode, size = attributes >> 5 & 7, attributes >> 13 & 0x3F
        if mode in _MEMBER_POINTERS:
            return MemberPointerType(self._lazy(target), self._lazy(u32(body, 8)), size or None)
        kind = _POINTER_KINDS.get(mode, PointerKind.POINTER)
        return PointerType(self._lazy(target), size or _size_of_kind(attributes & 0x1F), kind)

    def _array(self, body: bytes) -> Type:
        element = u32(body, 0)
        size, _ = numeric(body, 8)
        unit = self._types.size(element)
        return ArrayType(self._lazy(element), size // unit if unit else None, size=size)

    def _function(self, result: int, call: int, arguments: int, owner: int | None) -> FunctionType:
        return FunctionType(
            self._lazy(result),
            partial(self._parameters, arguments),
            is_variadic=self._is_variadic(arguments),
            convention=_CONVENTIONS.get(call, ""),
            owner=self._lazy(owner) if owner else None,
        )

    def _arguments(self, index: int) -> tuple[int, ...]:
        if index < tpi.FIRST_INDEX:
            return ()
        leaf, body = self._types.tpi.record(index)
        if leaf != tpi.LF_ARGLIST:
            raise FormatError("a function of the PDB has no list of arguments")
        count = min(u32(body, 0), len(body) // 4 - 1, _MAX_PARAMETERS)
        return unpack(struct.Struct(f"<{count}I"), body, 4)

    def _is_variadic(self, index: int) -> bool:
        return self._arguments(index)[-1:] == (_VARIADIC,)

    def _parameters(self, index: int) -> Sequence[Type]:
        return [self.type_of(each) for each in self._arguments(index) if each != _VARIADIC]

    def _enumeration(self, found: Aggregate) -> EnumType:
        found = self._defined(found, is_enumeration=True)
        return EnumType(
            qualified(found.name),
            partial(self._underlying, found.underlying),
            partial(self._enumerators, found.fields, found.underlying),
            is_declaration=found.is_forward,
        )

    def _underlying(self, index: int) -> Type:
        found = self.type_of(index)
        if isinstance(found.bare, ScalarType):
            return found
        return UnknownType("", "the enumeration is not of integers")

    def _enumerators(self, fields: int, underlying: int) -> list[Enumerator]:
        scalar = self.type_of(underlying).bare
        is_signed = isinstance(scalar, ScalarType) and scalar.encoding in (
            Encoding.SIGNED,
            Encoding.SIGNED_CHAR,
            Encoding.CHAR,
        )
        bits = 8 * (scalar.size or 4)
        found = []
        for each in field_lists.fields(self._types.tpi, fields):
            if each.kind is FieldKind.ENUMERATOR:
                # Compilers may write the value without its sign.
                value = each.value & (1 << bits) - 1
                if is_signed and value >> (bits - 1):
                    value -= 1 << bits
                found.append(Enumerator(each.name, value))
        return found

    def _class(self, leaf: int, found: Aggregate) -> CompoundType:
        name, keyword = qualified(found.name), _KEYWORDS[leaf]
        if found.is_forward:
            return _DeclaredClass(name, keyword, partial(self._definition, found), found)
        return CompoundType(
            name,
            found.size,
            keyword,
            partial(self._parts, found),
            unique_name=found.unique_name,
            origin=self._origin,
        )

    def _defined(self, found: Aggregate, *, is_enumeration: bool) -> Aggregate:
        if not found.is_forward:
            return found
        index = self._types.definition_of(found, is_enumeration=is_enumeration)
        return tpi.aggregate(*self._types.tpi.record(index)) if index is not None else found

    def _definition(self, declared: Aggregate) -> CompoundType | None:
        """Return the class that *declared* declares, ``None`` where the file does not define it."""
        try:
            index = self._types.definition_of(declared)
        except FormatError:
            return None
        found = self.type_of(index) if index is not None else None
        return found if isinstance(found, CompoundType) else None

    # -- members ---------------------------------------------------------------------------

    def _parts(self, found: Aggregate) -> CompoundParts:
        members: list[Member] = []
        methods: list[Method] = []
        nested: list[NestedType] = []
        name = qualified(found.name)
        for field in field_lists.fields(self._types.tpi, found.fields):
            if field.kind in (FieldKind.METHOD, FieldKind.METHODS):
                methods += self._methods(field)
            elif field.kind is FieldKind.NESTED:
                nested_name = "" if field.name.startswith(_UNNAMED) else field.name
                nested.append(NestedType(nested_name, self._lazy(field.type)))
            elif (member := self._member(field, name)) is not None:
                members.append(member)
        return CompoundParts(
            tuple(members),
            tuple(methods),
            nested=tuple(nested),
            member_count=found.member_count,
        )

    def _member(self, field: Field, owner: str) -> Member | None:
        type_ = self.type_of(field.type)
        if field.kind is FieldKind.MEMBER:
            return self._data_member(field, type_)
        if field.kind is FieldKind.BASE:
            return Member(type_.name, type_, field.value, MemberKind.BASE)
        if field.kind is FieldKind.VIRTUAL_BASE:
            locate = virtual_base(field.value, field.slot)
            return Member(type_.name, type_, 0, MemberKind.VIRTUAL_BASE, locate=locate)
        if field.kind is FieldKind.VTABLE:
            if isinstance(type_, PointerType):
                type_ = PointerType(
                    partial(self._virtual_table, field.type, type_.size), type_.size
                )
            return Member(field.name, type_, 0, MemberKind.VTABLE, is_artificial=True)
        if field.kind is FieldKind.STATIC:
            address, value = self._place_of(f"{owner}::{field.name}")
            return Member(field.name, type_, 0, MemberKind.STATIC, address=address, constant=value)
        return None

    def _virtual_table(self, pointer: int, size: int) -> Type:
        """Return the type of the table that a *pointer* of *size* bytes leads to: pointers to
        functions, as many as its record (LF_VTSHAPE) counts."""
        try:
            _, body = self._types.tpi.record(pointer)
            leaf, shape = self._types.tpi.record(u32(body, 0))
            if leaf != tpi.LF_VTSHAPE:
                return self.type_of(u32(body, 0))
            count = u16(shape, 0)
        except FormatError as error:
            return UnknownType("", error.message)
        function = FunctionType(VoidType, tuple, is_prototyped=False)
        return ArrayType(lambda: PointerType(lambda: function, size), count)

    def _data_member(self, field: Field, type_: Type) -> Member:
        name = "" if field.name.startswith(_UNNAMED) else field.name
        if field.type < tpi.FIRST_INDEX:
            return Member(name, type_, field.value)
        leaf, body = self._types.tpi.record(field.type)
        if leaf != tpi.LF_BITFIELD:
            return Member(name, type_, field.value)
        size, position = unpack(_BITS, body, 4)
        unit = max(type_.size or 4, (position + size + 7) // 8)
        return Member(name, type_, field.value, bit_field=BitField(position, size, unit))

    def _methods(self, field: Field) -> Iterator[Method]:
        each: list[Field] = [field]
        if field.kind is FieldKind.METHODS:
            each = list(field_lists.methods(self._types.tpi, field.name, field.type))
        for method in each:
            type_ = self.type_of(method.type)
            if isinstance(type_, FunctionType):
                yield Method(
                    method.name,
                    type_,
                    is_static=method.method == 2,
                    is_virtual=method.method in (1, 4, 5, 6),
                    vtable_offset=method.value if method.value >= 0 else None,
                )


class _DeclaredClass(CompoundType):
    """A class that is declared where it was met; *define* finds its definition in the file."""

    def __init__(
        self,
        name: str,
        keyword: str,
        define: Callable[[], CompoundType | None],
        declared: Aggregate,
    ) -> None:
        super().__init__(name, None, keyword, CompoundParts, unique_name=declared.unique_name)
        self._define = define

    @cached_property
    def definition(self) -> CompoundType | None:
        found = self._define()
        if found is not None:
            self.origin = found.origin
        return found

    @property
    def is_declaration(self) -> bool:
        return self.definition is None

    @property
    def size(self) -> int | None:
        return self.definition.size if self.definition is not None else None

    @cached_property
    def parts(self) -> CompoundParts:
        return self.definition.parts if self.definition is not None else CompoundParts()


def _size_of_kind(kind: int) -> int:
    """Return the size of a pointer by its kind: 10 near 32, 12 near 64."""
    return {0x0A: 4, 0x0C: 8}.get(kind, 4)


def _simple(index: int) -> Type:
    """Return a type that has no record: its kind, and whether it is a pointer to that."""
    mode, kind = index >> 8 & 15, index & 0xFF
    if mode:
        target = partial(_simple, kind)
        return PointerType(target, tpi.SIMPLE_POINTER_SIZES.get(mode, 4))
    if kind == 0x03:
        return VoidType()
    name, size = tpi.SIMPLE.get(kind, ("", 0))
    encoding = _ENCODINGS.get(kind)
    if encoding is None:
        return UnknownType(name, "no type" if kind in (0, 7) else f"simple type {kind:#x}")
    return ScalarType(name, size, encoding)


def named_by_udt(name: str, target: Callable[[], Type]) -> Type:
    """Return a name for a type; a class's own name (S_UDT records have these, too) stands for
    itself."""
    found = target()
    return found if found.bare.name == name else TypedefType(name, target)
