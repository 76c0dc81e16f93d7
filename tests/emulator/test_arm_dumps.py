"""Dumps made of an emulator's state, through the commands: what a user sees of ARM64 and Thumb.

No ARM64 or ARM minidump with a stack is at hand, so these stand in for one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("unicorn")

from test_unwind_arm import PROGRAMS, STACK_BASE, STACK_SIZE, ArmMachine

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, arm64_context, arm_context

Run = Callable[[str], list[str]]


def write_dump(machine: ArmMachine, registers: dict[str, int], path: Path, codeview: bytes) -> None:
    sp = registers["sp"]
    stack = machine.read(sp, STACK_BASE + STACK_SIZE - sp)
    known = dict(registers)
    for number in range(32):
        name = f"v{number}" if machine.machine == "arm64" else f"q{number // 2}"
        shift = 64 * (number % 2) if machine.machine == "arm" else 0
        known[name] = known.get(name, 0) | registers[f"d{number}"] << shift
    context = (arm64_context if machine.machine == "arm64" else arm_context)(**known)
    builder = MinidumpBuilder(arch=machine.machine).system()
    builder.thread(1, context, stack=(sp, stack))
    image = machine.image
    builder.module(
        machine.base,
        image.size_of_image,
        "C:\\\\" + image.name,
        timestamp=image.timestamp,
        checksum=image.checksum,
        codeview=codeview,
    )
    path.write_bytes(builder.build())


def run_in(path: Path, folder: Path) -> Run:
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(folder))
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)

    def run(line: str) -> list[str]:
        items = [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]
        return "\n".join(item.text() for item in items).split("\n")

    return run


@pytest.mark.corpus
def test_an_arm64_dump(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "samples/win/bin"
    machine = ArmMachine(folder / "tiny_arm64.exe", "arm64")
    (entry,) = (e for e in machine.image.debug_entries() if e.type == 2)
    record = machine.image.debug_data(entry)
    sp = 0
    for registers, shadow in machine.run(machine.image.entry_point, (), set()):
        if len(shadow) == 3:  # the last time: at the return of the innermost function
            sp = registers["sp"]
            write_dump(machine, registers, tmp_path / "x.dmp", record)
    run = run_in(tmp_path / "x.dmp", folder)
    rows = [row for row in run("k") if row[:2].isdigit()]
    assert [row.split("]")[0].split(" [")[0].split()[3].split("+")[0] for row in rows[:3]] == [
        "tiny_arm64!area_of",
        "tiny_arm64!sum_shapes",
        "tiny_arm64!start",
    ]
    assert not any("guess" in row for row in rows)
    assert f" sp={sp:016x}" in "\n".join(run("r"))
    assert run("u @$ip L1")[-1].split()[1:3][1] == "ret"


def test_a_thumb_dump(tmp_path: Path) -> None:
    machine = ArmMachine(PROGRAMS / "shapes_thumb.dll", "arm")
    expected: list[int] = []
    for registers, shadow in machine.run(machine.exports["asm_wide"], (1, 0), set()):
        if len(shadow) == 2:
            expected = [record.pc for record in reversed(shadow)]
            write_dump(machine, registers, tmp_path / "x.dmp", b"")
            break
    run = run_in(tmp_path / "x.dmp", PROGRAMS)
    rows = [row for row in run("k") if row[:2].isdigit()]
    assert [int(row.split()[2], 16) for row in rows[:2]] == expected
    assert not any("guess" in row for row in rows)
    assert run("r")[2].endswith("Thumb")
    assert run("u @$ip L3")[-1].split()[1:] == ["4770", "bx", "lr"]
