"""Callers without unwind tables on further processors: back chains and register windows.

All are guesses: a function at its start or its end has no frame yet, or none any more. Sources: the
processor supplements named in :mod:`polydbg.unwind.processors`. Power and s390 keep the address of
the caller's frame at the bottom of each, and the return address inside the caller's; RISC-V and
LoongArch code with frame pointers keeps both below where the frame pointer points; SPARC has the
caller's registers in a window, and on the stack where its stack pointer points.
"""

from __future__ import annotations

from typing import Final

import msgspec

from polydbg.base.errors import MemoryReadError
from polydbg.unwind.calls import may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext, code_address
from polydbg.unwind.processors import processor

_MAX_DISTANCE = 0x1000000


class _Chain(msgspec.Struct, frozen=True):
    """*register* points at a frame; from there *outer* bytes on is the caller's, and from that
    address (*is_in_outer*) or this the return address *address* bytes on."""

    register: str
    outer: int
    address: int
    is_in_outer: bool


_CHAINS: Final = {
    "ppc": _Chain("r1", 0, 4, True),
    "ppc64": _Chain("r1", 0, 16, True),
    "s390": _Chain("r15", 0, 56, True),
    "s390x": _Chain("r15", 0, 112, True),
    "riscv64": _Chain("fp", -16, -8, False),
    "riscv32": _Chain("fp", -8, -4, False),
    "loongarch64": _Chain("fp", -16, -8, False),
    "m68k": _Chain("fp", 0, 4, False),
}


class BackChain:
    """Believes a chain that rises through the stack, where a call is before the return address."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        chain = _CHAINS.get(names.machine)
        pointer = callee.registers.get(chain.register) if chain is not None else None
        if chain is None or pointer is None:
            return None
        if pointer % names.size or not 0 <= pointer - callee.sp < _MAX_DISTANCE:
            return None
        try:
            outer = _word(callee, context, pointer + chain.outer)
            if not pointer < outer < pointer + _MAX_DISTANCE and chain.is_in_outer:
                return None
            place = outer if chain.is_in_outer else pointer
            value = _word(callee, context, place + chain.address)
        except MemoryReadError:
            return None
        if not may_return_to(context, value, names):
            return None
        registers = {names.pc: code_address(context, names, value)}
        if chain.is_in_outer:
            registers[names.sp] = outer
        else:
            # What the frame pointer points at: RISC-V's is the caller's stack pointer.
            above = chain.address + names.size
            registers |= {names.sp: pointer + above, chain.register: outer}
        return Caller(registers, FrameTrust.FRAME_POINTER)


class RegisterWindow:
    """SPARC: a function that has saved its caller's window has it in its own in registers."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        known = processor(names.machine)
        inner = callee.registers
        if not all(f"i{number}" in inner for number in (0, 1, 2, 3, 4, 5, 7)) or "fp" not in inner:
            return None
        address = inner["i7"] + known.return_offset
        sp = inner["fp"]
        if not callee.sp < sp < callee.sp + _MAX_DISTANCE:
            return None
        if not may_return_to(context, address, names):
            return None
        registers = {f"o{number}": inner[f"i{number}"] for number in (0, 1, 2, 3, 4, 5, 7)}
        registers |= {names.pc: address, names.sp: sp}
        window = [known.names[number] for number in range(16, 32)]
        try:
            for index, name in enumerate(window):
                place = sp + known.sp_bias + index * names.size
                registers[name] = _word(callee, context, place)
        except MemoryReadError:
            pass  # this caller is known all the same, but not its own
        return Caller(registers, FrameTrust.FRAME_POINTER)


def _word(callee: Callee, context: UnwindContext, address: int) -> int:
    names = callee.convention
    return int.from_bytes(context.memory.read(address, names.size), names.order)
