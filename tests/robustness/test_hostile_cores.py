"""Cores cut short, with bits changed, and with notes that lie: an error of ours or an answer."""

from __future__ import annotations

import bz2
import lzma
import os
import random
import struct
import sys
import time
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError
from polydbg.memory.space import Buffer
from polydbg.targets.dump_file import DumpFile
from polydbg.targets.elf_core import open_elf_core
from polydbg.targets.macho_core import open_macho_core
from polydbg.testing.core_builder import ElfCoreBuilder

CUTS = 200
LARGE = 2 << 20
TAKEN = CUTS if os.environ.get("POLYDBG_ALL_CUTS") else 20


def _data() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("POLYDBG_DATA") or default)


def _names() -> list[str]:
    root = _data()
    found = [path for path in (root / "core").rglob("*") if path.is_file()]
    found += (root / "samples" / "linux" / "cores").glob("*.zst")
    found += (root / "macos").glob("crash*.xz")
    names = (str(path.relative_to(root)) for path in found)
    cores = (name for name in names if ".core" in name or "core-" in name or "testfile" in name)
    return sorted(name for name in cores if name not in _OTHERS)


_OTHERS = {
    "core/elfutils/testfiledwarfinlines",
    "core/freebsd-kernel/vmcore-amd64-full.bz2",
    "core/freebsd-kernel/vmcore-amd64-minidump.bz2",
}
"""No cores of processes."""


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".bz2":
        return bz2.decompress(data)
    if path.suffix == ".zst":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        return zstd.decompress(data)
    return data


def ask(data: Buffer) -> None:
    """Open a core and ask it everything; errors of ours are answers."""
    started = time.process_time()
    file = DumpFile("core", data)
    is_elf = bytes(data[:4]) == b"\x7fELF"
    try:
        target = open_elf_core(file) if is_elf else open_macho_core(file)
    except DebuggerError:
        return
    for thread in target.threads()[:100]:
        target.registers(thread)
    target.event()
    target.exception_registers()
    target.modules()
    target.regions()
    target.warnings()
    assert target.kind_line
    assert target.kind_short
    if hasattr(target, "process_files"):
        files = target.process_files
        assert files.environment is not None
        assert files.command_line is not None
        assert files.auxiliary_vector is not None
    assert time.process_time() - started < 5


@pytest.mark.corpus
@pytest.mark.parametrize("name", _names())
def test_core_cut_short(name: str) -> None:
    data = _unpacked(_data() / name)
    assert data[:4] in (b"\x7fELF", b"\xcf\xfa\xed\xfe")
    rng = random.Random(name)
    lengths = {0, 4, 15, 16, 52, 63, 64, len(data) - 1}
    lengths |= {rng.randrange(min(len(data), 0x8000)) for _ in range(CUTS // 2)}
    lengths |= {rng.randrange(len(data)) for _ in range(CUTS // 2)}
    taken = CUTS if len(data) < LARGE else TAKEN
    for length in sorted(lengths)[:: max(1, len(lengths) // taken)]:
        ask(memoryview(data)[:length])


@pytest.mark.corpus
@pytest.mark.parametrize("name", _names())
def test_bytes_changed(name: str) -> None:
    data = bytearray(_unpacked(_data() / name))
    rng = random.Random(name)
    for _ in range(40 if len(data) <= LARGE else 4):
        changed = data.copy()
        for _ in range(8):
            at = rng.randrange(4, min(len(changed), 0x3000))
            changed[at] = rng.choice((0, 0xFF, 0x80, rng.randrange(256)))
        ask(bytes(changed))


EVERY = 0xFFFFFFFF


@pytest.mark.parametrize("machine", [3, 4, 8, 15, 20, 22, 40, 43, 62, 183, 243, 258, 0x9026, 999])
@pytest.mark.parametrize("is_64", [True, False])
def test_registers_of_any_size(machine: int, is_64: bool) -> None:
    for size in (0, 1, 31, 64, 71, 72, 200, 336, 512, 1000):
        builder = ElfCoreBuilder(is_64, machine in (4, 15, 20, 22, 43), machine)
        builder.note("CORE", 1, b"\xff" * size)
        for kind in (2, 3, 0x46E62B7F, 0x200, 0x202, 0x205, 0x400, 0x401, 0x405, 0x406, 0x900):
            builder.note("LINUX", kind, b"\xff" * size)
        ask(builder.build())


@pytest.mark.parametrize(
    "owner", ["FreeBSD", "NetBSD-CORE", "NetBSD-CORE@1", "OpenBSD@99999999999"]
)
@pytest.mark.parametrize("filler", [b"\0", b"\xff", b"\1\0\0\0"])
def test_notes_of_the_bsds(owner: str, filler: bytes) -> None:
    for size in (0, 4, 30, 160, 400, 3000):
        builder = ElfCoreBuilder()
        builder.note(owner.partition("@")[0], 1, filler * size)
        for kind in (*range(1, 40), 0x202):
            builder.note(owner, kind, (filler * size)[:size])
        ask(builder.build())


def test_counts_that_lie() -> None:
    words = struct.pack("<QQ", 1 << 60, 1 << 62)
    for kind in (0x46494C45, 6, 0x53494749):
        ask(ElfCoreBuilder().thread(1, 11).note("CORE", kind, words + b"\xff" * 64).build())
    many = ElfCoreBuilder()
    many.files(*[(i << 12, (1 << 64) - 1, (1 << 64) - 1, "/a\x1b[2J") for i in range(500)])
    ask(many.thread(1, 11).build())


def test_link_maps_that_run_in_circles() -> None:
    for following in (0x1000, 0x1008, 0xFFFFFFFFFFFFFFFF):
        chain = struct.pack("<QQQQQ", 0x2000, 0x1000, 0x1000, following, 0) * 8
        builder = ElfCoreBuilder().thread(1, 11).auxiliary(at3=0x1000, at4=56, at5=3, at33=0x1000)
        entry = struct.pack("<IIQQQQQQ", 2, 6, 0, 0x10, 0, 64, 64, 8)
        debug = struct.pack("<QQQQ", 21, 0x1000, 0, 0)
        ask(builder.memory(0x1000, entry * 3 + debug + chain).build())


def test_a_long_list_of_objects_that_are_not_there() -> None:
    count = 20_000
    chain = b"".join(
        struct.pack("<5Q", 0, 0, (i << 24) + 0x8000000, 0x1000 + 0x200 + 40 * (i + 1), 0)
        for i in range(count)
    )
    entry = struct.pack("<IIQQQQQQ", 6, 6, 0, 0, 0, 0, 0, 8)
    dynamic = struct.pack("<IIQQQQQQ", 2, 6, 0, 0x100, 0, 64, 64, 8)
    head = (entry + dynamic).ljust(0x100, b"\0") + struct.pack("<4Q", 21, 0x1180, 0, 0)
    data = head.ljust(0x180, b"\0") + struct.pack("<2Q", 1, 0x1200)
    builder = ElfCoreBuilder().thread(1, 11).auxiliary(at3=0x1000, at4=56, at5=2)
    ask(builder.memory(0x1000, data.ljust(0x200, b"\0") + chain).build())


def test_many_threads_and_segments_take_no_time() -> None:
    builder = ElfCoreBuilder()
    for index in range(3000):
        builder.thread(index, 0, *range(27))
        builder.memory(index << 14, b"", 0x1000)
    ask(builder.build())
