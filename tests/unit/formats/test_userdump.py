"""Legacy user dumps, synthetic: both widths, damage, and what a target makes of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError, FormatError, TargetError
from polydbg.formats.userdump import UserDump
from polydbg.targets.open import open_target
from polydbg.testing.minidump_builder import amd64_context, x86_context
from polydbg.testing.userdump_builder import UserDumpBuilder


def builder(arch: str = "amd64") -> UserDumpBuilder:
    make = amd64_context if arch == "amd64" else x86_context
    pc = "rip" if arch == "amd64" else "eip"
    return UserDumpBuilder(
        arch=arch,
        threads=[(0x10, 0x7000, make(**{pc: 0x401000})), (0x14, 0x9000, make(**{pc: 0x402000}))],
        modules=[(0x400000, 0x5000, "C:\\app\\app.exe"), (0x600000, 0x1000, "C:\\b\\app.dll")],
        memory=[(0x10000, b"stack" * 100), (0x400000, b"image" * 50)],
        event=(0x99, 0x14, 0xC0000005, 0x402000),
        parameters=(1, 0x24),
    )


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_both_widths(tmp_path: Path, arch: str) -> None:
    path = tmp_path / "u.dmp"
    path.write_bytes(builder(arch).build())
    target = open_target(str(path))
    assert target.kind_line == "User Dump File: Only application data is available"
    assert (target.arch, target.process_id) == (arch, 0x99)
    assert [(t.id, t.teb, t.suspend_count) for t in target.threads()] == [
        (0x10, 0x7000, 1),
        (0x14, 0x9000, 1),
    ]
    assert [(m.name, m.base, m.size) for m in target.modules()] == [
        ("app", 0x400000, 0x5000),
        ("app_600000", 0x600000, 0x1000),
    ]
    assert target.memory.read(0x10000, 10) == b"stackstack"
    assert target.memory.read(0x400000 + 245, 5) == b"image"
    event = target.event()
    assert event is not None
    assert event.thread_id == 0x14
    assert (event.exception.code, event.exception.address) == (0xC0000005, 0x402000)
    assert event.exception.parameters == (1, 0x24)
    assert target.exception_registers() == target.registers(target.threads()[1])
    assert 0x402000 in target.registers(target.threads()[1]).values()
    regions = [(r.base, r.size, r.protect, r.state) for r in target.regions()]
    assert regions == [(0x10000, 500, 4, 0x1000), (0x400000, 250, 4, 0x1000)]
    system = target.system()
    assert (system.major, system.build, system.service_pack) == (10, 17134, "Service Pack 1")
    assert not target.warnings()
    target.close()


def test_without_an_exception_a_break_is_made_up(tmp_path: Path) -> None:
    dump = builder()
    dump.event, dump.parameters = (0x99, 0x14, 0, 0), ()
    path = tmp_path / "u.dmp"
    path.write_bytes(dump.build())
    event = open_target(str(path)).event()
    assert event is not None
    assert not event.is_stored
    assert event.exception.address == 0x401000


def test_counts_beyond_the_file_are_clamped() -> None:
    dump = builder()
    dump.counts = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    read = UserDump(dump.build())
    assert len(read.threads) < 10
    assert read.modules[1].name == "C:\\b\\app.dll"
    assert read.memory is not None
    assert {w.identifier for w in read.view.warnings} <= {"dump.count-clamped", "dump.truncated"}
    assert read.view.warnings


def test_unknown_processor_is_refused(tmp_path: Path) -> None:
    data = bytearray(builder().build())
    data[0x10:0x14] = b"\1\2\0\0"
    path = tmp_path / "u.dmp"
    path.write_bytes(data)
    with pytest.raises(TargetError) as caught:
        open_target(str(path))
    assert "0x201" in caught.value.message


def touch(data: bytes) -> None:
    try:
        dump = UserDump(data)
        for thread in dump.threads[:100]:
            dump.registers(thread, "amd64")
        assert dump.modules is not None
        assert dump.regions is not None
        assert dump.memory is not None
        assert dump.version_text is not None
        assert dump.event is None or dump.event.kind >= 0
    except DebuggerError:
        return


def test_cut_at_every_length() -> None:
    data = builder("x86").build()
    for size in range(len(data)):
        touch(data[:size])
    with pytest.raises(FormatError):
        UserDump(data[:0x30])


def test_random_damage() -> None:
    rng = random.Random(7)
    data = builder().build()
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 8)):
            damaged[rng.randrange(8, len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
        touch(bytes(damaged))
