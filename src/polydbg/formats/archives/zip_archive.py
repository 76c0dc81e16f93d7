"""Zip archives: the central directory, and members stored, deflated, or packed by bzip2, xz, zstd.

Source: PKWARE's APPNOTE 6.3. The directory is read here and not by :mod:`zipfile`, whose records
take many times the room of the file's own; only what a reader of dumps needs is kept.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.archives import codecs
from polydbg.formats.archives.archive import (
    MAX_MEMBERS,
    Budget,
    CompressionError,
    EncryptionError,
    Member,
    SeekableStream,
    chunks,
    member_name,
    read_exact,
)

_END = struct.Struct("<4sHHHHIIH")
_LOCATOR64 = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_MAX_COMMENT = 0xFFFF
_MAX_DIRECTORY = 64 << 20
_IN_64 = 0xFFFFFFFF
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_ZIP64_EXTRA = 0x0001
_UNIX = 3  # the system that wrote a record

_METHODS = {8: "deflate", 12: "bzip2", 93: "zstd", 95: "xz"}
_UNKNOWN = {1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 98: "PPMd", 99: "AES"}


class _Entry(msgspec.Struct, frozen=True):
    """A record of the central directory; *header* is where the local header stands, *mode* the
    file's mode where a Unix wrote it, else 0."""

    method: int
    flags: int
    crc: int
    packed: int
    size: int
    header: int
    mode: int


class ZipArchive:
    """A zip file of *size* bytes.

    :raises FormatError: no central directory, or a damaged one.
    """

    def __init__(self, stream: SeekableStream, size: int) -> None:
        self._stream = stream
        self._size = size
        self._entries: list[_Entry] = []
        self.members: list[Member] = []
        start, length, count, shift = self._find_directory()
        stream.seek(start)
        data = read_exact(stream, length, "the directory of the zip file")
        self._read_directory(data, count, shift)

    def _find_directory(self) -> tuple[int, int, int, int]:
        """Return (offset, size, entries, shift); *shift* is how far all offsets are off because
        something was put before the archive."""
        room = min(self._size, _END.size + _MAX_COMMENT)
        self._stream.seek(self._size - room)
        tail = self._stream.read(room)
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            raise FormatError("a zip file without its directory: cut short?")
        *_, count, length, start, _comment = _END.unpack_from(tail, at)
        end = self._size - room + at
        if count == 0xFFFF or length == _IN_64 or start == _IN_64:
            end, count, length, start = self._end64(end, count, length, start)
        shift = end - length - start
        if shift < 0:
            raise FormatError("the directory of the zip file lies outside of it", offset=end)
        if length > _MAX_DIRECTORY:
            raise FormatError(f"the zip file has a directory of {length} bytes")
        if count > MAX_MEMBERS:
            raise FormatError(f"the zip file has {count} members, more than {MAX_MEMBERS}")
        return start + shift, length, count, shift

    def _end64(self, end: int, count: int, length: int, start: int) -> tuple[int, int, int, int]:
        at = end - _LOCATOR64.size
        if at < 0:
            return end, count, length, start
        self._stream.seek(at)
        magic, _, record, _ = _LOCATOR64.unpack(read_exact(self._stream, 20, "zip64 locator"))
        if magic != b"PK\6\7":
            return end, count, length, start
        if record > self._size - _END64.size:
            raise FormatError("the zip64 directory lies outside of the file", offset=at)
        self._stream.seek(record)
        fields = _END64.unpack(read_exact(self._stream, _END64.size, "zip64 record"))
        if fields[0] != b"PK\6\6":
            raise FormatError("damaged zip64 record", offset=record)
        return record, fields[7], fields[8], fields[9]

    def _read_directory(self, data: bytes, count: int, shift: int) -> None:
        at = 0
        for _ in range(count):
            if len(data) - at < _CENTRAL.size:
                raise FormatError("the directory of the zip file is cut short")
            fields = _CENTRAL.unpack_from(data, at)
            if fields[0] != b"PK\1\2":
                raise FormatError("damaged directory of the zip file")
            flags, method, crc, packed, size = (fields[i] for i in (3, 4, 7, 8, 9))
            name_size, extra_size, comment_size = fields[10:13]
            header, is_unix = fields[16], fields[1] >> 8 == _UNIX
            at += _CENTRAL.size
            raw = data[at : at + name_size]
            extra = data[at + name_size : at + name_size + extra_size]
            at += name_size + extra_size + comment_size
            size, packed, header = _wide(extra, size, packed, header)
            if raw.endswith((b"/", b"\\")):
                continue
            mode = fields[15] >> 16 if is_unix else 0
            self._entries.append(_Entry(method, flags, crc, packed, size, header + shift, mode))
            name = member_name(raw, is_utf8=bool(flags & _UTF8))
            self.members.append(Member(len(self.members), name, size))

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        entry = self._entries[member.index]
        start = self._data_offset(entry)
        codec = _codec(entry.method)
        budget.expect(entry.size)
        self._stream.seek(start)
        source = chunks(self._stream, entry.packed)
        blocks = codecs.expand(source, codec, budget) if codec else _counted(source, budget)
        return _checked(blocks, entry)

    def is_link(self, member: Member) -> bool:
        """Tell whether *member* is a symbolic link, whose bytes are where it leads."""
        return stat.S_ISLNK(self._entries[member.index].mode)

    def located(self, member: Member) -> Member:
        """Return *member* with its offset when it is stored as it is.

        :raises FormatError: its local header is damaged, or it is encrypted.
        """
        entry = self._entries[member.index]
        start = self._data_offset(entry)
        if entry.method or entry.packed != entry.size or start + entry.size > self._size:
            return member
        return Member(member.index, member.name, entry.size, start)

    def _data_offset(self, entry: _Entry) -> int:
        if entry.flags & _ENCRYPTED or entry.method == 99:
            raise EncryptionError("the member of the zip file is encrypted")
        if entry.header > self._size:
            raise FormatError("a member of the zip file lies outside of it", offset=entry.header)
        self._stream.seek(entry.header)
        fields = _LOCAL.unpack(read_exact(self._stream, _LOCAL.size, "the zip file"))
        if fields[0] != b"PK\3\4":
            raise FormatError("a zip member without its header", offset=entry.header)
        return int(entry.header + _LOCAL.size + fields[9] + fields[10])


def _codec(method: int) -> str:
    """Return the decoder of a method, ``""`` for stored. :raises CompressionError:"""
    if method == 0:
        return ""
    if method not in _METHODS:
        name = _UNKNOWN.get(method, f"method {method}")
        raise CompressionError(f"packed with {name}, which is not supported")
    return _METHODS[method]


def _wide(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Return the three numbers, from the zip64 field where the record says that they are there."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == _ZIP64_EXTRA:
            field = extra[at + 4 : at + 4 + length]
            numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            size = next(numbers, size) if size == _IN_64 else size
            packed = next(numbers, packed) if packed == _IN_64 else packed
            header = next(numbers, header) if header == _IN_64 else header
            break
        at += 4 + length
    return size, packed, header


def _counted(source: Iterator[bytes], budget: Budget) -> Iterator[bytes]:
    for block in source:
        budget.take(len(block))
        yield block


def _checked(blocks: Iterator[bytes], entry: _Entry) -> Iterator[bytes]:
    """Yield *blocks* and check at the end that they are what the directory promised."""
    left, crc = entry.size, 0
    for block in blocks:
        left -= len(block)
        if left < 0:
            break
        crc = zlib.crc32(block, crc)
        yield block
    if left:
        raise FormatError("a zip member has another size than the directory says")
    if crc != entry.crc:
        raise FormatError("wrong checksum of a zip member")
