"""The target's data model: how wide its types are and how their bytes lie, never the host's."""

from __future__ import annotations

import enum

import msgspec

from polydbg.memory.space import ByteOrder


class LongDouble(enum.Enum):
    """How ``long double`` is stored."""

    DOUBLE = "double"  # as double: Microsoft's compiler, ARM, macOS on ARM64
    X87 = "x87"  # 80 bits, padded to 12 or 16 bytes: x86 and x64
    QUAD = "quad"  # IEEE binary128: ARM64, RISC-V and others under Linux
    DOUBLE_DOUBLE = "double-double"  # the sum of two doubles: 64-bit PowerPC


class DataModel(msgspec.Struct, frozen=True):
    """What C leaves to the implementation. Sizes are in bytes."""

    pointer_size: int = 8
    long_size: int = 8
    wchar_size: int = 4
    wchar_is_signed: bool = True
    char_is_signed: bool = True
    order: ByteOrder = "little"
    long_double: LongDouble = LongDouble.X87
    is_microsoft: bool = False
    """Whether bit fields, bases and virtual tables are laid out as Microsoft's compiler does."""


def data_model(
    arch: str, platform: str, pointer_size: int, order: ByteOrder = "little"
) -> DataModel:
    """Return the data model of programs for *arch* on *platform*, both as targets name them.

    Sources: the processor supplements of the System V ABI, Arm's AAPCS and AAPCS64, Microsoft's
    and Apple's differences from them.
    """
    windows = platform == "windows"
    is_arm = arch.startswith(("arm", "aarch"))
    apple = platform in ("macos", "ios", "darwin")
    unsigned_char = (is_arm and not apple and not windows) or arch.startswith(
        ("ppc", "power", "s390", "riscv")
    )
    long_double = LongDouble.QUAD
    if windows or (apple and is_arm) or arch in ("arm", "mips", "sparc", "hppa"):
        long_double = LongDouble.DOUBLE
    elif arch in ("amd64", "x86", "m68k"):
        long_double = LongDouble.X87
    elif arch.startswith(("ppc", "power")):
        long_double = LongDouble.DOUBLE_DOUBLE
    return DataModel(
        pointer_size=pointer_size,
        long_size=4 if windows else pointer_size,
        wchar_size=2 if windows else 4,
        wchar_is_signed=not windows and not (is_arm and not apple),
        char_is_signed=not unsigned_char,
        order=order,
        long_double=long_double,
        is_microsoft=windows,
    )
