"""Compressed streams (deflate, zlib, gzip, bzip2, xz, zstd) expanded in blocks of bounded size.

Python's decoders are told how much they may give at once, so that a bomb costs a block of memory
and is then stopped by the budget. Several streams behind one another count as one file, as
``gzip``, ``xz``, ``bzip2`` and ``zstd`` do it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from polydbg.base.errors import FormatError
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

    What stands behind the last stream and begins no further one is ignored.

    :raises FormatError: damaged, cut short, or past the budget.
    :raises CompressionError: there is no decoder on this system.
    """
    try:
        for block in _streams(source, codec):
            budget.take(len(block))
            yield block
    except (FormatError, OSError, EOFError, ValueError, MemoryError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"damaged {codec} stream: {error}") from error
    except Exception as error:
        # zlib.error, LZMAError and ZstdError have no common base.
        if type(error).__module__.split(".")[0] not in ("zlib", "_lzma", "lzma", *_ZSTD_MODULES):
            raise
        raise FormatError(f"damaged {codec} stream: {error}") from error


_ZSTD_MODULES = ("backports", "compression", "_zstd")


def _streams(source: Iterator[bytes], codec: str) -> Iterator[bytes]:
    magics = [magic for magic, name in MAGICS.items() if name == codec]
    decoder = DECODERS[codec]()
    is_between = False
    for data in source:
        while True:
            if is_between:
                data = data.lstrip(b"\0")
                if not data:
                    break
                if not any(data.startswith(m) or m.startswith(data) for m in magics):
                    return
                decoder, is_between = DECODERS[codec](), False
            yield from _drain(decoder, data)
            if not decoder.eof:
                break
            data, is_between = decoder.unused_data, True
    if not is_between:
        raise FormatError(f"the {codec} stream ends too early")


def _drain(decoder: _Decoder, data: bytes) -> Iterator[bytes]:
    """Yield all that *decoder* makes of *data*."""
    while True:
        if block := decoder.decompress(data, BLOCK):
            yield block
        data = b""
        if decoder.eof or decoder.needs_input:
            return


class CompressedFile:
    """A compressed file as an archive of one member, *name*."""

    def __init__(self, stream: SeekableStream, codec: str, name: str) -> None:
        self._stream = stream
        self._codec = codec
        self.members = (Member(0, name),)

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        self._stream.seek(0)
        return expand(chunks(self._stream), self._codec, budget)
