"""``dds``, ``dpa`` and their like, ``dl``: words that are addresses, and what they point to."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory import (
    LAYOUTS,
    cell_chunks,
    go_on_at,
    memory_row,
    read_columns,
    read_range,
    remember_value,
)
from polydbg.commands.memory_text import code_text, hex_cell, row_text
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.memory_view import read_cells, read_pointer

_DEFAULT_BYTES = 128
_MAX_STRING = 128
_CHUNK_CELLS = 256
_MAX_NODES = 0x100000
_DEFAULT_NODES = 0x20
_DEFAULT_NODE_SIZE = 4


class Meaning(msgspec.Struct, frozen=True):
    """What an address is called: symbol with displacement, and the source line of code."""

    symbol: str = ""
    file: str = ""
    line: int = 0

    @property
    def text(self) -> str:
        return f"{self.symbol} [{self.file} @ {self.line}]" if self.file else self.symbol


class WordRow(ShownItem, frozen=True):
    """A word taken for an address: *symbol* is ``""`` when it names nothing."""

    address: Hex
    value: Hex | None
    symbol: str
    file: str
    line: int


class WordsRow(ShownItem, frozen=True):
    """Several words in one row (``/c``)."""

    words: tuple[WordRow, ...]


class PointerRow(ShownItem, frozen=True):
    """A pointer and what it points to: a *value* with its *symbol*, or a *string*.

    *value* and *string* are ``None`` where the target is not present.
    """

    address: Hex
    pointer: Hex | None
    value: Hex | None
    symbol: str
    string: str | None


def meaning(ctx: CommandContext, address: int) -> Meaning:
    """Return what *address* is called; empty outside every module."""
    system = ctx.system
    place = system.modules.place(address)
    if not (place.module or place.unloaded):
        return Meaning()
    line = None
    if place.symbol and ctx.session.settings.lines:
        line = system.modules.line_at(address)
    if line is None:
        return Meaning(place.text)
    return Meaning(place.text, sanitise_line(line.file), line.line)


def word_row(ctx: CommandContext, address: int, value: int | None, unit: int) -> WordRow:
    """Return the row of the word *value* at *address*, named if it is an address of a module."""
    known = meaning(ctx, value) if value else Meaning()
    body = f"{hex_cell(value, unit)} {known.text}".rstrip()
    return WordRow(
        address=address,
        value=value,
        symbol=known.symbol,
        file=known.file,
        line=known.line,
        shown=row_text(address, ctx.system.pointer_size, body),
    )


def _words(
    ctx: CommandContext, cursor: Cursor, name: str, unit: int
) -> Iterator[tuple[int, list[int | None], int]]:
    """Read the arguments of a word command; yield (address, row of words, size of a word)."""
    system = ctx.system
    unit = unit or system.pointer_size
    columns = read_columns(ctx, cursor) or 1
    found = read_range(ctx, cursor, unit, _DEFAULT_BYTES // unit)
    go_on_at(system, name, found.start)
    per_chunk = max(1, _CHUNK_CELLS // columns) * columns
    cells = -(-found.size // unit)
    for address, chunk in cell_chunks(ctx, found.start, cells, unit, per_chunk):
        for at in range(0, len(chunk), columns):
            row = chunk[at : at + columns]
            here = address + at * unit
            go_on_at(system, name, here + len(row) * unit)
            remember_value(ctx, row)
            yield here, row, unit


def _show_symbols(ctx: CommandContext, cursor: Cursor, name: str, unit: int) -> Iterator[Item]:
    for address, row, size in _words(ctx, cursor, name, unit):
        rows = [word_row(ctx, address + i * size, word, size) for i, word in enumerate(row)]
        if len(rows) == 1:
            yield rows[0]
            continue
        skipped = len(row_text(address, ctx.system.pointer_size, ""))
        shown = [rows[0].shown, *(each.shown[skipped:] for each in rows[1:])]
        yield WordsRow(words=tuple(rows), shown="  ".join(shown))


def _show_targets(
    ctx: CommandContext, cursor: Cursor, name: str, unit: int, view: str
) -> Iterator[Item]:
    for address, row, size in _words(ctx, cursor, name, unit):
        for i, pointer in enumerate(row):
            ctx.cancel.check()
            yield _pointer_row(ctx, address + i * size, pointer, size, view)


def _pointer_row(
    ctx: CommandContext, address: int, pointer: int | None, size: int, view: str
) -> PointerRow:
    system = ctx.system
    value, string, known, body = None, None, Meaning(), hex_cell(pointer, size)
    if pointer and view == "p":
        value = read_pointer(system.memory, pointer, system.pointer_size, system.byte_order)
        if value is not None:
            known = meaning(ctx, value) if value else known
            body += f" {hex_cell(value, system.pointer_size)} {known.text}".rstrip()
    elif pointer:
        string = _string_at(ctx, pointer, 1 if view == "a" else 2)
        if string is not None:
            body += f' "{string}"'
    return PointerRow(
        address=address,
        pointer=pointer,
        value=value,
        symbol=known.symbol,
        string=string,
        shown=row_text(address, system.pointer_size, body),
    )


def _string_at(ctx: CommandContext, address: int, unit: int) -> str | None:
    """Return the string at *address* up to its NUL, or ``None`` where nothing is present."""
    data = ctx.system.memory.read_some(address, _MAX_STRING * unit)
    count = len(data) // unit
    if not count:
        return None
    order = ctx.system.byte_order
    codes = [int.from_bytes(data[i * unit : (i + 1) * unit], order) for i in range(count)]
    return code_text(codes[: codes.index(0)] if 0 in codes else codes, unit)


def _show_list(ctx: CommandContext, cursor: Cursor, name: str) -> Iterator[Item]:
    """Walk a list: the pointer at a node (``dlb``: the second one) leads to the next.

    Ends at NULL, at the first node again, at one that is absent, or after the count.
    """
    system = ctx.system
    if cursor.at_end:
        raise cursor.error("Numeric expression missing from '<EOL>'")
    start = ctx.expression(cursor)
    limit = _DEFAULT_NODES if cursor.at_end else ctx.expression(cursor)
    size = _DEFAULT_NODE_SIZE if cursor.at_end else ctx.expression(cursor)
    if not (0 < limit <= _MAX_NODES and 0 < size <= 0x1000):
        raise cursor.error("Range error")
    unit = system.pointer_size
    layout = next(each for each in LAYOUTS if each.name == "dp")
    columns = 16 // unit
    node, link = start, unit if name == "dlb" else 0
    for _ in range(limit):
        ctx.cancel.check()
        cells = read_cells(system.memory, node, size, unit, system.byte_order)
        for at in range(0, size, columns):
            yield memory_row(
                system, layout, node + at * unit, cells[at : at + columns], unit, columns
            )
        go_on_at(system, "dp", node + size * unit)
        following = read_pointer(system.memory, node + link, unit, system.byte_order)
        if not following or following == start:
            return
        if not system.memory.read_some(following, 1):
            return
        node = following


_SIZES = {"d": (4, "4-byte"), "p": (0, "pointer-sized"), "q": (8, "8-byte")}
_VIEWS = {"a": "ASCII strings", "p": "pointers and symbols", "u": "UTF-16 strings"}


def _declare() -> None:
    ranges = "[/c columns] [address | start end | start L count]"
    for letter, (unit, size) in _SIZES.items():
        name = f"d{letter}s"
        command(
            name,
            summary=f"Show {size} words and the symbols they point to.",
            syntax=f"{name} {ranges}",
            example=f"{name} @rsp L20    the raw stack: return addresses show as code",
            family="memory",
        )(functools.partial(_show_symbols, name=name, unit=unit))
        for view, what in _VIEWS.items():
            name = f"d{letter}{view}"
            command(
                name,
                summary=f"Show {size} pointers and the {what} they lead to.",
                syntax=f"{name} {ranges}",
                example=f"{name} @rsp L8",
                family="memory",
            )(functools.partial(_show_targets, name=name, unit=unit, view=view))
    for name, way in (("dl", "forward"), ("dlb", "backward")):
        command(
            name,
            summary=f"Show the nodes of a linked list, {way}.",
            syntax=f"{name} address [nodes [size]]",
            example=f"{name} @rsp 10 4    at most 0x10 nodes of 4 pointers each",
            family="memory",
        )(functools.partial(_show_list, name=name))


_declare()
