"""Verdicts on minidumps that lldb-19 writes of crashing Linux programs.

lldb stores the program counter where a signal's own address belongs, and no si_code, so that all
comes from the instruction and the memory map; in the small style it stores no code either, and then
little may be said. What Breakpad and Crashpad store of a signal, its code and address, is put into
the same dumps from what lldb shows of it.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest

from polydbg.engine.analysis.analyze import analyze
from polydbg.engine.analysis.model import Analysis, Confidence
from polydbg.engine.session import Session

pytestmark = pytest.mark.peer

SOURCE = Path(__file__).parent / "programs" / "crashes.c"
CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE
_EXCEPTION_STREAM = 6

CASES = {
    # kind: problem class; how sure with the code in lldb's form, with the code and the signal's
    # own address, with that address alone; other words are other classes
    "null-read": ("NULL_POINTER_READ", CERTAIN, CERTAIN, "NULL_POINTER", LIKELY),
    "null-write": ("NULL_POINTER_WRITE", CERTAIN, CERTAIN, "NULL_POINTER", LIKELY),
    "null-call": ("NULL_POINTER_EXECUTE", CERTAIN, CERTAIN, "NULL_POINTER_EXECUTE", LIKELY),
    "null-thread": ("NULL_POINTER_WRITE", CERTAIN, CERTAIN, "NULL_POINTER", LIKELY),
    "deep-null": ("NULL_POINTER_READ", CERTAIN, CERTAIN, "NULL_POINTER", CERTAIN),
    "large-null": ("NULL_POINTER_READ", LIKELY, LIKELY, "INVALID_POINTER", LIKELY),
    "below-null": ("NULL_POINTER_READ", LIKELY, LIKELY, "NULL_POINTER", LIKELY),
    "small": ("NULL_POINTER_READ", LIKELY, LIKELY, "NULL_POINTER", LIKELY),
    "text": ("INVALID_POINTER_READ", LIKELY, LIKELY, "INVALID_POINTER", POSSIBLE),
    "non-canonical": ("INVALID_POINTER_WRITE", CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE),
    "system": ("INVALID_POINTER_READ", CERTAIN, CERTAIN, "INVALID_POINTER", LIKELY),
    "freed": (
        "INVALID_POINTER_READ_FILL_PATTERN_dddddddd", LIKELY, LIKELY, "INVALID_POINTER", POSSIBLE
    ),
    "unmapped": ("INVALID_POINTER_READ", CERTAIN, CERTAIN, "INVALID_POINTER", LIKELY),
    "no-access": ("INVALID_POINTER_READ", CERTAIN, CERTAIN, "INVALID_POINTER", LIKELY),
    "page-write": ("READ_ONLY_WRITE", CERTAIN, CERTAIN, "READ_ONLY_WRITE", LIKELY),
    "constant-write": ("READ_ONLY_WRITE", CERTAIN, CERTAIN, "READ_ONLY_WRITE", LIKELY),
    "code-write": ("READ_ONLY_WRITE", CERTAIN, CERTAIN, "READ_ONLY_WRITE", LIKELY),
    "past-file": ("IN_PAGE_ERROR", LIKELY, LIKELY, "IN_PAGE_ERROR", LIKELY),
    "push": ("STACK_OVERFLOW", LIKELY, LIKELY, "STACK_OVERFLOW", LIKELY),
    "endless-thread": ("STACK_OVERFLOW", LIKELY, LIKELY, "STACK_OVERFLOW", LIKELY),
    "wild-call": ("INVALID_POINTER_EXECUTE", CERTAIN, CERTAIN, "INVALID_POINTER_EXECUTE", CERTAIN),
    "text-call": ("INVALID_POINTER_EXECUTE", CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE),
    "fresh-call": (
        "INVALID_POINTER_EXECUTE_FILL_PATTERN_cdcdcdcd",
        CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE,
    ),
    "data-call": ("SOFTWARE_NX_FAULT", CERTAIN, CERTAIN, "SOFTWARE_NX_FAULT", CERTAIN),
    "constant-call": ("SOFTWARE_NX_FAULT", CERTAIN, CERTAIN, "SOFTWARE_NX_FAULT", CERTAIN),
    "page-call": ("SOFTWARE_NX_FAULT", LIKELY, LIKELY, "SOFTWARE_NX_FAULT", LIKELY),
    "stack-call": ("SOFTWARE_NX_FAULT", CERTAIN, CERTAIN, "SOFTWARE_NX_FAULT", CERTAIN),
    "text-return": ("INVALID_POINTER_EXECUTE", CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE),
    "null-return": ("NULL_POINTER_EXECUTE", LIKELY, LIKELY, "NULL_POINTER_EXECUTE", LIKELY),
    "data-return": ("SOFTWARE_NX_FAULT", CERTAIN, CERTAIN, "SOFTWARE_NX_FAULT", CERTAIN),
    "wild-return": (
        "INVALID_POINTER_EXECUTE", CERTAIN, CERTAIN, "INVALID_POINTER_EXECUTE", CERTAIN
    ),
    "zero": ("INTEGER_DIVIDE_BY_ZERO", CERTAIN, CERTAIN, "INTEGER_DIVIDE_BY_ZERO", LIKELY),
    "quotient": ("INTEGER_DIVIDE_OVERFLOW", CERTAIN, CERTAIN, "INTEGER_DIVIDE_BY_ZERO", LIKELY),
    "float": ("ARITHMETIC_FAULT FLOAT_FAULT", POSSIBLE, CERTAIN, "FLOAT_FAULT", CERTAIN),
    "trap": ("ILLEGAL_INSTRUCTION", LIKELY, LIKELY, "ILLEGAL_INSTRUCTION", LIKELY),
    "bad-code": ("ILLEGAL_INSTRUCTION", POSSIBLE, POSSIBLE, "ILLEGAL_INSTRUCTION", LIKELY),
    "hlt": ("PRIVILEGED_INSTRUCTION", CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE),
    "int": ("PRIVILEGED_INSTRUCTION", LIKELY, LIKELY, "INVALID_POINTER", POSSIBLE),
    "int3": ("BREAKPOINT", LIKELY, LIKELY, "BREAKPOINT", LIKELY),
    "movaps": ("DATATYPE_MISALIGNMENT", CERTAIN, CERTAIN, "INVALID_POINTER", POSSIBLE),
    "addps": ("DATATYPE_MISALIGNMENT", LIKELY, LIKELY, "INVALID_POINTER", POSSIBLE),
    "alignment": (
        "INVALID_POINTER DATATYPE_MISALIGNMENT",
        POSSIBLE, CERTAIN, "DATATYPE_MISALIGNMENT", CERTAIN,
    ),
    "string": ("NULL_POINTER_WRITE", CERTAIN, CERTAIN, "NULL_POINTER", CERTAIN),
    # The C library of the host is that of the dump.
    "abort": ("ABORT", CERTAIN, CERTAIN, "ABORT", CERTAIN),
    "assert": ("ASSERTION", CERTAIN, CERTAIN, "ASSERTION", CERTAIN),
    "raise": ("INVALID_POINTER TERMINATED", POSSIBLE, LIKELY, "TERMINATED", LIKELY),
    "kill": ("INVALID_POINTER TERMINATED", POSSIBLE, LIKELY, "TERMINATED", LIKELY),
    "kill-fpe": ("ARITHMETIC_FAULT", POSSIBLE, POSSIBLE, "ARITHMETIC_FAULT", POSSIBLE),
}  # fmt: skip


class Crash(msgspec.Struct, frozen=True):
    """What lldb shows of a crash, and its minidumps."""

    code: int
    address: int
    pc: int
    thread: int
    full: Path
    small: Path


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Crash]:
    """Run the program in all ways under one lldb."""
    compiler = shutil.which("clang-19")
    if compiler is None or shutil.which("lldb-19") is None:
        pytest.skip("needs clang-19 and lldb-19")
    folder = tmp_path_factory.mktemp("crashes")
    program = folder / "crashes"
    flags = ["-O0", "-fno-stack-protector", "-w", "-pthread"]
    subprocess.run([compiler, *flags, "-o", str(program), str(SOURCE)], check=True)
    commands = []
    for kind in CASES:
        commands += [f"script print('KIND {kind}')", f"process launch -i /dev/null -- {kind}"]
        commands += ["register read rip", "thread siginfo"]
        for style in ("full", "stack"):
            dump = folder / f"{kind}-{style}.dmp"
            commands.append(f"process save-core --plugin-name=minidump --style={style} {dump}")
        commands.append("process kill")
    script = folder / "commands"
    script.write_text("\n".join([*commands, "quit"]), "utf-8")
    go_on = "settings set interpreter.stop-command-source-on-error false"
    command = ["lldb-19", "--no-lldbinit", "-x", "-o", go_on, "-s", str(script), str(program)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    program.unlink()  # its code is what some of the dumps are to lack
    parts = re.split(r"^KIND ([\w-]+)$", done.stdout, flags=re.MULTILINE)
    shown = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {kind: _crash(shown[kind], kind, folder) for kind in CASES}


def _crash(shown: str, kind: str, folder: Path) -> Crash:
    def number(pattern: str) -> int:
        found = re.search(pattern, shown)
        return int(found.group(1), 0) if found else 0

    full, small = folder / f"{kind}-full.dmp", folder / f"{kind}-stack.dmp"
    assert full.stat().st_size > 1000, shown
    assert small.stat().st_size > 1000, shown
    code, address = number(r"si_code = (-?\d+)"), number(r"si_addr = (0x\w+)")
    pc, thread = number(r"rip = (0x\w+)"), number(r"tid = (\d+)")
    return Crash(code, address, pc, thread, full, small)


def _analysis(crash: Crash, path: Path, *, with_signal: bool) -> Analysis:
    if with_signal:
        data = bytearray(path.read_bytes())
        count, directory = struct.unpack_from("<II", data, 8)
        for index in range(count):
            kind, _, rva = struct.unpack_from("<III", data, directory + 12 * index)
            if kind == _EXCEPTION_STREAM:  # ExceptionFlags and ExceptionAddress
                struct.pack_into("<I", data, rva + 12, crash.code & 0xFFFFFFFF)
                struct.pack_into("<Q", data, rva + 24, crash.address)
        path = path.with_suffix(".signal.dmp")
        path.write_bytes(data)
    session = Session()
    try:
        found = analyze(session, session.open_dump(str(path)))
    finally:
        session.close()
    assert found.registers["rip"] == crash.pc
    assert found.thread is not None
    assert found.thread.id == crash.thread
    return found


def _said(found: Analysis) -> tuple[str, Confidence]:
    return found.verdict.problem_class, found.verdict.confidence


@pytest.mark.parametrize("kind", CASES)
def test_with_code(crashes: dict[str, Crash], kind: str) -> None:
    crash, (problems, sure, surer, _, _) = crashes[kind], CASES[kind]
    found = _analysis(crash, crash.full, with_signal=False)
    assert _said(found) == (problems.split()[0], sure)
    assert "unknown!unknown" not in found.bucket
    with_signal = _analysis(crash, crash.full, with_signal=True)
    assert _said(with_signal) == (problems.split()[-1], surer)
    if problems.split()[0] == problems.split()[-1]:
        assert found.bucket == with_signal.bucket


@pytest.mark.parametrize("kind", CASES)
def test_without_code(crashes: dict[str, Crash], kind: str) -> None:
    crash, (*_, problem, sure) = crashes[kind], CASES[kind]
    assert _said(_analysis(crash, crash.small, with_signal=True)) == (problem, sure)
    bare = _analysis(crash, crash.small, with_signal=False).verdict
    by_stack = ("ABORT", "ASSERTION", "NULL_POINTER_EXECUTE", "SOFTWARE_NX_FAULT")
    if bare.problem_class not in by_stack:
        is_certain = bare.problem_class == "INVALID_POINTER_EXECUTE"  # the pc itself is no code
        assert (bare.confidence is CERTAIN) == is_certain


def test_blame_falls_on_the_caller_of_no_code(crashes: dict[str, Crash]) -> None:
    kinds = ("null-call", "wild-call", "data-call", "constant-call", "stack-call", "page-call")
    for attribute in ("full", "small"):
        places = set()
        for kind in kinds:
            path = getattr(crashes[kind], attribute)
            found = _analysis(crashes[kind], path, with_signal=True)
            assert found.blame is not None
            places.add(found.blame.frame.place.text)
        assert len(places) == 1  # all were called by call()
