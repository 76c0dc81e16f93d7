"""Processors as DWARF call frame information sees them: numbers of registers, what functions keep.

Sources: the processor supplements of the System V ABI and its successors (AMD64, i386; Arm's
AADWARF64 and AADWARF32; RISC-V ELF psABI; Power ELFv1, ELFv2 and the embedded ABI; s390 and zSeries
ELF; MIPS o32 and n64; LoongArch ELF psABI; SPARC; PA-RISC; m68k; the Alpha calling standard), and
GCC's numbering where a supplement has none. Names are those of contexts and of cores' registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from polydbg.memory.space import ByteOrder
from polydbg.unwind.method import AMD64, ARM, ARM64, X86, Convention


class Processor(msgspec.Struct, frozen=True):
    """*names* by DWARF number; *preserved*: what functions give back unchanged.

    *wide* gives the size in bytes of registers that are not as wide as a pointer. *sp_bias* is how
    far the CFA lies above the stack pointer that the caller had when it called: 0 but for SPARC's
    bias and the area that s390 callers leave for their callees. *return_offset* is how far behind
    what a call leaves in its register the code goes on.
    """

    names: Mapping[int, str]
    preserved: frozenset[str]
    wide: Mapping[str, int] = {}
    sp_bias: int = 0
    return_offset: int = 0


def _numbered(names: str, first: int = 0) -> dict[int, str]:
    return dict(enumerate(names.split(), first))


def _row(prefix: str, count: int, start: int = 0, first: int = 0) -> dict[int, str]:
    return {first + number: f"{prefix}{start + number}" for number in range(count)}


def _some(prefix: str, numbers: Iterable[int]) -> list[str]:
    return [f"{prefix}{number}" for number in numbers]


_XMM = {f"xmm{number}": 16 for number in range(16)}
_F_REGISTERS = {f"f{number}": 8 for number in range(32)}
_D_REGISTERS = {f"d{number}": 8 for number in range(32)}


def _amd64() -> Processor:
    names = _numbered("rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip")
    names |= _row("xmm", 16, first=17) | _numbered("efl es cs ss ds fs gs", 49)
    names |= {58: "fs_base", 59: "gs_base"}
    return Processor(names, frozenset(["rbx", "rbp", "r12", "r13", "r14", "r15"]), _XMM)


def _x86() -> Processor:
    names = _numbered("eax ecx edx ebx esp ebp esi edi eip efl") | _row("xmm", 8, first=21)
    return Processor(names, frozenset(["ebx", "ebp", "esi", "edi"]), _XMM)


def _arm64() -> Processor:
    names = _row("x", 29) | _numbered("fp lr sp pc", 29) | _row("d", 32, first=64)
    kept = (*_some("x", range(19, 29)), "fp", *_some("d", range(8, 16)))
    return Processor(names, frozenset(kept), _D_REGISTERS)


def _arm() -> Processor:
    names = _row("r", 13) | _numbered("sp lr pc", 13) | _row("d", 32, first=256)
    kept = (*_some("r", range(4, 12)), *_some("d", range(8, 16)))
    return Processor(names, frozenset(kept), _D_REGISTERS)


def _riscv() -> Processor:
    names = _numbered(
        "zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
        "t3 t4 t5 t6"
    )
    names |= _row("f", 32, first=32) | {64: "pc"}
    saved_floats = (8, 9, *range(18, 28))
    kept = ("gp", "tp", "fp", *_some("s", range(1, 12)), *_some("f", saved_floats))
    return Processor(names, frozenset(kept), _F_REGISTERS)


def _ppc() -> Processor:
    # 108 and 109 are those of the embedded ABI, where special register n has number 100 + n.
    names = _row("r", 32) | _row("f", 32, first=32)
    names |= {64: "cr", 65: "lr", 66: "ctr", 70: "cr", 76: "xer", 108: "lr", 109: "ctr"}
    kept = (*_some("r", range(13, 32)), *_some("f", range(14, 32)), "cr")
    return Processor(names, frozenset(kept), {**_F_REGISTERS, "cr": 4})


def _s390(size: int) -> Processor:
    floats = "f0 f2 f4 f6 f1 f3 f5 f7 f8 f10 f12 f14 f9 f11 f13 f15"
    names = _row("r", 16) | _numbered(floats, 16) | _row("acr", 16, first=48)
    names |= {64: "pswm", 65: "pswa"}
    kept_floats = _some("f", range(8, 16)) if size == 8 else ["f4", "f6"]
    kept = (*_some("r", range(6, 14)), *kept_floats)
    # A caller leaves room where its callee saves registers: 160 or 96 bytes.
    return Processor(names, frozenset(kept), _F_REGISTERS, sp_bias=160 if size == 8 else 96)


def _mips(size: int) -> Processor:
    low = "zero at v0 v1 a0 a1 a2 a3 t0 t1 t2 t3 t4 t5 t6 t7 "
    if size == 8:
        low = "zero at v0 v1 a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 "
    names = _numbered(low + "s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp s8 ra")
    names |= _numbered("hi lo pc", 64)
    return Processor(names, frozenset((*_some("s", range(9)), "gp")))


def _loongarch() -> Processor:
    names = _numbered(
        "r0 ra tp sp a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 t4 t5 t6 t7 t8 r21 fp s0 s1 s2 s3 s4 s5 "
        "s6 s7 s8"
    )
    names |= _row("f", 32, first=32) | {64: "pc"}
    kept = ("tp", "r21", "fp", *_some("s", range(9)), *_some("f", range(24, 32)))
    return Processor(names, frozenset(kept), _F_REGISTERS)


def _sparc(size: int) -> Processor:
    names = _row("g", 8) | _numbered("o0 o1 o2 o3 o4 o5 sp o7", 8) | _row("l", 8, first=16)
    names |= _numbered("i0 i1 i2 i3 i4 i5 fp i7", 24)
    kept = (*_some("l", range(8)), *_some("i", (0, 1, 2, 3, 4, 5, 7)), "fp", "g7")
    # A call leaves its own address; behind it is the instruction of its delay slot.
    return Processor(names, frozenset(kept), sp_bias=2047 if size == 8 else 0, return_offset=8)


def _parisc() -> Processor:
    kept = (*_some("r", range(3, 19)), "r27")
    return Processor(_row("r", 32), frozenset(kept))


def _m68k() -> Processor:
    names = _row("d", 8) | _numbered("a0 a1 a2 a3 a4 a5 fp sp", 8) | {24: "pc"}
    kept = (*_some("d", range(2, 8)), "a2", "a3", "a4", "a5", "fp")
    return Processor(names, frozenset(kept))


def _alpha() -> Processor:
    names = _numbered(
        "v0 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 fp a0 a1 a2 a3 a4 a5 t8 t9 t10 t11 ra t12 at "
        "gp sp zero"
    )
    names |= _row("f", 32, first=32) | {64: "pc"}
    kept = (*_some("s", range(6)), "fp", *_some("f", range(2, 10)))
    return Processor(names, frozenset(kept), _F_REGISTERS)


_ALL_BITS: Final = (1 << 64) - 1


def _convention(
    machine: str, size: int, fp: str, lr: str, sp: str = "sp", *, pc_bits: int = _ALL_BITS
) -> Convention:
    """Return the convention of a processor that is little-endian until something says otherwise."""
    return Convention("pc", sp, fp, size, machine, lr, pc_bits=pc_bits)


_OTHERS: Final = {
    each.machine: each
    for each in (
        _convention("riscv64", 8, "fp", "ra"),
        _convention("riscv32", 4, "fp", "ra"),
        _convention("ppc", 4, "r31", "lr", "r1"),
        _convention("ppc64", 8, "r31", "lr", "r1"),
        # The top bit of a 31-bit address is the addressing mode.
        _convention("s390", 4, "r11", "r14", "r15", pc_bits=0x7FFFFFFF),
        _convention("s390x", 8, "r11", "r14", "r15"),
        # The lowest bit tells the compressed instruction sets.
        _convention("mips", 4, "s8", "ra", pc_bits=_ALL_BITS - 1),
        _convention("mips64", 8, "s8", "ra", pc_bits=_ALL_BITS - 1),
        _convention("loongarch64", 8, "fp", "ra"),
        _convention("sparc", 4, "fp", "o7"),
        _convention("sparc64", 8, "fp", "o7"),
        # The lowest two bits are the privilege level.
        _convention("parisc", 4, "r3", "r2", "r30", pc_bits=_ALL_BITS - 3),
        _convention("parisc64", 8, "r3", "r2", "r30", pc_bits=_ALL_BITS - 3),
        _convention("m68k", 4, "fp", ""),
        _convention("alpha", 8, "fp", "ra"),
    )
}
GROWS_UP: Final = frozenset(("parisc", "parisc64"))
"""Where calls raise the stack pointer."""

_FACTORIES: Final = {
    "amd64": _amd64,
    "x86": _x86,
    "arm64": _arm64,
    "arm": _arm,
    "riscv64": _riscv,
    "riscv32": _riscv,
    "ppc": _ppc,
    "ppc64": _ppc,
    "s390": lambda: _s390(4),
    "s390x": lambda: _s390(8),
    "mips": lambda: _mips(4),
    "mips64": lambda: _mips(8),
    "loongarch64": _loongarch,
    "sparc": lambda: _sparc(4),
    "sparc64": lambda: _sparc(8),
    "parisc": _parisc,
    "parisc64": _parisc,
    "m68k": _m68k,
    "alpha": _alpha,
}
_made: dict[str, Processor] = {}


def is_unwound(machine: str) -> bool:
    """Tell whether stacks of *machine* are unwound at all."""
    return machine in _FACTORIES


def processor(machine: str) -> Processor:
    """Return what is known of the processor of a convention."""
    found = _made.get(machine)
    if found is None:
        found = _made[machine] = _FACTORIES[machine]()
    return found


def convention_of(
    registers: Mapping[str, int], machine: str, order: ByteOrder
) -> Convention | None:
    """Return the convention of *registers*, ``None`` without pc or sp, and for processors that are
    not known; *machine* tells those with the same names apart, *order* is that of the memory."""
    for convention in (AMD64, X86, ARM64, ARM):
        # pc and sp are what most processors call them: then the machine has to say which it is.
        is_meant = not convention.lr or machine in ("", convention.machine)
        if is_meant and convention.pc in registers and convention.sp in registers:
            return convention
    if machine == "mips" and "a4" in registers:
        machine = "mips64"  # n32: pointers of 32 bits in registers of 64
    other = _OTHERS.get(machine)
    if other is None or other.pc not in registers or other.sp not in registers:
        return None
    return other if order == "little" else _in_order(other, order)


def _in_order(convention: Convention, order: ByteOrder) -> Convention:
    key = (convention.machine, order)
    found = _ordered.get(key)
    if found is None:
        found = _ordered[key] = msgspec.structs.replace(convention, order=order)
    return found


_ordered: dict[tuple[str, str], Convention] = {}
