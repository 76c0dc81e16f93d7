"""Whether a word can be a return address: what is before it, and how x86 and x64 call."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.unwind.arm_calls import ends_with_arm_call
from polydbg.unwind.method import (
    AMD64,
    ARM,
    ARM64,
    X86,
    Convention,
    UnwindContext,
    code_address,
)
from polydbg.unwind.other_calls import ends_with_other_call

_LONGEST = 8
_MAX_JUMPS = 3


def code_at(context: UnwindContext, address: int, size: int) -> bytes:
    """Return up to *size* bytes of code from *address*, from the image or from memory."""
    found = context.image_at(address)
    try:
        if found is not None:
            base, image = found
            return image.space.read_some(address - base, size)
        return context.memory.read_some(address, size)
    except DebuggerError:
        return b""


def code_before(context: UnwindContext, address: int) -> bytes:
    """Return up to eight bytes of code before *address*, from the image or from memory."""
    start = max(0, address - _LONGEST)
    code = code_at(context, start, address - start)
    return code if len(code) == address - start else b""


def may_return_to(context: UnwindContext, value: int, convention: Convention = AMD64) -> bool:
    """Return whether *value* can be a return address: behind a call, where its code is at hand,
    else in known code that the symbols do not call data."""
    address = code_address(context, convention, value)
    if not context.is_code(address - 1):  # where the call is; it may be the last of the code
        return False
    code = code_before(context, address)
    return is_behind_call(code, value, convention) if code else not context.is_data(address)


def is_behind_call(code: bytes, value: int, convention: Convention) -> bool:
    """Return whether *code*, which ends at the return address *value*, ends with a call."""
    if convention is ARM64 or convention is ARM:
        return ends_with_arm_call(code, convention.machine, value)
    if convention is AMD64 or convention is X86:
        return ends_with_call(code)
    return ends_with_other_call(code, convention.machine, convention.order)


def calls(context: UnwindContext, address: int, function: int) -> bool | None:
    """Return whether the direct call before a return address goes to *function*, by jumps that
    linkers put between if need be; ``None`` for other calls and code not at hand."""
    code = code_before(context, address)
    if code[-5:-4] != b"\xe8":
        return None
    target = address + int.from_bytes(code[-4:], "little", signed=True)
    for _ in range(_MAX_JUMPS):
        if target == function:
            return True
        jump = code_at(context, target, 5)
        if jump[:1] != b"\xe9" or len(jump) < 5:
            return False
        target += 5 + int.from_bytes(jump[1:], "little", signed=True)
    return False


def ends_with_call(code: bytes) -> bool:
    """Return whether *code*, which ends at a return address, ends with a call instruction."""
    if code[-5:-4] == b"\xe8":
        return True
    for length in (2, 3, 4, 6, 7):  # FF /2 with modrm, SIB and displacement
        at = len(code) - length
        if at >= 0 and code[at] == 0xFF and _length_of_call(code[at:]) == length:
            return True
    return False


def _length_of_call(code: bytes) -> int:
    """Return the length of an indirect near call that starts with FF, 0 for anything else."""
    modrm = code[1]
    mode, rm = modrm >> 6, modrm & 7
    if modrm & 0x38 != 0x10:
        return 0
    if mode == 3:
        return 2
    length = 3 if rm == 4 else 2
    if mode == 1:
        return length + 1
    if mode == 2 or rm == 5:
        return length + 4
    if rm == 4 and len(code) > 2 and code[2] & 7 == 5:
        return length + 4
    return length
