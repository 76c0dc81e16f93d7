"""Locals and parameters of every frame of the sample cores against gdb's, number by number.

:mod:`locals_compare` says who is right where the two part.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from locals_compare import compare
from locals_peer import gdb_states, our_variables

from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.corpus

#: Core, program, least number of values that are the same.
CORES = (
    ("cargo-clang-O0-dwarf5", "cargo-clang-O0-dwarf5", 60),
    ("cargo-clang-O2-dwarf4", "cargo-clang-O2-dwarf4", 50),
    ("cargo-compressed-debug", "cargo-compressed-debug", 60),
    ("cargo-gcc-O0-dwarf4", "cargo-gcc-O0-dwarf4", 60),
    ("cargo-gcc-O0-dwarf4.gcore", "cargo-gcc-O0-dwarf4", 60),
    ("cargo-gcc-O2-dwarf5", "cargo-gcc-O2-dwarf5", 50),
    ("cargo-nopie", "cargo-nopie", 60),
    ("cargo-static-pie", "cargo-static-pie", 50),
    ("cargo-stripped", "cargo-stripped", 60),
    ("crab", "crab", 50),
    ("crowd", "crowd", 100),
    ("crowd.gcore", "crowd", 100),
    ("plunge", "plunge", 300),
    ("zoo-clang", "zoo-clang", 15),
    ("zoo-gxx", "zoo-gxx", 20),
)
#: The mini core has no stack: gdb walks on through zeros.


def _unpacked(core: Path, folder: Path) -> Path:
    tool = shutil.which("zstd")
    if tool is None:
        pytest.skip("no zstd")
    target = folder / core.name.removesuffix(".zst")
    subprocess.run([tool, "-q", "-d", str(core), "-o", str(target)], check=True)
    return target


@pytest.mark.parametrize(("core", "program", "least"), CORES, ids=[each[0] for each in CORES])
def test_locals_of_cores(
    data_dir: Path, tmp_path: Path, core: str, program: str, least: int
) -> None:
    if shutil.which("gdb") is None:
        pytest.skip("no gdb")
    linux = data_dir / "samples" / "linux"
    path = _unpacked(linux / "cores" / f"{core}.core.zst", tmp_path)
    debug = f"set debug-file-directory {linux}/bin/debug:/usr/lib/debug"
    arguments = ["-iex", debug, str(linux / "bin" / program), str(path)]
    [theirs] = gdb_states(arguments, tmp_path / "script.py")
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(linux / "bin"))
    session.settings.symbol_path = SymbolPath.parse(str(linux / "bin" / "debug"))
    system = session.open_dump(str(path))
    counts: Counter[str] = Counter()
    try:
        for thread in system.threads:
            system.select_thread(thread)
            rows = session.stack(system, system.thread_registers(thread), 64)
            for row, frame in zip(rows, theirs.threads[thread.id], strict=False):
                where = f"{core}: thread {thread.id}, frame {row.number} {frame.name}"
                assert (row.frame.pc, row.is_inline) == (frame.pc, frame.is_inline), where
                scope, ours = our_variables(system, thread, row)
                if frame.variables is not None and scope is not None:
                    compare(where, ours, frame.variables, counts)
    finally:
        session.close()
    assert counts["same"] >= least, counts
