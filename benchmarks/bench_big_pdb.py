"""First answers out of a PDB of some hundred megabytes (needs ``make bench-data``)."""

from __future__ import annotations

from functools import partial

from harness import PAIRS, Measurement, compare_row, main, single_row
from programs import CACHE, lldb, polydbg

FOLDER = CACHE / "big"


# Title, our commands, what we must print, lldb's commands, what it must print. Unit 12 is the one
# that crashes (see big/unit.cpp).
QUESTIONS = (
    ("crash stack with lines (`k`)", "k", "big!start+", ["bt"], "main.cpp:10"),
    (
        "a function by name (`x big!crash_unit_12`)",
        "x big!crash_unit_12",
        "big!crash_unit_12",
        ["image lookup -n crash_unit_12"],
        "crash_unit_12",
    ),
    (
        "functions by pattern (`x big!crash_unit_1*`)",
        "x big!crash_unit_1*",
        "big!crash_unit_19",
        [],  # lldb's native PDB reader finds nothing by a regular expression
        "",
    ),
    ("address to name (`ln @rip`)", "ln @rip", "mark", ["image lookup -a $pc"], "mark"),
)


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """Every question as a process of its own, opening included; none without the data."""
    dump = FOLDER / "big.dmp"
    if not dump.exists():
        return []
    size = (FOLDER / "big.pdb").stat().st_size // 1_000_000
    found: list[Measurement] = []
    for title, commands, must_print, theirs, they_print in QUESTIONS:
        what = f"{size} MB PDB: {title}"
        ours = polydbg("polydbg", dump, FOLDER, commands, must_print, "-lines")
        peer = lldb(dump, FOLDER / "big.exe", FOLDER / "big.pdb", theirs, they_print)
        if peer is None or not theirs:
            found.append(partial(single_row, what, ours, pairs))
        else:
            found.append(partial(compare_row, what, ours, peer, pairs))
    return found


if __name__ == "__main__":
    main(measurements())
