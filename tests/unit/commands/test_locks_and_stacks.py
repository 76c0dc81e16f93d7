"""``!locks``, ``!cs``, ``!uniqstack``, ``!findstack`` on the samples whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.language import Interpreter
from polydbg.commands.locks import CriticalSectionItem, DeadlockItem, LockWaitItem
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.commands.thread_stacks import SameStack, StackMatches, StackSummary
from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath
from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context

DEADLOCK = (
    "DEADLOCK: 0:001 waits for CritSec lockstep!g_fork_right+0 owned by 0:002, "
    "which waits for CritSec lockstep!g_fork_left+0 owned by 0:001"
)

Items = Callable[[str], list[Item]]


def interpreted(session: Session) -> Items:
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)
    return lambda line: [i for i in interpreter.run(line) if not isinstance(i, CommandEnd)]


def text(items: list[Item]) -> str:
    return "\n".join(i.text() for i in items)


@pytest.fixture
def lockstep(sample_dump: Callable[[str], Path], data_dir: Path) -> Iterator[Items]:
    session = Session()
    folder = data_dir / "samples" / "win"
    session.settings.symbol_path = SymbolPath.parse(str(folder / "bin"))
    session.settings.image_path = SymbolPath.parse(f"{folder / 'bin'};{folder / 'wine'}")
    session.open_dump(str(sample_dump("lockstep-full")))
    run = interpreted(session)
    run("~*k; !locks")  # what is said once of each module's symbols is said now
    yield run
    session.close()


@pytest.mark.corpus
def test_locks(lockstep: Items) -> None:
    found = lockstep("!locks")
    sections = [i for i in found if isinstance(i, CriticalSectionItem)]
    assert [(s.name, s.owner, s.waiters) for s in sections] == [
        ("lockstep!g_fork_left+0", 1, 1),
        ("lockstep!g_fork_right+0", 2, 1),
    ]
    assert sections[0].text().split("\n") == [
        "CritSec lockstep!g_fork_left+0 at 000000014000c200",
        "WaiterWoken        No",
        "LockCount          1",
        "RecursionCount     1",
        "OwningThread       290 (0:001)",
        "EntryCount         0",
        "ContentionCount    0",
        "*** Locked",
        "",
    ]
    waits = [i for i in found if isinstance(i, LockWaitItem)]
    assert [(w.thread, w.section_name, w.owner, w.is_guess) for w in waits] == [
        (1, "lockstep!g_fork_right+0", 2, False),
        (2, "lockstep!g_fork_left+0", 1, False),
    ]
    (deadlock,) = [i for i in found if isinstance(i, DeadlockItem)]
    assert deadlock.text() == DEADLOCK
    assert not deadlock.is_guess
    assert text(found).split("\n")[-1].startswith("Scanned ")
    free = [i for i in lockstep("!locks -v") if isinstance(i, CriticalSectionItem)]
    assert len(free) > len(sections)
    assert "LockCount          NOT LOCKED" in text(list(free))


@pytest.mark.corpus
def test_cs(lockstep: Items) -> None:
    (section,) = lockstep("!cs lockstep!g_fork_left")
    assert section.text().split("\n") == [
        "-----------------------------------------",
        "Critical section   = 0x000000014000c200 (lockstep!g_fork_left+0x0)",
        "DebugInfo          = 0x00000000002469e0",
        "LOCKED",
        "LockCount          = 0x1",
        "WaiterWoken        = No",
        "OwningThread       = 0x0000000000000290 (0:001)",
        "RecursionCount     = 0x1",
        "LockSemaphore      = 0x0",
        "SpinCount          = 0x0000000000000000",
    ]
    stacks = text(lockstep("!cs -l -o"))
    assert "OwningThread DbgId = ~1s\nOwningThread Stack =\n" in stacks
    assert "lockstep!alice_body+0x4f" in stacks
    assert DEADLOCK in stacks
    assert text(lockstep("!cs -d 2469e0")) == section.text()
    names = [i.name for i in lockstep("!cs 14000c000 14000d000") if hasattr(i, "name")]
    assert names[:2] == ["lockstep!g_fork_left+0", "lockstep!g_fork_right+0"]
    for line in ("!cs 10", "!cs 0 ffffffff", "!cs -t", "!cs -d 10"):
        assert isinstance(lockstep(line)[-1], Failure), line


@pytest.mark.corpus
def test_findstack(lockstep: Items) -> None:
    found = [i for i in lockstep("!findstack ntdll!*Critical*") if isinstance(i, StackMatches)]
    assert [(m.thread, m.frames) for m in found] == [(1, (3, 4)), (2, (3, 4))]
    assert found[0].text().split("\n")[:2] == [
        "Thread 001, 2 frame(s) match",
        "        * 03 00000000`0109fbe0 00000001`7005cee1 ntdll!RtlpWaitForCriticalSection+0xb9",
    ]
    names = [i.text() for i in lockstep("!findstack kernel32 0")]
    assert names == [f"Thread {n:03d}, 1 frame(s) match" for n in range(8)]
    whole = lockstep("!findstack lockstep!bob 2")[0].text().split("\n")
    assert whole[6].startswith("        * 05 ")
    assert whole[7].startswith("          06 ")
    assert text(lockstep("!findstack nosuch")) == "No stack holds nosuch"
    for line in ("!findstack", "!findstack x 3"):
        assert isinstance(lockstep(line)[-1], Failure)


@pytest.mark.corpus
def test_uniqstack(lockstep: Items) -> None:
    """Eight threads at eight places: nothing is folded."""
    found = lockstep("!uniqstack")
    assert found[0].text() == "Processing 8 threads, please wait"
    (summary,) = [i for i in found if isinstance(i, StackSummary)]
    assert (summary.total_threads, summary.duplicates) == (8, ())
    assert "Args to Child" in text(lockstep("!uniqstack -b"))
    assert isinstance(lockstep("!uniqstack -x")[-1], Failure)
    assert "(int exit_code = 0n7)" in text(lockstep("!uniqstack -p"))


def test_uniqstack_folds(tmp_path: Path) -> None:
    builder = MinidumpBuilder().system().module(0x400000, 0x10000, "app.exe")
    for ident, pc in ((1, 0x401000), (2, 0x402000), (3, 0x401000), (4, 0x401000)):
        builder.thread(ident, amd64_context(rip=pc, rsp=0x9000))
    path = tmp_path / "same.dmp"
    path.write_bytes(builder.thread(5).thread(6).build())
    session = Session()
    session.open_dump(str(path))
    found = interpreted(session)("!uniqstack")
    assert [i.threads for i in found if isinstance(i, SameStack)] == [(0, 2, 3)]
    (summary,) = [i for i in found if isinstance(i, StackSummary)]
    assert summary.text() == (
        "\nTotal threads: 6\nDuplicate callstacks: 2 (windbg thread #s follow):\n2, 3"
    )
    assert text(found).count("the dump has no registers of this thread") == 2
    session.close()
