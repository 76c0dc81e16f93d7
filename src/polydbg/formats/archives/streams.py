"""Streams over what lies inside a file: a buffer, a window of another stream, expanded data.

Each is a :class:`~polydbg.formats.archives.archive.SeekableStream`, so that archives inside of
archives are read by the readers of files.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.archives.archive import BLOCK, Budget, SeekableStream
from polydbg.formats.archives.codecs import Expansion
from polydbg.memory.space import Buffer

MAX_POINTS = 64
"""Places to which an expanded stream can go back; each costs the 40 KiB of a copied decoder."""
FIRST_SPACING = 8 << 20
"""Expanded bytes between two of them, doubled whenever there would be too many."""


class BufferStream:
    """A buffer as a stream; *watch* is told before each read how far it got, and may raise."""

    def __init__(self, buffer: Buffer, watch: Callable[[int, int], None] | None = None) -> None:
        self._buffer = buffer
        self._watch = watch
        self._at = 0
        self.size = len(buffer)

    def read(self, size: int, /) -> bytes:
        if self._watch is not None:
            self._watch(self._at, self.size)
        data = bytes(self._buffer[self._at : self._at + max(size, 0)])
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (self._at if whence == 1 else 0)
        return self._at

    def tell(self) -> int:
        return self._at


class WindowStream:
    """*size* bytes of *stream* from *start* on. Others may move the stream in between."""

    def __init__(self, stream: SeekableStream, start: int, size: int) -> None:
        self._stream = stream
        self._start = start
        self._at = 0
        self.size = size

    def read(self, size: int, /) -> bytes:
        size = min(size, self.size - self._at)
        if size <= 0:
            return b""
        if self._stream.tell() != self._start + self._at:
            self._stream.seek(self._start + self._at)
        data = self._stream.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (self._at if whence == 1 else 0)
        return self._at

    def tell(self) -> int:
        return self._at


class _Point(msgspec.Struct, frozen=True):
    """A place to start from: the expanded bytes before it, where the packed stream stands then, and
    a pass that nobody moves."""

    at: int
    source_at: int
    expansion: Expansion


class ExpandedStream:
    """The packed *source* as a stream of what it expands to.

    Going forward expands what is passed over; going back starts from the nearest of some kept
    places, or from the beginning where the decoder cannot be copied. What was never seen before
    counts against *budget*.

    Reading and seeking raise :class:`FormatError` for what is damaged, cut short, or past the
    budget; seeking beyond the end is no error.
    """

    def __init__(self, source: SeekableStream, codec: str, budget: Budget) -> None:
        self._source = source
        self._codec = codec
        self._budget = budget
        self._source_at = 0
        self._farthest = 0
        self._spacing = FIRST_SPACING
        self._points: list[_Point] = []
        self._expansion = Expansion(self._packed, codec)
        self._block = b""
        self._block_at = 0  # where the block begins
        self._at = 0

    def read(self, size: int, /) -> bytes:
        parts = []
        while size > 0:
            start = self._at - self._block_at
            part = self._block[start : start + size]
            if not part and not self._advance():
                break
            parts.append(part)
            self._at += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        offset = max(offset + (self._at if whence == 1 else 0), 0)
        if offset < self._block_at:
            self._go_back(offset)
        while offset > self._block_at + len(self._block) and self._advance():
            pass
        self._at = min(offset, self._block_at + len(self._block))
        return self._at

    def tell(self) -> int:
        return self._at

    def _packed(self) -> bytes:
        if self._source.tell() != self._source_at:
            self._source.seek(self._source_at)
        data = self._source.read(BLOCK)
        self._source_at += len(data)
        return data

    def _advance(self) -> bool:
        """Expand the next block and stand at its start; tell whether there is one."""
        block = self._expansion.block()
        if not block:
            return False
        self._block_at += len(self._block)
        self._block = block
        self._at = self._block_at
        end = self._block_at + len(block)
        if end > self._farthest:
            self._budget.take(end - self._farthest)
            self._farthest = end
            self._keep_point(end)
        return True

    def _keep_point(self, at: int) -> None:
        last = self._points[-1].at if self._points else 0
        if at - last < self._spacing:
            return
        twin = self._expansion.copy()
        if twin is None:
            return
        if len(self._points) >= MAX_POINTS:
            del self._points[::2]
            self._spacing *= 2
        self._points.append(_Point(at, self._source_at, twin))

    def _go_back(self, offset: int) -> None:
        """Stand at the nearest kept place before *offset*."""
        self._block = b""
        for point in reversed(self._points):
            if point.at <= offset:
                twin = point.expansion.copy()
                if twin is None:
                    raise FormatError(f"the {self._codec} stream cannot be read again")
                self._expansion, self._source_at = twin, point.source_at
                self._block_at = self._at = point.at
                return
        self._expansion, self._source_at = Expansion(self._packed, self._codec), 0
        self._block_at = self._at = 0
