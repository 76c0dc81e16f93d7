"""Locks, ``errno`` and heaps of a program of this computer, whose core gdb's ``gcore`` writes."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.address import AddressRow
from polydbg.commands.elf_process import ErrnoItem
from polydbg.commands.futex_locks import FutexItem, FutexWaitItem
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Item
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

Run = Callable[[str], list[Item]]
PROGRAM = Path(__file__).parent / "programs" / "waits.c"
ENOENT, ENOTDIR, EPIPE = 2, 20, 32


def _core(folder: Path, flags: list[str]) -> Path:
    """Build the program, and return a core of it when all its threads wait."""
    for tool in ("gcc", "gcore"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this computer's C library is not glibc")
    program = folder / "waits"
    build = ["gcc", "-g", "-O0", "-o", str(program), str(PROGRAM), "-pthread", *flags]
    if subprocess.run(build, check=False, capture_output=True).returncode:
        pytest.skip(f"gcc cannot build with {flags}")
    # Small stacks and few arenas make a small core.
    command = ["sh", "-c", f"ulimit -s 256; MALLOC_ARENA_MAX=3 exec {program}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            command = ["gcore", "-o", str(folder / "core"), str(process.pid)]
            subprocess.run(command, check=False, capture_output=True, timeout=60)
        finally:
            process.kill()
    core = folder / f"core.{process.pid}"
    if not core.exists():
        pytest.skip("gcore may not look at processes here")
    return core


@pytest.fixture(scope="module", params=[[], ["-static"]], ids=["dynamic", "static"])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("waits")
    core = _core(folder, request.param)
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(folder))
    session.open_dump(str(core))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    yield lambda line: [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]
    session.close()


def test_every_kind_of_lock(on: Run) -> None:
    items = on("!locks")
    waits = {item.thread: item for item in items if isinstance(item, FutexWaitItem)}
    assert sorted(waits) == list(range(2, 13))
    locks = {item.address: item for item in items if isinstance(item, FutexItem)}
    held = [locks[waits[number].lock] for number in range(2, 9)]
    assert [lock.lock_type for lock in held] == [
        "recursive",
        "error-checking",
        "normal priority-inheriting",
        "normal robust",
        "adaptive",
        "normal",
        "normal",
    ]
    assert held[0].count == 2
    assert [waits[number].owner for number in range(2, 9)] == [1, 1, 1, 1, 1, 1, None]
    # Who locked the last one has ended.
    assert [lock.is_guess for lock in held] == [False] * 6 + [True]
    others = [waits[number] for number in range(9, 13)]
    assert {(wait.kind, wait.owner) for wait in others} == {("futex", None)}


def test_errno_of_every_thread(on: Run) -> None:
    values = [item.value for item in on("!gle -all") if isinstance(item, ErrnoItem)]
    assert values[:9] == [ENOENT, EPIPE, *[ENOTDIR] * 7]


def test_the_heap_and_the_arenas_of_threads(on: Run) -> None:
    rows = [item for item in on("!address -f:Heap") if isinstance(item, AddressRow)]
    arenas = [row for row in rows if row.comment.startswith("[arena")]
    assert len(rows) - len(arenas) == 1  # the program's own
    assert len({row.comment for row in arenas if "not yet" not in row.comment}) == 2
