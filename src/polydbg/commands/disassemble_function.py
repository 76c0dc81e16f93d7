"""``uf``: a whole function by control flow, block by block, or only its calls."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.arch.disassembly import FlowKind, Instruction
from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.commands.code_rows import (
    heading,
    line_suffix,
    source_line,
    unreadable,
)
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.stop_display import RowStyle, code_row, symbolizer
from polydbg.engine.code import decoder_at
from polydbg.engine.flow import MAX_INSTRUCTIONS, FlowAnalysis, FunctionCode
from polydbg.engine.functions import Function, function_at


class FunctionCall(ShownItem, frozen=True):
    """A call of ``uf /c``. *target* and *name* are of the callee, ``None`` and ``""`` where the
    call is computed; *instruction* is the call as disassembled."""

    address: Hex
    site: str
    target: Hex | None
    name: str
    instruction: str


@command(
    "uf",
    summary="Disassemble the function at an address, by control flow.",
    syntax="uf [/c] [/D] [/m] [/o] [/O] [/i] [address]",
    example="uf /c practice!main    only its calls; /o by address, /i counts, /m more blocks",
    family="disassemble",
)
def unassemble_function(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = set[str]()
    cursor.skip_blanks()
    # /D and /O only add links, which text does not have.
    while found := cursor.match(r"/([cDmoOi]+)(?=[\s;]|$)"):
        options.update(found.group(1))
        cursor.skip_blanks()
    if cursor.peek() == "/":
        cursor.position += 2
        raise cursor.error("Syntax error", hint="the options are /c /D /m /o /O /i")
    address = (ctx.system.pc or 0) if cursor.at_end else ctx.expression(cursor)
    code = _analyse(ctx, address, several_exits="m" in options)
    first = code.rows.get(code.function.start)
    if first is None or not first.data:
        hint = unreadable(ctx, cursor, code.function.start).hint
        raise CommandError("No code found, aborting", identifier="disassembly.no-code", hint=hint)
    yield from _notices(code)
    if "i" in options:
        yield Text(value=f"{len(code.rows)} instructions scanned")
        yield Heading(value="")
    if "c" in options:
        yield from _calls(ctx, code)
    else:
        yield from _listing(ctx, code, by_address="o" in options)


def _analyse(ctx: CommandContext, address: int, *, several_exits: bool) -> FunctionCode:
    system = ctx.system
    function = function_at(system.modules, address)

    def step(done: int) -> None:
        ctx.cancel.check()
        ctx.progress("instructions", done, 0)

    return FlowAnalysis(
        system.memory,
        decoder_at(system, function.start),
        function,
        symbolizer(system),
        step,
        several_exits=several_exits,
    ).run()


def _notices(code: FunctionCode) -> Iterator[Notice]:
    function = code.function
    if function.is_from_unwind:
        yield Notice(
            identifier="disassembly.extent-from-unwind-data",
            value="no symbol names this function; where it begins and ends is from the unwind "
            "data of its image",
        )
    elif function.symbol is None:
        yield Notice(
            identifier="disassembly.extent-unknown",
            value="no symbol and no unwind data say where this function begins; "
            "the address given is taken as its start",
        )
    if not code.is_complete:
        yield Notice(
            identifier="disassembly.incomplete-flow",
            value="Flow analysis was incomplete, some code may be missing",
        )
    if code.is_cut:
        yield Notice(
            identifier="disassembly.cut",
            value=f"the function is shown up to {MAX_INSTRUCTIONS} instructions",
        )


def _listing(ctx: CommandContext, code: FunctionCode, *, by_address: bool) -> Iterator[Item]:
    system = ctx.system
    style = RowStyle.of(ctx.session.settings, lines=True)
    has_lines = source_line(ctx, code.function.start) is not None
    for number, block in enumerate(code.blocks(by_address=by_address)):
        if number:
            yield Heading(value="")
        title = heading(ctx, block[0].address, system.modules.place(block[0].address))
        if title is not None:
            yield title
        for row in block:
            entry = source_line(ctx, row.address)
            yield code_row(system, row, style, entry.line if entry else 0, padded=has_lines)


def _calls(ctx: CommandContext, code: FunctionCode) -> Iterator[Item]:
    yield Text(value=_place_text(ctx, code.function.start))
    decoder = decoder_at(ctx.system, code.function.start)
    found = False
    for block in code.blocks():
        for row in block:
            if row.data and decoder.flow(row).kind is FlowKind.CALL:
                found = True
                yield _call(ctx, code.function, row)
    if not found:
        yield Text(value="    no calls found")


def _call(ctx: CommandContext, function: Function, row: Instruction) -> FunctionCall:
    system = ctx.system
    target = decoder_at(system, row.address).flow(row).target
    what = f"unresolvable call: {row.text}"
    if target is None:
        target = _through_pointer(ctx, row)
    if target is not None:
        what = f"call to {_place_text(ctx, target)}"
    site = _place_text(ctx, row.address)
    return FunctionCall(
        address=row.address,
        site=system.modules.place(row.address).text,
        target=target,
        name="" if target is None else system.modules.place(target).text,
        instruction=row.text,
        shown=f"  {site}:\n    {what}",
    )


def _through_pointer(ctx: CommandContext, row: Instruction) -> int | None:
    """Return where a call through a pointer at a fixed address (an import) goes.

    Only the dump knows: in the image file, imports are not bound yet.
    """
    system = ctx.system
    decoder = decoder_at(system, row.address)
    pc = "eip" if decoder.pointer_size == 4 else "rip"
    operands = decoder.memory_operands(row, {pc: row.end})
    if len(operands) != 1 or operands[0].address is None:
        return None
    data = system.memory.target.read_some(operands[0].address, decoder.pointer_size)
    if len(data) < decoder.pointer_size:
        return None
    target = int.from_bytes(data, "little")
    return target if system.modules.at(target) is not None else None


def _place_text(ctx: CommandContext, address: int) -> str:
    """Return ``app!f+0x3c (address) [file @ line]``."""
    place = ctx.system.modules.place(address)
    name = f"{place.text} " if place.module or place.unloaded else ""
    suffix = line_suffix(source_line(ctx, address) if place.symbol else None)
    return f"{name}({address_text(address, ctx.system.pointer_size)}){suffix}"
