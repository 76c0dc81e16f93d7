"""The two shapes of lists in minidumps, and streams cut at the end of the file.

Counted lists are a u32 count and entries, with 4 bytes of padding after the count where a writer
aligned the entries; "Ex" lists have a header that states its own size and that of an entry.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.view import View

_THREADS = ("ThreadListStream", "ThreadExListStream")


class Stream(msgspec.Struct, frozen=True):
    """A stream's bytes: *size* of them at *rva* lie in the file, *claimed* were promised."""

    name: str
    rva: int
    size: int
    claimed: int

    @property
    def end(self) -> int:
        return self.rva + self.size


class Entries(msgspec.Struct, frozen=True):
    """Where a list's entries are: *count* of them, *size* bytes each, from *offset* on."""

    offset: int
    size: int
    count: int

    def offsets(self) -> Iterator[int]:
        """Yield the file offset of each entry."""
        return iter(range(self.offset, self.offset + self.count * self.size, self.size))


def counted(view: View, stream: Stream, entry_size: int, limit: int) -> Entries:
    """Return the entries of a counted list, clamped to the stream and to *limit*.

    :raises FormatError: there is not even a count.
    """
    if stream.size < 4:
        raise FormatError(
            f"{stream.name}: {stream.size} bytes hold no count",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    count = view.u32(stream.rva)
    header = 8 if stream.claimed == 8 + count * entry_size else 4
    return _clamp(view, stream, stream.rva + header, entry_size, count, limit)


def extended(
    view: View, stream: Stream, *, least_entry: int, wide_count: bool, limit: int
) -> Entries:
    """Return the entries of an "Ex" list: {header size, entry size, u32 or u64 count}.

    :raises FormatError: the header is cut or its sizes are below what they must be.
    """
    least_header = 16 if wide_count else 12
    data = view.clipped(stream.rva, min(stream.size, least_header))
    if len(data) < least_header:
        raise FormatError(
            f"{stream.name}: {len(data)} bytes hold no list header",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    header_size = int.from_bytes(data[:4], "little")
    entry_size = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[8:least_header], "little")
    if header_size < least_header or (entry_size < least_entry and count):
        raise FormatError(
            f"{stream.name}: header of {header_size} and entries of {entry_size} bytes"
            f" (need {least_header} and {least_entry})",
            offset=stream.rva,
        )
    return _clamp(
        view, stream, stream.rva + header_size, max(entry_size, least_entry), count, limit
    )


def _clamp(
    view: View, stream: Stream, offset: int, entry_size: int, count: int, limit: int
) -> Entries:
    room = max(0, stream.end - offset) // entry_size
    kept = min(count, room, limit)
    if kept == limit < count:
        identifier = "dump.threads-left-out" if stream.name in _THREADS else "dump.count-clamped"
        view.warn(identifier, f"{stream.name}: only the first {kept} of {count} entries are read")
    elif kept < count:
        view.warn(
            "dump.count-clamped", f"{stream.name}: {kept} of {count} entries are in the stream"
        )
    return Entries(offset, entry_size, kept)
