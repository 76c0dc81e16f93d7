"""Callers of code that is not there: a call to nowhere left its return address on top."""

from __future__ import annotations

from polydbg.unwind.calls import may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext


class WildCall:
    """A guess for the first frame, when its pc is in no known code: nothing ran after the call."""

    def __init__(self, preserved: frozenset[str]) -> None:
        """Take the names of the registers that functions give back unchanged."""
        self._preserved = preserved

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        if not callee.is_first or context.is_code(callee.pc):
            return None
        address = int.from_bytes(context.memory.read(callee.sp, names.size), "little")
        if not may_return_to(context, address):
            return None
        registers = {
            name: value for name, value in callee.registers.items() if name in self._preserved
        }
        registers |= {names.pc: address, names.sp: callee.sp + names.size}
        return Caller(registers, FrameTrust.WILD_CALL)
