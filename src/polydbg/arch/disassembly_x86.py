"""Turns capstone's Intel text of x86 and x64 instructions into WinDbg's.

Knows the differences between the two notations: numbers with an ``h`` suffix, absolute targets
with their symbol (``app!f+0x26 (00007ff6`1b401556)``), sizes of SSE and system operands
(``mmword ptr``, ``oword ptr``, ``tbyte ptr``), string instructions with their operands, operands
that WinDbg spells out (``idiv eax,ecx``) or leaves away. The shapes were taken from transcripts
of the engine and from listings that people publish.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from polydbg.base.text import address_text

Symbolizer = Callable[[int], str | None]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HEX = re.compile(r"(?<![\w`])0x([0-9a-f]+)")
_DISPLACEMENT = re.compile(r"[+-]?0x[0-9a-f]+$|[+-]?[0-9]+$")
_BRANCHES = _words(
    "call jmp ja jae jb jbe jcxz je jecxz jg jge jl jle jne jno jnp jns jo jp jrcxz js loop loope "
    "loopne xbegin"
)
_PREFIXES = _words("rep repe repne repz repnz lock bnd notrack xacquire xrelease data16 addr32")
_PREFIX_NAMES = {"repz": "repe", "repnz": "repne"}

# Mnemonics that differ, operands alike.
_RENAMED = {
    "movabs": "mov",
    "pushal": "pushad",
    "popal": "popad",
    "ljmp": "jmp",
    "lcall": "call",
    "salc": "setalc",
}
# Operand-less mnemonics of capstone that WinDbg splits into mnemonic and operand.
_SPLIT = {"int3": ("int", "3"), "int1": ("int", "1")}
_STRING = re.compile(r"(movs|cmps|stos|lods|scas|ins|outs)[bwdq]$")
# WinDbg prints the accumulator of these one-operand forms (but not of imul).
_ACCUMULATOR = frozenset({"div", "idiv", "mul"})
_ACCUMULATOR_BY_BITS = {8: "al", 16: "ax", 32: "eax", 64: "rax"}
_POINTER_BITS = {"byte": 8, "word": 16, "dword": 32, "qword": 64, "fword": 48, "tbyte": 80}
# x87 arithmetic, of which capstone leaves out the implied st.
_X87_BINARY = _words("fadd fmul fsub fsubr fdiv fdivr")
_X87_POP = _words("faddp fmulp fsubp fsubrp fdivp fdivrp")
_X87_ST_FIRST = _words(
    "fcmovb fcmove fcmovbe fcmovu fcmovnb fcmovne fcmovnbe fcmovnu fcomi fcomip fucomi fucomip"
)
# Vector instructions whose 64 bits of memory stay a qword; it is an mmword for the others.
_NOT_MMWORD = _words(
    "movlps movhps movlpd movhpd vmovlps vmovhps vmovlpd vmovhpd vmovsd vmovq push pop "
    "cvtsi2sd cvtsi2ss vcvtsi2sd vcvtsi2ss vcvtusi2sd vcvtusi2ss pinsrq pextrq vpinsrq vpextrq"
)

_LEGACY_REGISTERS = {
    8: "al bl cl dl ah bh ch dh sil dil spl bpl",
    16: "ax bx cx dx si di sp bp",
    32: "eax ebx ecx edx esi edi esp ebp",
    64: "rax rbx rcx rdx rsi rdi rsp rbp",
}
_MOST_KNOWN = 8192
_MARK = "\0"
_REGISTER_BITS = {name: bits for bits, names in _LEGACY_REGISTERS.items() for name in names.split()}
for _number in range(8, 16):
    for _suffix, _bits in (("b", 8), ("w", 16), ("d", 32), ("", 64)):
        _REGISTER_BITS[f"r{_number}{_suffix}"] = _bits


def number(value: int) -> str:
    """Return *value* (not negative) as the engine does: ``9``, ``10h``, ``0Ah``."""
    if value < 10:
        return str(value)
    text = f"{value:X}h"
    return text if text[0] <= "9" else "0" + text


def _split_prefix(mnemonic: str) -> tuple[str, str]:
    """Return the prefixes as WinDbg names them, with blanks behind, and the bare mnemonic."""
    prefix = ""
    while " " in mnemonic:
        head, rest = mnemonic.split(" ", 1)
        if head not in _PREFIXES:
            break
        prefix += _PREFIX_NAMES.get(head, head) + " "
        mnemonic = rest
    if prefix.startswith("repe ") and not mnemonic.startswith(("cmps", "scas")):
        prefix = "rep " + prefix[5:]
    return prefix, mnemonic


class X86Text:
    """The rewriter for one address width (*bits* is 32 or 64)."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self._mask = (1 << bits) - 1
        # Texts that depend on nothing but capstone's; most instructions are repetitions.
        self._known: dict[tuple[str, str], tuple[str, str]] = {}

    def address(self, value: int) -> str:
        """Return an address as in the first column: 8 digits, or 16 with a backtick."""
        return address_text(value, self.bits // 8)

    def symbol(self, value: int, symbolize: Symbolizer | None) -> str:
        """Return ``name (address)``, or the address alone where nothing is known about it."""
        name = symbolize(value) if symbolize is not None else None
        return f"{name} ({self.address(value)})" if name else self.address(value)

    def rewrite(
        self,
        data: bytes,
        address: int,
        mnemonic: str,
        operands: str,
        symbolize: Symbolizer | None,
    ) -> tuple[str, str]:
        """Return WinDbg's mnemonic and operands for capstone's of the instruction *data*."""
        if mnemonic in _BRANCHES and operands[:2] == "0x" and operands.isalnum():
            return mnemonic, self.symbol(int(operands, 16) & self._mask, symbolize)
        place = None
        start = operands.find("[rip") if self.bits == 64 else -1
        if start >= 0:  # rewritten with a mark for the address, so that the form is known again
            stop = operands.index("]", start)
            distance = operands[start + 4 : stop].replace(" ", "") or "0"
            place = (address + len(data) + int(distance, 0)) & self._mask
            operands = operands[: start + 4] + operands[stop:]
        known = self._known.get((mnemonic, operands))
        if known is None:
            known = self._general(data, address, mnemonic, operands, symbolize)
        if place is None:
            return known
        return known[0], known[1].replace(_MARK, self.symbol(place, symbolize), 1)

    def _general(
        self,
        data: bytes,
        address: int,
        mnemonic: str,
        operands: str,
        symbolize: Symbolizer | None,
    ) -> tuple[str, str]:
        """Return the texts without the short cuts; what cannot vary is kept for the next time."""
        key = (mnemonic, operands)
        prefix, name = _split_prefix(mnemonic)
        if name in _SPLIT:
            name, operands = _SPLIT[name]
        else:
            name = _RENAMED.get(name, name)
        if not operands:
            if name == "nop" and data[-1:] == b"\x90" and b"\x66" in data[:-1]:
                return "xchg", "ax,ax"
            return prefix + name, ""
        parts = operands.split(", ")
        branch = name in _BRANCHES
        if branch and len(parts) == 2 and operands[0].isdigit():
            parts = [":".join(parts)]  # a far pointer
        if "ptr" in operands and _STRING.match(name) and "xmm" not in operands:
            parts = [part for part in parts if "[" in part or part == "dx"]
            name = name[:-1]
        texts = [
            self._part(part, parts, branch, data, address + len(data), symbolize) for part in parts
        ]
        self._adjust(data, name, texts)
        if name == "movq":
            name = _movd(name, texts)
        result = prefix + name, ",".join(texts)
        if not branch and name[0] != "f" and self._is_constant(operands):
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = result
        return result

    def _is_constant(self, operands: str) -> bool:
        """Say whether the text cannot depend on the address or on symbols."""
        return (
            "[0x" not in operands
            and "eip" not in operands
            and (self.bits == 64 or "0x" not in operands)
        )

    def _part(
        self,
        part: str,
        parts: list[str],
        branch: bool,
        data: bytes,
        end: int,
        symbolize: Symbolizer | None,
    ) -> str:
        first = part[0]
        if first == "-" or first.isdigit():
            return self._immediate(part, parts, branch, data, symbolize)
        if part[-1] == "]":
            return self._memory(part, end, symbolize)
        if "[" in part:  # a mask or broadcast after the brackets
            head, _, tail = part.rpartition("]")
            return self._memory(head + "]", end, symbolize) + tail.replace(" ", "")
        return part.replace(" ", "") if " " in part else part

    def _immediate(
        self,
        part: str,
        parts: list[str],
        branch: bool,
        data: bytes,
        symbolize: Symbolizer | None,
    ) -> str:
        if ":" in part:  # far pointer: selector and offset, both upper case without suffix
            selector, offset = (int(item, 0) for item in part.split(":", 1))
            return f"{selector & 0xFFFF:04X}:{offset & 0xFFFFFFFF:08X}"
        value = int(part, 0)
        if branch:
            return self.symbol(value & self._mask, symbolize)
        if value < 0:
            value &= (1 << self._width(parts)) - 1
        if self.bits == 32 and 0x10000 <= value <= 0xFFFFFFFF and symbolize is not None:
            # Only a full immediate can be an address.
            name = symbolize(value) if data.endswith(value.to_bytes(4, "little")) else None
            if name:
                return f"offset {name} ({self.address(value)})"
        return number(value)

    def _width(self, parts: list[str]) -> int:
        """Return the operand size in bits that a sign-extended immediate takes."""
        head = parts[0]
        bits = _REGISTER_BITS.get(head)
        if bits is None and "[" in head:
            bits = _POINTER_BITS.get(head.split(" ", 1)[0])
        return bits or self.bits

    def _memory(self, part: str, end: int, symbolize: Symbolizer | None) -> str:
        head, _, inner = part[:-1].partition("[")
        if inner == "rip":
            return f"{head}[{_MARK}]"
        if inner.startswith("eip"):
            displacement = int(inner[3:].replace(" ", "") or "0", 0)
            return f"{head}[{self.symbol((end + displacement) & self._mask, symbolize)}]"
        inner = inner.replace(" ", "")
        if self.bits == 32:
            special = self._memory32(head, inner, symbolize)
            if special is not None:
                return special
        elif inner[0].isdigit() and symbolize is not None and not head.endswith(":"):
            value = int(inner, 0)
            name = symbolize(value)
            if name:
                return f"{head}[{name} ({self.address(value)})]"
        return f"{head}[{_HEX.sub(_number_match, inner)}]"

    def _memory32(self, head: str, inner: str, symbolize: Symbolizer | None) -> str | None:
        """Return the 32-bit forms: symbols before the brackets, absolute addresses with ``ds:``."""
        if inner[0].isdigit():
            value = int(inner, 0)
            name = symbolize(value) if symbolize is not None and not head.endswith(":") else None
            if name:
                return f"{head}[{name} ({self.address(value)})]"
            return f"{head if head.endswith(':') else head + 'ds:'}[{value:08X}h]"
        if symbolize is None:
            return None
        match = _DISPLACEMENT.search(inner)
        if match is None or match.start() == 0:
            return None
        value = int(match.group(), 0) & 0xFFFFFFFF
        name = symbolize(value) if 0x10000 <= value < 0xFFFF0000 else None
        if not name:
            return None
        return f"{head}{name} ({self.address(value)})[{inner[: match.start()]}]"

    def _adjust(self, data: bytes, name: str, texts: list[str]) -> None:
        """Put right the operands that the two notations choose differently, in place."""
        if name in _ACCUMULATOR:
            bits = self._width(texts)
            texts.insert(0, _ACCUMULATOR_BY_BITS.get(bits, "eax"))
        elif name == "xchg" and len(texts) == 2 and texts[0].endswith("]"):
            texts.reverse()
        elif name[0] == "f":
            self._adjust_x87(data, name, texts)
        elif name.startswith("prefetch") or name in ("invlpg", "clflush"):
            texts[0] = texts[0][texts[0].index("[") :] if "[" in texts[0] else texts[0]
        for index, text in enumerate(texts):
            if text[-1] != "]":
                continue
            if text.startswith("xword"):
                texts[index] = "tbyte" + text[5:]
            elif text.startswith("xmmword") and name == "cmpxchg16b":
                texts[index] = "oword" + text[7:]
            elif text.startswith("qword") and _is_mmword(name, texts):
                texts[index] = "mmword" + text[5:]
            elif text.startswith("ptr "):
                texts[index] = ("tbyte " if data[0] == 0x48 else "fword ") + text
            elif text[0] == "[" and name in ("sgdt", "sidt", "lgdt", "lidt"):
                texts[index] = "fword ptr " + text

    @staticmethod
    def _adjust_x87(data: bytes, name: str, texts: list[str]) -> None:
        if len(texts) != 1 or not texts[0].startswith("st("):
            for index, text in enumerate(texts):
                if text == "st(0)":
                    texts[index] = "st"
            return
        if name in _X87_BINARY:
            if data[0] == 0xDC:
                texts.append("st")
            else:
                texts.insert(0, "st")
        elif name in _X87_POP:
            texts.append("st")
        elif name in _X87_ST_FIRST:
            texts.insert(0, "st")


def _movd(name: str, texts: list[str]) -> str:
    """Return ``movd`` for a movq between a general and a vector register, as the engine says."""
    return "movd" if any(text in _REGISTER_BITS for text in texts) else name


def _is_mmword(name: str, texts: list[str]) -> bool:
    return name not in _NOT_MMWORD and any(text.startswith(("xmm", "mm")) for text in texts)


def _number_match(match: re.Match[str]) -> str:
    return number(int(match.group(1), 16))
