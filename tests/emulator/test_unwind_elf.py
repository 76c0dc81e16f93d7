"""Unwinding ARM64 and i386 ELF libraries by call frame information, in the emulator: at every
executed instruction the callers must be the real ones, with every preserved register; no guesses.

The emulator's processor does not sign return addresses, so the test does: where ``paciasp`` and the
like stand, the address gets bits that must be taken away again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.formats.elf.constants import PT_LOAD
from polydbg.images.call_frames import CallFrames, call_frames_of
from polydbg.images.elf import ElfImage
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.walker import walk

unicorn = pytest.importorskip("unicorn")

PROGRAMS = Path(__file__).parent / "programs"
BASE = 0x400000
STACK_BASE, STACK_SIZE = 0x20000000, 0x400000
SENTINEL = 0x7FFF0000
MAX_INSTRUCTIONS = 20_000
CODE = 0x005A << 48  # what a signed address has above bit 47
SIGNING = {0xD503233F, 0xD503237F}  # paciasp, pacibsp
CHECKING = {0xD50323BF, 0xD50323FF}  # autiasp, autibsp


@dataclass
class Record:
    """What a call will return to: pc, sp after the return, preserved registers."""

    pc: int
    sp: int
    kept: dict[str, int]


class ElfMachine:
    """A library in the emulator, and what the unwinder asks of it."""

    byte_order: Literal["little", "big"] = "little"
    address_mask = 0
    pc = "pc"
    sp = "sp"
    size = 8

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.image = ElfImage.from_file(PROGRAMS / f"shapes_{machine}.so")
        self.memory = self
        self.open()
        self.uc.mem_map(BASE, (self.image.size_of_image + 0xFFF) & ~0xFFF)
        for each in self.image.segments:
            if each.type == PT_LOAD:
                rva = each.vaddr - self.image.image_base
                self.uc.mem_write(BASE + rva, self.image.read(rva, each.memory_size))
        self._relocate()
        self.uc.mem_map(STACK_BASE, STACK_SIZE)
        self.uc.mem_map(SENTINEL - 0x1000, 0x2000)
        table = self.image.dynamic_symbols
        assert table is not None
        symbols = [table.symbol(index) for index in range(1, len(table))]
        self.exports = {
            each.name: each.value
            for each in symbols
            if each.name.startswith(("clang_", "gcc_")) and self.image.is_code(each.value)
        }

    def open(self) -> None:
        raise NotImplementedError

    def _relocate(self) -> None:
        """Do what the loader does: every address in the library moves by its base."""
        form = "<QQq" if self.size == 8 else "<II"
        for section in self.image.section_headers:
            if section.name not in (".rela.dyn", ".rel.dyn"):
                continue
            data = self.image.section_data(section)
            assert data is not None
            for place, info, *addend in struct.iter_unpack(form, data.take(0, data.size)):
                assert info in (1027, 8, 23)  # R_AARCH64_RELATIVE, R_386_RELATIVE, R_ARM_RELATIVE
                value = addend[0] if addend else self._number(BASE + place)
                self.uc.mem_write(BASE + place, (BASE + value).to_bytes(self.size, "little"))

    def _number(self, address: int) -> int:
        return int.from_bytes(self.uc.mem_read(address, self.size), "little")

    def registers(self) -> dict[str, int]:
        return {name: self.uc.reg_read(number) for name, number in self.numbers.items()}

    # What the unwinder asks.

    @cached_property
    def frames(self) -> CallFrames | None:
        return call_frames_of(self.image)

    def image_at(self, address: int) -> tuple[int, ElfImage] | None:
        inside = BASE <= address < BASE + self.image.size_of_image
        return (BASE, self.image) if inside else None

    def call_frames_at(self, address: int) -> tuple[int, CallFrames] | None:
        if self.frames is None or self.image_at(address) is None:
            return None
        return BASE, self.frames

    def is_code(self, address: int) -> bool:
        return address in (SENTINEL, SENTINEL - 1) or (
            self.image_at(address) is not None and self.image.is_code(address - BASE)
        )

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None

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

    def enter(self, sp: int, a: int, b: int) -> int:
        """Prepare a call with two 64-bit arguments; return sp once it has returned."""
        raise NotImplementedError

    def call_length(self, pc: int) -> int:
        """Return the size of the call at *pc*, 0 for other instructions."""
        raise NotImplementedError

    def is_halt(self, pc: int) -> bool:
        raise NotImplementedError

    def result_at(self, pc: int) -> str:
        """Return the preserved register that the function at *pc* changes all the same."""
        return ""

    def step(self, pc: int) -> None:
        self.uc.emu_start(pc, 0, count=1)

    def run(
        self, name: str, a: int, b: int, seen: set[tuple[int, int]]
    ) -> Iterator[tuple[dict[str, int], list[Record]]]:
        """Yield registers and shadow stack before each instruction that is not in *seen*."""
        for number, each in enumerate(self.kept):
            self.uc.reg_write(self.numbers[each], 0x11110000 + number * 0x0101)
        after = self.enter(STACK_BASE + STACK_SIZE - 0x40, a, b)
        pc = BASE + self.exports[name]
        shadow = [Record(SENTINEL, after, self._kept())]
        for _ in range(MAX_INSTRUCTIONS):
            if (pc, len(shadow)) not in seen:
                seen.add((pc, len(shadow)))
                yield {**self.registers(), self.pc: pc}, shadow
            if self.is_halt(pc):
                return
            length = self.call_length(pc)
            kept, sp = self._kept(), self.uc.reg_read(self.numbers[self.sp])
            self.step(pc)
            after = pc + length
            pc = self.uc.reg_read(self.numbers[self.pc])
            now = self.uc.reg_read(self.numbers[self.sp])
            if length:
                kept.pop(self.result_at(pc), None)
                shadow.append(Record(after, sp, kept))
            elif (pc, now) == (shadow[-1].pc, shadow[-1].sp):
                kept, now_kept = shadow.pop().kept, self._kept()
                assert kept.items() <= now_kept.items(), "the function breaks the convention"
                if not shadow:
                    return
        pytest.fail(f"{name} does not end")

    def _kept(self) -> dict[str, int]:
        return {name: self.uc.reg_read(self.numbers[name]) for name in self.kept}


class Arm64(ElfMachine):
    def open(self) -> None:
        from unicorn import arm64_const as const

        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        names = [*(f"x{i}" for i in range(29)), "fp", "lr", "sp", "pc"]
        names += [f"d{i}" for i in range(32)]
        self.kept = (*(f"x{i}" for i in range(19, 29)), "fp", *(f"d{i}" for i in range(8, 16)))
        self.numbers = {name: getattr(const, f"UC_ARM64_REG_{name.upper()}") for name in names}
        # Let code use the vector registers.
        self.uc.reg_write(const.UC_ARM64_REG_CPACR_EL1, 0x300000)

    def _word(self, pc: int) -> int:
        return int.from_bytes(self.uc.mem_read(pc, 4), "little")

    def enter(self, sp: int, a: int, b: int) -> int:
        for name, value in (("sp", sp), ("lr", SENTINEL), ("x0", a), ("x1", b)):
            self.uc.reg_write(self.numbers[name], value)
        return sp

    def call_length(self, pc: int) -> int:
        word = self._word(pc)
        return 4 if word >> 26 == 0x25 or word & 0xFFFFFC1F == 0xD63F0000 else 0

    def is_halt(self, pc: int) -> bool:
        return self._word(pc) & 0xFFE0001F == 0xD4200000  # brk

    def step(self, pc: int) -> None:
        word, lr = self._word(pc), self.numbers["lr"]
        if word in SIGNING | CHECKING:
            value = self.uc.reg_read(lr)
            assert bool(value & CODE) == (word in CHECKING)
            self.uc.reg_write(lr, value ^ CODE)
        super().step(pc)


class X86(ElfMachine):
    pc = "eip"
    sp = "esp"
    size = 4

    def open(self) -> None:
        from unicorn import x86_const as const

        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        names = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip")
        self.kept = ("ebx", "ebp", "esi", "edi")
        self.numbers = {name: getattr(const, f"UC_X86_REG_{name.upper()}") for name in names}

    def enter(self, sp: int, a: int, b: int) -> int:
        self.uc.mem_write(sp, struct.pack("<Iqq", SENTINEL, a, b))
        self.uc.reg_write(self.numbers["esp"], sp)
        return sp + 4

    def call_length(self, pc: int) -> int:
        code = bytes(self.uc.mem_read(pc, 8))
        if code[0] == 0xE8:
            return 0 if code[1:5] == bytes(4) else 5  # what only asks where it is calls nothing
        if code[0] != 0xFF or code[1] & 0x38 != 0x10:
            return 0
        mode, rm = code[1] >> 6, code[1] & 7
        sib = mode != 3 and rm == 4
        wide = mode == 2 or (mode == 0 and rm == 5) or (sib and mode == 0 and code[2] & 7 == 5)
        return 2 + sib + (4 if wide else mode == 1)

    def result_at(self, pc: int) -> str:
        code = bytes(self.uc.mem_read(pc, 4))
        is_thunk = code[0] == 0x8B and code[2:] == b"\x24\xc3"  # mov REG,[esp]; ret
        return list(self.numbers)[code[1] >> 3 & 7] if is_thunk else ""

    def is_halt(self, pc: int) -> bool:
        return bytes(self.uc.mem_read(pc, 2)) == b"\x0f\x0b"


MACHINES = {"arm64": Arm64, "x86": X86}


def _exports() -> list[tuple[str, str]]:
    return [(name, each) for name in MACHINES for each in sorted(MACHINES[name](name).exports)]


@pytest.fixture(scope="module")
def machines() -> dict[str, ElfMachine]:
    return {name: make(name) for name, make in MACHINES.items()}


@pytest.mark.parametrize(("machine", "name"), _exports())
def test_callers_are_right_at_every_instruction(
    machines: dict[str, ElfMachine], machine: str, name: str
) -> None:
    emulator = machines[machine]
    seen: set[tuple[int, int]] = set()
    for a in (1, 2, 5, 7):
        for registers, shadow in emulator.run(name, a, 2, seen):
            _check(emulator, registers, shadow)
    assert len(seen) > 3


def _check(machine: ElfMachine, registers: dict[str, int], shadow: list[Record]) -> None:
    at = registers[machine.pc] - BASE
    frames = list(walk(machine, registers, len(shadow) + 1, None, machine.machine))
    callers = frames[1:]
    assert len(callers) == len(shadow), f"at {at:x}: {frames}"
    for frame, record in zip(callers, reversed(shadow), strict=True):
        what = f"at rva {at:x}, caller {record.pc:x}"
        assert (frame.pc, frame.sp) == (record.pc, record.sp), what
        assert frame.trust is FrameTrust.CFI, what
        known = {name: frame.registers.get(name) for name in record.kept}
        assert known == record.kept, what
