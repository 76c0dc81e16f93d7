"""Many small dumps: `!analyze --json` two at a time, and stacks against minidump_stackwalk.

Both read the same Breakpad symbols. The shared data hold the dump and its symbols; without them
(POLYDBG_DATA) those rows are missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from harness import (
    PAIRS,
    BenchmarkError,
    Command,
    Measurement,
    Row,
    compare_row,
    environment,
    main,
)
from programs import DEMO, HERE, polydbg, stackwalk

DUMPS = 60
AT_ONCE = 2
DATA = Path(os.environ.get("POLYDBG_DATA") or HERE.parents[1] / "shared" / "data")


def _analyze_many() -> Row:
    """Run `!analyze` over the practice dump, each time a process of its own, two at a time."""
    command = polydbg(
        "polydbg", DEMO / "practice.dmp", DEMO, "!analyze", "NULL_POINTER_WRITE", "--json"
    )

    def once(_: int) -> None:
        done = subprocess.run(
            command.argv, check=False, env=environment(command), capture_output=True
        )
        if done.returncode or command.must_print.encode() not in done.stdout:
            raise BenchmarkError(f"!analyze failed:\n{done.stdout!r}\n{done.stderr!r}")

    once(0)
    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(once, range(DUMPS)))
    elapsed = time.perf_counter() - start
    note = f"{DUMPS / elapsed * 60:.0f} dumps a minute (bound 300)"
    return Row(f"{DUMPS} small dumps, `!analyze --json`, {AT_ONCE} at a time", elapsed, note=note)


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    found: list[Measurement] = [_analyze_many]
    dump, symbols = DATA / "minidump/breakpad/minidump2.dmp", DATA / "symbols/breakpad"
    walker = stackwalk(dump, "CrashFunction", symbols)
    if walker is None or not dump.exists():
        return found
    ours = polydbg("polydbg", dump, symbols, ".ecxr;k", "CrashFunction")
    found.append(partial(compare_row, "small dump with .sym: crash stack", ours, walker, pairs))
    argv = (sys.executable, str(HERE / "many_stacks.py"), str(DUMPS), str(dump), str(symbols))
    many = Command("polydbg", (*argv, "polydbg"), "CrashFunction")
    peer = Command("minidump_stackwalk", (*argv, *walker.argv), "CrashFunction")
    what = f"{DUMPS} small dumps with .sym: one Python process with the library"
    found.append(partial(compare_row, what, many, peer, pairs, "a process each for the peer"))
    return found


if __name__ == "__main__":
    main(measurements())
