"""The exception tables of 32-bit ARM against ``llvm-readobj --unwind``: rows and byte codes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from polydbg.formats.pe.arm_operations import ArmCode, ArmOp
from polydbg.images.arm_exidx import exception_index_of
from polydbg.images.elf import ElfImage

READOBJ = shutil.which("llvm-readobj-19") or shutil.which("llvm-readobj")
PROGRAMS = Path(__file__).resolve().parents[1] / "emulator" / "programs"

pytestmark = pytest.mark.skipif(READOBJ is None, reason="llvm-readobj is not installed")

_ALIASES = {"fp": "r11", "ip": "r12", "pc": "lr"}


def _ours(code: ArmCode) -> str:
    if code.op is ArmOp.ALLOC:
        return f"vsp = vsp {'-' if code.value < 0 else '+'} {abs(code.value)}"
    if code.op is ArmOp.SET_SP:
        return f"vsp = {code.registers[0]}"
    return f"pop {{{', '.join(code.registers)}}}"


def _theirs(entry: str) -> list[str]:
    lines = re.findall(r"0x[0-9A-F]{2}.*?; (.*)", entry)
    used = lines[: lines.index("finish")] if "finish" in lines else lines
    return [re.sub(r"\b(fp|ip|pc)\b", lambda name: _ALIASES[name[1]], line) for line in used]


def _compare(path: Path) -> int:
    assert READOBJ is not None
    text = subprocess.run(
        [READOBJ, "--unwind", str(path)], capture_output=True, text=True, check=True
    ).stdout
    entries = re.findall(r"Entry \{\n(.*?)\n      \}", text, re.DOTALL)
    image = ElfImage.from_file(path)
    index = exception_index_of(image)
    assert index is not None
    assert len(index) == len(entries)
    for number, entry in enumerate(entries):
        row = index.row(number)
        start = re.search(r"FunctionAddress: 0x(\w+)", entry)
        assert start is not None
        assert row.start + image.image_base == int(start[1], 16)
        assert index.row_at(row.start) == row
        assert row.cannot_unwind == ("Model: CantUnwind" in entry)
        if "Model: Generic" not in entry:  # whose codes it does not print
            assert [_ours(code) for code in index.codes(row)] == _theirs(entry), entry
    image.close()
    return len(entries)


@pytest.mark.parametrize(("name", "rows"), [("shapes_a32.so", 150), ("shapes_t32.so", 150)])
def test_libraries_of_the_emulator(name: str, rows: int) -> None:
    assert _compare(PROGRAMS / name) == rows


@pytest.mark.corpus
def test_the_program_of_a_core(data_dir: Path) -> None:
    assert _compare(data_dir / "core" / "rizin" / "crash-linux-arm32") == 1
