"""``!linux`` and ``!crashpad``: files of Linux and records of crash reporters."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.crash_reports import AnnotationRow, AssertionItem
from polydbg.commands.language import Interpreter
from polydbg.commands.linux_files import LimitRow, LinuxField, MappingRow
from polydbg.commands.output import CommandEnd, Item
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, u32, u64

Run = Callable[[str], list[Item]]
STREAMS = {
    0x47670003: b"processor\t: 0\nmodel name\t: Cpu X\n\nprocessor\t: 1\nmodel name\t: Cpu X\n",
    0x47670004: b"Name:\tapp\x1b[31m\nTgid:\t77\nPPid:\t1\nUid:\t5\t5\t5\t5\nThreads:\t1\n",
    0x47670005: b'DISTRIB_DESCRIPTION="Ubuntu 20.04"\n',
    0x47670006: b"./app\0--x\0",
    0x47670007: b"HOME=/root\0A=b=c\0",
    0x47670008: struct.pack("<8Q", 9, 0x400100, 31, 0x20000, 15, 0x99999, 0, 0),
    0x47670009: b"00400000-00410000 r-xp 00000000 00:47 861    /work/app\n",
    0x4D7A0003: b"Limit  Soft  Hard  Units\nMax open files            1024    unlimited    files\n",
}


def runner(builder: MinidumpBuilder, path: Path) -> Run:
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    list(interpreter.run("ln 400000"))  # what is said once about missing files is said now
    return lambda line: [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]


@pytest.fixture
def builder() -> MinidumpBuilder:
    builder = MinidumpBuilder()
    builder.system(platform=0x8201, major=0, build=0, service_pack="Linux 5.4.0-1 #1 SMP x86_64")
    builder.thread(77, amd64_context(rip=0x400010))
    builder.module(0x400000, 0x10000, "/work/app")
    builder.memory(0x20000, b"./app\0")
    return builder


@pytest.fixture
def run(builder: MinidumpBuilder, tmp_path: Path) -> Run:
    for kind, data in STREAMS.items():
        builder.stream(kind, data)
    entry = builder.blob(u64(0x7000) + u32(builder.string("libc.so.6")) + u64(0x7100))
    builder.stream(0x4767000A, u32(1, entry, 1) + u64(0x111, 0x7F0000, 0x400500))
    return runner(builder, tmp_path / "a.dmp")


def lines(items: list[Item]) -> list[str]:
    return "\n".join(item.text() for item in items).splitlines()


def test_the_process_in_short(run: Run) -> None:
    shown = {line.split(":")[0]: line.split(":", 1)[1].strip() for line in lines(run("!linux"))}
    assert shown["Name"] == "app\\x1b[31m"
    assert shown["Process id"] == "0n77 (4d)"
    assert shown["User ids"] == "5 5 5 5"
    assert shown["Command line"] == "./app --x"
    assert shown["Distribution"] == "Ubuntu 20.04"
    assert shown["Processors"] == "2 x Cpu X"


def test_each_file(run: Run) -> None:
    (_, row) = run("!linux maps")
    assert isinstance(row, MappingRow)
    assert row.text() == "00000000`00400000 00000000`00410000 r-xp 00000000 00:47  861 /work/app"
    assert lines(run("!linux cmdline")) == ["Argument 0: ./app", "Argument 1: --x"]
    home, other = run("!linux environ")
    assert isinstance(other, LinuxField)
    assert (home.text(), other.name, other.value) == ("HOME=/root", "A", "b=c")
    assert lines(run("!linux auxv")) == [
        "AT_ENTRY               0000000000400100 app+0x100",
        "AT_EXECFN              0000000000020000 ./app",
        "AT_PLATFORM            0000000000099999 <unavailable>",
    ]
    assert "PPid: 1" in lines(run("!linux status"))
    assert lines(run("!linux lsb")) == ["DISTRIB_DESCRIPTION: Ubuntu 20.04"]
    assert lines(run("!linux cpuinfo"))[2:4] == ["", "processor: 1"]
    (_, limit) = run("!linux limits")
    assert isinstance(limit, LimitRow)
    assert (limit.name, limit.soft, limit.hard) == ("Max open files", 1024, None)
    assert lines(run("!linux dso"))[-1] == "00000000`00007000 00000000`00007100 libc.so.6"


def test_what_is_absent_is_an_error(builder: MinidumpBuilder, tmp_path: Path) -> None:
    run = runner(builder, tmp_path / "b.dmp")
    assert "no files of a Linux process" in lines(run("!linux"))[0]
    assert "no copy of dso" in lines(run("!linux dso"))[0]
    assert "Unknown part 'x'" in "".join(lines(run("!linux x")))
    assert "no records of a crash reporter" in lines(run("!crashpad"))[0]


def crashpad_stream(builder: MinidumpBuilder) -> bytes:
    """Return CrashpadInfo with one process annotation and one module with all three kinds."""

    def located(data: bytes) -> bytes:
        return u32(len(data), builder.blob(data))

    def pair(key: str, value: str) -> bytes:
        return u32(builder.utf8(key), builder.utf8(value))

    counter = builder.blob(u32(4) + b"\1\0\0\0")
    text = builder.blob(u32(3) + b"abc")
    objects = struct.pack("<IIHHI", 2, builder.utf8("why"), 1, 0, text)
    objects += struct.pack("<IHHI", builder.utf8("count"), 0x8001, 0, counter)
    module = u32(1) + located(u32(1, builder.utf8("listed"))) + located(u32(1) + pair("k", "v"))
    module += located(objects)
    modules = located(u32(2, 0) + located(module) + u32(9) + located(module))
    report, client = uuid.UUID(int=1).bytes_le, uuid.UUID(int=2).bytes_le
    return u32(1) + report + client + located(u32(1) + pair("prod", "x\n")) + modules + bytes(4)


def test_annotations(builder: MinidumpBuilder, tmp_path: Path) -> None:
    builder.stream(0x43500001, crashpad_stream(builder) + u64(0xFFFF << 48))
    run = runner(builder, tmp_path / "c.dmp")
    shown = run("!crashpad")
    assert lines(shown)[:10] == [
        "Report id: 00000000-0000-0000-0000-000000000001",
        "Client id: 00000000-0000-0000-0000-000000000002",
        "Address mask: ffff000000000000",
        "Annotations of the process:",
        "    prod = x\\x0a",
        "Annotations of app:",
        "    listed",
        "    k = v",
        "    why = abc",
        "    count (type 0x8001) = 01 00 00 00",
    ]
    assert lines(shown)[10] == "Annotations of module 9:"
    rows = [item for item in shown if isinstance(item, AnnotationRow)]
    assert [(row.module, row.kind) for row in rows[:3]] == [
        ("", "simple"),
        ("app", "list"),
        ("app", "simple"),
    ]


def test_breakpad_and_mozilla(builder: MinidumpBuilder, tmp_path: Path) -> None:
    texts = [text.encode("utf-16-le").ljust(256, b"\0") for text in ("a != b", "f", "x.c")]
    builder.stream(0x47670001, u32(2, 0, 77))
    builder.stream(0x47670002, b"".join(texts) + u32(12, 1))
    builder.stream(0x4D7A0004, b'[\n"E"]')
    run = runner(builder, tmp_path / "d.dmp")
    shown = run("!breakpad")
    assert lines(shown) == [
        "Thread that wrote the dump: not recorded",
        "Thread that asked for it: ~0, id 4d",
        "Assertion (invalid parameter): a != b",
        "    f [x.c @ 12]",
        "Errors of the writer:",
        "    [",
        '    "E"]',
    ]
    assert isinstance(shown[1], AssertionItem)


def test_macos_crash_information(builder: MinidumpBuilder, tmp_path: Path) -> None:
    record = u64(0, 5, 0x1203, 0, 0) + b"/usr/lib/x\0stack smashed\0\0\0more\0"
    record_at = builder.blob(record)
    head = u32(1, 1, 40) + u32(len(record), record_at)
    builder.stream(0x4D7A0001, head.ljust(12 + 160, b"\0"))
    run = runner(builder, tmp_path / "e.dmp")
    assert lines(run("!crashpad")) == [
        "Crash information of /usr/lib/x, thread 1203:",
        "    Message: stack smashed",
        "    Message 2: more",
    ]
