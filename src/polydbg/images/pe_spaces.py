"""A PE file by RVA, as the loader maps it."""

from __future__ import annotations

from polydbg.formats.pe.header import PeHeader
from polydbg.images.spaces import Extent, ExtentSpace
from polydbg.memory.space import Buffer

_PAGE = 0x1000
_SECTOR = 0x200


class FileImageSpace(ExtentSpace):
    """A PE file as the loader would map it, without relocation or import binding.

    Past the raw data of a section up to the end of its last page there are zeros; so there are
    after the headers up to the end of their page. RVAs that belong to no section, and raw data
    past the end of a truncated file, are absent.
    """

    def __init__(self, data: Buffer, header: PeHeader) -> None:
        super().__init__(data, _extents(header))


def _extents(header: PeHeader) -> list[Extent]:
    """Return what the headers and each section take."""
    # Below page alignment the loader maps the file flat, so RVA and file offset agree anyway.
    page = _PAGE if header.section_alignment >= _PAGE else 1
    size = _round(header.size_of_headers, page)
    wanted = [Extent(0, size, 0, header.size_of_headers)]
    for section in header.sections:
        size = _round(section.memory_size, page)
        # The loader reads whole sectors: it rounds the offset down.
        offset = section.raw_offset & ~(_SECTOR - 1) if page > 1 else section.raw_offset
        wanted.append(Extent(section.rva, size, offset, min(section.raw_size, size)))
    return wanted


def _round(size: int, unit: int) -> int:
    return (size + unit - 1) // unit * unit
