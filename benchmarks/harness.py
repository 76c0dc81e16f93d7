"""Runs other programs and measures them: wall time in interleaved pairs, memory apart from it.

Two programs are compared by the median of the ratios of neighbouring runs (A B A B ...), because
this class of machine (shared cores) drifts by tens of per cent within minutes, but hardly between
two neighbours. Memory has runs of its own, as reading it disturbs the clock:

* ``hwm``: VmHWM of /proc/PID/status, polled until the process ends. It is the process's own peak
  of resident memory, mapped file pages included, less what the last poll interval (1 ms) added.
* ``maxrss``: ``ru_maxrss`` of ``os.wait4``. Linux carries the peak of the memory image before
  ``exec`` over into it, so it never falls below this harness's own size (about 20 MB).

Where /proc is missing (macOS) only the latter is known.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAIRS = 7
POLL_SECONDS = 0.001
TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Command:
    """A command line under a name; ``must_print`` guards against measuring a failure."""

    name: str
    argv: tuple[str, ...]
    must_print: str = ""
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """Peaks in kB (see the module); ``hwm`` is None where /proc does not tell."""

    maxrss: int
    hwm: int | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of each run of A and B, in pairs."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of A/B over the pairs: below 1 means that A is faster."""
        return statistics.median(x / y for x, y in zip(self.a, self.b, strict=True))

    @property
    def a_median(self) -> float:
        return statistics.median(self.a)

    @property
    def b_median(self) -> float:
        return statistics.median(self.b)


class BenchmarkError(Exception):
    """A measured program failed or did not print what it had to."""


def environment(command: Command | None = None) -> dict[str, str]:
    """This process's environment without a user's settings and a symbol server.

    PYTHONDONTWRITEBYTECODE goes too: where it is set (containers), an editable install would
    compile every module in every run, which an installed package never does.
    """
    result = {**os.environ, **(command.env if command is not None else {})}
    for name in (
        "_NT_SYMBOL_PATH",
        "_NT_EXECUTABLE_IMAGE_PATH",
        "_NT_SOURCE_PATH",
        "PYTHONDONTWRITEBYTECODE",
    ):
        result.pop(name, None)
    return result


def _check(command: Command, code: int, output: bytes) -> None:
    text = output.decode("utf-8", "replace")
    if code != 0 or command.must_print not in text:
        raise BenchmarkError(
            f"{command.name}: exit code {code}, expected {command.must_print!r} in:\n"
            f"{' '.join(command.argv)}\n{text[-3000:]}"
        )


def wall(command: Command) -> float:
    """Seconds from start to end of one run, output going to a pipe.

    :raises BenchmarkError: the program failed
    """
    start = time.perf_counter()
    done = subprocess.run(
        command.argv,
        cwd=command.cwd,
        env=environment(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    elapsed = time.perf_counter() - start
    _check(command, done.returncode, done.stdout)
    return elapsed


def _read_hwm(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def memory(command: Command) -> Memory:
    """The peaks of one run.

    :raises BenchmarkError: the program failed
    """
    hwm: int | None = None
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command.argv,
            cwd=command.cwd,
            env=environment(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            seen = _read_hwm(process.pid)
            hwm = seen if seen is not None else hwm
            time.sleep(POLL_SECONDS)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        _check(command, process.returncode, output.read())
    # ru_maxrss is in kB on Linux, in bytes on macOS.
    scale = 1024 if sys.platform == "darwin" else 1
    return Memory(usage.ru_maxrss // scale, hwm)


def compare(a: Command, b: Command, pairs: int = PAIRS) -> Comparison:
    """Times A and B in turn, ``pairs`` times after one unmeasured run of each.

    :raises BenchmarkError: a program failed
    """
    wall(a)
    wall(b)
    runs_a, runs_b = [], []
    for _ in range(pairs):
        runs_a.append(wall(a))
        runs_b.append(wall(b))
    return Comparison(tuple(runs_a), tuple(runs_b))


def repeat(command: Command, runs: int = PAIRS) -> float:
    """Median seconds of ``runs`` runs after an unmeasured one."""
    wall(command)
    return statistics.median(wall(command) for _ in range(runs))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of results."""

    what: str
    ours: float
    peer: str = ""
    theirs: float | None = None
    ratio: float | None = None
    our_memory: Memory | None = None
    their_memory: Memory | None = None
    note: str = ""


def compare_row(what: str, ours: Command, peer: Command, pairs: int = PAIRS, note: str = "") -> Row:
    """Compares time and memory of both and says so in a row."""
    times = compare(ours, peer, pairs)
    return Row(
        what,
        times.a_median,
        peer.name,
        times.b_median,
        times.ratio,
        memory(ours),
        memory(peer),
        note,
    )


def single_row(what: str, ours: Command, runs: int = PAIRS, note: str = "") -> Row:
    """Measures one command that has no peer."""
    return Row(what, repeat(ours, runs), our_memory=memory(ours), note=note)


Measurement = Callable[[], Row]
"""One row yet to be measured; may raise :class:`BenchmarkError`."""


def measured(measurements: Iterable[Measurement]) -> tuple[list[Row], list[BenchmarkError]]:
    """Measures all, the failed ones apart."""
    rows, errors = [], []
    for measurement in measurements:
        try:
            rows.append(measurement())
        except BenchmarkError as error:
            errors.append(error)
    return rows, errors


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 10 else f"{value:.1f} s"


def _megabytes(value: Memory | None) -> str:
    if value is None:
        return ""
    return f"{(value.hwm if value.hwm is not None else value.maxrss) / 1024:.0f} MB"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| what | polydbg | memory | peer | its time | its memory | time ratio | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        cells = (
            row.what,
            _seconds(row.ours),
            _megabytes(row.our_memory),
            row.peer,
            _seconds(row.theirs),
            _megabytes(row.their_memory),
            ratio,
            row.note,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(measurements: Iterable[Measurement]) -> None:
    """Prints one benchmark's table, then what failed."""
    rows, errors = measured(measurements)
    print(table(rows))
    for error in errors:
        print(error, file=sys.stderr)
    sys.exit(bool(errors))
