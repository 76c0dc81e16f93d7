"""Numbers of ELF and what they are called.

Sources: the System V ABI (gABI) chapters 4 and 5 with its registry of ``e_machine`` values, the
processor supplements, and ``<elf.h>`` of glibc for the GNU extensions.
"""

from __future__ import annotations

MAGIC = b"\x7fELF"

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_PHDR, PT_TLS = 1, 2, 3, 4, 6, 7
PT_GNU_EH_FRAME, PT_GNU_STACK, PT_GNU_RELRO = 0x6474E550, 0x6474E551, 0x6474E552
PF_X, PF_W, PF_R = 1, 2, 4

SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA = 1, 2, 3, 4
SHT_DYNAMIC, SHT_NOTE, SHT_NOBITS, SHT_REL, SHT_DYNSYM = 6, 7, 8, 9, 11
SHT_SYMTAB_SHNDX = 18
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR, SHF_TLS, SHF_COMPRESSED = 1, 2, 4, 0x400, 0x800
SHN_UNDEF, SHN_LORESERVE, SHN_ABS, SHN_COMMON, SHN_XINDEX = 0, 0xFF00, 0xFFF1, 0xFFF2, 0xFFFF
PN_XNUM = 0xFFFF

STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 0, 1, 2, 3, 4
STT_COMMON, STT_TLS, STT_GNU_IFUNC = 5, 6, 10
STB_LOCAL, STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE = 0, 1, 2, 10

DT_NULL, DT_NEEDED, DT_PLTRELSZ, DT_PLTGOT, DT_HASH, DT_STRTAB, DT_SYMTAB = 0, 1, 2, 3, 4, 5, 6
DT_STRSZ, DT_SYMENT, DT_SONAME, DT_RPATH, DT_DEBUG = 10, 11, 14, 15, 21
DT_TEXTREL, DT_RUNPATH, DT_FLAGS, DT_GNU_HASH = 22, 29, 30, 0x6FFFFEF5
DF_TEXTREL = 4
DT_VERSYM, DT_FLAGS_1, DT_VERDEF, DT_VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFD
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
DF_1_PIE = 0x08000000

EM_386, EM_ARM, EM_X86_64, EM_AARCH64, EM_RISCV = 3, 40, 62, 183, 243
EM_MIPS, EM_PPC64, EM_S390, EM_PARISC = 8, 21, 22, 15

#: The processor by ``e_machine``: the name for 32-bit files and the one for 64-bit files.
_MACHINES: dict[int, tuple[str, str]] = {
    2: ("sparc", "sparc64"),
    EM_386: ("x86", "x86"),
    4: ("m68k", "m68k"),
    6: ("x86", "x86"),  # Intel 80486, never used in earnest
    EM_MIPS: ("mips", "mips64"),
    10: ("mips", "mips64"),  # MIPS RS3000 little-endian, of old
    EM_PARISC: ("parisc", "parisc64"),
    18: ("sparc", "sparc64"),  # SPARC 32+
    20: ("ppc", "ppc"),
    EM_PPC64: ("ppc64", "ppc64"),
    EM_S390: ("s390", "s390x"),
    EM_ARM: ("arm", "arm"),
    41: ("alpha", "alpha"),
    42: ("sh", "sh"),
    43: ("sparc64", "sparc64"),
    50: ("ia64", "ia64"),
    EM_X86_64: ("x32", "amd64"),
    EM_AARCH64: ("arm64-ilp32", "arm64"),
    EM_RISCV: ("riscv32", "riscv64"),
    247: ("bpf", "bpf"),
    258: ("loongarch32", "loongarch64"),
    0x9026: ("alpha", "alpha"),  # what Linux and every tool write
    0xA390: ("s390", "s390x"),  # before 22 was assigned
}


def machine_name(machine: int, is_64: bool) -> str:
    """Return the processor's name (``amd64``, ``x86``, ``arm64``, ``riscv64``, ``s390x``, ...;
    ``machine-XX`` with the hexadecimal number for one that is not known)."""
    names = _MACHINES.get(machine)
    return names[is_64] if names else f"machine-{machine:X}"
