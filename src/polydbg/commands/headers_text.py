"""The lines of ``!dh``: every field of the headers, numbers in hex, flags in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.formats.pe.debug import DEBUG_TYPE_CODEVIEW, DebugEntry
from polydbg.formats.pe.header import DIRECTORY_NAMES, PeHeader, SectionHeader
from polydbg.images.pe import PeImage

MACHINES: Final = {
    0x14C: "i386",
    0x1C0: "ARM",
    0x1C4: "ARM Thumb-2",
    0x200: "IA64",
    0x5064: "RISC-V 64",
    0x8664: "X64",
    0xA641: "ARM64EC",
    0xA64E: "ARM64X",
    0xAA64: "ARM64",
}
"""Machine numbers and what the engine calls them."""

SUBSYSTEMS: Final = {
    0: "Unknown",
    1: "Native",
    2: "Windows GUI",
    3: "Windows CUI",
    5: "OS/2 CUI",
    7: "Posix CUI",
    8: "Native Win9x driver",
    9: "Windows CE GUI",
    10: "EFI application",
    11: "EFI boot service driver",
    12: "EFI runtime driver",
    13: "EFI ROM",
    14: "Xbox",
    16: "Windows boot application",
}
_FILE_FLAGS = {
    0x1: "Relocations stripped",
    0x2: "Executable",
    0x4: "Line numbers stripped",
    0x8: "Symbols stripped",
    0x10: "Aggressively trim working set",
    0x20: "App can handle >2gb addresses",
    0x80: "Bytes reversed low",
    0x100: "32 bit word machine",
    0x200: "Debug information stripped",
    0x400: "Run from swap if on removable media",
    0x800: "Run from swap if on network",
    0x1000: "System",
    0x2000: "DLL",
    0x4000: "Uni processor only",
    0x8000: "Bytes reversed high",
}
_DLL_FLAGS = {
    0x20: "High entropy VA supported",
    0x40: "Dynamic base",
    0x80: "Code integrity image",
    0x100: "NX compatible",
    0x200: "No isolation",
    0x400: "No structured exception handler",
    0x800: "Do not bind",
    0x1000: "App container",
    0x2000: "WDM driver",
    0x4000: "Guard CF",
    0x8000: "Terminal server aware",
}
_SECTION_FLAGS = {
    0x8: "No Pad",
    0x20: "Code",
    0x40: "Initialized Data",
    0x80: "Uninitialized Data",
    0x200: "Info",
    0x800: "Remove",
    0x1000: "Communal",
    0x8000: "GP Relative",
    0x01000000: "Extended relocations",
    0x02000000: "Discardable",
    0x04000000: "Not Cached",
    0x08000000: "Not Paged",
    0x10000000: "Shared",
}
_DEBUG_NAMES = {1: "coff", 2: "cv", 3: "fpo", 4: "misc", 5: "exception", 6: "fixup"}


def header_lines(header: PeHeader) -> Iterator[str]:
    """Yield the file header, the optional header and the directories."""
    yield f"File Type: {'DLL' if header.is_dll else 'EXECUTABLE IMAGE'}"
    yield "FILE HEADER VALUES"
    yield f"{header.machine:8X} machine ({MACHINES.get(header.machine, 'unknown')})"
    yield f"{len(header.sections):8X} number of sections"
    yield f"{header.timestamp:8X} time date stamp"
    yield f"{header.symbol_table_offset:8X} file pointer to symbol table"
    yield f"{header.symbol_count:8X} number of symbols"
    yield f"{header.optional_header_size:8X} size of optional header"
    yield f"{header.characteristics:8X} characteristics"
    yield from _flags(header.characteristics, _FILE_FLAGS, 12)
    yield ""
    yield from _optional_lines(header)
    for name, directory in zip(DIRECTORY_NAMES, header.directories, strict=False):
        yield f"{directory.rva:8X} [{directory.size:8X}] address [size] of {name} Directory"


def _optional_lines(header: PeHeader) -> Iterator[str]:
    width = 16 if header.is_64bit else 8
    subsystem = SUBSYSTEMS.get(header.subsystem, "unknown")
    yield "OPTIONAL HEADER VALUES"
    yield f"{header.magic:8X} magic #"
    yield f"{_version(header.linker_version)} linker version"
    yield f"{header.size_of_code:8X} size of code"
    yield f"{header.size_of_initialized_data:8X} size of initialized data"
    yield f"{header.size_of_uninitialized_data:8X} size of uninitialized data"
    yield f"{header.entry_point:8X} address of entry point"
    yield f"{header.base_of_code:8X} base of code"
    yield "         ----- new -----"
    yield f"{header.image_base:0{width}x} image base"
    yield f"{header.section_alignment:8X} section alignment"
    yield f"{header.file_alignment:8X} file alignment"
    yield f"{header.subsystem:8X} subsystem ({subsystem})"
    yield f"{_version(header.os_version)} operating system version"
    yield f"{_version(header.image_version)} image version"
    yield f"{_version(header.subsystem_version)} subsystem version"
    yield f"{header.size_of_image:8X} size of image"
    yield f"{header.size_of_headers:8X} size of headers"
    yield f"{header.checksum:8X} checksum"
    yield f"{header.stack_reserve:0{width}x} size of stack reserve"
    yield f"{header.stack_commit:0{width}x} size of stack commit"
    yield f"{header.heap_reserve:0{width}x} size of heap reserve"
    yield f"{header.heap_commit:0{width}x} size of heap commit"
    yield f"{header.dll_characteristics:8X}  DLL characteristics"
    yield from _flags(header.dll_characteristics, _DLL_FLAGS, 12)


def _version(version: tuple[int, int]) -> str:
    return f"{version[0]:5d}.{version[1]:02d}"


def _flags(value: int, names: Mapping[int, str], indent: int) -> Iterator[str]:
    for bit, name in names.items():
        if value & bit:
            yield f"{' ' * indent}{name}"


def section_lines(number: int, section: SectionHeader) -> Iterator[str]:
    """Yield the header of one section; *number* counts from 1."""
    flags = section.characteristics
    yield f"SECTION HEADER #{number:X}"
    yield f"{sanitise_line(section.name):>8} name"
    yield f"{section.virtual_size:8X} virtual size"
    yield f"{section.rva:8X} virtual address"
    yield f"{section.raw_size:8X} size of raw data"
    yield f"{section.raw_offset:8X} file pointer to raw data"
    yield f"{section.relocations_offset:8X} file pointer to relocation table"
    yield f"{section.lines_offset:8X} file pointer to line numbers"
    yield f"{section.relocation_count:8X} number of relocations"
    yield f"{section.line_count:8X} number of line numbers"
    yield f"{flags:8X} flags"
    yield from _flags(flags, _SECTION_FLAGS, 9)
    alignment = flags >> 20 & 0xF
    words = f"{1 << (alignment - 1)} byte align" if alignment else "(no align specified)"
    yield f"{' ' * 9}{words}"
    yield f"{' ' * 9}{_access(flags)}"


def _access(flags: int) -> str:
    words = [
        word
        for bit, word in ((0x20000000, "Execute"), (0x40000000, "Read"), (0x80000000, "Write"))
        if flags & bit
    ]
    return "Read Only" if words == ["Read"] else " ".join(words) or "(no access specified)"


def debug_directory_lines(image: PeImage) -> Iterator[str]:
    """Yield the debug directory, as it stands behind the section that holds it."""
    entries = image.debug_entries()
    yield f"Debug Directories({len(entries)})"
    yield "\tType       Size     Address  Pointer"
    for entry in entries:
        name = _DEBUG_NAMES.get(entry.type, f"({entry.type:6d})")
        row = f"\t{name:8} {entry.size:6X}    {entry.rva:8X} {entry.file_offset:8X}"
        yield f"{row}{_debug_words(image, entry)}"


def _debug_words(image: PeImage, entry: DebugEntry) -> str:
    if entry.type != DEBUG_TYPE_CODEVIEW:
        return ""
    try:
        record = image.codeview()
    except DebuggerError:
        record = None
    if record is None:
        return "\t[Debug data not mapped]"
    identity = f"{record.debug_id.braced.lower()}, {record.debug_id.age}"
    return f"\tFormat: {record.signature}, {identity}, {sanitise_line(record.path)}"
