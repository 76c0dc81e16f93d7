"""Members of classes by name: those of bases and of anonymous parts are reached like own ones.

C++ looks in the class itself first, with the anonymous structures and unions in it, then in its
bases, level by level; a name that two bases of a level have is ambiguous unless a virtual base is
meant both times.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import ExpressionError
from polydbg.types.model import CompoundType, Member, MemberKind, Type
from polydbg.types.value import Value

MAX_DEPTH = 64
"""How deep bases may lie in each other before debug information is damaged."""

_MAX_CLASSES = 4096
_BASES = (MemberKind.BASE, MemberKind.VIRTUAL_BASE)


class AmbiguousMemberError(ExpressionError):
    """Two bases have a member of that name."""

    identifier = "expression.ambiguous-member"


def path_to(type_: Type, name: str) -> tuple[Member, ...] | None:
    """Return the members to go through from an object of *type_* to its member *name*, that one
    last; ``None`` where it has none.

    :raises AmbiguousMemberError: more than one is meant.
    """
    level: list[tuple[tuple[Member, ...], CompoundType]] = []
    start = type_.bare
    if isinstance(start, CompoundType):
        level = [((), start)]
    seen = 0
    for _ in range(MAX_DEPTH):
        found: list[tuple[Member, ...]] = []
        following: list[tuple[tuple[Member, ...], CompoundType]] = []
        for path, compound in level:
            own = _own(compound, name, 0)
            if own is not None:
                found.append(path + own)
                continue
            for base in compound.bases:
                target = base.type.bare
                if isinstance(target, CompoundType):
                    following.append(((*path, base), target))
        if found:
            return _only(found, name)
        seen += len(following)
        if not following or seen > _MAX_CLASSES:
            return None
        level = following
    return None


def _only(found: list[tuple[Member, ...]], name: str) -> tuple[Member, ...]:
    first = found[0]
    for other in found[1:]:
        if _is_shared(first) and _is_shared(other) and _is_same(first[-1], other[-1]):
            continue  # one virtual base, reached twice
        if other[-1].kind is MemberKind.STATIC and other[-1] is first[-1]:
            continue
        raise AmbiguousMemberError(
            f"Ambiguous symbol error at '{name}'",
            hint=f"name the base: Base::{name}",
        )
    return first


def _is_same(one: Member, other: Member) -> bool:
    """Say whether both are one member, or one virtual base that two classes name."""
    is_base = one.kind is other.kind is MemberKind.VIRTUAL_BASE
    return one is other or (is_base and one.type.bare.name == other.type.bare.name)


def _is_shared(path: tuple[Member, ...]) -> bool:
    return any(step.kind is MemberKind.VIRTUAL_BASE for step in path)


def _own(compound: CompoundType, name: str, depth: int) -> tuple[Member, ...] | None:
    """Return the way to a member of the class itself, through anonymous parts."""
    for member in compound.members:
        if member.name == name and member.kind not in _BASES:
            return (member,)
    if depth >= MAX_DEPTH:
        return None
    for member in compound.members:
        if member.name or member.kind is not MemberKind.FIELD:
            continue
        inner = member.type.bare
        if isinstance(inner, CompoundType):
            found = _own(inner, name, depth + 1)
            if found is not None:
                return (member, *found)
    return None


def member_names(type_: Type) -> Iterator[str]:
    """Yield the names by which members of *type_* are reached: its own, those of anonymous parts
    and of bases, perhaps some more than once."""
    waiting, seen = [type_.bare], 0
    while waiting and seen < _MAX_CLASSES:
        compound, seen = waiting.pop(), seen + 1
        if not isinstance(compound, CompoundType):
            continue
        for member in compound.members:
            if member.kind in _BASES or not member.name:
                waiting.append(member.type.bare)
            elif member.kind is not MemberKind.VTABLE:
                yield member.name


def base_path(type_: Type, base: Type | str) -> tuple[Member, ...] | None:
    """Return the bases to go through from *type_* to *base*, a class or its name, perhaps
    without the scopes around it; ``None`` where it is none, ``()`` where it is the class itself.

    :raises AmbiguousMemberError: the class has it twice.
    """
    wanted = base if isinstance(base, str) else base.bare.name
    is_written = isinstance(base, str)
    start = type_.bare
    if not isinstance(start, CompoundType):
        return None
    found: list[tuple[Member, ...]] = []
    level: list[tuple[tuple[Member, ...], CompoundType]] = [((), start)]
    seen = 0
    for _ in range(MAX_DEPTH):
        following: list[tuple[tuple[Member, ...], CompoundType]] = []
        for path, compound in level:
            if compound.name == wanted or (is_written and compound.name.endswith(f"::{wanted}")):
                found.append(path)
                continue
            following += [
                ((*path, each), each.type.bare)
                for each in compound.bases
                if isinstance(each.type.bare, CompoundType)
            ]
        seen += len(following)
        if not following or seen > _MAX_CLASSES:
            break
        level = following
    if not found:
        return None
    return _only(found, wanted) if found[0] else ()


def follow(value: Value, path: tuple[Member, ...]) -> Value:
    """Return the part of *value* that *path* leads to. Errors are those of
    :meth:`~polydbg.types.value.Value.member`."""
    for member in path:
        value = value.member(member)
    return value


def member_named(value: Value, name: str) -> Value | None:
    """Return the member *name* of an object, ``None`` where its class has none.

    :raises AmbiguousMemberError: more than one is meant.
    :raises DebuggerError: its place cannot be told.
    """
    path = path_to(value.type, name)
    return follow(value, path) if path is not None else None
