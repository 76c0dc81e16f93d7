"""kdlib's minidumps: the manifest's facts, and what kdlib's tests assert of dbgeng.

Its legacy full dump has a module of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.identifiers import DebugId
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Notice
from polydbg.engine.session import Session
from polydbg.engine.stack import StackFrame
from polydbg.engine.windows_process import teb
from polydbg.library.handle import Handle
from polydbg.library.variables import Locals, Variable
from polydbg.symbols.store.path import SymbolPath
from polydbg.targets.wow64 import x86_registers
from polydbg.unwind.frames import FrameTrust

pytestmark = pytest.mark.corpus


def open_dump(data_dir: Path, file: str, symbols: str) -> Iterator[Session]:
    session = Session()
    folder = data_dir / "symbols" / "kdlib" / symbols
    session.settings.symbol_path = SymbolPath.parse(str(folder))
    session.open_dump(str(data_dir / "minidump" / "kdlib" / file))
    yield session
    session.close()


@pytest.fixture(scope="module")
def wow64(data_dir: Path) -> Iterator[Session]:
    yield from open_dump(data_dir, "stacktest_wow64.dmp.xz", "stacktest_wow64")


@pytest.fixture(scope="module")
def cv_allreg(data_dir: Path) -> Iterator[Session]:
    yield from open_dump(data_dir, "cv_allreg_amd64.dmp", "cv_allreg_amd64")


@pytest.fixture(scope="module")
def small(data_dir: Path) -> Iterator[Session]:
    yield from open_dump(data_dir, "targetapp_minidump.dmp", "none")


Run = Callable[[str], list[str]]


@pytest.fixture
def run(wow64: Session) -> Run:
    """Lines that commands print on the WOW64 dump, which begins each test as it was opened."""
    system = wow64.current
    system.select_machine(system.event_machine)
    assert system.event_thread is not None
    system.select_thread(system.event_thread)
    interpreter = Interpreter(wow64, CancelToken(), lambda text, done, total: None)

    def lines(line: str) -> list[str]:
        items = [i for i in interpreter.run(line) if not isinstance(i, (CommandEnd, Notice))]
        return "\n".join(i.text() for i in items).split("\n")

    return lines


def frames(session: Session, limit: int = 64) -> list[StackFrame]:
    system = session.current
    return list(session.stack(system, system.scope_registers(), limit))


def facts(session: Session) -> tuple[object, ...]:
    """Threads, modules, ranges, process, processors, exception: what the manifest lists."""
    target = session.current.target
    event = target.event()
    assert event is not None
    record = event.exception
    return (
        *(len(target.threads()), len(target.modules())),
        *(len(list(target.memory.ranges())), target.process_id),  # type: ignore[attr-defined]
        target.system().processor_count,
        *(record.code, record.address, event.thread_id, record.parameters),
    )


def test_facts_of_the_wow64_dump(wow64: Session) -> None:
    target = wow64.current.target
    assert facts(wow64) == (4, 12, 84, 31488, 8, 0x4000001F, 0x875F5D, 49144, (0,))
    first = target.modules()[0]
    assert (first.base, first.size) == (0x850000, 0x48000)
    assert first.debug_id == DebugId("60CF2F6A4C064192ABCE11C056386E8A", 1)
    assert (target.arch, target.system().build) == ("amd64", 17134)
    assert wow64.current.machines == ("amd64", "x86")


def test_the_program_that_both_loader_lists_have_is_one_module(wow64: Session) -> None:
    names = [module.name for module in wow64.current.modules.modules]
    assert names.count("targetapp") == 1
    assert len(names) == 11
    assert "ntdll_77cf0000" in names


def test_it_opens_in_the_32_bit_code_that_stopped(wow64: Session, run: Run) -> None:
    assert wow64.prompt == "0:000:x86> "
    assert run("r")[:2] == [
        "eax=00893071 ebx=005d8000 ecx=00893071 edx=00000001 esi=006ff670 edi=006ff550",
        "eip=00875f5d esp=006ff478 ebp=006ff550 iopl=0         nv up ei pl zr na pe nc",
    ]
    assert run("u . L2")[1:] == [
        "00875f5d cc              int     3",
        "00875f5e 5f              pop     edi",
    ]


def test_the_stack_that_dbgeng_sees(wow64: Session, run: Run) -> None:
    found = frames(wow64)
    assert [(f.place.text, f.line) for f in found[:9]] == [
        ("targetapp!stackTestClass::stackMethod+0x2d", 129),
        ("targetapp!stackTestRun2+0x5a", 144),
        ("targetapp!stackTestRun1+0xc5", 172),
        ("targetapp!stackTestRun+0x86", 185),
        ("targetapp!wmain+0x412", 66),
        ("targetapp!invoke_main+0x1e", 90),
        ("targetapp!__scrt_common_main_seh+0x157", 288),
        ("targetapp!__scrt_common_main+0xd", 330),
        ("targetapp!wmainCRTStartup+0x8", 16),
    ]
    assert {f.trust for f in found[1:9]} == {FrameTrust.FRAME_DATA}
    assert found[9].place.text == "kernel32!BaseThreadInitThunk+0x24"
    # RtlUserThreadStart's two frames; its own name is in ntdll's PDB alone.
    assert [f.frame.return_address for f in found[9:]] == [0x77D5305A, 0x77D5302A, 0]
    assert all(f.trust.is_guess for f in found[10:])


def variables(session: Session, number: int) -> dict[str, Variable]:
    """The variables of a frame of the selected thread by name."""
    system = session.current
    row = list(session.stack(system, system.scope_registers(), number + 1))[number]
    return dict(Locals(Handle(session, system), row, system.thread))


def kinds(found: dict[str, Variable]) -> dict[str, list[str]]:
    return {
        kind: sorted(name for name, each in found.items() if each.kind == kind)
        for kind in sorted({each.kind for each in found.values()})
    }


EIGHT_TENTHS = struct.unpack("<f", struct.pack("<f", 0.8))[0]  # the caller's float, as a double


def test_the_parameters_that_kdlib_asserts_of_the_method(wow64: Session, run: Run) -> None:
    """Frame 0: three parameters, ``this->m_param`` 1234, a 0.8f, b 10."""
    assert run("~0s")
    found = variables(wow64, 0)
    assert kinds(found) == {"param": ["a", "b", "this"]}
    assert (found["this"].type, found["this"]["m_param"].value) == ("stackTestClass *", 1234)
    assert (found["a"].type, found["a"].value) == ("double", EIGHT_TENTHS)
    assert (found["b"].type, found["b"].value) == ("int", 10)
    assert run("?? this->m_param") == ["long 0n1234"]
    assert run("? poi(poi(@ebp-8))") == ["Evaluate expression: 1234 = 000004d2"]


def test_the_parameters_that_kdlib_asserts_of_the_fastcall(wow64: Session, run: Run) -> None:
    """Frame 1: ``__fastcall``, whose first two arguments come in ECX and EDX (the first is where
    to put the std::string that is returned): a 10, b 0.8f."""
    assert run("~0s")
    found = variables(wow64, 1)
    assert [name for name, each in found.items() if each.kind == "param"] == ["a", "b", "c"]
    assert (found["a"].value, found["b"].value, found["c"].string()) == (10, EIGHT_TENTHS, "Bye")
    assert (found["localInt"].value, found["stackClass"]["m_param"].value) == (10, 1234)
    rows = [row for row in run("kb 2") if row[:3] in ("00 ", "01 ")]
    assert rows[0].startswith("00 006ff550 008761da     a0000000 3fe99999 0000000a targetapp!")
    assert rows[1].startswith("01 006ff654 00876055     006ff688 0000000a a0000000 targetapp!")


def test_the_locals_and_statics_that_kdlib_asserts(wow64: Session, run: Run) -> None:
    """Frame 2: three locals (localFloat 0.8f, localChars), two statics, staticLong 1."""
    assert run("~0s")
    found = variables(wow64, 2)
    assert kinds(found) == {
        "local": ["localChars", "localDouble", "localFloat"],
        "param": ["a", "b", "c"],
        "static": ["staticFloat", "staticLong"],
    }
    assert (found["localFloat"].type, found["localFloat"].value) == ("float", EIGHT_TENTHS)
    assert (found["localChars"].string(), found["localChars"].size) == ("Bye", 256)
    assert (found["staticLong"].value, found["staticFloat"].value) == (1, 3.5)
    # The reference and what it refers to are 32-bit ones of a 64-bit dump.
    assert (found["b"].size, found["b"].value, found["c"].value) == (4, EIGHT_TENTHS, "Bye")
    assert run(".frame 2")
    assert run("?? sizeof(localChars) + sizeof(long) + sizeof(void *)")[0].endswith("0x108")
    assert run("?? localChars[1]")[0] == "char 0n121 'y'"
    assert run("dv /t staticLong") == ["long staticLong = 0n1"]
    assert run("dt targetapp!stackTestClass")[-1] == "   +0x000 m_param          : Int4B"
    assert "stackTestClass::stackMethod(double a = 0.8" in run("kp 1")[-1]


def test_other_threads_have_their_32_bit_side_behind_tls_slot_1(wow64: Session, run: Run) -> None:
    """Thread 2 of kdlib: NtWaitForWorkViaWorkerFactory called by TppWorkerThread.

    TppWorkerThread is not exported, and ntdll's PDB is not at hand: the second frame must be in
    that module, and the chain go on to the start of the thread.
    """
    run("~2s")
    assert run("r eip, esp, ebp") == ["eip=77d5bf1c esp=00c6fa50 ebp=00c6fc08"]
    found = frames(wow64)
    assert found[0].place.text == "ntdll_77cf0000!NtWaitForWorkViaWorkerFactory+0xc"
    assert found[1].trust is FrameTrust.INSTRUCTIONS
    assert found[1].place.module == "ntdll_77cf0000"
    assert found[1].frame.pc == 0x77D3CBB6
    assert found[2].place.text == "kernel32!BaseThreadInitThunk+0x24"


def test_the_64_bit_side_goes_through_the_emulation(wow64: Session, run: Run) -> None:
    run("~2s")
    assert run(".effmach amd64") == ["Effective machine: x64 (AMD64)"]
    found = frames(wow64)
    assert found[0].place.text == "ntdll!NtWaitForWorkViaWorkerFactory+0x14"
    assert [f.place.module for f in found[1:4]] == ["wow64", "wow64", "wow64cpu"]
    assert not any(f.trust.is_guess for f in found)
    assert found[-1].place.text == "ntdll!LdrInitializeThunk+0xe"
    # Code of a 32-bit image stays 32-bit code.
    assert run("u 77d5bf1c L1")[1] == "00000000`77d5bf1c c21400          ret     14h"
    assert run(".ecxr")[0].startswith("eax=00893071")
    assert wow64.prompt == "0:000:x86> "


def test_the_32_bit_blocks_of_every_thread(wow64: Session, run: Run) -> None:
    """The block lies where the 64-bit one and its distance say; ids and stacks fit."""
    system = wow64.current
    for thread in system.target.threads():
        block = teb(system, thread)
        assert thread.teb is not None
        assert (block.address, block.peb) == (thread.teb + 0x2000, 0x5D8000)
        assert block.thread_id == thread.id
        assert block.stack_limit is not None
        assert block.stack_base is not None
        esp = x86_registers(system.target, thread)["esp"]
        assert block.stack_limit <= esp < block.stack_base


def test_facts_of_cv_allreg(cv_allreg: Session) -> None:
    assert facts(cv_allreg) == (4, 8, 6, 11524, 4, 0x80000003, 0x7FF66D9F29E9, 22376, (0,))
    first = cv_allreg.current.target.modules()[0]
    assert (first.base, first.size) == (0x7FF66D9F0000, 0x11000)
    assert first.debug_id == DebugId("B3715C7EDE8E48A98BE5204FF5C9E3AA", 1)


def test_the_frame_whose_locals_kdlib_reads(cv_allreg: Session) -> None:
    """No image is at hand, so that callers are guesses: the true ones must be among the marked."""
    found = frames(cv_allreg)
    assert found[0].place.text == "targetapp!test_cv_allreg_amd64+0x39"
    assert found[0].line == 126
    names = [f.place.base_text for f in found]
    true = ["targetapp!test_cv_allreg", "targetapp!wmain", "targetapp!__scrt_common_main_seh"]
    assert [name for name in names if name in true] == true
    assert all(f.trust.is_guess for f in found[1:])


def test_every_local_in_scope_of_the_optimised_frame_is_read(cv_allreg: Session) -> None:
    """kdlib: the current frame has at least one local, and every one can be read.

    ``f``, ``le`` and ``lt`` are told apart: their only ranges begin after the instruction, so that
    dbgeng does not list them at it, and they have no value here. ``r`` has a range relative to the
    frame by CV_ALLREG_VFRAME, beside the register that holds it here.
    """
    found = variables(cv_allreg, 0)
    lost = {name for name, each in found.items() if not each.is_available}
    assert lost == {"f", "le", "lt"}
    assert {found[name].problem for name in lost} == {
        "the compiler keeps it nowhere at this instruction"
    }
    registers = cv_allreg.current.scope_registers()
    held = {"aa": "r14", "ab": "r15", "e": "r12"}
    assert {n: found[n].value for n in held} == {n: registers[r] for n, r in held.items()}
    assert found["r"].value == registers["rcx"] & 0xFF == ord("t")


def test_facts_of_the_small_dump(small: Session) -> None:
    target = small.current.target
    assert facts(small) == (2, 7, 4, 11664, 4, 0x80000003, 0x7FF6191A2FC7, 18672, (0,))
    first = target.modules()[0]
    assert (first.base, first.size) == (0x7FF619180000, 0x4D000)
    assert first.debug_id == DebugId("38CDA79CC1EA486C9154EC97629B3A7C", 4)
    # FullMemoryInfo, UnloadedModules, HandleData are what kdlib asserts of the flags.
    assert target.system().dump_flags == 0x40824
    assert (len(target.handles()), len(target.regions())) == (43, 91)
    assert frames(small)[0].place.text == "targetapp+0x22fc7"


def test_variables_of_a_guessed_frame_say_that_it_is_one(cv_allreg: Session) -> None:
    interpreter = Interpreter(cv_allreg, CancelToken(), lambda text, done, total: None)
    sure = list(interpreter.run(".ecxr; dv r"))
    assert not [each for each in sure if isinstance(each, Notice) and "guess" in each.value]
    found = list(interpreter.run(".frame 3; dv argc"))
    (notice,) = [each for each in found if isinstance(each, Notice) and "guess" in each.value]
    assert notice.identifier == "stack.guessed"
    list(interpreter.run(".frame 0"))
