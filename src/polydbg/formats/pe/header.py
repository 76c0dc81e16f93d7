"""PE headers: DOS, COFF file, optional header, data directories, section headers.

Knows where each field lies; leaves the mapping of RVAs to bytes to whoever gives the address
space. Layout: Microsoft, "PE Format" (learn.microsoft.com/windows/win32/debug/pe-format).
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.memory.space import AddressSpace

MACHINE_NAMES: Final = {0x8664: "amd64", 0x14C: "x86", 0xAA64: "arm64", 0x1C4: "arm", 0x1C0: "arm"}
"""COFF machine numbers that we have a name for."""

MAX_SECTIONS: Final = 96
"""The Windows loader's own limit; LLD and MSVC link more only for objects."""

DIRECTORY_EXPORT: Final = 0
DIRECTORY_RESOURCE: Final = 2
DIRECTORY_EXCEPTION: Final = 3
DIRECTORY_RELOCATION: Final = 5
DIRECTORY_DEBUG: Final = 6
DIRECTORY_CLI: Final = 14

DIRECTORY_NAMES: Final = (
    "Export",
    "Import",
    "Resource",
    "Exception",
    "Security",
    "Base Relocation",
    "Debug",
    "Description",
    "Special",
    "Thread Storage",
    "Load Configuration",
    "Bound Import",
    "Import Address Table",
    "Delay Import",
    "COR20 Header",
    "Reserved",
)
"""Names of the sixteen data directories, as ``!dh`` spells them."""

SECTION_CODE: Final = 0x00000020
SECTION_EXECUTE: Final = 0x20000000

_MAGIC_PE32 = 0x10B
_MAGIC_PE32_PLUS = 0x20B
_MAX_LFANEW = 0x10000000
_FILE_HEADER = struct.Struct("<4sHHIIIHH")
_STANDARD = struct.Struct("<HBBIIIII")
_WINDOWS_32 = struct.Struct("<IIIHHHHHHIIIIHHIIIIII")
_WINDOWS_64 = struct.Struct("<QIIHHHHHHIIIIHHQQQQII")
_SECTION = struct.Struct("<8sIIIIIIHHI")


class DataDirectory(msgspec.Struct, frozen=True):
    """One of the sixteen tables: *rva* and *size* in bytes; both 0 when there is none."""

    rva: int
    size: int

    def __bool__(self) -> bool:
        return self.rva != 0 and self.size != 0


class SectionHeader(msgspec.Struct, frozen=True):
    """A section header as it stands in the file. *name* may be ``/123``: see the string table."""

    name: str
    virtual_size: int
    rva: int
    raw_size: int
    raw_offset: int
    relocations_offset: int
    lines_offset: int
    relocation_count: int
    line_count: int
    characteristics: int

    @property
    def memory_size(self) -> int:
        """Return the size in memory, bytes; a linker may leave the virtual size 0."""
        return self.virtual_size or self.raw_size

    @property
    def is_executable(self) -> bool:
        return bool(self.characteristics & (SECTION_EXECUTE | SECTION_CODE))


class PeHeader(msgspec.Struct, frozen=True):
    """Every field of the headers; sizes and RVAs in bytes, versions as (major, minor)."""

    nt_offset: int  # e_lfanew
    machine: int
    timestamp: int
    symbol_table_offset: int
    symbol_count: int
    optional_header_size: int
    characteristics: int
    magic: int
    linker_version: tuple[int, int]
    size_of_code: int
    size_of_initialized_data: int
    size_of_uninitialized_data: int
    entry_point: int
    base_of_code: int
    base_of_data: int | None  # PE32 only
    image_base: int
    section_alignment: int
    file_alignment: int
    os_version: tuple[int, int]
    image_version: tuple[int, int]
    subsystem_version: tuple[int, int]
    win32_version: int
    size_of_image: int
    size_of_headers: int
    checksum: int
    subsystem: int
    dll_characteristics: int
    stack_reserve: int
    stack_commit: int
    heap_reserve: int
    heap_commit: int
    loader_flags: int
    directories: tuple[DataDirectory, ...]  # always sixteen
    sections: tuple[SectionHeader, ...]

    @property
    def is_64bit(self) -> bool:
        """Return whether this is PE32+ (64-bit image base and sizes)."""
        return self.magic == _MAGIC_PE32_PLUS

    @property
    def is_dll(self) -> bool:
        return bool(self.characteristics & 0x2000)

    @property
    def machine_name(self) -> str:
        """Return ``amd64``, ``x86``, ``arm64``, ``arm``, or ``machine-XXXX``."""
        return MACHINE_NAMES.get(self.machine, f"machine-{self.machine:04x}")


def parse_header(space: AddressSpace) -> PeHeader:
    """Return the headers at address 0 of *space*.

    :raises FormatError: not a PE image.
    :raises MemoryReadError: a byte of the headers is not there.
    """
    if space.read(0, 2) != b"MZ":
        raise FormatError("no MZ signature", offset=0, identifier="pe.signature")
    nt = int.from_bytes(space.read(0x3C, 4), "little")
    if nt > _MAX_LFANEW:
        raise FormatError(f"PE header offset {nt:#x} is not sane", offset=0x3C)
    fields = _FILE_HEADER.unpack(space.read(nt, _FILE_HEADER.size))
    signature, machine, section_count, timestamp, symbols, symbol_count, opt_size, flags = fields
    if signature != b"PE\0\0":
        raise FormatError("no PE signature", offset=nt, identifier="pe.signature")
    if section_count > MAX_SECTIONS:
        raise FormatError(f"{section_count} sections are too many", offset=nt + 6)
    optional = nt + _FILE_HEADER.size
    standard = _STANDARD.unpack(space.read(optional, _STANDARD.size))
    layout, start = _windows_fields(standard[0], optional)
    windows = layout.unpack(space.read(start, layout.size))
    if start + layout.size > optional + opt_size:
        raise FormatError(f"optional header of {opt_size:#x} bytes is too short", offset=optional)
    room = (optional + opt_size - start - layout.size) // 8
    return PeHeader(
        nt_offset=nt,
        machine=machine,
        timestamp=timestamp,
        symbol_table_offset=symbols,
        symbol_count=symbol_count,
        optional_header_size=opt_size,
        characteristics=flags,
        magic=standard[0],
        linker_version=(standard[1], standard[2]),
        size_of_code=standard[3],
        size_of_initialized_data=standard[4],
        size_of_uninitialized_data=standard[5],
        entry_point=standard[6],
        base_of_code=standard[7],
        base_of_data=_base_of_data(space, start) if layout is _WINDOWS_32 else None,
        image_base=windows[0],
        section_alignment=windows[1],
        file_alignment=windows[2],
        os_version=(windows[3], windows[4]),
        image_version=(windows[5], windows[6]),
        subsystem_version=(windows[7], windows[8]),
        win32_version=windows[9],
        size_of_image=windows[10],
        size_of_headers=windows[11],
        checksum=windows[12],
        subsystem=windows[13],
        dll_characteristics=windows[14],
        stack_reserve=windows[15],
        stack_commit=windows[16],
        heap_reserve=windows[17],
        heap_commit=windows[18],
        loader_flags=windows[19],
        directories=_directories(space, start + layout.size, min(windows[20], 16, room)),
        sections=_sections(space, optional + opt_size, section_count),
    )


def _windows_fields(magic: int, optional: int) -> tuple[struct.Struct, int]:
    """Return layout and offset of the fields after the standard ones."""
    if magic == _MAGIC_PE32_PLUS:
        return _WINDOWS_64, optional + 24
    if magic == _MAGIC_PE32:
        return _WINDOWS_32, optional + 28
    raise FormatError(f"optional header magic {magic:#x} is unknown", offset=optional)


def _base_of_data(space: AddressSpace, windows_fields: int) -> int:
    return int.from_bytes(space.read(windows_fields - 4, 4), "little")


def _directories(space: AddressSpace, offset: int, count: int) -> tuple[DataDirectory, ...]:
    data = space.read(offset, count * 8)
    found = [DataDirectory(*pair) for pair in struct.iter_unpack("<II", data)]
    return tuple(found + [DataDirectory(0, 0)] * (16 - count))


def _sections(space: AddressSpace, offset: int, count: int) -> tuple[SectionHeader, ...]:
    data = space.read(offset, count * _SECTION.size)
    return tuple(
        SectionHeader(name.split(b"\0", 1)[0].decode("utf-8", "replace"), *rest)
        for name, *rest in _SECTION.iter_unpack(data)
    )
