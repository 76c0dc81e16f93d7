"""Keeps the default cache within its size: what was not used for the longest goes first."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from pathlib import Path

import msgspec

from polydbg.symbols.download.landing import remove_stale

_EVERY = 600.0  # seconds between two looks at the cache, a walk over all its folders
_IN_USE = 3600.0  # seconds for which a file that was read or written is not removed
_LOW_WATER = 0.9
_MAX_FILES = 1_000_000

_lock = threading.Lock()
_last: dict[str, float] = {}


class _File(msgspec.Struct, frozen=True, order=True):
    used: float
    size: int
    path: str


def trim(root: Path, limit: int, *, keep: Path) -> int:
    """Remove files of the cache *root* until at most *limit* bytes are left, a tenth less if any
    had to go; *keep* stays. Return how many were removed; looks at most every ten minutes."""
    with _lock:
        now = time.monotonic()
        if now - _last.get(str(root), -_EVERY) < _EVERY:
            return 0
        _last[str(root)] = now
    files = _files(root)
    total = sum(file.size for file in files)
    if total <= limit:
        return 0
    removed, newest = 0, time.time() - _IN_USE
    for file in sorted(files):
        if total <= limit * _LOW_WATER or file.used > newest:
            break
        if file.path == str(keep):
            continue
        with contextlib.suppress(OSError):  # another process has it open, or was faster
            os.unlink(file.path)
            total -= file.size
            removed += 1
    return removed


def _files(root: Path) -> list[_File]:
    """Return the files below *root* in key folders; links and the store's marks are left alone."""
    found: list[_File] = []
    for folder, folders, names in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name != "000Admin"]
            continue
        remove_stale(Path(folder))
        for name in names:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode):
                    found.append(_File(max(info.st_atime, info.st_mtime), info.st_size, path))
        if len(found) >= _MAX_FILES:
            break
    return found
