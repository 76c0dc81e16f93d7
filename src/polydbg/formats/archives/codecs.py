"""Compressed streams (deflate, zlib, gzip, bzip2, xz, zstd) expanded in blocks of bounded size.

Python's decoders are told how much they may give at once, so that a bomb costs a block of memory
and is then stopped by the budget. Several streams behind one another count as one file, as
``gzip``, ``xz``, ``bzip2`` and ``zstd`` do it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.archives.archive import (
    BLOCK,
    Budget,
    CompressionError,
    Member,
    SeekableStream,
    chunks,
)

MAX_DICTIONARY = 192 << 20
"""Most memory that an xz stream may ask for: ``xz -9`` needs 65 MiB."""
MAX_WINDOW_LOG = 27
"""Largest window of zstd, as a power of two: what ``zstd --ultra -22`` uses at most."""

MAGICS = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}


class _Decoder(Protocol):
    """What the decoders of bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Inflater:
    """zlib's decoder with the interface of the others. *window_bits* as zlib counts them."""

    def __init__(self, window_bits: int) -> None:
        import zlib

        self._decoder = zlib.decompressobj(window_bits)

    def copy(self) -> _Inflater:
        """Return a decoder that stands at the same place."""
        twin = _Inflater.__new__(_Inflater)
        twin._decoder, twin._was_full = self._decoder.copy(), self._was_full
        return twin

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail and not self._was_full

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    _was_full = False

    def decompress(self, data: bytes, max_length: int = BLOCK) -> bytes:
        out = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        # More may wait inside the decoder even when it took all its input.
        self._was_full = len(out) == max_length
        return out


def _gzip() -> _Decoder:
    return _Inflater(31)


def _zlib() -> _Decoder:
    return _Inflater(15)


def _deflate() -> _Decoder:
    return _Inflater(-15)


def _bzip2() -> _Decoder:
    import bz2

    return bz2.BZ2Decompressor()


def _xz() -> _Decoder:
    import lzma

    return lzma.LZMADecompressor(memlimit=MAX_DICTIONARY)


def _zstd() -> _Decoder:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise CompressionError(
            "compressed with zstd, for which this Python has no decoder",
            hint="install the package backports.zstd",
        ) from error
    decoder: _Decoder = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    )
    return decoder


DECODERS: dict[str, Callable[[], _Decoder]] = {
    "deflate": _deflate,
    "zlib": _zlib,
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}


def expand(source: Iterator[bytes], codec: str, budget: Budget) -> Iterator[bytes]:
    """Yield what the streams in *source* expand to; *codec* is a key of :data:`DECODERS`.

    :raises FormatError: damaged, cut short, or past the budget.
    :raises CompressionError: there is no decoder on this system.
    """
    expansion = Expansion(lambda: next(source, b""), codec)
    while block := expansion.block():
        budget.take(len(block))
        yield block


_ZSTD_MODULES = ("backports", "compression", "_zstd")


class Expansion:
    """One pass over compressed streams that follow one another; *read* gives the next packed bytes,
    ``b""`` at their end.

    What stands behind the last stream and begins no further one is ignored.
    """

    def __init__(self, read: Callable[[], bytes], codec: str) -> None:
        self._read = read
        self._codec = codec
        self._magics = [magic for magic, name in MAGICS.items() if name == codec]
        self._decoder: _Decoder | None = DECODERS[codec]()  # none between two streams
        self._input = b""

    def block(self) -> bytes:
        """Return the next expanded bytes, at most :data:`BLOCK`; ``b""`` at the end.

        :raises FormatError: damaged or cut short.
        :raises CompressionError: there is no decoder on this system.
        """
        try:
            return self._next()
        except (OSError, EOFError, ValueError, MemoryError) as error:
            raise FormatError(f"damaged {self._codec} stream: {error}") from error
        except DebuggerError:
            raise
        except Exception as error:
            # zlib.error, LZMAError and ZstdError have no common base.
            module = type(error).__module__.split(".")[0]
            if module not in ("zlib", "_lzma", "lzma", *_ZSTD_MODULES):
                raise
            raise FormatError(f"damaged {self._codec} stream: {error}") from error

    def copy(self) -> Expansion | None:
        """Return another pass that stands at the same place, ``None`` where the decoder cannot be
        copied. Both read on from where their reader stands."""
        if self._decoder is not None and not isinstance(self._decoder, _Inflater):
            return None
        twin = Expansion(self._read, self._codec)
        twin._decoder = self._decoder.copy() if self._decoder is not None else None
        twin._input = self._input
        return twin

    def _next(self) -> bytes:
        while True:
            if self._decoder is None and not self._begins_another():
                return b""
            decoder = self._decoder
            assert decoder is not None
            if decoder.eof:
                self._input, self._decoder = decoder.unused_data, None
                continue
            if not self._input and decoder.needs_input:
                self._input = self._read()
                if not self._input:
                    raise FormatError(f"the {self._codec} stream ends too early")
            data, self._input = self._input, b""
            if block := decoder.decompress(data, BLOCK):
                return block

    def _begins_another(self) -> bool:
        """Go on to the next stream, over zeros that pad; tell whether there is one."""
        self._input = self._input.lstrip(b"\0")
        while len(self._input) < _LONGEST_MAGIC and (more := self._read()):
            self._input = (self._input + more).lstrip(b"\0")
        if not any(self._input.startswith(magic) for magic in self._magics):
            self._input = b""
            return False
        self._decoder = DECODERS[self._codec]()
        return True


_LONGEST_MAGIC = max(map(len, MAGICS))


class CompressedFile:
    """A compressed file as an archive of one member, *name*."""

    def __init__(self, stream: SeekableStream, codec: str, name: str) -> None:
        self._stream = stream
        self._codec = codec
        self.members = (Member(0, name),)

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        self._stream.seek(0)
        return expand(chunks(self._stream), self._codec, budget)
