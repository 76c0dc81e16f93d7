"""Stacks of Mach-O cores: programs for macOS, run in an emulator up to their fault, against lldb.

No Mach-O core with a stack worth the name is at hand, so these stand in for one.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from macho_programs import build, dsym_of, tool

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.images.macho import MachoImage
from polydbg.symbols.store import SymbolPath
from polydbg.testing.core_builder import MachCoreBuilder
from polydbg.testing.macho_builder import AMD64, ARM64, TEXT_BASE, loaded

pytestmark = pytest.mark.corpus
unicorn = pytest.importorskip("unicorn")

SLIDE = 0x5A4000
STACK, STACK_SIZE = 0x7FF7B0000000, 0x10000
OUTSIDE = 0x7FF800001234  # where main returns to
FAULT = 8
Frame = tuple[str, int, str, int]  # function, offset, file, line


def write_core(program: Path, arch: str, path: Path) -> None:
    """Run *program* from ``main`` up to its fault and write a core of what there is then."""
    image = MachoImage.from_file(program)
    parts = [part for part in loaded(program.read_bytes(), slide=SLIDE) if part[0] > SLIDE]
    run = _run_x86 if arch == "x86_64" else _run_arm
    states, memory = run(parts, TEXT_BASE + SLIDE + (image.entry_point or 0))
    core = MachCoreBuilder(cpu=AMD64 if arch == "x86_64" else ARM64, threads=[states])
    core.segments += memory
    place = struct.pack("<QQ", TEXT_BASE + SLIDE, SLIDE)
    note = struct.pack("<I", 1) + (image.uuid or b"") + place + program.name.encode() + b"\0"
    core.notes.append(("load binary", note))
    data = bytearray(core.build())
    if arch == "arm64":
        data[8:12] = bytes(4)  # CPU_SUBTYPE_ARM64_ALL
    path.write_bytes(data)


Run = tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]


def _start(machine: Any, parts: Sequence[tuple[int, bytes]]) -> None:
    for address, data in parts:
        machine.mem_map(address, -(-len(data) // 0x1000) * 0x1000)
        machine.mem_write(address, data)
    machine.mem_map(STACK, STACK_SIZE)


def _finish(
    machine: Any, parts: Sequence[tuple[int, bytes]], entry: int
) -> list[tuple[int, bytes]]:
    with pytest.raises(unicorn.UcError, match="write"):
        machine.emu_start(entry, OUTSIDE)
    places = [(address, len(data)) for address, data in parts] + [(STACK, STACK_SIZE)]
    return [(address, bytes(machine.mem_read(address, size))) for address, size in places]


def _run_x86(parts: Sequence[tuple[int, bytes]], entry: int) -> Run:
    from unicorn import x86_const as const

    machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
    _start(machine, parts)
    stack = STACK + STACK_SIZE - 0x108
    machine.mem_write(stack, struct.pack("<Q", OUTSIDE))
    machine.reg_write(const.UC_X86_REG_RSP, stack)
    machine.reg_write(const.UC_X86_REG_RDI, 1)
    memory = _finish(machine, parts, entry)
    first = ("RAX", "RBX", "RCX", "RDX", "RDI", "RSI", "RBP", "RSP")
    names = [*first, *(f"R{number}" for number in range(8, 16)), "RIP", "EFLAGS"]
    values = [machine.reg_read(getattr(const, f"UC_X86_REG_{name}")) for name in names]
    trap = struct.pack("<HHIQ", 14, 0, 6, FAULT)
    return [(4, struct.pack("<21Q", *values, 0x2B, 0, 0)), (6, trap)], memory


def _run_arm(parts: Sequence[tuple[int, bytes]], entry: int) -> Run:
    from unicorn import arm64_const as const

    machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    _start(machine, parts)
    machine.reg_write(const.UC_ARM64_REG_SP, STACK + STACK_SIZE - 0x100)
    machine.reg_write(const.UC_ARM64_REG_LR, OUTSIDE)
    machine.reg_write(const.UC_ARM64_REG_X0, 1)
    memory = _finish(machine, parts, entry)
    names = [*(f"X{number}" for number in range(29)), "FP", "LR", "SP", "PC"]
    values = [machine.reg_read(getattr(const, f"UC_ARM64_REG_{name}")) for name in names]
    trap = struct.pack("<QII", FAULT, 0x92000046, 0)
    return [(6, struct.pack("<33QII", *values, 0x60001000, 0)), (7, trap)], memory


def lldb_stack(core: Path, program: Path) -> list[Frame]:
    fields = "${function.name-without-args}|${function.pc-offset}|${line.file.basename}|"
    commands = [
        "settings set symbols.enable-external-lookup false",
        f'settings set frame-format "row|{fields}${{line.number}}\\n"',
        f"target create --core {core} {program}",
        "bt",
    ]
    command = [tool("lldb"), "-b", "-Q"]
    for each in commands:
        command += ["-o", each]
    text = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120).stdout
    rows = re.findall(r"row\|(.*?)(?: \[inlined\])?\|(.*)\|(.*)\|(\d*)", text)
    return [
        (re.sub(r"^::|\(.*", "", name), int(offset.strip(" +")), file, int(line or 0))
        for name, offset, file, line in rows
    ]


def run(core: Path, folder: Path, *commands: str) -> str:
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(core))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    text = "\n".join(item.text() for each in commands for item in interpreter.run(each))
    session.close()
    return text


def our_stack(text: str) -> list[Frame]:
    rows = re.findall(r"!([\w:]+)\+0x(\w+)(?: \[.*?([^/\[]+) @ (\d+)\])?", text)
    return [(name, int(offset, 16), file, int(line or 0)) for name, offset, file, line in rows]


@pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-Os", "-gdwarf-5")])
@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_the_stack_is_that_of_lldb(tmp_path: Path, arch: str, options: tuple[str, ...]) -> None:
    program = build(tmp_path, arch, "-g", *options)
    core = tmp_path / "core"
    write_core(program, arch, core)
    theirs = lldb_stack(core, program)
    assert [frame[0] for frame in theirs] == ["crashing", "hidden", "inside", "main"]
    text = run(core, tmp_path, "k")
    assert our_stack(text) == theirs
    # Frame pointers are all there is: each frame but the first is a guess and says so.
    assert text.count("(guess)") == 3
    assert "Following frames may be wrong" in text


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_the_symbols_in_memory_name_the_stack(tmp_path: Path, arch: str) -> None:
    """Without any file: the core holds ``__LINKEDIT``."""
    program = build(tmp_path, arch, "-g", "-O1")
    core = tmp_path / "case" / "core"
    core.parent.mkdir()
    write_core(program, arch, core)
    with_files = our_stack(run(core, tmp_path, "k"))
    dsym_of(program).unlink()
    program.unlink()
    text = run(core, tmp_path, "k", "lm")
    assert [frame[:2] for frame in our_stack(text)] == [frame[:2] for frame in with_files]
    assert "(macho symbols)" in text


def test_what_happened(tmp_path: Path) -> None:
    program = build(tmp_path, "arm64", "-g", "-O0")
    core = tmp_path / "core"
    write_core(program, "arm64", core)
    text = run(core, tmp_path, ".lastevent", ".exr -1", "ln program_arm64!counter", "dd counter L1")
    assert "EXC_BAD_ACCESS" in text
    assert "00000000`00000008" in text
    assert "program_arm64!counter" in text
    assert re.search(r"\b00000007$", text, re.MULTILINE)
