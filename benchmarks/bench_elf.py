"""Stacks of ELF cores against gdb and lldb: small and large DWARF, without and with our index on
disk; 200 threads; a core of 10 GiB (needs ``make bench-data``).

Without an index is what a user meets the first time. The core's program is in its place, so every
program finds it; all print function, file and line of each frame.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from functools import partial

from elf_program import CROWD, SPARSE
from harness import PAIRS, BenchmarkError, Command, Measurement, compare_row, main, single_row
from programs import CACHE, gdb, lldb_core, polydbg

FOLDER = CACHE / "elf"
INDEXES = CACHE / "elf-indexes"
VARIANTS = {
    "b-aranges": "clang with .debug_aranges",
    "b-names": "clang with .debug_names",
    "b-index": "lld's .gdb_index",
    "b-gcc": "gcc",
}


def our_core(name: str, *, index: bool = False, commands: str = "kn", prints: str = "") -> Command:
    """Our run on one core; *index* allows the indexes on disk, which are there already."""
    must_print = prints or f"{name.replace('-', '_')}!main"
    found = polydbg("polydbg", FOLDER / f"{name}.core", FOLDER, commands, must_print, "-lines")
    switch = {"POLYDBG_DWARF_INDEX": "on" if index else "off", "POLYDBG_CACHE": str(INDEXES)}
    return dataclasses.replace(found, env={**found.env, **switch})


def _size(name: str) -> str:
    return f"{(FOLDER / name).stat().st_size / 1e6:.0f} MB"


def _make_index(name: str) -> None:
    argv = [sys.executable, "-m", "polydbg.symbols.dwarf_index_writer", str(FOLDER / name)]
    env = {**os.environ, "POLYDBG_CACHE": str(INDEXES), "POLYDBG_DWARF_INDEX": "on"}
    subprocess.run(argv, check=False, env=env)
    if not list((INDEXES / "dwarf").glob("*.idx")):
        raise BenchmarkError(f"no index was made of {name}")


def _against(
    what: str, ours: Command, name: str, pairs: int, commands: tuple[str, str] = ("bt", "bt")
) -> list[Measurement]:
    """Rows against the debuggers that are here; *commands* are gdb's and lldb's."""
    program, core = FOLDER / name, FOLDER / f"{name}.core"
    peers = (
        gdb(program, core, commands[0], "main"),
        lldb_core(program, core, [commands[1]], "main"),
    )
    return [partial(compare_row, what, ours, peer, pairs) for peer in peers if peer is not None]


def _stacks(pairs: int) -> list[Measurement]:
    small, few = f"{_size('a')} ELF", min(pairs, 3)
    found = _against(f"{small}: crash stack", our_core("a"), "a", pairs)
    for name in ("b", "c"):
        _make_index(name)
        what = f"{_size(name)} ELF: crash stack"
        count = pairs if name == "b" else few
        found += _against(what, our_core(name), name, count)
        found += _against(f"{what}, our index", our_core(name, index=True), name, count)
        peer = dataclasses.replace(our_core("a"), name=f"polydbg, {small}")
        what = f"{what}, our index"
        found.append(partial(compare_row, what, our_core(name, index=True), peer, pairs))
    name = "c-gdb-index"
    found += _against(f"{_size(name)} ELF with .gdb_index: crash stack", our_core(name), name, few)
    for name, title in VARIANTS.items():
        what = f"{_size(name)} ELF ({title}): crash stack"
        found.append(partial(single_row, what, our_core(name), pairs))
    return found


def _questions(pairs: int) -> list[Measurement]:
    crowd = our_core("crowd", commands="~*k", prints="crowd!run")
    all_threads = ("thread apply all bt", "bt all")
    found = _against(f"{CROWD} threads: every stack (`~*k`)", crowd, "crowd", pairs, all_threads)
    for pattern in ("*crash_unit_1*", "*walker*mark*"):
        ours = our_core("c", index=True, commands=f"x c!{pattern}", prints="c!")
        what = f"{_size('c')} ELF: functions by pattern (`x c!{pattern}`)"
        found.append(partial(single_row, what, ours, pairs))
    sparse = our_core("sparse", prints="a!main")
    peer = dataclasses.replace(our_core("a"), name="polydbg, small core")
    what = f"core of {SPARSE >> 30} GiB, sparse: crash stack"
    found.append(partial(compare_row, what, sparse, peer, pairs))
    return found


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """Every question as a process of its own; none without the data."""
    if not (FOLDER / "c.core").exists():
        return []
    INDEXES.mkdir(exist_ok=True)
    return [*_stacks(pairs), *_questions(pairs)]


if __name__ == "__main__":
    main(measurements())
