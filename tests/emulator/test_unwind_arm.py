"""Unwinding ARM64 and Thumb against an emulator: at every executed instruction the callers must
be the real ones, with every preserved register; no guesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.images.pe import PeImage
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.walker import walk

unicorn = pytest.importorskip("unicorn")

STACK_BASE, STACK_SIZE = 0x40000000, 0x400000
SENTINEL = 0x7FFF0000
MAX_INSTRUCTIONS = 20_000


@dataclass
class Record:
    """What a call will return to: pc, sp after the return, preserved registers."""

    pc: int
    sp: int
    kept: dict[str, int]


class ArmMachine:
    """One image in the emulator; *machine* is ``arm64`` or ``arm`` (Thumb)."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self, path: Path, machine: str) -> None:
        self.image = PeImage.from_file(path)
        self.base = self.image.preferred_base
        self.machine = machine
        self.address_mask = 0
        self.memory = self
        self.fault = 0  # where an access failed
        if machine == "arm64":
            self._open_arm64()
        else:
            self._open_arm()
        size = (self.image.size_of_image + 0xFFF) & ~0xFFF
        self.uc.mem_map(self.base, size)
        for section in self.image.sections():
            self.uc.mem_write(
                self.base + section.rva, self.image.space.read_some(section.rva, section.size)
            )
        self.uc.mem_map(STACK_BASE, STACK_SIZE)
        self.uc.mem_map(SENTINEL, 0x1000)
        self.exports = {item.name: item.rva & ~1 for item in self.image.exports() if item.name}

    def _open_arm64(self) -> None:
        from unicorn import arm64_const as const

        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        names = [*(f"x{i}" for i in range(29)), "fp", "lr", "sp", "pc"]
        names += [f"d{i}" for i in range(32)]
        self.kept = (*(f"x{i}" for i in range(19, 29)), "fp", *(f"d{i}" for i in range(8, 16)))
        self.system_register = "x18"
        self.numbers = {name: getattr(const, f"UC_ARM64_REG_{name.upper()}") for name in names}
        # Let code use the vector registers.
        self.uc.reg_write(const.UC_ARM64_REG_CPACR_EL1, 0x300000)
        self.size = 8

    def _open_arm(self) -> None:
        from unicorn import arm_const as const

        self.uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
        names = [*(f"r{i}" for i in range(13)), "sp", "lr", "pc", "cpsr"]
        names += [f"d{i}" for i in range(32)]
        self.kept = (*(f"r{i}" for i in range(4, 12)), *(f"d{i}" for i in range(8, 16)))
        self.system_register = ""
        self.numbers = {name: getattr(const, f"UC_ARM_REG_{name.upper()}") for name in names}
        self.uc.reg_write(const.UC_ARM_REG_C1_C0_2, 0xF << 20)
        self.uc.reg_write(const.UC_ARM_REG_FPEXC, 1 << 30)
        self.size = 4

    def registers(self) -> dict[str, int]:
        return {name: self.uc.reg_read(number) for name, number in self.numbers.items()}

    def set(self, name: str, value: int) -> None:
        self.uc.reg_write(self.numbers[name], value)

    # What the unwinder asks.

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        inside = self.base <= address < self.base + self.image.size_of_image
        return (self.base, self.image) if inside else None

    def is_code(self, address: int) -> bool:
        return address == SENTINEL or (
            self.image_at(address) is not None and self.image.is_code(address - self.base)
        )

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
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

    def run(
        self, rva: int, arguments: tuple[int, ...], seen: set[tuple[int, int]]
    ) -> Iterator[tuple[dict[str, int], list[Record]]]:
        """Yield registers and shadow stack before each instruction that is not in *seen*
        (address, depth), from the function at *rva* to its return or to a halt."""
        for number, name in enumerate(self.kept):
            self.set(name, 0x1111_0000 + number * 0x0101)
        sp = STACK_BASE + STACK_SIZE - 0x40
        thumb = int(self.machine == "arm")
        self.set("sp", sp)
        self.set("lr", SENTINEL | thumb)
        for register, value in zip("0123", arguments, strict=False):
            self.set(("r" if thumb else "x") + register, value)
        pc = self.base + rva
        self.set("pc", pc)
        shadow = [Record(SENTINEL, sp, self._kept())]
        for _ in range(MAX_INSTRUCTIONS):
            if (pc, len(shadow)) not in seen:
                seen.add((pc, len(shadow)))
                yield {**self.registers(), "pc": pc}, shadow
            if self._is_halt(pc):
                return
            call = self._call_length(pc)
            kept, sp = (self._kept(), self.uc.reg_read(self.numbers["sp"])) if call else ({}, 0)
            try:
                self.uc.emu_start(pc | thumb, 0, count=1)
            except unicorn.UcError:
                self.fault = pc
                return
            after = pc + call
            pc = self.uc.reg_read(self.numbers["pc"]) & ~thumb
            now = self.uc.reg_read(self.numbers["sp"])
            if call:
                if self._is_stack_probe(pc):
                    kept.pop("r4")  # its argument and result
                shadow.append(Record(after, sp, kept))
            elif (pc, now) == (shadow[-1].pc, shadow[-1].sp):
                record = shadow.pop()
                now_kept = {name: self._kept()[name] for name in record.kept}
                assert now_kept == record.kept, "the function breaks the convention"
                if not shadow:
                    return
        pytest.fail(f"the function at {rva:x} does not end")

    def _kept(self) -> dict[str, int]:
        return {name: self.uc.reg_read(self.numbers[name]) for name in self.kept}

    def _code(self, pc: int) -> tuple[int, int]:
        data = bytes(self.uc.mem_read(pc, 4))
        return int.from_bytes(data[:2], "little"), int.from_bytes(data, "little")

    def _is_halt(self, pc: int) -> bool:
        half, word = self._code(pc)
        if self.machine == "arm64":
            return word & 0xFFE0001F == 0xD4200000  # brk
        return half >> 8 == 0xDE  # udf

    def _is_stack_probe(self, pc: int) -> bool:
        return self.machine == "arm" and self._code(pc)[0] == 0x00A4  # lsls r4,r4,#2

    def _call_length(self, pc: int) -> int:
        """Return the size of the call at *pc*, 0 for other instructions."""
        half, word = self._code(pc)
        if self.machine == "arm64":
            return 4 if word >> 26 == 0x25 or word & 0xFFFFFC1F == 0xD63F0000 else 0
        if half & 0xFF87 == 0x4780:
            return 2
        return 4 if half & 0xF800 == 0xF000 and word >> 30 == 3 else 0


PROGRAMS = Path(__file__).parent / "programs"
IMAGES = {"arm64": PROGRAMS / "shapes_arm64.dll", "arm": PROGRAMS / "shapes_thumb.dll"}
EXPORTS = [
    (machine, item.name)
    for machine, path in IMAGES.items()
    for item in PeImage.from_file(path).exports()
    if item.name
]


@pytest.fixture(scope="module")
def machines() -> dict[str, ArmMachine]:
    return {machine: ArmMachine(path, machine) for machine, path in IMAGES.items()}


@pytest.mark.parametrize(("machine", "name"), EXPORTS)
def test_callers_are_right_at_every_instruction(
    machines: dict[str, ArmMachine], machine: str, name: str
) -> None:
    emulator = machines[machine]
    seen: set[tuple[int, int]] = set()
    for a in (1, 2, 5, 7):
        # The functions take two 64-bit integers.
        arguments = (a, 2) if machine == "arm64" else (a, 0, 2, 0)
        for registers, shadow in emulator.run(emulator.exports[name], arguments, seen):
            check(emulator, registers, shadow)
    assert len(seen) > 3


def check(machine: ArmMachine, registers: dict[str, int], shadow: list[Record]) -> None:
    rva = registers["pc"] - machine.base
    frames = list(walk(machine, registers, len(shadow) + 1, None, machine.machine))
    callers = frames[1:]
    assert len(callers) == len(shadow), f"at {rva:x}: {frames}"
    expected = {*machine.kept, "pc", "sp", machine.system_register} - {""}
    for frame, record in zip(callers, reversed(shadow), strict=True):
        what = f"at rva {rva:x}, caller {record.pc:x}"
        assert (frame.pc, frame.sp) == (record.pc, record.sp), what
        assert frame.trust in (FrameTrust.UNWIND_INFO, FrameTrust.LEAF), what
        known = {name: frame.registers.get(name) for name in record.kept}
        assert known == record.kept, what
        assert set(frame.registers) == expected
    assert callers[-1].pc == SENTINEL


@pytest.mark.corpus
def test_the_sample_of_arm64_up_to_its_crash(data_dir: Path) -> None:
    """The sample, compiled by someone else, runs from its entry to the write to address 8."""
    emulator = ArmMachine(data_dir / "samples/win/bin/tiny_arm64.exe", "arm64")
    seen: set[tuple[int, int]] = set()
    deepest = 0
    for registers, shadow in emulator.run(emulator.image.entry_point, (), seen):
        check(emulator, registers, shadow)
        deepest = max(deepest, len(shadow))
    assert emulator.fault
    assert deepest == 3  # start, sum_shapes, area_of
    assert len(seen) > 40
