"""A dump with 1 GiB of memory: the first stack, and a search of all of it (``make bench-data``)."""

from __future__ import annotations

import shutil
from functools import partial

from harness import PAIRS, Command, Measurement, compare_row, main
from make_data import HEAP_BASE, HEAP_SIZE, NEEDLE, NEEDLES
from programs import CACHE, DEMO, lldb, polydbg

PART_SIZE = 2 << 20


def _as_printed(place: int) -> str:
    digits = f"{HEAP_BASE + place:016x}"
    return f"{digits[:8]}`{digits[8:]}"


# The last hit must be printed; the one before it lies across two of the generator's blocks.
FIRST_PRINTED, LAST_PRINTED = _as_printed(NEEDLES[0]), _as_printed(NEEDLES[-1])
TEXT = NEEDLE[:14].decode()


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """The same questions of the small and the full dump, and searches against grep and lldb."""
    full, small = CACHE / "full.dmp", DEMO / "practice.dmp"
    if not full.exists():
        return []
    heap = f"{HEAP_BASE:x} L?{HEAP_SIZE:x}"
    stack = polydbg("polydbg", full, DEMO, "k", "practice!main+", "-lines")
    stack_small = polydbg("the small dump", small, DEMO, "k", "practice!main+", "-lines")
    data = " ".join(f"{byte:02x}" for byte in NEEDLE)
    by_bytes = polydbg("polydbg", full, DEMO, f"s -b {heap} {data}", LAST_PRINTED)
    by_text = polydbg("polydbg", full, DEMO, f's -a {heap} "{TEXT}"', LAST_PRINTED)
    what = "1 GiB dump: crash stack with lines"
    found: list[Measurement] = [partial(compare_row, what, stack, stack_small, pairs)]
    grep = shutil.which("grep")
    if grep is not None:
        pattern = "".join(f"\\x{byte:02x}" for byte in NEEDLE)
        argv = (grep, "-obUaP", pattern, str(full))
        peer = Command("grep -obUaP", argv, TEXT, env={"LC_ALL": "C"})
        found.append(partial(compare_row, "1 GiB dump: bytes (`s -b`)", by_bytes, peer, pairs))
        found.append(partial(compare_row, "1 GiB dump: text (`s -a`)", by_text, peer, pairs))
    find = [f'memory find -c 3 -s "{TEXT}" 0x{HEAP_BASE:x} 0x{HEAP_BASE + PART_SIZE:x}']
    image, pdb = DEMO / "practice.exe", DEMO / "practice.pdb"
    debugger = lldb(full, image, pdb, find, f"{HEAP_BASE + NEEDLES[0]:x}")
    if debugger is not None:
        # lldb takes seconds for each MiB, so it gets a part, and three pairs are enough.
        part = f's -a {HEAP_BASE:x} L?{PART_SIZE:x} "{TEXT}"'
        ours = polydbg("polydbg", full, DEMO, part, FIRST_PRINTED)
        what = f"1 GiB dump: text in {PART_SIZE >> 20} MiB of it (`s -a`)"
        found.append(partial(compare_row, what, ours, debugger, min(pairs, 3)))
    return found


if __name__ == "__main__":
    main(measurements())
