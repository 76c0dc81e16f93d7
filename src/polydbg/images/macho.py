"""A Mach-O image, from its file or from target memory; what is past the headers is read on demand.

An RVA is an address as linked, less the one of ``__TEXT`` (:attr:`MachoImage.image_base`), where
the header lies. An image's segments keep their distances when it is loaded. In a shared cache they
do so as well, but ``__DATA`` and ``__LINKEDIT`` lie far behind ``__TEXT``, other images between;
and there they lie in other places than the library's own file says
(:attr:`MachoImage.may_be_rearranged`).
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.elf.sections import expanded_gnu
from polydbg.formats.macho import header as macho
from polydbg.formats.macho.fat import FatPart, parse_fat
from polydbg.formats.macho.header import Command, MachHeader, MachSection, MachSegment
from polydbg.formats.macho.symbol_table import (
    MachSymbolTable,
    indirect_symbols,
    parse_function_starts,
)
from polydbg.formats.section import Section as Data
from polydbg.images.elf_spaces import LoadedSection
from polydbg.images.image import Section
from polydbg.images.spaces import Extent, ExtentSpace, LoadedImageSpace, from_mapped
from polydbg.memory.space import AddressSpace, Buffer, BufferSpace

_LIMIT = 1 << 64
_HEADER_ROOM = 0x20000000
_PAGE = 0x4000
_DWARF = "__DWARF"
_SPLIT_INFO = 0x1E  # LC_SEGMENT_SPLIT_INFO
_MAX_STUBS = 1 << 18
_MAX_NAME = 16
#: An entry of the table of indirect symbols that is no index (INDIRECT_SYMBOL_LOCAL and _ABS).
_NO_SYMBOL = 0xC0000000


class Stub(msgspec.Struct, frozen=True):
    """A stub of *size* bytes at *rva* that leads to what the linker calls *name*."""

    rva: int
    size: int
    name: str


class MachoImage:
    """A Mach-O file or image. Addresses are RVAs, in bytes, as the module says.

    Methods raise :class:`FormatError` where the image is damaged and :class:`MemoryReadError`
    (its address an RVA) where a byte is absent: not in the core, or past a truncated file's end.
    """

    def __init__(
        self,
        parsed: MachHeader,
        commands: Sequence[Command],
        name: str,
        path: str | None = None,
        file: tuple[Buffer, FatPart] | None = None,
        memory: tuple[AddressSpace, int] | None = None,
    ) -> None:
        """Take the load commands of an image in *file*, the whole buffer and the part of it that is
        the image, or loaded in *memory* at an address."""
        self.header = parsed
        self.name = name
        self.path = path
        self._file = file
        self._by_kind: dict[int, Command] = {}
        segments = []
        for each in commands:
            self._by_kind.setdefault(each.kind, each)
            if each.kind in (macho.LC_SEGMENT, macho.LC_SEGMENT_64):
                segment = macho.parse_segment(each)
                if segment is not None:
                    segments.append(segment)
        self.segments = tuple(segments)
        self.image_base = _image_base(segments)
        self._size = _image_size(segments, self.image_base)
        if file is not None:
            self._space: AddressSpace = ExtentSpace(file[0], self._extents(file[1]))
        else:
            assert memory is not None
            # What its commands say is the image's, however far away.
            room = max((each.end for each in segments), default=0) - self.image_base
            room = max(min(room, _LIMIT - memory[1]), 0)
            self._space = LoadedImageSpace(memory[0], memory[1], room)

    @classmethod
    def from_file(
        cls, path: str | Path, *, arch: str | None = None, uuid: bytes | None = None
    ) -> MachoImage:
        """Map a file. Call :meth:`close` when done. Of a universal file the part with *uuid* is
        taken, else the first of *arch*, without either the first.

        :raises FormatError: not a Mach-O file, cut within its header, or without such a part.
        :raises TargetError: the file cannot be opened.
        """

        def make(data: Buffer, name: str, path: str) -> MachoImage:
            return cls.from_buffer(data, name, path, arch=arch, uuid=uuid)

        return from_mapped(path, make)

    @classmethod
    def from_buffer(
        cls,
        data: Buffer,
        name: str,
        path: str | None = None,
        *,
        arch: str | None = None,
        uuid: bytes | None = None,
    ) -> MachoImage:
        """Return the image whose file is *data*, as :meth:`from_file` does.

        :raises FormatError: as there.
        """
        parts = parse_fat(data)
        if parts is None:
            return cls._of_part(data, FatPart("", 0, len(data)), name, path)
        first: MachoImage | None = None
        for part in parts:
            if arch in (None, part.arch):
                image = cls._of_part(data, part, name, path)
                if uuid is None or image.uuid == uuid:
                    return image
                first = first or image
        if first is None:
            has = ", ".join(part.arch for part in parts) or "none"
            raise FormatError(f"the universal file has no part for {arch or 'any'}, but for {has}")
        return first

    @classmethod
    def _of_part(cls, data: Buffer, part: FatPart, name: str, path: str | None) -> MachoImage:
        space = BufferSpace(data)
        parsed = macho.parse_header(space, part.offset)
        commands = list(macho.load_commands(space, parsed, part.offset))
        return cls(parsed, commands, name, path, file=(data, part))

    @classmethod
    def from_memory(cls, space: AddressSpace, base: int, name: str = "") -> MachoImage:
        """Return the image whose header is at *base* of a target's memory.

        :raises FormatError: no Mach-O header there.
        """
        head = LoadedImageSpace(space, base, _HEADER_ROOM)
        parsed = macho.parse_header(head)
        commands = list(macho.load_commands(head, parsed))
        return cls(parsed, commands, name, memory=(space, base))

    def close(self) -> None:
        """Give up the mapped file. No method may be called afterwards."""
        if self._file is not None and isinstance(self._file[0], mmap.mmap):
            self._file[0].close()

    # -- headers ---------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """Return the processor: ``amd64``, ``x86``, ``arm64``, ``arm``, ..."""
        return self.header.arch

    @property
    def is_file(self) -> bool:
        """Tell whether it is from a file rather than from memory."""
        return self._file is not None

    @property
    def size_of_image(self) -> int:
        """Return how far the segments reach that follow ``__TEXT`` without a gap."""
        return self._size

    @property
    def entry_point(self) -> int | None:
        """Return the RVA of ``main``, ``None`` for what is no program."""
        command = self._by_kind.get(macho.LC_MAIN)
        if command is None or len(command.data) < 16:
            return None
        return int.from_bytes(command.data[8:16], "little")  # its offset in __TEXT is its RVA

    @property
    def own_path(self) -> str:
        """Return the path that a library or the dynamic linker gives itself, ``""`` of others."""
        for kind in (macho.LC_ID_DYLIB, macho.LC_ID_DYLINKER):
            if kind in self._by_kind:
                return macho.command_text(self._by_kind[kind])
        return ""

    @cached_property
    def uuid(self) -> bytes | None:
        """Return the 16 bytes that identify the build, ``None`` where there are none."""
        command = self._by_kind.get(macho.LC_UUID)
        found = command.data[8:24] if command is not None else b""
        return found if len(found) == 16 and any(found) else None

    @property
    def debug_id(self) -> DebugId | None:
        """Return the UUID as Breakpad and symbol servers write it: with age 0."""
        return DebugId(self.uuid.hex().upper(), 0) if self.uuid else None

    @property
    def may_be_rearranged(self) -> bool:
        """Tell whether it is the file of a library of the system, whose segments lie at other
        distances once they are in a shared cache, and whose code was adapted to that."""
        return self.is_file and _SPLIT_INFO in self._by_kind

    @cached_property
    def section_headers(self) -> tuple[MachSection, ...]:
        """Return the sections in the order of the file: symbols count them from 1."""
        is_64 = self.header.is_64
        return tuple(
            section
            for segment in self.segments
            for section in macho.parse_sections(segment, is_64=is_64)
        )

    def sections(self) -> Sequence[Section]:
        """Return the sections that are loaded, by RVA; the characteristics are their flags."""
        found = [each for each in self.section_headers if self.is_loaded(each)]
        return [
            Section(
                name=each.name,
                rva=each.address - self.image_base,
                size=each.size,
                file_offset=each.offset,
                file_size=each.size if each.has_bytes else 0,
                characteristics=each.flags,
            )
            for each in sorted(found, key=lambda each: each.address)
        ]

    def is_loaded(self, section: MachSection) -> bool:
        """Tell whether *section* has a place in memory."""
        return section.segment != _DWARF and section.address >= self.image_base

    def section_at(self, rva: int) -> MachSection | None:
        """Return the loaded section that holds *rva*, ``None`` in gaps."""
        address = rva + self.image_base
        for each in self.section_headers:
            if each.address <= address < each.end and self.is_loaded(each):
                return each
        return None

    def segment_at(self, rva: int) -> MachSegment | None:
        """Return the segment that holds *rva*."""
        address = rva + self.image_base
        for each in self.segments:
            if each.address <= address < each.end and each.name != _DWARF and rva >= 0:
                return each
        return None

    def is_code(self, rva: int) -> bool:
        """Tell whether *rva* lies in a section with code, or without sections in a segment."""
        section = self.section_at(rva)
        if section is not None:
            return section.is_code
        segment = None if self.section_headers else self.segment_at(rva)
        return segment is not None and bool(segment.protection & 4)

    # -- bytes -----------------------------------------------------------------------------

    @property
    def space(self) -> AddressSpace:
        """Return the image as an address space of RVAs."""
        return self._space

    def read(self, rva: int, size: int) -> bytes:
        """Return exactly *size* bytes at *rva*.

        :raises MemoryReadError: its address is the first missing RVA.
        """
        return self._space.read(rva, size)

    def permissions_at(self, rva: int) -> str | None:
        """Return ``r-x`` or the like by what the segment is mapped with at first."""
        segment = self.segment_at(rva)
        if segment is None:
            return None
        bits = ((1, "r"), (2, "w"), (4, "x"))
        return "".join(letter if segment.protection & bit else "-" for bit, letter in bits)

    def constant_parts(self) -> Sequence[tuple[int, int]]:
        """Return the segments with bytes that are not writable; none of libraries that a shared
        cache may hold, which it adapts."""
        if self.may_be_rearranged or self.header.file_type == macho.MH_DSYM:
            return ()
        return [
            (each.address - self.image_base, each.address - self.image_base + each.file_size)
            for each in self._mapped()
            if each.file_size and not each.protection & 2
        ]

    def read_as_loaded(self, rva: int, size: int, base: int) -> bytes:
        """Return at most *size* bytes at *rva*: what is not writable is as in the file."""
        return self._space.read_some(rva, size)

    def _mapped(self) -> list[MachSegment]:
        """Return the segments that are loaded where their addresses say."""
        found = []
        for each in self.segments:
            is_here = each.address >= self.image_base and each.name != _DWARF
            if is_here and each.size and each.protection:
                found.append(each)
        return found

    def _extents(self, part: FatPart) -> list[Extent]:
        """Return where each segment lies, by RVA. A debug file has addresses but no contents; what
        is encrypted, memory holds in clear."""
        found: list[Extent] = []
        if self.header.file_type == macho.MH_DSYM:
            return found
        hidden = self._encrypted()
        for each in self._mapped():
            rva = each.address - self.image_base
            size = min(each.size, _LIMIT - each.address)
            room = max(min(each.file_size, part.size - each.offset), 0)
            first, last = (min(max(at - each.offset, 0), room) for at in hidden)
            start = each.offset + part.offset
            if first < last:
                found.append(Extent(rva, first, start, first))
            else:
                last = 0
            filled = max(min(each.file_size, each.size) - last, 0)
            found.append(Extent(rva + last, size - last, start + last, filled))
        return [each for each in found if each.size > 0]

    def _encrypted(self) -> tuple[int, int]:
        """Return from where to where the file is encrypted (0, 0: nowhere)."""
        for kind in (macho.LC_ENCRYPTION_INFO, macho.LC_ENCRYPTION_INFO_64):
            found = self._numbers(kind, 3)
            if found is not None and found[2]:
                return found[0], found[0] + found[1]
        return 0, 0

    def _numbers(self, kind: int, count: int) -> tuple[int, ...] | None:
        """Return the first 32-bit numbers of a command, ``None`` where it is not there, or cut."""
        command = self._by_kind.get(kind)
        if command is None or len(command.data) < 8 + 4 * count:
            return None
        return struct.unpack_from(f"<{count}I", command.data, 8)

    def _at_offset(self, offset: int, size: int) -> Data:
        """Return at most *size* bytes of ``__LINKEDIT``, or whatever segment the file has there."""
        if self._file is not None:
            buffer, part = self._file
            offset = min(offset, part.size)
            return Data(buffer, part.offset + offset, min(size, part.size - offset))
        for each in self.segments:
            if each.offset <= offset < each.offset + each.file_size:
                rva = each.address - self.image_base + offset - each.offset
                return LoadedSection(
                    self._space, rva, min(size, each.offset + each.file_size - offset)
                )
        return Data()

    # -- symbols ---------------------------------------------------------------------------

    @cached_property
    def symbols(self) -> MachSymbolTable | None:
        """Return the symbol table, ``None`` where there is none."""
        found = self._numbers(macho.LC_SYMTAB, 4)
        if found is None:
            return None
        offset, count, strings, size = found
        is_64 = self.header.is_64
        table = self._at_offset(offset, count * (16 if is_64 else 12))
        return MachSymbolTable(table, self._at_offset(strings, size), is_64=is_64)

    @cached_property
    def function_starts(self) -> array[int]:
        """Return the RVAs where functions begin, in order; empty where nothing says.

        :raises FormatError: the list is damaged.
        """
        place = self._numbers(macho.LC_FUNCTION_STARTS, 2)
        if place is None:
            return array("Q")
        end = max((each.end for each in self.segments), default=0)
        found = parse_function_starts(self._at_offset(*place), min(end, _LIMIT) - self.image_base)
        if self.machine != "arm":
            return found
        return array("Q", (rva & ~1 for rva in found))

    @cached_property
    def stubs(self) -> Sequence[Stub]:
        """Return the stubs through which imported functions are called, by address.

        :raises FormatError: their table is damaged.
        """
        numbers = self._numbers(macho.LC_DYSYMTAB, 14)
        table = self.symbols
        if numbers is None or table is None:
            return ()
        indirect = self._at_offset(numbers[12], 4 * numbers[13])
        found: list[Stub] = []
        for each in self.section_headers:
            if each.flags & 0xFF == macho.S_SYMBOL_STUBS and each.stub_size:
                number = min(each.size // each.stub_size, _MAX_STUBS - len(found))
                for place, index in enumerate(indirect_symbols(indirect, each.indirect, number)):
                    if index < len(table) and index < _NO_SYMBOL:
                        rva = each.address + place * each.stub_size - self.image_base
                        found.append(Stub(rva, each.stub_size, table.symbol(index).name))
        return sorted(found, key=lambda each: each.rva)

    # -- debug information -----------------------------------------------------------------

    def debug_sections(self) -> DebugSections:
        """Return the DWARF sections of segment ``__DWARF``; an image from memory has none."""
        return DebugSections(self._debug_section, address_size=self.header.word)

    def _debug_section(self, name: str) -> Data | None:
        if self._file is None:
            return None
        for prefix in ("__", "__z"):  # the second one of Go: compressed
            # Names have room for 16 bytes: __debug_str_offs.
            wanted = (prefix + name[1:])[:_MAX_NAME]
            for each in self.section_headers:
                if each.segment == _DWARF and each.name == wanted and each.has_bytes:
                    data = self._at_offset(each.offset, each.size)
                    return data if prefix == "__" else expanded_gnu(data, each.name)
        return None


def _image_base(segments: Sequence[MachSegment]) -> int:
    """Return the address, as linked, of ``__TEXT``, without one that of the lowest segment."""
    for each in segments:
        if each.name == "__TEXT":
            return each.address
    return min((each.address for each in segments if each.protection), default=0)


def _image_size(segments: Sequence[MachSegment], base: int) -> int:
    end = base
    for each in sorted(segments, key=lambda each: each.address):
        if each.name != _DWARF and base <= each.address <= end + _PAGE:
            end = max(end, min(each.end, _LIMIT))
    return end - base
