"""Locals and parameters of every frame of the sample cores against gdb's, number by number.

Where the two part, the test says who is right. gdb takes registers for kept that a callee may
overwrite, and shows a tail call that nothing on the stack tells as a frame, from which it has
values at the entry; we say that these are not known. It lists variables of blocks that were
optimised away, and those of abstract instances beside the concrete ones: they have no values. The
variables of a Rust enumeration's forms it reads whether they are in force or not.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from locals_peer import Leaves, Listed, gdb_frames, our_variables

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

#: What we say where gdb has a value that it cannot know.
NOT_KEPT = ("was not kept in this frame", "which called this one last")
#: Variables that gdb calls optimised out though they have a constant in a block that covers the
#: address (``DW_AT_const_value`` of a concrete entry).
CONSTANTS = {"maxspin"}


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
    theirs = gdb_frames(arguments, tmp_path / "script.py")
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(linux / "bin"))
    session.settings.symbol_path = SymbolPath.parse(str(linux / "bin" / "debug"))
    system = session.open_dump(str(path))
    counts: Counter[str] = Counter()
    try:
        for thread in system.threads:
            system.select_thread(thread)
            rows = session.stack(system, system.thread_registers(thread), 64)
            for row, frame in zip(rows, theirs[thread.id], strict=False):
                where = f"{core}: thread {thread.id}, frame {row.number} {frame.name}"
                assert (row.frame.pc, row.is_inline) == (frame.pc, frame.is_inline), where
                scope, ours = our_variables(system, thread, row)
                if frame.variables is not None and scope is not None:
                    compare(where, ours, frame.variables, counts)
    finally:
        session.close()
    assert counts["same"] >= least, counts


def compare(where: str, ours: Listed, theirs: Listed, counts: Counter[str]) -> None:
    """Compare the variables of a frame; count values that are the same, and known to one alone."""
    mine: dict[str, list[Leaves]] = defaultdict(list)
    others: dict[str, list[Leaves]] = defaultdict(list)
    for name, _, leaves in ours:
        mine[name].append(leaves)
    for name, _, leaves in theirs:
        others[name].append(leaves)
    for name in {*mine, *others}:
        place = f"{where}: {name}"
        known = [each for each in others[name] if not _is_lost(each)]
        # Each value that gdb has we have, in the same order, or we say why it cannot be known.
        candidates = [each for each in mine[name] if not _is_lost(each)]
        if len(candidates) < len(known):
            assert any(_is_refused(each) for each in mine[name]), (place, known, mine[name])
            counts["only gdb"] += 1
            continue
        if len(candidates) > len(known):
            assert name in CONSTANTS, (place, candidates, others[name])
            counts["only we"] += 1
            continue
        for left, right in zip(candidates, known, strict=True):
            _compare_leaves(place, dict(left), dict(right), counts)


def _compare_leaves(
    place: str,
    mine: dict[str, int | float | str],
    theirs: dict[str, int | float | str],
    counts: Counter[str],
) -> None:
    for path in {*mine} & {*theirs}:
        left, right = mine[path], theirs[path]
        if isinstance(left, str) and left.endswith(NOT_KEPT):
            counts["only gdb"] += 1
        elif "skipped" not in (left, right) and not (
            isinstance(left, str) and isinstance(right, str)
        ):
            assert left == right, place + path
            counts["same"] += 1


def _is_lost(leaves: Leaves) -> bool:
    """Tell whether nothing of a value is known."""
    return all(isinstance(value, str) and value != "skipped" for _, value in leaves)


def _is_refused(leaves: Leaves) -> bool:
    return any(isinstance(value, str) and value.endswith(NOT_KEPT) for _, value in leaves)
