"""What stands at a stop: registers, symbol line, instruction; and the row of any instruction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from polydbg.arch.disassembly import (
    LONGEST_INSTRUCTION,
    Instruction,
    Symbolizer,
    append_suffix,
    effective_address_suffix,
)
from polydbg.arch.registers import program_counter
from polydbg.base.errors import MemoryReadError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.registers_text import block_lines
from polydbg.engine.code import decoder_at
from polydbg.engine.session import System
from polydbg.engine.settings import ONLY_SOURCE, SHOW_SOURCE, Settings
from polydbg.engine.stack import inlined_place


class RegisterBlock(ShownItem, frozen=True):
    """Registers in force. *registers* maps names to hex strings; those not known are absent."""

    registers: dict[str, Hex]


class InstructionRow(ShownItem, frozen=True):
    """One instruction of a listing or at a stop. *effective* is its operand's address and value,
    *line* its source line where the listing shows lines, else 0."""

    address: Hex
    data: str
    mnemonic: str
    operands: str
    effective: str
    line: int = 0


class SymbolLine(ShownItem, frozen=True):
    """The heading of a listing: ``app!f+0x12 [file @ line]:``."""

    address: Hex
    name: str
    file: str
    line: int


class RowStyle(msgspec.Struct, frozen=True):
    """How rows look. *columns* is the room for the code bytes; *lines* puts source lines first.

    ``.asm verbose`` says nothing more for any processor that polydbg decodes (the engine's
    documentation: Itanium only).
    """

    code_bytes: bool = True
    columns: int = 16
    lines: bool = False

    @classmethod
    def of(cls, settings: Settings, *, lines: bool = False) -> RowStyle:
        """Return the style that ``.asm`` chose; *lines* asks for source lines in any case."""
        options = settings.assembly_options
        return cls(
            code_bytes="no_code_bytes" not in options,
            columns=24 if "ignore_output_width" in options else 16,
            lines=settings.lines and (lines or "source_line" in options),
        )


def symbolizer(system: System) -> Symbolizer:
    """Return a function that names addresses; those outside every module stay bare (``None``)."""

    def name(address: int) -> str | None:
        place = system.modules.place(address)
        return place.text if place.module or place.unloaded else None

    return name


def read_or_none(system: System, address: int, size: int) -> bytes | None:
    """Return the bytes at *address*, ``None`` where not all of them are present."""
    try:
        return system.memory.read(address, size)
    except MemoryReadError:
        return None


def register_block(registers: Mapping[str, int], mask: int, arch: str) -> RegisterBlock:
    """Return the item for the registers that *mask* selects."""
    shown = "\n".join(block_lines(registers, mask, arch))
    return RegisterBlock(registers=dict(registers), shown=shown)


def code_row(
    system: System, instruction: Instruction, style: RowStyle, line: int = 0, *, padded: bool = True
) -> InstructionRow:
    """Return the item of one instruction; without a line, *padded* leaves room for one."""
    row = instruction.row(
        address_text(instruction.address, system.pointer_size),
        code_bytes=style.code_bytes,
        columns=style.columns,
    )
    if style.lines and (line or padded):
        row = f"{line or '':>5} {row}"
    return InstructionRow(
        address=instruction.address,
        data=instruction.data.hex(),
        mnemonic=instruction.mnemonic,
        operands=instruction.operands,
        effective="",
        shown=row,
        line=line,
    )


def instruction_at(
    system: System,
    address: int,
    registers: Mapping[str, int] | None,
    style: RowStyle,
) -> InstructionRow:
    """Return the instruction at *address*; with *registers* its effective address is shown."""
    data = system.memory.read_some(address, LONGEST_INSTRUCTION)
    decoder = decoder_at(system, address)
    names = symbolizer(system)
    found = decoder.decode_one(data, address, names) if data else None
    if found is None:
        row = f"{address_text(address, system.pointer_size)} ??              ???"
        return InstructionRow(
            address=address, data="", mnemonic="???", operands="", effective="", shown=row
        )
    suffix = ""
    if registers is not None:
        suffix = effective_address_suffix(
            decoder.memory_operands(found, registers),
            lambda at, size: read_or_none(system, at, size),
            names,
            bits=8 * system.pointer_size,
            selectors=registers if system.machine == "x86" else None,
        )
    item = code_row(system, found, style, padded=False)
    return msgspec.structs.replace(item, effective=suffix, shown=append_suffix(item.shown, suffix))


def inlined_name(ctx: CommandContext, address: int) -> str | None:
    """Return the name and offset of the innermost inlined call at *address*, if there is one."""
    inner = inlined_place(ctx.system, address) if ctx.session.settings.inline else None
    return inner.text if inner is not None else None


def stop_display(ctx: CommandContext, registers: Mapping[str, int]) -> Iterator[Item]:
    """Yield the symbol line and the instruction at the pc of *registers*; with ``l+s`` the source
    line before them, with ``l+o`` as well that alone (transcript live-step)."""
    system = ctx.system
    pc = program_counter(registers)
    if pc is None:
        return
    if ctx.session.settings.source_options & SHOW_SOURCE:
        from polydbg.commands.source_listing import source_at_stop

        source = list(source_at_stop(ctx, pc))
        yield from source
        if source and ctx.session.settings.source_options & ONLY_SOURCE:
            return
    place = system.modules.place(pc)
    shown = place.text
    inner = inlined_name(ctx, pc) if place.symbol else None
    if inner is not None:
        shown = f"{inner} [inlined in {shown}]"
    if place.module or place.unloaded:
        yield SymbolLine(address=pc, name=place.text, file="", line=0, shown=f"{shown}:")
    yield instruction_at(system, pc, registers, RowStyle.of(ctx.session.settings))


def selection_display(ctx: CommandContext) -> Iterator[Item]:
    """Yield what choosing a thread shows: only x86 has its registers there (all transcripts)."""
    registers = ctx.system.scope_registers()
    if ctx.system.machine == "x86":
        yield from registers_and_instruction(ctx, registers)
    else:
        yield from stop_display(ctx, registers)


def registers_and_instruction(
    ctx: CommandContext, registers: Mapping[str, int], mask: int | None = None
) -> Iterator[Item]:
    """Yield the register block of the session's mask, then the stop display."""
    chosen = ctx.session.settings.register_mask if mask is None else mask
    yield register_block(registers, chosen, ctx.system.machine)
    yield from stop_display(ctx, registers)
