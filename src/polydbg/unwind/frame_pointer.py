"""Callers by the chain of frame pointers: [fp] is the caller's, the return address above it."""

from __future__ import annotations

from polydbg.base.errors import MemoryReadError
from polydbg.unwind.calls import may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import X86, Callee, Caller, UnwindContext

_MAX_DISTANCE = 0x1000000


class FramePointer:
    """A guess: believed only when the pointer is sane and the word above it a return address."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        pointer = callee.registers.get(names.fp)
        if pointer is None or pointer % names.size or not 0 <= pointer - callee.sp < _MAX_DISTANCE:
            return None
        try:
            data = context.memory.read(pointer, names.size * 2)
        except MemoryReadError:
            return None
        outer = int.from_bytes(data[: names.size], "little")
        address = int.from_bytes(data[names.size :], "little")
        is_chained = not outer or outer > pointer
        if not is_chained and names is X86:
            return None
        # Threads of x86 begin with a frame that nothing called. Where no callee has handed the
        # register down, it may be used for something else, and zeros mean nothing.
        is_first_frame = names is X86 and not callee.is_first and not outer and not address
        # Without the module's code the chain itself, rising through the stack, is the evidence.
        if not is_first_frame and not may_return_to(context, address):
            return None
        registers = {names.pc: address, names.sp: pointer + names.size * 2}
        # On Linux main saves what the C library used rbp for: a frame, and the last of the chain.
        if is_chained:
            registers[names.fp] = outer
        return Caller(registers, FrameTrust.FRAME_POINTER)
