"""Which memory the instruction at a fault reads and writes, from its operands and registers.

The system does not always report the address of a fault: for a non-canonical pointer x64 Windows
reports -1 and Linux 0 with SI_KERNEL. The operands hold it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from polydbg.arch.disassembly import Instruction
from polydbg.arch.disassembly_operands import POINTER_SIZES, register_value
from polydbg.arch.registers import stack_pointer
from polydbg.engine.analysis.model import AccessKind

_MEMORY = re.compile(
    r"(?:(byte|word|dword|fword|qword|mmword|tbyte|oword|xmmword|ymmword|zmmword)"
    r" ptr )?(?:[c-gs]s:)?\[([^\]]*)\]"
)
_TERM = re.compile(r"([+-]?)\s*([^+\-\s]+)")
_SYMBOLIC = re.compile(r".*\(([0-9a-f`]+)\)$")
_READS_FIRST = """
    cmp test bt push call jmp fld fild fldcw fldenv frstor fxrstor fxrstor64 xrstor xrstor64 fadd
    fsub fsubr fmul fdiv fdivr fcom fcomp fiadd fisub fisubr fimul fidiv fidivr ficom ficomp mul
    imul div idiv ldmxcsr prefetch prefetchw prefetcht0 prefetcht1 prefetcht2 prefetchnta clflush
    clflushopt comiss comisd ucomiss ucomisd lgdt lidt lldt ltr verr verw invlpg ptest vptest
    vcomiss vcomisd vucomiss vucomisd
"""
"""Instructions whose first operand is only read; of all others it is written."""
_READS_FIRST_NAMES = frozenset(_READS_FIRST.split())
_NO_ACCESS = frozenset(("lea", "nop"))
_STRINGS = {
    "movs": ((AccessKind.READ, "si"), (AccessKind.WRITE, "di")),
    "stos": ((AccessKind.WRITE, "di"),),
    "lods": ((AccessKind.READ, "si"),),
    "scas": ((AccessKind.READ, "di"),),
    "cmps": ((AccessKind.READ, "si"), (AccessKind.READ, "di")),
}
_ARM_MEMORY = re.compile(r"\[(\w+)(?:,\s*([^\]]*))?\]")
_ARM_SIZES = (
    ("ldrb", 1),
    ("ldrsb", 1),
    ("strb", 1),
    ("ldrh", 2),
    ("ldrsh", 2),
    ("strh", 2),
    ("ldurb", 1),
    ("sturb", 1),
    ("ldurh", 2),
    ("sturh", 2),
)
_ARM_NAMES = {"fp": ("fp", "x29", "r11"), "lr": ("lr", "x30", "r14"), "sp": ("sp",)}


class OperandAccess(msgspec.Struct, frozen=True):
    """One access of an instruction: *address* comes from *expression* (``rcx+10h``); *base* is the
    first register in it with its *base_value*, ``""`` for an absolute address."""

    kind: AccessKind
    address: int
    size: int
    expression: str
    base: str
    base_value: int


def operand_accesses(
    instruction: Instruction, registers: Mapping[str, int], arch: str
) -> list[OperandAccess]:
    """Return what *instruction* reads and writes in memory, explicit operands first.

    Operands over registers that are not known, and those of fs and gs, are left out.
    """
    if not instruction.is_decoded or not instruction.data:
        return []
    if arch in ("arm64", "arm"):
        return list(_arm(instruction, registers, 1 << (64 if arch == "arm64" else 32)))
    return list(_x86(instruction, registers, arch))


def _x86(
    instruction: Instruction, registers: Mapping[str, int], arch: str
) -> Iterator[OperandAccess]:
    words = instruction.mnemonic.split()
    name, size = words[-1], 8 if arch == "amd64" else 4
    if name in _NO_ACCESS:
        return
    if name in _STRINGS:
        letter = "r" if arch == "amd64" else "e"
        sized = _MEMORY.search(instruction.operands)
        width = POINTER_SIZES.get(sized.group(1) or "", 1) if sized else 1
        for kind, register in _STRINGS[name]:
            register = letter + register
            if (value := registers.get(register)) is not None:
                yield OperandAccess(kind, value, width, register, register, value)
        return
    for match in _MEMORY.finditer(instruction.operands):
        if re.search(r"[fg]s:\[?$", instruction.operands[: match.start(2)]):
            continue
        found = _effective(match.group(2), instruction, registers, size)
        if found is None:
            continue
        address, base, value = found
        is_first = "," not in instruction.operands[: match.start()]
        kind = AccessKind.READ
        if is_first and name not in _READS_FIRST_NAMES:
            kind = AccessKind.WRITE
        bytes_ = POINTER_SIZES.get(match.group(1) or "", 0)
        yield OperandAccess(kind, address, bytes_, match.group(2), base, value)
    yield from _stack_access(name, registers, size)


def _stack_access(name: str, registers: Mapping[str, int], size: int) -> Iterator[OperandAccess]:
    sp = stack_pointer(registers)
    if sp is None:
        return
    register = "rsp" if size == 8 else "esp"
    if name in ("push", "call", "pushfq", "pushfd", "enter", "pushad"):
        yield OperandAccess(AccessKind.WRITE, sp - size, size, f"{register}-{size}", register, sp)
    elif name in ("pop", "ret", "popfq", "popfd", "leave", "popad"):
        yield OperandAccess(AccessKind.READ, sp, size, register, register, sp)


def _effective(
    expression: str, instruction: Instruction, registers: Mapping[str, int], size: int
) -> tuple[int, str, int] | None:
    """Return address, first register and its value of ``rax+rcx*4-10h`` or ``mod!x (addr)``."""
    mask = (1 << 8 * size) - 1
    if symbolic := _SYMBOLIC.match(expression):
        return int(symbolic.group(1).replace("`", ""), 16) & mask, "", 0
    offset, base, base_value = 0, "", 0
    for sign, term in _TERM.findall(expression):
        name, _, scale = term.partition("*")
        value = register_value(name, registers)
        if value is None and name in ("rip", "eip"):
            value = instruction.end
        if value is None:
            number = name.removesuffix("h").replace("`", "")
            if not re.fullmatch(r"[0-9][0-9a-fA-F]*|[0-9a-fA-F]{8,16}", number):
                return None
            value = int(number, 16)
        elif not base and not scale:
            base, base_value = name, value
        value *= int(scale) if scale.isdigit() else 1
        offset += -value if sign == "-" else value
    return offset & mask, base, base_value


def _arm(
    instruction: Instruction, registers: Mapping[str, int], limit: int
) -> Iterator[OperandAccess]:
    name = instruction.mnemonic.lower()
    if name.startswith(("ld", "prf")):
        kind = AccessKind.READ
    elif name.startswith(("st", "cas", "swp")):
        kind = AccessKind.WRITE
    else:
        return
    match = _ARM_MEMORY.search(instruction.operands)
    if match is None:
        return
    base = match.group(1).lower()
    value = next((registers[n] for n in _ARM_NAMES.get(base, (base,)) if n in registers), None)
    if value is None:
        return
    offset = _arm_offset(match.group(2) or "", registers)
    if offset is None:
        return
    size = next((n for prefix, n in _ARM_SIZES if name.startswith(prefix)), 0)
    inside = instruction.operands[match.start() + 1 : match.end() - 1]
    yield OperandAccess(kind, (value + offset) % limit, size, inside, base, value)


def _arm_offset(text: str, registers: Mapping[str, int]) -> int | None:
    """Return the offset of ``#0x10``, ``#-8``, ``x2``, ``x2,lsl #3``; ``None`` for another."""
    if not text:
        return 0
    first, _, rest = text.partition(",")
    first = first.strip()
    if first.startswith("#"):
        try:
            return int(first[1:], 0)
        except ValueError:
            return None
    value = registers.get(first.lower())
    if value is None:
        return None
    shift = re.fullmatch(r"\s*(?:lsl|uxtw|sxtw|sxtx)?\s*(?:#(0x[0-9a-f]+|\d+))?\s*", rest)
    if shift is None:
        return None
    return value << int(shift.group(1), 0) if shift.group(1) else value
