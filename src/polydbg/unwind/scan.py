"""Callers by looking through the stack for what can be a return address."""

from __future__ import annotations

import struct
from collections.abc import Iterator
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
        for address, word in self._words(context, start, names.size):
            value = code_address(context, names, word)
            if not context.is_code(value):
                continue
            code = code_before(context, value)
            if is_behind_call(code, word, names):
                return self._caller(callee, address, value)
            if not code and unproven is None and not context.is_data(value):
                unproven = address, value
        return self._caller(callee, *unproven) if unproven else None

    def _words(self, context: UnwindContext, start: int, size: int) -> Iterator[tuple[int, int]]:
        data = context.memory.read_some(start, MAX_WORDS * size)
        count = len(data) // size
        words = struct.unpack(f"<{count}{'Q' if size == 8 else 'I'}", data[: count * size])
        for index, word in enumerate(words):
            yield start + index * size, word

    def _caller(self, callee: Callee, address: int, value: int) -> Caller:
        names = callee.convention
        # What the skipped function saved is lost, so no other register is known.
        registers = {names.pc: value, names.sp: address + names.size}
        return Caller(registers, FrameTrust.SCAN)
