"""The members of classes and enumerations: field lists (LF_FIELDLIST) of the type stream.

Sources: LLVM "CodeView Type Records", microsoft-pdb ``cvinfo.h`` (MIT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.reading import cstring, numeric, text, u16, u32, unpack

if TYPE_CHECKING:
    from polydbg.formats.pdb.tpi import TypeStream

LF_FIELDLIST: Final = 0x1203
LF_METHODLIST: Final = 0x1206

_BCLASS, _VBCLASS, _IVBCLASS = 0x1400, 0x1401, 0x1402
_INDEX, _VFUNCTAB = 0x1404, 0x1409
_ENUMERATE, _MEMBER, _STMEMBER = 0x1502, 0x150D, 0x150E
_METHOD, _NESTTYPE, _ONEMETHOD, _NESTTYPEEX = 0x150F, 0x1510, 0x1511, 0x1512
_BINTERFACE = 0x151A
_ATTRIBUTE_TYPE = struct.Struct("<HI")
_ATTRIBUTE_TWO_TYPES = struct.Struct("<HII")
_METHOD_ENTRY = struct.Struct("<HHI")

MAX_FIELDS: Final = 1 << 17
_MAX_LISTS: Final = 1 << 12
_INTRODUCING = (4, 6)  # kinds of methods that have a slot of their own


class FieldKind(Enum):
    """What a field is."""

    MEMBER = "member"
    STATIC = "static member"
    BASE = "base"
    VIRTUAL_BASE = "virtual base"
    VTABLE = "vtable pointer"
    METHOD = "method"
    METHODS = "overloaded methods"
    NESTED = "nested type"
    ENUMERATOR = "enumerator"


class Field(msgspec.Struct, frozen=True):
    """One field. *type* is its type's index (of METHODS that of the list of methods).

    *value* is the offset of a member or base in bytes, the value of an enumerator, the offset in
    the vtable of a virtual method (-1: none). Of virtual bases *pointer_type* is the type of the
    pointer to the table of virtual bases, *value* its offset, *slot* the index in that table.
    *method* is 0 for plain methods, 1 virtual, 2 static, 3 friend, 4 introducing virtual, 5 pure
    virtual, 6 pure introducing.
    """

    kind: FieldKind
    name: str
    type: int
    value: int = 0
    pointer_type: int = 0
    slot: int = 0
    method: int = 0


def fields(stream: TypeStream, index: int) -> Iterator[Field]:
    """Yield the fields of the list *index*, with those of the lists that continue it.

    Records that are not known end a list: their length does not stand anywhere.

    :raises FormatError: a list is no list, goes in a circle or is damaged.
    """
    seen: set[int] = set()
    count = 0
    while index:
        if index in seen or len(seen) >= _MAX_LISTS:
            raise FormatError("the members of a type go on in a circle")
        seen.add(index)
        leaf, body = stream.record(index)
        if leaf != LF_FIELDLIST:
            raise FormatError(f"type {index:#x} is no list of members")
        position, following = 0, 0
        while position + 4 <= len(body):
            kind = u16(body, position)
            if kind == _INDEX:
                following = u32(body, position + 4)
                position += 8
            else:
                field, position = _field(body, position + 2, kind)
                if field is None:
                    break
                count += 1
                if count > MAX_FIELDS:
                    raise FormatError("a type of the PDB has too many members")
                yield field
            position = _after_padding(body, position)
        index = following


def _after_padding(body: bytes, position: int) -> int:
    """Return the position behind pad bytes: 0xF1 to 0xFF, whose low nibbles say how many."""
    if position < len(body) and body[position] > 0xF0:
        return position + (body[position] & 15)
    return position


def _field(body: bytes, position: int, kind: int) -> tuple[Field | None, int]:
    """Return the field behind the leaf at *position*, and where it ends."""
    if kind in (_MEMBER, _ENUMERATE):
        return _named_number(body, position, kind)
    if kind in (_BCLASS, _BINTERFACE):
        _, type_ = unpack(_ATTRIBUTE_TYPE, body, position)
        value, position = numeric(body, position + 6)
        return Field(FieldKind.BASE, "", type_, value), position
    if kind in (_VBCLASS, _IVBCLASS):
        _, type_, pointer = unpack(_ATTRIBUTE_TWO_TYPES, body, position)
        value, position = numeric(body, position + 10)
        slot, position = numeric(body, position)
        return Field(FieldKind.VIRTUAL_BASE, "", type_, value, pointer, slot), position
    if kind == _VFUNCTAB:
        _, type_ = unpack(_ATTRIBUTE_TYPE, body, position)
        return Field(FieldKind.VTABLE, "__VFN_table", type_), position + 6
    if kind == _ONEMETHOD:
        return _one_method(body, position)
    if kind in (_STMEMBER, _METHOD, _NESTTYPE, _NESTTYPEEX):
        kinds = {_STMEMBER: FieldKind.STATIC, _METHOD: FieldKind.METHODS}
        _, type_ = unpack(_ATTRIBUTE_TYPE, body, position)
        name = cstring(body, position + 6)
        found = Field(kinds.get(kind, FieldKind.NESTED), text(name), type_)
        return found, position + 7 + len(name)
    return None, len(body)


def _named_number(body: bytes, position: int, kind: int) -> tuple[Field, int]:
    type_ = 0
    if kind == _MEMBER:
        type_ = unpack(_ATTRIBUTE_TYPE, body, position)[1]
        position += 6
    else:
        position += 2
    value, position = numeric(body, position)
    name = cstring(body, position)
    found = FieldKind.MEMBER if kind == _MEMBER else FieldKind.ENUMERATOR
    return Field(found, text(name), type_, value), position + len(name) + 1


def _one_method(body: bytes, position: int) -> tuple[Field, int]:
    attribute, type_ = unpack(_ATTRIBUTE_TYPE, body, position)
    position += 6
    method, slot = attribute >> 2 & 7, -1
    if method in _INTRODUCING:
        slot = u32(body, position)
        position += 4
    name = cstring(body, position)
    found = Field(FieldKind.METHOD, text(name), type_, slot, method=method)
    return found, position + len(name) + 1


def methods(stream: TypeStream, name: str, index: int) -> Iterator[Field]:
    """Yield the overloaded methods called *name* of the list *index*.

    :raises FormatError: it is no list of methods, or damaged.
    """
    leaf, body = stream.record(index)
    if leaf != LF_METHODLIST:
        raise FormatError(f"type {index:#x} is no list of methods")
    position = 0
    while position + _METHOD_ENTRY.size <= len(body):
        attribute, _, type_ = unpack(_METHOD_ENTRY, body, position)
        position += _METHOD_ENTRY.size
        method, slot = attribute >> 2 & 7, -1
        if method in _INTRODUCING:
            slot = u32(body, position)
            position += 4
        yield Field(FieldKind.METHOD, name, type_, slot, method=method)
