"""Opens a dump, walks the stack, then runs one command and prints how long that alone took.

usage: types_probe.py DUMP FOLDER COMMAND
"""

from __future__ import annotations

import sys
import time

import polydbg


def main() -> int:
    """Prints the command's output and ``took SECONDS``."""
    dump, folder, command = sys.argv[1:]
    with polydbg.open(dump, symbols=folder, images=folder, offline=True) as session:
        session.command(".ecxr;k", check=False)
        start = time.perf_counter()
        result = session.command(command)
        elapsed = time.perf_counter() - start
        print(result.text)
        print(f"took {elapsed:.6f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
