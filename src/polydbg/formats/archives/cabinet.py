"""Cabinets (stored, MSZIP, and LZX by a library): their files, expanded in blocks.

Sources: [MS-CAB] and [MS-MCI]. Files of one folder lie behind one another in what its blocks expand
to; the count of blocks in a folder has 16 bits and wraps beyond 2 GiB, so the length of the file
says when to stop.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from importlib.util import find_spec

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.archives.archive import (
    MAX_MEMBERS,
    Budget,
    CompressionError,
    Member,
    SeekableStream,
    member_name,
    read_exact,
)

_HEADER = struct.Struct("<4sIIIIIBBHHHHH")
_RESERVED = struct.Struct("<HBB")
_FOLDER = struct.Struct("<IHH")
_FILE = struct.Struct("<IIHHHH")
_DATA = struct.Struct("<IHH")
_BLOCK = 0x8000  # most bytes a CFDATA block expands to, and the window of MSZIP
_METHODS = {2: "Quantum", 3: "LZX"}
_MAX_WHOLE = 1 << 30  # most bytes of a cabinet that the library gets, in memory
_PREVIOUS_OR_NEXT = 0x0003
_HAS_RESERVED = 0x0004
_MAX_FILE_NAME = 256
_UTF8_NAME = 0x80
_WHAT = "cabinet"


class _Place(msgspec.Struct, frozen=True):
    """Where a file is: its folder, and bytes of that folder before it."""

    folder: int
    skip: int
    length: int


class CabinetArchive:
    """A cabinet.

    :raises FormatError: damaged header or list of files.
    :raises CompressionError: it continues in another cabinet.
    """

    def __init__(self, stream: SeekableStream) -> None:
        self._stream = stream
        header = _HEADER.unpack(read_exact(stream, _HEADER.size, _WHAT))
        files_at, minor, major, folders, files, flags = (header[i] for i in (4, 6, 7, 8, 9, 10))
        if header[0] != b"MSCF" or (major, minor) != (1, 3) or not folders or not files:
            raise FormatError("damaged cabinet header", offset=0)
        if flags & _PREVIOUS_OR_NEXT:
            raise CompressionError("a cabinet that continues in another file")
        self._folder_extra = self._data_extra = 0
        if flags & _HAS_RESERVED:
            reserved = _RESERVED.unpack(read_exact(stream, _RESERVED.size, _WHAT))
            header_extra, self._folder_extra, self._data_extra = reserved
            stream.seek(header_extra, 1)
        self._folders_at = stream.tell()
        self._folders = folders
        self._places: list[_Place] = []
        self.members: list[Member] = []
        stream.seek(files_at)
        records = stream.read(min(files, MAX_MEMBERS) * (_FILE.size + _MAX_FILE_NAME))
        self._read_files(records, min(files, MAX_MEMBERS), files_at)

    def _read_files(self, records: bytes, count: int, files_at: int) -> None:
        at = 0
        for index in range(count):
            end = records.find(b"\0", at + _FILE.size, at + _FILE.size + _MAX_FILE_NAME + 1)
            if len(records) - at < _FILE.size or end < 0:
                raise FormatError("damaged list of files in a cabinet", offset=files_at + at)
            length, skip, folder, _, _, attributes = _FILE.unpack_from(records, at)
            if folder >= self._folders:
                raise FormatError("file of a cabinet is in no folder", offset=files_at + at)
            is_utf8 = bool(attributes & _UTF8_NAME)
            name = member_name(records[at + _FILE.size : end], is_utf8=is_utf8)
            self._places.append(_Place(folder, skip, length))
            self.members.append(Member(index, name, length))
            at = end + 1

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        place = self._places[member.index]
        at = self._folders_at + place.folder * (_FOLDER.size + self._folder_extra)
        self._stream.seek(at)
        data_at, _count, method = _FOLDER.unpack(read_exact(self._stream, _FOLDER.size, _WHAT))
        method &= 0x000F
        budget.expect(place.skip + place.length)
        if method in _METHODS:
            return _by_library(self._stream, member.index, place.length, _METHODS[method], budget)
        if method not in (0, 1):
            raise CompressionError(f"compressed with method {method}, which is not supported")
        blocks = _blocks(self._stream, data_at, method == 1, self._data_extra)
        return _slice(blocks, place, budget)


def _slice(blocks: Iterator[bytes], place: _Place, budget: Budget) -> Iterator[bytes]:
    """Yield the bytes of *place*. Every block has at least one byte."""
    skip, length = place.skip, place.length
    while length:
        block = next(blocks)
        budget.take(len(block))
        dropped = min(skip, len(block))
        skip -= dropped
        part = block[dropped : dropped + length]
        length -= len(part)
        if part:
            yield part


def _by_library(
    stream: SeekableStream, index: int, length: int, method: str, budget: Budget
) -> Iterator[bytes]:
    """Yield a file that libmspack expands: our own decoder would be in Python, and far too slow."""
    if find_spec("pylibmspack") is None:
        raise CompressionError(
            f"compressed with {method}, which needs a library: pip install 'polydbg[lzx]'"
        )
    stream.seek(0)
    data = stream.read(_MAX_WHOLE + 1)
    if len(data) > _MAX_WHOLE:
        raise CompressionError(f"a cabinet of more than {_MAX_WHOLE} bytes with {method}")
    from pylibmspack import CabArchive, MspackError

    try:
        archive = CabArchive.from_bytes(data)
        names = [str(each["name"]) for each in archive.files()]
        if index >= len(names) or names[index] in names[:index]:
            raise CompressionError("two files of a cabinet have one name")
        expanded: bytes = archive.read(names[index], max_size=max(1, length))
    except (MspackError, ValueError) as error:
        raise FormatError(f"damaged {method} data in a cabinet") from error
    if len(expanded) != length:
        raise FormatError("a file of a cabinet has another size than it says")
    budget.take(length)
    for at in range(0, length, _BLOCK):
        yield expanded[at : at + _BLOCK]


def _blocks(stream: SeekableStream, at: int, packed: bool, extra: int) -> Iterator[bytes]:
    """Yield expanded CFDATA blocks from offset *at* on, without end."""
    window = b""
    while True:
        stream.seek(at)
        checksum, packed_size, size = _DATA.unpack(read_exact(stream, _DATA.size, _WHAT))
        reserved = read_exact(stream, extra, _WHAT)
        data = read_exact(stream, packed_size, _WHAT)
        if not 0 < size <= _BLOCK:
            raise FormatError("damaged size of a cabinet block", offset=at)
        sizes = struct.pack("<HH", packed_size, size)
        if checksum and _checksum(data) ^ _checksum(sizes + reserved) != checksum:
            raise FormatError("wrong checksum of a cabinet block", offset=at)
        block = _inflate(data, size, window, at) if packed else data
        if len(block) != size:
            raise FormatError("a cabinet block has another size than it says", offset=at)
        window = (window + block)[-_BLOCK:]
        at += _DATA.size + extra + packed_size
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
