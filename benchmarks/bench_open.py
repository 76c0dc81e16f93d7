"""A whole process: open a small dump, show the crash stack with lines, leave."""

from __future__ import annotations

from harness import PAIRS, Row, compare_row, single_row
from programs import DATA, DEMO, lldb, polydbg, stackwalk

# Our stack has 5 frames of the program, then the C runtime's.
OUTERMOST = "practice!main+"


def run(pairs: int = PAIRS) -> list[Row]:
    """The practice dump against lldb and Breakpad, and what single questions cost.

    Breakpad's minidump_stackwalk reads no PDB: it walks the same dump without symbols, and a dump
    of its own kind with its own text symbols.
    """
    dump = DEMO / "practice.dmp"
    ours = polydbg("polydbg", dump, DEMO, "k", OUTERMOST, "-lines")
    rows = []
    image, pdb = DEMO / "practice.exe", DEMO / "practice.pdb"
    peer = lldb(dump, image, pdb, ["bt"], "orders.c:139")
    if peer is not None:
        rows.append(compare_row("small dump: crash stack with lines", ours, peer, pairs))
    walker = stackwalk(dump, "practice.exe")
    if walker is not None:
        note = "it reads no PDB: addresses only"
        rows.append(compare_row("small dump: crash stack", ours, walker, pairs, note))
    inline = DATA / "minidump/breakpad/linux_inline.dmp"
    walker = stackwalk(inline, "linux_inline.cpp", DATA / "symbols/breakpad")
    folder = DATA / "symbols/breakpad"
    if walker is not None and inline.exists():
        sym = polydbg("polydbg", inline, folder, "k", "linux_inline.cpp @ 27", "-lines")
        rows.append(compare_row("small Linux dump with Breakpad .sym", sym, walker, pairs))
    for what, commands, must_print in (
        ("small dump: modules (`lm`)", "lm", "practice"),
        ("small dump: registers (`r`)", ".ecxr;r", "rip=0000000140001567"),
        ("small dump: disassembly (`u`)", "u practice!price_line", "mov"),
        ("small dump: locals of a frame (`dv`)", ".frame 2;dv", "shop"),
        ("small dump: `!analyze -v`", "!analyze -v", "c0000005"),
    ):
        rows.append(single_row(what, polydbg("polydbg", dump, DEMO, commands, must_print), pairs))
    return rows


if __name__ == "__main__":
    from harness import table

    print(table(run()))
