"""``long double`` of more than 64 bits: exact numbers, rounded to the mantissa of the format.

Sources: Intel SDM volume 1, 4.2; IEEE 754-2019 (binary128). Negative zeros become zeros.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from polydbg.types.data_model import LongDouble

if TYPE_CHECKING:
    from polydbg.memory.space import ByteOrder


class LongFormat(msgspec.Struct, frozen=True):
    """A format: how many *bits* its mantissa has, whether their first one is stored."""

    bits: int
    stores_first: bool


FORMATS = {LongDouble.X87: LongFormat(64, True), LongDouble.QUAD: LongFormat(113, False)}
"""Formats that are calculated with; sums of two doubles are not."""

_BIAS = 16383
_LEAST = -16382
"""The exponent of the smallest number that is not denormal."""


def rounded(number: float | Fraction, format_: LongFormat) -> float | Fraction:
    """Return the nearest number that the format has, to even; what is not finite as a ``float``."""
    if isinstance(number, float) and not math.isfinite(number):
        return number
    exact = Fraction(number)
    if not exact:
        return exact
    exponent = max(_exponent(exact), _LEAST)
    shift = format_.bits - 1 - exponent
    scaled = exact * (1 << shift) if shift >= 0 else exact / (1 << -shift)
    mantissa = round(scaled)
    result = Fraction(mantissa, 1 << shift) if shift >= 0 else Fraction(mantissa << -shift)
    if result and _exponent(result) > _BIAS:
        return math.inf if result > 0 else -math.inf
    return result


def _exponent(number: Fraction) -> int:
    """Return the power of two in front of the mantissa."""
    top, bottom = abs(number.numerator), number.denominator
    exponent = top.bit_length() - bottom.bit_length()
    above = top < bottom << exponent if exponent >= 0 else top << -exponent < bottom
    return exponent - 1 if above else exponent


def encoded(number: float | Fraction, format_: LongFormat, size: int, order: ByteOrder) -> bytes:
    """Return a number that the format has as its *size* bytes, padded behind where it is wider."""
    sign, exponent, mantissa = 0, 0, 0
    first = 1 << (format_.bits - 1)
    if isinstance(number, float) and not math.isfinite(number):
        sign = int(math.copysign(1.0, number) < 0)
        exponent, mantissa = 0x7FFF, first | (first >> 1 if math.isnan(number) else 0)
    else:
        exact = Fraction(number)
        sign = int(exact < 0)
        if exact:
            power = max(_exponent(exact), _LEAST)
            mantissa = int(abs(exact) * Fraction(2) ** (format_.bits - 1 - power))
            exponent = power + _BIAS if mantissa & first else 0
    head = sign << 15 | exponent
    if format_.stores_first:
        data = (head << 64 | mantissa).to_bytes(10, "little")
    else:
        data = (head << 112 | mantissa & (first - 1)).to_bytes(16, "little")
    data = data.ljust(size, b"\0")
    return data if order == "little" else data[::-1]
