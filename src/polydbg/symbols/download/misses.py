"""What servers did not have, remembered on disk for all processes of this user.

A miss is an empty file whose name is a hash of the server and the file, and whose time of change is
when the server said so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from polydbg.symbols.store.hostpath import cache_folder

_MAX_FILES = 100_000
"""More are cleared away: they only save a question."""


class Misses:
    """Misses that are younger than *max_age* seconds count."""

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._folder = cache_folder("misses")
        self._is_tidy = False

    def has(self, *what: str) -> bool:
        """Tell whether *what* (a server, the parts of a file's address) was missing lately."""
        place = self._place(what)
        try:
            age = time.time() - place.stat().st_mtime
        except OSError:
            return False
        return 0 <= age < self._max_age

    def add(self, *what: str) -> None:
        """Remember that *what* is missing; where that cannot be written it is forgotten."""
        if not self._is_tidy:
            self._is_tidy = True
            self._tidy()
        place = self._place(what)
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            os.utime(place)

    def remove(self, *what: str) -> None:
        """Forget a miss."""
        with contextlib.suppress(OSError):
            self._place(what).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove those that count no more."""
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for number, entry in enumerate(entries):
                age = time.time() - entry.stat().st_mtime
                if number >= _MAX_FILES or not 0 <= age < self._max_age:
                    os.unlink(entry.path)

    def _place(self, what: tuple[str, ...]) -> Path:
        name = hashlib.sha256("\0".join(what).encode("utf-8", "replace")).hexdigest()
        return self._folder / name[:40]
