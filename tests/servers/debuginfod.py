"""Debian's debuginfod over a folder, on this machine."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def debuginfod(folder: Path, scratch: Path) -> Iterator[str]:
    """Serve the ELF files below *folder* and their sources; yields the address when all are known.

    Skips the test where the program is not installed.
    """
    program = shutil.which("debuginfod")
    if program is None:
        pytest.skip("debuginfod is not installed")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = scratch / "debuginfod.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, "-F", "-p", str(port), "-d", str(scratch / "debuginfod.sqlite"),
             "-t", "0", "-g", "0", str(folder)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_until_scanned(f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_scanned(url: str, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        with contextlib.suppress(urllib.error.URLError, OSError):
            metrics = opener.open(f"{url}/metrics", timeout=5).read().decode()
            scanned = b"fts traversed source paths" in log.read_bytes()
            idle = 'thread_work_pending{role="scan"} 0' in metrics
            if scanned and idle and 'thread_busy{role="scan"} 0' in metrics:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8", "replace"))
