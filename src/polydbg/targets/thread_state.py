"""What registers and memory say of a thread where the dump has no record of it."""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.memory.ranges import FileRange, RangeMap
from polydbg.targets.target import BREAKPOINT_CODE, DumpEvent, ExceptionRecord, ThreadInfo


def break_in(thread: ThreadInfo, registers: Mapping[str, int]) -> DumpEvent:
    """Return the breakpoint that is made up for a process in which nothing happened."""
    record = ExceptionRecord(BREAKPOINT_CODE, 0, 0, program_counter(registers) or 0, ())
    return DumpEvent(thread.id, record, is_stored=False)


def stack_of(memory: RangeMap, registers: Mapping[str, int]) -> FileRange | None:
    """Return the memory in the dump that the stack pointer lies in, ``None`` without any."""
    pointer = stack_pointer(registers)
    found = None if pointer is None else next(memory.ranges(pointer), None)
    if found is None or pointer is None or not found.start <= pointer < found.end:
        return None
    return found
