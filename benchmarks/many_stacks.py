"""Prints the crash stack of one dump many times, as batch triage would of many dumps.

``many_stacks.py COUNT DUMP SYMBOLS polydbg`` does it with the library in this process,
``many_stacks.py COUNT DUMP SYMBOLS PROGRAM ARGUMENT...`` runs a program each time.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    count, dump, symbols, program = int(sys.argv[1]), *sys.argv[2:5]
    for _ in range(count):
        if program == "polydbg":
            import polydbg

            with polydbg.open(dump, symbols=symbols) as session:
                for frame in session.crash_frames():
                    print(frame)
        else:
            done = subprocess.run(sys.argv[4:], capture_output=True, text=True, check=True)
            print(done.stdout)


if __name__ == "__main__":
    main()
