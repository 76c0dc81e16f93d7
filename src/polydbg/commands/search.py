"""``s``: find bytes, words, text and objects in all memory of a dump."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory import LAYOUTS, MemoryRow, memory_row
from polydbg.commands.memory_strings import StringRow, string_row
from polydbg.commands.memory_text import STRING_WIDTH, is_shown
from polydbg.commands.memory_words import word_row
from polydbg.commands.output import Hex, Item, Notice, ShownItem
from polydbg.commands.registry import command
from polydbg.commands.values import read_values
from polydbg.engine.memory_view import CODES, read_cells, read_pointer
from polydbg.expr.ranges import Range
from polydbg.memory.ranges import MappedMemory
from polydbg.memory.search import Area, find_pattern, find_runs

_KIND = re.compile(r"-\s*(?:\[([^\]]*)\])?\s*(sa|su|[bwdqauv])(?![A-Za-z0-9_])")
_FLAG = re.compile(r"\s*(?:([1srw])|([nl])\s*([0-9a-fA-F]+))\s*")
_UNITS = {"b": 1, "w": 2, "d": 4, "q": 8, "a": 1, "u": 2}
_ALIGNED = "wdq"
_ROWS = {"b": "db", "a": "db", "w": "dW", "u": "dW", "d": "dc", "q": "dq"}
_ROW_BYTES = 16
_DEFAULT_SAVES = 1024
_DEFAULT_RUN = 3
_MAX_RUN = 0x1000
_WRITABLE = 0x4 | 0x8 | 0x40 | 0x80  # PAGE_READWRITE, _WRITECOPY, their executable forms
_COMMITTED = 0x1000


class SearchAddress(ShownItem, frozen=True):
    """A hit of which only the address was asked for (``-[1]``)."""

    address: Hex


class Flags(msgspec.Struct, eq=False):
    """What stands in brackets: *saves* hits, is *restricted* to saved ones, *writable* memory."""

    addresses_only: bool = False
    saves: bool = False
    restricted: bool = False
    writable: bool = False
    most_saved: int = _DEFAULT_SAVES
    least_run: int = _DEFAULT_RUN


@command(
    "s",
    summary="Find bytes, words or text in memory, that of image files included.",
    syntax="s [-[[1srw n N l N]]b|w|d|q|a|u|v] range pattern | s -[[l N]]sa|su range",
    example='s -a 0 L?7fffffffffff "abc"    the whole dump; L? lifts the limit of 256 MB. '
    "s -sa @rsp L1000 lists strings, s -[1]d prints addresses alone. Where the dump has no memory, "
    "read-only sections of the matching image file are searched",
    family="memory",
)
def search(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.peek().isalpha():
        cursor.position += 1
        raise cursor.error("Syntax error", hint="s -b|w|d|q|a|u range pattern")
    begin = cursor.position
    kind, flags = _options(ctx, cursor)
    if cursor.at_end:
        raise _no_pattern(cursor, begin)
    size = ctx.system.pointer_size if kind == "v" else _UNITS.get(kind, 1 if kind == "sa" else 2)
    found = ctx.range(cursor, element_size=size, default_count=None, overflow=None)
    if kind in ("sa", "su"):
        yield from _strings(ctx, found, flags, size)
    elif kind == "v":
        yield from _objects(ctx, cursor, found, flags)
    else:
        yield from _pattern(ctx, cursor, begin, found, flags, kind)


def _no_pattern(cursor: Cursor, begin: int) -> CommandError:
    text = "s" + cursor.text[begin : cursor.position]
    return CommandError(
        f"Search pattern missing from '{text.rstrip()}'", hint='s -a @rsp L1000 "text"'
    )


def _options(ctx: CommandContext, cursor: Cursor) -> tuple[str, Flags]:
    """Read ``-[flags]type``; without it bytes are searched."""
    cursor.skip_blanks()
    if cursor.peek() != "-":
        return "b", Flags()
    match = cursor.match(_KIND.pattern)
    if match is None:
        cursor.position += 2
        raise cursor.error("Syntax error", hint="the types are b w d q a u v sa su")
    flags = Flags()
    text, at = match.group(1) or "", 0
    while at < len(text):
        flag = _FLAG.match(text, at)
        if flag is None:
            raise cursor.error("Syntax error", hint="the flags are 1 s r w, n COUNT, l LENGTH")
        at = flag.end()
        if flag.group(2):
            try:
                number = int(flag.group(3), ctx.session.settings.radix)
            except ValueError:
                raise cursor.error("Syntax error") from None
            if flag.group(2) == "n":
                flags.most_saved = number
            else:
                flags.least_run = min(max(number, 1), _MAX_RUN)
        flags.addresses_only |= flag.group(1) == "1"
        flags.saves |= flag.group(1) == "s"
        flags.restricted |= flag.group(1) == "r"
        flags.writable |= flag.group(1) == "w"
    return match.group(2), flags


def _areas(ctx: CommandContext, found: Range, flags: Flags) -> Iterator[Area]:
    """Yield where to search: the range, with image files behind it, or what of it is known to be
    writable."""
    system = ctx.system
    space = system.memory.target
    present = len(space.buffer) if isinstance(space, MappedMemory) else found.size
    end = found.start + found.size
    fill = None
    if not flags.writable:
        fill = system.memory.from_images(found.start, end, ctx.cancel.check)
        present += fill.size
    total = max(1, min(found.size, present))
    patch = system.overlay.apply if system.overlay is not None else None

    def poll(done: int) -> None:
        ctx.cancel.check()
        if done:
            ctx.progress("searching", min(done, total), total)

    if not flags.writable:
        yield Area(space, found.start, end, poll, patch, fill if fill and fill.size else None)
        return
    for region in system.target.regions():
        if region.state == _COMMITTED and region.protect & _WRITABLE:
            first, last = max(region.base, found.start), min(region.end, end)
            if first < last:
                yield Area(space, first, last, poll, patch)


def _warnings(ctx: CommandContext, flags: Flags) -> Iterator[Item]:
    if flags.writable and not ctx.system.target.regions():
        yield Notice(
            identifier="search.no-protection",
            value="the dump does not say which memory is writable, so -[w] finds nothing",
        )


def _addresses(
    ctx: CommandContext, found: Range, flags: Flags, pattern: bytes, granularity: int
) -> Iterator[int]:
    """Yield the hits of *pattern*, and save them if asked to."""
    view = ctx.system.memory_view
    if flags.restricted:
        hits = _restricted(ctx, list(view.found), found, pattern)
    else:
        hits = (
            hit
            for area in _areas(ctx, found, flags)
            for hit in find_pattern(area, pattern, granularity)
        )
    saved: list[int] = []
    if flags.saves:
        view.found = saved
    for hit in hits:
        if flags.saves and len(saved) < flags.most_saved:
            saved.append(hit)
        yield hit


def _restricted(
    ctx: CommandContext, saved: list[int], found: Range, pattern: bytes
) -> Iterator[int]:
    for address in saved:
        ctx.cancel.check()
        if not found.start <= address <= found.start + found.size - len(pattern):
            continue
        if ctx.system.memory.read_some(address, len(pattern)) == pattern:
            yield address


def _pattern(
    ctx: CommandContext, cursor: Cursor, begin: int, found: Range, flags: Flags, kind: str
) -> Iterator[Item]:
    if cursor.at_end:
        raise _no_pattern(cursor, begin)
    unit = _UNITS[kind]
    if kind in "au":
        text = cursor.string_or_word()
        pattern = text.encode("utf-8" if kind == "a" else "utf-16-le", "surrogatepass")
    else:
        pattern = read_values(ctx, cursor, unit)
    if not pattern:
        raise _no_pattern(cursor, begin)
    yield from _warnings(ctx, flags)
    show = _row_of(ctx, kind)
    for hit in _addresses(ctx, found, flags, pattern, unit if kind in _ALIGNED else 1):
        yield _address(ctx, hit) if flags.addresses_only else show(hit)


def _address(ctx: CommandContext, hit: int) -> SearchAddress:
    digits = 2 * ctx.system.pointer_size
    text = f"{hit:0{digits}x}"
    if digits == 16:
        text = f"{text[:8]}`{text[8:]}"
    return SearchAddress(address=hit, shown=f"0x{text}")


def _row_of(ctx: CommandContext, kind: str) -> Callable[[int], MemoryRow]:
    """Return what shows a hit: a full row of 16 bytes from it on."""
    layout = next(each for each in LAYOUTS if each.name == _ROWS[kind])
    unit = layout.unit
    columns = _ROW_BYTES // unit
    system = ctx.system
    assert unit in CODES

    def show(hit: int) -> MemoryRow:
        cells = read_cells(system.memory, hit, columns, unit, system.byte_order)
        return memory_row(system, layout, hit, cells, unit, columns)

    return show


def _strings(ctx: CommandContext, found: Range, flags: Flags, unit: int) -> Iterator[Item]:
    yield from _warnings(ctx, flags)
    for area in _areas(ctx, found, flags):
        for address, run in find_runs(area, flags.least_run, unit, is_shown):
            if flags.addresses_only:
                yield _address(ctx, address)
            else:
                yield from _string_rows(ctx, address, run, unit)


def _string_rows(ctx: CommandContext, address: int, run: bytes, unit: int) -> Iterator[StringRow]:
    order = ctx.system.byte_order
    codes = [int.from_bytes(run[at : at + unit], order) for at in range(0, len(run), unit)]
    for at in range(0, len(codes), STRING_WIDTH):
        yield string_row(ctx.system, address + at * unit, codes[at : at + STRING_WIDTH], unit)


def _objects(ctx: CommandContext, cursor: Cursor, found: Range, flags: Flags) -> Iterator[Item]:
    """Find objects with the virtual function table of the one whose address is given."""
    if cursor.at_end:
        raise cursor.error("Non-empty string required", hint="give the address of an object")
    size = ctx.system.pointer_size
    example = ctx.expression(cursor)
    table = read_pointer(ctx.system.memory, example, size, ctx.system.byte_order)
    if table is None:
        raise cursor.error("Memory access error", hint=f"no object is present at {example:#x}")
    pattern = table.to_bytes(size, ctx.system.byte_order)
    for hit in _addresses(ctx, found, flags, pattern, size):
        yield _address(ctx, hit) if flags.addresses_only else word_row(ctx, hit, table, size)
