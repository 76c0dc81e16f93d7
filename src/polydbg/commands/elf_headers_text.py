"""The lines of ``!dh`` for ELF images: every field of the headers, numbers in hex, flags in words.

Names are those of the gABI, of ``<elf.h>`` and of the GNU ABI extensions, without their prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.header import ElfHeader, ProgramHeader
from polydbg.formats.elf.notes import NT_GNU_ABI_TAG, NT_GNU_BUILD_ID, NT_PACKAGE, Note
from polydbg.formats.elf.sections import SectionHeader
from polydbg.images.elf import ElfImage

_MAX_DYNAMIC = 4096
_MAX_NOTES = 4096
_SHOWN_BYTES = 32

_FILE_TYPES: Final = {
    elf.ET_REL: "RELOCATABLE OBJECT",
    elf.ET_EXEC: "EXECUTABLE IMAGE",
    elf.ET_DYN: "SHARED OBJECT",
    elf.ET_CORE: "CORE",
}
_OS_ABIS: Final = {
    0: "System V",
    1: "HP-UX",
    2: "NetBSD",
    3: "GNU/Linux",
    6: "Solaris",
    9: "FreeBSD",
    12: "OpenBSD",
    97: "ARM",
    255: "standalone",
}
SEGMENT_TYPES: Final = {
    0: "NULL",
    1: "LOAD",
    2: "DYNAMIC",
    3: "INTERP",
    4: "NOTE",
    5: "SHLIB",
    6: "PHDR",
    7: "TLS",
    0x6474E550: "GNU_EH_FRAME",
    0x6474E551: "GNU_STACK",
    0x6474E552: "GNU_RELRO",
    0x6474E553: "GNU_PROPERTY",
    0x6474E554: "GNU_SFRAME",
    0x65A3DBE6: "OPENBSD_RANDOMIZE",
    0x65A3DBE7: "OPENBSD_WXNEEDED",
    0x70000001: "ARM_EXIDX",
}
_SECTION_TYPES: Final = {
    0: "NULL",
    1: "PROGBITS",
    2: "SYMTAB",
    3: "STRTAB",
    4: "RELA",
    5: "HASH",
    6: "DYNAMIC",
    7: "NOTE",
    8: "NOBITS",
    9: "REL",
    11: "DYNSYM",
    14: "INIT_ARRAY",
    15: "FINI_ARRAY",
    16: "PREINIT_ARRAY",
    17: "GROUP",
    18: "SYMTAB_SHNDX",
    19: "RELR",
    0x6FFFFFF6: "GNU_HASH",
    0x6FFFFFF7: "GNU_LIBLIST",
    0x6FFFFFFD: "GNU_verdef",
    0x6FFFFFFE: "GNU_verneed",
    0x6FFFFFFF: "GNU_versym",
    0x70000001: "X86_64_UNWIND",
    0x70000003: "ATTRIBUTES",
}
_SECTION_FLAGS: Final = (
    (1, "Write"),
    (2, "Alloc"),
    (4, "Execute"),
    (0x10, "Merge"),
    (0x20, "Strings"),
    (0x40, "Info link"),
    (0x80, "Link order"),
    (0x100, "OS nonconforming"),
    (0x200, "Group"),
    (0x400, "TLS"),
    (0x800, "Compressed"),
    (0x200000, "Retain"),
    (0x80000000, "Exclude"),
)
_DYNAMIC_NAMES: Final = {
    1: "NEEDED",
    2: "PLTRELSZ",
    3: "PLTGOT",
    4: "HASH",
    5: "STRTAB",
    6: "SYMTAB",
    7: "RELA",
    8: "RELASZ",
    9: "RELAENT",
    10: "STRSZ",
    11: "SYMENT",
    12: "INIT",
    13: "FINI",
    14: "SONAME",
    15: "RPATH",
    16: "SYMBOLIC",
    17: "REL",
    18: "RELSZ",
    19: "RELENT",
    20: "PLTREL",
    21: "DEBUG",
    22: "TEXTREL",
    23: "JMPREL",
    24: "BIND_NOW",
    25: "INIT_ARRAY",
    26: "FINI_ARRAY",
    27: "INIT_ARRAYSZ",
    28: "FINI_ARRAYSZ",
    29: "RUNPATH",
    30: "FLAGS",
    32: "PREINIT_ARRAY",
    33: "PREINIT_ARRAYSZ",
    34: "SYMTAB_SHNDX",
    35: "RELRSZ",
    36: "RELR",
    37: "RELRENT",
    0x6FFFFEF5: "GNU_HASH",
    0x6FFFFEF6: "TLSDESC_PLT",
    0x6FFFFEF7: "TLSDESC_GOT",
    0x6FFFFFF0: "VERSYM",
    0x6FFFFFF9: "RELACOUNT",
    0x6FFFFFFA: "RELCOUNT",
    0x6FFFFFFB: "FLAGS_1",
    0x6FFFFFFC: "VERDEF",
    0x6FFFFFFD: "VERDEFNUM",
    0x6FFFFFFE: "VERNEED",
    0x6FFFFFFF: "VERNEEDNUM",
    0x7FFFFFFD: "AUXILIARY",
    0x7FFFFFFF: "FILTER",
}
_TEXT_TAGS: Final = frozenset(
    {elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, 0x7FFFFFFD, 0x7FFFFFFF}
)
_NOTE_NAMES: Final = {
    ("GNU", NT_GNU_ABI_TAG): "ABI tag",
    ("GNU", 2): "hardware capabilities",
    ("GNU", NT_GNU_BUILD_ID): "build id",
    ("GNU", 4): "gold version",
    ("GNU", 5): "properties",
    ("FDO", NT_PACKAGE): "package",
    ("Go", 4): "Go build id",
    ("stapsdt", 3): "SystemTap probe",
    ("FreeBSD", 1): "ABI tag",
    ("NetBSD", 1): "ABI tag",
    ("OpenBSD", 1): "ABI tag",
    ("Android", 1): "ABI tag",
    ("Linux", 0): "version",
    ("Linux", 0x100): "build salt",
}
_TEXT_NOTES: Final = frozenset({"package", "gold version", "Go build id", "build salt"})


def file_type(image: ElfImage) -> str:
    """Return what kind of file it is, in the words of ``File Type:``."""
    if image.header.type == elf.ET_DYN and image.is_pie:
        return "POSITION-INDEPENDENT EXECUTABLE"
    return _FILE_TYPES.get(image.header.type, f"type {image.header.type:X}")


def header_lines(image: ElfImage) -> Iterator[str]:
    """Yield the file header and the program headers."""
    header = image.header
    yield f"File Type: {file_type(image)}"
    yield "FILE HEADER VALUES"
    yield f"{header.machine:8X} machine ({header.machine_name})"
    yield f"{header.type:8X} type"
    yield f"{8 * header.word:8X} bits of an address"
    yield f"{'big' if header.is_big else 'little':>8} byte order"
    yield f"{header.os_abi:8X} OS ABI ({_OS_ABIS.get(header.os_abi, 'unknown')})"
    yield f"{header.abi_version:8X} ABI version"
    yield f"{header.flags:8X} flags"
    yield f"{header.entry:8X} address of entry point"
    yield f"{header.phoff:8X} file pointer to program headers"
    yield f"{header.phnum:8X} number of program headers"
    yield f"{header.phentsize:8X} size of a program header"
    yield f"{header.shoff:8X} file pointer to section headers"
    yield f"{header.shnum:8X} number of section headers"
    yield f"{header.shentsize:8X} size of a section header"
    yield f"{header.shstrndx:8X} section of the section names"
    yield f"{image.size_of_image:8X} size of image"
    for number, segment in enumerate(image.segments):
        yield ""
        yield from segment_lines(number, segment, header)


def segment_lines(number: int, segment: ProgramHeader, header: ElfHeader) -> Iterator[str]:
    """Yield one program header; *number* counts from 0."""
    name = segment_type(segment.type, header)
    yield f"PROGRAM HEADER #{number:X}"
    yield f"{name:>8} type"
    yield f"{segment.offset:8X} file pointer"
    yield f"{segment.vaddr:8X} virtual address"
    yield f"{segment.paddr:8X} physical address"
    yield f"{segment.file_size:8X} size in the file"
    yield f"{segment.memory_size:8X} size in memory"
    yield f"{segment.align:8X} alignment"
    yield f"{segment.flags:8X} flags"
    yield f"{' ' * 9}{access_words(segment.flags)}"


def segment_type(kind: int, header: ElfHeader) -> str:
    """Return what a type of segment is called; the same number means other things elsewhere."""
    if kind == 0x70000001 and header.machine != elf.EM_ARM:
        return f"{kind:X}"
    return SEGMENT_TYPES.get(kind, f"{kind:X}")


def access_words(flags: int) -> str:
    """Return what segments allow, in words."""
    words = [
        word
        for bit, word in ((elf.PF_X, "Execute"), (elf.PF_R, "Read"), (elf.PF_W, "Write"))
        if flags & bit
    ]
    return "Read Only" if words == ["Read"] else " ".join(words) or "(no access specified)"


def section_lines(section: SectionHeader) -> Iterator[str]:
    """Yield the header of one section, by its number in the table."""
    kind = _SECTION_TYPES.get(section.type, f"{section.type:X}")
    yield f"SECTION HEADER #{section.index:X}"
    yield f"{sanitise_line(section.name):>8} name"
    yield f"{kind:>8} type"
    yield f"{section.address:8X} virtual address"
    yield f"{section.offset:8X} file pointer"
    yield f"{section.size:8X} size"
    yield f"{section.link:8X} link"
    yield f"{section.info:8X} info"
    yield f"{section.align:8X} alignment"
    yield f"{section.entry_size:8X} size of an entry"
    yield f"{section.flags:8X} flags"
    for bit, name in _SECTION_FLAGS:
        if section.flags & bit:
            yield f"{' ' * 9}{name}"


def dynamic_lines(image: ElfImage) -> Iterator[str]:
    """Yield the dynamic entries, as they stand in the image, with the names that they lead to."""
    entries = image.dynamic.entries
    if not entries:
        return
    yield f"Dynamic Entries({len(entries)})"
    for tag, value in entries[:_MAX_DYNAMIC]:
        name = _DYNAMIC_NAMES.get(tag, f"{tag:X}")
        text = ""
        if tag in _TEXT_TAGS:
            found = image.dynamic.text_at(value)
            text = " <unavailable>" if found is None else f" [{sanitise_line(found)}]"
        yield f"\t{name:15} {value:16x}{text}"


def note_lines(image: ElfImage) -> Iterator[str]:
    """Yield the notes: owner, kind, and what they say."""
    count = 0
    try:
        for note in image.notes():
            if not count:
                yield "Notes"
            count += 1
            if count > _MAX_NOTES:
                return
            yield f"\t{_note_text(image, note)}"
    except DebuggerError as error:
        yield f"Notes: {error.message}"


def _note_text(image: ElfImage, note: Note) -> str:
    kind = _NOTE_NAMES.get((note.owner, note.type), f"type {note.type:x}")
    head = f"{sanitise_line(note.owner):8} {kind:20} {len(note.descriptor):4x} bytes "
    data = note.descriptor
    if (note.owner, note.type) == ("GNU", NT_GNU_ABI_TAG):
        return head + (image.abi or "")
    if (note.owner, note.type) == ("Linux", 0) and len(data) == 4:
        code = int.from_bytes(data, image.header.order)
        return head + f"{code >> 16}.{code >> 8 & 0xFF}.{code & 0xFF}"
    if kind in _TEXT_NOTES:
        return head + sanitise_line(data.rstrip(b"\0").decode("utf-8", "replace"))
    more = "..." if len(data) > _SHOWN_BYTES else ""
    return head + data[:_SHOWN_BYTES].hex() + more
