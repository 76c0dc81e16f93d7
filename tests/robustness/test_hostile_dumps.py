"""Dumps made to do harm: lists that lie, streams that overlap, names that steer a terminal."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from survival import survive

from polydbg.testing.minidump_builder import (
    MinidumpBuilder,
    amd64_context,
    rsds,
    u32,
    u64,
    x86_context,
)

EVIL = "C:\\\x1b[2J\x1b]0;x\x07\r\n\u202egpj\ud800\x9b31m\\\x00" + "A" * 40
GUID = "0123456789ABCDEF0123456789ABCDEF"
ALL_ONES = 0xFFFFFFFF


def usual() -> MinidumpBuilder:
    """A dump with a bit of everything."""
    stack = random.Random(1).randbytes(4096)
    builder = MinidumpBuilder().system().misc(process_id=7, create_time=0x65000000)
    builder.thread(
        1, amd64_context(rip=0x140001000, rsp=0x20000), teb=0x30000, stack=(0x20000, stack)
    )
    builder.thread(2, amd64_context(rip=0x140001010, rsp=0x20100, rbp=0x20100))
    builder.module(0x140000000, 0x10000, "C:\\a.exe", codeview=rsds(GUID, 1, "a.pdb"))
    builder.module(0x150000000, 0x10000, "C:\\b.dll").unloaded(0x160000000, 0x1000, "c.dll")
    builder.memory(0x140001000, b"\xe8\x00\x00\x00\x00\xc3" * 40).memory(0x30000, bytes(0x1000))
    builder.region(0x20000, 0x1000).handle(4, "Event", "e").thread_name(1, "main")
    builder.exception(1, 0xC0000005, 0x140001000, (0, 0x10), context=amd64_context(rip=0x140001000))
    return builder


def directory(data: bytes) -> list[tuple[int, int, int, int]]:
    """(offset of the entry, type, size, RVA) of each stream."""
    count, at = struct.unpack_from("<II", data, 8)
    return [(at + 12 * i, *struct.unpack_from("<III", data, at + 12 * i)) for i in range(count)]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "hostile.dmp"
    path.write_bytes(data)
    return path


def test_the_usual_dump_opens(tmp_path: Path) -> None:
    assert survive(written(tmp_path, usual().build())) == ""


@pytest.mark.parametrize("value", [0, 1, 0x7FFFFFFF, 0xFFFFFFFE, ALL_ONES])
def test_every_count_and_size(tmp_path: Path, value: int) -> None:
    """The first words of each stream: counts, header sizes, entry sizes."""
    data = usual().build()
    for _, kind, size, rva in directory(data):
        for at in range(rva, rva + min(size, 16), 4):
            hostile = bytearray(data)
            hostile[at : at + 4] = u32(value)
            survive(written(tmp_path, bytes(hostile)), "~; lm; r; k 5; !address; !handle; .exr -1")
        assert kind >= 0


@pytest.mark.parametrize(
    "place",
    [
        lambda entry, data: (entry[2], len(data) + 100),
        lambda entry, data: (entry[2], len(data) - 1),
        lambda entry, data: (ALL_ONES, entry[3]),
        lambda entry, data: (len(data), 0),
        lambda entry, data: (entry[2], directory(data)[0][0]),
        lambda entry, data: (entry[2], directory(data)[0][3]),
        lambda entry, data: (0, 0),
    ],
    ids=["outside", "last byte", "endless", "whole file", "directory", "one place", "nothing"],
)
def test_streams_that_overlap_or_lie_outside(
    tmp_path: Path, place: Callable[[tuple[int, int, int, int], bytes], tuple[int, int]]
) -> None:
    data = usual().build()
    everywhere = bytearray(data)
    for entry in directory(data):
        size, rva = place(entry, data)
        one = bytearray(data)
        one[entry[0] + 4 : entry[0] + 12] = u32(size, rva)
        everywhere[entry[0] + 4 : entry[0] + 12] = u32(size, rva)
        survive(written(tmp_path, bytes(one)), "~*k 3; lm; r; .exr -1; !address; .dumpdebug")
    survive(written(tmp_path, bytes(everywhere)))


def test_every_word_of_the_directory_points_at_itself(tmp_path: Path) -> None:
    data = bytearray(usual().build())
    for entry, _, size, _ in directory(bytes(data)):
        data[entry + 4 : entry + 12] = u32(size, entry)
    survive(written(tmp_path, bytes(data)))


def test_names_that_steer_a_terminal(tmp_path: Path) -> None:
    builder = MinidumpBuilder()
    evil = EVIL.encode("utf-16-le", "surrogatepass")

    def name(text: str) -> int:
        return builder.blob(u32(len(evil)) + evil + b"\0\0") if text else 0

    builder.string = name  # type: ignore[method-assign]
    builder.system(service_pack=EVIL).thread(1, amd64_context(rip=0x140001000))
    builder.thread_name(1, EVIL).module(
        0x140000000, 0x1000, EVIL, codeview=rsds(GUID, 1, "\x1b[H\n")
    )
    builder.module(0x150000000, 0x1000, EVIL).unloaded(0x160000000, 0x1000, EVIL)
    builder.handle(4, EVIL, EVIL).stream(10, b"\x1b]2;comment\x07\n\x9b\0")
    builder.misc(process_id=1, build_string="\x1b[2Jlab\n")
    assert survive(written(tmp_path, builder.build())) == ""


def test_huge_names(tmp_path: Path) -> None:
    builder = MinidumpBuilder().system()
    for index in range(200):
        builder.module(0x140000000 + index * 0x10000, 0x10000, "N" * 32767)
    builder.thread(1, amd64_context(rip=0x140001000)).thread_name(1, "T" * 100_000)
    assert survive(written(tmp_path, builder.build())) == ""


def test_one_name_shared_by_every_module(tmp_path: Path) -> None:
    """50,000 modules of one name of 64 KiB would be 3 GiB of text."""
    builder = MinidumpBuilder().system().thread(1, amd64_context(rip=0x140001000))
    rva = builder.string("S" * 32767)
    entry = u64(0x140000000) + u32(0x1000, 0, 0, rva) + bytes(84)
    builder.stream(4, u32(50_000) + entry * 50_000)
    assert survive(written(tmp_path, builder.build()), "lm; r; k 5; ~; !address -summary") == ""


def test_modules_that_overlap(tmp_path: Path) -> None:
    builder = usual()
    for index in range(300):
        builder.module(0x140000000 + index, ALL_ONES, f"m{index % 3}.dll")
    builder.module(0xFFFFFFFFFFFFF000, ALL_ONES, "end.dll").module(0, 0, "null.dll")
    assert survive(written(tmp_path, builder.build())) == ""


def test_memory_that_overlaps_and_wraps(tmp_path: Path) -> None:
    builder = usual()
    for index in range(500):
        builder.memory(0x20000 + index * 7, bytes([index & 255]) * 64)
    builder.memory(0xFFFFFFFFFFFFFFF0, b"w" * 64)
    ranges = u64(3, 64) + u64(0, 0xFFFFFFFFFFFFFFFF) * 2 + u64(0x1000, 0x8000000000000000)
    builder.stream(9, ranges)
    assert survive(written(tmp_path, builder.build())) == ""


@pytest.mark.parametrize("value", [0, 8, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x20008])
def test_stacks_in_circles(tmp_path: Path, value: int) -> None:
    stack = struct.pack("<Q", 0x20008) * 2048 + struct.pack("<QQ", value, 0x140001005)
    for arch, make, registers in (
        ("amd64", amd64_context, {"rip": 0x140001000, "rsp": 0x20000, "rbp": 0x20010}),
        ("x86", x86_context, {"eip": value & ALL_ONES, "esp": 0x20000, "ebp": 0x20008}),
    ):
        builder = MinidumpBuilder(arch=arch).system()
        builder.thread(1, make(**registers), stack=(0x20000, stack), teb=0x20008)
        builder.module(0x140000000 & ALL_ONES, 0x2000, "a.exe")
        assert survive(written(tmp_path, builder.build())) == ""


def test_every_context_flag_and_size(tmp_path: Path) -> None:
    rng = random.Random(5)
    for size in (0, 1, 48, 0x2CC, 0x4D0, 0x4D1, 0x10000, 0x20000):
        context = bytearray(rng.randbytes(size))
        if size > 0x34:
            context[0x30:0x34] = u32(0x10005F)
        builder = MinidumpBuilder().system().thread(1, bytes(context))
        builder.exception(1, 0xC0000005, rng.getrandbits(64), [rng.getrandbits(64)] * 15, count=99)
        assert survive(written(tmp_path, builder.build())) == ""


def million_threads(tmp_path: Path) -> Path:
    builder = MinidumpBuilder().system()
    entries = b"".join(u32(i, 0, 0, 0) + u64(0, 0) + u32(0, 0, 0, 0) for i in range(1000))
    builder.stream(3, u32(1_000_000) + entries * 1000)
    return written(tmp_path, builder.build())


def test_a_million_threads(tmp_path: Path) -> None:
    from polydbg.base.cancel import CancelToken
    from polydbg.commands.language import Interpreter
    from polydbg.engine.session import Session

    path = million_threads(tmp_path)
    assert survive(path, "r; lm; k 5; |; .lastevent; vertarget; !address") == ""
    session = Session()
    session.open_dump(str(path))
    lines = [i.text() for i in Interpreter(session, CancelToken(), lambda *_: None).run("~")]
    rows = [line for line in lines if " Id: " in line]
    assert len(rows) == 100_000
    (said,) = [line for line in lines if "1000000" in line]
    assert "first 100000 of 1000000" in said
    session.close()


def peak(*paths: Path) -> int:
    """Return VmHWM, in bytes, of a process that survives the files."""
    program = Path(__file__).with_name("survival.py")
    command = [sys.executable, str(program), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_of_memory(tmp_path: Path) -> None:
    shared = MinidumpBuilder().system()
    rva = shared.string("S" * 32767)
    shared.stream(4, u32(50_000) + (u64(0x140000000) + u32(9, 0, 0, rva) + bytes(84)) * 50_000)
    regions = MinidumpBuilder().system()
    one = u64(0x1000, 0x1000) + u32(4, 0) + u64(0x1000) + u32(0x1000, 4, 0x20000, 0)
    regions.stream(16, u32(16, 48) + u64(200_000) + one * 200_000)
    memory = MinidumpBuilder().system()
    memory.stream(5, u32(500_000) + (u64(0x1000) + u32(16, 32)) * 500_000)
    for name, builder in {"shared": shared, "regions": regions, "memory": memory}.items():
        path = tmp_path / f"{name}.dmp"
        path.write_bytes(builder.build())
        assert peak(path) < (100 << 20) + 3 * path.stat().st_size, name


def test_a_directory_of_60000_streams_is_listed_in_linear_time(tmp_path: Path) -> None:
    builder = MinidumpBuilder().system().thread(1, amd64_context())
    for index in range(60_000):  # the last of them of a type that is described
        builder.stream(0x5000 + index % 7 if index < 30_000 else 3, u32(0))
    assert survive(written(tmp_path, builder.build()), ".dumpdebug; .dumpchk") == ""
