"""Numbers out of C++ values: what commands take for addresses and counts."""

from __future__ import annotations

import math
import struct

import pytest

from polydbg.base.errors import ExpressionError
from polydbg.expr.cpp.conversions import to_bits, to_number
from polydbg.types.data_model import DataModel
from polydbg.types.model import Encoding, ScalarType
from polydbg.types.place import constant
from polydbg.types.value import Surroundings, Value


class _Nothing:
    def read(self, address: int, size: int) -> bytes:
        raise AssertionError


_AROUND = Surroundings(_Nothing(), DataModel(), lambda origin: None)


def _double(number: float) -> Value:
    type_ = ScalarType("double", 8, Encoding.FLOAT)
    return Value(type_, constant(struct.pack("<d", number)), _AROUND)


def test_fractions_are_cut_off() -> None:
    assert to_bits(_double(2.9)) == 2
    assert to_bits(_double(-2.9)) == (1 << 64) - 2


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan], ids=["inf", "-inf", "nan"])
def test_what_is_no_number_is_no_address(number: float) -> None:
    with pytest.raises(ExpressionError, match="Overflow error"):
        to_bits(_double(number))


def test_a_long_double_beyond_doubles_is_infinite() -> None:
    type_ = ScalarType("long double", 16, Encoding.FLOAT)
    largest = b"\xff" * 8 + b"\xfe\x7f" + bytes(6)
    assert to_number(Value(type_, constant(largest), _AROUND)) == math.inf
