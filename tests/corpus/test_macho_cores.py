"""Mach-O cores against lldb and against the minidump that one of them was made from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
