"""Bases by their class and by their name."""

from __future__ import annotations

from polydbg.types.members import base_path
from polydbg.types.model import CompoundParts, CompoundType, Member, MemberKind


def of_class(name: str, *members: Member) -> CompoundType:
    return CompoundType(name, 8, "struct", lambda: CompoundParts(members))


def test_a_base_is_no_class_of_another_scope() -> None:
    """A written name may leave scopes out; a class of that name elsewhere is not the base."""
    inner, other = of_class("sea::Ship"), of_class("Ship")
    base = Member("sea::Ship", inner, 8, MemberKind.BASE)
    derived = of_class("Ferry", base)
    assert base_path(derived, "Ship") == (base,)
    assert base_path(derived, inner) == (base,)
    assert base_path(derived, other) is None
