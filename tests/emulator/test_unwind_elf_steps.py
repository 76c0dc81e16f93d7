"""Unwinding x86-64 ELF programs by their call frame information, against gdb's single steps: at
every instruction, also of the C library and the loader, the callers must be the real ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.images.call_frames import CallFrames, call_frames_of
from polydbg.images.elf import ElfImage
from polydbg.memory.space import BufferSpace
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.walker import walk

PROGRAMS = Path(__file__).parent / "programs"
SURE = (FrameTrust.CFI, FrameTrust.SIGNAL_FRAME, FrameTrust.INSTRUCTIONS)


class Module:
    """A file and where it is mapped."""

    def __init__(self, path: str, base: int) -> None:
        self.base = base
        self.image = ElfImage.from_file(path)
        self.end = base + self.image.size_of_image

    @cached_property
    def frames(self) -> CallFrames | None:
        return call_frames_of(self.image)


class Recorded:
    """What the unwinder asks, about one step."""

    byte_order: Literal["little", "big"] = "little"
    address_mask = 0

    def __init__(self, modules: list[Module]) -> None:
        self.modules = modules
        self.memory = BufferSpace(b"")

    def module_at(self, address: int) -> Module | None:
        return next((each for each in self.modules if each.base <= address < each.end), None)

    def image_at(self, address: int) -> tuple[int, ElfImage] | None:
        module = self.module_at(address)
        return (module.base, module.image) if module is not None else None

    def is_code(self, address: int) -> bool:
        module = self.module_at(address)
        return module is not None and module.image.is_code(address - module.base)

    def is_data(self, address: int) -> bool:
        return False

    def call_frames_at(self, address: int) -> tuple[int, CallFrames] | None:
        module = self.module_at(address)
        if module is None or module.frames is None:
            return None
        return module.base, module.frames

    def cfi_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None


def _record(folder: Path, options: list[str]) -> dict[str, Any]:
    for tool in ("gcc", "gdb"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    program, steps = folder / "steps", folder / "steps.json"
    subprocess.run(
        ["gcc", *options, "-o", program, PROGRAMS / "steps.c"], check=True, capture_output=True
    )
    subprocess.run(
        ["gdb", "-batch", "-nx", "-x", PROGRAMS / "record_steps.py", program],
        env={**os.environ, "STEPS": str(steps)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    if not steps.exists():
        pytest.skip("gdb cannot step here")
    found: dict[str, Any] = json.loads(steps.read_text())
    assert found["done"]
    return found


@pytest.mark.parametrize(
    "options",
    [
        ["-O0"],
        ["-O2", "-fomit-frame-pointer"],
        ["-O2", "-fno-omit-frame-pointer", "-no-pie", "-static"],
        ["-O1", "-Wl,-z,lazy", "-fno-plt"],
        ["-Os", "-Wl,-z,lazy", "-fno-asynchronous-unwind-tables", "-g"],  # .debug_frame
    ],
    ids=lambda options: "".join(options),
)
def test_callers_are_right_at_every_step(options: list[str], tmp_path: Path) -> None:
    recorded = _record(tmp_path, options)
    context = Recorded([Module(path, base) for path, base in recorded["modules"].items()])
    signals = 0
    wrong = []
    for registers, low, stack, shadow in recorded["steps"]:
        context.memory = BufferSpace(bytes.fromhex(stack), low)
        signals += any(kept is None for _, _, kept in shadow)
        problem = _difference(context, registers, shadow)
        if problem:
            wrong.append(f"at {registers['rip']:x}: {problem}")
    assert not wrong, f"{len(wrong)} of {len(recorded['steps'])}: {wrong[:5]}"
    assert signals > 10
    assert len(recorded["steps"]) > 700


def _difference(context: Recorded, registers: dict[str, int], shadow: list[Any]) -> str:
    """Return what is wrong with the callers, ``""`` where nothing is."""
    try:
        frames = list(walk(context, registers, len(shadow) + 1, None, "amd64"))
    except MemoryReadError as error:
        return str(error)
    callers = frames[1:]
    if len(callers) != len(shadow):
        return f"{len(callers)} callers of {len(shadow)}: {frames[-1].note}"
    for frame, (pc, sp, kept) in zip(callers, reversed(shadow), strict=True):
        if (frame.pc, frame.sp) != (pc, sp):
            return f"{frame.pc:x} {frame.sp:x} for {pc:x} {sp:x}, {frame.trust}"
        if frame.trust not in SURE:
            return f"caller {pc:x} by {frame.trust}"
        if kept is not None:
            for name, value in kept.items():
                if frame.registers.get(name) != value:
                    return f"{name} of caller {pc:x}"
    return ""
