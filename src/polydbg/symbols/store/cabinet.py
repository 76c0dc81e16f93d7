"""Expanding the compressed files of symbol stores: cabinets (stored, MSZIP) and zip files.

Reads and writes in blocks of at most 32 KiB (cabinet) or 64 KiB (zip), so that the size of a PDB
costs no memory. Format of cabinets: [MS-CAB] and [MS-MCI]. Only the first file counts: stores
compress one file at a time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from polydbg.base.errors import FormatError

MAX_EXPANDED = 4 << 30
"""Most bytes that one file may expand to."""
MAX_RATIO = 200
"""Most bytes out for each byte in, above :data:`FREE_SIZE`."""
FREE_SIZE = 1 << 20

_HEADER = struct.Struct("<4sIIIIIBBHHHHH")
_RESERVED = struct.Struct("<HBB")
_FOLDER = struct.Struct("<IHH")
_FILE = struct.Struct("<IIHHHH")
_DATA = struct.Struct("<IHH")
_BLOCK = 0x8000  # most bytes a CFDATA block expands to, and the window of MSZIP
_METHODS = {2: "Quantum", 3: "LZX"}
_PREVIOUS_OR_NEXT = 0x0003
_HAS_RESERVED = 0x0004


class CompressionError(FormatError):
    """The file is well formed but packed in a way that this version cannot expand."""

    identifier = "format.compression"


def expand(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the contents of the first file in *stream*, a packed file of *size* bytes.

    :raises FormatError: damaged, or beyond the bounds of size and ratio.
    :raises CompressionError: packed in another way.
    """
    magic = stream.read(4)
    stream.seek(0)
    if magic == b"MSCF":
        return _expand_cabinet(stream, size)
    if magic == b"PK\x03\x04":
        return _expand_zip(stream, size)
    if magic in (b"SZDD", b"KWAJ"):
        raise CompressionError(f"compressed as {magic.decode()}, which is not supported")
    raise FormatError("neither a cabinet nor a zip file", offset=0)


def _check_bounds(expanded: int, size: int) -> None:
    if expanded > MAX_EXPANDED or expanded > max(FREE_SIZE, size * MAX_RATIO):
        raise FormatError(f"expands to {expanded} bytes from {size}, more than is allowed")


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise FormatError("cabinet ends too early", offset=stream.tell())
    return data


def _expand_cabinet(stream: BinaryIO, size: int) -> Iterator[bytes]:
    header = _HEADER.unpack(_read(stream, _HEADER.size))
    files_at, minor, major, folders, files, flags = (header[i] for i in (4, 6, 7, 8, 9, 10))
    if (major, minor) != (1, 3) or not folders or not files:
        raise FormatError("damaged cabinet header", offset=0)
    if flags & _PREVIOUS_OR_NEXT:
        raise CompressionError("a cabinet that continues in another file")
    folder_extra = data_extra = 0
    if flags & _HAS_RESERVED:
        header_extra, folder_extra, data_extra = _RESERVED.unpack(_read(stream, _RESERVED.size))
        stream.seek(header_extra, 1)
    folders_at = stream.tell()
    stream.seek(files_at)
    length, skip, index, *_ = _FILE.unpack(_read(stream, _FILE.size))
    if index >= folders:
        raise FormatError("file of a cabinet is in no folder", offset=files_at)
    stream.seek(folders_at + index * (_FOLDER.size + folder_extra))
    data_at, _count, method = _FOLDER.unpack(_read(stream, _FOLDER.size))
    method &= 0x000F
    if method not in (0, 1):
        name = _METHODS.get(method, f"method {method}")
        raise CompressionError(f"compressed with {name}, which is not supported")
    _check_bounds(skip + length, size)
    stream.seek(data_at)
    yield from _slice(_blocks(stream, method == 1, data_extra), skip, length)


def _slice(blocks: Iterator[bytes], skip: int, length: int) -> Iterator[bytes]:
    """Yield *length* bytes after the first *skip*. Every block has at least one byte."""
    while length:
        block = next(blocks)
        dropped = min(skip, len(block))
        skip -= dropped
        part = block[dropped : dropped + length]
        length -= len(part)
        if part:
            yield part


def _blocks(stream: BinaryIO, packed: bool, extra: int) -> Iterator[bytes]:
    """Yield expanded CFDATA blocks without end: the count in the folder has 16 bits and wraps
    beyond 2 GiB, so the length of the file says when to stop."""
    window = b""
    while True:
        at = stream.tell()
        checksum, packed_size, size = _DATA.unpack(_read(stream, _DATA.size))
        reserved = _read(stream, extra)
        data = _read(stream, packed_size)
        if not 0 < size <= _BLOCK:
            raise FormatError("damaged size of a cabinet block", offset=at)
        sizes = struct.pack("<HH", packed_size, size)
        if checksum and _checksum(data) ^ _checksum(sizes + reserved) != checksum:
            raise FormatError("wrong checksum of a cabinet block", offset=at)
        block = _inflate(data, size, window, at) if packed else data
        if len(block) != size:
            raise FormatError("a cabinet block has another size than it says", offset=at)
        window = (window + block)[-_BLOCK:]
        yield block


def _inflate(data: bytes, size: int, window: bytes, at: int) -> bytes:
    if data[:2] != b"CK":
        raise FormatError("an MSZIP block without its signature", offset=at)
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS, zdict=window).decompress(data[2:], size + 1)
    except zlib.error as error:
        raise FormatError(f"damaged MSZIP block: {error}", offset=at) from error


def _checksum(data: bytes) -> int:
    """Return the exclusive or of little-endian words; the odd bytes behind them count reversed.

    Folding one big integer by halves is much faster than a loop over words.
    """
    whole = len(data) & ~3
    value = int.from_bytes(data[:whole], "little")
    bits = 32
    while bits < whole * 8:
        bits *= 2
    while bits > 32:
        bits //= 2
        value = (value >> bits) ^ (value & ((1 << bits) - 1))
    return value ^ int.from_bytes(data[whole:], "big")


def _expand_zip(stream: BinaryIO, size: int) -> Iterator[bytes]:
    import zipfile

    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            if not members:
                raise FormatError("an empty zip file")
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise CompressionError(f"zip method {members[0].compress_type}, not supported")
            _check_bounds(members[0].file_size, size)
            left = members[0].file_size
            with archive.open(members[0]) as member:
                while data := member.read(1 << 16):
                    left -= len(data)
                    if left < 0:
                        raise FormatError("a zip member has another size than it says")
                    yield data
            if left:
                raise FormatError("a zip member ends too early")
    except (NotImplementedError, RuntimeError) as error:  # method, encryption
        raise CompressionError(str(error)) from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OverflowError,
        struct.error,
    ) as error:
        raise FormatError(f"damaged zip file: {error}") from error
