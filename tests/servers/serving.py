"""``polydbg sym serve`` as a process of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(root: Path, *options: str) -> Iterator[str]:
    """Serve a folder on a free port; yields the address."""
    argv = [sys.executable, "-m", "polydbg", "sym", "serve", "--port", "0", *options, str(root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.search(r"http://\S+", line)
            if found is None:
                assert server.stderr is not None
                raise AssertionError(line + server.stderr.read())
            yield found[0]
        finally:
            server.terminate()
            server.communicate(timeout=15)
