"""Registers: parts and flags of x64, the program counter and stack pointer of every architecture.

Flag bits and words are those of WinDbg's register display.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class SubRegister(msgspec.Struct, frozen=True):
    """A part of a register: *bits* bits of *parent* from bit *shift*."""

    parent: str
    shift: int
    bits: int

    def extract(self, value: int) -> int:
        """Return the part out of the parent's *value*."""
        return value >> self.shift & (1 << self.bits) - 1

    def insert(self, value: int, part: int) -> int:
        """Return the parent's *value* with *part* in its place; the other bits stay.

        The debugger writes registers as a store to the context: unlike an instruction, a write
        to a 32-bit part leaves the upper half alone.
        """
        mask = (1 << self.bits) - 1
        return value & ~(mask << self.shift) | (part & mask) << self.shift


def _amd64_parts() -> dict[str, SubRegister]:
    parts: dict[str, SubRegister] = {}
    for letter in "abcd":
        parent = f"r{letter}x"
        parts[f"e{letter}x"] = SubRegister(parent, 0, 32)
        parts[f"{letter}x"] = SubRegister(parent, 0, 16)
        parts[f"{letter}l"] = SubRegister(parent, 0, 8)
        parts[f"{letter}h"] = SubRegister(parent, 8, 8)
    for name in ("si", "di", "sp", "bp"):
        parent = f"r{name}"
        parts[f"e{name}"] = SubRegister(parent, 0, 32)
        parts[name] = SubRegister(parent, 0, 16)
        parts[f"{name}l"] = SubRegister(parent, 0, 8)
    for number in range(8, 16):
        parent = f"r{number}"
        parts[f"{parent}d"] = SubRegister(parent, 0, 32)
        parts[f"{parent}w"] = SubRegister(parent, 0, 16)
        parts[f"{parent}b"] = SubRegister(parent, 0, 8)
    parts["eip"] = SubRegister("rip", 0, 32)
    parts["ip"] = SubRegister("rip", 0, 16)
    return parts


AMD64_PARTS = _amd64_parts()
"""Sub-registers by name: ``eax ax al ah``, ``esi si sil``, ``r8d r8w r8b``, ``eip ip``."""

X86_PARTS = {
    name: SubRegister(f"e{part.parent[1:]}", part.shift, part.bits)
    for name, part in AMD64_PARTS.items()
    if part.bits < 32 and not part.parent[1].isdigit() and name not in ("sil", "dil", "spl", "bpl")
}
"""Sub-registers of x86 by name: ``ax al ah``, ``si``, ``ip``."""


def _arm64_parts() -> dict[str, SubRegister]:
    parts = {f"w{number}": SubRegister(f"x{number}", 0, 32) for number in range(29)}
    parts |= {"x29": SubRegister("fp", 0, 64), "x30": SubRegister("lr", 0, 64)}
    parts |= {"w29": SubRegister("fp", 0, 32), "w30": SubRegister("lr", 0, 32)}
    parts["psr"] = SubRegister("cpsr", 0, 32)
    for number in range(32):
        for letter, bits in (("q", 128), ("d", 64), ("s", 32)):
            parts[f"{letter}{number}"] = SubRegister(f"v{number}", 0, bits)
    return parts


def _arm_parts() -> dict[str, SubRegister]:
    parts = {f"r{number}": SubRegister(name, 0, 32) for number, name in _ARM_ALIASES}
    parts["psr"] = SubRegister("cpsr", 0, 32)
    for number in range(32):
        parts[f"d{number}"] = SubRegister(f"q{number // 2}", 64 * (number % 2), 64)
        parts[f"s{number}"] = SubRegister(f"q{number // 4}", 32 * (number % 4), 32)
    return parts


_ARM_ALIASES = ((13, "sp"), (14, "lr"), (15, "pc"))
ARM64_PARTS, ARM_PARTS = _arm64_parts(), _arm_parts()
"""Parts and other names of ARM registers: ``w0``, ``x29``, ``d8`` and ``psr``."""


def sub_register(name: str, registers: Mapping[str, int]) -> SubRegister | None:
    """Return the part called *name* of the registers that *registers* are of."""
    if "pc" in registers:
        parts = ARM_PARTS if "r0" in registers else ARM64_PARTS
    else:
        parts = X86_PARTS if "eip" in registers else AMD64_PARTS
    return parts.get(name)


class Flag(msgspec.Struct, frozen=True):
    """A field of the flags register; the words are None where the display prints a number."""

    shift: int
    bits: int
    set_word: str | None
    clear_word: str | None


FLAGS = {
    "iopl": Flag(12, 2, None, None),
    "of": Flag(11, 1, "ov", "nv"),
    "df": Flag(10, 1, "dn", "up"),
    "if": Flag(9, 1, "ei", "di"),
    "tf": Flag(8, 1, None, None),
    "sf": Flag(7, 1, "ng", "pl"),
    "zf": Flag(6, 1, "zr", "nz"),
    "af": Flag(4, 1, "ac", "na"),
    "pf": Flag(2, 1, "pe", "po"),
    "cf": Flag(0, 1, "cy", "nc"),
}
"""The flags that are registers of their own in WinDbg, in the order of the display.

The words are x86's; see :func:`flag_words` for x64.
"""


def flag_words(flags: int, arch: str = "amd64") -> str:
    """Return the words of the register block, ``nv up ei pl nz ac pe nc``, for the flags value.

    For ``amd64`` the engine prints ``pe`` where the parity flag is clear and ``po`` where it is
    set (``efl=00010212``: ``pe``, ``efl=00010246``: ``po``; transcripts nullwrite.any and
    faults-int3, and all 60 other x64 blocks), for ``x86`` the other way round, as the processor
    manuals have it (``efl=00010246``: ``pe``, ``efl=00010202``: ``po``; transcripts
    breakpad/ascii_write_av and breakpad/read_av_conditional). Scripts compare these words.
    """
    if arch == "amd64":
        flags ^= 1 << FLAGS["pf"].shift
    words = []
    for flag in FLAGS.values():
        word = flag.set_word if flags >> flag.shift & 1 else flag.clear_word
        if word is not None:
            words.append(word)
    return " ".join(words)


PROGRAM_COUNTERS = ("rip", "eip", "pc")
STACK_POINTERS = ("rsp", "esp", "sp")


def program_counter(registers: Mapping[str, int]) -> int | None:
    """Return the program counter of any architecture's registers."""
    return _first(registers, PROGRAM_COUNTERS)


def stack_pointer(registers: Mapping[str, int]) -> int | None:
    """Return the stack pointer of any architecture's registers."""
    return _first(registers, STACK_POINTERS)


_THREAD_POINTERS = {
    "amd64": "fs_base",
    "x86": "gs_base",
    "arm64": "tpidr",
    "arm": "tpidruro",
    "riscv64": "tp",
    "riscv32": "tp",
    "loongarch64": "tp",
    "ppc64": "r13",
    "ppc": "r2",
    "s390": "acr0",
    "sparc64": "g7",
    "sparc": "g7",
    "alpha": "unique",
}


def thread_pointer(registers: Mapping[str, int], arch: str) -> int | None:
    """Return where a thread's own data is, by the rules of ELF's thread-local storage on *arch*;
    ``None`` where the register is not known or was never set."""
    if arch == "s390x":  # two access registers have a half each
        high, low = registers.get("acr0"), registers.get("acr1")
        found = None if high is None or low is None else high << 32 | low
    else:
        found = registers.get(_THREAD_POINTERS.get(arch, ""))
    return found or None


def _first(registers: Mapping[str, int], names: tuple[str, ...]) -> int | None:
    return next((registers[name] for name in names if name in registers), None)
