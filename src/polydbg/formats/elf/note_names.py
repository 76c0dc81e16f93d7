"""What the notes of cores are called, by owner and number.

Facts: ``<elf.h>`` of glibc and Linux's ``uapi/linux/elf.h``; FreeBSD's ``<sys/elf_common.h>``;
NetBSD's and OpenBSD's ``<sys/exec_elf.h>``.
"""

from __future__ import annotations

_SHARED = {1: "NT_PRSTATUS", 2: "NT_FPREGSET", 3: "NT_PRPSINFO"}
_REGISTER_SETS = {
    0x100: "NT_PPC_VMX",
    0x102: "NT_PPC_VSX",
    0x103: "NT_PPC_TAR",
    0x104: "NT_PPC_PPR",
    0x105: "NT_PPC_DSCR",
    0x200: "NT_386_TLS",
    0x201: "NT_386_IOPERM",
    0x202: "NT_X86_XSTATE",
    0x204: "NT_X86_SHSTK",
    0x205: "NT_X86_XSAVE_LAYOUT",
    0x300: "NT_S390_HIGH_GPRS",
    0x301: "NT_S390_TIMER",
    0x302: "NT_S390_TODCMP",
    0x303: "NT_S390_TODPREG",
    0x304: "NT_S390_CTRS",
    0x305: "NT_S390_PREFIX",
    0x306: "NT_S390_LAST_BREAK",
    0x307: "NT_S390_SYSTEM_CALL",
    0x308: "NT_S390_TDB",
    0x309: "NT_S390_VXRS_LOW",
    0x30A: "NT_S390_VXRS_HIGH",
    0x400: "NT_ARM_VFP",
    0x401: "NT_ARM_TLS",
    0x402: "NT_ARM_HW_BREAK",
    0x403: "NT_ARM_HW_WATCH",
    0x404: "NT_ARM_SYSTEM_CALL",
    0x405: "NT_ARM_SVE",
    0x406: "NT_ARM_PAC_MASK",
    0x407: "NT_ARM_PACA_KEYS",
    0x408: "NT_ARM_PACG_KEYS",
    0x409: "NT_ARM_TAGGED_ADDR_CTRL",
    0x40A: "NT_ARM_PAC_ENABLED_KEYS",
    0x40B: "NT_ARM_SSVE",
    0x40C: "NT_ARM_ZA",
    0x40D: "NT_ARM_ZT",
    0x40E: "NT_ARM_FPMR",
    0x900: "NT_RISCV_CSR",
    0x901: "NT_RISCV_VECTOR",
    0xA00: "NT_LOONGARCH_CPUCFG",
    0xA02: "NT_LOONGARCH_LSX",
    0xA03: "NT_LOONGARCH_LASX",
    0x46E62B7F: "NT_PRXFPREG",
}
_LINUX = _SHARED | {4: "NT_TASKSTRUCT", 6: "NT_AUXV", 0x46494C45: "NT_FILE"}
_LINUX |= {0x53494749: "NT_SIGINFO"} | _REGISTER_SETS
_FREEBSD = _SHARED | _REGISTER_SETS
_FREEBSD |= {
    7: "NT_THRMISC",
    8: "NT_PROCSTAT_PROC",
    9: "NT_PROCSTAT_FILES",
    10: "NT_PROCSTAT_VMMAP",
    11: "NT_PROCSTAT_GROUPS",
    12: "NT_PROCSTAT_UMASK",
    13: "NT_PROCSTAT_RLIMIT",
    14: "NT_PROCSTAT_OSREL",
    15: "NT_PROCSTAT_PSSTRINGS",
    16: "NT_PROCSTAT_AUXV",
    17: "NT_PTLWPINFO",
    0x200: "NT_X86_SEGBASES",
}
_NETBSD = {
    1: "NT_NETBSDCORE_PROCINFO",
    2: "NT_NETBSDCORE_AUXV",
    24: "NT_NETBSDCORE_LWPSTATUS",
}
_OPENBSD = {
    10: "NT_OPENBSD_PROCINFO",
    11: "NT_OPENBSD_AUXV",
    20: "NT_OPENBSD_REGS",
    21: "NT_OPENBSD_FPREGS",
    22: "NT_OPENBSD_XFPREGS",
    23: "NT_OPENBSD_WCOOKIE",
    24: "NT_OPENBSD_PACMASK",
}
_BY_OWNER = {
    "CORE": _LINUX,
    "LINUX": _LINUX,
    "FreeBSD": _FREEBSD,
    "NetBSD-CORE": _NETBSD,
    "OpenBSD": _OPENBSD,
}


def core_note_name(owner: str, kind: int) -> str:
    """Return ``NT_PRSTATUS`` and the like, ``""`` for a note without a known name."""
    return _BY_OWNER.get(owner.partition("@")[0], {}).get(kind, "")
