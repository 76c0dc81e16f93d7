"""Unwinding against an emulator: at every executed instruction the callers must be the real ones.

The functions are ours (``programs/``). The emulator runs them one instruction at a time; a shadow
stack records at each call where it returns to and what the caller's registers were. Whatever the
unwinder says at any instruction must equal that record: pc, sp, and every preserved register.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.images.pe import PeImage
from polydbg.unwind.amd64_rules import PRESERVED
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.walker import walk

unicorn = pytest.importorskip("unicorn")
x86 = pytest.importorskip("unicorn.x86_const")

DLL = Path(__file__).parent / "programs" / "shapes.dll"
STACK_BASE, STACK_SIZE = 0x10000000, 0x400000
SENTINEL = 0x7FFF00000000
MAX_INSTRUCTIONS = 20_000

_NAMES = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *(f"r{number}" for number in range(8, 16)),
    "rip",
    *(f"xmm{number}" for number in range(16)),
)


def _exports() -> list[str]:
    with_names = PeImage.from_file(DLL)
    return [item.name for item in with_names.exports() if item.name]


@dataclass
class Record:
    """What a call will return to: pc, sp after the return, preserved registers."""

    pc: int
    sp: int
    kept: dict[str, int]


class Machine:
    """The emulator with the image loaded, and everything the unwinder may ask."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self) -> None:
        self.image = PeImage.from_file(DLL)
        self.base = self.image.preferred_base
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        size = (self.image.size_of_image + 0xFFF) & ~0xFFF
        self.uc.mem_map(self.base, size)
        for section in self.image.sections():
            data = self.image.read(section.rva, section.size)
            self.uc.mem_write(self.base + section.rva, data)
        self.uc.mem_map(STACK_BASE, STACK_SIZE)
        self.uc.mem_map(SENTINEL, 0x1000)
        self.numbers = [getattr(x86, f"UC_X86_REG_{name.upper()}") for name in _NAMES]
        self.pc_and_sp = [x86.UC_X86_REG_RIP, x86.UC_X86_REG_RSP]
        self.exports = {item.name: item.rva for item in self.image.exports()}
        self.memory = self

    def registers(self) -> dict[str, int]:
        values = self.uc.reg_read_batch(self.numbers)
        return dict(zip(_NAMES, values, strict=True))

    def set(self, name: str, value: int) -> None:
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name.upper()}"), value)

    # What the unwinder asks.

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        inside = self.base <= address < self.base + self.image.size_of_image
        return (self.base, self.image) if inside else None

    def is_code(self, address: int) -> bool:
        return address == SENTINEL or (
            self.image_at(address) is not None and self.image.is_code(address - self.base)
        )

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None

    def is_data(self, address: int) -> bool:
        return False

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) != size:
            raise MemoryReadError(address)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        if not STACK_BASE <= address < STACK_BASE + STACK_SIZE:
            return b""
        return bytes(self.uc.mem_read(address, min(size, STACK_BASE + STACK_SIZE - address)))

    def next_readable(self, address: int) -> int | None:
        return address

    # Running.

    def run(
        self, name: str, a: int, b: int, seen: set[tuple[int, int]]
    ) -> Iterator[tuple[dict[str, int], list[Record]]]:
        """Yield registers and shadow stack before each instruction of ``name(a, b)`` that is not
        in *seen* (address, depth)."""
        for number, register in enumerate(sorted(PRESERVED)):
            self.set(register, 0x1111_0000_0000_0000 + number * 0x0101_0101)
        sp = STACK_BASE + STACK_SIZE - 0x28
        self.uc.mem_write(sp, SENTINEL.to_bytes(8, "little"))
        for register, value in (("rsp", sp), ("rcx", a), ("rdx", b)):
            self.set(register, value)
        pc = self.base + self.exports[name]
        self.set("rip", pc)
        shadow = [Record(SENTINEL, sp + 8, _kept(self.registers()))]
        for _ in range(MAX_INSTRUCTIONS):
            if (pc, len(shadow)) not in seen:
                seen.add((pc, len(shadow)))
                yield self.registers(), shadow
            code = self._code(pc, 8)
            if code[:2] == b"\x0f\x0b":  # asm_halt
                return
            kept = _kept(self.registers()) if _is_call(code) else None
            self.uc.emu_start(pc, 0, count=1)
            pc, new_sp = self.uc.reg_read_batch(self.pc_and_sp)
            if kept is not None:
                target = int.from_bytes(self._code(new_sp, 8), "little")
                shadow.append(Record(target, new_sp + 8, kept))
            elif (pc, new_sp) == (shadow[-1].pc, shadow[-1].sp):
                record = shadow.pop()
                assert _kept(self.registers()) == record.kept, "the function breaks the convention"
                if not shadow:
                    return
        pytest.fail(f"{name}({a}, {b}) does not end")

    def _code(self, address: int, size: int) -> bytes:
        return bytes(self.uc.mem_read(address, size))


def _is_call(code: bytes) -> bool:
    if 0x40 <= code[0] < 0x50:
        code = code[1:]
    return code[0] == 0xE8 or (code[0] == 0xFF and code[1] & 0x38 == 0x10)


def _kept(registers: dict[str, int]) -> dict[str, int]:
    return {name: registers[name] for name in PRESERVED}


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


@pytest.mark.parametrize("name", _exports())
def test_callers_are_right_at_every_instruction(machine: Machine, name: str) -> None:
    seen: set[tuple[int, int]] = set()
    for a in (1, 2, 5, 7):
        for registers, shadow in machine.run(name, a, 2, seen):
            _check(machine, registers, shadow)
    assert seen


def _check(machine: Machine, registers: dict[str, int], shadow: list[Record]) -> None:
    rva = registers["rip"] - machine.base
    frames = list(walk(machine, registers, len(shadow) + 1))
    callers = frames[1:]
    assert len(callers) == len(shadow), f"at {rva:x}: {frames}"
    for frame, record in zip(callers, reversed(shadow), strict=True):
        what = f"at rva {rva:x}, caller {record.pc:x}"
        assert (frame.pc, frame.sp) == (record.pc, record.sp), what
        assert frame.trust in (FrameTrust.UNWIND_INFO, FrameTrust.LEAF), what
        known = {name: value for name, value in frame.registers.items() if name in PRESERVED}
        assert known == record.kept, what
        assert set(frame.registers) == PRESERVED | {"rip", "rsp"}
