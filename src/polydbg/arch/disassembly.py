"""Machine instructions as WinDbg prints them, for x64, x86, ARM64, ARM and Thumb.

Bytes in, records out; names of addresses come from a callback, so this module knows nothing of
symbols. Decoding is capstone's, the text is rewritten into the engine's notation by
the modules ``polydbg.arch.disassembly_*``. Its
library is loaded when the first byte is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Protocol

import msgspec

from polydbg.arch.capstone_library import (
    ARCH_ARM,
    ARCH_ARM64,
    ARCH_X86,
    MODE_32,
    MODE_64,
    MODE_ARM,
    MODE_THUMB,
    CapstoneLibrary,
)
from polydbg.arch.disassembly_operands import (
    MemoryOperand,
    append_suffix,
    effective_address_suffix,
    memory_operands,
    register_target,
    target_suffix,
)
from polydbg.arch.disassembly_x86 import X86Text

Symbolizer = Callable[[int], str | None]
"""Turns an address into ``app!f+0x26``, or None where no module is."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


__all__ = [
    "Disassembler",
    "Flow",
    "FlowKind",
    "Instruction",
    "MemoryOperand",
    "Symbolizer",
    "append_suffix",
    "effective_address_suffix",
    "register_target",
    "target_suffix",
]

ARCHITECTURES = ("amd64", "x86", "arm64", "arm", "thumb")
"""What is decoded; ``arm`` is the 32-bit instruction set A32, ``thumb`` T32."""

_ENGINES = {
    "amd64": (ARCH_X86, MODE_64),
    "x86": (ARCH_X86, MODE_32),
    "arm64": (ARCH_ARM64, MODE_ARM),
    "arm": (ARCH_ARM, MODE_ARM),
    "thumb": (ARCH_ARM, MODE_THUMB),
}
_UNITS = {"arm64": 4, "arm": 4, "thumb": 2}
UNDECODABLE = "???"
LONGEST_INSTRUCTION = 15
_CHUNK = 64  # instructions decoded in one call of capstone


class Instruction(msgspec.Struct, frozen=True):
    """One instruction in WinDbg's text.

    *unit* is what the processor reads at once, in bytes: 1, for ARM64 and ARM 4, for Thumb 2.
    What cannot be decoded is a record of one unit with the mnemonic ``???``; memory that cannot
    be read is for the caller to show (a record with empty *data*).
    """

    address: int
    data: bytes
    mnemonic: str
    operands: str
    unit: int = 1

    @property
    def text(self) -> str:
        """Return mnemonic and operands, padded as in a listing, without trailing blanks."""
        if not self.operands:
            return self.mnemonic
        return f"{self.mnemonic:<{7 if self.unit == 1 else 11}} {self.operands}"

    def row(self, address: str, *, code_bytes: bool = True, columns: int = 16) -> str:
        """Return the row of a listing, behind *address* as text.

        The bytes take *columns* (16, or 24 under ``.asm ignore_output_width``) and the mnemonic
        8; longer bytes push it on and take the room of its padding. The ARM processors print
        their units as numbers and a mnemonic of 12. Empty data are unreadable memory: ``??``.
        """
        if not code_bytes:
            return f"{address} {self.text}"
        if self.unit != 1:
            units = (self.data[i : i + self.unit] for i in range(0, len(self.data), self.unit))
            digits = "".join(unit[::-1].hex() for unit in units)
            return f"{address} {digits or '??':<8} {self.text}"
        digits = self.data.hex() or "??"
        head = f"{digits:<{columns - 1}} {self.mnemonic}"
        if self.operands:
            behind = columns + (8 if len(digits) < columns else 9)
            head = f"{head:<{behind - 1}} {self.operands}"
        return f"{address} {head}"

    @property
    def end(self) -> int:
        """Return the address of the byte after the instruction."""
        return self.address + max(1, len(self.data))

    @property
    def is_decoded(self) -> bool:
        return self.mnemonic != UNDECODABLE


class FlowKind(Enum):
    """Where control goes after an instruction."""

    NEXT = "next"
    JUMP = "jump"
    BRANCH = "branch"
    CALL = "call"
    RETURN = "return"
    STOP = "stop"


class Flow(msgspec.Struct, frozen=True):
    """*kind*, and the *target* of a direct jump, branch or call (None if it is computed)."""

    kind: FlowKind
    target: int | None = None


class _Text(Protocol):
    def address(self, value: int) -> str: ...

    def rewrite(
        self,
        data: bytes,
        address: int,
        mnemonic: str,
        operands: str,
        symbolize: Symbolizer | None,
    ) -> tuple[str, str]: ...


_X86_RETURNS = _words("ret retf iret iretd iretq sysret sysretq sysexit rsm")
_X86_BRANCHES = _words(
    "ja jae jb jbe jcxz je jecxz jg jge jl jle jne jno jnp jns jo jp jrcxz js loop loope loopne "
    "xbegin"
)
_ARM64_BRANCHES = _words("cbz cbnz tbz tbnz")
_ARM64_RETURNS = _words("ret retaa retab eret eretaa eretab")
_ARM64_JUMPS = _words("br braa brab braaz brabz")
_ARM64_CALLS = _words("blr blraa blrab blraaz blrabz")


def _text_of(arch: str) -> _Text:
    if arch == "arm64":
        from polydbg.arch.disassembly_arm64 import Arm64Text

        return Arm64Text()
    if arch in ("arm", "thumb"):
        from polydbg.arch.disassembly_arm import ArmText

        return ArmText()
    return X86Text(32 if arch == "x86" else 64)


class Disassembler:
    """Decodes one of :data:`ARCHITECTURES`.

    :raises ValueError: for another name.
    """

    def __init__(self, arch: str) -> None:
        if arch not in ARCHITECTURES:
            raise ValueError(f"no disassembler for {arch!r}")
        self.arch = arch
        self._text = _text_of(arch)
        self.unit = _UNITS.get(arch, 1)
        self._mask = (1 << 8 * self.pointer_size) - 1
        self._engine: CapstoneLibrary | None = None

    @property
    def pointer_size(self) -> int:
        """Return the size of an address in bytes."""
        return 8 if self.arch in ("amd64", "arm64") else 4

    def engine(self) -> CapstoneLibrary:
        """Return the decoder, made at the first use."""
        if self._engine is None:
            self._engine = CapstoneLibrary(*_ENGINES[self.arch])
        return self._engine

    def decode(
        self, data: bytes, address: int, symbolize: Symbolizer | None = None, count: int = 0
    ) -> Iterator[Instruction]:
        """Yield the instructions of *data*, whose first byte is at *address*.

        :param count: how many at most; 0 means all.
        """
        engine, rewrite, unit = self.engine(), self._text.rewrite, self.unit
        position, left = 0, count if count > 0 else len(data)
        while position < len(data) and left > 0:
            wanted = min(left, _CHUNK)
            # One instruction more than wanted, so that none is cut off by the end of the chunk.
            chunk = data[position : position + (wanted + 1) * LONGEST_INSTRUCTION]
            before = position
            for at, size, mnemonic, operands in engine.disassemble(
                chunk, (address + position) & self._mask, wanted
            ):
                raw = data[position : position + size]
                name, text = rewrite(raw, at, mnemonic, operands, symbolize)
                yield Instruction(at, raw, name, text, unit)
                position += size
                left -= 1
            if position == before:  # not even the first could be decoded
                raw = data[position : position + unit]
                if raw:
                    at = (address + position) & self._mask
                    yield Instruction(at, raw, UNDECODABLE, "", unit)
                    position += len(raw)
                    left -= 1

    def decode_one(
        self, data: bytes, address: int, symbolize: Symbolizer | None = None
    ) -> Instruction | None:
        """Return the instruction at the start of *data*, None if *data* is empty."""
        return next(self.decode(data, address, symbolize, 1), None)

    def backwards(
        self,
        data: bytes,
        end: int,
        count: int,
        symbolize: Symbolizer | None = None,
        anchor: int | None = None,
    ) -> list[Instruction]:
        """Return up to *count* instructions that end exactly at *end*, for ``ub``.

        *data* are the bytes before *end*. *anchor* is an address known to start an instruction
        (the function's start): where decoding from it arrives at *end*, that is the answer.
        Otherwise the earliest byte is chosen from which decoding arrives there, because code
        synchronizes: the longest way is the likeliest. Returns [] if no way arrives.
        """
        first = (end - len(data)) & self._mask
        if anchor is not None and first <= anchor < end:
            rows = list(self.decode(data[anchor - first :], anchor, symbolize))
            if self._arrives(rows, end):
                return rows[-count:]
        window = data[-(count + 8) * LONGEST_INSTRUCTION :]
        first = (end - len(window)) & self._mask
        start = self._earliest(window, first)
        if start is None:
            return []
        rows = list(self.decode(window[start:], first + start, symbolize))
        return rows[-count:] if count > 0 else []

    @staticmethod
    def _arrives(rows: list[Instruction], end: int) -> bool:
        return bool(rows) and rows[-1].end == end and all(row.is_decoded for row in rows)

    def _earliest(self, window: bytes, first: int) -> int | None:
        """Return the smallest offset from which good instructions end at the end of *window*."""
        engine, total = self.engine(), len(window)
        arrives = [False] * total + [True]
        found: int | None = None
        for offset in range(total - self.unit, -1, -self.unit):
            chunk = window[offset : offset + LONGEST_INSTRUCTION]
            for _, size, _, _ in engine.disassemble(chunk, first + offset, 1):
                if offset + size <= total and arrives[offset + size]:
                    arrives[offset] = True
                    found = offset
        return found

    def flow(self, instruction: Instruction) -> Flow:
        """Return where control goes after *instruction* (for ``uf``, ``pc``, ``gu``)."""
        if not instruction.is_decoded or not instruction.data:
            return Flow(FlowKind.STOP)
        for _, _, mnemonic, operands in self.engine().disassemble(
            instruction.data, instruction.address, 1
        ):
            name = mnemonic.rsplit(" ", 1)[-1]
            if self.arch == "arm64":
                return self._flow_arm64(name, operands)
            if self.arch in ("arm", "thumb"):
                from polydbg.arch.disassembly_arm import flow_of

                kind, target = flow_of(name, operands)
                return Flow(FlowKind(kind), self._number(target))
            return self._flow_x86(name, operands)
        return Flow(FlowKind.STOP)

    def _flow_x86(self, name: str, operands: str) -> Flow:
        if name in _X86_RETURNS:
            return Flow(FlowKind.RETURN)
        if name in _X86_BRANCHES:
            return Flow(FlowKind.BRANCH, self._number(operands))
        if name in ("jmp", "ljmp"):
            return Flow(FlowKind.JUMP, self._number(operands))
        if name in ("call", "lcall"):
            return Flow(FlowKind.CALL, self._number(operands))
        if name in ("ud2", "ud0", "ud1", "hlt") or (name == "int" and operands == "0x29"):
            return Flow(FlowKind.STOP)
        return Flow(FlowKind.NEXT)

    def _flow_arm64(self, name: str, operands: str) -> Flow:
        last = operands.rsplit(", ", 1)[-1]
        if name in _ARM64_RETURNS:
            return Flow(FlowKind.RETURN)
        if name in _ARM64_BRANCHES or name.startswith("b."):
            return Flow(FlowKind.BRANCH, self._number(last))
        if name == "b" or name in _ARM64_JUMPS:
            return Flow(FlowKind.JUMP, self._number(last))
        if name == "bl" or name in _ARM64_CALLS:
            return Flow(FlowKind.CALL, self._number(last))
        if name in ("udf", "hlt") or (name == "brk" and operands == "#0xf003"):
            return Flow(FlowKind.STOP)
        return Flow(FlowKind.NEXT)

    def _number(self, text: str) -> int | None:
        text = text.lstrip("#")
        if not text[:1].isdigit() or ":" in text or "," in text:  # computed, or a far pointer
            return None
        return int(text, 0) & self._mask

    def memory_operands(
        self, instruction: Instruction, registers: Mapping[str, int]
    ) -> list[MemoryOperand]:
        """See :func:`polydbg.arch.disassembly_operands.memory_operands`."""
        return memory_operands(self, instruction, registers)
