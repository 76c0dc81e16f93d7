"""Callers by looking through the stack for what can be a return address."""

from __future__ import annotations

import struct
from typing import Final

from polydbg.unwind.calls import code_before, is_behind_call
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, UnwindContext, code_address

MAX_WORDS: Final = 1024
"""How far to look, in words: a frame beyond that is as good as lost."""


class StackScan:
    """A guess: the first word that points behind a call in known code.

    Where the code of a module is not at hand, its calls cannot be seen: such a word counts only
    when no better one follows.
    """

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names = callee.convention
        start = (callee.sp + names.size - 1) // names.size * names.size
        unproven: tuple[int, int] | None = None
        is_plain = not names.lr  # nothing in a word but the address
        for index, word in enumerate(self._words(context, start, names.size)):
            value = word if is_plain else code_address(context, names, word)
            if not context.is_code(value):
                continue
            address = start + index * names.size
            code = code_before(context, value)
            if is_behind_call(code, word, names):
                return self._caller(callee, address, value)
            if not code and unproven is None and not context.is_data(value):
                unproven = address, value
        return self._caller(callee, *unproven) if unproven else None

    def _words(self, context: UnwindContext, start: int, size: int) -> tuple[int, ...]:
        data = context.memory.read_some(start, MAX_WORDS * size)
        count = len(data) // size
        return struct.unpack(f"<{count}{'Q' if size == 8 else 'I'}", data[: count * size])

    def _caller(self, callee: Callee, address: int, value: int) -> Caller:
        names = callee.convention
        # What the skipped function saved is lost, so no other register is known.
        registers = {names.pc: value, names.sp: address + names.size}
        return Caller(registers, FrameTrust.SCAN)
