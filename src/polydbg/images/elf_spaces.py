"""An ELF image seen in other ways: by RVA from its file, by file offset from a target's memory."""

from __future__ import annotations

from collections.abc import Sequence

from polydbg.base.errors import FormatError
from polydbg.formats.elf.constants import PT_LOAD
from polydbg.formats.elf.header import ProgramHeader
from polydbg.formats.section import Section
from polydbg.images.spaces import Extent
from polydbg.memory.space import AddressSpace, read_exactly

PAGE = 0x1000
_LIMIT = 1 << 64
_BLOCK = 0x1000
_MAX_STRING = 1 << 16


def loaded(segments: Sequence[ProgramHeader]) -> list[ProgramHeader]:
    """Return the segments that take room in memory, by address."""
    found = [each for each in segments if each.type == PT_LOAD and each.memory_size]
    return sorted(found, key=lambda each: each.vaddr)


def image_base(segments: Sequence[ProgramHeader]) -> int:
    """Return the virtual address, as linked, of the first page that is loaded; 0 if none is."""
    return min((each.vaddr for each in loaded(segments)), default=0) & ~(PAGE - 1)


def image_size(segments: Sequence[ProgramHeader]) -> int:
    """Return how many bytes lie from :func:`image_base` to the end of the last segment's page."""
    end = max((each.end for each in loaded(segments)), default=0)
    return min((end + PAGE - 1) & ~(PAGE - 1), _LIMIT) - image_base(segments) if end else 0


def extents(segments: Sequence[ProgramHeader]) -> list[Extent]:
    """Return where each loaded segment lies, by RVA; what the file does not fill is zeros."""
    base = image_base(segments)
    return [
        Extent(
            each.vaddr - base,
            min(each.memory_size, _LIMIT - each.vaddr),
            each.offset,
            min(each.file_size, each.memory_size),
        )
        for each in loaded(segments)
        if each.vaddr < _LIMIT
    ]


class LoadedFileSpace:
    """What memory holds of an image's file, by file offset.

    Whole pages are mapped, so that what follows a segment in the file is there up to the end of its
    page, unless the loader had to clear it. Written data is as it is now, not as in the file.
    """

    def __init__(self, space: AddressSpace, segments: Sequence[ProgramHeader]) -> None:
        """See *space*, of RVAs, by the file offsets in *segments*."""
        self._space = space
        base = image_base(segments)
        self._parts = [
            (each.offset, _file_end(each), each.vaddr - base)
            for each in loaded(segments)
            if each.file_size
        ]

    def read(self, address: int, size: int) -> bytes:
        return read_exactly(self, address, size)

    def read_some(self, address: int, size: int) -> bytes:
        for start, end, rva in self._parts:
            if start <= address < end:
                return self._space.read_some(rva + address - start, min(size, end - address))
        return b""

    def next_readable(self, address: int) -> int | None:
        return address if self.read_some(address, 1) else None


def _file_end(segment: ProgramHeader) -> int:
    end = segment.offset + segment.file_size
    return (end + PAGE - 1) & ~(PAGE - 1) if segment.memory_size <= segment.file_size else end


class LoadedSection(Section):
    """A section in memory, read when it is asked for, a piece at a time.

    Its methods raise :class:`~polydbg.base.errors.MemoryReadError` where memory is absent; the
    address is an RVA.
    """

    __slots__ = ("_rva", "_space")

    def __init__(self, space: AddressSpace, rva: int, size: int, *, big: bool = False) -> None:
        super().__init__(big=big)
        self._space = space
        self._rva = rva
        self.size = size

    def window(self, start: int, size: int) -> Section:
        start = min(start, self.size)
        size = min(size, self.size - start)
        return LoadedSection(self._space, self._rva + start, size, big=self.order == "big")

    def take(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"a section in memory ends before {offset + size:#x}", offset=offset)
        return self._space.read(self._rva + offset, size)

    def rest(self, offset: int, limit: int) -> bytes:
        """Return at most *limit* bytes from *offset* on: as many as memory holds."""
        size = min(limit, max(self.size - offset, 0))
        return self._space.read_some(self._rva + offset, size)

    def string(self, offset: int) -> bytes:
        found = bytearray()
        while len(found) < _MAX_STRING:
            size = min(_BLOCK - (self._rva + offset + len(found)) % _BLOCK, _MAX_STRING)
            block = self.rest(offset + len(found), size)
            end = block.find(b"\0")
            if end >= 0:
                return bytes(found + block[:end])
            if not block:
                break
            found += block
        raise FormatError("a string in memory does not end", offset=offset)

    @property
    def extent(self) -> tuple[bytes, int, int]:
        """Return what memory holds of it in one piece."""
        data = self._space.read_some(self._rva, self.size)
        return data, 0, len(data)
