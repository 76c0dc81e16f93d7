"""Whether a word on the stack can be a return address: the x86 and x64 calls before it."""

from __future__ import annotations

from polydbg.base.errors import DebuggerError
from polydbg.unwind.method import UnwindContext

_LONGEST = 7


def code_before(context: UnwindContext, address: int) -> bytes:
    """Return up to seven bytes of code before *address*, from the image or from memory."""
    found = context.image_at(address)
    start = max(0, address - _LONGEST)
    try:
        if found is not None:
            base, image = found
            return image.read(start - base, address - start)
        return context.memory.read(start, address - start)
    except DebuggerError:
        return b""


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
