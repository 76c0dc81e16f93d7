"""The section headers of an ELF file, their names and their contents, expanded if compressed.

Sources: gABI chapter 4 ("Sections", "Section Compression"); ``.zdebug_*`` sections, which gold and
binutils wrote before, begin with ``ZLIB`` and the size as a big-endian number.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.header import ElfHeader
from polydbg.formats.section import Section
from polydbg.memory.space import AddressSpace, Buffer

_MAX_SECTIONS = 1 << 20
_MAX_NAMES = 64 << 20
_MAX_NAME = 4096
_BLOCK = 1 << 20
#: No debug section is larger; what claims to be would not fit into memory either.
_MAX_EXPANDED = 4 << 30
_CODECS = {1: "zlib", 2: "zstd"}
_ZLIB_MAGIC = b"ZLIB"


class SectionHeader(msgspec.Struct, frozen=True):
    """A section. *address* is virtual as linked (0 where it is not loaded), *size* in bytes: in the
    file, or in memory for ``SHT_NOBITS``. *index* is its number in the table."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int

    @property
    def is_loaded(self) -> bool:
        """Tell whether it has a place in memory (the zeros of thread-local storage do not)."""
        is_empty_tls = self.flags & elf.SHF_TLS and self.type == elf.SHT_NOBITS
        return bool(self.flags & elf.SHF_ALLOC) and not is_empty_tls

    @property
    def is_executable(self) -> bool:
        return bool(self.flags & elf.SHF_EXECINSTR)

    @property
    def has_bytes(self) -> bool:
        """Tell whether the file holds its contents."""
        return self.type not in (elf.SHT_NOBITS, 0)


def parse_sections(space: AddressSpace, header: ElfHeader) -> tuple[SectionHeader, ...]:
    """Return the section headers, of *space* addressed by file offsets: none where the table is
    not there or cut, since names and links need all of it.

    :raises FormatError: entries smaller than the class needs.
    """
    if not header.shoff or not header.shnum:
        return ()
    layout = struct.Struct(header.mark + ("IIQQQQIIQQ" if header.is_64 else "IIIIIIIIII"))
    stride = header.shentsize
    if stride < layout.size:
        raise FormatError(f"ELF section headers of {stride} bytes", offset=header.shoff)
    if header.shnum > _MAX_SECTIONS:
        raise FormatError(f"an ELF file of {header.shnum} sections", offset=header.shoff)
    size = (header.shnum - 1) * stride + layout.size
    raw = space.read_some(header.shoff, size)
    if len(raw) < size:
        return ()
    rows = [layout.unpack_from(raw, start) for start in range(0, size, stride)]
    names = b""
    if 0 < header.shstrndx < len(rows):
        _, kind, _, _, offset, length, *_ = rows[header.shstrndx]
        if kind != elf.SHT_NOBITS:
            names = space.read_some(offset, min(length, _MAX_NAMES))
    return tuple(
        SectionHeader(index, _name(names, row[0]), *row[1:]) for index, row in enumerate(rows)
    )


def _name(names: bytes, start: int) -> str:
    end = names.find(b"\0", start, start + _MAX_NAME) if start < len(names) else -1
    return names[start:end].decode("utf-8", "replace") if end >= 0 else ""


def section_named(sections: tuple[SectionHeader, ...], name: str) -> SectionHeader | None:
    """Return the first section called *name*."""
    return next((each for each in sections if each.name == name), None)


def contents(data: Buffer, header: ElfHeader, section: SectionHeader) -> Section | None:
    """Return the bytes of *section* of the file *data*: in place, or expanded where it is
    compressed. ``None`` where the file holds none (``SHT_NOBITS``).

    :raises FormatError: not wholly in the file, or it cannot be expanded.
    """
    if not section.has_bytes:
        return None
    if section.offset + section.size > len(data):
        raise FormatError(f"section {section.name} is cut short", offset=section.offset)
    if section.flags & elf.SHF_COMPRESSED:
        return _expand_standard(data, header, section)
    found = Section(data, section.offset, section.size, big=header.is_big)
    return expanded_gnu(found, section.name) if section.name.startswith(".zdebug_") else found


def _expand_standard(data: Buffer, header: ElfHeader, section: SectionHeader) -> Section:
    layout = struct.Struct(header.mark + ("IIQQ" if header.is_64 else "III"))
    if section.size < layout.size:
        raise FormatError(f"section {section.name} is too short", offset=section.offset)
    fields = layout.unpack(bytes(data[section.offset : section.offset + layout.size]))
    size = fields[2] if header.is_64 else fields[1]
    codec = _CODECS.get(fields[0])
    if codec is None:
        raise FormatError(
            f"section {section.name} is compressed in an unknown way ({fields[0]})",
            offset=section.offset,
        )
    return _expanded(data, header, section, layout.size, size, codec)


def _expanded(
    data: Buffer, header: ElfHeader, section: SectionHeader, skip: int, size: int, codec: str
) -> Section:
    """Expand what follows *skip* bytes of the section to exactly *size* bytes."""
    whole = Section(data, section.offset, section.size, big=header.is_big)
    return expanded(whole, skip, size, codec, section.name)


def expanded_gnu(section: Section, name: str) -> Section:
    """Return the contents of a section in the manner of ``.zdebug_*``, which is called *name*; as
    it is if it does not begin so.

    :raises FormatError: it cannot be expanded.
    """
    head = section.rest(0, 12)
    if section.size < 12 or head[:4] != _ZLIB_MAGIC:
        return section
    return expanded(section, 12, int.from_bytes(head[4:], "big"), "zlib", name)


def expanded(section: Section, skip: int, size: int, codec: str, name: str) -> Section:
    """Return what the bytes from *skip* on of a section called *name* expand to: *size* bytes.

    :raises FormatError: to more or fewer, or not at all.
    """
    from polydbg.formats.archives.archive import Budget
    from polydbg.formats.archives.codecs import expand

    budget = Budget(section.size, _MAX_EXPANDED)
    budget.expect(size)
    data, start, end = section.extent
    result = bytearray()
    for block in expand(_blocks(data, start + skip, end), codec, budget):
        result += block
        if len(result) > size:
            break
    if len(result) != size:
        raise FormatError(
            f"section {name} does not expand to the {size} bytes it promises", offset=start
        )
    return Section(bytes(result), big=section.order == "big")


def _blocks(data: Buffer, start: int, end: int) -> Iterator[bytes]:
    for position in range(start, end, _BLOCK):
        yield bytes(data[position : min(position + _BLOCK, end)])
