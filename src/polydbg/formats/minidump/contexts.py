"""Thread contexts: the registers of AMD64, x86, ARM and ARM64 threads.

A register set maps lower-case names to unsigned integers. What ContextFlags leave out, or what a
record is too short for, is not in it. Vector registers are whole numbers (``xmm0`` 128 bits,
``ymm0`` 256), ``st0`` to ``st7`` are the 80-bit images.

Facts: CONTEXT of winnt.h (Microsoft's documentation), the FXSAVE and XSAVE areas of Intel's manual
volume 1 chapter 13, Breakpad's minidump_cpu_*.h for its own ARM layouts.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import msgspec

from polydbg.formats.minidump.system import XStateConfig
from polydbg.formats.register_fields import (
    XSAVE_COMPONENTS,
    Field,
    fsave,
    fxsave,
    numbered,
    read_fields,
    row,
)

Registers = Mapping[str, int]

CONTROL = 0x1
INTEGER = 0x2
SEGMENTS = 0x4
FLOATING = 0x8
DEBUG = 0x10
EXTENDED_X86 = 0x20
XSTATE = 0x40
ARM_FLOATING = 0x4

X86_FLAG = 0x10000
AMD64_FLAG = 0x100000
ARM_FLAG = 0x200000
ARM64_FLAG = 0x400000
OLD_ARM_FLAG = 0x40000000
OLD_ARM64_FLAG = 0x80000000

_ARCH_MASK = 0x07FFFF00
"""Without the bits of exception reporting, and those that say what the record holds."""

_PARTS = 0x7F
_PARTS_OF_MAC_WRITER = CONTROL | INTEGER | SEGMENTS | FLOATING

AMD64_SIZE = 0x4D0
X86_SIZE = 0x2CC
ARM_SIZE = 0x1A0
OLD_ARM_SIZE = 368
ARM64_SIZE = 0x390
OLD_ARM64_SIZE = 796

AVX_COMPONENT = 2
_LEGACY_SIZE = 512
_XSAVE_HEADER = 64
_COMPACTED = 1 << 63
_ALIGNED_COMPONENTS = frozenset({18})


_AMD64: tuple[Field, ...] = (
    *row("rax rcx rdx rbx", 0x78, 8, INTEGER),
    Field("rsp", 0x98, 8, CONTROL),
    *row("rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15", 0xA0, 8, INTEGER),
    Field("rip", 0xF8, 8, CONTROL),
    Field("efl", 0x44, 4, CONTROL),
    Field("cs", 0x38, 2, CONTROL),
    *row("ds es fs gs", 0x3A, 2, SEGMENTS),
    Field("ss", 0x42, 2, CONTROL),
    *row("dr0 dr1 dr2 dr3 dr6 dr7", 0x48, 8, DEBUG),
    Field("mxcsr", 0x34, 4, FLOATING),
    *fxsave(0x100, 16, FLOATING),
)

_X86: tuple[Field, ...] = (
    *row("edi esi ebx edx ecx eax", 0x9C, 4, INTEGER),
    *row("ebp eip cs efl esp ss", 0xB4, 4, CONTROL),
    *row("gs fs es ds", 0x8C, 4, SEGMENTS),
    *row("dr0 dr1 dr2 dr3 dr6 dr7", 0x04, 4, DEBUG),
    *fsave(0x1C, 0x38, FLOATING),
    Field("mxcsr", 0xCC + 0x18, 4, EXTENDED_X86),
    *row(numbered("xmm", 8), 0xCC + 0xA0, 16, EXTENDED_X86),
)

_ARM: tuple[Field, ...] = (
    *row(numbered("r", 13), 0x04, 4, INTEGER),
    *row("sp lr pc cpsr", 0x38, 4, CONTROL),
    Field("fpscr", 0x48, 4, ARM_FLOATING),
    *row(numbered("q", 16), 0x50, 16, ARM_FLOATING),
)

_OLD_ARM: tuple[Field, ...] = (
    *row(numbered("r", 13) + " sp lr pc cpsr", 0x04, 4, INTEGER),
    Field("fpscr", 0x48, 8, ARM_FLOATING),
    *row(numbered("d", 32), 0x50, 8, ARM_FLOATING),
)

_ARM64: tuple[Field, ...] = (
    *row(numbered("x", 29), 0x08, 8, INTEGER),
    *row("fp lr sp pc", 0xF0, 8, CONTROL),
    Field("cpsr", 0x04, 4, CONTROL),
    *row(numbered("v", 32), 0x110, 16, ARM_FLOATING),
    *row("fpcr fpsr", 0x310, 4, ARM_FLOATING),
    *row(numbered("bcr", 8), 0x318, 4, DEBUG >> 1),
    *row(numbered("bvr", 8), 0x338, 8, DEBUG >> 1),
    *row(numbered("wcr", 2), 0x378, 4, DEBUG >> 1),
    *row(numbered("wvr", 2), 0x380, 8, DEBUG >> 1),
)

_OLD_ARM64: tuple[Field, ...] = (
    *row(numbered("x", 29) + " fp lr sp pc", 0x08, 8, INTEGER),
    Field("cpsr", 0x110, 4, INTEGER),
    *row("fpsr fpcr", 0x114, 4, ARM_FLOATING),
    *row(numbered("v", 32), 0x11C, 16, ARM_FLOATING),
)


class Layout(msgspec.Struct, frozen=True):
    """One kind of context record: *flags_offset* is where ContextFlags lie."""

    arch: str
    fields: tuple[Field, ...]
    flags_offset: int
    arch_flag: int
    size: int


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "amd64": (
        Layout("amd64", _AMD64, 0x30, AMD64_FLAG, AMD64_SIZE),
        Layout("x86", _X86, 0, X86_FLAG, X86_SIZE),
        Layout("arm64", _ARM64, 0, ARM64_FLAG, ARM64_SIZE),
    ),
    "x86": (Layout("x86", _X86, 0, X86_FLAG, X86_SIZE),),
    "arm": (
        Layout("arm", _ARM, 0, ARM_FLAG, ARM_SIZE),
        Layout("arm", _OLD_ARM, 0, OLD_ARM_FLAG, OLD_ARM_SIZE),
    ),
    "arm64": (
        Layout("arm64", _ARM64, 0, ARM64_FLAG, ARM64_SIZE),
        Layout("arm64", _OLD_ARM64, 0, OLD_ARM64_FLAG, OLD_ARM64_SIZE),
        Layout("amd64", _AMD64, 0x30, AMD64_FLAG, AMD64_SIZE),
    ),
}
"""The layouts that threads of each architecture may have, the usual one first."""


def context_layout(data: bytes, arch: str) -> Layout | None:
    """Return the layout whose architecture flag is in the record, or ``None``."""
    for layout in LAYOUTS.get(arch, ()):
        at = layout.flags_offset
        if at + 4 <= len(data) and struct.unpack_from("<I", data, at)[0] & layout.arch_flag:
            return layout
    return None


def has_context(data: bytes, arch: str) -> bool:
    """Return whether the flags say that *data* is a context record of *arch* and of no other."""
    layout = context_layout(data, arch)
    if layout is None:
        return False
    flags: int = struct.unpack_from("<I", data, layout.flags_offset)[0]
    return flags & _ARCH_MASK == layout.arch_flag


def guess_architecture(data: bytes) -> str | None:
    """Return the architecture that a context record's size and flags speak for, or ``None``."""
    for arch in ("amd64", "arm64", "x86", "arm"):
        layout = LAYOUTS[arch][0]
        if len(data) >= layout.size:
            flags = struct.unpack_from("<I", data, layout.flags_offset)[0]
            if flags & _ARCH_MASK == layout.arch_flag:
                return arch
    return None


def parse_context(data: bytes, arch: str, xstate: XStateConfig | None = None) -> dict[str, int]:
    """Return the registers in a context record of a thread of *arch*; ``{}`` if it is of no kind.

    A record of fewer bytes than its kind has gives the registers that lie in it.
    """
    layout = context_layout(data, arch)
    if layout is None:
        return {}
    flags = int.from_bytes(data[layout.flags_offset : layout.flags_offset + 4], "little")
    if not flags & _PARTS:
        flags |= _PARTS_OF_MAC_WRITER  # Breakpad on macOS names the processor and no parts
    present = (field for field in layout.fields if flags & field.flag)
    registers = read_fields(data, present, "little")
    if flags & XSTATE and layout.arch in ("amd64", "x86"):
        _add_vectors(registers, data[layout.size :], xstate)
    return registers


def _add_vectors(registers: dict[str, int], extension: bytes, config: XStateConfig | None) -> None:
    """Add ymm registers from the CONTEXT_EX and what it points to, when they are there."""
    if len(extension) < 24:
        return
    offset, length = struct.unpack_from("<iI", extension, 16)
    if offset < 0 or offset + _XSAVE_HEADER > len(extension):
        return
    area = extension[offset : offset + length] if length >= _XSAVE_HEADER else b""
    high = _component(area, AVX_COMPONENT, config)
    if high is None:
        return
    for index in range(16):
        low = registers.get(f"xmm{index}")
        if low is not None and (index + 1) * 16 <= len(high):
            upper = int.from_bytes(high[index * 16 : index * 16 + 16], "little")
            registers[f"ymm{index}"] = upper << 128 | low


def _component(area: bytes, index: int, config: XStateConfig | None) -> bytes | None:
    """Return an XSAVE component of an area that lacks the legacy part, zeros when not in use.

    ``None`` means that the processor does not have it, or that it is cut off.
    """
    if len(area) < 16:
        return None
    mask, compaction = struct.unpack_from("<QQ", area)
    bit = 1 << index
    if config is not None and not config.enabled & bit:
        return None
    size = _feature(index, config)[1]
    if not 0 < size <= 0x10000:
        return None
    if compaction & _COMPACTED and not compaction & bit:
        return bytes(size)
    if not mask & bit:
        return bytes(size)
    if compaction & _COMPACTED:
        at = _compacted_offset(index, compaction, config)
    else:
        at = _feature(index, config)[0] - _LEGACY_SIZE
    return area[at : at + size] if at >= 0 and at + size <= len(area) else None


def _feature(index: int, config: XStateConfig | None) -> tuple[int, int]:
    if config is not None and index < len(config.features) and config.features[index][1]:
        return config.features[index]
    return XSAVE_COMPONENTS.get(index, (0, 0))


def _compacted_offset(index: int, compaction: int, config: XStateConfig | None) -> int:
    """Return where component *index* lies when components are packed in index order."""
    at = _XSAVE_HEADER
    for lower in range(2, index):
        if compaction & 1 << lower:
            if lower in _ALIGNED_COMPONENTS:
                at = -(-at // 64) * 64
            at += _feature(lower, config)[1]
    return -(-at // 64) * 64 if index in _ALIGNED_COMPONENTS else at
