"""How memory looks: cells in hex, characters beside them, floats, bits, strings.

Widths and separators are those of the transcripts of the engine (command-language reference, 15.1).
Absent cells are question marks, one for each digit or character.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Sequence

from polydbg.base.text import address_text
from polydbg.engine.memory_view import CODES, MARKS
from polydbg.expr.formats import format_float
from polydbg.memory.space import ByteOrder

Cells = Sequence[int | None]

STRING_WIDTH = 32
"""Characters in a row of ``da`` and ``du``."""

_PRINTABLE = bytes(b if 0x20 <= b < 0x7F else 0x2E for b in range(256))
_FLOAT = {4: ("<f", "<I", 16, 8), 8: ("<d", "<Q", 22, 12)}


def ascii_text(data: bytes) -> str:
    """Return *data* with a dot for every byte that is not printable ASCII."""
    return data.translate(_PRINTABLE).decode("ascii")


def character_texts(
    cells: Cells, unit: int, columns: int, order: ByteOrder = "little"
) -> list[str]:
    """Return the character column of each row of *cells*, a ``?`` for each absent byte; *order* is
    the memory's."""
    if None not in cells:
        text = ascii_text(struct.pack(f"{MARKS[order]}{len(cells)}{CODES[unit]}", *cells))
    else:
        text = "".join(
            "?" * unit if cell is None else ascii_text(cell.to_bytes(unit, order)) for cell in cells
        )
    width = columns * unit
    return [text[at : at + width] for at in range(0, len(text), width)]


def cell_texts(style: str, cells: Cells, unit: int, columns: int) -> list[str]:
    """Return the body of each row of *cells* in *style* ``hex``, ``float`` or ``bits``."""
    if style == "hex" and unit == 1:
        return _byte_texts(cells, columns)
    if style == "float":
        texts = [float_cell(cell, unit) for cell in cells]
    else:
        texts = [hex_cell(cell, unit) for cell in cells]
    starts = range(0, len(cells), columns)
    if style == "bits":
        return [bit_cells(cells[at : at + columns], unit, columns) for at in starts]
    return [" ".join(texts[at : at + columns]) for at in starts]


def _byte_texts(cells: Cells, columns: int) -> list[str]:
    """Return rows of bytes with a ``-`` between the eighth and the ninth of sixteen."""
    if None not in cells:
        text = bytes(cells).hex(" ")  # type: ignore[arg-type]
    else:
        text = " ".join("??" if cell is None else f"{cell:02x}" for cell in cells)
    rows = [text[at : at + 3 * columns - 1] for at in range(0, len(text), 3 * columns)]
    if columns <= 8:
        return rows
    if columns <= 16:
        return [f"{row[:23]}-{row[24:]}" if len(row) > 23 else row for row in rows]
    for index, row in enumerate(rows):
        marked = list(row)
        marked[23::48] = "-" * len(marked[23::48])
        rows[index] = "".join(marked)
    return rows


def hex_cell(value: int | None, unit: int) -> str:
    """Return a cell in hex digits of its size; eight bytes have a grave mark in the middle."""
    if value is None:
        return "????????`????????" if unit == 8 else "??" * unit
    if unit == 8:
        return address_text(value)
    return f"{value:0{2 * unit}x}"


def hex_width(columns: int, unit: int) -> int:
    """Return the width of a full row of :func:`hex_cell`."""
    return columns * (2 * unit + (unit == 8) + 1) - 1


def float_cell(value: int | None, unit: int) -> str:
    """Return a cell as a float, right-aligned: 8 digits in 16 columns or 12 in 22."""
    real, raw, width, digits = _FLOAT[unit]
    if value is None:
        return "????????".rjust(width)
    number: float = struct.unpack(real, struct.pack(raw, value))[0]
    return format_float(number, digits).rjust(width)


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


def row_text(address: int, pointer_size: int, body: str) -> str:
    """Return ``address  body``."""
    return f"{address_text(address, pointer_size)}  {body}"


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
