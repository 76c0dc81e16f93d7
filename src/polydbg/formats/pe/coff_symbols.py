"""The COFF symbol table and string table of a PE file, read in place.

GNU and LLVM linkers for MinGW leave one in images; Microsoft's have not for decades. Entries take
18 bytes and some are followed by auxiliary records of the same size, which are passed over: what
they tell (sizes of sections, names of files) no linker keeps true, but that a static symbol has
one marks it as a section's own.

Sources: Microsoft, "PE Format" ("COFF Symbol Table", "COFF String Table"); storage classes of GNU:
binutils' manual of ``.scl`` and what its tools print.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from polydbg.formats.section import Section
from polydbg.memory.space import Buffer

ENTRY_SIZE: Final = 18
INLINE_NAME: Final = 8
"""Bytes of the longest name that stands in its entry; longer ones are in the string table."""

CLASS_EXTERNAL: Final = 2
CLASS_STATIC: Final = 3
CLASS_LABEL: Final = 6
CLASS_FILE: Final = 103
CLASS_WEAK_EXTERNAL: Final = 105
CLASS_GNU_WEAK: Final = 127
WEAK_CLASSES: Final = (CLASS_WEAK_EXTERNAL, CLASS_GNU_WEAK)
_NAMING_CLASSES: Final = (CLASS_EXTERNAL, CLASS_STATIC, CLASS_LABEL, *WEAK_CLASSES)

_ENTRY = struct.Struct("<IIIhHBB")
_INLINE = struct.Struct("<II")
_LENGTH = 4  # the string table begins with its own size
_MAX_NAME = 1 << 16
_CHUNK = 1 << 14
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class CoffSymbol(msgspec.Struct, frozen=True):
    """An entry of the table, its auxiliary records not counted.

    *section* is the number of its section from 1, 0 undefined, -1 an absolute *value*, -2 none; in
    images *value* counts from the section's start. *type* is 0x20 for functions, else 0.
    """

    index: int
    name: str
    value: int
    section: int
    type: int
    storage_class: int
    auxiliaries: int

    @property
    def is_function(self) -> bool:
        """Return whether it says that it is a function; labels of assemblers often do not."""
        return self.type >> 4 & 3 == 2


class CoffEntry(msgspec.Struct, frozen=True):
    """The numbers of an entry; *name* is the name itself in the entry, or where it lies."""

    index: int
    name: bytes | int
    value: int
    section: int
    type: int
    storage_class: int
    auxiliaries: int


class CoffSymbolTable:
    """One table with its strings. Indexes count auxiliary records too, as the file does.

    Entries behind the end of the file do not exist; names that do not end are cut.
    """

    def __init__(self, buffer: Buffer, offset: int, count: int) -> None:
        """Read the table of *count* entries at *offset* of a file."""
        size = count * ENTRY_SIZE
        self._entries = Section(buffer, min(offset, len(buffer)), size)
        self._count = self._entries.size // ENTRY_SIZE
        self.strings = strings_behind(buffer, offset, count)

    def __len__(self) -> int:
        return self._count

    def symbol(self, index: int) -> CoffSymbol:
        """Return entry *index*, which has to be no auxiliary record.

        :raises FormatError: there is no such entry.
        """
        raw = self._entries.take(index * ENTRY_SIZE, ENTRY_SIZE)
        return self._symbol(_entry(index, _ENTRY.unpack(raw)))

    def symbols(self) -> Iterator[CoffSymbol]:
        """Yield every symbol."""
        return map(self._symbol, self.entries())

    def entries(self, poll: Callable[[], None] = lambda: None) -> Iterator[CoffEntry]:
        """Yield the numbers of every symbol; *poll* is called now and then."""
        following = 0
        for first in range(0, self._count, _CHUNK):
            poll()
            count = min(_CHUNK, self._count - first)
            raw = self._entries.take(first * ENTRY_SIZE, count * ENTRY_SIZE)
            for place, fields in enumerate(_ENTRY.iter_unpack(raw)):
                if following:
                    following -= 1
                    continue
                following = fields[6]
                yield _entry(first + place, fields)

    def naming(self, poll: Callable[[], None] = lambda: None) -> Iterator[CoffEntry]:
        """Yield the numbers of the symbols that name something in a section: functions, data and
        labels, not sections themselves, files, or what is absolute or undefined."""
        for entry in self.entries(poll):
            if entry.section <= 0 or entry.storage_class not in _NAMING_CLASSES:
                continue
            if entry.storage_class == CLASS_STATIC and not entry.type and self._is_part(entry):
                continue
            yield entry

    def _is_part(self, entry: CoffEntry) -> bool:
        """Tell whether a static symbol without a type stands for a section or a part of one:
        compilers give it an auxiliary record, linkers may drop that."""
        return entry.auxiliaries > 0 or self.name_of(entry).startswith(b".")

    def _symbol(self, entry: CoffEntry) -> CoffSymbol:
        name = self.name_of(entry)
        return CoffSymbol(
            entry.index,
            name.decode("utf-8", "replace"),
            entry.value,
            entry.section,
            entry.type,
            entry.storage_class,
            entry.auxiliaries,
        )

    def name_of(self, entry: CoffEntry) -> bytes:
        """Return the whole name, as it stands in the file."""
        return entry.name if isinstance(entry.name, bytes) else string_at(self.strings, entry.name)


def _entry(index: int, fields: tuple[int, ...]) -> CoffEntry:
    zeros, offset, value, section, kind, storage_class, auxiliaries = fields
    name: bytes | int = offset
    if zeros:
        name = _INLINE.pack(zeros, offset).partition(b"\0")[0]
    return CoffEntry(index, name, value, section, kind, storage_class, auxiliaries)


def strings_behind(buffer: Buffer, offset: int, count: int) -> Section:
    """Return the string table behind *count* symbols at *offset* of a file, the four bytes of its
    size included, since offsets count from there; empty where the file ends before it."""
    start = offset + count * ENTRY_SIZE
    if not offset or start + _LENGTH > len(buffer):
        return Section(buffer, 0, 0)
    size = int.from_bytes(buffer[start : start + _LENGTH], "little")
    return Section(buffer, start, max(size, _LENGTH))


def string_at(strings: Section, offset: int) -> bytes:
    """Return the string at *offset* of a string table, ``b""`` if there is none."""
    return b"" if offset < _LENGTH else strings.name(offset, _MAX_NAME)


def long_section_name(name: str, strings: Section) -> str:
    """Return the name that a section header's ``/123`` (decimal) or ``//AAAAe`` (base 64, for
    string tables of more than 10 million bytes) stands for; other names as they are."""
    digits = name[1:]
    if name.startswith("//"):
        offset = 0
        for letter in name[2:]:
            place = _BASE64.find(letter)
            if place < 0:
                return name
            offset = offset << 6 | place
    elif name.startswith("/") and digits.isascii() and digits.isdecimal():
        offset = int(digits)
    else:
        return name
    return string_at(strings, offset).decode("utf-8", "replace") or name
