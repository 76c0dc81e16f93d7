"""Source files on this host: found by the source path, read once, listed from line to line."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path

import msgspec

from polydbg.base.errors import CommandError
from polydbg.symbols.store import SourceFinder, SymbolPath

MAX_SOURCE_BYTES = 64 << 20
_MAX_FILES = 16


class SourceText(msgspec.Struct, frozen=True):
    """A file as read: its lines without ends; *stamp* tells whether it changed since."""

    path: Path
    lines: tuple[str, ...]
    stamp: tuple[int, int]


class SourceView:
    """The source file that ``ls`` lists and the next line of it.

    *leading* and *trailing* are the lines that ``lsa`` shows around one.
    """

    def __init__(self) -> None:
        self.file: SourceText | None = None
        self.next_line = 1
        self.leading = 4
        self.trailing = 5
        self._finder: SourceFinder | None = None
        self._path_text: str | None = None
        self._texts: dict[Path, SourceText] = {}
        self._different: dict[Path, bool] = {}  # whether that was said

    @property
    def count(self) -> int:
        """Return how many lines ``ls`` shows."""
        return self.leading + self.trailing + 1

    def find(self, recorded: str, source_path: str) -> Path | None:
        """Return the file on this host for a name that a debug file recorded."""
        if self._finder is None or source_path != self._path_text:
            self._finder = SourceFinder(SymbolPath.parse(source_path))
            self._path_text = source_path
        return self._finder.find(recorded)

    def note_difference(self, path: Path, *, differs: bool) -> None:
        """Note whether a file is another one than was compiled."""
        if differs:
            self._different.setdefault(path, False)
        else:
            self._different.pop(path, None)

    def differs(self, path: Path) -> bool:
        """Tell whether a file is known to be another one than was compiled."""
        return path in self._different

    def is_news(self, path: Path) -> bool:
        """Tell, once, that a file is another one than was compiled."""
        is_news = self._different.get(path) is False
        if is_news:
            self._different[path] = True
        return is_news

    def forget(self) -> None:
        """Look for files anew, and read them anew."""
        self._finder = None
        self._texts.clear()

    def open(self, path: Path) -> SourceText:
        """Return the lines of a file.

        :raises CommandError: it cannot be read, or is larger than any source file.
        """
        try:
            with open(path, "rb") as stream:
                info = os.fstat(stream.fileno())
                stamp = (info.st_mtime_ns, info.st_size)
                known = self._texts.get(path)
                if known is not None and known.stamp == stamp:
                    return known
                data = stream.read(MAX_SOURCE_BYTES + 1)
        except OSError as error:
            raise CommandError(
                f"Unable to open source file {path}: {error.strerror}",
                identifier="source.unreadable",
            ) from error
        if len(data) > MAX_SOURCE_BYTES:
            raise CommandError(f"{path} is too large for a source file", identifier="source.large")
        if len(self._texts) >= _MAX_FILES:
            self._texts.clear()
        found = self._texts[path] = SourceText(path, _lines(_decode(data)), stamp)
        return found


def _decode(data: bytes) -> str:
    """Return the text: by its byte-order mark, else UTF-8, else Windows's western code page."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _lines(text: str) -> tuple[str, ...]:
    """Split as compilers count: form feeds and Unicode's separators do not end a line."""
    lines = re.split(r"\r\n|\n|\r", text)
    return tuple(lines[:-1] if lines[-1] == "" else lines)
