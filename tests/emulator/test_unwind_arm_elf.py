"""Unwinding A32 and T32 ELF libraries by their exception tables, in the emulator: the callers must
be the real ones, with every preserved register, at every instruction where the first of them is no
guess; and it is one in few places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from test_unwind_elf import BASE, SENTINEL, ElfMachine, Record

from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.walker import walk

unicorn = pytest.importorskip("unicorn")

SURE = (FrameTrust.UNWIND_INFO, FrameTrust.INSTRUCTIONS)


class Arm(ElfMachine):
    """A library with exception tables alone; *name* says which instructions it has."""

    size = 4

    def __init__(self, name: str) -> None:
        self.is_thumb = name == "t32"
        super().__init__(name)
        self.machine = "arm"
        self.exports = {name: value & ~1 for name, value in self.exports.items()}
        table = self.image.symbols
        assert table is not None
        symbols = [table.symbol(index) for index in range(1, len(table))]
        self.functions = [(each.value & ~1, each.size, each.name) for each in symbols if each.size]

    def open(self) -> None:
        from unicorn import arm_const as const

        self.uc = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB if self.is_thumb else unicorn.UC_MODE_ARM
        )
        names = [*(f"r{i}" for i in range(13)), "sp", "lr", "pc", "cpsr"]
        names += [f"d{i}" for i in range(32)]
        self.kept = (*(f"r{i}" for i in range(4, 12)), *(f"d{i}" for i in range(8, 16)))
        self.numbers = {name: getattr(const, f"UC_ARM_REG_{name.upper()}") for name in names}
        self.uc.reg_write(const.UC_ARM_REG_C1_C0_2, 0xF << 20)
        self.uc.reg_write(const.UC_ARM_REG_FPEXC, 1 << 30)

    def function_at(self, address: int) -> tuple[int, int] | None:
        for start, size, _ in self.functions:
            if start <= address - BASE < start + size:
                return BASE + start, size
        return None

    def name_at(self, address: int) -> str:
        found = self.function_at(address)
        return next((name for start, _, name in self.functions if found == (BASE + start, _)), "")

    def registers(self) -> dict[str, int]:
        # The emulator says that it runs T32 code only once it has.
        found = super().registers()
        return {**found, "cpsr": found["cpsr"] & ~0x20 | self.is_thumb << 5}

    def enter(self, sp: int, a: int, b: int) -> int:
        values = {"sp": sp, "lr": SENTINEL | self.is_thumb, "r0": a, "r1": 0, "r2": b, "r3": 0}
        for name, value in values.items():
            self.uc.reg_write(self.numbers[name], value)
        return sp

    def step(self, pc: int) -> None:
        super().step(pc | self.is_thumb)

    def call_length(self, pc: int) -> int:
        half, word = self._code(pc)
        if not self.is_thumb:
            is_call = word >> 24 == 0xEB or word & 0xFFFFFFF0 == 0xE12FFF30
            return 4 if is_call else 0
        if half & 0xFF87 == 0x4780:
            return 2
        return 4 if half & 0xF800 == 0xF000 and word >> 30 == 3 else 0

    def is_halt(self, pc: int) -> bool:
        half, word = self._code(pc)
        return half >> 8 == 0xDE if self.is_thumb else word & 0xFFF000F0 == 0xE7F000F0

    def _code(self, pc: int) -> tuple[int, int]:
        data = bytes(self.uc.mem_read(pc, 4))
        return int.from_bytes(data[:2], "little"), int.from_bytes(data, "little")


NAMES = ("a32", "t32")


@pytest.fixture(scope="module")
def machines() -> dict[str, Arm]:
    return {name: Arm(name) for name in NAMES}


def _stacks(machine: Arm, name: str) -> Iterator[tuple[dict[str, int], list[Record]]]:
    seen: set[tuple[int, int]] = set()
    for a in (1, 2, 5, 7):
        yield from machine.run(name, a, 2, seen)


@pytest.mark.parametrize(
    ("machine", "name"), [(each, name) for each in NAMES for name in sorted(Arm(each).exports)]
)
def test_callers_are_right(machines: dict[str, Arm], machine: str, name: str) -> None:
    emulator = machines[machine]
    counts: Counter[bool] = Counter()
    for registers, shadow in _stacks(emulator, name):
        counts[_check(emulator, registers, shadow)] += 1
    assert counts[True] > 3
    assert counts[False] <= 3


def _check(machine: Arm, registers: dict[str, int], shadow: list[Record]) -> bool:
    """Check the callers; return whether they are sure."""
    pc = registers["pc"]
    first, *callers = walk(machine, registers, len(shadow) + 1, None, "arm")
    if callers and callers[0].trust.is_guess:
        return False
    assert len(callers) == len(shadow), f"at {pc - BASE:x}: {callers}"
    # GCC does not save registers where a function never returns.
    clobbers = any("_gone" in machine.name_at(each.lookup_pc) for each in (first, *callers))
    for frame, record in zip(callers, reversed(shadow), strict=True):
        what = f"at rva {pc - BASE:x}, caller {record.pc:x}"
        assert (frame.pc, frame.sp) == (record.pc, record.sp), what
        assert frame.trust in SURE, what
        if not clobbers:
            known = {name: frame.registers.get(name) for name in record.kept}
            assert known == record.kept, what
    return True
