"""Tar archives: POSIX ustar, GNU long names and pax paths; members lie in them as they are.

Source: the pax utility of POSIX.1-2017 and the tar manual of GNU.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.archives.archive import (
    MAX_MEMBERS,
    Budget,
    Member,
    SeekableStream,
    chunks,
    member_name,
)

_BLOCK = 512
_MAX_HEADERS = 4 * MAX_MEMBERS
_MAX_LONG = 64 * 1024
_MAGIC_AT = 257


def is_tar(head: bytes) -> bool:
    """Tell whether a file that starts with *head*, at least 262 bytes, is a tar archive."""
    return head[_MAGIC_AT : _MAGIC_AT + 5] == b"ustar"


class EntryKind(enum.Enum):
    """What an entry makes."""

    FILE = "file"
    HARD_LINK = "hard link"
    LINK = "symbolic link"
    FOLDER = "folder"
    OTHER = "other"  # a device, a pipe, a sparse file


_KINDS = {
    b"\0": EntryKind.FILE,
    b"0": EntryKind.FILE,
    b"7": EntryKind.FILE,  # contiguous
    b"1": EntryKind.HARD_LINK,
    b"2": EntryKind.LINK,
    b"5": EntryKind.FOLDER,
}
_HEADER_ONLY = b"123456"  # no data whatever their size says


class TarEntry(msgspec.Struct, frozen=True):
    """An entry: its *name* as stored, what a link leads to, its bytes' place in the tar file."""

    kind: EntryKind
    name: str
    link: str
    offset: int
    size: int


class _Long(msgspec.Struct):
    """What entries before an entry say about it."""

    name: str = ""
    link: str = ""
    size: int | None = None


def entries(
    stream: SeekableStream,
    size: int | None,
    most: int = _MAX_HEADERS,
    at_cut: Callable[[], None] = lambda: None,
) -> Iterator[TarEntry]:
    """Yield the entries of a tar file of *size* bytes, ``None`` when that is not known yet.

    At most *most* headers are read. A file that is cut short ends the list; so does an empty one.
    *at_cut* is called when *size* ends within an entry. The stream may be moved between two
    entries.

    :raises FormatError: a damaged header.
    """
    at, long = 0, _Long()
    for _ in range(most):
        if size is not None and at + _BLOCK > size:
            return
        stream.seek(at)
        header = stream.read(_BLOCK)
        if len(header) < _BLOCK or not any(header):
            return
        if not is_tar(header) or _number(header[148:156]) != _checksum(header):
            raise FormatError("damaged header of a tar file", offset=at)
        kind, length = header[156:157], _number(header[124:136])
        at += _BLOCK
        if kind in b"LKx":
            _read_long(long, kind, stream.read(min(length, _MAX_LONG)))
        else:
            if kind in _HEADER_ONLY:
                length = 0
            elif long.size is not None:
                length = long.size
            if kind != b"g" and (size is None or at + length <= size):
                name = long.name or _name(header)
                link = long.link or member_name(header[157:257], is_utf8=False)
                yield TarEntry(_KINDS.get(kind, EntryKind.OTHER), name, link, at, length)
            long = _Long()
        if size is not None and at + length > size:
            at_cut()
        at += (length + _BLOCK - 1) // _BLOCK * _BLOCK


class TarArchive:
    """A tar file of *size* bytes: its files; links, devices and sparse files are left out.

    :raises FormatError: a damaged header.
    """

    def __init__(self, stream: SeekableStream, size: int) -> None:
        self._stream = stream
        self.members: list[Member] = []
        for entry in entries(stream, size):
            if entry.kind is EntryKind.FILE:
                number = len(self.members)
                self.members.append(Member(number, entry.name, entry.size, entry.offset))
                if number + 1 >= MAX_MEMBERS:
                    return

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        assert member.offset is not None
        self._stream.seek(member.offset)
        for block in chunks(self._stream, member.size):
            budget.take(len(block))
            yield block


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 where the first bit is set."""
    if field[:1] >= b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = re.match(rb"[ \0]*([0-7]*)", field)
    return int(digits[1], 8) if digits and digits[1] else 0


def _checksum(header: bytes) -> int:
    return sum(header) - sum(header[148:156]) + 8 * 0x20


def _name(header: bytes) -> str:
    name = member_name(header[:100], is_utf8=False)
    prefix = b"" if header[257:265] == b"ustar  \0" else header[345:500]  # GNU has no prefix
    folder = member_name(prefix, is_utf8=False)
    return f"{folder}/{name}" if folder else name


def _read_long(long: _Long, kind: bytes, text: bytes) -> None:
    """Keep what a GNU entry (``L``, ``K``) or pax records (``LENGTH KEY=VALUE`` lines) say."""
    if kind == b"L":
        long.name = member_name(text, is_utf8=False)
        return
    if kind == b"K":
        long.link = member_name(text, is_utf8=False)
        return
    at = 0
    while found := re.match(rb"(\d{1,9}) ([^=\n]{1,100})=", text[at : at + 128]):
        length = int(found[1])
        value = text[at + found.end() : at + length - 1]
        if found[2] == b"path":
            long.name = member_name(value, is_utf8=True)
        elif found[2] == b"linkpath":
            long.link = member_name(value, is_utf8=True)
        elif found[2] == b"size" and value.isdigit() and len(value) < 20:
            long.size = int(value)
        at += max(length, found.end())
