"""How values are printed: floats, the line of ``?`` and the lines of ``.formats``.

Shapes are those of the reference transcripts (command-language reference, sections 2 and 25).
Times are UTC, so that the same dump prints the same text everywhere.
"""

from __future__ import annotations

import math
import struct

from polydbg.base.text import address_text
from polydbg.expr.numbers import MASK64, fits_32_bits, to_signed

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS_1601_TO_1970 = 134774


def format_value(value: int, pointer_size: int = 8) -> str:
    """Return *value* as an address; on a 32-bit target with 16 digits where 8 do not hold it."""
    value &= MASK64
    return address_text(value, pointer_size if fits_32_bits(value) else 8)


def format_decimal(value: int, pointer_size: int = 8) -> str:
    """Return the signed decimal of *value* at the width :func:`format_value` shows it in."""
    bits = 32 if pointer_size == 4 and fits_32_bits(value & MASK64) else 64
    return str(to_signed(value, bits))


def value_line(value: int, pointer_size: int = 8) -> str:
    """Return the line that ``?`` prints for a value."""
    decimal = format_decimal(value, pointer_size)
    return f"Evaluate expression: {decimal} = {format_value(value, pointer_size)}"


def formats_lines(value: int, pointer_size: int = 8) -> list[str]:
    """Return the lines of ``.formats`` below its heading ``Evaluate expression:``."""
    value &= MASK64
    size = 4 if pointer_size == 4 and fits_32_bits(value) else 8
    data = (value & ((1 << (8 * size)) - 1)).to_bytes(size, "big")
    shown = int.from_bytes(data, "big")
    low, high = (struct.unpack("<f", value.to_bytes(8, "little")[i : i + 4])[0] for i in (0, 4))
    (double,) = struct.unpack("<d", value.to_bytes(8, "little"))
    chars = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return [
        f"  Hex:     {format_value(value, pointer_size)}",
        f"  Decimal: {format_decimal(value, pointer_size)}",
        f"  Octal:   {shown:0{11 if size == 4 else 22}o}",
        f"  Binary:  {' '.join(f'{byte:08b}' for byte in data)}",
        f"  Chars:   {chars}",
        f"  Time:    {format_time_guess(value)}",
        f"  Float:   low {format_float(low)} high {format_float(high)}",
        f"  Double:  {format_float(double)}",
    ]


def format_float(value: float, digits: int = 6) -> str:
    """Return ``%g`` of *digits* significant digits, with the words of today's C runtime."""
    if math.isnan(value):
        return "-nan(ind)" if math.copysign(1.0, value) < 0 else "nan"
    return f"{value:.{digits}g}"


def format_time_guess(value: int) -> str:
    """Return the ``Time:`` of ``.formats``: Unix seconds below 2**32, a FILETIME above."""
    if value == 0:
        return "unavailable"
    if value < 1 << 32:
        days, seconds = divmod(value, 86400)
        date, year = _date(days)
        return f"{date} {_clock(seconds)} {year}"
    if value < 1 << 63:
        total, milliseconds = divmod(value // 10_000, 1000)
        days, seconds = divmod(total, 86400)
        date, year = _date(days - _DAYS_1601_TO_1970)
        return f"{date} {_clock(seconds)}.{milliseconds:03d} {year} (UTC + 0:00)"
    return "***** Invalid"


def _date(days: int) -> tuple[str, int]:
    """Return ``Thu Jan  1`` and the year for a count of days since 1970-01-01.

    FILETIMEs reach the year 30828, further than :mod:`datetime`, so the Gregorian calendar is
    computed here, in eras of 400 years that begin on the first of March.
    """
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = era * 400 + year_of_era + (1 if month <= 2 else 0)
    return f"{_DAYS[(days + 3) % 7]} {_MONTHS[month - 1]} {day:2d}", year


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
