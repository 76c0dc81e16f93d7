"""Bounded reading of a minidump's bytes: integers, slices, strings. none pass its end."""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.base.warnings import Warning
from polydbg.memory.space import Buffer

MAX_STRING = 64 * 1024
"""Bytes of the longest string that is read; what is longer is cut."""

MAX_STRINGS = 64 * 1024 * 1024
FREE_STRINGS = 4 * 1024 * 1024
"""Bytes of all strings and records together: a small file can point to one place very often. They
may be twice the file and :data:`FREE_STRINGS`, but no more than :data:`MAX_STRINGS`."""


class View:
    """A buffer, its size, and the warnings that reading it gave (each message once).

    Damage where no answer is possible raises :class:`FormatError`; damage that leaves a part of
    the answer is noted with :meth:`warn`.
    """

    __slots__ = ("_budget", "_seen", "buffer", "size", "warnings")

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.size = len(buffer)
        self.warnings: list[Warning] = []
        self._seen: set[tuple[str, str]] = set()
        self._budget = min(MAX_STRINGS, FREE_STRINGS + 2 * self.size)

    def warn(self, identifier: str, message: str) -> None:
        """Note a warning. At most a thousand are kept, so that no file fills the memory."""
        key = (identifier, message)
        if key not in self._seen and len(self._seen) < 1000:
            self._seen.add(key)
            self.warnings.append(Warning(identifier, message))

    def slice(self, offset: int, size: int) -> bytes:
        """Return exactly *size* bytes.

        :raises FormatError: they are not all in the file.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(
                f"{size:#x} bytes at {offset:#x} pass the end of the file at {self.size:#x}",
                offset=offset,
                identifier="dump.truncated",
            )
        return bytes(self.buffer[offset : offset + size])

    def clipped(self, offset: int, size: int) -> bytes:
        """Return the part of the *size* bytes at *offset* that lies in the file."""
        if offset < 0 or offset >= self.size or size <= 0:
            return b""
        return bytes(self.buffer[offset : min(offset + size, self.size)])

    def charge(self, size: int) -> None:
        """Count *size* bytes of a string or record that other records may share.

        :raises FormatError: they add up to more than any dump needs.
        """
        if size > self._budget:
            raise FormatError("too many strings", identifier="dump.count-clamped")
        self._budget -= size

    def u32(self, offset: int) -> int:
        """:raises FormatError: past the end of the file."""
        return int.from_bytes(self.slice(offset, 4), "little")

    def utf16(self, offset: int) -> str:
        """Return a MINIDUMP_STRING: u32 byte length (rounded down to even), UTF-16LE units.

        :raises FormatError: the string does not lie in the file.
        """
        length = min(self.u32(offset) & ~1, MAX_STRING)
        self.charge(length)
        return utf16_text(self.slice(offset + 4, length))

    def utf8(self, offset: int) -> str:
        """Return a Crashpad string: u32 byte length, UTF-8.

        :raises FormatError: the string does not lie in the file.
        """
        length = min(self.u32(offset), MAX_STRING)
        self.charge(length)
        return utf8_text(self.slice(offset + 4, length))

    def name_at(self, rva: int, what: str) -> str:
        """Return the UTF-16 string at *rva*; ``""`` for 0, and with a warning when damaged."""
        if not rva:
            return ""
        try:
            return self.utf16(rva)
        except FormatError as error:
            if error.identifier == "dump.truncated":
                self.warn("dump.bad-string", f"{what}: no string at RVA {rva:#x}")
            else:
                self.warn(error.identifier, error.message)
            return ""


def utf16_text(data: bytes) -> str:
    """Return UTF-16LE text up to the first NUL; what is not valid becomes U+FFFD."""
    return data[: len(data) & ~1].decode("utf-16-le", "replace").split("\0", 1)[0]


def utf8_text(data: bytes) -> str:
    """Return UTF-8 text up to the first NUL; what is not valid becomes U+FFFD."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def ansi_text(data: bytes) -> str:
    """Return text of an unknown code page, up to the first NUL: UTF-8 if valid, else Latin-1."""
    data = data.split(b"\0", 1)[0]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
