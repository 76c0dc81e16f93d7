"""Whether code ends with a call, on the processors besides x86, x64 and ARM.

Encodings: the instruction set manuals of each (RISC-V, Power, z/Architecture, MIPS, LoongArch,
SPARC, Alpha, m68k). Where calls have a delay slot, the return address lies behind that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polydbg.memory.space import ByteOrder


def ends_with_other_call(code: bytes, machine: str, order: ByteOrder) -> bool:
    """Return whether *code*, eight bytes that end at a return address, ends with a call of
    *machine*; never for one whose calls are not known here."""
    if len(code) < 8:
        return False
    test = _TESTS.get(machine)
    if test is not None:
        back, is_call = test
        return is_call(int.from_bytes(code[back : back + 4 or None], order))
    if machine in ("riscv64", "riscv32"):
        return _ends_with_riscv_call(code, machine)
    if machine in ("s390", "s390x"):
        return _ends_with_s390_call(code)
    return machine == "m68k" and _ends_with_m68k_call(code)


def _is_ppc_call(word: int) -> bool:
    if word >> 26 in (16, 18):  # bcl, bl
        return bool(word & 1)
    return word & 0xFC0007FF in (0x4C000021, 0x4C000421)  # bclrl, bcctrl


def _is_mips_call(word: int) -> bool:
    operation = word >> 26
    if operation == 1:
        return word >> 16 & 0x1F in (0x10, 0x11)  # bltzal, bgezal
    return operation == 3 or word & 0xFC00003F == 9  # jal, jalr


def _is_loongarch_call(word: int) -> bool:
    return word >> 26 == 0x15 or (word >> 26 == 0x13 and word & 0x1F == 1)  # bl, jirl ra


def _is_sparc_call(word: int) -> bool:
    return word >> 30 == 1 or word & 0xFFF80000 == 0x9FC00000  # call, jmpl to o7


def _is_alpha_call(word: int) -> bool:
    return word >> 26 == 0x34 or (word >> 26 == 0x1A and word >> 14 & 3 == 1)  # bsr, jsr


#: Where the call begins, from the end of the code, and what tells it.
_TESTS: Final[dict[str, tuple[int, Callable[[int], bool]]]] = {
    "ppc": (-4, _is_ppc_call),
    "ppc64": (-4, _is_ppc_call),
    "mips": (-8, _is_mips_call),
    "mips64": (-8, _is_mips_call),
    "loongarch64": (-4, _is_loongarch_call),
    "sparc": (-8, _is_sparc_call),
    "sparc64": (-8, _is_sparc_call),
    "alpha": (-4, _is_alpha_call),
}


def _ends_with_riscv_call(code: bytes, machine: str) -> bool:
    word = int.from_bytes(code[-4:], "little")
    if word & 0xFFF == 0x0EF or word & 0x7FFF == 0x0E7:  # jal ra; jalr ra
        return True
    half = word >> 16
    if machine == "riscv32" and half & 0xE003 == 0x2001:  # c.jal
        return True
    return half & 0xF07F == 0x9002 and bool(half & 0xF80)  # c.jalr


def _ends_with_s390_call(code: bytes) -> bool:
    return (
        (code[-6] == 0xC0 and code[-5] & 0x0F == 5)  # brasl
        or (code[-4] == 0xA7 and code[-3] & 0x0F == 5)  # bras
        or (code[-2] == 0x0D and bool(code[-1] & 0x0F))  # basr
    )


def _ends_with_m68k_call(code: bytes) -> bool:
    words = [int.from_bytes(code[at : at + 2], "big") for at in range(0, 8, 2)]
    return (
        words[3] & 0xFFF8 == 0x4E90  # jsr (an)
        or (words[3] & 0xFF00 == 0x6100 and words[3] & 0xFF not in (0, 0xFF))  # bsr
        or words[2] & 0xFFF8 in (0x4EA8, 0x4EB0)  # jsr with a displacement, an index
        or words[2] in (0x6100, 0x4EBA, 0x4EB8, 0x4EBB)  # bsr, jsr by pc, to a short address
        or words[1] in (0x61FF, 0x4EB9)  # bsr, jsr to a long address
    )
