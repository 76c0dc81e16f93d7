"""What every archive looks like: named members, each expanded block by block within a budget.

Readers take a seekable binary stream and its size. Members are bounded in number, names in length,
and whatever is expanded counts against a :class:`Budget`, so that no small file fills a disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from polydbg.base.errors import FormatError

MAX_MEMBERS = 65536
MAX_NAME = 4096
BLOCK = 1 << 16
"""Most bytes that are read or expanded at once."""
MAX_RATIO = 200
"""Most bytes out for each byte in, above :data:`FREE_SIZE`."""
FREE_SIZE = 1 << 20


class SeekableStream(Protocol):
    """As much of a binary file as readers need."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


class CompressionError(FormatError):
    """The file is well formed but packed in a way that this version cannot expand."""

    identifier = "format.compression"


class EncryptionError(FormatError):
    """The member is encrypted."""

    identifier = "format.encrypted"


class BudgetError(FormatError):
    """Expanding would give more bytes than the bounds allow."""

    identifier = "format.expands-too-far"


class Budget:
    """How many bytes may come out of a file of *packed* bytes: *most*, and not above the ratio;
    *free* bytes may in any case."""

    def __init__(self, packed: int, most: int, free: int = FREE_SIZE) -> None:
        self._packed = packed
        self._limit = min(most, max(free, packed * MAX_RATIO))
        self.expanded = 0

    def expect(self, size: int) -> None:
        """Refuse *size* further bytes before any work is done. :raises BudgetError:"""
        if self.expanded + size > self._limit:
            raise BudgetError(
                f"expands to {self.expanded + size} bytes from {self._packed}, "
                f"more than the {self._limit} that are allowed"
            )

    def take(self, size: int) -> None:
        """Count *size* expanded bytes. :raises BudgetError: that is too many."""
        self.expect(size)
        self.expanded += size


class Member(msgspec.Struct, frozen=True):
    """One file of an archive. *size* is its expanded size as the archive says, ``None`` if it does
    not; *offset* is where its bytes lie in the archive as they are, ``None`` when they are packed.
    """

    index: int
    name: str
    size: int | None = None
    offset: int | None = None


class Archive(Protocol):
    """An opened archive; *members* in the order of the archive, directories left out."""

    @property
    def members(self) -> Sequence[Member]: ...

    def expand(self, member: Member, budget: Budget) -> Iterator[bytes]:
        """Yield the bytes of *member* in blocks of at most :data:`BLOCK`.

        :raises FormatError: damaged, encrypted, packed in an unknown way, or past the budget.
        """
        ...


def read_exact(stream: SeekableStream, size: int, what: str) -> bytes:
    """Return *size* bytes. :raises FormatError: *what* ends before."""
    data = stream.read(size)
    if len(data) != size:
        raise FormatError(f"{what} ends too early", offset=stream.tell())
    return data


def chunks(stream: SeekableStream, size: int | None = None) -> Iterator[bytes]:
    """Yield *size* bytes from where *stream* stands, or all of them; fewer when it ends."""
    while size is None or size > 0:
        data = stream.read(BLOCK if size is None else min(size, BLOCK))
        if not data:
            return
        if size is not None:
            size -= len(data)
        yield data


def member_name(raw: bytes, *, is_utf8: bool) -> str:
    """Return a stored name with ``/`` between folders; nothing is ever written under it."""
    raw = raw[:MAX_NAME].split(b"\0", 1)[0]
    if not is_utf8:
        try:
            return raw.decode("utf-8").replace("\\", "/")
        except UnicodeDecodeError:
            return raw.decode("cp437").replace("\\", "/")
    return raw.decode("utf-8", "replace").replace("\\", "/")
