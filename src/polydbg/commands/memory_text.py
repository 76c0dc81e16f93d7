"""How memory looks: cells in hex, characters beside them, floats, bits, strings.

Widths and separators are those of the transcripts of the engine (command-language reference, 15.1).
Absent cells are question marks, one for each digit or character.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Sequence

from polydbg.base.text import address_text

Cells = Sequence[int | None]

STRING_WIDTH = 32
"""Characters in a row of ``da`` and ``du``."""

_PRINTABLE = bytes(b if 0x20 <= b < 0x7F else 0x2E for b in range(256))
_NOT_A_NUMBER_INDEFINITE = {4: 0xFFC00000, 8: 0xFFF8000000000000}
_FLOAT = {4: ("<f", "<I", 16, 8), 8: ("<d", "<Q", 22, 12)}


def ascii_text(data: bytes) -> str:
    """Return *data* with a dot for every byte that is not printable ASCII."""
    return data.translate(_PRINTABLE).decode("ascii")


def characters(cells: Cells, unit: int) -> str:
    """Return the bytes of *cells* as characters, a ``?`` for each absent byte."""
    if unit == 1 and None not in cells:
        return ascii_text(bytes(cells))  # type: ignore[arg-type]
    return "".join(
        "?" * unit if cell is None else ascii_text(cell.to_bytes(unit, "little")) for cell in cells
    )


def hex_cell(value: int | None, unit: int) -> str:
    """Return a cell in hex digits of its size; eight bytes have a grave mark in the middle."""
    if value is None:
        return "????????`????????" if unit == 8 else "??" * unit
    if unit == 8:
        return f"{value >> 32:08x}`{value & 0xFFFFFFFF:08x}"
    return f"{value:0{2 * unit}x}"


def hex_cells(cells: Cells, unit: int) -> str:
    """Return cells in hex; bytes have a ``-`` between the eighth and the ninth of sixteen."""
    if unit == 1 and None not in cells:
        text = bytes(cells).hex(" ")  # type: ignore[arg-type]
    else:
        text = " ".join(hex_cell(cell, unit) for cell in cells)
    if unit == 1:
        for at in range(23, len(text), 48):
            text = f"{text[:at]}-{text[at + 1 :]}"
    return text


def hex_width(columns: int, unit: int) -> int:
    """Return the width of a full row of :func:`hex_cells`."""
    return columns * (2 * unit + (unit == 8) + 1) - 1


def float_cell(value: int | None, unit: int) -> str:
    """Return a cell as a float, right-aligned: 8 digits in 16 columns or 12 in 22."""
    real, raw, width, digits = _FLOAT[unit]
    if value is None:
        return "????????".rjust(width)
    number: float = struct.unpack(real, struct.pack(raw, value))[0]
    if number != number:
        sign = "-" if value >> (8 * unit - 1) else ""
        mark = "(ind)" if value == _NOT_A_NUMBER_INDEFINITE[unit] else ""
        return f"{sign}nan{mark}".rjust(width)
    return f"{number:{width}.{digits}g}"


def float_cells(cells: Cells, unit: int) -> str:
    return " ".join(float_cell(cell, unit) for cell in cells)


def bit_cells(cells: Cells, unit: int, columns: int) -> str:
    """Return ``00101010 00000000  2a 00``: each byte's bits, the highest byte of a cell first."""
    groups = [
        "????????" if cell is None else f"{cell >> shift & 0xFF:08b}"
        for cell in cells
        for shift in range(8 * (unit - 1), -1, -8)
    ]
    width = 9 * columns * unit - 1
    return f"{' '.join(groups):{width}}  {' '.join(hex_cell(cell, unit) for cell in cells)}"


def bit_heading(unit: int, columns: int, indent: int) -> list[str]:
    """Return the bit numbers above :func:`bit_cells`; *indent* is where the first group begins."""
    lines = []
    bits = 8 * unit
    if unit > 1:
        tens = "".join(f"{bit // 10}" if bit % 10 == 0 else " " for bit in range(bits - 1, -1, -1))
        lines.append(_grouped(tens, columns))
    lines.append(_grouped("".join(f"{bit % 10}" for bit in range(bits - 1, -1, -1)), columns))
    lines.append(_grouped("-" * bits, columns))
    return [" " * indent + line for line in lines]


def _grouped(digits: str, columns: int) -> str:
    groups = [digits[at : at + 8] for at in range(0, len(digits), 8)]
    return " ".join(groups * columns).rstrip()


def row_text(address: int, pointer_size: int, body: str, tail: str = "", width: int = 0) -> str:
    """Return ``address  body  tail``; a short body is padded to *width* before the tail."""
    start = f"{address_text(address, pointer_size)}  "
    return f"{start}{body:{width}}  {tail}" if tail else start + body


def wide_text(codes: Cells) -> str:
    """Return UTF-16 units as text; ``.`` for what cannot be shown, ``?`` for what is absent."""
    out: list[str] = []
    index = 0
    while index < len(codes):
        code = codes[index]
        low = codes[index + 1] if index + 1 < len(codes) else None
        index += 1
        if code is None:
            out.append("?")
            continue
        if 0xD800 <= code < 0xDC00 and low is not None and 0xDC00 <= low < 0xE000:
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            index += 1
        char = chr(code)
        out.append(char if is_shown(char) else ".")
    return "".join(out)


def is_shown(char: str) -> bool:
    """Whether *char* stands by itself in a line: printable, and no mark on the one before it."""
    return char.isprintable() and (char.isascii() or unicodedata.category(char)[0] != "M")


def narrow_text(codes: Cells) -> str:
    """Return bytes as text; ``.`` for what is not printable ASCII, ``?`` for what is absent."""
    return "".join("?" if c is None else chr(_PRINTABLE[c]) for c in codes)


def code_text(codes: Cells, unit: int) -> str:
    """Return characters of *unit* bytes as text."""
    return narrow_text(codes) if unit == 1 else wide_text(codes)
