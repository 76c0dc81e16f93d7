"""Unwinding x86 against an emulator: an unmarked frame is right, at every executed instruction.

As for x64: a shadow stack records what each call returns to. x86 code has no unwind tables, so some
instructions leave the unwinder guessing (while arguments are pushed, for one): such frames must be
marked, and few. Everything before the first marked frame must equal the record.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import MemoryReadError
from polydbg.images.pe import PeImage
from polydbg.symbols.frame_info import WinFrame
from polydbg.symbols.pdb import open_pdb
from polydbg.unwind.frame_pointer import FramePointer
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.method import X86, Callee, UnwindMethod
from polydbg.unwind.scan import StackScan
from polydbg.unwind.walker import walk
from polydbg.unwind.x86_code import PRESERVED, REGISTERS

unicorn = pytest.importorskip("unicorn")
x86 = pytest.importorskip("unicorn.x86_const")

PROGRAMS = Path(__file__).parent / "programs"
STACK_BASE, STACK_SIZE = 0x20000000, 0x400000
SENTINEL = 0x7FFF0000
MAX_INSTRUCTIONS = 20_000
GUESSES: dict[str, UnwindMethod] = {"frame pointer": FramePointer(), "scan": StackScan()}
ASSEMBLED = ("asm_frame", "asm_hotpatch", "asm_stdcall", "asm_leaf")


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
        self.image = PeImage.from_file(PROGRAMS / "shapes32.dll")
        self.symbols = open_pdb(PROGRAMS / "shapes32.pdb")
        self._start()
        self.functions = {item.name: item.rva for item in self.image.exports() if item.name}
        # Assembled functions have no size in the PDB, but here it is known.
        starts = {name: self._public(name) for name in (*ASSEMBLED, "asm_halt", "_chkstk")}
        bounds = [*sorted(starts.values()), max(starts.values()) + 0x20]
        self.sizes = {start: bounds[bounds.index(start) + 1] - start for start in starts.values()}
        self.functions |= {name: starts[name] for name in ASSEMBLED}

    def _start(self) -> None:
        self.base = self.image.preferred_base
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
        self.uc.mem_map(self.base, (self.image.size_of_image + 0xFFF) & ~0xFFF)
        for section in self.image.sections():
            data = self.image.read(section.rva, section.size)
            self.uc.mem_write(self.base + section.rva, data)
        self.uc.mem_map(STACK_BASE, STACK_SIZE)
        self.uc.mem_map(SENTINEL, 0x1000)
        self.names = (*REGISTERS, "eip")
        self.numbers = [getattr(x86, f"UC_X86_REG_{name.upper()}") for name in self.names]
        self.memory = self
        self.address_mask = 0

    def _public(self, name: str) -> int:
        symbol = self.symbols.symbol_named(name)
        assert symbol is not None, name
        return symbol.rva

    def registers(self) -> dict[str, int]:
        return dict(zip(self.names, self.uc.reg_read_batch(self.numbers), strict=True))

    def set(self, name: str, value: int) -> None:
        self.uc.reg_write(getattr(x86, f"UC_X86_REG_{name.upper()}"), value)

    # What the unwinder asks.

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        inside = self.base <= address < self.base + self.image.size_of_image
        return (self.base, self.image) if inside else None

    def is_code(self, address: int) -> bool:
        return address in (SENTINEL - 1, SENTINEL) or (
            self.image_at(address) is not None and self.image.is_code(address - self.base)
        )

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    @cache  # noqa: B019 (one machine, as long as the tests)
    def win_frame_at(self, address: int) -> tuple[int, WinFrame] | None:
        frame = self.symbols.win_frame_at(address - self.base)
        return (self.base, frame) if frame is not None else None

    @cache  # noqa: B019
    def function_at(self, address: int) -> tuple[int, int] | None:
        rva = address - self.base
        for start, size in self.sizes.items():
            if start <= rva < start + size:
                return self.base + start, size
        symbol = self.symbols.symbol_at(rva)
        if symbol is None or not symbol.rva <= rva < symbol.rva + symbol.size:
            return None
        return self.base + symbol.rva, symbol.size

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) != size:
            raise MemoryReadError(address)
        return data

    def read_some(self, address: int, size: int) -> bytes:
        if SENTINEL - 16 <= address < SENTINEL:
            return b"\xff\xd0".rjust(SENTINEL - address, b"\x90")[:size]  # call eax
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
            self.set(register, 0x11110000 + number * 0x01010101)
        sp = STACK_BASE + STACK_SIZE - 0x40
        width = 4 if name.startswith("asm_") else 8
        arguments = a.to_bytes(width, "little") + b.to_bytes(width, "little")
        self.uc.mem_write(sp, SENTINEL.to_bytes(4, "little") + arguments)
        self.set("esp", sp)
        pc = self.base + self.functions[name]
        self.set("eip", pc)
        shadow = [Record(SENTINEL, sp + 4, _kept(self.registers()))]
        for _ in range(MAX_INSTRUCTIONS):
            if (pc, len(shadow)) not in seen:
                seen.add((pc, len(shadow)))
                yield self.registers(), shadow
            code = bytes(self.uc.mem_read(pc, 8))
            if code[:2] == b"\x0f\x0b":  # asm_halt
                return
            is_call = code[0] == 0xE8 or (code[0] == 0xFF and code[1] & 0x38 == 0x10)
            kept = _kept(self.registers()) if is_call else None
            self.uc.emu_start(pc, 0, count=1)
            registers = self.registers()
            pc, sp = registers["eip"], registers["esp"]
            if kept is not None:
                target = int.from_bytes(self.read(sp, 4), "little")
                shadow.append(Record(target, sp + 4, kept))
            elif pc == shadow[-1].pc and sp >= shadow[-1].sp:
                record = shadow.pop()
                assert _kept(registers) == record.kept, "the function breaks the convention"
                if not shadow:
                    return
            elif pc == shadow[-1].pc:  # the probe gives back a stack that is larger
                shadow.pop()
        pytest.fail(f"{name}({a}, {b}) does not end")


def _kept(registers: dict[str, int]) -> dict[str, int]:
    return {name: registers[name] for name in PRESERVED}


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine()


def test_unmarked_callers_are_right_at_every_instruction(machine: Machine) -> None:
    counts: Counter[str] = Counter()
    for name in machine.functions:
        seen: set[tuple[int, int]] = set()
        for a in (1, 2, 5, 7):
            for registers, shadow in machine.run(name, a, 2, seen):
                counts[_check(machine, name, registers, shadow)] += 1
                for kind, method in GUESSES.items():
                    counts[_guessed(machine, kind, method, registers, shadow)] += 1
    print(dict(counts))
    total = sum(counts[each] for each in ("whole", "cut", "guess, right", "guess, wrong"))
    assert total > 9000
    assert counts["whole"] / total > 0.92, counts
    # The wrong ones: in the stack probe, which moves esp, and an assembled leaf without a layout.
    assert counts["guess, wrong"] <= 4, counts
    assert counts["cut"] <= 3, counts
    # What guesses alone would give: the figures of docs/unwinding.md.
    assert counts["scan, right"] / total > 0.5, counts


class WithoutCode(Machine):
    """The same, as a small dump has it: no byte of the module."""

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        return None

    def is_code(self, address: int) -> bool:
        inside = 0x1000 <= address - self.base < self.image.size_of_image
        return address in (SENTINEL - 1, SENTINEL) or inside


def test_unmarked_callers_are_right_where_no_code_is_at_hand() -> None:
    machine = WithoutCode()
    counts: Counter[str] = Counter()
    for name in machine.functions:
        seen: set[tuple[int, int]] = set()
        for a in (1, 2, 5, 7):
            for registers, shadow in machine.run(name, a, 2, seen):
                counts[_check(machine, name, registers, shadow)] += 1
    print(dict(counts))
    total = sum(counts.values())
    assert counts["whole"] / total > 0.8, counts
    assert counts["guess, wrong"] / total < 0.025, counts


class OfMicrosoft(Machine):
    """A program of Microsoft's compiler and its PDB. Its functions run until they touch what is
    not there."""

    def __init__(self, image: Path) -> None:
        self.image = PeImage.from_file(image)
        self.symbols = open_pdb(image.with_suffix(".pdb"))
        self.sizes = {}
        self._start()
        self.uc.mem_map(0, 0x1000)  # fs:0
        found = self.symbols.symbols_matching("*", CancelToken())
        self.functions = {
            f"asm_{each.name}": each.rva for each in found if each.is_code and each.size
        }


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name", ["symbolic-windows/crash.exe", "llvm-pdb/test.exe", "rizin-pdb/SimplePDB.exe"]
)
def test_unmarked_callers_of_microsofts_code_are_right(data_dir: Path, name: str) -> None:
    machine = OfMicrosoft(data_dir / "symbols" / name)
    counts: Counter[bool] = Counter()
    for function in machine.functions:
        seen: set[tuple[int, int]] = set()
        for a in (1, STACK_BASE + 0x100):
            # What is not mapped, or not a function of two integers, ends the run.
            with contextlib.suppress(unicorn.UcError, AssertionError, IndexError):
                for registers, shadow in machine.run(function, a, 2, seen):
                    if machine.image_at(registers["eip"]) is None:
                        break
                    counts[_leads_right(machine, registers, shadow)] += 1
    assert counts[False] == 0
    assert counts[True] > 200


def _leads_right(machine: Machine, registers: dict[str, int], shadow: list[Record]) -> bool:
    """Return whether the frames before the first guess are the real ones. Only pc is compared:
    helpers of prologs return with another esp."""
    for frame, record in zip(
        list(walk(machine, registers, len(shadow) + 1))[1:], reversed(shadow), strict=False
    ):
        if frame.trust.is_guess:
            return True
        if frame.pc != record.pc:
            return False
    return True


def _guessed(
    machine: Machine,
    kind: str,
    method: UnwindMethod,
    registers: dict[str, int],
    shadow: list[Record],
) -> str:
    """Ask a method that guesses for the first caller; return how it went."""
    caller = method.caller_of(Callee(registers, False, True, X86), machine)
    if caller is None:
        return f"{kind}, none"
    place = caller.registers["eip"], caller.registers["esp"]
    return f"{kind}, {'right' if place == (shadow[-1].pc, shadow[-1].sp) else 'wrong'}"


def _check(machine: Machine, name: str, registers: dict[str, int], shadow: list[Record]) -> str:
    """Compare a walk with the record; return how it went."""
    frames = list(walk(machine, registers, len(shadow) + 1))[1:]
    for frame, record in zip(frames, reversed(shadow), strict=False):
        what = f"{name} at rva {registers['eip'] - machine.base:x}, caller {record.pc:x}: {frame}"
        is_right = (frame.pc, frame.sp) == (record.pc, record.sp)
        if frame.trust.is_guess:
            return "guess, right" if is_right else "guess, wrong"
        assert is_right, what
        known = {each: frame.registers[each] for each in PRESERVED if each in frame.registers}
        assert known.items() <= record.kept.items(), what
        assert frame.trust in (FrameTrust.FRAME_DATA, FrameTrust.INSTRUCTIONS), what
    return "whole" if len(frames) >= len(shadow) else "cut"
