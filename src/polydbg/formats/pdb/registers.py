"""CodeView's numbers of registers, by processor.

Sources: LLVM ``CodeViewRegisters.def``, microsoft-pdb ``cvconst.h`` and ``cvinfo.h`` (MIT).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Final

import msgspec

VFRAME: Final = 30006
"""The virtual frame of x86 functions: no register, but what frame data computes."""

EDX_EAX: Final = 212
"""A 64-bit value of x86 in two registers, the low half in eax."""


class Register(msgspec.Struct, frozen=True):
    """*size* bytes of the register called *name*, from its byte *offset* on."""

    name: str
    size: int
    offset: int = 0


_OLD: Final = "al cl dl bl ah ch dh bh ax cx dx bx sp bp si di eax ecx edx ebx esp ebp esi edi"
_WIDTHS: Final = (1,) * 8 + (2,) * 8 + (4,) * 8
_X64: Final = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15"


def _old() -> Iterator[tuple[int, Register]]:
    yield from enumerate(map(Register, _OLD.split(), _WIDTHS), 1)
    yield 34, Register("efl", 4)
    yield from ((128 + number, Register(f"st{number}", 10)) for number in range(8))
    yield from _vectors(0, whole=154, lanes=162, halves=194, integers=400)


def _vectors(
    first: int, *, whole: int, lanes: int, halves: int, integers: int
) -> Iterator[tuple[int, Register]]:
    """Yield ``xmm`` registers from *first* on: eight of them, and what they are parted in."""
    for number in range(8):
        name = f"xmm{first + number}"
        yield whole + number, Register(name, 16)
        yield from ((lanes + 4 * number + n, Register(name, 4, 4 * n)) for n in range(4))
        for start in (halves, integers):
            yield start + number, Register(name, 8)
        yield halves + 8 + number, Register(name, 8, 8)
        yield integers + 16 + number, Register(name, 8, 8)


def _x86() -> dict[int, Register]:
    return {**dict(_old()), 33: Register("eip", 4)}


def _amd64() -> dict[int, Register]:
    found = {**dict(_old()), 33: Register("rip", 8)}
    found |= dict(_vectors(8, whole=252, lanes=260, halves=292, integers=408))
    found |= dict(enumerate((Register(name, 1) for name in ["sil", "dil", "bpl", "spl"]), 324))
    found |= dict(enumerate((Register(name, 8) for name in _X64.split()), 328))
    for start, suffix, width in ((344, "b", 1), (352, "w", 2), (360, "d", 4)):
        found |= {start + n: Register(f"r{n + 8}{suffix}", width) for n in range(8)}
    found |= {368 + number: Register(f"ymm{number}", 32) for number in range(16)}
    found |= {678 + number: Register(f"xmm{number}", 16) for number in range(16, 32)}
    return found


def _arm64() -> dict[int, Register]:
    found = {10 + number: Register(f"w{number}", 4) for number in range(31)}
    found |= {50 + number: Register(f"x{number}", 8) for number in range(29)}
    found |= dict(enumerate((Register(name, 8) for name in ("fp", "lr", "sp")), 79))
    found[83] = Register("pc", 8)
    for start, letter, width in ((100, "s", 4), (140, "d", 8), (180, "q", 16)):
        found |= {start + number: Register(f"{letter}{number}", width) for number in range(32)}
    return found


def _arm() -> dict[int, Register]:
    found = {10 + number: Register(f"r{number}", 4) for number in range(13)}
    found |= dict(enumerate((Register(name, 4) for name in ("sp", "lr", "pc")), 23))
    for start, letter, width in ((50, "s", 4), (300, "d", 8)):
        found |= {start + number: Register(f"{letter}{number}", width) for number in range(32)}
    return found


_TABLES: Final = {"amd64": _amd64, "x86": _x86, "arm64": _arm64, "arm": _arm}


@functools.cache
def registers_of(machine: str) -> dict[int, Register]:
    """Return the registers of *machine* by CodeView's number; empty for processors that PDBs do
    not come from."""
    make = _TABLES.get(machine)
    return make() if make is not None else {}


#: What the two bits of S_FRAMEPROC mean; 0 is none, and so are those that nothing is known of.
_FRAME_REGISTERS: Final = {
    "amd64": {1: 335, 2: 334, 3: 341},
    "x86": {1: VFRAME, 2: 22, 3: 20},
    "arm64": {1: 81, 2: 79},
    "arm": {1: 23, 2: 17},
}


def frame_register(machine: str, code: int) -> int | None:
    """Return the number of the register that the two bits of an S_FRAMEPROC record mean,
    ``None`` for none."""
    return _FRAME_REGISTERS.get(machine, {}).get(code & 3)
