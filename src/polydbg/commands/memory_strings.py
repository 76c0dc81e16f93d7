"""``da``, ``du``, ``ds``, ``dS``: memory as text.

``STRING`` and ``UNICODE_STRING``, which ``ds`` and ``dS`` read, are a length and a capacity in
bytes, 2 bytes each, then a pointer at its natural alignment (ntdef.h).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from polydbg.base.errors import MemoryReadError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory import go_on_at, read_columns, read_range
from polydbg.commands.memory_text import STRING_WIDTH, Cells, code_text, row_text
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.memory_view import read_cells, read_pointer
from polydbg.engine.session import System

_DEFAULT_ROWS = 12
_CHUNK_ROWS = 32


class StringRow(ShownItem, frozen=True):
    """A piece of a string; *value* has ``.`` for what cannot be shown, ``?`` for what is absent."""

    address: Hex
    value: str


def string_row(system: System, address: int, codes: Cells, unit: int) -> StringRow:
    """Return the row of the characters *codes*, each of *unit* bytes, at *address*."""
    text = code_text(codes, unit)
    shown = row_text(address, system.pointer_size, f'"{text}"')
    return StringRow(address=address, value=text, shown=shown)


def _show_terminated(ctx: CommandContext, cursor: Cursor, name: str, unit: int) -> Iterator[Item]:
    """Show characters up to a NUL, the end of memory or of the range.

    Memory that is absent from the start on fills the range with question marks; memory that ends
    within the string ends it with its row.
    """
    system = ctx.system
    width = read_columns(ctx, cursor) or STRING_WIDTH
    found = read_range(ctx, cursor, unit, _DEFAULT_ROWS * STRING_WIDTH)
    go_on_at(system, name, found.start)
    left = -(-found.size // unit)
    address, is_readable = found.start, False
    while left:
        ctx.cancel.check()
        count = min(left, width * _CHUNK_ROWS)
        chunk = read_cells(system.memory, address, count, unit, system.byte_order)
        for at in range(0, len(chunk), width):
            row, here = chunk[at : at + width], address + at * unit
            ended = 0 in row
            if ended:
                row = row[: row.index(0)]
            go_on_at(system, name, here + (len(row) + ended) * unit)
            if row or here == found.start:
                yield string_row(system, here, row, unit)
            is_readable = is_readable or any(c is not None for c in row)
            if ended or (is_readable and None in row):
                return
        address += len(chunk) * unit
        left -= len(chunk)


def _show_counted(ctx: CommandContext, cursor: Cursor, name: str, unit: int) -> Iterator[Item]:
    """Show the string that a ``STRING`` or ``UNICODE_STRING`` at the address describes.

    :raises MemoryReadError: the structure is not present.
    """
    system = ctx.system
    width = read_columns(ctx, cursor) or STRING_WIDTH
    size = system.pointer_size
    start = read_range(ctx, cursor, 2 * size, 1).start
    go_on_at(system, name, start + 2 * size)
    length = read_cells(system.memory, start, 1, 2, system.byte_order)[0]
    buffer = read_pointer(system.memory, start + size, size, system.byte_order)
    if length is None or buffer is None:
        raise MemoryReadError(start)
    codes = read_cells(system.memory, buffer, length // unit, unit, system.byte_order)
    for at in range(0, len(codes), width):
        yield string_row(system, buffer + at * unit, codes[at : at + width], unit)


def _declare() -> None:
    for name, unit, what in (("da", 1, "an ASCII"), ("du", 2, "a UTF-16")):
        command(
            name,
            summary=f"Show {what} string up to its NUL.",
            syntax=f"{name} [/c width] [address | start end | start L count]",
            example=f"{name} poi(@rsp+8)    . is a character that cannot be shown, ? an absent one",
            family="memory",
        )(functools.partial(_show_terminated, name=name, unit=unit))
    example = '.overlay on; ew @rsp 4 4; eq @rsp+8 @rsp+10; ea @rsp+10 "text"; ds @rsp'
    for name, unit, what, shown in (
        ("ds", 1, "ANSI_STRING", example),
        ("dS", 2, "UNICODE_STRING", "dS poi(@$peb+20)+70"),
    ):
        command(
            name,
            summary=f"Show the text of {what} structures.",
            syntax=f"{name} [/c width] [address]",
            example=f"{shown}    the structure holds length, capacity and a pointer",
            family="memory",
        )(functools.partial(_show_counted, name=name, unit=unit))


_declare()
