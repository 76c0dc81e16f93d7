"""WinDbg's wildcards: section 9 of the command language."""

from __future__ import annotations

import pytest

from polydbg.base.wildcards import (
    compile_wildcard,
    is_wildcard,
    literals_of,
)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("main", "main", True),
        ("main", "MAIN", True),
        ("main", "main2", False),
        ("*", "", True),
        ("*paint*", "geometry::Box::paint", True),
        ("ma?n", "main", True),
        ("ma?n", "man", False),
        ("[abc]x", "bx", True),
        ("[a-f0-9]x", "7x", True),
        ("[a-f0-9]x", "gx", False),
        ("[a-]x", "-x", False),  # a hyphen cannot be listed
        ("[f-a]x", "bx", True),
        ("ab#c", "ac", True),
        ("ab#c", "abbbc", True),
        ("ab+c", "ac", False),
        ("ab+c", "abbc", True),
        ("[xy]+z", "xyxz", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("operator\\+", "operator+", True),
        ("_main", "main", True),
        ("_main", "___main", True),
        ("main", "_main", False),
        ("[ab", "[ab", True),
        ("a.b", "axb", False),
        ("#a", "#a", True),  # nothing precedes it
        ("[]x", "x", False),
    ],
)
def test_pattern(pattern: str, name: str, matches: bool) -> None:
    assert (compile_wildcard(pattern).fullmatch(name) is not None) is matches


def test_leading_underscore_is_literal_outside_of_symbols() -> None:
    assert compile_wildcard("_x", symbols=False).fullmatch("x") is None
    assert compile_wildcard("_x", symbols=False).fullmatch("_x")


def test_case_can_matter() -> None:
    assert compile_wildcard("Main", ignore_case=False).fullmatch("main") is None


def test_stars_in_a_row_are_one() -> None:
    assert compile_wildcard("*" * 200 + "x").fullmatch("y" * 200) is None


def test_is_wildcard() -> None:
    assert is_wildcard("a*")
    assert is_wildcard("a\\*")
    assert not is_wildcard("geometry::Box<int>::paint")


@pytest.mark.parametrize(
    ("pattern", "runs"),
    [
        ("*paint*", ["paint"]),
        ("geo?etry::[BC]ox", ["geo", "etry::", "ox"]),
        ("ab#c+d", ["a", "c", "d"]),
        ("__start", ["start"]),
        ("a\\*b", ["a*b"]),
        ("*", []),
        ("x[ab", ["x"]),
    ],
)
def test_literals_are_in_every_match(pattern: str, runs: list[str]) -> None:
    assert literals_of(pattern) == runs
