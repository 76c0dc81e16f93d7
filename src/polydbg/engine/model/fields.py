"""The fields of a class as ``dx`` lists them: those of bases first, all in one list."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.types.model import CompoundParts, CompoundType, Member, MemberKind
from polydbg.types.place import nowhere
from polydbg.types.value import Value
from polydbg.types.variants import variant_of

MAX_DEPTH = 32
"""How deep bases and anonymous parts are looked into."""

MAX_FIELDS = 20_000

MAX_CLASSES = 4096
"""How many bases and anonymous parts one class may have: damaged ones contain themselves."""


class Field(msgspec.Struct, frozen=True, eq=False):
    """A field: *offset* is that in the whole object, of a static member its address, ``None`` for
    a constant. *bits* are the highest and the lowest of a bit field in its unit. *owner* is the
    base that it comes from, ``""`` for own ones."""

    name: str
    value: Value
    offset: int | None
    bits: tuple[int, int] | None
    is_static: bool
    owner: str


class _Walk:
    """The virtual bases that were listed, and how many classes may still be looked into."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, str]] = set()
        self.left = MAX_CLASSES


def fields_of(value: Value) -> Iterator[Field]:
    """Yield the fields of an object of a class.

    :raises DebuggerError: the debug information of the class is damaged.
    """
    for count, field in enumerate(_fields(value, 0, "", 0, _Walk())):
        if count >= MAX_FIELDS:
            return
        yield field


def _fields(value: Value, offset: int, owner: str, depth: int, walk: _Walk) -> Iterator[Field]:
    compound = value.type.bare
    walk.left -= 1
    if not isinstance(compound, CompoundType) or depth > MAX_DEPTH or walk.left < 0:
        return
    members = _members(value, compound.parts)
    bases = (MemberKind.BASE, MemberKind.VIRTUAL_BASE)
    ordered = [each for each in members if each.kind in bases]
    ordered += [each for each in members if each.kind not in bases]
    for member in ordered:
        if member.kind is MemberKind.VTABLE:
            continue
        if member.kind in bases:
            yield from _of_base(value, member, offset, depth, walk)
        elif not member.name and member.kind is MemberKind.FIELD:
            inner = value.member(member)
            if isinstance(member.type.bare, CompoundType):
                yield from _fields(inner, offset + member.offset, owner, depth + 1, walk)
        else:
            yield _field(value, member, offset, owner)


def _of_base(value: Value, member: Member, offset: int, depth: int, walk: _Walk) -> Iterator[Field]:
    at = member.offset
    try:
        if member.locate is not None:
            at = member.locate(value)
        inner = value.member(member)
    except DebuggerError:
        return  # a virtual base that cannot be found has no fields to show
    if member.kind is MemberKind.VIRTUAL_BASE:
        key = (offset + at, member.type.bare.name)
        if key in walk.seen:
            return
        walk.seen.add(key)
    yield from _fields(inner, offset + at, member.type.bare.name, depth + 1, walk)


def _members(value: Value, parts: CompoundParts) -> list[Member]:
    """Return the members of a class, of a variant type with those of the form in force."""
    members = list(parts.members)
    if parts.variant_part is not None:
        try:
            variant = variant_of(value)
        except DebuggerError:
            variant = None
        if variant is not None:
            members += variant.members
    return members


def _field(value: Value, member: Member, offset: int, owner: str) -> Field:
    try:
        part = value.member(member)
    except DebuggerError as error:
        part = Value(member.type, nowhere(error.message), value.around)
    if member.constant is not None:
        return Field(member.name, part, None, None, True, owner)
    if member.kind is MemberKind.STATIC:
        return Field(member.name, part, part.address, None, True, owner)
    bits = None
    if member.bit_field is not None:
        low = member.bit_field.position
        bits = (low + member.bit_field.size - 1, low)
    return Field(member.name, part, offset + member.offset, bits, False, owner)
