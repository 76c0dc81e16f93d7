"""Stacks of every thread of the collected minidumps against what other tools recorded of them.

Judges: ``peer-output`` (``bt all`` of lldb 19, with a symbol file where one was given) and the
snapshots of rust-minidump, Breakpad and Symbolicator in ``expected``. Frames are compared one by
one: against lldb to the end of its stack, against the others until one side scans for return
addresses. Where we differ, a table says why, and what the bytes show is asserted.
``pytest -s`` prints how many frames were compared; ``docs/cpus.md`` publishes it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polydbg.engine.session import Session, System
from polydbg.engine.stack import StackFrame, _UnwindView
from polydbg.symbols.store import SymbolPath
from polydbg.targets.crash_report import crash_report
from polydbg.targets.target import ThreadInfo
from polydbg.targets.wow64 import x86_registers
from polydbg.unwind.calls import code_before, ends_with_call
from polydbg.unwind.frames import FrameTrust

pytestmark = pytest.mark.corpus

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # as in conftest.py
LIMIT = 600
CACHED_PACKAGES = Path(__file__).resolve().parents[2] / "benchmarks" / ".cache" / "npm"
SYMBOLS = {
    "breakpad/linux_null_read_av": "breakpad",
    "breakpad/minidump2": "breakpad",
    "kdlib/cv_allreg_amd64": "kdlib/cv_allreg_amd64",
    "kdlib/stacktest_wow64": "kdlib/stacktest_wow64",
    "rust-minidump/pipeline-inlines-macos-segv": "rust-minidump",
    "symbolicator/windows": "symbolic-windows",
}
"""Where the symbols lie that lldb was given."""
SYMBOL_FILES = {
    ("linux_inline", "BBA6FA10B8AAB33D00000000000000000"): (
        "breakpad/linux_inline/BBA6FA10B8AAB33D00000000000000000/linux_inline.new.sym",
        "",
    ),
    ("crash", "C0BCC3F19827FE653058404B2831D9E60"): ("symbolic-linux/crash.sym", ""),
    ("crash.pdb", "3249D99D0C4049318610F4E4FB0B69361"): ("symbolic-windows/crash.sym", ""),
    ("crash_linux", "D2554CDB926136C4B9766A086583B9B50"): (
        "symbolic-minidump/crash_linux.sym",
        "MODULE Linux x86_64 D2554CDB926136C4B9766A086583B9B50 crash_linux\n",
    ),
    ("crash_macos", "3F58BC3DEABE3361B5FB52A6762985980"): (
        "symbolic-minidump/crash_macos.sym",
        "MODULE mac x86_64 3F58BC3DEABE3361B5FB52A6762985980 crash_macos\n",
    ),
}
"""Name and id of a module -> its symbol file, and the line at its head that it lacks."""


class PeerFrame(NamedTuple):
    """A frame as another tool tells it. *pc* may point into the call or behind it."""

    pc: int
    is_scan: bool
    function: str
    line: int


class Difference(NamedTuple):
    """Why the stacks of *threads*, as lldb counts them, are not ours.

    *ours* and *theirs* are indices of the frames that only one side has; the rest must agree as far
    as *until*, an index into their stack.
    """

    why: str
    threads: frozenset[int]
    ours: frozenset[int] = frozenset()
    theirs: frozenset[int] = frozenset()
    until: int = 1 << 16


_ONE, _NONE = frozenset((1,)), frozenset[int]()
NO_FRAME_YET = "the word on top of the stack follows a call; others take the frame pointer's chain"
JUMPED = "lldb takes the word on top of the stack, an address of the stack, for a return address"
MACH = "lldb shows zeros for macOS dumps by Breakpad: contexts have the flag of the processor alone"
STALE = "the thread runs 32-bit code: lldb shows what its last system call, long over, left behind"

DIFFERENCES = {
    "kdlib/stacktest_wow64": Difference(STALE, _ONE, until=0),
    "breakpad/exec_av_on_stack": Difference(NO_FRAME_YET, _ONE, ours=_ONE),
    "breakpad/thread_name_list": Difference(NO_FRAME_YET, frozenset(range(1, 6)), ours=_ONE),
    "symbolicator/windows": Difference(NO_FRAME_YET, frozenset((2, 3)), ours=_ONE),
    "breakpad/linux_jmp_to_0": Difference(JUMPED, _ONE, theirs=_ONE),
    "breakpad/linux_outside_module": Difference(JUMPED, _ONE, theirs=_ONE),
    "elfesteem/macos-i386": Difference(MACH, frozenset((1, 2)), until=0),
    "symbolic/crash_macos": Difference(MACH, _ONE, until=0),
    "rust-minidump/pipeline-inlines-macos-segv": Difference(MACH, frozenset(range(1, 12)), until=0),
    "lldb-yaml/linux-x86_64_null_signal": Difference(
        "the dump has two bytes for the registers: lldb shows -1, we show no stack", _ONE, until=0
    ),
}
CONFIRMED = {0x76E75DC0}
"""Frames without a mark that others do not find without symbols: Symbolicator, with Microsoft's
symbols, has this one of ``symbolicator/windows``."""
COUNTS: Counter[tuple[str, str, str]] = Counter()
"""(judge, processor, outcome) -> frames."""


def _outputs() -> Iterator[str]:
    folder = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA) / "peer-output" / "minidump"
    for path in sorted(folder.rglob("*.txt")):
        if "\n(lldb) bt all\n" in path.read_text(encoding="utf-8", errors="replace"):
            yield path.relative_to(folder).as_posix()


@pytest.fixture(scope="module", autouse=True)
def report() -> Iterator[None]:
    yield
    for key, count in sorted(COUNTS.items()):
        print(*key, count)


def open_dump(data_dir: Path, name: str, symbols: str) -> tuple[Session, System]:
    """Open ``minidump/NAME.dmp``; *symbols* is a folder of ``symbols``, ``""`` for none."""
    session = Session()
    if symbols:
        session.settings.symbol_path = SymbolPath.parse(str(data_dir / "symbols" / symbols))
    path = data_dir / "minidump" / f"{name}.dmp"
    return session, session.open_dump(str(path if path.exists() else f"{path}.xz"))


def stack_of(session: Session, system: System, thread: ThreadInfo) -> list[StackFrame]:
    """The frames of a thread, from the exception on where it is the one that has it."""
    registers = system.target.registers(thread)
    event = system.target.event()
    if "x86" in system.machines and system.target.arch == "amd64":
        registers = x86_registers(system.target, thread)  # what lldb shows of WOW64
    elif event is not None and event.thread_id == thread.id:
        registers = system.target.exception_registers() or registers
    return [row for row in session.stack(system, registers, LIMIT) if not row.is_inline]


# lldb


def lldb_stacks(text: str) -> dict[int, list[PeerFrame]]:
    """Return the physical frames of ``bt all`` by lldb's number of the thread.

    Of a frame with inlined calls the first row has the pc; the others have made-up addresses.
    """
    stacks: dict[int, list[PeerFrame]] = {}
    block = text.split("(lldb) bt all\n")[1].split("\n(lldb)")[0]
    inner = 0
    for line in block.splitlines():
        if not line or line.startswith(("error: ", "[exit ")):
            continue  # the dump has no threads; or lldb cannot read all of MinGW's DWARF
        found = re.match(r"[ *] thread #(\d+)", line)
        if found:
            stacks[int(found[1])] = []
            continue
        found = re.match(r"[ *]+ frame #\d+: 0x([0-9a-f]+)(?: (.*))?$", line)
        assert found is not None, line
        pc, inner = inner or int(found[1], 16), 0
        if " [inlined] " in line:
            inner = pc
            continue
        name = r"[^`]*`(.*?)(?: \+ \d+)?(?: at [^:]+:(\d+)(?::\d+)?)?"
        words = re.fullmatch(name, found[2] or "")
        function, at = (words[1], int(words[2] or 0)) if words else ("", 0)
        stacks[max(stacks)].append(PeerFrame(pc, False, function, at))
    return stacks


@pytest.mark.parametrize("output", list(_outputs()))
def test_lldb(output: str, data_dir: Path) -> None:
    name, _, kind = output.partition(".dmp.")
    with_symbols = kind == "lldb-symbols.txt"
    text = (data_dir / "peer-output" / "minidump" / output).read_text("utf-8")
    session, system = open_dump(data_dir, name, SYMBOLS[name] if with_symbols else "")
    if system.machines == ("amd64", "x86"):
        system.select_machine("x86")
    stacks = lldb_stacks(text)
    assert len(stacks) == len(system.threads)
    for number, thread in enumerate(system.threads, 1):
        ours, theirs = stack_of(session, system, thread), stacks[number]
        found = DIFFERENCES.get(name)
        if found is not None and number in found.threads:
            check_difference(system, found, ours, theirs)
            ours = [row for index, row in enumerate(ours) if index not in found.ours]
            left = [row for index, row in enumerate(theirs) if index not in found.theirs]
            COUNTS["lldb", system.machine, "explained"] += len(theirs) - len(left[: found.until])
            COUNTS["lldb", system.machine, "explained"] += len(found.ours)
            theirs = left[: found.until]
        assert [row.frame.pc for row in ours[: len(theirs)]] == [row.pc for row in theirs], number
        COUNTS["lldb", system.machine, "equal"] += len(theirs)
        for row, peer in zip(ours, theirs, strict=False):
            check_name(row, peer)
    session.close()


def check_name(row: StackFrame, peer: PeerFrame) -> None:
    """Names as far as both sides have them; theirs may have parameters."""
    if row.place.symbol and peer.function:
        assert row.place.symbol in (peer.function, re.sub(r"\(.*\)$", "", peer.function))
    if row.line and peer.line:
        assert row.line == peer.line


def check_difference(
    system: System, found: Difference, ours: list[StackFrame], theirs: list[PeerFrame]
) -> None:
    """Assert what the bytes of the dump say of a difference."""
    if found.why == NO_FRAME_YET:
        top = ours[0].frame.sp
        assert ours[1].frame.pc == int.from_bytes(system.memory.read(top, 4), "little")
        code = system.memory.read_some(ours[1].frame.pc - 7, 7)
        assert not code or ends_with_call(code)
    elif found.why == JUMPED:
        assert system.modules.at(theirs[1].pc) is None
        assert abs(theirs[1].pc - ours[0].frame.sp) < 0x10000
    elif found.why == MACH:
        assert {row.pc for row in theirs} == {0}
        assert ours[0].frame.pc
    elif found.why == STALE:
        event = system.target.event()
        assert event is not None
        assert event.exception.address == ours[0].frame.pc
        assert event.exception.code == 0x4000001F  # a breakpoint of 32-bit code
    else:
        assert not ours


# rust-minidump, Breakpad, Symbolicator


def json_stacks(text: str) -> dict[int, list[PeerFrame]]:
    """Return the stacks of a JSON report of rust-minidump by thread id."""
    report: dict[str, Any] = json.loads(text[text.index("\n{") :])
    return {
        thread["thread_id"]: [
            PeerFrame(
                int(frame["offset"], 16),
                frame["trust"] in ("scan", "cfi_scan"),
                frame["function"] or "",
                frame["line"] or 0,
            )
            for frame in thread["frames"]
        ]
        for thread in report["threads"]
    }


def text_stacks(text: str) -> dict[int, list[PeerFrame]]:
    """Return the stacks of rust-minidump's or Breakpad's text by thread id, else by number."""
    stacks: dict[int, list[PeerFrame]] = {}
    parts = re.split(r"^Thread (\d+)\b.*?(?:tid: (\d+))?$", text, flags=re.M)
    for number, tid, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        frames = stacks[int(tid or number)] = []
        for words, values, how in re.findall(
            r"^ ?\d+  (.*)\n((?: +\w+ = 0x.*\n)+) +Found by: (.*)$", body, re.M
        ):
            place = re.fullmatch(r"[^!]*!(.*?)(?: \+ 0x\w+)?(?: \[.* : (\d+).*\])?", words)
            pc = re.search(r"\b(?:[er]ip|pc) = 0x(\w+)", values)
            assert pc is not None
            function, line = (place[1], int(place[2] or 0)) if place else ("", 0)
            frames.append(
                PeerFrame(int(pc[1], 16), "scanning" in how or "leaf" in how, function, line)
            )
    return stacks


def symbolicator_stacks(text: str) -> dict[int, list[PeerFrame]]:
    """Return the stacks of a report of Symbolicator by thread id."""
    stacks: dict[int, list[PeerFrame]] = {}
    parts = re.split(r"^ +- thread_id: (\d+)$", text.split("\nmodules:")[0], flags=re.M)
    for tid, body in zip(parts[1::2], parts[2::2], strict=True):
        frames = stacks[int(tid)] = []
        for frame in re.split(r"^ +- status: ", body, flags=re.M)[1:]:
            fields = dict(re.findall(r'^ +(\w+): "?(.*?)"?$', frame, re.M))
            pc, line = int(fields["instruction_addr"], 16), int(fields.get("lineno", 0))
            is_scan = fields["trust"] == "scan"
            frames.append(PeerFrame(pc, is_scan, fields.get("function", ""), line))
    return stacks


SNAPSHOTS = {
    "breakpad/minidump2.stackwalk.out": ("breakpad/minidump2", "breakpad"),
    "rust-minidump/human.snap": ("breakpad/minidump2", ""),
    "rust-minidump/human-brief.snap": ("breakpad/minidump2", ""),
    "rust-minidump/human-symbols.snap": ("breakpad/minidump2", "breakpad"),
    "rust-minidump/json-pretty.snap": ("breakpad/minidump2", ""),
    "rust-minidump/json-pretty-symbols.snap": ("breakpad/minidump2", "breakpad"),
    "rust-minidump/linux_human.snap": ("rust-minidump/linux-mini", ""),
    "rust-minidump/linux_json_pretty.snap": ("rust-minidump/linux-mini", ""),
    "rust-minidump/macos_inlines_human.snap": (
        "rust-minidump/pipeline-inlines-macos-segv",
        "rust-minidump",
    ),
    "rust-minidump/macos_inlines_json_pretty.snap": (
        "rust-minidump/pipeline-inlines-macos-segv",
        "rust-minidump",
    ),
    "symbolicator/minidump_windows.snap": ("symbolicator/windows", "symbolic-windows"),
    "symbolicator/minidump_windows_with_microsoft_symbols.snap": ("symbolicator/windows", ""),
}
"""Snapshot -> dump and symbols. json-pretty-unloaded and human-unloaded are of a dump made in
memory, which has no file."""


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_snapshots(snapshot: str, data_dir: Path) -> None:
    name, symbols = SNAPSHOTS[snapshot]
    text = (data_dir / "expected" / snapshot).read_text("utf-8")
    judge, _, file = snapshot.partition("/")
    session, system = open_dump(data_dir, name, symbols)
    read = symbolicator_stacks if judge == "symbolicator" else text_stacks
    stacks = (json_stacks if "json" in file else read)(text)
    for thread in system.threads:
        # Breakpad's text has no ids, and of this dump the first thread alone.
        theirs = stacks.get(thread.id if judge != "breakpad" else thread.ordinal)
        if theirs is None:
            continue
        ours = stack_of(session, system, thread)
        if file == "minidump_windows.snap" and thread.ordinal in (1, 2):
            # As lldb, and for its reason. With Microsoft's symbols Symbolicator sees what we see.
            del ours[1]
            COUNTS[judge, system.machine, "explained"] += 1
        compare(judge, system, ours, theirs)
    session.close()


def compare(judge: str, system: System, ours: list[StackFrame], theirs: list[PeerFrame]) -> None:
    """Frame by frame until one side scans. Beyond that nothing of ours may be without a mark."""
    index = 0
    for index, (row, peer) in enumerate(zip(ours, theirs, strict=False)):
        if peer.is_scan or row.trust is FrameTrust.SCAN:
            COUNTS[judge, system.machine, "guessed by either"] += len(theirs) - index
            break
        assert peer.pc in (row.frame.pc, row.frame.lookup_pc), index
        check_name(row, peer)
        COUNTS[judge, system.machine, "equal"] += 1
    else:
        index = len(theirs)
        assert all(peer.is_scan for peer in theirs[len(ours) :])
    unmarked = list(itertools.takewhile(lambda row: not row.trust.is_guess, ours))
    assert {row.frame.pc for row in unmarked[max(index, 1) :]} <= CONFIRMED


# minidump_stackwalk, run


@pytest.fixture(scope="module")
def stackwalk() -> str:
    """Breakpad's program, from PATH or where ``.ci/peers.sh`` puts the npm package that has it."""
    cached = CACHED_PACKAGES / "node_modules/minidump/bin/linux-x64/minidump_stackwalk"
    program = shutil.which("minidump_stackwalk") or (str(cached) if cached.exists() else None)
    if program is None:
        pytest.skip("minidump_stackwalk is not installed (.ci/peers.sh)")
    return program


@pytest.fixture(scope="module")
def stores(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders laid out as Breakpad wants them: ``NAME/ID/NAME.sym``."""
    symbols, made = data_dir / "symbols", tmp_path_factory.mktemp("store")
    for (name, ident), (file, header) in SYMBOL_FILES.items():
        folder = made / name / ident
        folder.mkdir(parents=True)
        text = (symbols / file).read_bytes()
        (folder / f"{name.removesuffix('.pdb')}.sym").write_bytes(header.encode() + text)
    return [symbols / "breakpad", symbols / "rust-minidump", made]


def _dumps() -> list[str]:
    folder = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA) / "minidump"
    found = sorted(folder.rglob("*.dmp"))
    return [path.relative_to(folder).as_posix().removesuffix(".dmp") for path in found]


@pytest.mark.peer
@pytest.mark.parametrize("name", _dumps())
def test_minidump_stackwalk(name: str, data_dir: Path, stackwalk: str, stores: list[Path]) -> None:
    """Every thread with every Breakpad file at hand, except the thread that wrote the dump."""
    path = data_dir / "minidump" / f"{name}.dmp"
    argv = [stackwalk, str(path), *map(str, stores)]
    text = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    stacks = text_stacks(text)
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(";".join(map(str, stores)))
    system = session.open_dump(str(path))
    report = crash_report(system.target)
    info = report.breakpad_info if report is not None else None
    writer = info.dump_thread_id if info is not None else None
    threads = [thread for thread in system.threads if thread.id != writer]
    assert sorted(stacks) == list(range(len(threads)))
    for number, thread in enumerate(threads):
        theirs = stacks[number]
        ours, found = stack_of(session, system, thread), DIFFERENCES.get(name)
        if found and found.why == NO_FRAME_YET and thread.ordinal + 1 in found.threads:
            check_difference(system, found, ours, theirs)
            ours = [row for index, row in enumerate(ours) if index not in found.ours]
            COUNTS["minidump_stackwalk", system.machine, "explained"] += len(found.ours)
        compare("minidump_stackwalk", system, ours, theirs)
    session.close()


# Frames of dumps that no other tool walks


FULL = {
    ("kdlib/stacktest_wow64.dmp.xz", "x86"): "kdlib/stacktest_wow64",
    ("kdlib/stacktest_wow64.dmp.xz", "amd64"): "kdlib/stacktest_wow64",
    ("kdlib/stacktest_x64_release.userdump.xz", "amd64"): "kdlib/stacktest_x64_release",
}


@pytest.mark.parametrize(("file", "machine"), FULL)
def test_frames_without_a_mark_return_behind_a_call(
    file: str, machine: str, data_dir: Path
) -> None:
    session = Session()
    symbols = data_dir / "symbols" / FULL[file, machine]
    session.settings.symbol_path = SymbolPath.parse(str(symbols))
    system = session.open_dump(str(data_dir / "minidump" / file))
    if system.machine != machine:
        system.select_machine(machine)
    view = _UnwindView(system)
    checked = 0
    for thread in system.threads:
        rows = session.stack(system, system.thread_registers(thread), LIMIT)
        for row in itertools.takewhile(lambda row: not row.trust.is_guess, rows):
            if row.frame.is_return_address and not row.is_inline:
                code = code_before(view, row.frame.pc)
                assert len(code) >= 7
                assert ends_with_call(code), hex(row.frame.pc)
                checked += 1
    COUNTS["behind a call", machine, "equal"] += checked
    assert checked >= 10
    session.close()


# lldb, run over the samples with their images


LEAF = (
    "the function in front has no unwind entry, so it is a leaf; lldb follows rbp and skips callers"
)
WILD = "the call led to no code; lldb follows rbp and skips the caller"
RAISED = "for RaiseException as first frame lldb takes DWARF and not the unwind codes (rsp + 224)"

SAMPLE_DIFFERENCES = {
    ("faults-abort", 1): RAISED,
    ("figures-throw", 1): RAISED,
    ("shelf", 1): RAISED,
    ("shelf.wine", 1): RAISED,
    ("faults-privileged", 1): LEAF,
    ("faults-nx", 1): WILD,
    ("loader-stale", 1): WILD,
    ("loader-stale-unloaded", 1): WILD,
}
"""Dump and thread as lldb counts -> why its stack is not ours; test_sample_truth.py has the true
chains of these, and the engine's transcript that of figures-throw."""


def _samples() -> list[str]:
    folder = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA) / "samples/win/dumps"
    return sorted(path.name.split(".dmp")[0] for path in folder.iterdir())


@pytest.fixture(scope="module")
def lldb_of_samples(data_dir: Path, sample_dump: Callable[[str], Path]) -> dict[str, str]:
    """What lldb says of each sample: one run over all of them."""
    program = shutil.which("lldb-19") or shutil.which("lldb")
    if program is None:
        pytest.skip("lldb is not installed (.ci/peers.sh)")
    folder = data_dir / "samples" / "win"
    commands = [
        "settings set symbols.enable-external-lookup false",
        f"settings set target.exec-search-paths {folder / 'bin'} {folder / 'wine'}",
        "platform select remote-windows",
    ]
    for name in _samples():
        commands += [f"target create --core {sample_dump(name)}", "bt all"]
    argv = [program, "--no-lldbinit", "--batch"]
    for command in commands:
        argv += ["-o", command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    parts = done.stdout.split("(lldb) target create --core ")[1:]
    return dict(zip(_samples(), parts, strict=True))


@pytest.mark.peer
@pytest.mark.parametrize("name", _samples())
def test_lldb_on_samples(
    name: str,
    data_dir: Path,
    sample_dump: Callable[[str], Path],
    lldb_of_samples: dict[str, str],
) -> None:
    folder = data_dir / "samples" / "win"
    session = Session()
    session.settings.symbol_path = SymbolPath.parse(str(folder / "bin"))
    session.settings.image_path = SymbolPath.parse(f"{folder / 'bin'};{folder / 'wine'}")
    system = session.open_dump(str(sample_dump(name)))
    stacks = lldb_stacks(lldb_of_samples[name])
    assert len(stacks) == len(system.threads)
    for number, thread in enumerate(system.threads, 1):
        ours, theirs = stack_of(session, system, thread), stacks[number][:LIMIT]
        pcs = [row.frame.pc for row in ours]
        why = SAMPLE_DIFFERENCES.get((name, number))
        if not ours:  # Wine has no registers of the thread that writes
            assert [peer.pc for peer in theirs] == [(1 << 64) - 1]
        elif why is None:
            unmarked = list(itertools.takewhile(lambda row: not row.trust.is_guess, ours))
            assert len(unmarked) <= len(theirs)
            assert pcs[: len(theirs)] == [peer.pc for peer in theirs]
            COUNTS["lldb, samples", system.machine, "equal"] += len(theirs)
        else:
            check_sample_difference(why, ours, theirs)
            COUNTS["lldb, samples", system.machine, "equal"] += 1
            COUNTS["lldb, samples", system.machine, "explained"] += len(pcs) - 1
    session.close()


def check_sample_difference(why: str, ours: list[StackFrame], theirs: list[PeerFrame]) -> None:
    pcs = [row.frame.pc for row in ours]
    assert pcs[0] == theirs[0].pc
    assert pcs[1] != theirs[1].pc
    if why == RAISED:
        assert ours[1].trust is FrameTrust.UNWIND_INFO
        assert ours[1].frame.sp == ours[0].frame.sp + 224
    else:
        assert ours[1].trust is (FrameTrust.LEAF if why == LEAF else FrameTrust.WILD_CALL)
        rest = iter(pcs)
        assert all(peer.pc in rest for peer in theirs)  # in this order
