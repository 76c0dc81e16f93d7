"""Threads in Linux's futex call, on mutexes of glibc and musl made by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.commands.futex_locks import FutexDeadlockItem, FutexItem
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item
from polydbg.engine.futexes import FutexReport, Kind, futex_report, mutex_at
from polydbg.engine.modules import Place
from polydbg.engine.session import Session, System
from polydbg.testing.core_builder import ElfCoreBuilder

CODE, DATA, BLOCKS = 0x401000, 0x500000, 0x700000
RIP, ORIG_RAX, FS_BASE, RDX, RSI, RDI = 16, 15, 21, 12, 13, 14  # in the order of Linux
WAIT, WAIT_PRIVATE, LOCK_PI = 0, 0x80, 6

Open = Callable[[ElfCoreBuilder], System]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    sessions: list[Session] = []

    def run(builder: ElfCoreBuilder) -> System:
        path = tmp_path / f"{len(sessions)}.core"
        path.write_bytes(builder.build())
        sessions.append(Session())
        return sessions[-1].open_dump(str(path))

    yield run
    for session in sessions:
        session.close()


def waiter(
    builder: ElfCoreBuilder,
    ident: int,
    address: int,
    operation: int = WAIT_PRIVATE,
    *,
    number: int = 202,
    pc: int = CODE + 2,
    block: int = 0,
) -> None:
    registers = [0] * 27
    registers[RIP], registers[ORIG_RAX], registers[FS_BASE] = pc, number, block
    registers[RDI], registers[RSI], registers[RDX] = address, operation, 2
    builder.thread(ident, 0, *registers)


def mutex(word: int, owner: int, kind: int = 0, count: int = 0, users: int = 1) -> bytes:
    return struct.pack("<5I", word, count, owner, users, kind).ljust(0x40, b"\0")


def process(*mutexes: bytes) -> ElfCoreBuilder:
    builder = ElfCoreBuilder().memory(CODE, b"\x0f\x05\x90\x90", flags=5)
    return builder.memory(DATA, b"".join(mutexes))


def report(system: System) -> FutexReport:
    return futex_report(system, CancelToken())


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (["libc_so!", "libc_so!", "app!main", "libc_so!__libc_start_main"], "FUTEX_WAIT"),
        (["libc_so!", "libc_so!pthread_join", "app!wait_all"], "FUTEX_WAIT in pthread_join"),
        (["linux_gate_so!__kernel_vsyscall", "libc_so!sem_wait"], "FUTEX_WAIT in sem_wait"),
    ],
)
def test_the_function_that_waits(
    opened: Open, monkeypatch: pytest.MonkeyPatch, rows: list[str], reason: str
) -> None:
    """Of a stripped C library its own functions have no names, but main's caller in it has."""
    names = [name.split("!") for name in rows]
    places = [Place(CODE, module, symbol) for module, symbol in names]
    stack = [SimpleNamespace(place=place) for place in places]
    monkeypatch.setattr("polydbg.engine.futexes.walk_stack", lambda *_, **__: iter(stack))
    builder = process(mutex(2, 11))
    waiter(builder, 12, DATA)
    (wait,) = report(opened(builder)).waits
    assert wait.reason == reason


def test_a_deadlock(opened: Open) -> None:
    builder = process(mutex(2, 11), mutex(2, 12))
    waiter(builder, 11, DATA + 0x40)
    waiter(builder, 12, DATA)
    found = report(opened(builder))
    assert [(lock.kind, lock.owner_id, lock.type) for lock in found.locks] == [
        (Kind.MUTEX, 11, "normal"),
        (Kind.MUTEX, 12, "normal"),
    ]
    ((first, second),) = found.cycles
    assert (first.thread.id, second.thread.id) == (11, 12)
    assert not first.is_guess


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (mutex(2, 12, kind=1, count=3), "recursive"),
        (mutex(2, 12, kind=2), "error-checking"),
        (mutex(1, 12, kind=3), "adaptive"),
        (mutex(2, 12, kind=0x80), "normal process-shared"),
        (mutex(0x80000000 | 12, 12, kind=0x210, count=1), "normal robust"),
        (mutex(0x80000000 | 12, 12, kind=0x20, count=1), "normal priority-inheriting"),
    ],
)
def test_kinds_of_mutexes(opened: Open, data: bytes, words: str) -> None:
    builder = process(data)
    waiter(builder, 11, DATA, LOCK_PI if "inheriting" in words else WAIT_PRIVATE)
    waiter(builder, 12, 0, number=-1)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.type, wait.owner and wait.owner.id) == (words, 12)


@pytest.mark.parametrize(
    "data",
    [
        mutex(7, 12),  # no value of a lock
        mutex(2, 12, kind=0x4000),
        mutex(2, 12, count=5),  # a count without recursion
        mutex(2, 0),
        mutex(2, 12, users=0),
        mutex(0, 0, users=0),
        bytes(8),
    ],
)
def test_what_makes_no_sense_is_only_a_futex(opened: Open, data: bytes) -> None:
    builder = process(data)
    waiter(builder, 11, DATA)
    waiter(builder, 12, 0, number=-1)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.kind, wait.owner) == (Kind.FUTEX, None)


def test_an_owner_that_is_no_thread_is_a_guess(opened: Open) -> None:
    builder = process(mutex(2, 99))
    waiter(builder, 11, DATA)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.kind, wait.lock.owner_id, wait.owner) == (Kind.MUTEX, 99, None)
    assert wait.is_guess


def test_the_word_of_a_lock_with_priority_inheritance_is_its_owner(opened: Open) -> None:
    builder = process(struct.pack("<5I", 0x80000000 | 12, 77, 77, 77, 0x7777))
    waiter(builder, 11, DATA, LOCK_PI)
    waiter(builder, 12, 0, number=-1)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.kind, wait.owner and wait.owner.id) == (Kind.PI, 12)


def test_who_does_not_wait(opened: Open) -> None:
    builder = process(mutex(2, 11))
    waiter(builder, 11, DATA, operation=1)  # FUTEX_WAKE
    waiter(builder, 12, DATA, number=0)
    waiter(builder, 13, DATA, pc=CODE + 4)  # no call before it
    waiter(builder, 14, DATA + 1)
    waiter(builder, 15, 0)
    assert report(opened(builder)).waits == ()


def test_without_code_the_number_of_the_call_is_enough_on_x86(opened: Open) -> None:
    builder = process(mutex(2, 12))
    waiter(builder, 11, DATA, pc=0x900000)
    waiter(builder, 12, 0, number=-1)
    (wait,) = report(opened(builder)).waits
    assert not wait.is_guess


def arm64(pc: int) -> ElfCoreBuilder:
    builder = ElfCoreBuilder(machine=183).memory(CODE, b"\x01\x00\x00\xd4" * 2, flags=5)
    builder.memory(DATA, mutex(2, 12))
    registers = [0] * 34
    registers[0], registers[1], registers[8], registers[32] = DATA, WAIT_PRIVATE, 98, pc
    return builder.thread(11, 0, *registers).thread(12, 0, *[0] * 34)


@pytest.mark.parametrize(("pc", "guess"), [(CODE, False), (CODE + 4, False), (0x900000, True)])
def test_arm64_is_at_the_call_or_behind_it(opened: Open, pc: int, guess: bool) -> None:
    (wait,) = report(opened(arm64(pc))).waits
    assert (wait.owner and wait.owner.id, wait.is_guess) == (12, guess)


def test_x86_has_kind_and_users_the_other_way_round(opened: Open) -> None:
    builder = ElfCoreBuilder(is_64=False, machine=3).memory(CODE, b"\xcd\x80", flags=5)
    builder.memory(DATA, struct.pack("<5I", 2, 1, 12, 1, 1))
    registers = [0] * 17
    registers[0], registers[1], registers[11], registers[12] = DATA, WAIT, 240, CODE + 2
    builder.thread(11, 0, *registers).thread(12, 0, *[0] * 17)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.type, wait.lock.count, wait.owner and wait.owner.id) == ("recursive", 1, 12)


def glibc_block(at: int, ident: int) -> bytes:
    data = bytearray(0x300)
    struct.pack_into("<3Q", data, 0, at, 0, at)
    struct.pack_into("<I", data, 0x2D0, ident)
    return bytes(data)


def test_the_end_of_a_thread(opened: Open) -> None:
    builder = process(mutex(0, 0)).memory(BLOCKS, glibc_block(BLOCKS, 12))
    waiter(builder, 11, BLOCKS + 0x2D0, WAIT)
    waiter(builder, 12, 0, number=-1, block=BLOCKS)
    (wait,) = report(opened(builder)).waits
    assert (wait.lock.kind, wait.owner and wait.owner.id) == (Kind.THREAD, 12)


def musl_block(at: int, ident: int) -> bytes:
    return struct.pack("<6Q2I", at, 0, at, at, 0, 0, ident, 0)


def test_musls_mutexes(opened: Open) -> None:
    """Musl waits for the second word; a normal mutex does not say who holds it."""
    recursive, normal = struct.pack("<3I", 1, 0x80000000 | 12, 1), struct.pack("<3I", 0, 16, 1)
    builder = process(recursive.ljust(0x40, b"\0"), normal.ljust(0x40, b"\0"))
    builder.memory(BLOCKS, musl_block(BLOCKS, 12))
    waiter(builder, 11, DATA + 4)
    waiter(builder, 13, DATA + 0x44)
    waiter(builder, 12, 0, number=-1, block=BLOCKS)
    first, second = report(opened(builder)).waits
    assert (first.lock.type, first.address, first.owner and first.owner.id) == (
        "recursive",
        DATA,
        12,
    )
    assert (second.lock.type, second.lock.owner_id, second.lock.is_locked) == ("normal", None, True)


def test_the_commands(opened: Open, tmp_path: Path) -> None:
    builder = process(mutex(2, 11), mutex(2, 12))
    waiter(builder, 11, DATA + 0x40)
    waiter(builder, 12, DATA)
    path = tmp_path / "locks.core"
    path.write_bytes(builder.build())
    session = Session()
    session.open_dump(str(path))
    interpreter = Interpreter(session, CancelToken(), lambda text, done, total: None)

    def items(line: str) -> list[Item]:
        return [item for item in interpreter.run(line) if not isinstance(item, CommandEnd)]

    found = items("!locks")
    assert [i.text().split("\n")[0] for i in found if isinstance(i, FutexItem)] == [
        "Mutex at 0000000000500000",
        "Mutex at 0000000000500040",
    ]
    (deadlock,) = [i for i in found if isinstance(i, FutexDeadlockItem)]
    assert deadlock.threads == (0, 1)
    (one,) = items(f"!cs {DATA:x}")
    assert isinstance(one, FutexItem)
    assert (one.owner, one.waiters) == (0, (1,))
    (failure,) = items("!cs 10")
    assert isinstance(failure, Failure)
    text = "\n".join(item.text() for item in items("!analyze -hang"))
    assert "a deadlock: thread 0 -> thread 1 -> thread 0" in text
    session.close()


def test_a_mutex_that_nobody_holds(opened: Open) -> None:
    builder = process(mutex(0, 0, users=0))
    waiter(builder, 11, 0, number=-1)
    system = opened(builder)
    lock = mutex_at(system, DATA)
    assert lock is not None
    assert not lock.is_locked
    assert mutex_at(system, 0x10) is None


def test_minidumps_have_no_numbers_of_calls(tmp_path: Path) -> None:
    """The code before the call and its result stand for them: a guess."""
    from polydbg.testing.minidump_builder import MinidumpBuilder, amd64_context

    code = b"\x90" * 32 + b"\xb8\xca\0\0\0\x0f\x05"
    builder = MinidumpBuilder().system(platform=0x8201)
    for ident, rax in ((11, -512), (12, 0)):
        registers = {"rip": CODE + len(code), "rax": rax % (1 << 64), "rdi": DATA, "rsi": 0x80}
        builder.thread(ident, amd64_context(**registers))
    builder.memory(CODE, code).memory(DATA, mutex(2, 12))
    path = tmp_path / "futex.dmp"
    path.write_bytes(builder.build())
    session = Session()
    found = report(session.open_dump(str(path)))
    session.close()
    (wait,) = found.waits
    assert (wait.thread.id, wait.owner and wait.owner.id, wait.is_guess) == (11, 12, True)
    assert len(found.notes) == 1


def test_s390_has_the_number_of_the_call_in_the_instruction(opened: Open) -> None:
    """The thread is set back to the instruction; numbers are big-endian."""
    registers = {1: CODE, 5: 0x80, 6: 2, 26: DATA}  # pswa, r3, r4, orig_r2 by words of eight bytes
    values = [registers.get(index, 0) for index in range(27)]
    for code, count in ((b"\x0a\xee", 1), (b"\x0a\x03", 0)):
        builder = ElfCoreBuilder(is_big=True, machine=22).memory(CODE - 2, b"\0\0" + code, flags=5)
        builder.memory(DATA, struct.pack(">5I", 2, 0, 12, 1, 0))
        builder.thread(11, 0, *values).thread(12, 0, *[0] * 27)
        waits = report(opened(builder)).waits
        assert [(w.thread.id, w.owner and w.owner.id) for w in waits] == [(11, 12)] * count
