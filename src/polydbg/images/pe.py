"""A PE image, from its file or from target memory; everything past the headers is read on demand.

Knows what belongs together (headers, debug directory, exports, version, unwind tables) and keeps
what it has read; the layouts are in :mod:`polydbg.formats.pe`, unwinding in
:mod:`polydbg.unwind.pe_amd64` and :mod:`polydbg.unwind.pe_arm`.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.base.identifiers import CodeId, DebugId
from polydbg.formats.pe import debug, exports, header, pdata, relocations
from polydbg.formats.pe.resources import version
from polydbg.formats.section import Section as Data
from polydbg.images.image import CodeViewRecord, Export, Section
from polydbg.images.pe_spaces import FileImageSpace
from polydbg.images.spaces import LoadedImageSpace, from_mapped
from polydbg.memory.space import AddressSpace, Buffer, BufferSpace

if TYPE_CHECKING:
    from polydbg.formats.elf.debug_links import DebugLink
    from polydbg.formats.pe.arm_unwind import ArmUnwindInfo
    from polydbg.formats.pe.coff_symbols import CoffSymbolTable

_HEADER_ROOM = 0x10000000
_CACHE_LIMIT = 20_000
_CALL_FRAMES = (".eh_frame", ".eh_fram", ".debug_frame")
_DISCARDABLE, _EXECUTE, _READ, _WRITE = 0x02000000, 0x20000000, 0x40000000, 0x80000000


class PeImage:
    """An executable image. Addresses are RVAs, in bytes.

    Methods raise :class:`FormatError` where the image is damaged and :class:`MemoryReadError`
    (its address an RVA) where a byte is absent: not in the dump, or past a truncated file's end.
    """

    def __init__(
        self,
        space: AddressSpace,
        parsed: header.PeHeader,
        name: str,
        path: str | None = None,
        buffer: Buffer | None = None,
    ) -> None:
        """Keep *space*, of RVAs; *buffer* is the whole file, where there is one."""
        self._space = space
        self._buffer = buffer
        self.header = parsed
        self.name = name
        self.path = path
        self._exports: exports.ExportTable | None = None
        self._export_addresses: exports.ExportAddresses | None = None
        self._debug: tuple[debug.DebugEntry, ...] | None = None
        self._relocation_blocks: dict[int, tuple[int, int]] | None = None
        self._functions: dict[int, pdata.RuntimeFunction | None] = {}
        self._chains: dict[int, tuple[pdata.UnwindInfo, ...]] = {}
        self._arm_unwind: dict[int, ArmUnwindInfo | None] = {}

    @classmethod
    def from_file(cls, path: str | Path) -> PeImage:
        """Map a file. Call :meth:`close` when done.

        :raises FormatError: not a PE image, or cut within its headers.
        :raises TargetError: the file cannot be opened.
        """
        return from_mapped(path, cls.from_buffer)

    @classmethod
    def from_buffer(cls, data: Buffer, name: str, path: str | None = None) -> PeImage:
        """Return the image whose file is *data*.

        :raises FormatError: not a PE image, or cut within its headers.
        """
        try:
            parsed = header.parse_header(BufferSpace(data))
        except MemoryReadError as error:
            raise FormatError("PE headers are cut short", offset=error.address) from error
        return cls(FileImageSpace(data, parsed), parsed, name, path, data)

    @classmethod
    def from_memory(cls, space: AddressSpace, base: int, name: str = "") -> PeImage:
        """Return the image loaded at *base* of a target's memory.

        :raises FormatError: no PE headers there.
        :raises MemoryReadError: headers not in memory; its address is an RVA.
        """
        parsed = header.parse_header(LoadedImageSpace(space, base, _HEADER_ROOM))
        return cls(LoadedImageSpace(space, base, parsed.size_of_image), parsed, name)

    def close(self) -> None:
        """Give up the mapped file. No method may be called afterwards."""
        if isinstance(self._buffer, mmap.mmap):
            self._buffer.close()

    # -- headers ---------------------------------------------------------------------------

    @property
    def machine(self) -> str:
        """Return ``amd64``, ``x86``, ``arm64``, ``arm``, or ``machine-XXXX``."""
        return self.header.machine_name

    @property
    def timestamp(self) -> int:
        """Return the link time, seconds since 1970; a hash when :attr:`is_reproducible`."""
        return self.header.timestamp

    @property
    def size_of_image(self) -> int:
        return self.header.size_of_image

    @property
    def checksum(self) -> int:
        return self.header.checksum

    @property
    def preferred_base(self) -> int:
        return self.header.image_base

    @property
    def entry_point(self) -> int:
        """Return the RVA of the entry point, 0 if there is none."""
        return self.header.entry_point

    @property
    def characteristics(self) -> int:
        return self.header.characteristics

    @property
    def subsystem(self) -> int:
        return self.header.subsystem

    @property
    def code_id(self) -> CodeId:
        return CodeId(self.header.timestamp, self.header.size_of_image)

    @property
    def directories(self) -> Sequence[header.DataDirectory]:
        """Return the sixteen data directories; see ``formats.pe.header.DIRECTORY_NAMES``."""
        return self.header.directories

    @property
    def section_headers(self) -> Sequence[header.SectionHeader]:
        """Return the section headers with every field (``!dh``)."""
        return self.header.sections

    @property
    def buffer(self) -> Buffer | None:
        """Return the whole file, ``None`` for an image from memory."""
        return self._buffer

    @property
    def space(self) -> AddressSpace:
        """Return the image as an address space of RVAs."""
        return self._space

    def read(self, rva: int, size: int) -> bytes:
        """Return exactly *size* bytes at *rva*.

        :raises MemoryReadError: its address is the first missing RVA.
        """
        return self._space.read(rva, size)

    def read_as_loaded(self, rva: int, size: int, base: int) -> bytes:
        """Return at most *size* bytes at *rva* as the loader makes them for an image at *base*.

        Only as many as lie in the image; imports are not bound, so import tables differ.
        """
        data = bytearray(self._space.read_some(rva, size))
        delta = base - self.preferred_base
        if not delta or not data:
            return bytes(data)
        if self._relocation_blocks is None:
            table = self.directories[header.DIRECTORY_RELOCATION]
            self._relocation_blocks = relocations.block_index(
                self._space.read_some, table.rva, table.size
            )
        fields = relocations.relocations_in(
            self._space.read_some, self._relocation_blocks, rva, len(data)
        )
        for field, width in fields:
            value = int.from_bytes(self._space.read_some(field, width), "little") + delta
            moved = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")
            for i, byte in enumerate(moved):
                if 0 <= field + i - rva < len(data):
                    data[field + i - rva] = byte
        return bytes(data)

    def sections(self) -> Sequence[Section]:
        """Return the sections; names longer than 8 bytes are resolved where the file is here."""
        return tuple(
            Section(
                name=self._long_name(item.name),
                rva=item.rva,
                size=item.memory_size,
                file_offset=item.raw_offset,
                file_size=item.raw_size,
                characteristics=item.characteristics,
            )
            for item in self.header.sections
        )

    def call_frame_sections(self) -> Sequence[Section]:
        """Return the sections with DWARF's call frame information, which MinGW's linkers leave:
        ``.eh_frame`` (cut off by those that write no long names), then ``.debug_frame``."""
        if self._buffer is None:
            return ()
        found = {each.name: each for each in self.sections()}
        return [found[name] for name in _CALL_FRAMES if name in found]

    def section_data(self, section: Section) -> Data:
        """Return the contents of *section* in place; empty for an image from memory."""
        if self._buffer is None:
            return Data()
        # Sections are padded in the file; the size in memory is the one of the contents.
        size = min(section.size or section.file_size, section.file_size)
        return Data(self._buffer, section.file_offset, size)

    def section_at(self, rva: int) -> header.SectionHeader | None:
        """Return the section that holds *rva*, ``None`` for headers and gaps."""
        for item in self.header.sections:
            if 0 <= rva - item.rva < item.memory_size:
                return item
        return None

    def is_code(self, rva: int) -> bool:
        """Return whether *rva* lies in a section with code."""
        section = self.section_at(rva)
        return section is not None and section.is_executable

    def permissions_at(self, rva: int) -> str | None:
        """Return ``r-x`` or the like by the section's flags; headers are mapped read-only."""
        section = self.section_at(rva)
        if section is None:
            is_header = 0 <= rva < min((item.rva for item in self.header.sections), default=0)
            return "r--" if is_header else None
        return "".join(
            letter if section.characteristics & bit else "-"
            for bit, letter in ((_READ, "r"), (_WRITE, "w"), (_EXECUTE, "x"))
        )

    def constant_parts(self) -> Sequence[tuple[int, int]]:
        """Return the headers and the sections that are neither writable nor discarded."""
        items = self.header.sections
        parts = [(0, min((item.rva for item in items), default=0))]
        parts += [
            (item.rva, item.rva + item.memory_size)
            for item in items
            if not item.characteristics & (_WRITE | _DISCARDABLE)
        ]
        return parts

    def _long_name(self, name: str) -> str:
        """Return the name in the string table behind the COFF symbols that ``/123`` stands for."""
        parsed = self.header
        if self._buffer is None or not name.startswith("/"):
            return name
        from polydbg.formats.pe.coff_symbols import long_section_name, strings_behind

        strings = strings_behind(self._buffer, parsed.symbol_table_offset, parsed.symbol_count)
        return long_section_name(name, strings)

    def coff_symbols(self) -> CoffSymbolTable | None:
        """Return the COFF symbol table of the file, ``None`` where there is none and for an image
        from memory."""
        from polydbg.formats.pe.coff_symbols import CoffSymbolTable

        parsed = self.header
        if self._buffer is None or not parsed.symbol_table_offset or not parsed.symbol_count:
            return None
        return CoffSymbolTable(self._buffer, parsed.symbol_table_offset, parsed.symbol_count)

    def debug_link(self) -> DebugLink | None:
        """Return the name and the checksum of the separate debug file (``.gnu_debuglink``),
        ``None`` where there is none and for an image from memory, where long names are not.

        :raises FormatError: it is cut short.
        """
        from polydbg.formats.elf.debug_links import parse_debug_link

        for section in self.sections() if self._buffer is not None else ():
            if section.name == ".gnu_debuglink":
                return parse_debug_link(self.section_data(section), "little")
        return None

    # -- debug directory -------------------------------------------------------------------

    def debug_entries(self) -> Sequence[debug.DebugEntry]:
        """Return the debug directory."""
        if self._debug is None:
            self._debug = debug.parse_debug_directory(
                self._space, self.directories[header.DIRECTORY_DEBUG]
            )
        return self._debug

    def debug_data(self, entry: debug.DebugEntry, limit: int = 0x1000) -> bytes:
        """Return the data of a debug entry, at most *limit* bytes.

        :raises MemoryReadError: it is neither in memory nor in the file.
        """
        size = min(entry.size, limit)
        if entry.rva:
            return self._space.read(entry.rva, size)
        if self._buffer is not None and entry.file_offset:
            return BufferSpace(self._buffer).read(entry.file_offset, size)
        raise MemoryReadError(entry.rva)

    def codeview(self) -> CodeViewRecord | None:
        """Return the record that names the PDB (RSDS or NB10), ``None`` if there is none."""
        for entry in self.debug_entries():
            if entry.type == debug.DEBUG_TYPE_CODEVIEW:
                found = debug.parse_codeview(self.debug_data(entry))
                if found is not None:
                    return CodeViewRecord(found.debug_id, found.path, found.signature)
        return None

    @property
    def debug_id(self) -> DebugId | None:
        """Return the id of the PDB that belongs to this image."""
        record = self.codeview()
        return record.debug_id if record else None

    @property
    def is_reproducible(self) -> bool:
        """Return whether the timestamp is a hash (``/Brepro``: debug entry of type 16)."""
        return any(entry.type == debug.DEBUG_TYPE_REPRO for entry in self.debug_entries())

    # -- exports and resources -------------------------------------------------------------

    def export_table(self) -> exports.ExportTable | None:
        """Return the export directory with its own name, ``None`` if there is none."""
        directory = self.directories[header.DIRECTORY_EXPORT]
        if self._exports is None and directory:
            self._exports = exports.parse_exports(self._space, directory)
        return self._exports

    def export_addresses(self) -> exports.ExportAddresses | None:
        """Return the named exports by address, ``None`` if there are none."""
        directory = self.directories[header.DIRECTORY_EXPORT]
        if self._export_addresses is None and directory:
            self._export_addresses = exports.ExportAddresses(self._space, directory)
        found = self._export_addresses
        return found if found is not None and found.starts else None

    def exports(self) -> Sequence[Export]:
        """Return what the image exports, by ordinal."""
        table = self.export_table()
        if table is None:
            return ()
        return [Export(item.name, item.ordinal, item.rva, item.forwarder) for item in table.entries]

    def version(self) -> version.VersionResource | None:
        """Return the version resource, ``None`` if there is none."""
        data = version.find_version_resource(
            self._space, self.directories[header.DIRECTORY_RESOURCE]
        )
        return version.parse_version(data) if data is not None else None

    @property
    def is_managed(self) -> bool:
        """Return whether it is an image of .NET: it has a CLI header."""
        return bool(self.directories[header.DIRECTORY_CLI])

    # -- unwind tables ---------------------------------------------------------------------

    @property
    def has_unwind_table(self) -> bool:
        """Return whether there is ``.pdata``: then code without an entry is a leaf function."""
        return bool(self.directories[header.DIRECTORY_EXCEPTION])

    def function_at(self, rva: int) -> pdata.RuntimeFunction | None:
        """Return the ``.pdata`` row that covers *rva* (x64), ``None`` for a leaf function."""
        if rva not in self._functions:
            if len(self._functions) >= _CACHE_LIMIT:
                self._functions.clear()
            self._functions[rva] = pdata.find_function(
                self._space, self.directories[header.DIRECTORY_EXCEPTION], rva
            )
        return self._functions[rva]

    def unwind_chain(self, function: pdata.RuntimeFunction) -> tuple[pdata.UnwindInfo, ...]:
        """Return the unwind information of *function* (x64) and of what it is chained to."""
        found = self._chains.get(function.unwind_rva)
        if found is None:
            if len(self._chains) >= _CACHE_LIMIT:
                self._chains.clear()
            found = pdata.chain_of(self._space, function)
            self._chains[function.unwind_rva] = found
        return found

    def arm_unwind_at(self, rva: int) -> ArmUnwindInfo | None:
        """Return the unwind information at *rva* (ARM64, ARM), ``None`` for a leaf function."""
        from polydbg.formats.pe.arm_unwind import find_info

        if rva not in self._arm_unwind:
            if len(self._arm_unwind) >= _CACHE_LIMIT:
                self._arm_unwind.clear()
            self._arm_unwind[rva] = find_info(
                self._space, self.directories[header.DIRECTORY_EXCEPTION], self.machine, rva
            )
        return self._arm_unwind[rva]
