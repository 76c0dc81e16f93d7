"""``d`` and its letters that show memory as it lies: bytes, words, floats, bits.

Strings are in :mod:`polydbg.commands.memory_strings`, words with symbols and pointers that are
followed in :mod:`polydbg.commands.memory_words`. All share one place to go on from.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import msgspec

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory_text import (
    Cells,
    bit_heading,
    cell_texts,
    character_texts,
    hex_width,
)
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.commands.registry import REGISTRY, command
from polydbg.engine.memory_view import read_cells
from polydbg.engine.session import System
from polydbg.expr.ranges import Range

MAX_COLUMNS = 0x80
_CHUNK = 0x4000
_PROGRESS_FROM = 1 << 20


class MemoryRow(ShownItem, frozen=True):
    """A row of memory. *unit* is the size of a value in bytes; absent values are ``None``.

    *characters* is the column of characters, ``""`` for commands that have none.
    """

    address: Hex
    unit: int
    values: tuple[Hex | None, ...]
    characters: str


class Layout(msgspec.Struct, frozen=True):
    """A way to show cells. *unit* is in bytes, 0 for the target's pointers; *count* the default
    number of cells (of bytes for pointers); *style* ``hex``, ``float`` or ``bits``."""

    name: str
    unit: int
    columns: int
    count: int
    what: str
    style: str = "hex"
    has_characters: bool = False


LAYOUTS = (
    Layout("db", 1, 16, 128, "bytes and ASCII characters", has_characters=True),
    Layout("dw", 2, 8, 64, "words of 2 bytes"),
    Layout("dd", 4, 4, 32, "words of 4 bytes"),
    Layout("dq", 8, 2, 16, "words of 8 bytes"),
    Layout("dc", 4, 4, 32, "words of 4 bytes and ASCII characters", has_characters=True),
    Layout("dp", 0, 0, 128, "words of the size of a pointer"),
    Layout("dW", 2, 8, 64, "words of 2 bytes and ASCII characters", has_characters=True),
    Layout("df", 4, 4, 16, "floats of 4 bytes", "float"),
    Layout("dD", 8, 3, 15, "floats of 8 bytes", "float"),
    Layout("dyb", 1, 4, 32, "bits of bytes", "bits"),
    Layout("dyd", 4, 1, 8, "bits of words of 4 bytes", "bits"),
)


def read_columns(ctx: CommandContext, cursor: Cursor) -> int | None:
    """Read the options before an address: ``/c N`` is returned, others are refused."""
    columns = None
    while True:
        cursor.skip_blanks()
        if found := cursor.match(r"/c\s*([0-9a-fA-F]+)(?=[\s;]|$)"):
            try:
                columns = int(found.group(1), ctx.session.settings.radix)
            except ValueError:
                raise cursor.error("Syntax error") from None
            if not 0 < columns <= MAX_COLUMNS:
                raise cursor.error("Range error", hint=f"1 to {MAX_COLUMNS:#x} columns")
        elif cursor.match(r"/p"):
            raise cursor.error(
                "Syntax error", hint="a user dump has no physical memory, which /p would read"
            )
        elif cursor.peek() == "/":
            cursor.position += 2
            raise cursor.error("Syntax error", hint="the option is /c COLUMNS")
        else:
            return columns


def default_start(system: System) -> int:
    """Return where a listing without an address begins: where the last one ended, else the ip."""
    if system.memory_view.next_address is not None:
        return system.memory_view.next_address
    return system.pc or 0


def go_on_at(system: System, kind: str, address: int) -> None:
    """Remember the command and where the next one without an address begins."""
    system.memory_view.kind = kind
    system.memory_view.next_address = address & ((1 << 8 * system.pointer_size) - 1)


def read_range(ctx: CommandContext, cursor: Cursor, unit: int, count: int) -> Range:
    """Read the range of a ``d*`` command: its address may be missing. :raises ExpressionError:"""
    return ctx.range(
        cursor,
        element_size=unit,
        default_count=count,
        default_start=default_start(ctx.system),
    )


def cell_chunks(
    ctx: CommandContext, start: int, count: int, unit: int, per_chunk: int
) -> Iterator[tuple[int, list[int | None]]]:
    """Yield (address, cells) of *count* cells from *start* on, at most *per_chunk* at once."""
    system = ctx.system
    done = 0
    while done < count:
        ctx.cancel.check()
        if count * unit >= _PROGRESS_FROM:
            ctx.progress("memory", done * unit, count * unit)
        taken = min(per_chunk, count - done)
        address = start + done * unit
        yield address, read_cells(system.memory, address, taken, unit, system.byte_order)
        done += taken


def show_cells(ctx: CommandContext, cursor: Cursor, layout: Layout) -> Iterator[Item]:
    """Run the ``d*`` command of *layout*."""
    system = ctx.system
    unit = layout.unit or system.pointer_size
    columns = read_columns(ctx, cursor) or layout.columns or 16 // unit
    count = layout.count if layout.unit else layout.count // unit
    found = read_range(ctx, cursor, unit, count)
    go_on_at(system, layout.name, found.start)
    if layout.style == "bits" and found.size:
        indent = 19 if system.pointer_size == 8 else 10
        yield Heading(value="\n".join(bit_heading(unit, columns, indent)))
    cells = -(-found.size // unit)
    per_chunk = max(1, _CHUNK // unit // columns) * columns
    for address, chunk in cell_chunks(ctx, found.start, cells, unit, per_chunk):
        remember_value(ctx, chunk)
        shown = 0
        try:
            for item in memory_rows(system, layout, address, chunk, unit, columns):
                shown += columns
                yield item
        finally:
            # Also when the listing is interrupted: the next one goes on behind the last row.
            go_on_at(system, layout.name, address + min(shown, len(chunk)) * unit)


def remember_value(ctx: CommandContext, values: Cells) -> None:
    """Keep the last value shown for ``$p``."""
    if values and (last := values[-1]) is not None:
        ctx.session.evaluator.last_dumped = last


def memory_rows(
    system: System,
    layout: Layout,
    address: int,
    cells: Sequence[int | None],
    unit: int,
    columns: int,
) -> Iterator[MemoryRow]:
    """Yield the rows of *cells* at *address*, each of at most *columns*."""
    size = system.pointer_size
    width = hex_width(columns, unit)
    texts = cell_texts(layout.style, cells, unit, columns)
    tails: Iterable[str] = repeat("")
    if layout.has_characters:
        tails = character_texts(cells, unit, columns, system.byte_order)
    for index, (body, tail) in enumerate(zip(texts, tails, strict=False)):
        at = index * columns
        here = address + at * unit
        start = address_text(here, size)
        yield MemoryRow(
            address=here,
            unit=unit,
            values=tuple(cells[at : at + columns]),
            characters=tail,
            shown=f"{start}  {body:{width}}  {tail}" if tail else f"{start}  {body}",
        )


def memory_row(
    system: System,
    layout: Layout,
    address: int,
    cells: Sequence[int | None],
    unit: int,
    columns: int,
) -> MemoryRow:
    """Return the one row of at most *columns* cells."""
    return next(memory_rows(system, layout, address, cells, unit, columns))


def _declare() -> None:
    for layout in LAYOUTS:
        size = layout.unit or 8
        each = "1 byte" if size == 1 else f"{size} bytes"
        example = f"{layout.name} @rsp L{max(1, layout.count // (1 if layout.unit else 8)):x}"
        command(
            layout.name,
            summary=f"Show memory as {layout.what}.",
            syntax=f"{layout.name} [/c columns] [address | start end | start L count]",
            example=f"{example}    counts are hex, of {each} each; without a range it goes on",
            family="memory",
        )(functools.partial(show_cells, layout=layout))


_declare()


@command(
    "d",
    summary="Show memory as the last d* command did.",
    syntax="d [/c columns] [address | start end | start L count]",
    example="d    goes on where the last listing ended",
    family="memory",
)
def show_again(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.peek().isalpha() and cursor.text[cursor.position - 1 : cursor.position] == "d":
        cursor.position += 1
        raise cursor.error("Syntax error", hint="see .help for the letters after d")
    found = REGISTRY.exact(ctx.system.memory_view.kind)
    if found is None:
        raise CommandError("nothing to show again")
    yield from found.function(ctx, cursor)
