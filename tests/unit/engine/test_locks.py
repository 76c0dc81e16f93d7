"""Critical sections: both readings of their counts, lists, shapes, waits, deadlocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.arch.disassembly import Disassembler
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.engine.lock_waits import argument_before
from polydbg.engine.locks import Evidence, critical_section, lock_report, sections_in
from polydbg.engine.session import Session, System
from polydbg.symbols.store.path import SymbolPath
from polydbg.testing.minidump_builder import amd64_context, x86_context
from polydbg.testing.pe_builder import DATA_RVA, TEXT_RVA, PeBuilder, unwind_info
from polydbg.testing.process_builder import ProcessBuilder

DATA = 0x5000000


def opened(tmp_path: Path, process: ProcessBuilder) -> System:
    path = tmp_path / "locks.dmp"
    path.write_bytes(process.dump.build())
    return Session().open_dump(str(path))


def section(process: ProcessBuilder, count: int, recursion: int, owner: int, info: int) -> bytes:
    out = process.pointer(info)
    out += (count % (1 << 32)).to_bytes(4, "little") + (recursion % (1 << 32)).to_bytes(4, "little")
    return out + process.pointer(owner) + process.pointer(0) + process.pointer(4000)


def sample(system: Session, path: Path, data_dir: Path) -> System:
    folder = data_dir / "samples" / "win"
    system.settings.symbol_path = SymbolPath.parse(str(folder / "bin"))
    system.settings.image_path = SymbolPath.parse(f"{folder / 'bin'};{folder / 'wine'}")
    return system.open_dump(str(path))


@pytest.mark.parametrize("arch", ["amd64", "x86"])
@pytest.mark.parametrize(
    ("count", "recursion", "locked", "waiters", "woken"),
    [
        (-1, 0, False, 0, False),
        (-2, 1, True, 0, False),
        (-22, 1, True, 5, False),  # the example of Microsoft's page on displaying sections
        (-8, 2, True, 1, True),
        (0, 1, True, 0, False),  # before Server 2003 SP1, and Wine
        (3, 2, True, 2, False),
    ],
)
def test_counts(
    tmp_path: Path, arch: str, count: int, recursion: int, locked: bool, waiters: int, woken: bool
) -> None:
    process = ProcessBuilder(arch=arch)
    process.thread(0x44)
    address = process.place(section(process, count, recursion, 0x44 if locked else 0, -1))
    found = critical_section(opened(tmp_path, process), address)
    assert (found.is_locked, found.waiters, found.waiter_woken) == (locked, waiters, woken)
    assert (found.lock_count, found.recursion_count, found.spin_count) == (count, recursion, 4000)
    assert found.owner is None if not locked else found.owner is not None
    assert found.entry_count is None


def linked(process: ProcessBuilder, owners: list[int]) -> list[int]:
    """Put sections, one after another, whose debug information forms a ring with a head."""
    size = process.size
    wide = size == 8
    base = DATA + 0x40
    length, section_at, link = 0x100, 0x80, 0x10 if wide else 0x08
    count = len(owners)
    infos = [base + length * (i + 1) for i in range(count)]
    ring = [base, *(info + link for info in infos)]
    out = bytearray(length)
    out[: 2 * size] = process.pointer(ring[1 % len(ring)]) + process.pointer(ring[-1])
    for i, owner in enumerate(owners):
        block = bytearray(length)
        at = infos[i] + section_at
        block[size : 2 * size] = process.pointer(at)
        links = process.pointer(ring[(i + 2) % len(ring)]) + process.pointer(ring[i])
        block[link : link + 2 * size] = links
        block[link + 2 * size : link + 2 * size + 8] = bytes([7, 0, 0, 0, 9, 0, 0, 0])
        body = section(process, -2 if owner else -1, 1 if owner else 0, owner, infos[i])
        block[section_at : section_at + len(body)] = body
        out += block
    process.dump.memory(base, bytes(out))
    return [info + section_at for info in infos]


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_the_list_is_followed_from_the_loader_lock(tmp_path: Path, arch: str) -> None:
    process = ProcessBuilder(arch=arch)
    places = linked(process, [0, 0x44, 0, 0x45])
    process.thread(0x44, process.peb(loader_lock=places[2]))
    report = lock_report(opened(tmp_path, process), CancelToken())
    assert [s.address for s in report.sections] == places
    assert [s.is_locked for s in report.sections] == [False, True, False, True]
    assert {s.evidence for s in report.sections} == {Evidence.DEBUG_INFO}
    assert {(s.entry_count, s.contention_count) for s in report.sections} == {(7, 9)}
    held = report.sections[1]
    assert held.owner is not None
    assert held.owner.id == 0x44
    assert report.sections[3].owner is None, "thread 45 is not in the dump"
    assert (report.waits, report.cycles, report.notes) == ((), (), ())


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_sections_of_a_range(tmp_path: Path, arch: str) -> None:
    process = ProcessBuilder(arch=arch)
    places = linked(process, [0, 0x44])
    process.thread(0x44)
    system = opened(tmp_path, process)
    found = sections_in(system, DATA, DATA + 0x1000, CancelToken())
    assert [s.address for s in found] == places


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_held_sections_in_the_data_of_modules(tmp_path: Path, arch: str) -> None:
    """By their shape: what only looks like a thread's id is none."""
    process = ProcessBuilder(arch=arch)
    process.thread(0x44, process.peb())
    held = section(process, -2, 1, 0x44, -1)
    stray = section(process, 0x1234567, -1, 0x44, 0x77)
    data = bytes(0x40) + held.ljust(0x40, b"\0") + stray
    process.dump.module(DATA, 0x1000, "app.exe").memory(DATA, data)
    report = lock_report(opened(tmp_path, process), CancelToken())
    assert [s.address for s in report.sections] == [DATA + 0x40]
    assert report.sections[0].is_guess


def test_a_list_that_leads_anywhere(tmp_path: Path) -> None:
    """Links into nothing, to themselves, and information of other sections."""
    process = ProcessBuilder()
    places = linked(process, [0, 0x44])
    process.dump.memory(DATA + 0x2000, b"\xff" * 0x40)
    process.thread(0x44, process.peb(loader_lock=places[0], fast_peb_lock=DATA + 0x2000))
    report = lock_report(opened(tmp_path, process), CancelToken())
    assert [s.address for s in report.sections] == places


def test_cancelled(tmp_path: Path) -> None:
    process = ProcessBuilder()
    process.thread(1)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        lock_report(opened(tmp_path, process), cancel)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("488d0d00100000ff1500000000", 0x401007),  # lea rcx,[rip+1000h]; call [..]
        ("488bcb e800000000", 0x7000),  # mov rcx,rbx; call
        ("488d4b28 e800000000", 0x7028),  # lea rcx,[rbx+28h]; call
        ("488d4b28 488bcf e800000000", 0x8000),  # mov rcx,rdi is the last one
        ("488bcb 488bdf e800000000", None),  # rbx changes before the call
        ("488b0d00100000 e800000000", None),  # from memory: it may have changed since
        ("488bcb eb00 e800000000", None),  # across a jump
        ("488bc8 e800000000", None),  # from rax, which calls do not keep
    ],
)
def test_the_argument_before_a_call(code: str, expected: int | None) -> None:
    decoder = Disassembler("amd64")
    rows = list(decoder.decode(bytes.fromhex(code.replace(" ", "")), 0x400000))
    registers = {"rbx": 0x7000, "rdi": 0x8000}
    found = argument_before(decoder, rows, ("rcx", "ecx"), registers)
    assert found == expected


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["lockstep", "lockstep-names", "lockstep-full"])
def test_the_deadlock_of_lockstep(
    sample_dump: Callable[[str], Path], data_dir: Path, name: str
) -> None:
    """alice (1) holds left and wants right, bob (2) the other way round: lockstep.c."""
    session = Session()
    system = sample(session, sample_dump(name), data_dir)
    report = lock_report(system, CancelToken())
    held = {
        system.modules.place(s.address).text: (s.owner.ordinal if s.owner else None, s.waiters)
        for s in report.sections
        if s.is_locked
    }
    assert held == {"lockstep!g_fork_left": (1, 1), "lockstep!g_fork_right": (2, 1)}
    waits = {
        w.thread.ordinal: (system.modules.place(w.section.address).text, w.is_guess)
        for w in report.waits
    }
    assert waits == {1: ("lockstep!g_fork_right", False), 2: ("lockstep!g_fork_left", False)}
    assert [[w.thread.ordinal for w in cycle] for cycle in report.cycles] == [[1, 2]]
    session.close()


@pytest.mark.corpus
def test_waits_without_the_sections_memory(
    sample_dump: Callable[[str], Path], data_dir: Path
) -> None:
    """Wine's own writer leaves the data out: the code before the call still names the section."""
    session = Session()
    system = sample(session, sample_dump("lockstep.wine"), data_dir)
    report = lock_report(system, CancelToken())
    waits = {w.thread.ordinal: system.modules.place(w.section.address).text for w in report.waits}
    assert waits == {2: "lockstep!g_fork_right", 3: "lockstep!g_fork_left"}
    assert not any(w.section.is_present or w.owner for w in report.waits)
    assert report.cycles == ()
    session.close()


@pytest.mark.corpus
def test_waits_without_any_file(sample_dump: Callable[[str], Path]) -> None:
    """No symbols, no images: found by shape; full memory still holds ntdll's exports."""
    session = Session()
    session.settings.symbol_path = session.settings.image_path = SymbolPath.parse("")
    report = lock_report(session.open_dump(str(sample_dump("lockstep"))), CancelToken())
    assert [s.owner.ordinal for s in report.sections if s.owner] == [1, 2]
    session.close()
    session = Session()
    report = lock_report(session.open_dump(str(sample_dump("lockstep-full"))), CancelToken())
    assert [[w.thread.ordinal for w in cycle] for cycle in report.cycles] == [[1, 2]]
    session.close()


NTDLL, APP = 0x70000000, 0x400000
ENTER = 0x1000  # where RtlEnterCriticalSection begins in the made ntdll


def put_image(process: ProcessBuilder, base: int, image: bytes, name: str) -> None:
    """Put an image into the dump as a loader maps it: headers, .text, .data."""
    process.dump.module(base, 0x6000, name)
    process.dump.memory(base, image[:0x400])
    process.dump.memory(base + TEXT_RVA, image[0x400:0x600])
    process.dump.memory(base + DATA_RVA, image[0x600:])


def two_that_wait(arch: str, *, named: bool = True, code: bytes = b"") -> ProcessBuilder:
    """Threads 0x44 and 0x48 each hold one of two sections in app.exe and wait for the other.

    *code* is what app.exe has before the return address of the call that they wait in.
    """
    process = ProcessBuilder(arch=arch)
    size = process.size
    text = b"\x55\x8b\xec" + b"\x90" * 0x1C  # push ebp; mov ebp,esp
    ntdll = PeBuilder(machine=arch, image_base=NTDLL, text=text + b"\xc3")
    if process.size == 8:  # with a table for others, the waiting function is a leaf
        ntdll.function(ENTER + 0x100, ENTER + 0x110, unwind_info())
    if named:
        ntdll.exports("ntdll.dll", [("RtlEnterCriticalSection", ENTER)])
    put_image(process, NTDLL, ntdll.build(), "ntdll.dll")
    process.dump.module(APP, 0x6000, "app.exe")
    first, second = APP + 0x4000, APP + 0x4100
    held = (section(process, -6, 1, owner, -1).ljust(0x100, b"\0") for owner in (0x44, 0x48))
    process.dump.memory(first, b"".join(held))
    call = code + b"\xe8\0\0\0\0"
    returns = APP + 0x1000 + len(call)
    process.dump.memory(APP + 0x1000, call + b"\xc3" * 16)
    block = process.peb()
    for number, (ident, wanted) in enumerate(((0x44, second), (0x48, first))):
        stack = 0x100000 * (number + 1)
        if size == 4:
            words = process.pointer(0) + process.pointer(returns) + process.pointer(wanted)
            context = x86_context(eip=NTDLL + ENTER + 0x10, esp=stack, ebp=stack)
        else:
            words = process.pointer(returns)
            context = amd64_context(rip=NTDLL + ENTER + 0x10, rsp=stack, rbx=wanted, rdi=wanted)
        process.dump.memory(stack, words.ljust(0x80, b"\0"))
        process.thread(ident, block, context=context)
    return process


def test_the_argument_of_x86_lies_on_the_stack(tmp_path: Path) -> None:
    """The frames are found by frame pointers here: so the wait and the deadlock are guesses."""
    report = lock_report(opened(tmp_path, two_that_wait("x86")), CancelToken())
    assert [(w.thread.id, w.section.address) for w in report.waits] == [
        (0x44, APP + 0x4100),
        (0x48, APP + 0x4000),
    ]
    assert [s.waiters for s in report.sections] == [1, 1]
    assert all(w.reason == "argument of ntdll!RtlEnterCriticalSection" for w in report.waits)
    assert [[w.thread.id for w in cycle] for cycle in report.cycles] == [[0x44, 0x48]]


def test_the_code_before_a_call_names_the_argument(tmp_path: Path) -> None:
    process = two_that_wait("amd64", code=bytes.fromhex("488bcf"))  # mov rcx,rdi
    report = lock_report(opened(tmp_path, process), CancelToken())
    assert [w.section.address for w in report.waits] == [APP + 0x4100, APP + 0x4000]
    assert all("argument" in w.reason for w in report.waits)


def test_registers_are_searched_where_the_code_does_not_tell(tmp_path: Path) -> None:
    process = two_that_wait("amd64", code=bytes.fromhex("488b0c24"))  # mov rcx,[rsp]
    report = lock_report(opened(tmp_path, process), CancelToken())
    assert {w.reason for w in report.waits} == {"rbx in ntdll!RtlEnterCriticalSection"}
    assert all(w.is_guess for w in report.waits)
    assert len(report.cycles) == 1


@pytest.mark.parametrize("arch", ["amd64", "x86"])
def test_without_names_only_registers_tell(tmp_path: Path, arch: str) -> None:
    report = lock_report(opened(tmp_path, two_that_wait(arch, named=False)), CancelToken())
    assert [s.owner.id for s in report.sections if s.owner] == [0x44, 0x48]
    if arch == "amd64":
        assert all(w.is_guess and "rbx in ntdll" in w.reason for w in report.waits)
        assert len(report.cycles) == 1
    else:
        assert report.waits == ()


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "machine", "loader_lock"),
    [
        ("stacktest_wow64.dmp.xz", "x86", 0x77E05350),
        ("stacktest_x64_release.userdump.xz", "amd64", 0x7FFE049164E0),
    ],
)
def test_the_locks_of_real_windows(
    data_dir: Path, name: str, machine: str, loader_lock: int
) -> None:
    """Windows 10 17134: the loader lock has debug information of its own, the PEB's lock has none
    (-1), and ntdll links neither into its list any more."""
    session = Session()
    session.settings.symbol_path = session.settings.image_path = SymbolPath.parse("")
    system = session.open_dump(str(data_dir / "minidump" / "kdlib" / name))
    assert system.machine == machine
    report = lock_report(system, CancelToken())
    assert [s.address for s in report.sections][:1] == [loader_lock]
    assert [s.is_locked for s in report.sections] == [False, False]
    assert [s.entry_count for s in report.sections] == [0, None]
    assert not report.cycles
    assert not report.waits
    session.close()
