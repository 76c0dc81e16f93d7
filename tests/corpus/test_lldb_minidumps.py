"""Verdicts on minidumps that lldb-19 writes of crashing Linux programs.

lldb stores the program counter where a signal's own address belongs, and no si_code, so that all
comes from the instruction and the memory map; in the small style it stores no code either, and then
little may be said.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from polydbg.engine.analysis.analyze import analyze
from polydbg.engine.analysis.model import Analysis, Confidence
from polydbg.engine.session import Session

pytestmark = pytest.mark.peer

SOURCE = Path(__file__).parent / "programs" / "crashes.c"
CERTAIN, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("clang-19")
    if compiler is None or shutil.which("lldb-19") is None:
        pytest.skip("needs clang-19 and lldb-19")
    path = tmp_path_factory.mktemp("crashes") / "crashes"
    flags = ["-O0", "-g", "-fno-stack-protector", "-w"]
    subprocess.run([compiler, *flags, "-o", str(path), str(SOURCE)], check=True)
    return path


def _analysis(program: Path, kind: str, style: str) -> Analysis:
    dump = program.with_name(f"{kind}-{style}.dmp")
    save = f"process save-core --plugin-name=minidump --style={style} {dump}"
    command = ["lldb-19", "-b", "--no-lldbinit", "-o", "run", "-k", save, "-k", "quit"]
    done = subprocess.run(
        [*command, "--", str(program), kind],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert dump.exists(), done.stdout + done.stderr
    assert dump.stat().st_size > 1000, done.stdout + done.stderr
    session = Session()
    try:
        return analyze(session, session.open_dump(str(dump)))
    finally:
        session.close()


@pytest.mark.parametrize(
    ("kind", "problem", "confidence"),
    [
        ("null-read", "NULL_POINTER_READ", CERTAIN),
        ("non-canonical", "INVALID_POINTER_READ", LIKELY),
        ("null-call", "NULL_POINTER_EXECUTE", CERTAIN),
        ("data-call", "SOFTWARE_NX_FAULT", LIKELY),
        ("read-only", "READ_ONLY_WRITE", CERTAIN),
        ("smash", "INVALID_POINTER_EXECUTE", CERTAIN),
        ("zero", "INTEGER_DIVIDE_BY_ZERO", CERTAIN),
        ("privileged", "PRIVILEGED_INSTRUCTION", CERTAIN),
        ("crooked", "DATATYPE_MISALIGNMENT", CERTAIN),
        ("trap", "ILLEGAL_INSTRUCTION", LIKELY),
        ("abort", "ABORT", LIKELY),
        ("unmapped", "INVALID_POINTER_READ", CERTAIN),
    ],
)
def test_full_minidumps(program: Path, kind: str, problem: str, confidence: Confidence) -> None:
    found = _analysis(program, kind, "full")
    assert (found.verdict.problem_class, found.verdict.confidence) == (problem, confidence)


@pytest.mark.parametrize("kind", ["null-read", "read-only", "smash", "privileged"])
def test_without_code_nothing_is_claimed(program: Path, kind: str) -> None:
    found = _analysis(program, kind, "modified-memory")
    assert found.verdict.problem_class == "INVALID_POINTER"
    assert found.verdict.confidence is POSSIBLE
