"""What stands at a stop: the register block, the symbol line, the instruction with its operands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from polydbg.arch.disassembly import (
    LONGEST_INSTRUCTION,
    Disassembler,
    Symbolizer,
    append_suffix,
    effective_address_suffix,
)
from polydbg.base.errors import MemoryReadError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Hex, Item
from polydbg.commands.registers_text import block_lines
from polydbg.engine.session import System


class RegisterBlock(Item, frozen=True):
    """Registers in force. *registers* maps names to hex strings; those not known are absent."""

    registers: dict[str, Hex]
    shown: str

    def text(self) -> str:
        return self.shown


class InstructionRow(Item, frozen=True):
    """One instruction of a listing or at a stop. *effective* is its operand's address and value,
    *line* its source line where the listing shows lines, else 0."""

    address: Hex
    data: str
    mnemonic: str
    operands: str
    effective: str
    shown: str
    line: int = 0

    def text(self) -> str:
        return self.shown


class SymbolLine(Item, frozen=True):
    """The heading of a listing: ``app!f+0x12 [file @ line]:``."""

    address: Hex
    name: str
    file: str
    line: int
    shown: str

    def text(self) -> str:
        return self.shown


_DISASSEMBLERS: dict[str, Disassembler] = {}


def disassembler(arch: str) -> Disassembler:
    """Return the one disassembler of *arch*."""
    if arch not in _DISASSEMBLERS:
        _DISASSEMBLERS[arch] = Disassembler(arch)
    return _DISASSEMBLERS[arch]


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


def register_block(registers: Mapping[str, int], mask: int) -> RegisterBlock:
    """Return the item for the registers that *mask* selects."""
    return RegisterBlock(registers=dict(registers), shown="\n".join(block_lines(registers, mask)))


def instruction_at(
    system: System, address: int, registers: Mapping[str, int] | None
) -> InstructionRow:
    """Return the instruction at *address*; with *registers* its effective address is shown."""
    data = system.memory.read_some(address, LONGEST_INSTRUCTION)
    decoder = disassembler(system.target.arch)
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
        )
    row = found.row(address_text(address, system.pointer_size))
    return InstructionRow(
        address=address,
        data=found.data.hex(),
        mnemonic=found.mnemonic,
        operands=found.operands,
        effective=suffix,
        shown=append_suffix(row, suffix),
    )


def stop_display(ctx: CommandContext, registers: Mapping[str, int]) -> Iterator[Item]:
    """Yield the symbol line and the instruction at the pc of *registers*."""
    system = ctx.system
    pc = registers.get("rip")
    if pc is None:
        return
    place = system.modules.place(pc)
    yield SymbolLine(address=pc, name=place.text, file="", line=0, shown=f"{place.text}:")
    yield instruction_at(system, pc, registers)


def registers_and_instruction(
    ctx: CommandContext, registers: Mapping[str, int], mask: int | None = None
) -> Iterator[Item]:
    """Yield the register block of the session's mask, then the stop display."""
    yield register_block(registers, ctx.session.settings.register_mask if mask is None else mask)
    yield from stop_display(ctx, registers)
