"""Callers of code that is not there, or that only leads elsewhere: the return address is on top."""

from __future__ import annotations

from polydbg.unwind.calls import code_at, may_return_to
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext

_ENDBR = (b"\xf3\x0f\x1e\xfa", b"\xf3\x0f\x1e\xfb")
_BND = b"\xf2"
_JUMP = b"\xff\x25"
_LONGEST = 12


def _top_of_stack(
    callee: Callee, context: UnwindContext, preserved: frozenset[str], trust: FrameTrust
) -> Caller | None:
    """Return the caller by the word on top of the stack, ``None`` if nothing returns there."""
    names = callee.convention
    address = int.from_bytes(context.memory.read(callee.sp, names.size), names.order)
    if not may_return_to(context, address, names):
        return None
    registers = {name: value for name, value in callee.registers.items() if name in preserved}
    registers |= {names.pc: address, names.sp: callee.sp + names.size}
    return Caller(registers, trust)


class WildCall:
    """A guess for the first frame, when its pc is in no known code: nothing ran after the call."""

    def __init__(self, preserved: frozenset[str]) -> None:
        """Take the names of the registers that functions give back unchanged."""
        self._preserved = preserved

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        if not callee.is_first or context.is_code(callee.pc):
            return None
        return _top_of_stack(callee, context, self._preserved, FrameTrust.WILD_CALL)


class JumpStub:
    """A jump through memory, ``jmp [slot]``: what linkers put between a call and a function of
    another module, or one that is chosen when the program is loaded. It has no frame."""

    def __init__(self, preserved: frozenset[str]) -> None:
        self._preserved = preserved

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        if callee.is_return_address:
            return None
        code = code_at(context, callee.pc, _LONGEST)
        if code[:4] in _ENDBR:
            code = code[4:]
        if not code.removeprefix(_BND).startswith(_JUMP):
            return None
        trust = FrameTrust.INSTRUCTIONS
        return _top_of_stack(callee, context, self._preserved, trust)
