"""Tar archives: POSIX ustar, GNU long names and pax paths; members lie in them as they are.

Source: the pax utility of POSIX.1-2017 and the tar manual of GNU. Links, devices and sparse files
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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


class TarArchive:
    """A tar file of *size* bytes.

    :raises FormatError: a damaged header.
    """

    def __init__(self, stream: SeekableStream, size: int) -> None:
        self._stream = stream
        self.members: list[Member] = []
        self._read(size)

    def _read(self, size: int) -> None:
        at, long_name, long_size = 0, "", None
        for _ in range(_MAX_HEADERS):
            if at + _BLOCK > size or len(self.members) >= MAX_MEMBERS:
                return
            self._stream.seek(at)
            header = self._stream.read(_BLOCK)
            if not any(header):
                return
            if not is_tar(header) or _number(header[148:156]) != _checksum(header):
                raise FormatError("damaged header of a tar file", offset=at)
            kind, length = header[156:157], _number(header[124:136])
            data = at + _BLOCK
            if kind in (b"L", b"x"):
                text = self._stream.read(min(length, _MAX_LONG))
                if kind == b"L":
                    long_name = member_name(text, is_utf8=False)
                else:
                    long_name, long_size = _pax(text, long_name, long_size)
            else:
                length = long_size if long_size is not None else length
                if kind in (b"\0", b"0", b"7") and data + length <= size:
                    name = long_name or _name(header)
                    self.members.append(Member(len(self.members), name, length, data))
                long_name, long_size = "", None
            at = data + (length + _BLOCK - 1) // _BLOCK * _BLOCK

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


def _pax(text: bytes, name: str, size: int | None) -> tuple[str, int | None]:
    """Return the name and size that pax records (``LENGTH KEY=VALUE`` lines) give."""
    at = 0
    while found := re.match(rb"(\d{1,9}) ([^=\n]{1,100})=", text[at : at + 128]):
        length = int(found[1])
        value = text[at + found.end() : at + length - 1]
        if found[2] == b"path":
            name = member_name(value, is_utf8=True)
        elif found[2] == b"size" and value.isdigit() and len(value) < 20:
            size = int(value)
        at += max(length, found.end())
    return name, size
