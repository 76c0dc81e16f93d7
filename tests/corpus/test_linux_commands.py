"""Commands on cores of Linux programs whose sources and gdb's reading are in the samples."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.call_frame_rows import CallFrameRow
from polydbg.commands.elf_process import ThreadControlBlock
from polydbg.commands.futex_locks import FutexDeadlockItem, FutexItem, FutexWaitItem
from polydbg.commands.headers import FoundImage, HeaderBlock, ModuleHeaders
from polydbg.commands.language import Interpreter
from polydbg.commands.linux_files import AuxiliaryRow, MappingRow
from polydbg.commands.modules import ModuleDetails, ModuleRow
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.commands.threads import ThreadRow
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

Run = Callable[[str, str], list[Item]]
_PROGRAMS = ("crowd", "crowd.gcore", "plunge", "cargo-nopie", "cargo-static-pie")


@pytest.fixture(scope="module")
def on(data_dir: Path) -> Iterator[Run]:
    """Run a line of commands on a core of the samples, with its program."""
    sessions: dict[str, Session] = {}

    def run(core: str, line: str) -> list[Item]:
        folder = data_dir / "samples" / "linux"
        session = sessions.get(core)
        if session is None:
            session = sessions[core] = Session()
            session.settings.image_path = SymbolPath.parse(str(folder / "bin"))
            path = folder / "cores" / f"{core}.core.zst"
            session.open_dump(str(path if path.exists() else data_dir / core))
        interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
        return [item for item in interpreter.run(line) if not isinstance(item, CommandEnd)]

    yield run
    for session in sessions.values():
        session.close()


def gdb(data_dir: Path, core: str) -> str:
    return (data_dir / "samples" / "linux" / "cores" / f"{core}.gdb.txt").read_text()


@pytest.mark.parametrize("core", ["crowd", "crowd.gcore"])
def test_thread_pointers_are_gdbs(on: Run, data_dir: Path, core: str) -> None:
    theirs = re.findall(r"Thread 0x([0-9a-f]+) \(LWP (\d+)\)", gdb(data_dir, core))
    ours = {(row.teb, row.id) for row in on(core, "~") if isinstance(row, ThreadRow)}
    assert ours == {(int(pointer, 16), int(ident)) for pointer, ident in theirs}
    assert len(ours) == 7


@pytest.mark.parametrize("core", _PROGRAMS)
def test_blocks_are_glibcs(on: Run, core: str) -> None:
    blocks = [item for item in on(core, "~*e !teb") if isinstance(item, ThreadControlBlock)]
    assert {block.library for block in blocks} == {"glibc"}
    threads = [row for row in on(core, "~") if isinstance(row, ThreadRow)]
    assert [block.thread_id for block in blocks] == [row.id for row in threads]
    assert len({block.stack_guard for block in blocks}) == 1  # a random number for the process


@pytest.mark.parametrize("name", ["aarch64", "i386", "ppc", "s390", "s390x", "x32", "x86_64"])
def test_blocks_of_other_processors(on: Run, name: str) -> None:
    items = on(f"core/elfutils/backtrace.{name}.core.bz2", "!teb")
    block = items[0]
    assert isinstance(block, ThreadControlBlock)
    assert block.library == "glibc"
    (row, *_) = on(f"core/elfutils/backtrace.{name}.core.bz2", "~")
    assert isinstance(row, ThreadRow)
    assert block.thread_id == row.id


@pytest.mark.parametrize("core", ["crowd", "plunge", "cargo-static-pie"])
def test_auxiliary_vectors_are_gdbs(on: Run, data_dir: Path, core: str) -> None:
    section = gdb(data_dir, core).split("== auxv\n")[1].split("== shared")[0]
    theirs = {}
    for line in section.splitlines():
        match = re.match(r'(\d+) .* (0x[0-9a-f]+|\d+)(?: "(.*)")?$', line)
        if match and match[1] != "0":
            theirs[int(match[1])] = (int(match[2], 0), match[3] or "")
    ours = [row for row in on(core, "!linux auxv") if isinstance(row, AuxiliaryRow)]
    assert {row.kind: row.value for row in ours} == {k: v for k, (v, _) in theirs.items()}
    texts = {row.kind: row.meaning for row in ours if row.name in ("AT_EXECFN", "AT_PLATFORM")}
    assert texts == {kind: theirs[kind][1] for kind in texts}


@pytest.mark.parametrize("core", ["crowd", "crowd.gcore", "plunge"])
def test_mapped_files_are_gdbs(on: Run, data_dir: Path, core: str) -> None:
    section = gdb(data_dir, core).split("== maps\n")[1].split("==")[0]
    theirs = [
        tuple(int(number, 16) for number in match.groups())
        for match in re.finditer(r"0x(\w+) +0x(\w+) +0x\w+ +0x(\w+) +\S", section)
    ]
    ours = {
        (r.start, r.end, r.offset) for r in on(core, "!linux maps") if isinstance(r, MappingRow)
    }
    assert theirs
    assert [row for row in theirs if row not in ours] == []


def test_the_deadlock_of_crowd(on: Run) -> None:
    """The two threads of crowd.c that take salt and pepper in the wrong order."""
    items = on("crowd.gcore", "!locks")
    (deadlock,) = [item for item in items if isinstance(item, FutexDeadlockItem)]
    assert deadlock.threads == (1, 2)
    assert not deadlock.is_guess
    locks = {item.name: item for item in items if isinstance(item, FutexItem)}
    assert (locks["crowd!g_salt"].owner, locks["crowd!g_salt"].waiters) == (1, (2,))
    assert (locks["crowd!g_pepper"].owner, locks["crowd!g_pepper"].waiters) == (2, (1,))
    waits = {item.thread: item for item in items if isinstance(item, FutexWaitItem)}
    assert (waits[0].kind, waits[0].owner) == ("thread", 1)  # main joins the first one
    # The condition and the semaphore are no mutexes, whatever lies there.
    assert [(waits[number].kind, waits[number].owner) for number in (3, 4)] == [("futex", None)] * 2
    assert sorted(waits) == [0, 1, 2, 3, 4]
    text = "\n".join(item.text() for item in on("crowd.gcore", "!analyze -hang"))
    assert "a deadlock: thread 1 -> thread 2 -> thread 1" in text
    assert "waits for thread 1 to end" in text


@pytest.mark.parametrize(
    "core",
    [
        "crowd",
        "core/lldb/linux-aarch64.core",
        "core/lldb-register/x86-64-freebsd.core",
        "core/netbsd/1lwp_SIGSEGV.amd64.core",
    ],
)
def test_what_has_no_answer_says_so(on: Run, core: str) -> None:
    """Commands for Windows' blocks fail in words of the system that the core is of, if they do."""
    for line in ("!teb", "!peb", "!gle", "!locks", "!cs", "!dlls", "!tls -1", ".ttime", "!runaway"):
        for item in on(core, line):
            text = item.text()
            assert "MiniDump" not in text
            assert "TEB at" not in text
            assert not isinstance(item, Failure) or item.message


def _readelf(*arguments: str) -> str:
    program = shutil.which("llvm-readelf") or shutil.which("llvm-readelf-19")
    if program is None:
        pytest.skip("no llvm-readelf")
    command = [program, "--wide", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _numbers(lines: list[str], *labels: str) -> list[int]:
    """Return the numbers in front of *labels* in a block of ``!dh``."""
    found = {line[9:]: line[:8] for line in lines}
    return [int(found[label], 16) for label in labels]


@pytest.mark.parametrize("program", ["crowd", "cargo-static-pie", "cargo-stripped", "plunge"])
def test_headers_are_llvms(on: Run, data_dir: Path, program: str) -> None:
    items = on(program, f"!dh {program.replace('-', '_')}")
    blocks = [item for item in items if isinstance(item, HeaderBlock)]
    path = str(data_dir / "samples" / "linux" / "bin" / program)
    pattern = r"^ *\[ *\d+\] (\S+) +(\w+) +(\w+) (\w+) (\w+)"
    theirs = [
        (match[1], int(match[3], 16), int(match[4], 16), int(match[5], 16))
        for match in re.finditer(pattern, _readelf("-S", path), re.MULTILINE)
        if match[2] != "NULL"
    ]
    labels = ("virtual address", "file pointer", "size")
    ours = [
        (block.name, *_numbers(block.text().split("\n"), *labels))
        for block in blocks
        if block.part == "section"
    ]
    assert ours == theirs
    pattern = r"^  (\w+) +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+) "
    segments = [
        (match[1], *(int(match[i], 16) for i in range(2, 6)))
        for match in re.finditer(pattern, _readelf("-l", path), re.MULTILINE)
    ]
    (head,) = [block.text() for block in blocks if block.part == "headers"]
    labels = ("file pointer", "virtual address", "size in the file", "size in memory")
    ours_too = []
    for part in head.split("PROGRAM HEADER #")[1:]:
        lines = part.split("\n")
        ours_too.append((lines[1].split()[0], *_numbers(lines, *labels)))
    assert ours_too == segments
    (notes,) = [block.text() for block in blocks if block.part == "notes"]
    (build_id,) = re.findall(r"Build ID: (\w+)", _readelf("-n", path))
    assert build_id in notes


def test_what_modules_say_of_themselves(on: Run) -> None:
    (row,) = [item for item in on("crowd", "lmvm crowd") if isinstance(item, ModuleDetails)]
    fields = dict(row.fields)
    assert fields["Build ID:"] == "9de767f41e5fff78c7bec56a48ea408f2373058c"
    assert fields["File type:"] == "position-independent executable"
    assert fields["Interpreter:"] == "/lib64/ld-linux-x86-64.so.2"
    assert fields["Segments:"] == "r-- 0+a70, r-x 1000+4c5, r-- 2000+21c, rw- 3dd0+4e8"
    assert "Timestamp:" not in fields
    (item,) = on("crowd", "!lmi crowd")
    assert isinstance(item, ModuleHeaders)
    assert dict(item.fields)["Machine Type"] == "62 (amd64)"
    found = [item for item in on("crowd", ".imgscan") if isinstance(item, FoundImage)]
    assert "linux-vdso.so.1" in [image.name for image in found]


def _dwarfdump(path: Path) -> dict[int, list[str]]:
    """Return LLVM's rows of each function in ``.eh_frame`` by its address as linked."""
    program = shutil.which("llvm-dwarfdump-19") or shutil.which("llvm-dwarfdump")
    if program is None:
        pytest.skip("no llvm-dwarfdump")
    command = [program, "--eh-frame", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[int, list[str]] = {}
    rows: list[str] = []
    for line in text.splitlines():
        if match := re.search(r" FDE cie=\w+ pc=(\w+)\.\.\.", line):
            rows = found.setdefault(int(match[1], 16), [])
        elif match := re.match(r"  0x(\w+): (CFA=.*)", line):
            rows.append(f"{int(match[1], 16):x} {match[2].lower()}")
        elif " CIE" in line:
            rows = []
    return found


def test_call_frames_are_llvms(on: Run, data_dir: Path) -> None:
    """Every function of the program with plain rules; LLVM writes expressions in words."""
    theirs = _dwarfdump(data_dir / "samples" / "linux" / "bin" / "crowd")
    (module,) = [item for item in on("crowd", "lm m crowd") if isinstance(item, ModuleRow)]
    assert len(theirs) > 8
    for start, rows in theirs.items():
        items = on("crowd", f".fnent {module.start + start:x}")
        ours = [
            f"{item.address - module.start:x} {item.text().split(': ', 1)[1].lower()}"
            for item in items
            if isinstance(item, CallFrameRow)
        ]
        plain = [row for row in rows if "dw_op" not in row]
        assert [row for row in ours if "expression" not in row] == plain
    (failure,) = on("crowd", f".fnent {module.start + 8:x}")
    assert isinstance(failure, Failure)


def test_lists_of_modules_have_build_ids_for_stamps(on: Run) -> None:
    text = "\n".join(item.text() for item in on("plunge", ".reload /l; lmt; lmc"))
    assert "1970" not in text
    assert "!drivers" not in text
    assert "plunge    build id" in text
    assert on("plunge", ".reload other.so=0x10000,0x1000") == []
    (row,) = [item for item in on("plunge", "lmv m other") if isinstance(item, ModuleDetails)]
    assert "Timestamp:" not in dict(row.fields)


@pytest.mark.parametrize("name", ["aarch64", "i386", "ppc", "x32", "x86_64"])
def test_the_main_thread_joins_another(on: Run, name: str) -> None:
    """The program of elfutils' backtrace tests waits in pthread_join for the thread that died."""
    items = on(f"core/elfutils/backtrace.{name}.core.bz2", "!locks")
    waits = [item for item in items if isinstance(item, FutexWaitItem)]
    assert [(wait.thread, wait.kind, wait.owner) for wait in waits] == [(1, "thread", 0)]
