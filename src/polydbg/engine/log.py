"""The session's log file: a copy of what is shown, written by the service."""

from __future__ import annotations

from typing import TextIO


class SessionLog:
    """At most one open log file."""

    def __init__(self) -> None:
        self._file: TextIO | None = None
        self.path: str | None = None

    def open(self, path: str, *, append: bool) -> None:
        """Begin to write to *path*, closing what was open. :raises OSError:"""
        file = open(path, "a" if append else "w", encoding="utf-8")  # noqa: SIM115
        self.close()
        self._file, self.path = file, path

    def write(self, text: str) -> None:
        """Write *text* as it is, if a log is open."""
        if self._file is not None:
            self._file.write(text)
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self.path = None
