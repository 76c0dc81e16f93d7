"""Mach-O cores against lldb and against the minidump that one of them was made from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.engine.session import Session
from polydbg.symbols.store import SymbolPath
from polydbg.targets.macho_core import MachoCoreTarget
from polydbg.targets.minidump import open_minidump
from polydbg.targets.open import open_target

pytestmark = pytest.mark.corpus


def opened(data_dir: Path, name: str) -> MachoCoreTarget:
    target = open_target(str(data_dir / "macos" / f"{name}.xz"))
    assert isinstance(target, MachoCoreTarget)
    return target


@pytest.mark.parametrize("name", ["crash_macos.macho.core", "macos-x86_64-3threads.core"])
def test_registers_are_those_of_lldb(data_dir: Path, name: str) -> None:
    text = (data_dir / "peer-output" / "macos" / f"{name}.lldb.txt").read_text()
    target = opened(data_dir, name)
    thread = target.threads()[0]
    ours = target.registers(thread)
    for register, value in re.findall(r"^ +(\w+) = (0x\w+)$", text, re.M):
        assert ours["efl" if register == "rflags" else register] == int(value, 16), register
    found = re.search(r"thread #1: tid = (0x\w+)", text)
    assert found is not None
    assert thread.id == int(found[1], 16)
    target.close()


@pytest.mark.parametrize("name", ["crash_macos.macho.core", "macos-x86_64-3threads.core"])
def test_stacks_are_those_of_lldb(data_dir: Path, name: str, tmp_path: Path) -> None:
    """One frame each: the registers of the first are zeros, the other's stack is as well."""
    text = (data_dir / "peer-output" / "macos" / f"{name}.lldb.txt").read_text()
    theirs = [int(each, 16) for each in re.findall(r"frame #\d+: (0x\w+)", text)]
    ours = run(data_dir / "macos" / f"{name}.xz", tmp_path, "~*k")
    rows = re.findall(r"^\d\d [0-9a-f`]+ [0-9a-f`]+ +0x([0-9a-f`]+)", ours, re.MULTILINE)
    assert [int(each.replace("`", ""), 16) for each in rows] == theirs
    assert len(theirs) == 1


def test_facts_of_the_manifest(data_dir: Path) -> None:
    text = (data_dir / "MANIFEST.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| macos/macos-x86_64"))
    target = opened(data_dir, "macos-x86_64-3threads.core")
    assert "LC_THREAD 1 thread" in row
    assert len(target.threads()) == 1
    ours = target.registers(target.threads()[0])
    rip, both = re.findall(r"rip (0x\w+) rsp=rbp (0x\w+)", row)[0]
    assert (ours["rip"], ours["rsp"], ours["rbp"]) == (int(rip, 16), int(both, 16), int(both, 16))
    for name, value in re.findall(r"(rax|rdi|rcx) (\w+)", row):
        assert ours[name] == int(value, 0), name
    target.close()
    # The other one: "same thread, registers and stack" as the dump it was made from. The registers
    # are what lldb made of that dump, zeros: it does not read contexts of Breakpad for macOS.
    core = opened(data_dir, "crash_macos.macho.core")
    dump = open_minidump(str(data_dir / "minidump" / "symbolic" / "crash_macos.dmp"))
    thread = dump.threads()[0]
    assert [each.id for each in core.threads()] == [thread.id]
    assert thread.stack_base is not None
    assert thread.stack_size
    stack = dump.memory.read(thread.stack_base, thread.stack_size)
    assert core.memory.read(thread.stack_base, thread.stack_size) == stack
    core.close()


def test_images_are_those_of_the_minidump(data_dir: Path) -> None:
    dump = open_minidump(str(data_dir / "minidump" / "symbolic" / "crash_macos.dmp"))
    core = opened(data_dir, "crash_macos.macho.core")
    theirs = {module.base: module for module in dump.modules()}
    assert len(core.modules()) == 43
    for module in core.modules():
        other = theirs[module.base]
        assert module.debug_id is not None
        assert other.debug_id is not None
        assert module.debug_id.guid == other.debug_id.guid
        if module.base != 0x10215C000:  # lldb found the program in another place
            assert (module.size, module.image_path) == (other.size, other.image_path)


def test_a_breakpoint_trap_and_the_regions(data_dir: Path) -> None:
    target = opened(data_dir, "macos-x86_64-3threads.core")
    event = target.event()
    assert event is not None
    assert (event.exception.code, event.exception.address) == (6, 0x100000FA0)  # EXC_BREAKPOINT
    region = target.regions()[0]
    assert (region.base, region.size) == (0x100000000, 0x1000)
    assert region.file is not None
    assert region.file.permissions == "r-x"
    target.close()


SYMBOLS = Path("symbols") / "symbolic-minidump"
SOURCE = "/Users/jauer/Coding/breakpad/examples/../examples/crash_macos.cpp"


def run(dump: Path, folder: Path, *commands: str) -> str:
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(dump))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    text = "\n".join(item.text() for each in commands for item in interpreter.run(each))
    session.close()
    return text


def test_a_minidump_with_image_and_dsym(data_dir: Path) -> None:
    """The stack that the program's source tells: main calls start, which calls crash."""
    dump = data_dir / "minidump" / "symbolic" / "crash_macos.dmp"
    text = run(dump, data_dir / SYMBOLS, "k", "u @rip L1", "lm")
    rows = re.findall(r"crash_macos!(.*?)\+(0x\w+) \[(.*?) @ (\d+)\]( \(guess\))?", text)
    # The event's own line comes first, then the stack. llvm-symbolizer says the same of these.
    stack = [row for row in rows if row[0].startswith(("(anonymous", "main"))]
    assert stack[:3] == [
        ("(anonymous namespace)::crash", "0x11", SOURCE, "19", ""),
        ("(anonymous namespace)::start", "0x6", SOURCE, "23", " (guess)"),
        ("main", "0x108", SOURCE, "29", " (guess)"),
    ]
    assert re.search(r"c70105000000 +mov +dword ptr \[rcx\],5", text)  # bytes of the file
    assert "crash_macos   (private dwarf symbols)" in text


def test_a_module_without_size_has_that_of_its_file(data_dir: Path) -> None:
    core = data_dir / "macos" / "crash_macos.macho.core.xz"
    text = run(core, data_dir / SYMBOLS, "ln 10215d170", "u 10215d390 L1")
    assert "crash_macos!main" in text
    assert "crash_macos!(anonymous namespace)::crash" in text
