"""Runs every benchmark and prints the table of benchmarks/README.md (``make bench``)."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys

import bench_big_pdb
import bench_elf
import bench_full_dump
import bench_open
import bench_servers
import bench_startup
import bench_threads
import bench_triage
import bench_types
from harness import PAIRS, Row, measured, table
from programs import CACHE

BENCHMARKS = {
    "open": bench_open.measurements,
    "startup": bench_startup.measurements,
    "big-pdb": bench_big_pdb.measurements,
    "full-dump": bench_full_dump.measurements,
    "threads": bench_threads.measurements,
    "elf": bench_elf.measurements,
    "servers": bench_servers.measurements,
    "triage": bench_triage.measurements,
    "types": bench_types.measurements,
}


def main() -> int:
    """Prints and stores the results; the exit code is 1 where a measured program failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    rows: list[Row] = []
    failed = False
    for name in options.names or BENCHMARKS:
        found = BENCHMARKS[name](options.pairs)
        if not found:
            print(f"{name}: no data, run `make bench-data` first", file=sys.stderr)
        more, errors = measured(found)
        rows += more
        for error in errors:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    load = os.getloadavg()[0]
    where = f"{os.cpu_count()} cores, {platform.platform()}, CPython {platform.python_version()}"
    text = f"{datetime.date.today()}: {where}; load {load:.1f} at the end\n\n{table(rows)}\n"
    print(text)
    CACHE.mkdir(exist_ok=True)
    (CACHE / "results.md").write_text(text)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
