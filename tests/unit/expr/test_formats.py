"""The texts of ``?`` and ``.formats``, and the literals of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polydbg.expr.formats import (
    format_float,
    format_time_guess,
    format_value,
    formats_lines,
    value_line,
)
from polydbg.expr.numbers import parse_number


def test_address() -> None:
    assert format_value(0x7FF6_1B40_1570) == "00007ff6`1b401570"
    assert format_value(0x1B40_1570, 4) == "1b401570"
    assert format_value(0xFFFF_FFFF_8000_0000, 4) == "80000000"
    assert format_value(0x1_0000_0000, 4) == "00000001`00000000"


def test_value_lines() -> None:
    assert value_line(7) == "Evaluate expression: 7 = 00000000`00000007"
    assert value_line((1 << 64) - 7) == "Evaluate expression: -7 = ffffffff`fffffff9"
    assert value_line(0x8000_000D, 4) == "Evaluate expression: -2147483635 = 8000000d"


def test_formats_of_32_bit_targets() -> None:
    assert formats_lines(0x1C40_7E62, 4) == [
        "  Hex:     1c407e62",
        "  Decimal: 473988706",
        "  Octal:   03420077142",
        "  Binary:  00011100 01000000 01111110 01100010",
        "  Chars:   .@~b",
        "  Time:    Mon Jan  7 23:31:46 1985",
        "  Float:   low 6.36908e-22 high 0",
        "  Double:  2.34182e-315",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "unavailable"),
        (600, "Thu Jan  1 00:10:00 1970"),
        (0xFFFF_FFFF, "Sun Feb  7 06:28:15 2106"),
        (0x7453_6D4D_0388_0000, "Sat Jan  8 03:15:00.577 28163 (UTC + 0:00)"),
        (1 << 63, "***** Invalid"),
    ],
)
def test_time(value: int, text: str) -> None:
    assert format_time_guess(value) == text


def test_leap_days() -> None:
    day = 86400
    assert format_time_guess(11016 * day) == "Tue Feb 29 00:00:00 2000"
    assert format_time_guess(11017 * day) == "Wed Mar  1 00:00:00 2000"


def test_floats() -> None:
    assert format_float(float("inf")) == "inf"
    assert format_float(float("-inf")) == "-inf"
    assert format_float(float("nan")) == "nan"
    assert format_float(-0.0) == "-0"
    assert format_float(1e100) == "1e+100"


@pytest.mark.parametrize(
    ("text", "radix", "value"),
    [
        ("10", 16, 16),
        ("10", 8, 8),
        ("9", 8, None),
        ("0X4aB3", 10, 0x4AB3),
        ("0n12a", 16, None),
        ("0y2", 16, None),
        ("0x`", 16, 0),
        ("h", 16, None),
        ("1_0", 16, None),
        ("١", 10, None),
        ("", 16, None),
        ("f" * 200, 16, None),
    ],
)
def test_literals(text: str, radix: int, value: int | None) -> None:
    assert parse_number(text, radix) == value


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([4, 8]))
def test_any_value_can_be_shown(value: int, pointer_size: int) -> None:
    assert len(formats_lines(value, pointer_size)) == 8
    signed = value_line(value, pointer_size).split()[2]
    width = 32 if len(format_value(value, pointer_size)) == 8 else 64
    assert (int(signed) - value) % (1 << width) == 0
    assert parse_number(format_value(value)) == value
