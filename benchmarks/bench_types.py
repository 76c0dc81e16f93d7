"""Types and locals out of large debug information: ``dt``, ``dv`` and expressions (needs
``make bench-data``).

"The command alone" is a process that has opened the dump and walked its stack already; other rows
are whole processes against gdb and lldb, which print the same type or the same frame's locals.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench_elf import FOLDER as ELF
from bench_elf import our_core
from harness import (
    PAIRS,
    BenchmarkError,
    Command,
    Measurement,
    Row,
    compare_row,
    environment,
    main,
    memory,
)
from programs import CACHE, HERE, gdb, lldb_core

BIG = CACHE / "big"
TOOK = re.compile(r"took ([0-9.]+)")
TYPES = {"big": "unit12::walker<26>", "b": "unit6::walker<14>", "c": "unit7::walker<16>"}
MEMBER = "visited"
SEQUENCES = (
    "dv",
    *(f"dx {more}{name}" for name in ("numbers", "chain", "table") for more in ("", "-c 100 ")),
)


def _alone(dump: Path, folder: Path, command: str) -> Command:
    argv = (sys.executable, str(HERE / "types_probe.py"), str(dump), str(folder), command)
    return Command("polydbg", argv, "took")


def _alone_row(what: str, command: Command, runs: int, prints: str = MEMBER) -> Row:
    """Return the median seconds that the command itself took, and the memory of the process."""
    seconds = []
    for _ in range(runs):
        done = subprocess.run(
            command.argv, env=environment(command), capture_output=True, text=True, check=False
        )
        found = TOOK.search(done.stdout)
        if done.returncode or found is None or prints not in done.stdout:
            raise BenchmarkError(f"{what}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        seconds.append(float(found[1]))
    return Row(
        what, statistics.median(seconds), our_memory=memory(command), note="the command alone"
    )


def _expression_rows() -> list[Measurement]:
    """Return one row for each line of ``expression_probe.py``."""
    probe = (sys.executable, str(HERE / "expression_probe.py"))
    command = Command("polydbg", probe, "masm")
    done = subprocess.run(
        probe, env=environment(command), capture_output=True, text=True, check=False
    )
    rows: list[Measurement] = []
    for line in done.stdout.splitlines():
        language, spellings, microseconds = line.split()
        what = f"expression of ten operators, {language}, {spellings} text each time"
        rows.append(partial(Row, what, float(microseconds) / 1e6, note="read and evaluated"))
    if done.returncode or not rows:
        raise BenchmarkError(done.stderr[-2000:])
    return rows


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """Every question; none without the data."""
    found: list[Measurement] = []
    if (BIG / "big.dmp").exists():
        size = (BIG / "big.pdb").stat().st_size // 1_000_000
        for command in (f"dt big!{TYPES['big']}", ".frame 1;dv /t;dt this"):
            what = f"{size} MB PDB: `{command}`"
            ours = _alone(BIG / "big.dmp", BIG, command)
            found.append(partial(_alone_row, what, ours, pairs))
        pattern = f"dt big!*{TYPES['big'].partition('::')[2]}*"
        ours = _alone(BIG / "big.dmp", BIG, pattern)
        what = f"{size} MB PDB: `{pattern}`"
        found.append(partial(_alone_row, what, ours, min(pairs, 3), "walker"))
    if (ELF / "many.core").exists():
        for command in SEQUENCES:
            what = f"100,000 elements: `{command}`"
            ours = _alone(ELF / "many.core", ELF, command)
            found.append(partial(_alone_row, what, ours, pairs, "100000"))
    found += _expression_rows()
    for name in ("b", "c"):
        program, core = ELF / name, ELF / f"{name}.core"
        if not core.exists():
            continue
        size = program.stat().st_size // 1_000_000
        type_ = TYPES[name]
        few = pairs if name == "b" else min(pairs, 3)
        for command, theirs in (
            (f"dt {name}!{type_}", (f"ptype /o {type_}", f"type lookup {type_}")),
            (
                ".frame 2;dv /t;dt this",
                ("frame apply level 2 -q p *this", "frame variable *this"),
            ),
        ):
            what = f"{size} MB ELF: `{command}`"
            found.append(partial(_alone_row, what, _alone(core, ELF, command), pairs))
            ours = our_core(name, commands=command, prints=MEMBER)
            select = ["frame select 2"] if "dv" in command else []
            peers = (
                gdb(program, core, theirs[0], MEMBER),
                lldb_core(program, core, [*select, theirs[1]], MEMBER),
            )
            found += [partial(compare_row, what, ours, peer, few) for peer in peers if peer]
    return found


if __name__ == "__main__":
    main(measurements())
