"""Registers in the notes of cores, by the names that WinDbg's contexts have where it has any.

x86-64, i386, ARM64 and ARM here, other processors in
:mod:`polydbg.formats.elf.core_registers_other`, vector state in
:mod:`polydbg.formats.elf.core_vectors`. Facts: ``<sys/user.h>`` and ``<asm/ptrace.h>`` of Linux,
``<machine/reg.h>`` of the BSDs.
"""

from __future__ import annotations

from collections.abc import Mapping

from polydbg.formats.elf import core_vectors
from polydbg.formats.elf.core_records import CoreThread
from polydbg.formats.elf.header import ElfHeader
from polydbg.formats.register_fields import Field, fsave, fxsave, numbered, read_fields, row

_X0_TO_X28 = numbered("x", 29)
_SELECTORS = frozenset(("cs", "ss", "ds", "es", "fs", "gs"))


def _x86_row(names: str, size: int) -> tuple[Field, ...]:
    """Return fields *size* bytes apart; writers leave what they like above a selector."""
    widths = {"efl": 4, **dict.fromkeys(_SELECTORS, 2)}
    fields = row(names, 0, size)
    return tuple(Field(each.name, each.offset, widths.get(each.name, size)) for each in fields)


_LINUX_AMD64 = _x86_row(
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs efl rsp ss "
    "fs_base gs_base ds es fs gs",
    8,
)
_LINUX_X86 = _x86_row(
    "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs efl esp ss",
    4,
)
_LINUX_ARM64 = row(f"{_X0_TO_X28} fp lr sp pc cpsr", 0, 8)
_LINUX_ARM = row(f"{numbered('r', 13)} sp lr pc cpsr orig_r0", 0, 4)

_FREEBSD_AMD64 = (
    *row("r15 r14 r13 r12 r11 r10 r9 r8 rdi rsi rbp rbx rdx rcx rax", 0, 8),
    *row("fs gs", 0x7C, 2),
    *row("es ds", 0x84, 2),
    *row("rip - - rsp", 0x88, 8),
    *row("cs ss", 0x90, 2, step=0x18),
    Field("efl", 0x98, 4),
)
_FREEBSD_X86 = _x86_row(
    "fs es ds edi esi ebp - ebx edx ecx eax - - eip cs efl esp ss gs",
    4,
)
_FREEBSD_ARM64 = (*row(f"{_X0_TO_X28} fp lr sp pc", 0, 8), Field("cpsr", 0x108, 4))
_FREEBSD_ARM = row(f"{numbered('r', 13)} sp lr pc cpsr", 0, 4)

_NETBSD_AMD64 = _x86_row(
    "rdi rsi rdx rcx r8 r9 r10 r11 r12 r13 r14 r15 rbp rbx rax gs fs es ds - - rip cs efl rsp ss",
    8,
)
_BSD_X86 = _x86_row(
    "eax ecx edx ebx esp ebp esi edi eip efl cs ss ds es fs gs",
    4,
)
_BSD_ARM64 = row(f"{_X0_TO_X28} fp lr sp pc cpsr tpidr", 0, 8)
_OPENBSD_AMD64 = _x86_row(
    "rdi rsi rdx rcx r8 r9 r10 r11 r12 r13 r14 r15 rbp rbx rax rsp rip efl cs ss ds es fs gs",
    8,
)

GENERAL: Mapping[tuple[str, str], tuple[Field, ...]] = {
    ("linux", "amd64"): _LINUX_AMD64,
    ("linux", "x32"): _LINUX_AMD64,
    ("linux", "x86"): _LINUX_X86,
    ("linux", "arm64"): _LINUX_ARM64,
    ("linux", "arm"): _LINUX_ARM,
    ("freebsd", "amd64"): _FREEBSD_AMD64,
    ("freebsd", "x86"): _FREEBSD_X86,
    ("freebsd", "arm64"): _FREEBSD_ARM64,
    ("freebsd", "arm"): _FREEBSD_ARM,
    ("netbsd", "amd64"): _NETBSD_AMD64,
    ("netbsd", "x86"): _BSD_X86,
    ("netbsd", "arm64"): _BSD_ARM64,
    ("netbsd", "arm"): _FREEBSD_ARM,
    ("openbsd", "amd64"): _OPENBSD_AMD64,
    ("openbsd", "x86"): _BSD_X86,
    ("openbsd", "arm64"): _BSD_ARM64,
    ("openbsd", "arm"): _FREEBSD_ARM,
}
"""General registers by system and processor."""

_FXSAVE_64 = (Field("mxcsr", 0x18, 4), *fxsave(0, 16))
_FXSAVE_32 = (Field("mxcsr", 0x18, 4), *fxsave(0, 8))
_FSAVE = fsave(0, 0x1C)
_V_REGISTERS = row(numbered("v", 32), 0, 16)
_ARM64_FLOAT = (*_V_REGISTERS, *row("fpsr fpcr", 0x200, 4))
#: NetBSD has the two control registers the other way round.
_NETBSD_ARM64_FLOAT = (*_V_REGISTERS, *row("fpcr fpsr", 0x200, 4))
_VFP = (*row(numbered("q", 16), 0, 16), Field("fpscr", 0x100, 4))
_MORE_SETS: Mapping[tuple[str, str], tuple[Field, ...]] = {
    ("amd64", "float"): _FXSAVE_64,
    ("x32", "float"): _FXSAVE_64,
    ("x86", "float"): _FSAVE,
    ("x86", "xfp"): _FXSAVE_32,
    ("arm64", "float"): _ARM64_FLOAT,
    ("arm64", "tls"): row("tpidr tpidr2", 0, 8),
    ("arm64", "pac"): row("pac_data_mask pac_code_mask", 0, 8),
    ("arm", "vfp"): _VFP,
    ("arm", "tls"): row("tpidruro", 0, 4),
    ("amd64", "segment-bases"): row("fs_base gs_base", 0, 8),
    ("x86", "segment-bases"): row("fs_base gs_base", 0, 4),
}


def thread_registers(
    thread: CoreThread,
    header: ElfHeader,
    system: str,
    xsave_layout: Mapping[int, tuple[int, int]],
) -> dict[str, int]:
    """Return the registers of *thread*: those that its notes hold whole."""
    arch = header.machine_name
    order = header.order
    general = thread.sets.get("general", b"")
    fields = GENERAL.get((system, arch))
    if fields is None:
        from polydbg.formats.elf import core_registers_other

        return core_registers_other.thread_registers(thread, header, system)
    registers = read_fields(general, fields, order)
    for name, data in thread.sets.items():
        more = _MORE_SETS.get((arch, name), ())
        if system == "netbsd" and (arch, name) == ("arm64", "float"):
            more = _NETBSD_ARM64_FLOAT
        registers |= read_fields(data, more, order)
    if "xstate" in thread.sets and arch in ("amd64", "x32", "x86"):
        is_long = arch != "x86"
        core_vectors.add_xstate(registers, thread.sets["xstate"], xsave_layout, is_long=is_long)
    if "tls" in thread.sets and arch == "x86":
        _add_segment_base(registers, thread.sets["tls"])
    if "sve" in thread.sets and arch == "arm64":
        core_vectors.add_sve(registers, thread.sets["sve"])
    return registers


def _add_segment_base(registers: dict[str, int], descriptors: bytes) -> None:
    """Add ``gs_base``, where i386 threads have their own data: the base of the descriptor (entry
    number, base, limit, flags) that ``gs`` selects."""
    selected = registers.get("gs", 0) >> 3
    for at in range(0, len(descriptors) - 15, 16):
        if selected and int.from_bytes(descriptors[at : at + 4], "little") == selected:
            registers["gs_base"] = int.from_bytes(descriptors[at + 4 : at + 8], "little")
