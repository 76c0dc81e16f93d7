"""Which compiler made a module: the S_COMPILE2 and S_COMPILE3 records of its symbols.

Source: microsoft-pdb ``cvinfo.h`` (COMPILESYM, COMPILESYM3, CV_CFL_LANG), and LLVM's
``CodeViewLanguages.def`` for the languages that Microsoft has no number for.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

S_COMPILE2: Final = 0x1116
S_COMPILE3: Final = 0x113C

LANGUAGES: Final = {
    0x00: "C",
    0x01: "C++",
    0x02: "FORTRAN",
    0x03: "MASM",
    0x04: "Pascal",
    0x05: "Basic",
    0x06: "COBOL",
    0x07: "LINK",
    0x08: "CVTRES",
    0x09: "CVTPGD",
    0x0A: "C#",
    0x0B: "Visual Basic",
    0x0C: "ILASM",
    0x0D: "Java",
    0x0E: "JScript",
    0x0F: "MSIL",
    0x10: "HLSL",
    0x11: "Objective-C",
    0x12: "Objective-C++",
    0x13: "Swift",
    0x15: "Rust",
    0x16: "Go",
    0x44: "D",
}
_TOOLS = frozenset((0x03, 0x07, 0x08, 0x09, 0x0C))  # no compilers of a language people write in

_HEAD = struct.Struct("<HH")
_COMPILE2 = struct.Struct("<HHIHHHHHHH")
_COMPILE3 = struct.Struct("<HHIHHHHHHHHH")
_MAX_RECORDS = 16


class Compiler(msgspec.Struct, frozen=True):
    """The language and (major, minor, build) of the compiler's two halves."""

    language: int
    front_end: tuple[int, int, int]
    back_end: tuple[int, int, int]

    @property
    def is_tool(self) -> bool:
        """Whether this is an assembler, a linker or a resource converter."""
        return self.language in _TOOLS

    @property
    def language_name(self) -> str:
        return LANGUAGES.get(self.language, f"language {self.language:#x}")


def compiler_of(symbols: bytes) -> Compiler | None:
    """Return the compiler that the first records of a module's symbols name.

    *symbols* is the beginning of the symbol part, with its 4-byte signature.
    """
    position = 4
    for _ in range(_MAX_RECORDS):
        if position + _HEAD.size > len(symbols):
            return None
        length, kind = _HEAD.unpack_from(symbols, position)
        if kind == S_COMPILE3 and position + _COMPILE3.size <= len(symbols):
            _, _, flags, _, *f = _COMPILE3.unpack_from(symbols, position)
            return Compiler(flags & 0xFF, (f[0], f[1], f[2]), (f[4], f[5], f[6]))
        if kind == S_COMPILE2 and position + _COMPILE2.size <= len(symbols):
            _, _, flags, _, *f = _COMPILE2.unpack_from(symbols, position)
            return Compiler(flags & 0xFF, (f[0], f[1], f[2]), (f[3], f[4], f[5]))
        position += length + 2
    return None
