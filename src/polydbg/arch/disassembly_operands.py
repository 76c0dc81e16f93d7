"""Memory operands of an instruction and the effective-address text of WinDbg's stop display.

The text (``ss:00007ffe`3c40e9d8=00000000``) belongs to the row of the current instruction in
``r``, ``.ecxr``, ``.frame /r`` and at stops, not to listings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from polydbg.arch.registers import AMD64_PARTS, sub_register

if TYPE_CHECKING:
    from polydbg.arch.disassembly import Disassembler, Instruction

Symbolizer = Callable[[int], str | None]
Reader = Callable[[int, int], bytes | None]

_POINTER = re.compile(r"(?:\b([a-z]+) ptr )?(?:[^,\[\]]*?)\[")
_MEMORY = re.compile(r"(?:\b([c-gs]s):)?\[([^\]]*)\]")
_TERM = re.compile(r"([+-]?)\s*(\w+(?:\*\d)?)")
POINTER_SIZES = {
    "byte": 1,
    "word": 2,
    "dword": 4,
    "fword": 6,
    "qword": 8,
    "mmword": 8,
    "tbyte": 10,
    "oword": 16,
    "xmmword": 16,
    "ymmword": 32,
    "zmmword": 64,
}
"""Bytes of memory operands by the word before ``ptr``."""
_STACK_BASES = frozenset({"rsp", "rbp", "esp", "ebp", "sp", "bp"})
_NO_ACCESS = frozenset({"lea", "nop"})
_STRING_NAMES = frozenset({"movs", "cmps", "stos", "lods", "scas", "ins", "outs"})
_LAST_COLUMN = 79


class MemoryOperand(msgspec.Struct, frozen=True):
    """Memory that an instruction reads or writes.

    *offset* is the address within the segment, as displayed; *address* the linear one, None
    where the segment's base is unknown. *size* is in bytes. *is_target* marks the operand of an
    indirect jump or call, whose value is an address of code.
    """

    segment: str
    offset: int
    address: int | None
    size: int
    is_target: bool = False


def memory_operands(
    disassembler: Disassembler, instruction: Instruction, registers: Mapping[str, int]
) -> list[MemoryOperand]:
    """Return the memory operands of *instruction*, in the order of its text.

    *registers* are values by lower-case name; ``fs_base`` and ``gs_base`` make those segments
    readable. Operands that depend on a register not given are left out, as are all of ``lea``
    and ``nop``, which access nothing. As in the engine there are none for string instructions
    of x64 (x86 shows both) and for ARM64.
    """
    words = instruction.mnemonic.split()
    if disassembler.unit != 1 or not words or words[-1] in _NO_ACCESS:
        return []
    if "[" not in instruction.operands or (
        disassembler.arch == "amd64" and words[-1] in _STRING_NAMES
    ):
        return []
    decoded = next(
        disassembler.engine().disassemble(instruction.data, instruction.address, 1), None
    )
    if decoded is None:
        return []
    found: list[MemoryOperand] = []
    is_target = words[-1] in ("call", "jmp")
    # The sizes are taken from our text, which corrects some of the decoder's.
    sizes = [POINTER_SIZES.get(name, 0) for name in _POINTER.findall(instruction.operands)]
    for match, size in zip(_MEMORY.finditer(decoded[3]), sizes, strict=False):
        item = _operand(disassembler, instruction, match, registers) if size else None
        if item is not None:
            offset, segment = item
            address = _linear(segment, offset, registers)
            found.append(MemoryOperand(segment, offset, address, size, is_target))
    return found


def _operand(
    disassembler: Disassembler,
    instruction: Instruction,
    match: re.Match[str],
    registers: Mapping[str, int],
) -> tuple[int, str] | None:
    """Return offset and segment of a memory operand in the decoder's text
    (``gs:[rax + rcx*4 - 0x10]``), None if a register is missing."""
    segment, expression = match.group(1) or "", match.group(2)
    offset, base, narrow = 0, "", disassembler.pointer_size == 4
    for sign, term in _TERM.findall(expression):
        name, _, scale = term.partition("*")
        if name[0].isdigit():
            value: int | None = int(name, 0)
        elif name in ("rip", "eip"):
            value = instruction.end
        elif name in ("riz", "eiz"):
            value = 0
        else:
            value = register_value(name, registers)
            narrow = narrow or AMD64_PARTS.get(name) is not None
            base = base or ("" if scale else name)
        if value is None:
            return None
        value *= int(scale) if scale else 1
        offset += -value if sign == "-" else value
    offset &= 0xFFFFFFFF if narrow else 0xFFFFFFFFFFFFFFFF
    return offset, segment or ("ss" if base in _STACK_BASES else "ds")


def _linear(segment: str, offset: int, registers: Mapping[str, int]) -> int | None:
    if segment in ("fs", "gs"):
        base = registers.get(f"{segment}_base")
        return None if base is None else (base + offset) & 0xFFFFFFFFFFFFFFFF
    return offset


def register_value(name: str, registers: Mapping[str, int]) -> int | None:
    """Return the value of a register or of a part of one (``r8d`` from ``r8``), None if missing."""
    value = registers.get(name)
    if value is None and (part := sub_register(name, registers)) is not None:
        parent = registers.get(part.parent)
        value = None if parent is None else part.extract(parent)
    return value


def register_target(instruction: Instruction, registers: Mapping[str, int]) -> int | None:
    """Return where ``call rax`` or ``jmp rax`` goes; None for other instructions."""
    words = instruction.mnemonic.split()
    if not words or words[-1] not in ("call", "jmp"):
        return None
    return register_value(instruction.operands, registers)


def effective_address_suffix(
    operands: Iterable[MemoryOperand],
    read: Reader,
    symbolize: Symbolizer | None,
    *,
    bits: int = 64,
    selectors: Mapping[str, int] | None = None,
) -> str:
    """Return the effective addresses with their values as WinDbg prints them, "" if none.

    *read* returns the bytes at a linear address or None, then ``?`` are shown. *selectors* are
    the values of the segment registers, which x86 and kernel targets show
    (``ds:002b:00120044=...``) and x64 user mode does not. Use :func:`append_suffix` to put the
    text behind a row.
    """
    texts = []
    for operand in operands:
        selector = ""
        if selectors is not None:
            selector = f"{selectors.get(operand.segment, 0):04x}:"
        data = None
        if operand.address is not None:
            data = read(operand.address, operand.size)
        value = _value(operand, data, symbolize, bits)
        texts.append(f"{operand.segment}:{selector}{_address(operand.offset, bits)}={value}")
    return " ".join(texts)


def target_suffix(target: int, symbolize: Symbolizer | None, *, bits: int = 64) -> str:
    """Return ``{app!f (00007ff6`1b40b3c8)}``, shown behind a call or jump through a register."""
    name = symbolize(target) if symbolize is not None else None
    text = _address(target, bits)
    return f"{{{name} ({text})}}" if name else f"{{{text}}}"


def append_suffix(row: str, suffix: str) -> str:
    """Return *row* with *suffix* (an effective address, ``[br=1]``) behind it.

    It ends in column 79 if there is room, and is set off by one blank otherwise.
    """
    if not suffix:
        return row
    return f"{row} {suffix:>{max(0, _LAST_COLUMN - len(row) - 1)}}"


def _value(
    operand: MemoryOperand, data: bytes | None, symbolize: Symbolizer | None, bits: int
) -> str:
    if data is None or len(data) != operand.size:
        return "?" * (operand.size * 2)
    value = int.from_bytes(data, "little")
    if operand.is_target and operand.size * 8 == bits:
        return target_suffix(value, symbolize, bits=bits)
    return f"{value:0{operand.size * 2}x}"


def _address(value: int, bits: int) -> str:
    if bits == 32:
        return f"{value & 0xFFFFFFFF:08x}"
    return f"{value >> 32:08x}`{value & 0xFFFFFFFF:08x}"
