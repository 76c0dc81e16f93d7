"""What a core tells of threads and of the process: blocks of glibc and musl made by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.elf_process import ErrnoItem, LinkMapItem, ThreadControlBlock
from polydbg.commands.language import Interpreter
from polydbg.commands.linux_files import MappingRow
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.engine.session import Session
from polydbg.testing.core_builder import ElfCoreBuilder

STACK, BLOCK = 0x7FFC00000000, 0x7F0000001000
RSP, FS_BASE = 19, 21  # in the order of Linux

Run = Callable[[ElfCoreBuilder, str], list[Item]]


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Run]:
    """Run a line of commands on a core."""
    sessions: list[Session] = []

    def run(builder: ElfCoreBuilder, line: str) -> list[Item]:
        path = tmp_path / f"{len(sessions)}.core"
        path.write_bytes(builder.build())
        session = Session()
        sessions.append(session)
        session.open_dump(str(path))
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        return [item for item in interpreter.run(line) if not isinstance(item, CommandEnd)]

    yield run
    for session in sessions:
        session.close()


def thread(block: int = BLOCK) -> ElfCoreBuilder:
    registers = [0] * 27
    registers[RSP], registers[FS_BASE] = STACK + 0x100, block
    builder = ElfCoreBuilder().thread(77, 11, *registers)
    return builder.memory(STACK, bytes(0x200), 0x2000)


def words(size: int, values: dict[int, int]) -> bytes:
    data = bytearray(size)
    for offset, value in values.items():
        struct.pack_into("<Q", data, offset, value)
    return bytes(data)


def glibc(ident: int = 77) -> bytes:
    """Return glibc's block of x86-64: pointers to itself, dtv, guards, the list of threads."""
    return words(
        0x300,
        {
            0: BLOCK,
            8: BLOCK + 0x800,
            0x10: BLOCK,
            0x28: 0xAA00,
            0x30: 0xBB00,
            0x2C0: BLOCK + 0x2C0,
            0x2C8: BLOCK + 0x2C0,
            0x2D0: ident,
        },
    )


def test_glibcs_block(on: Run) -> None:
    (item,) = on(thread().memory(BLOCK, glibc(), 0x1000), "!teb")
    assert isinstance(item, ThreadControlBlock)
    assert (item.library, item.thread_id, item.descriptor) == ("glibc", 77, BLOCK)
    assert (item.dtv, item.stack_guard, item.pointer_guard) == (BLOCK + 0x800, 0xAA00, 0xBB00)
    assert item.robust_list == BLOCK + 0x2E0
    assert (item.stack_limit, item.stack_base) == (STACK, STACK + 0x2000)
    assert item.errno is None
    lines = item.text().split("\n")
    assert lines[0] == "TCB at 00007f0000001000"
    assert lines[1] == (
        "    Layout:               glibc (it points to itself twice and holds the thread's id)"
    )
    assert lines[-1] == "    Errno:                <unavailable>"


def test_glibcs_block_of_another_id(on: Run) -> None:
    """Ids differ where a debugger outside the container wrote the core."""
    (item,) = on(thread().memory(BLOCK, glibc(5), 0x1000), "!teb")
    assert isinstance(item, ThreadControlBlock)
    assert (item.library, item.thread_id) == ("glibc", 5)
    assert "    Id in the block:      5" in item.text().split("\n")


def test_glibcs_block_below_the_pointer_of_arm64(on: Run) -> None:
    builder = ElfCoreBuilder(machine=183).thread(77, 11, *[0] * 34)
    builder.note("LINUX", 0x401, struct.pack("<2Q", BLOCK + 0x6F0, 0))
    descriptor = words(
        0x700, {0xC0: BLOCK + 0xC0, 0xC8: BLOCK + 0xC0, 0xD0: 77, 0x6F0: BLOCK + 0x900}
    )
    (item,) = on(builder.memory(BLOCK, descriptor), "!teb")
    assert isinstance(item, ThreadControlBlock)
    assert (item.library, item.descriptor, item.dtv) == ("glibc", BLOCK, BLOCK + 0x900)


def musl(error: int) -> bytes:
    return words(
        0xD0,
        {
            0: BLOCK,
            8: BLOCK + 0x800,
            0x10: BLOCK,
            0x18: BLOCK,
            0x28: 0xCC00,
            0x30: 77 | error << 32,
        },
    )


def test_musls_block_has_errno(on: Run) -> None:
    builder = thread().memory(BLOCK, musl(2))
    (item,) = on(builder, "!teb")
    assert isinstance(item, ThreadControlBlock)
    assert (item.library, item.errno_address, item.errno) == ("musl", BLOCK + 0x34, 2)
    (error,) = on(builder, "!gle")
    assert isinstance(error, ErrnoItem)
    assert error.text() == "errno: 0x2 (2) ENOENT - No such file or directory"
    error, *_ = on(builder, "!gle -all")
    assert error.text().startswith("Last error for thread 0:\nerrno: 0x2 (2) ENOENT")


def test_a_block_that_nothing_confirms_is_not_read(on: Run) -> None:
    (item,) = on(thread().memory(BLOCK, bytes(0x400)), "!teb")
    assert isinstance(item, ThreadControlBlock)
    assert (item.library, item.thread_id, item.errno, item.dtv) == ("unknown", None, None, None)
    (failure,) = on(thread().memory(BLOCK, bytes(0x400)), "!gle")
    assert isinstance(failure, Failure)
    assert failure.identifier == "process.no-errno"


def test_no_block(on: Run) -> None:
    for block in (0, BLOCK):
        (failure,) = on(thread(block), "!teb")
        assert isinstance(failure, Failure)
        assert failure.identifier == "process.no-teb"
    (failure,) = on(thread(0), "!tls -1")
    assert isinstance(failure, Failure)


def test_how_the_process_was_started(on: Run) -> None:
    builder = thread().auxiliary(at6=0x1000, at16=0xBFEBFBFF)
    notice, *rest = on(builder, "!peb")
    assert notice.text().startswith("a Linux process has no PEB")
    assert "AT_HWCAP               00000000bfebfbff" in [item.text() for item in rest]


def test_the_bsds_own_names_of_the_auxiliary_vector(on: Run) -> None:
    note = struct.pack("<I4Q", 16, 19, 12, 0, 0)
    builder = ElfCoreBuilder(os_abi=9).note("FreeBSD", 16, note)
    builder.note("FreeBSD", 1, bytes(0x28) + struct.pack("<II", 5, 0) + bytes(0xE0))
    texts = [item.text() for item in on(builder, "!linux auxv")]
    assert texts == ["AT_NCPUS               000000000000000c"]


def test_maps_of_a_core_have_what_it_tells(on: Run) -> None:
    builder = thread().files((STACK, STACK + 0x1000, 2, "/srv/data"))
    heading, *rows = on(builder, "!linux maps")
    assert heading.text().split() == ["start", "end", "perm", "offset", "device", "inode", "path"]
    assert all(isinstance(row, MappingRow) and row.inode is None for row in rows)
    assert rows[0].text() == "00007ffc`00000000 00007ffc`00001000 rw-  00002000 ?      ? /srv/data"


def linked() -> ElfCoreBuilder:
    """Return a core with a program, the loader's record of it, and a second namespace."""
    program, debug, maps = 0x400000, 0x600000, 0x601000
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHI3QI6H", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    table = struct.pack("<2I6Q", 1, 6, 0, program, 0, 0x1000, 0x1000, 0x1000)
    table += struct.pack("<2I6Q", 2, 6, 0x800, program + 0x800, 0, 0x20, 0x20, 8)
    page = bytearray((head + table).ljust(0x1000, b"\0"))
    struct.pack_into("<4Q", page, 0x800, 21, debug, 0, 0)
    records = struct.pack("<6Q", 2, maps, 0x1111, 0, 0x700000, debug + 0x100)
    records = records.ljust(0x100, b"\0") + struct.pack("<6Q", 2, maps + 0x100, 0x1111, 1, 0, 0)
    entries = struct.pack("<5Q", 0, maps + 0x80, program + 0x800, 0, 0).ljust(0x80, b"\0")
    entries = (entries + b"a.out\0").ljust(0x100, b"\0")
    entries += struct.pack("<5Q", 0x5000, maps + 0x180, 0x5800, maps, 0).ljust(0x80, b"\0")
    entries += b"/opt/plug\x1b.so\0"
    builder = thread().auxiliary(at3=program + 64, at4=56, at5=2)
    builder.memory(program, bytes(page)).memory(debug, records.ljust(0x1000, b"\0"))
    return builder.memory(maps, entries.ljust(0x1000, b"\0"))


def test_the_linkers_list(on: Run) -> None:
    items = on(linked(), "!dlls")
    heads = [item.text() for item in items if not isinstance(item, LinkMapItem)]
    assert heads[0].startswith("r_debug at 0000000000600000, version 2, r_brk 0000000000001111")
    assert "state consistent" in heads[0]
    assert heads[1].startswith("Namespace 1: r_debug at 0000000000600100")
    assert "state adding" in heads[1]
    first, second = (item for item in items if isinstance(item, LinkMapItem))
    assert (first.name, first.base, first.dynamic) == ("a.out", 0x400000, 0x400800)
    assert (second.bias, second.namespace, second.address) == (0x5000, 1, 0x601100)
    assert "\x1b" not in second.text()
    (one,) = on(linked(), "!dlls -c 400123")
    assert isinstance(one, LinkMapItem)
    (failure,) = on(linked(), "!dlls -c 123")
    assert isinstance(failure, Failure)
    (failure,) = on(thread(), "!dlls")
    assert isinstance(failure, Failure)
    assert failure.identifier == "process.no-loader-list"


def test_error_numbers_beside_a_linux_core(on: Run) -> None:
    (item,) = on(thread(), "!error 6e")
    assert item.text() == "Error code: (errno) 0x6e (110) ETIMEDOUT - Connection timed out"
    (item,) = on(thread(), "!error c0000005")
    assert "NTSTATUS" in item.text()
    # MIPS has other numbers above 34.
    mips = ElfCoreBuilder(machine=8).thread(7, 11, *[0] * 45)
    (item,) = on(mips, "!error 6e")
    assert "errno" not in item.text()
