"""Frames that symbol files describe: layouts as DIA lists them, stacks as other tools walk them.

``*.sym`` beside the PDBs hold Breakpad's ``STACK WIN``, made with DIA, or with Mozilla's dump_syms;
``expected`` has the stacks of Breakpad's minidump_stackwalk, of rust-minidump's and Symbolicator.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest

from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.store import SymbolPath
from polydbg.unwind.frames import FrameTrust
from polydbg.unwind.postfix import words_of

pytestmark = pytest.mark.corpus

# The figures: layouts by frame data, plain ones, and funclets (filters and handlers) with both.
# For these we take the plain record: the frame data repeats the sizes of the function around.
LAYOUTS = {
    "breakpad-win/dump_syms_regtest": (237, 29, 15),
    "breakpad-win/omap_reorder_bbs": (1055, 29, 15),
    "breakpad-win/omap_stretched": (275, 29, 15),
    "dump_syms/basic32-min": (4907, 21, 65),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_of_a_pdb_are_those_of_dia(data_dir: Path, name: str) -> None:
    source = open_pdb(data_dir / "symbols" / f"{name}.pdb")
    by_program: dict[int, tuple[int, int, int, list[str]]] = {}
    plain = 0
    for line in (data_dir / "symbols" / f"{name}.sym").read_text("utf-8", "replace").splitlines():
        found = re.fullmatch(r"STACK WIN ([04]) ((?:[0-9a-f]+ ){8})[01] (.*)", line)
        if found is None:
            continue
        rva, _, _, _, parameters, saved, local, _ = (int(word, 16) for word in found[2].split())
        if found[1] == "4":
            # Nested records may begin at one address: the innermost comes last.
            by_program[rva] = parameters, saved, local, words_of(found[3])
            continue
        frame = source.win_frame_at(rva)
        assert frame is not None, line
        assert not frame.program, line
        sizes = frame.parameters_size, frame.saved_size, frame.locals_size
        assert sizes == (parameters, saved, local), line
        plain += 1
    same = funclets = 0
    for rva, expected in by_program.items():
        frame = source.win_frame_at(rva)
        assert frame is not None, hex(rva)
        if not frame.program:
            assert ".raSearchStart" in expected[3]
            funclets += 1
            continue
        sizes = frame.parameters_size, frame.saved_size, frame.locals_size
        assert (*sizes, words_of(frame.program)) == expected, hex(rva)
        same += 1
    assert (same, plain, funclets) == LAYOUTS[name]


def _open(dump: Path, symbols: Path) -> tuple[Session, System]:
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(symbols))
    return session, session.open_dump(str(dump))


def _stack(session: Session, system: System) -> list[StackFrame]:
    registers = system.select_exception()
    assert registers is not None
    return [row for row in session.stack(system, registers, 40) if not row.is_inline]


def test_a_stack_as_breakpad_walks_it(data_dir: Path) -> None:
    expected = (data_dir / "expected/breakpad/minidump2.stackwalk.out").read_text("utf-8")
    numbers = re.findall(r"eip = 0x(\w+)\s+esp = 0x(\w+)\s+ebp = 0x(\w+)", expected)
    session, system = _open(
        data_dir / "minidump/breakpad/minidump2.dmp", data_dir / "symbols/breakpad"
    )
    rows = _stack(session, system)
    frames = [row.frame for row in rows]
    found = [(f.pc, f.sp, f.registers["ebp"]) for f in frames]
    assert found == [tuple(int(each, 16) for each in row) for row in numbers]
    assert [f.trust for f in frames] == [FrameTrust.CONTEXT, *[FrameTrust.FRAME_DATA] * 3]
    assert [row.place.symbol for row in rows] == re.findall(r"!(.*?)(?: \[| \+)", expected)


def test_a_stack_as_symbolicator_walks_it(data_dir: Path) -> None:
    expected = (data_dir / "expected/symbolicator/minidump_windows.snap").read_text("utf-8")
    first = expected.split("thread_id:")[1]
    # An inlined call repeats the address of the frame; callers are given inside the call.
    numbers = [int(word, 16) for word in re.findall(r'instruction_addr: "(\w+)"', first)]
    session, system = _open(
        data_dir / "minidump/symbolicator/windows.dmp", data_dir / "symbols/symbolic-windows"
    )
    frames = [row.frame for row in _stack(session, system)]
    assert [frame.lookup_pc for frame in frames[:2]] == list(dict.fromkeys(numbers))[:2]
    assert [frame.pc for frame in frames[2:]] == list(dict.fromkeys(numbers))[2:]
    assert [frame.trust for frame in frames] == [
        FrameTrust.CONTEXT,
        FrameTrust.FRAME_DATA,
        FrameTrust.FRAME_DATA,  # its frame is found by the layout of the function it called
        FrameTrust.FRAME_POINTER,
        FrameTrust.FRAME_POINTER,
    ]


def test_the_32_bit_stack_of_a_wow64_process(data_dir: Path, tmp_path: Path) -> None:
    # kdlib's tests name the first frames, which dbgeng walked.
    dump = tmp_path / "wow64.dmp"
    dump.write_bytes(
        lzma.decompress((data_dir / "minidump/kdlib/stacktest_wow64.dmp.xz").read_bytes())
    )
    session, system = _open(dump, data_dir / "symbols/kdlib/stacktest_wow64")
    system.select_machine("x86")
    rows = _stack(session, system)
    assert [row.place.symbol for row in rows[:9]] == [
        "stackTestClass::stackMethod",
        "stackTestRun2",
        "stackTestRun1",
        "stackTestRun",
        "wmain",
        "invoke_main",
        "__scrt_common_main_seh",
        "__scrt_common_main",
        "wmainCRTStartup",
    ]
    assert [row.trust for row in rows[1:10]] == [FrameTrust.FRAME_DATA] * 9


def test_call_frame_rules_as_rust_minidump_follows_them(data_dir: Path) -> None:
    # Its own words for how a frame was found, as far as it did not scan.
    trusts = {
        "given as instruction pointer in context": FrameTrust.CONTEXT,
        "call frame info": FrameTrust.CFI,
        "previous frame's frame pointer": FrameTrust.FRAME_POINTER,
    }
    text = (data_dir / "expected/rust-minidump/macos_inlines_human.snap").read_text("utf-8")
    session, system = _open(
        data_dir / "minidump/rust-minidump/pipeline-inlines-macos-segv.dmp",
        data_dir / "symbols/rust-minidump",
    )
    compared = by_rules = 0
    sections = re.split(r"\nThread \d+ .*tid: (\d+)\n", text)
    for number, section in zip(sections[1::2], sections[2::2], strict=True):
        expected: list[tuple[int, int, FrameTrust]] = []
        for numbers, words in re.findall(r"((?:    +\w+ = 0x.*\n)+)    Found by: (.*)", section):
            if words not in trusts:
                break
            place = (re.search(rf"{name} = 0x(\w+)", numbers) for name in ("rip", "rsp"))
            pc, sp = (int(found[1], 16) for found in place if found)
            expected.append((pc, sp, trusts[words]))
        thread = next(each for each in system.target.threads() if each.id == int(number))
        registers = system.target.registers(thread)
        assert registers is not None
        rows = [row for row in session.stack(system, registers, 40) if not row.is_inline]
        found = [(row.frame.pc, row.frame.sp, row.trust) for row in rows]
        assert found[: len(expected)] == expected, number
        compared += len(expected)
        by_rules += sum(trust is FrameTrust.CFI for _, _, trust in expected)
    assert (compared, by_rules) == (77, 46)


@pytest.mark.parametrize(
    "name", ["ascii_read_av_conditional", "ascii_write_av", "read_av_conditional"]
)
def test_frame_pointers_without_symbols_as_the_debugger_follows_them(
    data_dir: Path, name: str
) -> None:
    transcript = data_dir / f"windbg-transcripts/data/minidump__breakpad__{name}.dmp.txt"
    after = transcript.read_text("utf-8", "replace").split("0:000> k\n")[1].split("0:000>")[0]
    rows = re.findall(r"^([0-9a-f]{8}) ([0-9a-f]{8}) ", after, re.MULTILINE)
    assert "Following frames may be wrong" in after
    session, system = _open(data_dir / f"minidump/breakpad/{name}.dmp", data_dir / "symbols")
    frames = [row.frame for row in _stack(session, system)]
    assert [
        (f"{f.caller_sp - 8:08x}", f"{f.return_address:08x}") for f in frames if f.caller_sp
    ] == rows
    assert all(frame.trust.is_guess for frame in frames[1:])
