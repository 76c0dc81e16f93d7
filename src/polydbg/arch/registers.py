"""Register tables of x64: order of display, sub-registers, flags and CodeView numbers. Data only.

Flag bits and words are those of WinDbg's register display; CodeView register numbers are from
Microsoft's published cvconst.h (``CV_HREG_e``, the ``CV_AMD64_*`` part).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

AMD64_GENERAL = (
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "rip",
    "rsp",
    "rbp",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
)
"""In the order of the ``r`` command's block: three in a line."""

AMD64_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
AMD64_DEBUG = ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
AMD64_VECTOR = tuple(f"xmm{number}" for number in range(16))

X86_GENERAL = ("eax", "ebx", "ecx", "edx", "esi", "edi", "eip", "esp", "ebp")

ARM64_GENERAL = (*(f"x{number}" for number in range(29)), "fp", "lr", "sp", "pc")


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


def _numbered(start: int, names: str) -> dict[int, str]:
    return dict(enumerate(names.split(), start))


# The legacy numbers 1..34 are common to x86 and x64.


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_CODEVIEW_COMMON = {
    **_numbered(1, "al cl dl bl ah ch dh bh ax cx dx bx sp bp si di"),
    **_numbered(17, "eax ecx edx ebx esp ebp esi edi es cs ss ds fs gs"),
    **_numbered(80, "cr0 cr1 cr2 cr3 cr4"),
    **_numbered(90, "dr0 dr1 dr2 dr3 dr4 dr5 dr6 dr7"),
    **_numbered(128, "st0 st1 st2 st3 st4 st5 st6 st7 fpcw fpsw fptw"),
    **_numbered(146, "mm0 mm1 mm2 mm3 mm4 mm5 mm6 mm7"),
    **_numbered(154, " ".join(f"xmm{number}" for number in range(8))),
    211: "mxcsr",
}

CODEVIEW_X86 = {**_CODEVIEW_COMMON, 31: "ip", 32: "flags", 33: "eip", 34: "efl"}
"""CodeView register number -> name for x86."""

CODEVIEW_AMD64 = {
    **_CODEVIEW_COMMON,
    32: "flags",
    33: "rip",
    34: "efl",
    **_numbered(252, " ".join(f"xmm{number}" for number in range(8, 16))),
    **_numbered(324, "sil dil bpl spl rax rbx rcx rdx rsi rdi rbp rsp"),
    **_numbered(336, " ".join(f"r{number}" for number in range(8, 16))),
    **_numbered(344, " ".join(f"r{number}b" for number in range(8, 16))),
    **_numbered(352, " ".join(f"r{number}w" for number in range(8, 16))),
    **_numbered(360, " ".join(f"r{number}d" for number in range(8, 16))),
    **_numbered(368, " ".join(f"ymm{number}" for number in range(16))),
}
"""CodeView register number -> name for x64."""

DWARF_AMD64 = (
    "rax",
    "rdx",
    "rcx",
    "rbx",
    "rsi",
    "rdi",
    "rbp",
    "rsp",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rip",
)
"""DWARF register number (System V x86-64 ABI, figure 3.36) -> name."""


PROGRAM_COUNTERS = ("rip", "eip", "pc")
STACK_POINTERS = ("rsp", "esp", "sp")


def program_counter(registers: Mapping[str, int]) -> int | None:
    """Return the program counter of any architecture's registers."""
    return _first(registers, PROGRAM_COUNTERS)


def stack_pointer(registers: Mapping[str, int]) -> int | None:
    """Return the stack pointer of any architecture's registers."""
    return _first(registers, STACK_POINTERS)


def _first(registers: Mapping[str, int], names: tuple[str, ...]) -> int | None:
    return next((registers[name] for name in names if name in registers), None)
