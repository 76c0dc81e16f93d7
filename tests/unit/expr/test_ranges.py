"""Ranges as commands read them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masm_tables import PIECES, TableContext

from polydbg.base.errors import CommandError, ExpressionError
from polydbg.expr.context import ArgumentError
from polydbg.expr.ranges import Range, parse_range


def parse(text: str, **options: int | None) -> tuple[Range, str]:
    arguments: dict[str, int | None] = {"element_size": 4, "default_count": 32} | options
    context = TableContext()
    context.symbols["Length"] = 0x1004
    context.symbols["L"] = 0x1008
    found, position = parse_range(text, 3, context, **arguments)  # type: ignore[arg-type]
    return found, text[position:]


@pytest.mark.parametrize(
    ("text", "start", "size", "rest"),
    [
        ("dd @rsp", 0x1000, 0x80, ""),
        ("dd @rsp; k", 0x1000, 0x80, "; k"),
        ("dd @rsp L10", 0x1000, 0x40, ""),
        ("dd @rsp l 10", 0x1000, 0x40, ""),
        ("dd @rsp L0n10; k", 0x1000, 40, "; k"),
        ("dd @rsp L0", 0x1000, 0, ""),
        ("dd 1000L20", 0x1000, 0x80, ""),
        ("dd poi(1000)L20 1", 0x0706050403020100, 0x80, " 1"),
        ("dd (@rsp+8) L@$t0", 0x1008, 0x14, ""),
        ("dd @rsp L(2+2)", 0x1000, 0x10, ""),
        ("dd @rsp L2*3", 0x1000, 0x18, ""),
        ("dd @rsp L-4", 0xFF0, 0x10, ""),
        ("dd @rsp L- 4", 0xFF0, 0x10, ""),
        ("dd 4 L-4", 0, 4, ""),
        ("dd @rsp L?8000000", 0x1000, 0x2000_0000, ""),
        ("dd @rsp @rsp+7", 0x1000, 8, ""),
        ("dd @rsp,1007", 0x1000, 8, ""),
        ("dd @rsp Length", 0x1000, 5, ""),
        ("dd @rsp L8 @rsp", 0x1000, 0x20, " @rsp"),
        ("dd Length L8", 0x1004, 0x20, ""),
        ('dd @rsp L100 "L 4"', 0x1000, 0x400, ' "L 4"'),
        ("dd `app!main.c:12` L1", 0x40_1005, 4, ""),
        ("dd ffffffff`fffffffc L4", (1 << 64) - 4, 4, ""),
        ("dd . L3", 0x2000, 12, ""),
        ("dd rsp-L", 0xFFFF_FFFF_FFFF_FFF8, 8, ""),
    ],
)
def test_range(text: str, start: int, size: int, rest: str) -> None:
    assert parse(text) == (Range(start, size), rest)


@pytest.mark.parametrize(
    ("text", "size", "rest"),
    [("dd ", 0x80, ""), ("dd L3", 12, ""), ("dd ; k", 0x80, "; k"), ("dd", 0x80, "")],
)
def test_start_may_be_left_out_where_there_is_a_default(text: str, size: int, rest: str) -> None:
    assert parse(text, default_start=0x5000) == (Range(0x5000, size), rest)


@pytest.mark.parametrize(
    ("text", "message", "caret"),
    [
        ("dd 1000 fff", "Range error", 10),
        ("dd 1000 L10000000", "Range error", 16),
        ("dd 1000 L?100000000", "Overflow error", 18),
    ],
)
def test_range_errors_point_at_the_last_character(text: str, message: str, caret: int) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(text)
    assert isinstance(caught.value, CommandError)
    assert (caught.value.message, caught.value.caret) == (message, caret)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("db @foo L40", "Bad register error at '@foo '"),
        ("dd nt L8", "Couldn't resolve error at 'nt '"),
        ("dd @rsp L", "Numeric expression missing from '<EOL>'"),
        ("dd ", "Numeric expression missing from '<EOL>'"),
    ],
)
def test_errors_of_expressions_end_before_the_length(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.message == message


def test_a_command_may_insist_on_a_range_or_accept_any_size() -> None:
    with pytest.raises(ArgumentError, match="Range error"):
        parse("s  1000", default_count=None)
    assert parse("s  0 L?100000000", element_size=1, overflow=None)[0] == Range(0, 1 << 32)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=10).map(" ".join))
def test_any_text_gives_a_range_or_an_expression_error(text: str) -> None:
    try:
        found, rest = parse(f"db {text}")
    except ExpressionError:
        return
    assert found.start + found.size <= 1 << 64
    assert f"db {text}".endswith(rest)
