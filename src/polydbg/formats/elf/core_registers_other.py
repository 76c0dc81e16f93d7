"""General registers of further processors in the notes of Linux's cores, by the names gdb uses.

Every processor has ``pc``, and ``sp`` beside the number where its name is another. Facts: the order
of ``elf_gregset_t`` in each processor's ``asm/elf.h`` and ``asm/ptrace.h``.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from polydbg.formats.elf.core_records import CoreThread
from polydbg.formats.elf.header import ElfHeader
from polydbg.formats.register_fields import Field, numbered, read_fields, row


class Machine(msgspec.Struct, frozen=True):
    """*names* of the general registers in order, each *size* bytes; *aliases* are further names of
    registers, *more* the fields of further sets."""

    names: str
    size: int
    aliases: Mapping[str, str] = {}
    more: Mapping[str, tuple[Field, ...]] = {}


_RISCV = (
    "pc ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
    "t3 t4 t5 t6"
)
_PPC = f"{numbered('r', 32)} pc msr orig_r3 ctr lr xer cr"
_S390_END = f"{numbered('acr', 16)}"
_MIPS_O32 = (
    "zero at v0 v1 a0 a1 a2 a3 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 "
    "gp sp s8 ra lo hi pc badvaddr status cause"
)
_MIPS_N64 = _MIPS_O32.replace("t0 t1 t2 t3 t4 t5 t6 t7", "a4 a5 a6 a7 t0 t1 t2 t3")
_LOONGARCH = (
    "r0 ra tp sp a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 t4 t5 t6 t7 t8 r21 fp s0 s1 s2 s3 s4 s5 s6 "
    "s7 s8 orig_a0 pc badv"
)
_SPARC_WINDOW = (
    f"{numbered('g', 8)} {numbered('o', 6)} sp o7 {numbered('l', 8)} {numbered('i', 6)} fp i7"
)
_PARISC = f"{numbered('r', 32)} {numbered('sr', 8)} pcoqh pcoqt pcsqh pcsqt sar iir isr ior"
_M68K = "d1 d2 d3 d4 d5 d6 d7 a0 a1 a2 a3 a4 a5 fp d0 sp orig_d0 ps pc"
_ALPHA = (
    "v0 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 fp a0 a1 a2 a3 a4 a5 t8 t9 t10 t11 ra t12 at "
    "gp sp pc unique"
)
_DOUBLES = row(numbered("f", 32), 0, 8)

_LINUX: Mapping[str, Machine] = {
    "riscv64": Machine(_RISCV, 8, {"s0": "fp"}, {"float": (*_DOUBLES, Field("fcsr", 256, 4))}),
    "riscv32": Machine(_RISCV, 4, {"s0": "fp"}, {"float": (*_DOUBLES, Field("fcsr", 256, 4))}),
    "ppc": Machine(
        f"{_PPC} mq trap dar dsisr", 4, {"sp": "r1"}, {"float": (*_DOUBLES, Field("fpscr", 260, 4))}
    ),
    "ppc64": Machine(
        f"{_PPC} softe trap dar dsisr",
        8,
        {"sp": "r1"},
        {"float": (*_DOUBLES, Field("fpscr", 256, 8))},
    ),
    "s390x": Machine("", 8, {"pc": "pswa", "sp": "r15"}),
    "s390": Machine("", 4, {"sp": "r15"}),
    "mips": Machine("- " * 6 + _MIPS_O32, 4),
    "mips64": Machine(_MIPS_N64, 8),
    "loongarch64": Machine(_LOONGARCH, 8, {}, {"float": _DOUBLES}),
    "sparc64": Machine(f"{_SPARC_WINDOW} state pc npc y", 8, {"o6": "sp", "i6": "fp"}),
    "sparc": Machine(f"{_SPARC_WINDOW} psr pc npc y wim tbr", 4, {"o6": "sp", "i6": "fp"}),
    "parisc": Machine(_PARISC, 4, {"sp": "r30"}),
    "parisc64": Machine(_PARISC, 8, {"sp": "r30"}),
    "m68k": Machine(_M68K, 4, {"a6": "fp", "a7": "sp"}),
    "alpha": Machine(_ALPHA, 8),
}
_S390 = {
    "s390x": (
        *row(f"pswm pswa {numbered('r', 16)}", 0, 8),
        *row(_S390_END, 0x90, 4),
        Field("orig_r2", 0xD0, 8),
    ),
    "s390": (*row(f"pswm pswa {numbered('r', 16)} {_S390_END} orig_r2", 0, 4),),
}
_N32_SIZE = 45 * 8

_FREEBSD: Mapping[str, Machine] = {
    "riscv64": Machine(
        "ra sp gp tp t0 t1 t2 t3 t4 t5 t6 fp s1 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 "
        "a0 a1 a2 a3 a4 a5 a6 a7 pc sstatus",
        8,
        {"s0": "fp"},
    ),
    "ppc": Machine(f"{numbered('r', 32)} lr cr xer ctr pc", 4, {"sp": "r1"}),
    "ppc64": Machine(f"{numbered('r', 32)} lr cr xer ctr pc", 8, {"sp": "r1"}),
}


def thread_registers(thread: CoreThread, header: ElfHeader, system: str) -> dict[str, int]:
    """Return the registers of *thread*; ``{}`` for a processor that is not known here."""
    arch, order = header.machine_name, header.order
    machine = {"linux": _LINUX, "freebsd": _FREEBSD}.get(system, {}).get(arch)
    if machine is None:
        return {}
    general = thread.sets.get("general", b"")
    if arch == "mips" and len(general) >= _N32_SIZE:  # n32: registers of 64 bits
        machine = _LINUX["mips64"]
    fields = _S390.get(arch) or row(machine.names, 0, machine.size)
    registers = read_fields(general, fields, order)
    for name, more in machine.more.items():
        registers |= read_fields(thread.sets.get(name, b""), more, order)
    for alias, name in machine.aliases.items():
        if name in registers:
            registers[alias] = registers[name]
    if arch == "s390" and "pswa" in registers:  # the top bit is the addressing mode
        registers["pc"] = registers["pswa"] & 0x7FFFFFFF
    if arch.startswith("parisc") and "pcoqh" in registers:  # the low bits are the privilege level
        registers["pc"] = registers["pcoqh"] & ~3
    return registers
