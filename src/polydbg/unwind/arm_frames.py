"""Callers without unwind tables: the link register, and on ARM64 and ARM chains of frames.

Both are guesses. A frame record is two words, the caller's frame pointer and the return address:
x29 points at it on ARM64 (Arm, "Procedure Call Standard for the Arm 64-bit Architecture"), r11 or
r7 on ARM (Windows, Clang), while GCC's A32 code lets r11 point at its second word.
"""

from __future__ import annotations

from polydbg.base.errors import MemoryReadError
from polydbg.unwind.arm_rules import kept_registers
from polydbg.unwind.calls import may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import ARM, ARM64, Callee, Caller, UnwindContext, code_address
from polydbg.unwind.processors import processor

_MAX_DISTANCE = 0x1000000
_RECORDS = {
    8: (("fp", 0),),
    4: (("r11", 0), ("r7", 0), ("r11", -4)),
}
"""For each size of a pointer: the frame pointer, and where its record begins from there."""


class LinkRegister:
    """Believes lr where nothing was called yet, or all is restored: in a leaf, a prolog, behind an
    epilog's load; and at a first pc that is no code, which a call led to.

    In a function that has called, lr leads back into that function itself. With *is_last* a
    function whose bounds are not known is believed to be none of those.
    """

    def __init__(self, *, is_last: bool = False) -> None:
        self._is_last = is_last

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        value = callee.registers.get(names.lr)
        if callee.is_return_address or value is None:
            return None
        value += processor(names.machine).return_offset
        if not may_return_to(context, value, names):
            return None
        address = code_address(context, names, value)
        trust = FrameTrust.LINK_REGISTER
        function = context.function_at(callee.pc)
        if callee.is_first and not context.is_code(callee.pc):
            trust = FrameTrust.WILD_CALL
        elif function is None:
            if not self._is_last:
                return None
        elif 0 < address - function[0] <= function[1] and callee.pc != function[0]:
            return None
        registers = {**_kept(callee), names.pc: address, names.sp: callee.sp}
        return Caller(registers, trust)


def _kept(callee: Callee) -> dict[str, int]:
    if callee.convention is ARM64 or callee.convention is ARM:
        return kept_registers(callee)
    preserved = processor(callee.convention.machine).preserved
    return {name: value for name, value in callee.registers.items() if name in preserved}


class ArmFramePointer:
    """Believes a frame pointer when it is sane and its record holds a return address."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        for name, offset in _RECORDS[callee.convention.size]:
            caller = self._by(callee, context, name, offset)
            if caller is not None:
                return caller
        return None

    def _by(self, callee: Callee, context: UnwindContext, name: str, offset: int) -> Caller | None:
        names = callee.convention
        pointer = callee.registers.get(name)
        if pointer is None or pointer % names.size:
            return None
        record = pointer + offset
        if not 0 <= record - callee.sp < _MAX_DISTANCE:
            return None
        try:
            data = context.memory.read(record, names.size * 2)
        except MemoryReadError:
            return None
        outer = int.from_bytes(data[: names.size], "little")
        value = int.from_bytes(data[names.size :], "little")
        if (outer and outer <= pointer) or not may_return_to(context, value, names):
            return None
        registers = {
            names.pc: code_address(context, names, value),
            names.sp: record + names.size * 2,
            name: outer,
        }
        return Caller(registers, FrameTrust.FRAME_POINTER)
