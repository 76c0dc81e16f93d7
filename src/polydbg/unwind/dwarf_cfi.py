"""Callers by the call frame information of images: ``.eh_frame``, ``.debug_frame``.

The rules give the frame's address (CFA), and how registers were saved. A register without a rule is
unchanged where functions must preserve it, and is unknown otherwise; the stack pointer is what it
was before the call. An undefined return address ends the stack.
"""

from __future__ import annotations

from polydbg.base.errors import FormatError, UnwindError
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import ARM64, Callee, Caller, UnwindContext, code_address


class DwarfCfi:
    """Finds the rules of the callee's address in its module and applies them."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        address = callee.lookup_pc
        found = context.call_frames_at(address)
        if found is None:
            return None
        # Most dumps of Windows have none: what evaluates the rules is not loaded for them.
        from polydbg.formats.dwarf.expression import ValueUnknownError
        from polydbg.unwind.cfi import trust_of
        from polydbg.unwind.dwarf_frame import caller_registers

        base, frames = found
        try:
            rules = frames.rules_at(address - base)
            if rules is None:
                return None
            registers = caller_registers(rules, callee, context.memory)
        except (FormatError, ValueUnknownError) as error:
            raise UnwindError(f"call frame information: {error.message}") from error
        if rules.is_signal_frame:
            return Caller(registers, FrameTrust.CFI, machine_frame=True, has_code_address=True)
        names = callee.convention
        # What is not signed is shown as it is: it may have been overwritten.
        if names is not ARM64 or rules.ra_signed:
            registers[names.pc] = code_address(context, names, registers[names.pc])
        trust = trust_of(callee, registers[names.pc], context)
        return Caller(registers, trust, has_code_address=True)
