"""The dynamic table of an ELF image and what it leads to: names, needed libraries, symbols.

Everything is found by address through ``PT_DYNAMIC``, with or without section headers. Sources:
gABI chapter 5; glibc and others replace the addresses in the table of a loaded image by real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf import dynamic, versions
from polydbg.formats.elf.symbol_table import SymbolTable
from polydbg.formats.section import Section

if TYPE_CHECKING:
    from polydbg.images.elf import ElfImage

_MAX_TABLE = 1 << 20
_MAX_VERSIONS = 1 << 18
_MAX_STRINGS = 256 << 20
_MAX_NEEDED = 4096
_DT_MIPS_SYMTABNO = 0x70000011


class DynamicTable:
    """The dynamic table of one image. Addresses are RVAs."""

    def __init__(self, image: ElfImage) -> None:
        self._image = image

    @cached_property
    def entries(self) -> list[tuple[int, int]]:
        """Return (tag, value) as they stand; empty where there is no table."""
        image = self._image
        if image.dynamic_extent is None:
            return []
        rva, size = image.dynamic_extent
        data = image.space.read_some(rva, min(size, _MAX_TABLE))
        return dynamic.parse_dynamic(data, image.header.mark, image.header.word)

    def value(self, tag: int) -> int | None:
        """Return the value of the first entry with *tag*."""
        return next((value for each, value in self.entries if each == tag), None)

    def values(self, tag: int) -> list[int]:
        """Return the values of all entries with *tag*."""
        return [value for each, value in self.entries if each == tag]

    def rva(self, tag: int) -> int | None:
        """Return the address that the entry with *tag* has."""
        value = self.value(tag)
        return None if value is None else self._image.rva_of_pointer(value)

    # -- strings ---------------------------------------------------------------------------

    @cached_property
    def strings(self) -> Section:
        """Return the string table, an empty one where it is not there."""
        rva, size = self.rva(elf.DT_STRTAB), self.value(elf.DT_STRSZ)
        if rva is None or size is None:
            return Section(big=self._image.header.is_big)
        return self._image.data_at(rva, min(size, _MAX_STRINGS))

    def text(self, tag: int) -> str | None:
        """Return the string that the entry with *tag* names, ``None`` if it is not there."""
        value = self.value(tag)
        return None if value is None else self.text_at(value)

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Return the names of the libraries it needs, in order."""
        found = [self.text_at(value) for value in self.values(elf.DT_NEEDED)[:_MAX_NEEDED]]
        return tuple(name for name in found if name)

    def text_at(self, offset: int) -> str | None:
        """Return the string at *offset* of the string table, ``None`` if it is not there."""
        try:
            return self.strings.string(offset).decode("utf-8", "replace")
        except (FormatError, MemoryReadError):
            return None

    # -- symbols ---------------------------------------------------------------------------

    @cached_property
    def symbols(self) -> SymbolTable | None:
        """Return the dynamic symbols with their versions, ``None`` where there are none.

        :raises FormatError: entries of an impossible size.
        :raises MemoryReadError: neither their number nor they themselves are there.
        """
        image = self._image
        start = self.rva(elf.DT_SYMTAB)
        if start is None:
            return None
        size = 24 if image.header.is_64 else 16
        count = self._count(start, size)
        return SymbolTable(
            image.data_at(start, count * size),
            self.strings,
            is_64=image.header.is_64,
            entry_size=self.value(elf.DT_SYMENT) or 0,
            versions=self._versions(count),
        )

    def _count(self, start: int, size: int) -> int:
        """Return how many symbols there are: the table does not say, several others do."""
        image, mark = self._image, self._image.header.mark
        for section in image.section_headers:
            is_this = section.type == elf.SHT_DYNSYM and section.address - image.image_base == start
            if is_this:
                return section.size // size
        mips = self.value(_DT_MIPS_SYMTABNO)
        if mips is not None and image.header.machine == elf.EM_MIPS:
            return mips
        if (rva := self.rva(elf.DT_HASH)) is not None:
            return dynamic.count_by_hash(image.space, rva, mark, self._hash_entry)
        if (rva := self.rva(elf.DT_GNU_HASH)) is not None:
            return dynamic.count_by_gnu_hash(image.space, rva, mark, image.header.word)
        strings = self.rva(elf.DT_STRTAB)
        # A guess that holds for every common linker: the strings follow the symbols.
        return max((strings or 0) - start, 0) // size

    @property
    def _hash_entry(self) -> int:
        header = self._image.header
        wide = ("alpha", "s390x")
        return 8 if header.is_64 and header.machine_name in wide else 4

    def _versions(self, count: int) -> versions.SymbolVersions | None:
        image = self._image
        indexes = self.rva(elf.DT_VERSYM)
        if indexes is None:
            return None
        defined, needed = (
            self._records(versions.defined_versions, elf.DT_VERDEF, elf.DT_VERDEFNUM),
            self._records(versions.needed_versions, elf.DT_VERNEED, elf.DT_VERNEEDNUM),
        )
        return versions.SymbolVersions(image.data_at(indexes, 2 * count), defined, needed)

    def _records(
        self, read: Callable[[Section, Section, int], dict[int, str]], place: int, count: int
    ) -> dict[int, str]:
        rva, records = self.rva(place), self.value(count)
        if rva is None or not records:
            return {}
        return read(self._image.data_at(rva, _MAX_VERSIONS), self.strings, records)
