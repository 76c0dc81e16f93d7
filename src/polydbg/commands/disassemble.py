"""``u``, ``ub``, ``uu``: code as it lies; ``#``: a search in its text.

Code comes from the dump, else from the matching image file. ``uf`` is in
:mod:`polydbg.commands.disassemble_function`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.arch.disassembly import Instruction
from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.base.wildcards import compile_wildcard
from polydbg.commands.code_rows import (
    default_start,
    go_on_at,
    rows,
    rows_or_error,
    unreadable,
)
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.registry import LIVE_FAMILY, command
from polydbg.commands.stop_display import RowStyle, code_row, symbolizer
from polydbg.engine.code import before, decoder_at, instructions
from polydbg.expr.ranges import Range

_DEFAULT_COUNT = 8
_MAX_BACKWARDS = 0x4000
_SEARCH_STEP = 256  # instructions between looks at the cancel token


def _forward(ctx: CommandContext, found: Range) -> Iterator[Instruction]:
    """Yield the instructions of *found*, and remember where they end."""
    system = ctx.system
    decoder = decoder_at(system, found.start)
    left = found.count
    end = found.start + found.size
    go_on_at(system, found.start)
    for instruction in instructions(system.memory, decoder, found.start, symbolizer(system)):
        if left == 0 or (left is None and instruction.address >= end):
            return
        if left is not None:
            left -= 1
        go_on_at(system, instruction.end)
        yield instruction


def _read_range(ctx: CommandContext, cursor: Cursor) -> Range:
    return ctx.range(
        cursor,
        element_size=1,
        default_count=_DEFAULT_COUNT,
        default_start=default_start(ctx.system),
    )


@command(
    "u",
    summary="Disassemble forward, 8 instructions unless told; goes on where it ended.",
    syntax="u [address [L count] | address end]",
    example="u @rip L4    four instructions; uf shows the whole function, ub what comes before",
    family="disassemble",
)
def unassemble(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    found = _read_range(ctx, cursor)
    style = RowStyle.of(ctx.session.settings)
    yield from rows_or_error(ctx, cursor, _forward(ctx, found), style)


@command(
    "uu",
    summary="Disassemble forward, across memory that cannot be read.",
    syntax="uu [address [L count] | address end]",
    example="uu @rip-4 L10",
    family="disassemble",
)
def unassemble_unreadable(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    found = _read_range(ctx, cursor)
    yield from rows(ctx, _forward(ctx, found), RowStyle.of(ctx.session.settings))


@command(
    "ub",
    summary="Disassemble the instructions before an address, 8 unless told.",
    syntax="ub [address [L count]]",
    example="ub . L4    what led to the current instruction",
    family="disassemble",
)
def unassemble_backwards(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    found = _read_range(ctx, cursor)
    if found.count is None or found.count > _MAX_BACKWARDS:
        raise cursor.error(
            "Range error", hint=f"ub takes an address and L count, at most {_MAX_BACKWARDS:#x}"
        )
    decoder, names = decoder_at(system, found.start), symbolizer(system)
    listed: list[Instruction] = []
    end = found.start
    while len(listed) < found.count:
        ctx.cancel.check()
        place = system.modules.place(end - 1) if end else None
        anchor = end - 1 - place.displacement if place is not None and place.symbol else None
        wanted = found.count - len(listed)
        more = before(system.memory, decoder, end, wanted, names, anchor)
        if not more:
            break
        listed = more + listed
        end = more[0].address
    if not listed and found.count:
        error = unreadable(ctx, cursor, found.start - 1)
        raise cursor.error("Unable to find valid previous instruction", hint=error.hint)
    go_on_at(system, found.start)
    yield from rows(ctx, listed, RowStyle.of(ctx.session.settings))


def _refused(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    """``up``, ``ur``, ``ux``: what only a kernel target has."""
    start = cursor.position - 2
    cursor.rest()
    raise CommandError(
        "Operation not supported in current debug session",
        caret=start,
        identifier="target.unsupported",
        hint="a user dump has virtual memory only, which u shows",
    )
    yield  # a generator like every command


for _name, _what in (
    ("up", "code at a physical address"),
    ("ur", "code of 16-bit real mode"),
    ("ux", "code of the BIOS"),
):
    command(
        _name,
        summary=f"Disassemble {_what} (kernel targets only). Not possible with a dump.",
        syntax=f"{_name} address",
        example=f"{_name} 1000    a dump of a process has virtual memory only, which u shows",
        family=LIVE_FAMILY,
    )(_refused)


def _compile(pattern: str) -> re.Pattern[str]:
    blanks = " ".join(pattern.split())
    return compile_wildcard(f"*{blanks}*", symbols=False)


def _matches(wanted: re.Pattern[str], instruction: Instruction, address: str) -> bool:
    """Say whether a part of the row matches: address, bytes, mnemonic, operands, or both last."""
    parts = [address, instruction.data.hex(), instruction.mnemonic]
    if instruction.operands:
        parts += [instruction.operands, f"{instruction.mnemonic} {instruction.operands}"]
    return any(wanted.fullmatch(part) for part in parts)


@command(
    "#",
    summary="Find the next instruction whose text matches; again without arguments.",
    syntax="# [pattern [address [L count]]]",
    example='# "call*" practice!main L200    wildcards * ? [] # +; quotes keep blanks',
    family="disassemble",
    aliases=("!igrep",),
)
def search_code(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.system.code_view
    pattern = cursor.string_or_word()
    if pattern:
        view.pattern = pattern
    if not view.pattern:
        raise cursor.error("Syntax error", hint="# PATTERN [ADDRESS]; then # alone goes on")
    start = view.search_address
    if start is None:
        start = ctx.system.pc or 0
    if cursor.at_end:
        found = Range(start, 0, None)
    else:
        found = ctx.range(cursor, element_size=1, default_count=0, default_start=start)
    yield from _search(ctx, cursor, found, _compile(view.pattern))


def _search(
    ctx: CommandContext, cursor: Cursor, found: Range, wanted: re.Pattern[str]
) -> Iterator[Item]:
    """Yield the first match in *found*, in all that can be read if it is empty.

    :raises CommandError: nothing readable is left.
    """
    system, view = ctx.system, ctx.system.code_view
    decoder = decoder_at(system, found.start)
    stream = instructions(system.memory, decoder, found.start, symbolizer(system))
    for number, instruction in enumerate(stream):
        if number % _SEARCH_STEP == 0:
            ctx.cancel.check()
            ctx.progress("instructions searched", number, 0)
        view.search_address = instruction.address
        if found.size and (
            instruction.address >= found.start + found.size
            if found.count is None
            else number >= found.count
        ):
            return
        if not instruction.data:
            hint = unreadable(ctx, cursor, instruction.address).hint
            raise cursor.error(
                "Memory access error",
                hint=f"no match before {address_text(instruction.address, system.pointer_size)}"
                + (f"; {hint}" if hint else ""),
            )
        if _matches(wanted, instruction, address_text(instruction.address, system.pointer_size)):
            view.search_address = instruction.end
            yield code_row(system, instruction, RowStyle.of(ctx.session.settings), padded=False)
            return
