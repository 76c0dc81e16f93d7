"""``!peb``, ``!teb``, ``!gle``, ``!tls``, ``!dlls``, ``!envvar`` on made dumps of both widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.commands.process_blocks import LastError, ProcessBlock, ThreadBlock
from polydbg.commands.process_lists import LoaderEntryItem
from polydbg.engine.session import Session
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context
from polydbg.testing.process_builder import ProcessBuilder

Run = Callable[[str], list[str]]


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    opened: list[Session] = []
    yield opened
    for session in opened:
        session.close()


class Opened:
    """A dump with a session of its own: :meth:`items` and :meth:`lines` of a command."""

    def __init__(self, path: Path, builder: MinidumpBuilder, sessions: list[Session]) -> None:
        path.write_bytes(builder.build())
        self.session = Session()
        sessions.append(self.session)
        self.session.open_dump(str(path))
        self._interpreter = Interpreter(self.session, CancelToken(), lambda text, done, total: None)

    def items(self, line: str) -> list[Item]:
        return [i for i in self._interpreter.run(line) if not isinstance(i, CommandEnd)]

    def lines(self, line: str) -> list[str]:
        return "\n".join(i.text() for i in self.items(line)).split("\n")


def a_process(arch: str) -> ProcessBuilder:
    process = ProcessBuilder(arch=arch)
    texts = {"command_line": "app.exe \x1b[31m", "image_path": "C:\\app.exe", "dll_path": ""}
    block = process.peb(
        being_debugged=1,
        image_base=0x400000,
        ldr=process.loader([(0x400000, "C:\\app.exe"), (0x770000, "C:\\ntdll.dll")]),
        parameters=process.parameters(texts, ["=C:=C:\\", "Path=C:\\bin", "PATHEXT=.exe"]),
        process_heap=0x500000,
    )
    process.thread(
        0x2B40,
        block,
        stack_base=0x130000,
        stack_limit=0x12D000,
        last_error=2,
        last_status=0xC0000034,
        owned=1,
        tls_slots=0x1234,
    )
    process.thread(0x2B44, block)
    return process


def test_teb(tmp_path: Path, sessions: list[Session]) -> None:
    wide = Opened(tmp_path / "w.dmp", a_process("amd64").dump, sessions)
    address = wide.session.current.threads[0].teb
    assert wide.lines("!teb")[:4] == [
        f"TEB at {address:016x}",
        "    ExceptionList:        0000000000000000",
        "    StackBase:            0000000000130000",
        "    StackLimit:           000000000012d000",
    ]
    assert wide.lines("!teb")[9:] == [
        "    ClientId:             0000000000001a2c . 0000000000002b40",
        "    RpcHandle:            0000000000000000",
        "    Tls Storage:          0000000000000000",
        f"    PEB Address:          {_peb(wide):016x}",
        "    LastErrorValue:       2",
        "    LastStatusValue:      c0000034",
        "    Count Owned Locks:    1",
        "    HardErrorMode:        0",
    ]
    (item,) = wide.items(f"!teb {address:x}")
    assert isinstance(item, ThreadBlock)
    assert (item.thread_id, item.last_status) == (0x2B40, 0xC0000034)
    narrow = Opened(tmp_path / "n.dmp", a_process("x86").dump, sessions)
    assert narrow.lines("!teb")[2:4] == [
        "    StackBase:            00130000",
        "    StackLimit:           0012d000",
    ]


def _peb(opened: Opened) -> int:
    (item,) = opened.items("!peb")
    assert isinstance(item, ProcessBlock)
    return item.address


def test_peb(tmp_path: Path, sessions: list[Session]) -> None:
    opened = Opened(tmp_path / "w.dmp", a_process("amd64").dump, sessions)
    lines = opened.lines("!peb")
    assert lines[1:6] == [
        "    InheritedAddressSpace:    No",
        "    ReadImageFileExecOptions: No",
        "    BeingDebugged:            Yes",
        "    ImageBaseAddress:         0000000000400000",
        "    NtGlobalFlag:             0",
    ]
    assert "                    Base TimeStamp                     Module" in lines
    row = next(line for line in lines if "ntdll.dll" in line)
    assert row == f"{'770000':>24} 00000000 Jan  1 00:00:00 1970 C:\\ntdll.dll"
    assert "    CommandLine:  'app.exe \\x1b[31m'" in lines, "a dump's text cannot steer a terminal"
    assert lines[-3:] == ["        =C:=C:\\", "        Path=C:\\bin", "        PATHEXT=.exe"]
    narrow = Opened(tmp_path / "n.dmp", a_process("x86").dump, sessions).lines("!peb")
    assert "            Base TimeStamp                     Module" in narrow
    assert "    ProcessHeap:       00500000" in narrow


def test_absent_blocks(tmp_path: Path, sessions: list[Session]) -> None:
    builder = MinidumpBuilder().system().thread(1, amd64_context(), teb=0x5000)
    opened = Opened(tmp_path / "a.dmp", builder, sessions)
    for line, words in (
        ("!teb", "TEB) at 0000000000005000 is not in the dump"),
        ("!gle", "TEB) at 0000000000005000 is not in the dump"),
        ("!peb", "PEB) is not known"),
        ("!peb 5000", "PEB) at 0000000000005000 is not in the dump"),
        ("!envvar PATH", "PEB) is not known"),
        ("!dlls", "PEB) is not known"),
        ("!tls 1", "is not in the dump"),
    ):
        (failure,) = opened.items(line)
        assert isinstance(failure, Failure), line
        assert words in failure.message, line
        assert failure.hint, line
    assert "is not in the dump" in opened.lines("!gle -all")[1]


def test_parts_of_a_teb(tmp_path: Path, sessions: list[Session]) -> None:
    builder = MinidumpBuilder().system().thread(1, amd64_context(), teb=0x5000)
    builder.memory(0x5000, bytes(0x70))
    lines = Opened(tmp_path / "a.dmp", builder, sessions).lines("!teb; !gle")
    assert "    LastErrorValue:       0" in lines
    assert "    LastStatusValue:      <unavailable>" in lines
    assert lines[-1] == "LastStatusValue: <unavailable>"


def test_gle(tmp_path: Path, sessions: list[Session]) -> None:
    opened = Opened(tmp_path / "w.dmp", a_process("x86").dump, sessions)
    assert opened.lines("!gle") == [
        "LastErrorValue: (Win32) 0x2 (2) - The system cannot find the file specified.",
        "LastStatusValue: (NTSTATUS) 0xc0000034 - The object name is not found.",
    ]
    found = [i for i in opened.items("!gle -all") if isinstance(i, LastError)]
    assert [i.thread for i in found] == [0, 1]
    assert found[0].last_error_name == "ERROR_FILE_NOT_FOUND"
    assert found[0].last_status_name == "STATUS_OBJECT_NAME_NOT_FOUND"
    assert found[1].shown.startswith("Last error for thread 1:\nLastErrorValue: (Win32) 0 (0) - ")


def test_tls(tmp_path: Path, sessions: list[Session]) -> None:
    opened = Opened(tmp_path / "w.dmp", a_process("amd64").dump, sessions)
    assert opened.lines("!tls -1") == [
        "TLS slots on thread: 1a2c.2b40",
        "0x0000 : 0000000000001234",
    ]
    assert opened.lines("!tls 0") == ["1a2c.2b40: 0x0000 : 0000000000001234"]
    (failure,) = opened.items("!tls 1000")
    assert isinstance(failure, Failure)


def test_dlls(tmp_path: Path, sessions: list[Session]) -> None:
    opened = Opened(tmp_path / "w.dmp", a_process("x86").dump, sessions)
    for order in ("", " -l", " -m", " -i"):
        found = [i for i in opened.items(f"!dlls{order}") if isinstance(i, LoaderEntryItem)]
        assert [i.base for i in found] == [0x400000, 0x770000]
    lines = opened.lines("!dlls")
    assert lines[0].endswith(": C:\\app.exe")
    assert lines[1] == "      Base   0x00400000  EntryPoint  0x00000000  Size        0x00000000"
    (one,) = opened.items(f"!dlls {found[1].address:x}")
    assert one == found[1]
    (failure,) = opened.items("!dlls -c 5")
    assert isinstance(failure, Failure)
    (failure,) = opened.items("!dlls -q")
    assert isinstance(failure, Failure)


def test_envvar(tmp_path: Path, sessions: list[Session]) -> None:
    opened = Opened(tmp_path / "w.dmp", a_process("amd64").dump, sessions)
    assert opened.lines("!envvar PATH") == ["  Path = C:\\bin"]
    assert opened.lines("!envvar path*") == ["  Path = C:\\bin", "  PATHEXT = .exe"]
    (failure,) = opened.items("!envvar nosuch")
    assert isinstance(failure, Failure)


LINUX_ENVIRON, LINUX_CMDLINE = 0x47670007, 0x47670006


def test_linux(tmp_path: Path, sessions: list[Session]) -> None:
    """Breakpad's copies of /proc stand for the blocks."""
    builder = MinidumpBuilder().system(platform=0x8201).thread(1, amd64_context(), teb=0x5000)
    builder.stream(LINUX_ENVIRON, b"HOME=/root\0LANG=C\0").stream(LINUX_CMDLINE, b"app\0-x\0")
    opened = Opened(tmp_path / "l.dmp", builder, sessions)
    assert opened.lines("!envvar home") == ["  HOME = /root"]
    lines = opened.lines("!peb")
    assert lines[0].startswith("a Linux process has no PEB")
    assert "HOME=/root" in lines
    (failure,) = opened.items("!teb")
    assert isinstance(failure, Failure)
    assert failure.identifier == "process.no-teb"
    note, last = opened.lines("!locks")
    assert note.startswith("not all were found: the dump does not say which calls")
    assert last == "Looked at 1 threads: 0 wait in futex calls"
    bare = MinidumpBuilder().system(platform=0x8101).thread(1, amd64_context())
    (failure,) = Opened(tmp_path / "m.dmp", bare, sessions).items("!peb")
    assert isinstance(failure, Failure)
    assert "macOS" in failure.message


@pytest.mark.corpus
def test_both_blocks_of_a_wow64_process(data_dir: Path, sessions: list[Session]) -> None:
    session = Session()
    sessions.append(session)
    session.open_dump(str(data_dir / "minidump" / "kdlib" / "stacktest_wow64.dmp.xz"))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    for line, headings in (
        ("!teb", ["Wow64 TEB32 at 005db000", "Wow64 TEB at 00000000005d9000"]),
        ("!peb", ["Wow64 PEB32 at 005d8000", "Wow64 PEB at 00000000005d7000"]),
    ):
        blocks = [i for i in interpreter.run(line) if isinstance(i, ThreadBlock | ProcessBlock)]
        assert [b.text().split("\n")[0] for b in blocks] == headings
    assert session.evaluator.pseudo_register("$peb") == 0x5D8000
