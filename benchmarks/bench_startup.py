"""Start to prompt beyond the bare interpreter, and which modules that time goes to."""

from __future__ import annotations

import contextlib
import os
import select
import statistics
import subprocess
import sys
import time
from functools import partial

from harness import PAIRS, BenchmarkError, Measurement, Row, compare, environment, main
from programs import DEMO, bare_interpreter, polydbg

BATCH = polydbg("polydbg", DEMO / "practice.dmp", DEMO, "lm", "practice")
PROMPT = b"0:000>"
BUDGET_MS = 150
# Each costs more than 10 ms to import, and none is needed for a stack of a Windows dump.
HEAVY = ("asyncio", "capstone", "prompt_toolkit", "pycxxfilt", "ssl", "unicorn", "urllib.request")


def until_prompt(argv: list[str], prompt: bytes) -> float:
    """Seconds until ``prompt`` appears on a terminal; the program is then ended.

    :raises BenchmarkError: it ended or was silent for 20 s before
    """
    import pty

    start = time.perf_counter()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        argv,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        close_fds=True,
        env={**environment(), "TERM": "xterm", "NO_COLOR": "1"},
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    try:
        while prompt not in seen:
            ready, _, _ = select.select([leader], [], [], 20)
            data = b""
            with contextlib.suppress(OSError):
                data = os.read(leader, 65536) if ready else b""
            if not data:
                raise BenchmarkError(f"no prompt from {argv}: {seen[-2000:]!r}")
            seen += data
        return time.perf_counter() - start
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def imported_modules(argv: list[str]) -> dict[str, tuple[int, int]]:
    """Own and cumulative import time (microseconds) of each module, by ``-X importtime``."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *argv],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "self [us]" not in line:
            own, cumulative, name = line.removeprefix("import time:").split("|")
            found[name.strip()] = (int(own), int(cumulative))
    return found


def _to_prompt(pairs: int) -> Row:
    argv = list(BATCH.argv[: BATCH.argv.index("-c")])
    printing = [sys.executable, "-c", "print('0:000>')"]
    gains = []
    for _ in range(pairs + 1):  # the first pair warms the caches
        ours = until_prompt(argv, PROMPT)
        gains.append(ours - until_prompt(printing, PROMPT))
    note = f"dump opened; budget {BUDGET_MS} ms"
    what = "start to prompt, less the bare interpreter"
    return Row(what, statistics.median(gains[1:]), note=note)


def _batch(pairs: int) -> Row:
    times = compare(BATCH, bare_interpreter(), pairs)
    beyond = statistics.median(a - b for a, b in zip(times.a, times.b, strict=True))
    return Row("`lm;q` in batch, less the bare interpreter", beyond)


def _imports() -> Row:
    modules = imported_modules([*BATCH.argv])
    top = sorted(modules, key=lambda name: -modules[name][0])[:6]
    heaviest = ", ".join(f"{name} {modules[name][0] / 1000:.1f}" for name in top)
    heavy = ", ".join(name for name in HEAVY if name in modules) or "none"
    seconds = sum(own for own, _ in modules.values()) / 1e6
    what = f"imports of `lm;q`: {len(modules)} modules"
    return Row(what, seconds, note=f"ms each: {heaviest}; heavy ones: {heavy}")


def measurements(pairs: int = PAIRS) -> list[Measurement]:
    """The prompt on a terminal, and a batch run, each less the bare interpreter."""
    return [partial(_to_prompt, pairs), partial(_batch, pairs), _imports]


if __name__ == "__main__":
    main(measurements())
