"""A whole process: open a small dump, show the crash stack with lines, leave."""

from __future__ import annotations

from functools import partial

from harness import PAIRS, Measurement, compare_row, main, single_row
from programs import DEMO, lldb, polydbg, stackwalk

QUESTIONS = (
    ("modules (`lm`)", "lm", "practice"),
    ("registers (`r`)", ".ecxr;r", "rip=0000000140001567"),
    ("all stacks (`~*k`)", "~*k", "count_stock"),
    ("disassembly (`u`)", "u practice!price_line", "mov"),
)


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """The practice dump against lldb and Breakpad, and what single questions cost."""
    dump, image, pdb = (DEMO / f"practice.{suffix}" for suffix in ("dmp", "exe", "pdb"))
    ours = polydbg("polydbg", dump, DEMO, ".ecxr;k", "orders.c @ 139", "-lines")
    found: list[Measurement] = []
    peer = lldb(dump, image, pdb, ["bt"], "orders.c:139")
    if peer is not None:
        what = "small dump: crash stack with lines"
        found.append(partial(compare_row, what, ours, peer, pairs))
    walker = stackwalk(dump, "practice.exe")
    if walker is not None:
        note = "it reads no PDB: addresses only"
        found.append(partial(compare_row, "small dump: crash stack", ours, walker, pairs, note))
    for what, commands, must_print in QUESTIONS:
        command = polydbg("polydbg", dump, DEMO, commands, must_print)
        found.append(partial(single_row, f"small dump: {what}", command, pairs))
    return found


if __name__ == "__main__":
    main(measurements())
