"""Undoing ARM64 and ARM code: which unwind codes hold at a place, and what they do to registers.

A prolog and an epilog are known instruction by instruction, so a place inside them has some of
their codes left to undo. Source: Microsoft, "ARM64 exception handling" and "ARM exception
handling", "Unwinding partial prologs and epilogs"; the registers of ARM64EC in Microsoft's "ARM64EC
ABI conventions".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from polydbg.base.errors import UnwindError
from polydbg.formats.pe.arm_operations import ArmCode, ArmOp, register_width
from polydbg.formats.pe.arm_unwind import ALWAYS, ArmUnwindInfo
from polydbg.memory.space import AddressSpace
from polydbg.unwind.method import Callee, Convention

PRESERVED_ARM64: Final = frozenset(
    (
        *(f"x{number}" for number in range(18, 29)),  # x18 belongs to the system (the TEB)
        "fp",
        *(f"d{number}" for number in range(8, 16)),
    )
)
PRESERVED_ARM: Final = frozenset(
    (*(f"r{number}" for number in range(4, 12)), *(f"d{number}" for number in range(8, 16)))
)
"""What a function must give back unchanged; nothing else of a caller is known."""

_CONTEXT_SIZES = {8: 0x390, 4: 0x1A0}
_EC_CONTEXT_SIZE = 0x4D0
_EC_NAMES = {
    "rax": "x8",
    "rcx": "x0",
    "rdx": "x1",
    "rbx": "x27",
    "rsi": "x25",
    "rdi": "x26",
    "rbp": "fp",
    "rsp": "sp",
    "rip": "pc",
    **{f"r{number}": f"x{number - 6}" for number in range(8, 12)},
    **{f"r{number}": f"x{number + 7}" for number in range(12, 16)},
    **{f"xmm{number}": f"v{number}" for number in range(16)},
}
"""Where an ARM64EC thread keeps the registers of the x64 code that it stands for."""

_MASK_64 = 0xFFFFFFFFFFFFFFFF


class Undone(msgspec.Struct, frozen=True):
    """The caller's registers; *is_exact* when its pc is where it was interrupted, or would go on
    without a call before it."""

    registers: dict[str, int]
    is_exact: bool


def preserved(convention: Convention) -> frozenset[str]:
    """Return the registers that a function keeps for its caller."""
    return PRESERVED_ARM64 if convention.size == 8 else PRESERVED_ARM


def codes_at(info: ArmUnwindInfo, offset: int, flags: int | None) -> tuple[ArmCode, ...]:
    """Return the codes to undo at *offset* bytes into the function, in the order of undoing.

    *flags* is the cpsr, ``None`` where it is not known: ARM's epilogs can be conditional.

    :raises FormatError: unknown codes.
    """
    codes = info.codes()
    if info.has_prolog:
        left = _length(codes) - offset
        if left > 0:
            return _without_unexecuted(codes, left)
    for epilog in info.epilogs:
        done = offset - epilog.start
        if done < 0:
            continue
        steps = info.codes(epilog.index)
        if done < _length(steps, with_end=True) and _holds(epilog.condition, flags):
            return _without_executed(steps, done)
    return codes


def _length(codes: Iterable[ArmCode], *, with_end: bool = False) -> int:
    """Return the bytes of the instructions that *codes* describe, up to their end."""
    length = 0
    for code in codes:
        if code.is_end:
            return length + code.length if with_end else length
        length += code.length
    return length


def _without_unexecuted(codes: tuple[ArmCode, ...], left: int) -> tuple[ArmCode, ...]:
    """Drop the codes of the last *left* bytes of a prolog, whose instructions come first."""
    index = 0
    while left > 0:
        left -= codes[index].length
        index += 1
    return codes[index:]


def _without_executed(codes: tuple[ArmCode, ...], done: int) -> tuple[ArmCode, ...]:
    index = 0
    while done >= codes[index].length and not codes[index].is_end:
        done -= codes[index].length
        index += 1
    return codes[index:]


def _holds(condition: int, flags: int | None) -> bool:
    """Return whether ARM's *condition* holds; the even ones are the opposites of the odd."""
    if flags is None or condition >= ALWAYS:
        return True
    negative, zero, carry, overflow = (bool(flags >> bit & 1) for bit in (31, 30, 29, 28))
    holds = (
        zero,
        carry,
        negative,
        overflow,
        carry and not zero,
        negative == overflow,
        not zero and negative == overflow,
    )[condition >> 1]
    return holds != bool(condition & 1)


def low_vectors(registers: Mapping[str, int]) -> dict[str, int]:
    """Return ``d8`` to ``d15`` out of the vector registers of a context (``v8``, or ``q4``)."""
    found: dict[str, int] = {}
    for number in range(8, 16):
        name = f"d{number}"
        if name in registers:
            found[name] = registers[name]
        elif f"v{number}" in registers:
            found[name] = registers[f"v{number}"] & _MASK_64
        elif f"q{number // 2}" in registers:
            found[name] = registers[f"q{number // 2}"] >> 64 * (number % 2) & _MASK_64
    return found


def kept_registers(callee: Callee) -> dict[str, int]:
    """Return what of the callee's registers its caller will find unchanged, where known."""
    names = preserved(callee.convention)
    known = {name: value for name, value in callee.registers.items() if name in names}
    known.update(low_vectors(callee.registers))
    return known


def undo(codes: tuple[ArmCode, ...], callee: Callee, memory: AddressSpace) -> Undone:
    """Return the registers of the caller after undoing *codes*: what it must find unchanged,
    where known, and all that an interrupted function had. Addresses are as the stack has them.

    :raises UnwindError: a register is needed that is not known, or the frame is of a kind that
        is not documented.
    :raises MemoryReadError: stack memory is needed that is not there.
    """
    convention = callee.convention
    size, mask = convention.size, (1 << 8 * convention.size) - 1
    sp, is_exact = callee.sp, False
    restored: dict[str, int] = {}
    for code in codes:
        match code.op:
            case ArmOp.ALLOC:
                sp = sp + code.value & mask
            case ArmOp.RESTORE:
                _restore(restored, code.registers, memory, sp + code.value & mask, size)
            case ArmOp.POP:
                _restore(restored, code.registers, memory, sp, size)
                sp = sp + code.value & mask
            case ArmOp.SET_SP:
                name = code.registers[0]
                value = restored.get(name, callee.registers.get(name))
                if value is None:
                    raise UnwindError(f"unwinding needs {name}, which is not known")
                sp = value - code.value & mask
            case ArmOp.CLEAR_UNWOUND:
                is_exact = True
            case ArmOp.MACHINE_FRAME:
                words = memory.read(sp, 2 * size)
                caller = {**kept_registers(callee), **restored}
                caller[convention.sp] = int.from_bytes(words[:size], "little")
                caller[convention.pc] = int.from_bytes(words[size:], "little")
                return Undone(caller, True)
            case ArmOp.CONTEXT | ArmOp.EC_CONTEXT:
                return Undone(_context(memory, sp, size, code.op is ArmOp.EC_CONTEXT), True)
            case ArmOp.TRAP_FRAME | ArmOp.SCALABLE:
                raise UnwindError(f"a frame with a {code.op.value} part cannot be unwound")
            case ArmOp.END:
                break
            case ArmOp.NOP | ArmOp.SIGN_LR | ArmOp.END_SCOPE:
                pass  # authentication codes are taken off every return address
    return Undone(_finish(callee, restored, sp), is_exact)


def _finish(callee: Callee, restored: dict[str, int], sp: int) -> dict[str, int]:
    convention = callee.convention
    address = restored.get(convention.lr)
    if address is None and not callee.is_return_address:
        # Nothing was called yet, or lr is restored already: it is still in its register.
        address = callee.registers.get(convention.lr)
    if address is None:
        raise UnwindError("the unwind codes do not say where the return address is")
    known = kept_registers(callee)
    names = preserved(convention)
    known.update((name, value) for name, value in restored.items() if name in names)
    known[convention.pc], known[convention.sp] = address, sp
    return known


def _restore(
    restored: dict[str, int],
    names: tuple[str, ...],
    memory: AddressSpace,
    address: int,
    size: int,
) -> None:
    widths = [size if name in ("lr", "fp") else register_width(name) for name in names]
    data = memory.read(address, sum(widths))
    at = 0
    for name, width in zip(names, widths, strict=True):
        value = int.from_bytes(data[at : at + width], "little")
        restored[name] = value
        if name[0] == "v":
            restored[f"d{name[1:]}"] = value & _MASK_64
        at += width


def _context(memory: AddressSpace, address: int, size: int, is_ec: bool) -> dict[str, int]:
    """Return the registers of a context record on the stack."""
    from polydbg.formats.minidump.contexts import parse_context

    if is_ec:
        found = parse_context(memory.read(address, _EC_CONTEXT_SIZE), "amd64")
        registers = {_EC_NAMES[name]: found[name] for name in found if name in _EC_NAMES}
    else:
        data = memory.read(address, _CONTEXT_SIZES[size])
        registers = parse_context(data, "arm64" if size == 8 else "arm")
    if "pc" not in registers or "sp" not in registers:
        raise UnwindError("the context record on the stack has no program counter")
    return registers
