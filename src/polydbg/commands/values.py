"""Arguments of ``s``, ``c``, ``e*``, ``f``, ``m``: values, and what these commands say alike."""

from __future__ import annotations

import re

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.expr.ranges import Range
from polydbg.memory.space import ByteOrder

READ_ONLY_HINT = "a dump is a read-only snapshot; .overlay on makes a scratch copy to edit"


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
                out += byte.to_bytes(unit, ctx.system.byte_order)
        else:
            out += fitted(cursor, ctx.expression(cursor), unit, ctx.system.byte_order)
        cursor.skip_blanks()
        cursor.take(",")
    return bytes(out)


def read_byte_range(ctx: CommandContext, cursor: Cursor) -> Range:
    """Read the range of a command of one letter, and the comma that may follow.

    :raises CommandError: a letter follows: there is no such command.
    :raises ExpressionError: as :meth:`CommandContext.range`.
    """
    if re.match(r"[A-Za-z]", cursor.peek()):
        cursor.position += 1
        raise cursor.error("Syntax error")
    found = ctx.range(cursor, element_size=1, default_count=None)
    cursor.skip_blanks()
    cursor.take(",")
    return found


def read_other_address(ctx: CommandContext, cursor: Cursor) -> int:
    """Read the second address of ``c`` and ``m``. :raises CommandError: it is missing."""
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'")
    return ctx.expression(cursor)


def absent_error(ctx: CommandContext, cursor: Cursor, address: int) -> CommandError:
    """Return the error for memory that is needed and not in the dump."""
    absent = address_text(address, ctx.system.pointer_size)
    return CommandError(
        "Memory access error",
        caret=max(0, cursor.position - 1),
        hint=f"{absent} is not present in the dump",
        identifier="memory.absent",
    )


def fitted(cursor: Cursor, value: int, unit: int, order: ByteOrder) -> bytes:
    """Return *value* in *unit* bytes; a negative number may be given in its 64-bit form.

    :raises CommandError: it does not fit.
    """
    bits = 8 * unit
    if value >> bits and value < (1 << 64) - (1 << (bits - 1)):
        raise cursor.error("Overflow error", hint=f"a value has at most {unit} bytes")
    return (value & ((1 << bits) - 1)).to_bytes(unit, order)
