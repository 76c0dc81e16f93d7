"""CodeView's numbers of registers: name and width in bytes by processor.

Source: LLVM ``CodeViewRegisters.def``, microsoft-pdb ``cvconst.h`` (MIT).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

VFRAME: Final = 30006
"""The virtual frame of x86 functions: no register, but what frame data computes."""

EDX_EAX: Final = 212
"""A 64-bit value of x86 in two registers, the low half in eax."""

_OLD: Final = "al cl dl bl ah ch dh bh ax cx dx bx sp bp si di eax ecx edx ebx esp ebp esi edi"
_WIDTHS: Final = (1,) * 8 + (2,) * 8 + (4,) * 8
_X64: Final = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15"


def _old() -> Iterator[tuple[int, tuple[str, int]]]:
    yield from enumerate(zip(_OLD.split(), _WIDTHS, strict=True), 1)
    yield 34, ("efl", 4)
    yield from ((128 + number, (f"st{number}", 10)) for number in range(8))
    yield from ((154 + number, (f"xmm{number}", 16)) for number in range(8))


def _x86() -> dict[int, tuple[str, int]]:
    return {**dict(_old()), 33: ("eip", 4)}


def _amd64() -> dict[int, tuple[str, int]]:
    found = {**dict(_old()), 33: ("rip", 8)}
    found |= {252 + number: (f"xmm{number + 8}", 16) for number in range(8)}
    found |= dict(enumerate(((name, 1) for name in ["sil", "dil", "bpl", "spl"]), 324))
    found |= dict(enumerate(((name, 8) for name in _X64.split()), 328))
    for start, suffix, width in ((344, "b", 1), (352, "w", 2), (360, "d", 4)):
        found |= {start + n: (f"r{n + 8}{suffix}", width) for n in range(8)}
    return found


def _arm64() -> dict[int, tuple[str, int]]:
    found = {10 + number: (f"w{number}", 4) for number in range(31)}
    found |= {50 + number: (f"x{number}", 8) for number in range(29)}
    found |= {79: ("fp", 8), 80: ("lr", 8), 81: ("sp", 8), 83: ("pc", 8)}
    for start, letter, width in ((100, "s", 4), (140, "d", 8), (180, "q", 16)):
        found |= {start + number: (f"{letter}{number}", width) for number in range(32)}
    return found


def _arm() -> dict[int, tuple[str, int]]:
    found = {10 + number: (f"r{number}", 4) for number in range(13)}
    found |= {23: ("sp", 4), 24: ("lr", 4), 25: ("pc", 4)}
    for start, letter, width in ((50, "s", 4), (300, "d", 8)):
        found |= {start + number: (f"{letter}{number}", width) for number in range(32)}
    return found


_TABLES: Final = {"amd64": _amd64, "x86": _x86, "arm64": _arm64, "arm": _arm}


@functools.cache
def registers_of(machine: str) -> dict[int, tuple[str, int]]:
    """Return name and width in bytes of the registers of *machine* by CodeView's number; empty for
    processors that PDBs do not come from."""
    make = _TABLES.get(machine)
    return make() if make is not None else {}


_FRAME_REGISTERS: Final = {
    "amd64": ("", "rsp", "rbp", "r13"),
    "x86": ("", "", "ebp", "ebx"),
    "arm64": ("", "sp", "fp", "x19"),
    "arm": ("", "sp", "r11", "r6"),
}


def frame_register(machine: str, code: int) -> str:
    """Return the register that the two bits of an S_FRAMEPROC record mean; ``""`` for x86's
    virtual frame, and for none."""
    names = _FRAME_REGISTERS.get(machine)
    return names[code & 3] if names is not None else ""
