"""Every stack of a dump with 500 threads (`~*k`), against lldb's `thread backtrace all`."""

from __future__ import annotations

from functools import partial

import dumps
from harness import PAIRS, Measurement, compare_row, main
from programs import CACHE, DEMO, lldb, polydbg

THREADS = 500


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """The practice dump with its threads repeated up to 500."""
    CACHE.mkdir(exist_ok=True)
    dump = CACHE / "threads.dmp"
    dumps.write_many_threads(DEMO / "practice.dmp", dump, THREADS)
    image, pdb = DEMO / "practice.exe", DEMO / "practice.pdb"
    ours = polydbg("polydbg", dump, DEMO, "~*k", f" {THREADS - 1}  Id:", "-lines")
    peer = lldb(dump, image, pdb, ["thread backtrace all"], f"thread #{THREADS}")
    if peer is None:
        return []
    return [partial(compare_row, f"all stacks of {THREADS} threads (`~*k`)", ours, peer, pairs)]


if __name__ == "__main__":
    main(measurements())
