"""Values as ``s``, ``e*`` and ``f`` take them: numbers, quoted characters, strings."""

from __future__ import annotations

from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor


def read_values(ctx: CommandContext, cursor: Cursor, unit: int) -> bytes:
    """Read values up to the end of the command; return their bytes, each of *unit* bytes.

    ``'ab'`` packs characters into one value, the first in the lowest byte (each is a value of its
    own where values are bytes); ``"text"`` is its bytes, one value each.

    :raises CommandError: a value does not fit. :raises ExpressionError: one has no value.
    """
    out = bytearray()
    while not cursor.at_end:
        if quoted := cursor.match(r"'([^']*)'"):
            data = quoted.group(1).encode()
            if unit > 1 and len(data) > unit:
                raise cursor.error("Overflow error", hint=f"a value holds {unit} characters")
            out += data if unit == 1 else data.ljust(unit, b"\0")
        elif quoted := cursor.match(r'"([^"]*)"'):
            for byte in quoted.group(1).encode():
                out += byte.to_bytes(unit, "little")
        else:
            out += fitted(cursor, ctx.expression(cursor), unit)
        cursor.skip_blanks()
        cursor.take(",")
    return bytes(out)


def fitted(cursor: Cursor, value: int, unit: int) -> bytes:
    """Return *value* in *unit* bytes; a negative number may be given in its 64-bit form.

    :raises CommandError: it does not fit.
    """
    bits = 8 * unit
    if value >> bits and value < (1 << 64) - (1 << (bits - 1)):
        raise cursor.error("Overflow error", hint=f"a value has at most {unit} bytes")
    return (value & ((1 << bits) - 1)).to_bytes(unit, "little")
