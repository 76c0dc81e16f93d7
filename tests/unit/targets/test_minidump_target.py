"""A minidump as a target: names, events, system facts, refusals."""

from __future__ import annotations

import gc
import os
import random
import struct
import time
from functools import cached_property
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError, TargetError
from polydbg.memory.ranges import MappedMemory
from polydbg.targets.minidump import (
    USER_SHARED_DATA,
    MinidumpTarget,
    open_minidump,
)
from polydbg.targets.module_names import module_name
from polydbg.targets.target import Target
from polydbg.testing.minidump_builder import (
    MinidumpBuilder,
    amd64_context,
    arm64_context,
    rsds,
    u32,
    u64,
    x86_context,
)

GUID = "00112233-4455-6677-8899-aabbccddeeff"


def opened(builder: MinidumpBuilder) -> MinidumpTarget:
    return MinidumpTarget(builder.build(), "x.dmp")


def rich_builder() -> MinidumpBuilder:
    """Return a builder that fills every stream the target asks for."""
    builder = MinidumpBuilder(timestamp=1000).system(service_pack="Service Pack 1")
    builder.thread(4, amd64_context(rip=0x140001000), teb=0x7000, stack=(0x9000, b"s" * 16))
    builder.thread(8, amd64_context(rip=2)).thread_name(8, "worker")
    builder.thread_info(4, times=(5, 0, 7, 8), start=0x140001000).thread_info(8, flags=8)
    builder.module(
        0x140000000,
        0x3000,
        "C:\\a\\app.exe",
        codeview=rsds(GUID, 1, "app.pdb"),
        version=(1, 0, 2, 3),
    )
    builder.module(0x180000000, 0x1000, "C:\\b\\app.dll").unloaded(0x5000, 0x100, "C:\\gone.dll")
    builder.exception(4, 0xC0000005, 0x140001002, (1, 16), context=amd64_context(rip=0x140001002))
    builder.misc(process_id=99, create_time=900, user_time=2, kernel_time=1, build_string="fre")
    builder.memory(0x140000000, b"MZ").memory64(0x140000002, b"more").comment("hello")
    builder.region(0x140000000, 0x3000).handle(4, "Event", "\\e")
    return builder


def test_it_is_a_target() -> None:
    target: Target = opened(MinidumpBuilder())
    memory: MappedMemory = opened(MinidumpBuilder()).memory
    assert target.arch == "amd64"
    assert list(memory.ranges()) == []


def test_threads() -> None:
    first, second = opened(rich_builder()).threads()
    assert (first.ordinal, first.id, first.teb, first.name) == (0, 4, 0x7000, None)
    assert first.times is not None
    assert (first.times.create_time, first.times.user_time) == (5, 8)
    assert (first.stack_base, first.stack_size) == (0x9000, 16)
    assert (second.ordinal, second.name, second.teb, second.times) == (1, "worker", None, None)
    assert second.dump_flags == 8


def test_modules() -> None:
    target = opened(rich_builder())
    exe, dll = target.modules()
    assert (exe.name, exe.file_name, exe.end) == ("app", "app.exe", 0x140003000)
    assert exe.debug_id is not None
    assert exe.debug_id.key.endswith("EEFF1")
    assert (exe.pdb_path, exe.codeview_signature) == ("app.pdb", "RSDS")
    assert exe.version is not None
    assert exe.version.file_version == (1, 0, 2, 3)
    assert dll.name == "app_180000000"
    (gone,) = target.unloaded_modules()
    assert (gone.name, gone.end) == ("gone.dll", 0x5100)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("C:\\Windows\\System32\\ntdll.dll", "ntdll"),
        ("/usr/lib/libstdc++.so.6", "libstdc___so"),
        ("api-ms-win.core.dll", "api_ms_win_core"),
        ("noext", "noext"),
        (".hidden", "_hidden"),
        ("", ""),
    ],
)
def test_module_names(path: str, name: str) -> None:
    assert module_name(path) == name


def test_event_and_registers() -> None:
    target = opened(rich_builder())
    event = target.event()
    assert event is not None
    assert (event.thread_id, event.is_stored) == (4, True)
    assert (event.exception.code, event.exception.parameters) == (0xC0000005, (1, 16))
    registers = target.exception_registers()
    assert registers is not None
    assert registers["rip"] == 0x140001002
    assert target.registers(target.threads()[0])["rip"] == 0x140001000


def test_made_up_event() -> None:
    target = opened(MinidumpBuilder().thread(5, amd64_context(rip=0x77)).thread(6))
    event = target.event()
    assert event is not None
    assert (event.thread_id, event.is_stored) == (5, False)
    assert (event.exception.code, event.exception.address) == (0x80000003, 0x77)
    assert target.exception_registers() is None
    assert opened(MinidumpBuilder()).event() is None


def test_system() -> None:
    target = opened(rich_builder())
    system = target.system()
    assert (system.arch, system.platform, system.service_pack) == (
        "amd64",
        "windows",
        "Service Pack 1",
    )
    assert (system.dump_time_unix, system.process_create_unix) == (1000, 900)
    assert system.process_uptime == 100 * 10**7
    assert (system.process_kernel_time, system.process_user_time) == (10**7, 2 * 10**7)
    assert (system.build_string, system.comments, system.system_uptime) == ("fre", ("hello",), None)
    assert target.process_id == 99
    assert opened(MinidumpBuilder()).process_id is None


def test_process_of_no_age_has_no_uptime() -> None:
    target = opened(MinidumpBuilder(timestamp=50).misc(create_time=50))
    assert target.system().process_uptime is None


def test_system_uptime_is_in_the_shared_page() -> None:
    page = bytes(8) + u64(25_872_431_322) + bytes(16)
    assert opened(MinidumpBuilder().memory(USER_SHARED_DATA, page)).system().system_uptime == (
        25_872_431_322
    )


def test_kind() -> None:
    assert opened(MinidumpBuilder()).kind_short == "User mini dump"
    full = opened(MinidumpBuilder(flags=2))
    assert full.kind_line == (
        "User Mini Dump File with Full Memory: Only application data is available"
    )
    assert full.kind_short == "Full memory user mini dump"


def test_memory_regions_and_handles() -> None:
    target = opened(rich_builder())
    assert target.memory.read(0x140000000, 6) == b"MZmore"
    first = next(target.memory.ranges(0x140000000))
    assert target.memory.buffer[first.file_offset : first.file_offset + first.size] == b"MZ"
    (region,) = target.regions()
    assert (region.base, region.end) == (0x140000000, 0x140003000)
    (handle,) = target.handles()
    assert (handle.type_name, handle.object_name) == ("Event", "\\e")


def test_addresses_of_32_bit_targets_are_32_bits_wide() -> None:
    builder = MinidumpBuilder(arch="x86").thread(1, x86_context(eip=5))
    builder.exception(1, 0xC0000005, 0xFFFFFFFF80001000, (0, 0xFFFFFFFFFFFFFFF0))
    target = opened(builder)
    event = target.event()
    assert event is not None
    assert event.exception.address == 0x80001000
    assert event.exception.parameters == (0, 0xFFFFFFF0)
    assert target.pointer_size == 4


def test_arm64() -> None:
    target = opened(MinidumpBuilder(arch="arm64").thread(1, arm64_context(pc=0x40)))
    event = target.event()
    assert event is not None
    assert (target.arch, target.pointer_size, event.exception.address) == ("arm64", 8, 0x40)


def test_no_system_info() -> None:
    with pytest.raises(TargetError) as caught:
        opened(MinidumpBuilder(with_system_info=False))
    assert caught.value.identifier == "dump.no-system-info"
    assert "-arch" in caught.value.hint
    guessed = opened(MinidumpBuilder(with_system_info=False).thread(1, amd64_context()))
    assert guessed.arch == "amd64"
    assert [warning.identifier for warning in guessed.warnings()] == ["dump.no-system-info"]
    named = MinidumpTarget(MinidumpBuilder(with_system_info=False).build(), arch="arm64")
    assert (named.arch, named.system().platform) == ("arm64", "unknown")


@pytest.mark.parametrize(
    ("head", "identifier", "words"),
    [
        (b"", "dump.unknown-format", "empty file"),
        (bytes(64), "dump.unknown-format", "all zero"),
        (b"<!DOCTYPE html><html>", "dump.unknown-format", "HTML"),
        (b"MZ" + bytes(62), "dump.unknown-format", "executable image"),
        (b"\x01\x02\x03" + b"\xff" * 61, "dump.unknown-format", "01 02 03 ff"),
        (b"MSCF" + bytes(60), "dump.unsupported-format", "CAB"),
        (b"PK\3\4" + bytes(60), "dump.unsupported-format", "ZIP"),
        (b"\x1f\x8b\x08" + bytes(60), "dump.unsupported-format", "gzip"),
        (b"\x28\xb5\x2f\xfd" + bytes(60), "dump.unsupported-format", "zstd"),
        (b"PAGEDU64" + bytes(60), "dump.unsupported-format", "64-bit Windows kernel dump"),
        (b"PMDM" + bytes(60), "dump.unsupported-format", "big-endian"),
        (b"\x7fELF\2\1" + bytes(10) + b"\4\0" + bytes(46), "dump.unknown-format", "ELF core"),
        (b"\xcf\xfa\xed\xfe" + bytes(8) + u32(4), "dump.unknown-format", "Mach-O core"),
        (b"MDMP" + u32(1) + bytes(60), "dump.bad-version", "0xa793"),
        (b"MDMP", "dump.truncated", "32"),
    ],
)
def test_refusals(tmp_path: Path, head: bytes, identifier: str, words: str) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(head)
    with pytest.raises(TargetError) as caught:
        open_minidump(str(path))
    assert caught.value.identifier == identifier
    assert words in caught.value.message
    assert caught.value.hint


def test_paths_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, identifier in [
        (tmp_path / "none.dmp", "dump.not-found"),
        (tmp_path, "dump.access"),
        ("a\0b", "dump.access"),
    ]:
        with pytest.raises(TargetError) as caught:
            open_minidump(str(path))
        assert caught.value.identifier == identifier


def test_open_and_close(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(rich_builder().build())
    target = open_minidump(str(path))
    assert target.memory.read(0x140000000, 2) == b"MZ"
    target.close()
    path.unlink()


def exercise(target: MinidumpTarget) -> None:
    """Ask everything of a target, and of the streams that it does not show."""
    for thread in target.threads():
        target.registers(thread)
    target.modules(), target.unloaded_modules(), target.event(), target.exception_registers()
    target.system(), target.regions(), target.handles(), target.warnings()
    target.memory.read_some(target.memory.next_readable(0) or 0, 1 << 16)
    for extent in target.memory.ranges():
        assert extent.file_offset + extent.size <= len(target.memory.buffer)
    dump = target.dump
    for handle in dump.handles:
        dump.object_information(handle)
    for module in dump.modules:
        dump.misc_record(module)
    for name, member in vars(type(dump)).items():
        if isinstance(member, cached_property):
            getattr(dump, name)


def survive(data: bytes) -> None:
    """Let a damaged file give answers or our own errors, nothing else."""
    try:
        exercise(MinidumpTarget(data))
    except DebuggerError:
        return


def hostile_sample() -> bytes:
    builder = rich_builder()
    builder.stream(22, bytes(0x98)).stream(21, bytes(0x20C)).stream(19, u32(36, 1, 16, 16, 20, 1))
    builder.stream(13, u32(24, 32, 8, 12, 1, 0) + bytes(64)).stream(18, u32(16, 0x120, 0, 0))
    builder.stream(0x47670002, bytes(776)).stream(0x43500001, bytes(0x40))
    builder.stream(0x4767000A, bytes(0x38)).stream(0x4D7A0001, bytes(172))
    return builder.build()


def test_cut_at_every_length() -> None:
    data = hostile_sample()
    # The directory is last: a file cut anywhere has none. Put it first to cut inside streams.
    count, at = struct.unpack_from("<II", data, 8)
    directory = data[at : at + 12 * count]
    moved = b"".join(
        struct.pack("<III", kind, size, rva + 12 * count)
        for kind, size, rva in struct.iter_unpack("<III", directory)
    )
    front = data[:12] + u32(0x20) + data[16:0x20] + moved + data[0x20:at]
    for size in range(0, len(data), 7):
        survive(data[:size])
    for size in range(0, len(front), 3):
        survive(front[:size])


def test_random_damage() -> None:
    rng = random.Random(20)
    data = hostile_sample()
    started = time.perf_counter()
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 12)):
            at = rng.randrange(0x20, len(data))
            if rng.random() < 0.5:
                damaged[at] = rng.randrange(256)
            else:
                damaged[at & ~3 : (at & ~3) + 4] = u32(rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]))
        survive(bytes(damaged))
    assert time.perf_counter() - started < 30


def test_a_large_dump_opens_without_being_read(tmp_path: Path) -> None:
    """1 GiB (sparse) in 2000 ranges: opening and a read take milliseconds and no memory."""
    path = tmp_path / "big.dmp"
    count, each = 2000, 1 << 19
    head = MinidumpBuilder(flags=2)
    pairs = b"".join(u64(0x10000 + index * 2 * each, each) for index in range(count))
    # Bytes of the ranges begin where the description ends.
    head.stream(9, u64(count, 1 << 16) + pairs)
    with path.open("wb") as file:
        file.write(head.build())
        os.truncate(file.fileno(), (1 << 16) + count * each)
    gc.collect()
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        target = open_minidump(str(path))
        target.memory.read(0x10000 + 777 * 2 * each, 16)
        best = min(best, time.perf_counter() - started)
        target.close()
    assert best < 0.02


def test_a_missing_dump_says_where_a_relative_path_begins(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        open_minidump(str(tmp_path / "none.dmp"))
    assert caught.value.hint == "check the path"
    with pytest.raises(TargetError) as caught:
        open_minidump("surely-not-here.dmp")
    assert caught.value.hint == f"check the path; it begins at {os.getcwd()}"
