"""Qualified names in parts."""

from __future__ import annotations

import pytest

from polydbg.base.qualified_names import last_part, name_parts, scope_and_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("main", ["main"]),
        ("", [""]),
        ("::g", ["", "g"]),
        ("a::b::c", ["a", "b", "c"]),
        ("a::Box<b::c, d::e<int>>::f", ["a", "Box<b::c, d::e<int>>", "f"]),
        ("a::(anonymous namespace)::f", ["a", "(anonymous namespace)", "f"]),
        ("`a::f'::`2'::x", ["`a::f'", "`2'", "x"]),
        ("core::{impl#3}::next", ["core", "{impl#3}", "next"]),
        ("A::operator->", ["A", "operator->"]),
        ("A::operator<", ["A", "operator<"]),
        ("A::operator<< <b::c>", ["A", "operator<< <b::c>"]),
        ("A::operator()::local", ["A", "operator()", "local"]),
        ("A<b::operator_kind>::f", ["A<b::operator_kind>", "f"]),
        ("a<b::c", ["a<b::c"]),
        ("a>::b", ["a>", "b"]),
    ],
)
def test_parts(name: str, parts: list[str]) -> None:
    assert name_parts(name) == parts
    assert last_part(name) == parts[-1]
    assert scope_and_name(name) == ("::".join(parts[:-1]), parts[-1])
