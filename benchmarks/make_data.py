"""Makes the large inputs of the benchmarks in benchmarks/.cache (``make bench-data``).

About 3 GB and some minutes; what is there already is kept. ``--small`` makes a 17 MB PDB and the
smaller ELF programs only.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import big_program
import dumps
import elf_program
from programs import CACHE, DEMO

NEEDLE = b"polydbg-needle\xf5\xf4\xf3\xf2"
HEAP_BASE = 0x100_0000_0000
HEAP_SIZE = 1 << 30
NEEDLES = (0x123456, 0x1FFF_FFF7, 0x3FFF_F000)


def full_dump() -> Path:
    """The practice dump with one GiB of heap, made anew when the practice dump is newer."""
    path, small = CACHE / "full.dmp", DEMO / "practice.dmp"
    if not path.exists() or path.stat().st_mtime < small.stat().st_mtime:
        part = path.with_suffix(".part")
        heap = dumps.heap_blocks(HEAP_SIZE, NEEDLE, NEEDLES)
        dumps.write_full_dump(small, part, HEAP_BASE, heap, HEAP_SIZE)
        part.rename(path)
    return path


def stackwalk() -> None:
    """Breakpad's programs, which the npm package ``minidump`` carries built for Linux x64."""
    folder = CACHE / "npm"
    if folder.exists() or shutil.which("npm") is None:
        return
    argv = ["npm", "install", "--silent", "--ignore-scripts", "--prefix", str(folder), "minidump"]
    if subprocess.run(argv, check=False, stdout=subprocess.DEVNULL).returncode:
        print("minidump_stackwalk is not to be had; its rows will be missing")


def main() -> int:
    """Makes everything; the exit code is 1 where a tool is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="only the 17 MB PDB")
    options = parser.parse_args()
    CACHE.mkdir(exist_ok=True)
    start = time.monotonic()
    try:
        if options.small:
            made = [big_program.build(CACHE / "small", units=1, count=1)]
            made += elf_program.build(CACHE / "elf-small", small=True)
        else:
            stackwalk()
            made = [full_dump(), big_program.build(CACHE / "big")]
            made += elf_program.build(CACHE / "elf")
    except big_program.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    for path in made:
        for file in sorted(path.parent.glob(f"{path.stem}.*")):
            if file.suffix in (".dmp", ".exe", ".pdb", ".core"):
                print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    print(f"{time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
