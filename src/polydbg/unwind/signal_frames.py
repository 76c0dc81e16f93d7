"""Callers of signal handlers: the registers that the system stored where a handler returns to.

A handler returns to a few instructions that make the system call ``sigreturn``; above them on the
stack lie the registers of the code that was interrupted. The instructions tell which call it is,
and so the layout. They are looked at before call frame information, which some systems' trampolines
have but get wrong on purpose (ARM64's vdso).

Facts: ``sigcontext`` and ``ucontext`` of Linux's ``asm/`` headers with the frames of each
processor's ``signal.c``, ``machine/ucontext.h`` and ``machine/sigframe.h`` of FreeBSD, ``mcontext``
of NetBSD.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.formats.register_fields import Field, numbered, read_fields, row
from polydbg.images.pe import PeImage
from polydbg.unwind.calls import code_at
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import Callee, Caller, Convention, UnwindContext
from polydbg.unwind.processors import processor

_ARM64_MORE = 288  # from the registers' record: the list of further records
_ARM64_FPSIMD = 0x46508001
_LONGEST = 16  # bytes of a trampoline


class Trampoline(msgspec.Struct, frozen=True):
    """*code* that returns from a handler, and where the registers are: *fields* at *offset* from
    the register *base* (``""``: the stack pointer), or with *pointer* from what the pointer at that
    offset from the base leads to.

    *steps* are the places inside *code* that a thread can be at, with how far the stack pointer is
    then above where it was at the start.
    """

    code: bytes
    fields: tuple[Field, ...]
    offset: int
    base: str = ""
    pointer: int | None = None
    steps: tuple[tuple[int, int], ...] = ()


def _words(*words: int, big: bool = False) -> bytes:
    return b"".join(word.to_bytes(4, "big" if big else "little") for word in words)


def _amd64() -> tuple[Trampoline, ...]:
    linux = (
        *row("r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip", 0, 8),
        Field("efl", 0x88, 4),
        *row("cs gs fs ss", 0x90, 2),
    )
    freebsd = (
        *row("rdi rsi rdx rcx r8 r9 rax rbx rbp r10 r11 r12 r13 r14 r15", 8, 8),
        *row("rip - - rsp", 0xA0, 8),
        *row("cs ss", 0xA8, 2, step=0x18),
        Field("efl", 0xB0, 4),
    )
    netbsd = row(
        "rdi rsi rdx rcx r8 r9 r10 r11 r12 r13 r14 r15 rbp rbx rax - - - - - - rip - - rsp", 0, 8
    )
    return (
        Trampoline(bytes.fromhex("48c7c00f0000000f05"), linux, 0x28, steps=((7, 0),)),
        # the short form of mov
        Trampoline(bytes.fromhex("b80f0000000f05"), linux, 0x28, steps=((5, 0),)),
        # x32
        Trampoline(bytes.fromhex("48c7c0010200400f05"), linux, 0x18, steps=((7, 0),)),
        # FreeBSD: lea rdi,[rsp+10h]; push 0; mov rax,417; syscall
        Trampoline(bytes.fromhex("488d7c24106a0048c7c0a10100000f05"), freebsd, 0x20),
        # NetBSD: mov rdi,r15; mov rax,308; syscall
        Trampoline(bytes.fromhex("4c89ff48c7c0340100000f05"), netbsd, 0x38, "r15"),
    )


def _x86() -> tuple[Trampoline, ...]:
    linux = (
        *row("gs fs es ds", 0, 2, step=4),
        *row("edi esi ebp esp ebx edx ecx eax - - eip", 0x10, 4),
        Field("cs", 0x3C, 2),
        Field("efl", 0x40, 4),
        Field("ss", 0x48, 2),
    )
    return (
        # pop eax; mov eax,119; int 80h
        Trampoline(bytes.fromhex("58b877000000cd80"), linux, 4, steps=((1, 4), (6, 4))),
        Trampoline(bytes.fromhex("b8ad000000cd80"), linux, 0x14, pointer=8, steps=((5, 0),)),
    )


def _arm64() -> tuple[Trampoline, ...]:
    linux = row(f"{numbered('x', 29)} fp lr sp pc cpsr", 8, 8)
    freebsd = row(f"{numbered('x', 29)} fp lr sp pc", 0, 8)
    return (
        # mov x8,#139; svc #0
        Trampoline(_words(0xD2801168, 0xD4000001), linux, 128 + 176, steps=((4, 0),)),
        # mov x0,sp; add x0,x0,#80; mov x8,#417; svc #0
        Trampoline(_words(0x910003E0, 0x91014000, 0xD2803428, 0xD4000001), freebsd, 80 + 16),
    )


def _arm() -> tuple[Trampoline, ...]:
    linux = row(f"{numbered('r', 13)} sp lr pc cpsr", 12, 4)
    plain, realtime = 20, 128 + 20
    codes = (
        # mov r7,#119 or #173; svc: the number is in it as well for the old interface
        (_words(0xE3A07077, 0xEF000000), plain),
        (_words(0xE3A07077, 0xEF900077), plain),
        (_words(0xE3A070AD, 0xEF000000), realtime),
        (_words(0xE3A070AD, 0xEF9000AD), realtime),
        (bytes.fromhex("772700df"), plain),
        (bytes.fromhex("ad2700df"), realtime),
    )
    return tuple(
        Trampoline(code, linux, offset, steps=((len(code) // 2, 0),)) for code, offset in codes
    )


def _general(machine: str) -> str:
    """Return registers 1 to 31; number 0 is always zero."""
    names = processor(machine).names
    return " ".join(names[number] for number in range(1, 32))


def _riscv(size: int) -> tuple[Trampoline, ...]:
    context = 176 if size == 8 else 160
    code = _words(0x08B00893, 0x00000073)  # li a7,139; ecall
    fields = row(f"pc {_general('riscv64')}", 0, size)
    return (Trampoline(code, fields, 128 + context, steps=((4, 0),)),)


def _ppc(size: int, big: bool) -> tuple[Trampoline, ...]:
    fields = row(f"{numbered('r', 32)} pc msr - ctr lr xer cr", 0, size)
    realtime = _words(0x380000AC, 0x44000002, big=big)  # li r0,172; sc
    plain = _words(0x38000077, 0x44000002, big=big)
    if size == 8:
        return (Trampoline(realtime, fields, 0, pointer=0x80 + 0xE0, steps=((4, 0),)),)
    return (
        Trampoline(realtime, fields, 0, pointer=0xD0 + 0x30, steps=((4, 0),)),
        Trampoline(plain, fields, 0, pointer=0x40 + 0x1C, steps=((4, 0),)),
    )


def _s390(size: int) -> tuple[Trampoline, ...]:
    fields = row(f"pswm pswa {numbered('r', 16)}", 0, size)
    frame = 160 if size == 8 else 96
    context = 40 if size == 8 else 24
    return (
        Trampoline(b"\x0a\xad", fields, frame + 8 + 128 + context),  # svc 173
        Trampoline(b"\x0a\x77", fields, 0, pointer=frame + 8),
    )


def _mips(size: int, big: bool) -> tuple[Trampoline, ...]:
    names = f"- {_general('mips64' if size == 8 else 'mips')}"
    if size == 8:
        code = _words(0x2402145B, 0x0000000C, big=big)  # li v0,5211; syscall
        fields = (*row(names, 0, 8), Field("pc", 576, 8))
        return (Trampoline(code, fields, 24 + 128 + 40, steps=((4, 0),)),)
    code = _words(0x24021061, 0x0000000C, big=big)  # li v0,4193; syscall
    # Registers are 64 bits wide in the record, whatever the processor.
    skip = 4 if big else 0
    fields = (*row(names, 16 + skip, 4, step=8), Field("pc", 8 + skip, 4))
    return (Trampoline(code, fields, 24 + 128 + 24, steps=((4, 0),)),)


def _loongarch() -> tuple[Trampoline, ...]:
    code = _words(0x03822C0B, 0x002B0000)  # li.w a7,139; syscall
    fields = row(f"pc - {_general('loongarch64')}", 0, 8)
    return (Trampoline(code, fields, 128 + 176, steps=((4, 0),)),)


def _trampolines(names: Convention) -> tuple[Trampoline, ...]:
    big, size = names.order == "big", names.size
    makers = {
        "amd64": _amd64,
        "x86": _x86,
        "arm64": _arm64,
        "arm": _arm,
        "riscv64": lambda: _riscv(8),
        "riscv32": lambda: _riscv(4),
        "ppc": lambda: _ppc(size, big),
        "ppc64": lambda: _ppc(size, big),
        "s390": lambda: _s390(size),
        "s390x": lambda: _s390(size),
        "mips": lambda: _mips(size, big),
        "mips64": lambda: _mips(size, big),
        "loongarch64": _loongarch,
    }
    maker = makers.get(names.machine)
    return maker() if maker is not None else ()


_made: Final[dict[Convention, tuple[Trampoline, ...]]] = {}


def trampolines(names: Convention) -> tuple[Trampoline, ...]:
    """Return the ways in which handlers return on a processor."""
    found = _made.get(names)
    if found is None:
        found = _made[names] = _trampolines(names)
    return found


def is_signal_return(context: UnwindContext, names: Convention, address: int) -> bool:
    """Tell whether a handler that returns to *address* returns to the system: then nothing called
    there, and the address is exact."""
    image = context.image_at(address)
    if image is not None and isinstance(image[1], PeImage):
        return False  # most stacks are Windows': what costs is not asked there
    if _at(context, names, address) is not None:
        return True
    # Trampolines' information begins a byte early, for those that look before a return address.
    found = context.call_frames_at(address - 1)
    if found is None:
        return False
    try:
        rules = found[1].rules_at(address - 1 - found[0])
    except DebuggerError:
        return False
    return rules is not None and rules.is_signal_frame


def _at(context: UnwindContext, names: Convention, address: int) -> Trampoline | None:
    """Return the trampoline that begins at *address*."""
    code = code_at(context, address, _LONGEST)
    for each in trampolines(names) if code else ():
        if code.startswith(each.code):
            return each
    return None


class SignalFrame:
    """Finds what was interrupted by the code at pc and the registers on the stack."""

    def caller_of(self, callee: Callee, context: UnwindContext) -> Caller | None:
        if callee.is_return_address:
            return None  # see is_signal_return
        found = _at(context, callee.convention, callee.pc)
        raised = 0
        if found is None and callee.is_first:
            found, raised = _inside(context, callee)
        if found is None:
            return None
        registers = _registers(found, callee, context, callee.sp - raised)
        if registers is None:
            return None
        trust = FrameTrust.SIGNAL_FRAME
        return Caller(registers, trust, machine_frame=True, has_code_address=True)


def _inside(context: UnwindContext, callee: Callee) -> tuple[Trampoline | None, int]:
    """Return the trampoline that pc is in the middle of, and how far it has raised sp."""
    for each in trampolines(callee.convention):
        for step, raised in each.steps:
            if code_at(context, callee.pc - step, len(each.code)) == each.code:
                return each, raised
    return None, 0


def _registers(
    found: Trampoline, callee: Callee, context: UnwindContext, sp: int
) -> dict[str, int] | None:
    """Return the registers that were stored, ``None`` where what leads to them is not known.

    :raises MemoryReadError: they are not in memory.
    """
    names, memory = callee.convention, context.memory
    base = callee.registers.get(found.base) if found.base else sp
    if base is None:
        return None
    if found.pointer is not None:
        base = int.from_bytes(memory.read(base + found.pointer, names.size), names.order)
    start = base + found.offset
    size = max(field.offset + field.size for field in found.fields)
    registers = read_fields(memory.read(start, size), found.fields, names.order)
    if names.machine == "arm64" and found.offset == 128 + 176:
        registers |= _arm64_vectors(context, start)
    if "pswa" in registers:
        registers["pc"] = registers["pswa"]
    return registers


def _arm64_vectors(context: UnwindContext, start: int) -> Mapping[str, int]:
    """Return the vector registers, which Linux puts first behind the others."""
    data = context.memory.read_some(start + _ARM64_MORE, 16 + 32 * 16)
    if int.from_bytes(data[:4], "little") != _ARM64_FPSIMD:
        return {}
    return read_fields(data, row(numbered("v", 32), 16, 16), "little")
