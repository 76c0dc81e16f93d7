"""The bytes of an image by RVA: from its file, or from where it is loaded in a target."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from polydbg.base.errors import FormatError, MemoryReadError, TargetError
from polydbg.memory.space import AddressSpace, Buffer, read_exactly

_PAGE = 0x1000
_ZEROS = bytes(_PAGE)

Made = TypeVar("Made")


def from_mapped(path: str | Path, make: Callable[[Buffer, str, str], Made]) -> Made:
    """Map the file at *path* and return what *make* makes of its bytes, its name and its path. The
    file is closed again where that fails.

    :raises FormatError: *make* does.
    :raises TargetError: the file cannot be opened.
    """
    try:
        with open(path, "rb") as file:
            data: Buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError:  # an empty file cannot be mapped
        data = b""
    except OSError as error:
        raise TargetError(f"cannot open {path}: {error.strerror}") from error
    try:
        return make(data, Path(path).name, str(path))
    except FormatError:
        if isinstance(data, mmap.mmap):
            data.close()
        raise


class Extent(msgspec.Struct, frozen=True):
    """[rva, rva + size) of the image: *file_size* bytes of the file, then zeros."""

    rva: int
    size: int
    file_offset: int
    file_size: int

    @property
    def end(self) -> int:
        return self.rva + self.size


class ExtentSpace:
    """A file as a loader would map it. RVAs outside all extents, and bytes past the end of a
    truncated file, are absent."""

    def __init__(self, data: Buffer, wanted: list[Extent]) -> None:
        """See *data*; where extents overlap, the one that begins earlier wins."""
        self._data = data
        self._extents = _apart(wanted)
        self._starts = [extent.rva for extent in self._extents]

    def read(self, address: int, size: int) -> bytes:
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            extent = self._extent_at(address)
            if extent is None:
                break
            piece = self._piece(extent, address, min(size, extent.end - address))
            if not piece:
                break
            parts.append(piece)
            address += len(piece)
            size -= len(piece)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def next_readable(self, address: int) -> int | None:
        index = max(0, bisect_right(self._starts, address) - 1)
        for extent in self._extents[index:]:
            start = max(address, extent.rva)
            if start < extent.end and self._piece(extent, start, 1):
                return start
            # Missing raw data of a truncated file: its zero tail is still there.
            tail = extent.rva + extent.file_size
            if start < tail < extent.end:
                return tail
        return None

    def file_offset(self, rva: int) -> int | None:
        """Return where the file holds the byte at *rva*, ``None`` when it is not in the file."""
        extent = self._extent_at(rva)
        if extent is None or rva - extent.rva >= extent.file_size:
            return None
        return extent.file_offset + rva - extent.rva

    def _extent_at(self, address: int) -> Extent | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._extents[index].end:
            return None
        return self._extents[index]

    def _piece(self, extent: Extent, address: int, size: int) -> bytes:
        """Return a non-empty prefix of what is asked, ``b""`` when the first byte is absent."""
        offset = address - extent.rva
        if offset < extent.file_size:
            start = extent.file_offset + offset
            return bytes(self._data[start : start + min(size, extent.file_size - offset)])
        return _ZEROS[:size] if size <= _PAGE else bytes(size)


class LoadedImageSpace:
    """The memory of a target seen from the base of an image on; pages may be missing."""

    def __init__(self, space: AddressSpace, base: int, size: int) -> None:
        self._space = space
        self._base = base
        self._size = size

    def read(self, address: int, size: int) -> bytes:
        if address < 0 or address + size > self._size:
            raise MemoryReadError(min(max(address, 0), self._size))
        try:
            return self._space.read(self._base + address, size)
        except MemoryReadError as error:
            raise MemoryReadError(error.address - self._base) from None

    def read_some(self, address: int, size: int) -> bytes:
        if address < 0:
            return b""
        size = min(size, self._size - address)
        return self._space.read_some(self._base + address, size) if size > 0 else b""

    def next_readable(self, address: int) -> int | None:
        found = self._space.next_readable(self._base + max(address, 0))
        if found is None or found - self._base >= self._size:
            return None
        return found - self._base


def _apart(wanted: list[Extent]) -> list[Extent]:
    """Return extents by RVA that do not overlap."""
    result: list[Extent] = []
    end = 0
    for extent in sorted(wanted, key=lambda extent: extent.rva):
        skip = max(0, end - extent.rva)
        if skip >= extent.size:
            continue
        file_size = max(0, extent.file_size - skip)
        result.append(
            Extent(extent.rva + skip, extent.size - skip, extent.file_offset + skip, file_size)
        )
        end = result[-1].end
    return result
