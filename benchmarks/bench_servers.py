"""What servers that do not answer cost: the first stack at a prompt, Ctrl+C, a batch run.

The dead server is a port that accepts connections and says nothing, as many outages look. Times at
the prompt are taken in one process, from sending a command to the prompt after it, because a
terminal would add its own.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness import PAIRS, BenchmarkError, Command, Measurement, Row, compare, environment, main
from programs import DEMO

PROBE = """
import json, sys, threading, time
from polydbg.service.api import FinishedEvent, OpenRequest
from polydbg.service.local import LocalClient
dump, path, offline, line, stop_after = sys.argv[1:]
client = LocalClient()
for event in client.open(OpenRequest([dump], path, use_environment=False, offline=bool(offline),
                                     first_screen=False)):
    pass
begin = time.perf_counter()
if stop_after:
    def stop():
        global begin
        begin = time.perf_counter()
        client.interrupt()
    threading.Timer(float(stop_after), stop).start()
for event in client.execute(line):
    if isinstance(event, FinishedEvent):
        took = time.perf_counter() - begin
print(json.dumps(took), flush=True)
import os; os._exit(0)
"""


@contextlib.contextmanager
def dead_server() -> Iterator[str]:
    """The address of a server that never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _prompt_seconds(path: str, *, offline: bool, line: str, stop_after: str = "") -> float:
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "practice.dmp"
        shutil.copy(DEMO / "practice.dmp", dump)
        argv = [sys.executable, "-c", PROBE, str(dump), path, "1" * offline, line, stop_after]
        env = {**environment(), "POLYDBG_CACHE": f"{folder}/cache", "no_proxy": "*"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(done.stderr[-2000:])
    return float(json.loads(done.stdout))


def _first_stack(pairs: int) -> Row:
    with dead_server() as url:
        path, line = f"srv*{url}", ".ecxr; k"
        asked, offline = [], []
        for _ in range(pairs + 1):  # the first pair warms the caches
            asked.append(_prompt_seconds(path, offline=False, line=line))
            offline.append(_prompt_seconds(path, offline=True, line=line))
    more = statistics.median(a - b for a, b in zip(asked[1:], offline[1:], strict=True))
    return Row(
        "first stack at the prompt, the server dead",
        statistics.median(asked[1:]),
        "polydbg --offline",
        statistics.median(offline[1:]),
        note=f"{1000 * more:.0f} ms more; bound 300 ms",
    )


def _ctrl_c(pairs: int) -> Row:
    with dead_server() as url:
        took = [
            _prompt_seconds(f"srv*{url}", offline=False, line=".reload /f", stop_after="1")
            for _ in range(pairs)
        ]
    note = f"longest {1000 * max(took):.0f} ms; bound 500 ms"
    return Row("Ctrl+C in `.reload /f` to the prompt", statistics.median(took), note=note)


def _gdb(pairs: int) -> Row:
    """A core whose debug file is with a debuginfod that does not answer, waited for 5 s."""
    with tempfile.TemporaryDirectory() as text, dead_server() as url:
        folder = Path(text)
        source, program, core = folder / "a.c", folder / "a", folder / "core"
        source.write_text("int main(void) { return *(volatile int *)0; }\n")
        subprocess.run(["gcc", "-o", program, source], check=True)
        gcore = ["gdb", "-nx", "-q", "-batch", "-ex", "run", "-ex", f"gcore {core}", program]
        subprocess.run(gcore, check=True, capture_output=True)
        waits = {"DEBUGINFOD_URLS": url, "DEBUGINFOD_TIMEOUT": "5", "no_proxy": "*"}
        ours = Command(
            "polydbg",
            (str(Path(sys.executable).with_name("polydbg")), str(core), "--symbol-wait", "5",
             "-c", "k;q"),
            "a!main",
            env={**waits, "POLYDBG_CACHE": f"{folder}/cache", "NO_COLOR": "1"},
        )  # fmt: skip
        theirs = Command(
            "gdb",
            ("gdb", "-nx", "-q", "-batch", "-ex", "set debuginfod enabled on",
             "-ex", f"file {program}", "-ex", f"core {core}", "-ex", "bt"),
            "main",
            env={**waits, "DEBUGINFOD_CACHE_PATH": f"{folder}/client"},
        )  # fmt: skip
        found = compare(ours, theirs, pairs)
    note = "batch runs; each may wait 5 s for a file (gdb's default is 90 s, ours 20 s in all)"
    what = "stack of a core, debuginfod dead"
    return Row(what, found.a_median, "gdb", found.b_median, found.ratio, note=note)


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """Latencies with a server that does not answer."""
    found: list[Measurement] = [partial(_first_stack, pairs), partial(_ctrl_c, pairs)]
    if shutil.which("gdb") and shutil.which("gcc"):
        found.append(partial(_gdb, min(pairs, 3)))
    return found


if __name__ == "__main__":
    main(measurements())
