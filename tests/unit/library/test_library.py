"""The library: the examples of its page, errors, closing, laziness, and what importing it costs."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest

import polydbg
from polydbg.base.errors import CommandError, ExpressionError, MemoryReadError, TargetError
from polydbg.library.session import DumpSession
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context, x86_context

ROOT = Path(__file__).resolve().parents[3]
DEMO = Path(str(resources.files("polydbg") / "demo"))


@pytest.fixture
def practice() -> Iterator[DumpSession]:
    with polydbg.open(DEMO / "practice.dmp", symbols=[DEMO], images=str(DEMO)) as session:
        yield session


def test_the_examples_of_the_page() -> None:
    result = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert result.attempted > 25
    assert not result.failed


def test_importing_polydbg_imports_nothing_else() -> None:
    program = "import sys; before = set(sys.modules); import polydbg; polydbg.__version__; "
    program += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["polydbg"]


def test_the_package_offers_the_library() -> None:
    assert {"open", "DumpSession", "DebuggerError"} <= set(dir(polydbg))
    assert issubclass(MemoryReadError, polydbg.DebuggerError)
    with pytest.raises(AttributeError):
        polydbg.nothing  # noqa: B018


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(polydbg.DebuggerError) as caught:
        polydbg.open(tmp_path / "none.dmp")
    assert caught.value.identifier == "dump.not-found"
    (tmp_path / "text.dmp").write_text("hello")
    with pytest.raises(polydbg.DebuggerError):
        polydbg.open(tmp_path / "text.dmp")


def test_frames_are_the_rows_of_k(practice: DumpSession) -> None:
    rows = [i for i in practice.command(".ecxr; k").items if type(i).__name__ == "FrameRow"]
    frames = list(practice.crash_frames())
    assert [f.pc for f in frames] == [getattr(r, "pc", None) for r in rows]
    assert [f.number for f in frames] == list(range(len(frames)))
    assert not any(f.is_guess for f in frames[:5]), "the rest lies in a system image not at hand"


def test_frames_are_unwound_when_asked_for(
    practice: DumpSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    memory = practice._handle.system.memory
    plain = memory.read

    def counted(address: int, size: int) -> bytes:
        read.append(address)
        return plain(address, size)

    monkeypatch.setattr(memory, "read", counted)
    frames = practice.crash_frames()
    next(frames)
    first = len(read)
    list(frames)
    assert len(read) > first


def test_objects_of_a_closed_session() -> None:
    session = polydbg.open(DEMO / "practice.dmp", symbols="", images="")
    thread, module, memory = session.threads[0], session.modules[0], session.memory
    session.close()
    session.close()
    for ask in (
        lambda: session.exception,
        lambda: session.command("k"),
        lambda: session.evaluate("1"),
        lambda: thread.registers,
        lambda: next(thread.frames()),
        lambda: module.symbols,
        lambda: memory.read(0, 1),
    ):
        with pytest.raises(TargetError, match="closed"):
            ask()
    assert repr(session) == "<DumpSession, closed>"


def test_errors_are_raised(practice: DumpSession) -> None:
    with pytest.raises(CommandError):
        practice.command("nosuch")
    with pytest.raises(ExpressionError):
        practice.evaluate("nosuch!main")
    with pytest.raises(TargetError):
        practice.module("nosuch")
    with pytest.raises(TargetError):
        practice.module("practice").address_of("nosuch")
    failed = practice.command("k; nosuch", check=False)
    assert not failed.ok
    assert len(failed.failures) == 1
    assert failed.json()[-1]["type"] == "failure"


def test_modules(practice: DumpSession) -> None:
    module = practice.module("PRACTICE.EXE")
    assert module.name == "practice"
    assert module.path.endswith("practice.exe")
    assert module.end - module.base == module.size
    assert module.base in module
    assert module.end not in module
    assert module.code_id == f"{module.timestamp:08X}{module.size:x}"
    assert module.symbols == "private pdb symbols"
    assert len(module.debug_id) == 33
    assert practice.module_at(1) is None
    assert [m.base for m in practice.modules] == sorted(m.base for m in practice.modules)


def opened(tmp_path: Path, builder: MinidumpBuilder) -> DumpSession:
    path = tmp_path / "made.dmp"
    path.write_bytes(builder.build())
    return polydbg.open(path, symbols="", images="")


def test_memory(tmp_path: Path) -> None:
    wide = "Größe".encode("utf-16-le")
    builder = MinidumpBuilder().system().thread(1, amd64_context(rip=0x40))
    builder.memory(0x1000, b"abc\0\xff\xff\xff\xff").memory(0x2000, b"x" * 0x600 + b"\0")
    builder.memory(0x3000, b"\0A\0B" + wide[:0]).memory(0x4000, wide + b"\0\0zz")
    builder.memory(0x5000, b"cut")
    with opened(tmp_path, builder) as session:
        memory = session.memory
        assert memory.text(0x1000) == "abc"
        assert memory.text(0x2000) == "x" * 0x600
        assert memory.text(0x2000, limit=4) == "xxxx"
        assert memory.text(0x4000, encoding="utf-16-le") == "Größe"
        assert memory.text(0x5000) == "cut"
        assert memory.number(0x1004, 4, signed=True) == -1
        assert memory.read_some(0x1004, 100) == b"\xff" * 4
        assert memory.pointer(0x1000) == 0xFFFFFFFF00636261
        assert memory.next_readable(0x1100) == 0x2000
        with pytest.raises(MemoryReadError):
            memory.text(0x900)
        assert session.exception is None
        assert session.process_id is None


def test_a_32_bit_dump(tmp_path: Path) -> None:
    builder = MinidumpBuilder(arch="x86").system().thread(7, x86_context(eip=0x1234, esp=0x9000))
    builder.memory(0x9000, bytes(0x20)).thread_name(7, "main\x1b[2J")
    with opened(tmp_path, builder) as session:
        assert (session.arch, session.pointer_size) == ("x86", 4)
        assert session.memory.pointer(0x9000) == 0
        (thread,) = session.threads
        assert thread.registers["eip"] == 0x1234
        assert thread.name == "main\\x1b[2J"
        assert next(thread.frames()).pc == 0x1234


def test_records_show_themselves_in_one_line(practice: DumpSession) -> None:
    assert repr(practice.exception) == "<ExceptionInfo 0xc0000005 Access violation at 0x140001567>"
    shown = repr(next(practice.crash_frames()))
    assert shown.startswith("<Frame 00 practice!record_sale")
    assert "registers" not in shown


def test_no_threads(tmp_path: Path) -> None:
    with opened(tmp_path, MinidumpBuilder().system()) as session:
        assert session.threads == []
        assert session.event_thread is None
        assert list(session.crash_frames()) == []


@pytest.mark.corpus
def test_two_sessions_at_once(sample_dump: Callable[[str], Path], practice: DumpSession) -> None:
    with polydbg.open(sample_dump("lockstep"), symbols="", images="") as other:
        assert len(other.threads) == 8
        assert len(practice.threads) == 2
        assert other.exception is not None
        assert other.exception.code == 0x80000003
