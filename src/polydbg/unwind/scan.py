"""Callers by looking through the stack for what can be a return address."""

from __future__ import annotations

import struct
from typing import Final

from polydbg.unwind.calls import code_before, is_behind_call
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, Convention, UnwindContext, code_address

MAX_WORDS: Final = 1024
"""How far to look, in words: a frame beyond that is as good as lost."""


class StackScan:
    """A guess: the first word that points behind a call in known code.

    Where the code of a module is not at hand, its calls cannot be seen: such a word counts only
    when no better one follows. One instance serves one walk, whose frames meet the same words.
    """

    def __init__(self) -> None:
        self._known: dict[int, bool | None] = {}  # word -> is a return address, None: unproven

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        names, known = callee.convention, self._known
        start = (callee.sp + names.size - 1) // names.size * names.size
        unproven: tuple[int, int] | None = None
        for index, word in enumerate(self._words(context, start, names)):
            if word not in known:
                known[word] = _is_return_address(context, names, word)
            is_return = known[word]
            if is_return:
                return self._caller(callee, context, start + index * names.size, word)
            if is_return is None and unproven is None:
                unproven = start + index * names.size, word
        return self._caller(callee, context, *unproven) if unproven else None

    def _words(self, context: UnwindContext, start: int, names: Convention) -> tuple[int, ...]:
        size, mark = names.size, ">" if names.order == "big" else "<"
        data = context.memory.read_some(start, MAX_WORDS * size)
        count = len(data) // size
        return struct.unpack(f"{mark}{count}{'Q' if size == 8 else 'I'}", data[: count * size])

    def _caller(self, callee: Callee, context: UnwindContext, address: int, word: int) -> Caller:
        names = callee.convention
        value = code_address(context, names, word)
        # What the skipped function saved is lost, so no other register is known.
        registers = {names.pc: value, names.sp: address + names.size}
        return Caller(registers, FrameTrust.SCAN)


def _is_return_address(context: UnwindContext, names: Convention, word: int) -> bool | None:
    """Tell whether *word* leads behind a call; ``None`` where the code there is not at hand."""
    value = code_address(context, names, word)
    if not context.is_code(value - 1):  # where the call is
        return False
    code = code_before(context, value)
    if code:
        return is_behind_call(code, word, names)
    return False if context.is_data(value) else None
