"""An ELF symbol table, read in place: one entry when it is asked for, columns for searches.

Sources: gABI chapter 4 ("Symbol Table", "String Table"). A table of four million entries is normal;
nothing here makes an object of each.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from functools import cached_property

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.versions import SymbolVersions
from polydbg.formats.section import Section

CHUNK = 1 << 18
"""Entries in one chunk of columns: what a search holds in memory at a time."""
_MAX_NAME = 1 << 16
_MAX_HITS = 1 << 15


class ElfSymbol(msgspec.Struct, frozen=True):
    """An entry of a symbol table.

    *value* is a virtual address as linked (of Thumb code with bit 0 set; an offset in the thread's
    block for ``STT_TLS``), *section* the number of its section with ``SHN_XINDEX`` resolved.
    *version* is what the table of versions says, ``""`` where there is none.
    """

    index: int
    name: str
    value: int
    size: int
    type: int
    binding: int
    visibility: int
    section: int
    version: str = ""
    is_default_version: bool = True

    @property
    def versioned_name(self) -> str:
        """Return ``name@@VERSION``, ``name@VERSION`` where that is not the default one, or the
        plain name."""
        if not self.version:
            return self.name
        return f"{self.name}{'@@' if self.is_default_version else '@'}{self.version}"


class Columns:
    """Entries *first* to *first* + len - 1 of a table as arrays, in the machine's own order; each
    is made when it is asked for."""

    def __init__(self, first: int, raw: bytes, is_64: bool, is_big: bool) -> None:
        self.first = first
        self._raw = raw
        self._is_64 = is_64
        self._swap = is_big != (sys.byteorder == "big")
        self._stride = 24 if is_64 else 16

    def __len__(self) -> int:
        return len(self._raw) // self._stride

    @cached_property
    def names(self) -> array[int]:
        """Return offsets in the string table."""
        return self._column("I", 0)

    @cached_property
    def values(self) -> array[int]:
        return self._column("Q", 8) if self._is_64 else self._column("I", 4)

    @cached_property
    def sections(self) -> array[int]:
        """Return section numbers as they stand, without ``SHT_SYMTAB_SHNDX``."""
        return self._column("H", 6 if self._is_64 else 14)

    @cached_property
    def infos(self) -> bytes:
        """Return type (low half) and binding (high half) of each."""
        return self._raw[4 if self._is_64 else 12 :: self._stride]

    def _column(self, code: str, offset: int) -> array[int]:
        numbers = array(code)
        numbers.frombytes(self._raw)
        size = numbers.itemsize
        found = numbers[offset // size :: self._stride // size]
        if self._swap:
            found.byteswap()
        return found


class SymbolTable:
    """One table with its strings: ``.symtab`` or ``.dynsym``. Indexes count from 0, the null entry.

    Entries that the file does not have raise :class:`FormatError`; names that do not end are cut.
    """

    def __init__(
        self,
        symbols: Section,
        strings: Section,
        *,
        is_64: bool,
        entry_size: int = 0,
        versions: SymbolVersions | None = None,
        section_indexes: Section | None = None,
    ) -> None:
        """See *symbols*. *section_indexes* is what ``SHT_SYMTAB_SHNDX`` holds.

        :raises FormatError: entries of a size that the class does not have.
        """
        self.is_64 = is_64
        self.is_big = symbols.order == "big"
        self._stride = 24 if is_64 else 16
        if entry_size not in (0, self._stride):
            raise FormatError(f"an ELF symbol table with entries of {entry_size} bytes")
        mark = ">" if self.is_big else "<"
        self._layout = struct.Struct(mark + ("IBBHQQ" if is_64 else "IIIBBH"))
        self._symbols = symbols
        self.strings = strings
        self._versions = versions
        self._section_indexes = section_indexes
        self._count = symbols.size // self._stride

    def __len__(self) -> int:
        return self._count

    def symbol(self, index: int) -> ElfSymbol:
        """Return entry *index*."""
        raw = self._symbols.take(index * self._stride, self._stride)
        if self.is_64:
            name, info, other, section, value, size = self._layout.unpack(raw)
        else:
            name, value, size, info, other, section = self._layout.unpack(raw)
        if section == elf.SHN_XINDEX and self._section_indexes is not None:
            section = self._section_indexes.number(4 * index, 4)
        version, is_default = "", True
        if self._versions is not None:
            version, is_default = self._versions.of(index)
        return ElfSymbol(
            index, self.name_at(name), value, size, info & 15, info >> 4, other & 3, section,
            version, is_default,
        )  # fmt: skip

    def place_of(self, index: int) -> tuple[int, int, int]:
        """Return value, type with binding, and section number of entry *index*, as they stand."""
        raw = self._symbols.take(index * self._stride, self._stride)
        if self.is_64:
            _, info, _, section, value, _ = self._layout.unpack(raw)
        else:
            _, value, _, info, _, section = self._layout.unpack(raw)
        return value, info, section

    def symbols(self) -> Iterator[ElfSymbol]:
        """Yield every entry but the null one."""
        return map(self.symbol, range(1, self._count))

    def indexes_near(self, value: int) -> list[int] | None:
        """Return the indexes of the entries whose values differ from *value* in the low 16 bits at
        most; ``None`` where only a look at each entry tells."""
        if not self.is_64:
            return None
        raw = value.to_bytes(8, self._symbols.order)
        high, at = (raw[:6], 8) if self.is_big else (raw[2:], 10)
        found: list[int] = []
        hits = 0
        for first in range(0, self._count, CHUNK):
            count = min(CHUNK, self._count - first)
            chunk = self._symbols.take(first * self._stride, count * self._stride)
            place = chunk.find(high)
            while place >= 0:
                index, beside = divmod(place - at, self._stride)
                if not beside and index >= 0:
                    found.append(first + index)
                hits += 1
                if hits > _MAX_HITS:
                    return None
                place = chunk.find(high, place + 1)
        return found

    def name_at(self, offset: int) -> str:
        """Return the string at *offset* of the string table, ``""`` if there is none."""
        return self.raw_name_at(offset).decode("utf-8", "replace")

    def raw_name_at(self, offset: int) -> bytes:
        """Return the bytes of the string at *offset* of the string table."""
        return self.strings.name(offset, _MAX_NAME)

    def chunks(self) -> Iterator[Columns]:
        """Yield the table in chunks of :data:`CHUNK` entries."""
        for first in range(0, self._count, CHUNK):
            count = min(CHUNK, self._count - first)
            raw = self._symbols.take(first * self._stride, count * self._stride)
            yield Columns(first, raw, self.is_64, self.is_big)
