"""An ELF image, from its file or from target memory; everything past the headers is read on demand.

An RVA is a virtual address as linked, less the start of the page of the lowest ``PT_LOAD``
(:attr:`ElfImage.image_base`): so RVA 0 is where the first page of the image is mapped, for programs
at fixed addresses as for libraries. For an image at *base* the load bias of the ABI, which is added
to linked addresses, is ``base - image_base``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf import debug_links, notes, plt
from polydbg.formats.elf.header import ElfHeader, ProgramHeader, parse_header, parse_segments
from polydbg.formats.elf.sections import SectionHeader, contents, parse_sections
from polydbg.formats.elf.symbol_table import SymbolTable
from polydbg.formats.section import Section as Data
from polydbg.images import elf_spaces
from polydbg.images.elf_dynamic import DynamicTable
from polydbg.images.elf_marks import CodeMarks
from polydbg.images.elf_spaces import LoadedFileSpace, LoadedSection
from polydbg.images.image import Section
from polydbg.images.spaces import ExtentSpace, LoadedImageSpace, from_mapped
from polydbg.memory.space import AddressSpace, Buffer, BufferSpace

_HEADER_ROOM = 0x10000000
_MAX_NOTES = 8 << 20  # bytes of all notes together
_MAX_PATH = 4096
_MAX_RELOCATIONS = 64 << 20
_MIN_FRAME_INDEX = 6  # four bytes of encodings and the shortest address
_MAX_PLT_ENTRIES = 1 << 18


class FrameTable(msgspec.Struct, frozen=True):
    """A table of unwind rules: *rva* is where it is loaded (``None``: it is not), *data* its bytes,
    which may be absent in places when they are read from memory."""

    rva: int | None
    data: Data


class PltName(msgspec.Struct, frozen=True):
    """A PLT entry of *size* bytes at *rva* that leads to *name* (``puts@plt``)."""

    rva: int
    size: int
    name: str


class ElfImage:
    """An ELF file or image. Addresses are RVAs, in bytes, as the module says.

    Methods raise :class:`FormatError` where the image is damaged and :class:`MemoryReadError`
    (its address an RVA) where a byte is absent: not in the core, or past a truncated file's end.
    """

    def __init__(
        self,
        parsed: ElfHeader,
        segments: tuple[ProgramHeader, ...],
        space: AddressSpace,
        file_space: AddressSpace,
        name: str,
        path: str | None = None,
        buffer: Buffer | None = None,
        base: int | None = None,
    ) -> None:
        """Keep *space*, of RVAs, and *file_space*, of file offsets; *buffer* is the whole file,
        where there is one, *base* the address of RVA 0 where the image is read from memory."""
        self.header = parsed
        self.segments = segments
        self._space = space
        self._file_space = file_space
        self._buffer = buffer
        self.name = name
        self.path = path
        self.base = base
        self.image_base = elf_spaces.image_base(segments)
        self._size_of_image = elf_spaces.image_size(segments)
        self.dynamic = DynamicTable(self)

    @classmethod
    def from_file(cls, path: str | Path) -> ElfImage:
        """Map a file. Call :meth:`close` when done.

        :raises FormatError: not an ELF file, or cut within its header.
        :raises TargetError: the file cannot be opened.
        """
        return from_mapped(path, cls.from_buffer)

    @classmethod
    def from_buffer(cls, data: Buffer, name: str, path: str | None = None) -> ElfImage:
        """Return the image whose file is *data*.

        :raises FormatError: not an ELF file, or cut within its header.
        """
        file_space = BufferSpace(data)
        parsed = parse_header(file_space)
        segments = parse_segments(file_space, parsed)
        space = ExtentSpace(data, elf_spaces.extents(segments))
        return cls(parsed, segments, space, file_space, name, path, data)

    @classmethod
    def from_memory(
        cls, space: AddressSpace, base: int, size: int | None = None, name: str = ""
    ) -> ElfImage:
        """Return the image whose ELF header is at *base* of a target's memory.

        No more than *size* bytes of it are read, ``None`` for all that its segments say. Section
        headers are there only where they are mapped too: in vdso images.

        :raises FormatError: no ELF header there.
        """
        head = LoadedImageSpace(space, base, _HEADER_ROOM)
        parsed = parse_header(head)
        segments = parse_segments(head, parsed)
        room = elf_spaces.image_size(segments)
        # The header is at the start of the lowest segment in all but odd files.
        for each in elf_spaces.loaded(segments):
            if each.offset <= 0 < each.offset + each.file_size:
                base -= each.vaddr - elf_spaces.image_base(segments)
        whole = LoadedImageSpace(space, base, room if size is None else min(room, size))
        return cls(
            parsed, segments, whole, LoadedFileSpace(whole, segments), name, None, None, base
        )

    def close(self) -> None:
        """Give up the mapped file. No method may be called afterwards."""
        if isinstance(self._buffer, mmap.mmap):
            self._buffer.close()

    # -- headers ---------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """Return the processor as :func:`~polydbg.formats.elf.constants.machine_name` does."""
        return self.header.machine_name

    @property
    def size_of_image(self) -> int:
        """Return the bytes from its first page to the end of its last."""
        return self._size_of_image

    @property
    def buffer(self) -> Buffer | None:
        """Return the whole file, ``None`` for an image from memory."""
        return self._buffer

    @property
    def entry_point(self) -> int | None:
        """Return the RVA where it starts, ``None`` if it says none."""
        return self.header.entry - self.image_base if self.header.entry else None

    @cached_property
    def section_headers(self) -> tuple[SectionHeader, ...]:
        """Return the section headers, the null one first; empty where there are none.

        :raises FormatError: their sizes are impossible.
        """
        found = parse_sections(self._file_space, self.header)
        # What lies in memory at the file offset of the table may be something else.
        if self._buffer is None and (not found or found[0].type or not any(s.name for s in found)):
            return ()
        return found

    def sections(self) -> Sequence[Section]:
        """Return the sections that are loaded, by RVA; the characteristics are ``sh_flags``."""
        return [
            Section(
                name=each.name,
                rva=each.address - self.image_base,
                size=each.size,
                file_offset=each.offset,
                file_size=each.size if each.has_bytes else 0,
                characteristics=each.flags,
            )
            for each in sorted(self.section_headers, key=lambda each: each.address)
            if each.is_loaded
        ]

    def section_named(self, name: str) -> SectionHeader | None:
        """Return the first section called *name*."""
        return next((each for each in self.section_headers if each.name == name), None)

    def section_at(self, rva: int) -> SectionHeader | None:
        """Return the loaded section that holds *rva*, ``None`` in gaps."""
        address = rva + self.image_base
        for each in self.section_headers:
            if 0 <= address - each.address < each.size and each.is_loaded:
                return each
        return None

    def segment_at(self, rva: int) -> ProgramHeader | None:
        """Return the loaded segment that holds *rva*."""
        address = rva + self.image_base
        for each in self.segments:
            if each.type == elf.PT_LOAD and 0 <= address - each.vaddr < each.memory_size:
                return each
        return None

    def is_code(self, rva: int) -> bool:
        """Tell whether *rva* lies in a section with code, or without sections in a segment."""
        section = self.section_at(rva)
        if section is not None:
            return section.is_executable
        segment = None if self.section_headers else self.segment_at(rva)
        return segment is not None and segment.is_executable

    @property
    def is_debug_only(self) -> bool:
        """Tell whether it is a separate debug file: its code has headers, but no bytes."""
        code = [each for each in self.section_headers if each.is_executable and each.is_loaded]
        return bool(code) and not any(each.has_bytes for each in code)

    def segment_of(self, kind: int) -> ProgramHeader | None:
        """Return the first segment of type *kind* (``PT_...``)."""
        return next((each for each in self.segments if each.type == kind), None)

    # -- bytes -----------------------------------------------------------------------------

    @property
    def space(self) -> AddressSpace:
        """Return the image as an address space of RVAs."""
        return self._space

    def read(self, rva: int, size: int) -> bytes:
        """Return exactly *size* bytes at *rva*.

        :raises MemoryReadError: its address is the first missing RVA.
        """
        return self.space.read(rva, size)

    def permissions_at(self, rva: int) -> str | None:
        """Return ``r-x`` or the like by the segment's flags."""
        segment = self.segment_at(rva)
        return None if segment is None else segment.permissions

    def constant_parts(self) -> Sequence[tuple[int, int]]:
        """Return the segments that are not writable; none where the loader patches them too."""
        if self.dynamic.value(elf.DT_TEXTREL) is not None:
            return ()
        flags = self.dynamic.value(elf.DT_FLAGS) or 0
        if flags & elf.DF_TEXTREL:
            return ()
        return [
            (each.vaddr - self.image_base, each.vaddr - self.image_base + each.memory_size)
            for each in elf_spaces.loaded(self.segments)
            if not each.flags & elf.PF_W
        ]

    def read_as_loaded(self, rva: int, size: int, base: int) -> bytes:
        """Return at most *size* bytes at *rva*: what is not writable is as in the file."""
        return self.space.read_some(rva, size)

    def rva_of_pointer(self, value: int) -> int:
        """Return the RVA for an address that the image holds: one of the loaded image where the
        loader has been at it, else one as linked."""
        if self.base is not None and 0 <= value - self.base < self.size_of_image:
            return value - self.base
        return value - self.image_base

    def data_at(self, rva: int, size: int) -> Data:
        """Return at most *size* loaded bytes at *rva*, in place where they come from a file."""
        big = self.header.is_big
        if isinstance(self.space, ExtentSpace) and self._buffer is not None:
            offset = self.space.file_offset(rva)
            if offset is None:
                return Data(big=big)
            return Data(self._buffer, offset, size, big=big)
        return Data(self.space.read_some(rva, size), big=big)

    def section_data(self, section: SectionHeader) -> Data | None:
        """Return the contents of *section*, expanded; ``None`` where the file holds none.

        :raises FormatError: cut short, or it cannot be expanded.
        """
        if self._buffer is not None:
            return contents(self._buffer, self.header, section)
        if not section.is_loaded or not section.has_bytes:
            return None
        rva = section.address - self.image_base
        return LoadedSection(self.space, rva, section.size, big=self.header.is_big)

    def data_of(self, name: str) -> Data | None:
        """Return the contents of the section called *name*, or of ``.zdebug_x`` for ``.debug_x``;
        ``None`` where there is none with bytes.

        :raises FormatError: cut short, or it cannot be expanded.
        """
        section = self.section_named(name)
        if section is None and name.startswith(".debug_"):
            section = self.section_named(".z" + name[1:])
        return None if section is None else self.section_data(section)

    def debug_sections(self) -> DebugSections:
        """Return the DWARF sections."""
        header = self.header
        return DebugSections(self.data_of, big=header.is_big, address_size=header.word)

    # -- notes -----------------------------------------------------------------------------

    def notes(self) -> Iterator[notes.Note]:
        """Yield the notes: of the note sections, without any those of the note segments."""
        big, room = self.header.is_big, _MAX_NOTES
        sections = [each for each in self.section_headers if each.type == elf.SHT_NOTE]
        for section in sections:
            data = self.section_data(section)
            if data is not None and room > 0:
                raw = data.rest(0, room)
                room -= len(raw)
                yield from notes.iterate_notes(raw, big=big, align=section.align)
        for segment in () if sections else self.segments:
            if segment.type == elf.PT_NOTE and room > 0:
                space, start = self._file_space, segment.offset
                if self._buffer is None:
                    space, start = self.space, segment.vaddr - self.image_base
                raw = space.read_some(start, min(segment.file_size, room))
                room -= len(raw)
                yield from notes.iterate_notes(raw, big=big, align=segment.align)

    @cached_property
    def build_id(self) -> str | None:
        """Return the build id as lower-case hex digits."""
        return notes.build_id_of(self.notes())

    @property
    def debug_id(self) -> DebugId | None:
        """Return the build id as Breakpad and symbol servers write it: its first 16 bytes, with
        zeros if it is shorter, as a GUID of age 0."""
        if self.build_id is None:
            return None
        return DebugId.from_guid_bytes(bytes.fromhex(self.build_id)[:16].ljust(16, b"\0"), 0)

    @cached_property
    def package(self) -> dict[str, str] | None:
        """Return what ``.note.package`` says of the package the file came in."""
        return notes.package_of(self.notes())

    @cached_property
    def abi(self) -> str | None:
        """Return the system and its oldest version that will do, ``Linux 3.2.0``."""
        return notes.abi_of(self.notes(), big=self.header.is_big)

    # -- the dynamic table -----------------------------------------------------------------

    @property
    def dynamic_extent(self) -> tuple[int, int] | None:
        """Return RVA and size of the dynamic table, ``None`` where there is none with bytes."""
        section = next((s for s in self.section_headers if s.name == ".dynamic"), None)
        segment = self.segment_of(elf.PT_DYNAMIC)
        if segment is None or (section is not None and not section.has_bytes):
            return None
        return segment.vaddr - self.image_base, segment.memory_size

    @property
    def soname(self) -> str | None:
        """Return the name a library gives itself."""
        return self.dynamic.text(elf.DT_SONAME)

    @property
    def interp(self) -> str | None:
        """Return the path of the program's loader, ``None`` for libraries and static programs."""
        segment = self.segment_of(elf.PT_INTERP)
        if segment is None:
            return None
        raw = self.space.read_some(segment.vaddr - self.image_base, _MAX_PATH)
        raw = raw[: min(segment.memory_size, _MAX_PATH)].split(b"\0", 1)[0]
        return raw.decode("utf-8", "replace") or None

    @property
    def is_pie(self) -> bool:
        """Tell whether it is a program that may be loaded anywhere."""
        if self.header.type != elf.ET_DYN:
            return False
        flags = self.dynamic.value(elf.DT_FLAGS_1) or 0
        # Linkers before 2.26 set no flag; a library that can be run as well gives itself a name.
        has_loader = self.segment_of(elf.PT_INTERP) is not None
        return bool(flags & elf.DF_1_PIE) or (has_loader and self.soname is None)

    @property
    def is_static(self) -> bool:
        """Tell whether it is a program without a loader: static, or static and position-independent
        (then :attr:`is_pie` too)."""
        if self.segment_of(elf.PT_INTERP) is not None:
            return False
        return self.header.type == elf.ET_EXEC or self.is_pie

    # -- symbols ---------------------------------------------------------------------------

    @cached_property
    def symbols(self) -> SymbolTable | None:
        """Return ``.symtab``, ``None`` where there is none.

        :raises FormatError: cut short, or without its strings.
        """
        for section in self.section_headers:
            if section.type != elf.SHT_SYMTAB:
                continue
            data = self.section_data(section)
            if section.link >= len(self.section_headers):
                raise FormatError("a symbol table without strings", offset=section.offset)
            strings = self.section_data(self.section_headers[section.link])
            if data is None or strings is None:
                continue
            return SymbolTable(
                data,
                strings,
                is_64=self.header.is_64,
                entry_size=section.entry_size,
                section_indexes=self._section_indexes(section.index),
            )
        return None

    @cached_property
    def code_marks(self) -> CodeMarks:
        """Return where ARM code is A32 and where Thumb."""
        return CodeMarks(self)

    def _section_indexes(self, table: int) -> Data | None:
        for each in self.section_headers:
            if each.type == elf.SHT_SYMTAB_SHNDX and each.link == table:
                return self.section_data(each)
        return None

    @property
    def dynamic_symbols(self) -> SymbolTable | None:
        """Return the dynamic symbols, found through the dynamic table.

        :raises FormatError: entries of an impossible size.
        :raises MemoryReadError: what says their number is not in memory.
        """
        return self.dynamic.symbols

    @cached_property
    def plt_names(self) -> Sequence[PltName]:
        """Return the PLT entries with names by address, of x86-64, i386, ARM64 and ARM code.

        Without section headers there are none: nothing says where the entries are.
        """
        return _plt_names(self)

    # -- debug information elsewhere -------------------------------------------------------

    def debug_link(self) -> debug_links.DebugLink | None:
        """Return what ``.gnu_debuglink`` says. :raises FormatError: damaged."""
        data = self.data_of(".gnu_debuglink")
        return None if data is None else debug_links.parse_debug_link(data, self.header.order)

    def alt_link(self) -> debug_links.AltLink | None:
        """Return the supplementary file of ``.gnu_debugaltlink``, or of ``.debug_sup``.

        :raises FormatError: damaged.
        """
        data = self.data_of(".gnu_debugaltlink")
        if data is not None:
            return debug_links.parse_alt_link(data)
        data = self.data_of(".debug_sup")
        return None if data is None else debug_links.parse_supplementary(data)

    @cached_property
    def mini_debug(self) -> ElfImage | None:
        """Return the image inside ``.gnu_debugdata``, which has symbols alone.

        :raises FormatError: damaged.
        """
        data = self.data_of(".gnu_debugdata")
        if data is None:
            return None
        return ElfImage.from_buffer(debug_links.expand_mini_debug(data), self.name, self.path)

    # -- unwind tables ---------------------------------------------------------------------

    @property
    def eh_frame_hdr(self) -> FrameTable | None:
        """Return ``.eh_frame_hdr``, by its segment."""
        segment = self.segment_of(elf.PT_GNU_EH_FRAME)
        section = self.section_named(".eh_frame_hdr")
        if segment is None or (section is not None and not section.has_bytes):
            return None
        if segment.memory_size < _MIN_FRAME_INDEX:
            return None
        return self._frame_table(segment.vaddr - self.image_base, segment.memory_size)

    @property
    def eh_frame(self) -> FrameTable | None:
        """Return ``.eh_frame``: by its section, else from where ``.eh_frame_hdr`` says up to the
        end of its segment. ``None`` in a separate debug file, where it has no bytes.

        :raises MemoryReadError: ``.eh_frame_hdr``, which says where, is not in memory.
        """
        section = self.section_named(".eh_frame")
        if section is not None:
            if not section.has_bytes:
                return None
            if section.address:
                return self._frame_table(section.address - self.image_base, section.size)
            data = self.section_data(section)
            return None if data is None else FrameTable(None, data)
        index = self.eh_frame_hdr
        rva = None if index is None else _eh_frame_start(index, self)
        segment = None if rva is None else self.segment_at(rva)
        if rva is None or segment is None:
            return None
        return self._frame_table(rva, segment.end - self.image_base - rva)

    @property
    def debug_frame(self) -> FrameTable | None:
        """Return ``.debug_frame``, expanded; it is never loaded.

        :raises FormatError: cut short, or it cannot be expanded.
        """
        data = self.data_of(".debug_frame")
        return None if data is None else FrameTable(None, data)

    def _frame_table(self, rva: int, size: int) -> FrameTable:
        if self._buffer is not None:
            return FrameTable(rva, self.data_at(rva, size))
        return FrameTable(rva, LoadedSection(self.space, rva, size, big=self.header.is_big))


def is_plt(section: SectionHeader) -> bool:
    """Tell whether *section* holds PLT entries."""
    is_code = section.is_loaded and section.is_executable
    return is_code and section.name.startswith((".plt", ".iplt"))


def _eh_frame_start(index: FrameTable, image: ElfImage) -> int | None:
    """Return the RVA in the second field of ``.eh_frame_hdr`` (LSB, "Exception Frame Header")."""
    if index.rva is None:
        return None
    encoding = index.data.number(1, 1)
    size = {0: image.header.word, 2: 2, 3: 4, 4: 8}.get(encoding & 7)
    if size is None or encoding & 0x70 not in (0, 0x10, 0x30):
        return None
    value = index.data.number(4, size)
    if encoding & 8 and value >> (8 * size - 1):
        value -= 1 << 8 * size
    if encoding & 0x70 == 0:
        return image.rva_of_pointer(value)
    return index.rva + value + (4 if encoding & 0x70 == 0x10 else 0)


def _plt_names(image: ElfImage) -> list[PltName]:
    sections = image.section_headers
    got = image.dynamic.rva(elf.DT_PLTGOT)
    entries: list[plt.PltEntry] = []
    for each in sections:
        if is_plt(each):
            data = image.section_data(each)
            if data is not None:
                raw = data.rest(0, _MAX_RELOCATIONS)
                entries += plt.parse_plt(
                    image.header.machine,
                    raw,
                    each.address,
                    big=image.header.is_big,
                    got=(got or 0) + image.image_base,
                )
    wanted = {each.slot: "" for each in entries[:_MAX_PLT_ENTRIES]}
    for each in sections if wanted else ():
        if each.type in (elf.SHT_RELA, elf.SHT_REL) and each.is_loaded:
            _name_slots(image, each, wanted)
    found = [
        PltName(each.address - image.image_base, each.size, wanted[each.slot])
        for each in entries
        if wanted.get(each.slot)
    ]
    return sorted(found, key=lambda each: each.rva)


def _name_slots(image: ElfImage, section: SectionHeader, wanted: dict[int, str]) -> None:
    """Name the slots that the relocations of *section* fill."""
    data = image.section_data(section)
    if data is None:
        return
    table = image.dynamic_symbols
    for each in plt.parse_relocations(
        data.rest(0, _MAX_RELOCATIONS),
        image.header.mark,
        image.header.is_64,
        section.type == elf.SHT_RELA,
        wanted,
    ):
        if wanted[each.offset]:
            continue
        if each.symbol and table is not None and each.symbol < len(table):
            wanted[each.offset] = f"{table.symbol(each.symbol).name}@plt"
        elif not each.symbol:
            # The slot of an indirect function; this is what binutils and gdb call it.
            wanted[each.offset] = f"*ABS*+{each.addend:#x}@plt"
