"""Stacks of ELF cores of programs built here, against gdb: address, function, file, line, inlines.

One program is built by two compilers in ways that differ in where their debug information and
unwind tables lie, and runs in gdb, which says the frames of each stop and writes a core.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from polydbg.engine.session import Session
from polydbg.engine.stack import StackFrame
from polydbg.unwind.frames import FrameTrust

pytestmark = pytest.mark.peer

PROGRAMS = Path(__file__).parent / "programs"

CALLS = "nested tail noreturn cold ifunc callback null wild vdso"
NAMES = "index bool less shift lambda method tagged hidden virtual"
STACKS = "handler+ alternate+ null-handler+ longjmp context threads unwinding catch exit"
FEW = "nested method"
"""Ways to stop; for each ``+`` the program is to have a signal that gdb stopped it for."""

BUILDS: dict[str, tuple[str, ...]] = {
    "gcc": ("g++", "-O2", CALLS, NAMES, STACKS),
    "clang": ("clang++-19", "-O0", "lambda tail threads context"),
    "debug-frame": ("g++", "-O2 -fno-asynchronous-unwind-tables -gdwarf-4 -gz=zlib", FEW),
    "static": ("g++", "-Os -static -no-pie -fdebug-types-section", FEW),
    "split": ("clang++-19", "-O1 -gsplit-dwarf -gdwarf-5", FEW),
    "linked": ("clang++-19", "-O2 -flto -fuse-ld=lld-19 -gz=zstd -gdwarf-5", FEW),
    "old": ("g++", "-O2 -gdwarf-2 -ffunction-sections", FEW),
}
"""Compiler, flags and ways to stop."""

_ALIASES = re.compile(r"^(?:__|_)(?:GI_+|vdso_)?")
_GENERIC = re.compile(r"<[^<>]*>|\[abi:\w+\]|'\w+'|\([^()]*\)|\{[^{}]*\}")


def _last(name: str) -> str:
    """Return the last part of a name without its template arguments, which are spelled in many
    ways, and, of C, without the underscores in which aliases of a function differ."""
    operator = re.search(r"operator\W*[^:]*$", name)
    if operator is not None:
        return re.sub(r"\W*(?:\(\).*)?$", "", operator[0].split("<<")[0]).strip() or operator[0]
    while (shorter := _GENERIC.sub("", name)) != name:
        name = shorter
    return _ALIASES.sub("", name.split("::")[-1])


def _built(folder: Path, name: str) -> Path:
    compiler, flags, *_ = BUILDS[name]
    if shutil.which(compiler) is None or shutil.which("gdb") is None:
        pytest.skip(f"needs {compiler} and gdb")
    program = folder / name
    command = [compiler, "-g", *flags.split(), "-w", "-pthread", "-o", program]
    subprocess.run([*command, PROGRAMS / "stacks.cpp"], check=True, cwd=folder)
    return program


def _stops(program: Path, kinds: str) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Stop *program* in each way in gdb; return the frames of its threads by kind and id."""
    environment = {**os.environ, "STACKS_KINDS": kinds, "STACKS_OUT": str(program)}
    done = subprocess.run(
        ["gdb", "-q", "-nx", "-batch", "-x", PROGRAMS / "gdb_frames.py", program],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False, env=environment,
    )  # fmt: skip
    answer = program.with_name(f"{program.name}.json")
    assert answer.exists(), done.stderr.decode(errors="replace")
    found: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(answer.read_text())
    return found


def _compare(where: str, theirs: list[dict[str, Any]], ours: list[StackFrame], module: str) -> int:
    """Compare a stack with gdb's; return how many frames were. *module* is the program's name."""
    # Calls that left no frame gdb deduces from descriptions of call sites.
    kept = [frame for frame in theirs if not frame["is_tail_call"]]
    if ours[0].is_inline and not kept[0]["is_inline"]:
        ours = ours[1:]  # a call that begins where the program stopped: live, gdb hides it
    for count, frame in enumerate(kept):
        if not frame["name"] and where.endswith(" context"):
            return count  # makecontext's code has no rules: gdb takes any words from there on
        assert count < len(ours), f"{where}: gdb goes on with {frame}"
        row = ours[count]
        what = f"{where}, frame {count}: {row.place.text} for {frame}"
        assert row.frame.pc == frame["pc"], what
        assert row.is_inline == frame["is_inline"], what
        assert row.trust is FrameTrust.WILD_CALL or not row.trust.is_guess, what
        # Of libraries without debug information each shows the alias that it likes.
        if frame["file"] or row.place.module == module:
            assert _last(row.place.symbol) == _last(frame["name"]), what
        if frame["file"]:
            assert os.path.basename(row.file) == os.path.basename(frame["file"]), what
            assert row.line == frame["line"], what
    assert len(ours) == len(kept), f"{where}: gdb ends before {ours[len(kept)].place.text}"
    return len(kept)


@pytest.mark.parametrize("name", BUILDS)
def test_stacks_are_gdbs(name: str, tmp_path: Path) -> None:
    program = _built(tmp_path, name)
    compared = 0
    for kind, threads in _stops(program, " ".join(BUILDS[name][2:])).items():
        core = tmp_path / f"{name}-{kind}.core"
        session = Session()
        system = session.open_dump(str(core))
        ours = {thread.id: thread for thread in system.threads}
        assert sorted(ours) == sorted(map(int, threads)), kind
        for ident, frames in threads.items():
            registers = system.thread_registers(ours[int(ident)])
            rows = list(session.stack(system, registers, 100))
            compared += _compare(f"{name} {kind}", frames, rows, name.replace("-", "_"))
        session.close()
        core.unlink()
    assert compared > 15
