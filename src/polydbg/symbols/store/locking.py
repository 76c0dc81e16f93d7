"""Locks of files between processes, which the system gives up when a process ends."""

from __future__ import annotations

import sys
from typing import BinaryIO


def lock(file: BinaryIO) -> None:
    """Lock *file* for this process, until it is closed. :raises OSError: another one has it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
