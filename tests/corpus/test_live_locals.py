"""Locals, parameters, and global and thread-local variables of programs built here, against gdb's.

One program is built in ways that differ in where its variables are and how its debug information
says so. It stops several times in gdb, which says the variables of each frame and writes a core.
:mod:`locals_compare` says who is right where the two part.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from locals_compare import compare, compare_leaves
from locals_peer import Leaves, PeerState, gdb_states, leaves_of, our_variables

from polydbg.engine.session import Session
from polydbg.engine.variables import global_named
from polydbg.symbols.store.path import SymbolPath

pytestmark = pytest.mark.peer

PROGRAMS = Path(__file__).parent / "programs"
STOPS = 4

#: Compiler, flags, least numbers of values that are the same.
BUILDS: dict[str, tuple[str, str, int]] = {
    "gcc-O0": ("gcc", "-O0 -gdwarf-5", 190),
    "gcc-O2": ("gcc", "-O2 -gdwarf-5", 160),
    "gcc-O2-dwarf4": ("gcc", "-O2 -gdwarf-4 -gno-variable-location-views", 160),
    "gcc-O2-split": ("gcc", "-O2 -gdwarf-5 -gsplit-dwarf", 160),
    "gcc-O2-split4": ("gcc", "-O2 -gdwarf-4 -gsplit-dwarf", 160),
    "gcc-Os-pointerless": ("gcc", "-Os -fomit-frame-pointer -gdwarf-5 -no-pie", 160),
    "gcc-O1-frame": ("gcc", "-O1 -fno-omit-frame-pointer -gdwarf-3", 160),
    "clang-O0": ("clang-19", "-O0 -gdwarf-4", 190),
    "clang-O2": ("clang-19", "-O2 -gdwarf-5", 160),
    "clang-O2-split": ("clang-19", "-O2 -gdwarf-5 -gsplit-dwarf", 80),
    "clang-Og": ("clang-19", "-Og -gdwarf-4 -fomit-frame-pointer", 160),
}
GLOBALS = ("g_count", "s_bytes", "s_shared", "t_own", "t_zero", "t_library", "t_hidden")
TRUTH: dict[str, Leaves] = {
    "g_count": [("", 41)],
    "s_bytes": [("[0]", 1), ("[1]", 2), ("[2]", 3), ("[3]", 4)],
    "t_own": [("", 1234567890123)],
    "t_zero": [("", 1)],
    "t_library": [("", 600)],
}
"""What the source says; gdb 13 reads thread-local variables of split units from wrong places."""


def _built(folder: Path, name: str) -> Path:
    compiler, flags, _ = BUILDS[name]
    if shutil.which(compiler) is None or shutil.which("gdb") is None:
        pytest.skip(f"needs {compiler} and gdb")
    command = [compiler, "-g", *flags.split(), "-w"]
    library, program = folder / "liblocals.so", folder / "locals"
    parts = ["-shared", "-fPIC", "-o", library, PROGRAMS / "locals_library.c"]
    subprocess.run([*command, *parts], check=True, cwd=folder)
    parts = ["-o", program, PROGRAMS / "locals.c", library]
    subprocess.run([*command, *parts], check=True, cwd=folder)
    return program


@pytest.mark.parametrize("name", BUILDS)
def test_variables_are_gdbs(name: str, tmp_path: Path) -> None:
    program = _built(tmp_path, name)
    script = tmp_path / "script.py"
    arguments = [str(program), "-ex", "run"]
    for stop in range(STOPS):
        arguments += ["-ex", f"generate-core-file {tmp_path}/core{stop}"]
        arguments += ["-x", str(script), "-ex", "continue"] if stop < STOPS - 1 else []
    states = gdb_states(arguments, script, GLOBALS)
    assert len(states) == STOPS
    counts: Counter[str] = Counter()
    for stop, state in enumerate(states):
        _judge(f"{name}, stop {stop}", tmp_path / f"core{stop}", state, counts)
    assert counts["same"] >= BUILDS[name][2], counts


def _judge(
    where: str, core: Path, state: PeerState, counts: Counter[str], *, is_blind: bool = False
) -> None:
    # gdb 13 takes the locations of clang's split units for absent.
    is_blind |= where.startswith("clang-O2-split")
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(core.parent))
    system = session.open_dump(str(core))
    try:
        for thread in system.threads:
            rows = list(session.stack(system, system.thread_registers(thread), 64))
            frames = state.threads[thread.id]
            for row, frame in zip(rows, frames, strict=False):
                place = f"{where}, frame {row.number} {frame.name}"
                assert (row.frame.pc, row.is_inline) == (frame.pc, frame.is_inline), place
                scope, ours = our_variables(system, thread, row)
                if frame.variables is not None and scope is not None:
                    compare(place, ours, frame.variables, counts, is_blind=is_blind)
        for name, leaves in state.variables.items():
            found = [
                value
                for module in system.modules.modules
                if module.name.startswith(("locals", "liblocals"))
                and (value := global_named(system, module, name)) is not None
            ]
            if not found:
                # A static variable that was optimised away.
                assert (name, leaves) == ("s_shared", [("", "optimized out")]), where
                continue
            ours = leaves_of(found[0])
            if name in TRUTH:
                assert ours == TRUTH[name], f"{where}: {name}"
            elif "split" not in where:
                compare_leaves(f"{where}: {name}", dict(ours), dict(leaves), counts)
    finally:
        session.close()


BUILDS_32 = {
    "gcc-O0": ("gcc", "-O0", 30),
    "gcc-O2": ("gcc", "-O2", 30),
    "gcc-Os-registers": ("gcc", "-Os -mpreferred-stack-boundary=2 -mregparm=3", 30),
    "gcc-dwarf2": ("gcc", "-O1 -fomit-frame-pointer -gdwarf-2", 30),
    "clang-O0": ("clang-19", "-O0", 30),
    "clang-O2": ("clang-19", "-O2", 10),
}


@pytest.mark.parametrize("name", BUILDS_32)
def test_variables_of_32_bit_programs(name: str, tmp_path: Path) -> None:
    compiler, flags, least = BUILDS_32[name]
    if shutil.which(compiler) is None or shutil.which("gdb") is None:
        pytest.skip(f"needs {compiler} and gdb")
    program, script = tmp_path / "locals32", tmp_path / "script.py"
    command = [compiler, "-m32", "-g", "-w", "-nostdlib", "-static", "-ffreestanding"]
    command += ["-fno-stack-protector", *flags.split(), "-o", str(program)]
    subprocess.run([*command, PROGRAMS / "locals32.c"], check=True, cwd=tmp_path)
    arguments = [str(program), "-ex", "run", "-ex", f"generate-core-file {tmp_path}/core0"]
    arguments += ["-x", str(script), "-ex", "continue"]
    arguments += ["-ex", f"generate-core-file {tmp_path}/core1"]
    states = gdb_states(arguments, script)
    assert len(states) == 2
    counts: Counter[str] = Counter()
    for stop, state in enumerate(states):
        # gdb gives up on values at the entry of functions that call themselves; we have those.
        _judge(f"{name}, stop {stop}", tmp_path / f"core{stop}", state, counts, is_blind=True)
    assert counts["same"] >= least, counts


CPP_BUILDS = {
    "g++-O0": ("g++", "-O0"),
    "g++-types": ("g++", "-O0 -gdwarf-4 -fdebug-types-section -gz"),
    "clang-O0": ("clang++-19", "-O0"),
    "clang-O2-split": ("clang++-19", "-O2 -gsplit-dwarf -gdwarf-4"),
    "clang-linked": ("clang++-19", "-O1 -flto -fuse-ld=lld-19"),
}
CPP_TRUTH: dict[str, int | float] = {
    "zoo::count": 5,
    "zoo::(anonymous namespace)::hidden": 7,
    "zoo::(anonymous namespace)::fixed": 8,
    "zoo::ratio": 2.5,
    "zoo::Cage::made": 11,
    "zoo::Cage::kMax": 99,
    "zoo::Cage::t_in": 12,
    "zoo::Box<short>::spare": 13,
    "file_static": 30,
    "plain_c": 31,
}
"""What the source says: namespaces, static members, templates, constants, thread-local ones."""
_LEFT_OUT = {
    "clang-O0": {"zoo::ratio"},
    "clang-O2-split": {"zoo::ratio"},
    "clang-linked": {"zoo::ratio", "zoo::count", "zoo::Cage::made"},
}
"""What a build has no description of, or a description that names no place."""


@pytest.mark.parametrize("name", CPP_BUILDS)
def test_globals_are_those_of_the_source(name: str, tmp_path: Path) -> None:
    compiler, flags = CPP_BUILDS[name]
    if shutil.which(compiler) is None or shutil.which("gdb") is None:
        pytest.skip(f"needs {compiler} and gdb")
    program = tmp_path / "globals"
    command = [compiler, "-g", "-std=c++17", "-w", *flags.split(), "-o", program]
    subprocess.run([*command, PROGRAMS / "globals.cpp"], check=True, cwd=tmp_path)
    run = [str(program), "-ex", "run", "-ex", f"generate-core-file {tmp_path}/core"]
    gdb_states(run, tmp_path / "script.py")
    session = Session()
    session.settings.image_path = SymbolPath.parse(str(tmp_path))
    system = session.open_dump(f"{tmp_path}/core")
    try:
        module = system.modules.named("globals")
        assert module is not None
        found = {each: global_named(system, module, each) for each in CPP_TRUTH}
        values = {each: leaves_of(value)[0][1] for each, value in found.items() if value}
    finally:
        session.close()
    left_out = _LEFT_OUT.get(name, set())
    assert {each: values.get(each) for each in CPP_TRUTH if each not in left_out} == {
        each: value for each, value in CPP_TRUTH.items() if each not in left_out
    }
