"""What listings of code share: headings, rows with source lines, where to begin.

A heading stands above the first row and again where the symbol changes. The first one also says
in which inlined call it is; a change from one inlined call to another has no heading
(transcripts loader-inside, fastpath).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from polydbg.arch.disassembly import Instruction
from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.stop_display import (
    InstructionRow,
    RowStyle,
    SymbolLine,
    code_row,
    inlined_name,
)
from polydbg.engine.modules import Place
from polydbg.engine.session import System
from polydbg.symbols.source import LineEntry


def default_start(system: System) -> int:
    """Return where a listing without an address begins."""
    return system.code_view.start(system.pc)


def go_on_at(system: System, address: int) -> None:
    """Remember where the next listing without an address begins."""
    mask = (1 << 8 * system.pointer_size) - 1
    system.code_view.go_on_at(address & mask, system.pc)


def source_line(ctx: CommandContext, address: int) -> LineEntry | None:
    """Return the line of *address* in its own function, where lines are wanted."""
    return ctx.system.modules.line_at(address) if ctx.session.settings.lines else None


def line_suffix(entry: LineEntry | None) -> str:
    """Return `` [file @ line]``, ``""`` without one."""
    return f" [{sanitise_line(entry.file)} @ {entry.line}]" if entry else ""


def heading(
    ctx: CommandContext, address: int, place: Place, *, inlined: bool = False
) -> SymbolLine | None:
    """Return the heading of a row, ``None`` outside every module."""
    if not (place.module or place.unloaded):
        return None
    entry = source_line(ctx, address) if place.symbol else None
    suffix = line_suffix(entry)
    shown = f"{place.text}{suffix}"
    inner = inlined_name(ctx, address) if inlined else None
    if inner is not None:
        shown = f"{inner}{suffix} [inlined in {shown}]"
    return SymbolLine(
        address=address,
        name=place.text,
        file=sanitise_line(entry.file) if entry else "",
        line=entry.line if entry else 0,
        shown=f"{shown}:",
    )


def rows(
    ctx: CommandContext, found: Iterable[Instruction], style: RowStyle
) -> Iterator[SymbolLine | InstructionRow]:
    """Yield *found* with their headings."""
    system = ctx.system
    current: tuple[object, ...] | None = None
    has_lines = False
    for instruction in found:
        address = instruction.address
        place = system.modules.place(address)
        key = (place.module, place.symbol, place.unloaded, address - place.displacement)
        if not (place.module or place.unloaded):
            key = ("", "", "", 0)
        entry = source_line(ctx, address) if style.lines and place.symbol else None
        if key != current:
            title = heading(ctx, address, place, inlined=current is None)
            current, has_lines = key, entry is not None
            if title is not None:
                yield title
        yield code_row(system, instruction, style, entry.line if entry else 0, padded=has_lines)


def unreadable(ctx: CommandContext, cursor: Cursor, address: int) -> CommandError:
    """Return the error for code that is neither in the dump nor in an image file."""
    module = ctx.system.modules.at(address)
    hint = ""
    if module is not None and ctx.system.modules.file_image(module) is None:
        hint = f"no matching image file for {module.name}: .exepath+ FOLDER says where to look"
    return cursor.error("Memory access error", hint=hint)


def rows_or_error(
    ctx: CommandContext, cursor: Cursor, found: Iterable[Instruction], style: RowStyle
) -> Iterator[Item]:
    """Yield *found* with headings up to the first that cannot be read, which ends the command.

    :raises CommandError: an instruction could not be read.
    """
    missing: list[int] = []

    def until_missing() -> Iterator[Instruction]:
        for instruction in found:
            yield instruction
            if not instruction.data:
                missing.append(instruction.address)
                return

    yield from rows(ctx, until_missing(), style)
    if missing:
        go_on_at(ctx.system, missing[0])
        raise unreadable(ctx, cursor, missing[0])
