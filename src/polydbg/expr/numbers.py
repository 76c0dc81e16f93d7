"""Number literals of MASM expressions, and 64-bit arithmetic helpers.

Prefixes ``0x 0n 0t 0y`` fix the base, a suffix ``h`` means hexadecimal, a bare prefix is 0, and a
backtick in a hexadecimal number is skipped (command-language reference, section 2).
"""

from __future__ import annotations

import re

MASK64 = (1 << 64) - 1

_PREFIXES = {"0x": 16, "0n": 10, "0t": 8, "0y": 2}
_DIGITS = {
    2: re.compile(r"[01]+"),
    8: re.compile(r"[0-7]+"),
    10: re.compile(r"[0-9]+"),
    16: re.compile(r"[0-9a-fA-F][0-9a-fA-F`]*"),
}
_MAX_DIGITS = 128
"""Longer literals cannot be meant; keeps the conversion cheap."""


def parse_number(text: str, radix: int = 16) -> int | None:
    """Return the value of a whole literal, or ``None`` when *text* is not one.

    The value may exceed 64 bits; evaluators call that an overflow.
    """
    if not text or len(text) > _MAX_DIGITS:
        return None
    prefixed = _PREFIXES.get(text[:2].lower())
    if prefixed is not None:
        digits = text[2:]
        return _digits_value(digits, prefixed) if digits.strip("`") else 0
    value = _digits_value(text, radix)
    if value is None and text[-1] in "hH":
        value = _digits_value(text[:-1], 16)
    return value


def _digits_value(digits: str, radix: int) -> int | None:
    if _DIGITS[radix].fullmatch(digits) is None:
        return None
    return int(digits.replace("`", ""), radix)


def to_signed(value: int, bits: int = 64) -> int:
    """Return the two's complement reading of the low *bits* of *value*."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def fits_32_bits(value: int) -> bool:
    """Say whether a 64-bit value is the zero or sign extension of 32 bits."""
    return value <= 0xFFFF_FFFF or value >= 0xFFFF_FFFF_8000_0000
