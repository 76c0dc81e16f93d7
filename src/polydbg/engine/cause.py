"""One line on the likely cause of an exception, from its record and registers alone.

A guess with its evidence, worded as one; a full analysis is not part of this version.
"""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.engine.exceptions.windows import (
    ACCESS_VIOLATION,
    FAST_FAIL,
    FAST_FAIL_CODES,
    IN_PAGE_ERROR,
)
from polydbg.engine.session import System
from polydbg.targets.target import ExceptionRecord

_NEAR_NULL = 0x10000
_PATTERNS = {
    0xCDCDCDCD: "fresh debug heap memory that was never written",
    0xCCCCCCCC: "a local variable that was never written (debug build)",
    0xDDDDDDDD: "freed debug heap memory",
    0xFEEEFEEE: "freed heap memory",
    0xBAADF00D: "fresh heap memory that was never written",
    0xABABABAB: "guard bytes behind a heap block",
    0xFDFDFDFD: "guard bytes around a debug heap block",
}
_VERBS = {0: "read", 1: "write", 8: "execute"}


def likely_cause(system: System, record: ExceptionRecord, registers: Mapping[str, int]) -> str:
    """Return a guess in words with its evidence, ``""`` when there is nothing to go on."""
    if record.code in (ACCESS_VIOLATION, IN_PAGE_ERROR) and len(record.parameters) >= 2:
        return _access(system, record.parameters[0], record.parameters[1], registers)
    if record.code == 0xC00000FD:
        return "the stack is used up, mostly by endless recursion (k shows the repeating frames)"
    if record.code == 0xC0000094:
        return "an integer was divided by zero, or the quotient does not fit"
    if record.code == FAST_FAIL and record.parameters:
        name = FAST_FAIL_CODES.get(record.parameters[0], f"code {record.parameters[0]:#x}")
        return f"the program ended itself (fail fast: {name}); the callers say why"
    if record.code == 0xE06D7363:
        return "a C++ exception was thrown; the frames below RaiseException threw it"
    if record.code == 0x80000003:
        return "a breakpoint instruction: an assertion, a debugger's break-in, or a snapshot"
    return ""


def _access(system: System, kind: int, address: int, registers: Mapping[str, int]) -> str:
    verb = _VERBS.get(kind, "access")
    if kind == 8:
        if address < _NEAR_NULL:
            return "a call through a null pointer"
        gone = system.modules.unloaded_at(address)
        if gone is not None:
            return f"code of {gone.name} was called after the module was unloaded"
        module = system.modules.at(address)
        if module is not None:
            return f"a jump into data of {module.name}, which is not executable"
        return "a call or jump through a wild pointer: no module lies at the address"
    if address == 0xFFFFFFFFFFFFFFFF:
        return (
            f"a {verb} through a non-canonical pointer (the system reports -1; the operand's "
            "registers hold the address)"
        )
    if address < _NEAR_NULL:
        offset = f" (a field at offset {address:#x})" if address else ""
        return f"a {verb} through a null pointer{offset}"
    for value in registers.values():
        meaning = _PATTERNS.get(value & 0xFFFFFFFF)
        if meaning and abs(value - address) < _NEAR_NULL:
            return f"a {verb} through a pointer that is {meaning} ({value:#x})"
    if (1 << 64) - address < _NEAR_NULL:
        return f"a {verb} just below address 0: a null pointer minus {(1 << 64) - address:#x}"
    return ""
