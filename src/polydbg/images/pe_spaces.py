"""The bytes of a PE image by RVA: from its file, or from where it is loaded in a target."""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from polydbg.base.errors import MemoryReadError
from polydbg.formats.pe.header import PeHeader
from polydbg.memory.space import AddressSpace, Buffer, read_exactly

_PAGE = 0x1000
_SECTOR = 0x200
_ZEROS = bytes(_PAGE)


class _Extent(msgspec.Struct, frozen=True):
    """[rva, rva + size) of the image: *file_size* bytes of the file, then zeros."""

    rva: int
    size: int
    file_offset: int
    file_size: int

    @property
    def end(self) -> int:
        return self.rva + self.size


class FileImageSpace:
    """A PE file as the loader would map it, without relocation or import binding.

    Past the raw data of a section up to the end of its last page there are zeros; so there are
    after the headers up to the end of their page. RVAs that belong to no section, and raw data
    past the end of a truncated file, are absent.
    """

    def __init__(self, data: Buffer, header: PeHeader) -> None:
        self._data = data
        self._extents = _extents(header)
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

    def _extent_at(self, address: int) -> _Extent | None:
        index = bisect_right(self._starts, address) - 1
        if index < 0 or address >= self._extents[index].end:
            return None
        return self._extents[index]

    def _piece(self, extent: _Extent, address: int, size: int) -> bytes:
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


def _extents(header: PeHeader) -> list[_Extent]:
    """Return extents by RVA that do not overlap: where sections do, the earlier one wins."""
    # Below page alignment the loader maps the file flat, so RVA and file offset agree anyway.
    page = _PAGE if header.section_alignment >= _PAGE else 1
    size = _round(header.size_of_headers, page)
    wanted = [_Extent(0, size, 0, header.size_of_headers)]
    for section in header.sections:
        size = _round(section.memory_size, page)
        # The loader reads whole sectors: it rounds the offset down.
        offset = section.raw_offset & ~(_SECTOR - 1) if page > 1 else section.raw_offset
        wanted.append(_Extent(section.rva, size, offset, min(section.raw_size, size)))
    wanted.sort(key=lambda extent: extent.rva)
    result: list[_Extent] = []
    end = 0
    for extent in wanted:
        skip = max(0, end - extent.rva)
        if skip >= extent.size:
            continue
        file_size = max(0, extent.file_size - skip)
        result.append(
            _Extent(extent.rva + skip, extent.size - skip, extent.file_offset + skip, file_size)
        )
        end = result[-1].end
    return result


def _round(size: int, unit: int) -> int:
    return (size + unit - 1) // unit * unit
