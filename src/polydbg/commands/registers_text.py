"""The text of registers: the x64 block, x87, XMM and YMM views, in the engine's widths."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence

from polydbg.arch.registers import flag_words
from polydbg.expr.formats import format_float

_ROWS = (
    ("rax", "rbx", "rcx"),
    ("rdx", "rsi", "rdi"),
    ("rip", "rsp", "rbp"),
    ("r8", "r9", "r10"),
    ("r11", "r12", "r13"),
    ("r14", "r15"),
)

_ARM64_NAMES = (*(f"x{number}" for number in range(29)), "fp", "lr", "sp")
_ARM_NAMES = (*(f"r{number}" for number in range(13)), "sp", "lr", "pc")

INTEGER_MASK, FLOAT_MASK, SEGMENT_MASK, DEBUG_MASK = 0x3, 0x4, 0x8, 0x20
XMM_MASK, YMM_MASK, YMM_INTEGER_MASK, XMM_INTEGER_MASK, MMX_MASK = 0x40, 0x200, 0x400, 0x800, 0x10
VALID_MASK = 0xE7F

_NOT_GENERAL = re.compile(r"[vqds]\d+|fp[a-z]+")


def hex_or_unknown(value: int | None, digits: int) -> str:
    """Return *value* in hex, or as many ``?`` where the register is not known."""
    return "?" * digits if value is None else f"{value:0{digits}x}"


def integer_lines(registers: Mapping[str, int], arch: str = "amd64") -> list[str]:
    """Return the general registers in rows, and the flags in words, as *arch* has them."""
    if arch == "x86":
        return [
            _row(registers, ("eax", "ebx", "ecx", "edx", "esi", "edi"), 8),
            f"{_row(registers, ('eip', 'esp', 'ebp'), 8)} {_flags(registers, arch)}",
        ]
    if arch == "arm64":
        rows = [_ARM64_NAMES[i : i + 4] for i in range(0, len(_ARM64_NAMES), 4)]
        lines = ["  ".join(_cells(registers, row, 16)) for row in rows]
        return [*lines, f"{'  '.join(_cells(registers, ('pc',), 16))}  {_status(registers, arch)}"]
    if arch == "arm":
        rows = [_ARM_NAMES[i : i + 6] for i in range(0, len(_ARM_NAMES), 6)]
        lines = [_row(registers, row, 8) for row in rows]
        return [*lines[:-1], f"{lines[-1]} {_status(registers, arch)}"]
    if arch != "amd64":
        names = [n for n in registers if not _NOT_GENERAL.fullmatch(n)]
        return [_row(registers, names[i : i + 4], 16) for i in range(0, len(names), 4)]
    return [*(_row(registers, row, 16) for row in _ROWS), _flags(registers, arch)]


def _row(registers: Mapping[str, int], names: Sequence[str], digits: int) -> str:
    return " ".join(_cells(registers, names, digits))


def _cells(registers: Mapping[str, int], names: Sequence[str], digits: int) -> list[str]:
    return [f"{n:>3}={hex_or_unknown(registers.get(n), digits)}" for n in names]


def _status(registers: Mapping[str, int], arch: str) -> str:
    """Return ARM's status register: its condition flags by letter, then the exception level
    (ARM64), or the instruction set."""
    value = registers.get("cpsr")
    if value is None:
        return "psr=????????"
    flags = "NZCV" if arch == "arm64" else "NZCVQ"
    letters = "".join(c if value >> 31 - i & 1 else "-" for i, c in enumerate(flags))
    mode = f"EL{value >> 2 & 3}" if arch == "arm64" else "Thumb" if value & 0x20 else "ARM"
    return f"psr={value:08x} {letters} {mode}"


def _flags(registers: Mapping[str, int], arch: str) -> str:
    efl = registers.get("efl")
    words = "(flags not known)" if efl is None else flag_words(efl, arch)
    return f"iopl={0 if efl is None else efl >> 12 & 3:<10x}{words}"


def segment_line(registers: Mapping[str, int]) -> str:
    """Return the segment registers and the flags in one line."""
    names = ("cs", "ss", "ds", "es", "fs", "gs")
    shown = "  ".join(f"{name}={hex_or_unknown(registers.get(name), 4)}" for name in names)
    return f"{shown}             efl={hex_or_unknown(registers.get('efl'), 8)}"


def extended_float_text(bits: int) -> str:
    """Return an 80-bit float with 21 decimals and a four-digit exponent."""
    from fractions import Fraction

    sign = "-" if bits >> 79 else " "
    exponent, mantissa = bits >> 64 & 0x7FFF, bits & 0xFFFFFFFFFFFFFFFF
    if exponent == 0x7FFF:
        infinite = mantissa & 0x7FFFFFFFFFFFFFFF == 0
        return f"{sign}{'inf' if infinite else 'nan'}"
    if mantissa == 0:
        return f"{sign}0.{'0' * 21}e+0000"
    value = Fraction(mantissa) * Fraction(2) ** (exponent - 16383 - 63)
    # Estimated by the binary exponent: the numbers have thousands of digits.
    power = int((exponent - 16383 - 63 + mantissa.bit_length() - 1) * 0.30102999566398120)
    while Fraction(10) ** power > value:
        power -= 1
    while Fraction(10) ** (power + 1) <= value:
        power += 1
    scaled = round(value / Fraction(10) ** power * 10**21)
    if scaled >= 10**22:
        scaled, power = scaled // 10, power + 1
    digits = str(scaled)
    return f"{sign}{digits[0]}.{digits[1:]}e{power:+05d}"


def float_lines(registers: Mapping[str, int]) -> list[str]:
    """Return the x87 state: control words, then two registers a line."""
    words = "    ".join(
        f"{name}={hex_or_unknown(registers.get(name), 4).upper()}"
        for name in ("fpcw", "fpsw", "fptw")
    )
    lines = [words]
    for i in range(0, 8, 2):
        pair = []
        for j in (i, i + 1):
            bits = registers.get(f"st{j}")
            pair.append(f"st{j}={'?' if bits is None else extended_float_text(bits)}")
        lines.append("  ".join(pair))
    return lines


def mmx_lines(registers: Mapping[str, int]) -> list[str]:
    """Return the MMX registers, which are the low 64 bits of the x87 stack, two in a line."""
    shown = []
    for i in range(8):
        bits = registers.get(f"st{i}")
        low = None if bits is None else bits & 0xFFFFFFFFFFFFFFFF
        shown.append(f"mm{i}={hex_or_unknown(low, 16)}")
    return [f"{a}  {b}" for a, b in zip(shown[::2], shown[1::2])]


def _floats(value: int, size: int) -> list[float]:
    count = size // 4
    return list(struct.unpack(f"<{count}f", value.to_bytes(size, "little")))[::-1]


def vector_lines(registers: Mapping[str, int], prefix: str, *, integers: bool) -> list[str]:
    """Return XMM or YMM registers, high element first; *prefix* is ``xmm`` or ``ymm``."""
    size = 16 if prefix == "xmm" else 32
    lines = []
    for i in range(16):
        name = f"{prefix}{i}"
        value = registers.get(name)
        if value is None:
            continue
        if integers:
            words = [value >> 64 * j & 0xFFFFFFFFFFFFFFFF for j in reversed(range(size // 8))]
            lines.append(f"{name}={' '.join(f'{w:016x}' for w in words)}")
        else:
            lines.append(f"{name}={' '.join(format_float(f) for f in _floats(value, size))}")
    return lines or [f"{prefix} registers are not in this dump"]


def debug_lines(registers: Mapping[str, int], arch: str = "amd64") -> list[str]:
    """Return the debug registers in two lines."""
    names = ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
    digits = 8 if arch == "x86" else 16
    shown = [f"{n}={hex_or_unknown(registers.get(n), digits)}" for n in names]
    return [" ".join(shown[:3]), " ".join(shown[3:])]


def block_lines(registers: Mapping[str, int], mask: int, arch: str = "amd64") -> list[str]:
    """Return what *mask* (of ``rm``) asks for, in the engine's order."""
    lines: list[str] = []
    if mask & INTEGER_MASK:
        lines += integer_lines(registers, arch)
    if mask & SEGMENT_MASK and arch in ("amd64", "x86"):
        lines.append(segment_line(registers))
    if mask & FLOAT_MASK:
        lines += float_lines(registers)
    if mask & MMX_MASK:
        lines += mmx_lines(registers)
    if mask & DEBUG_MASK:
        lines += debug_lines(registers, arch)
    if mask & XMM_MASK:
        lines += vector_lines(registers, "xmm", integers=False)
    if mask & YMM_MASK:
        lines += vector_lines(registers, "ymm", integers=False)
    if mask & YMM_INTEGER_MASK:
        lines += vector_lines(registers, "ymm", integers=True)
    if mask & XMM_INTEGER_MASK:
        lines += vector_lines(registers, "xmm", integers=True)
    return lines
