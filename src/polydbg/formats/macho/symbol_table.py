"""A Mach-O symbol table, read in place, and the list of where functions begin.

Facts: Apple's ``<mach-o/nlist.h>`` and ``<mach-o/stab.h>``; ``LC_FUNCTION_STARTS`` is a list of
ULEB128 distances, the first from the start of ``__TEXT``, that ends with a zero.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from itertools import compress

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.section import Section

N_STAB, N_PEXT, N_TYPE, N_EXT = 0xE0, 0x10, 0x0E, 0x01
N_SECT = 0x0E
N_OSO = 0x66
N_ARM_THUMB_DEF, N_ALT_ENTRY = 0x08, 0x200
CHUNK = 1 << 18
"""Entries that a search holds in memory at a time."""
_MAX_NAME = 1 << 16
_MAX_STARTS = 1 << 23
_MAX_SHIFT = 63
_DEFINED = bytes(not kind & N_STAB and kind & N_TYPE == N_SECT for kind in range(256))
_LAYOUTS = {True: struct.Struct("<IBBHQ"), False: struct.Struct("<IBBHI")}


class MachSymbol(msgspec.Struct, frozen=True):
    """An entry: *value* is an address as linked, *section* counts from 1 over all segments, *kind*
    is ``n_type`` and *description* ``n_desc``."""

    index: int
    name: str
    kind: int
    section: int
    description: int
    value: int

    @property
    def is_external(self) -> bool:
        """Tell whether other images see it: private externs they do not."""
        return bool(self.kind & N_EXT) and not self.kind & N_PEXT


class MachSymbolTable:
    """The table of ``LC_SYMTAB`` with its strings.

    Entries that the file does not have raise :class:`FormatError`; names that do not end are cut.
    """

    def __init__(self, symbols: Section, strings: Section, *, is_64: bool) -> None:
        self._symbols = symbols
        self.strings = strings
        self._layout = _LAYOUTS[is_64]
        self._is_64 = is_64
        self._count = symbols.size // self._layout.size

    def __len__(self) -> int:
        return self._count

    def symbol(self, index: int) -> MachSymbol:
        """Return entry *index*."""
        size = self._layout.size
        name, kind, section, description, value = self._layout.unpack(
            self._symbols.take(index * size, size)
        )
        return MachSymbol(index, self.name_at(name), kind, section, description, value)

    def name_at(self, offset: int) -> str:
        """Return the string at *offset* of the string table, ``""`` if there is none."""
        return self.strings.name(offset, _MAX_NAME).decode("utf-8", "replace")

    def object_files(self, most: int) -> list[str]:
        """Return the names of at most *most* object files in which debug information was left
        (``N_OSO``)."""
        found: list[str] = []
        for first, raw in self._chunks():
            for place in range(len(raw) // self._layout.size):
                if raw[place * self._layout.size + 4] == N_OSO:
                    found.append(self.symbol(first + place).name)
                    if len(found) == most:
                        return found
        return found

    def defined(
        self, is_wanted: Callable[[int], bool], offsets: set[int] | None = None
    ) -> Iterator[tuple[list[int], list[int]]]:
        """Yield, chunk by chunk, values and indexes of the entries that name a place in the
        sections that *is_wanted* tells by number, and whose names begin at *offsets* (``None``:
        any). Entries for debuggers (``N_STAB``), undefined and absolute ones do not count."""
        size = self._layout.size
        for first, raw in self._chunks():
            kinds, sections = raw[4::size], raw[5::size]
            known = bytes(is_wanted(number) for number in range(256))
            chosen = map(int.__and__, kinds.translate(_DEFINED), sections.translate(known))
            places = list(compress(range(len(kinds)), chosen))
            if offsets is not None:
                names = self._column("I", raw, 0, size // 4)
                places = [place for place in places if names[place] in offsets]
            if places:
                code, skip = ("Q", 1) if self._is_64 else ("I", 2)
                values = self._column(code, raw, skip, size // array(code).itemsize)
                yield [values[place] for place in places], [first + place for place in places]

    def _chunks(self) -> Iterator[tuple[int, bytes]]:
        size = self._layout.size
        for first in range(0, self._count, CHUNK):
            count = min(CHUNK, self._count - first)
            yield first, self._symbols.take(first * size, count * size)

    @staticmethod
    def _column(code: str, raw: bytes, first: int, step: int) -> array[int]:
        numbers = array(code)
        numbers.frombytes(raw)
        found = numbers[first::step]
        if _IS_BIG:
            found.byteswap()
        return found


_IS_BIG = struct.pack("=H", 1) == b"\0\1"


def parse_function_starts(data: Section, size: int) -> array[int]:
    """Return where functions begin, counted from the start of ``__TEXT``, in order; what does not
    lie below *size* is not taken. Bit 0, which says Thumb on ARM, stays.

    :raises FormatError: a number does not end.
    """
    found = array("Q")
    place = distance = shift = 0
    # Decoded in place: a large program has a million of them.
    for byte in data.rest(0, 4 * _MAX_STARTS):
        if byte & 0x80:
            distance |= (byte & 0x7F) << shift
            shift += 7
            if shift > _MAX_SHIFT:
                raise FormatError("a distance between functions does not end")
            continue
        place += distance | byte << shift
        if (not byte and not distance) or place >= size or len(found) == _MAX_STARTS:
            break
        found.append(place)
        distance = shift = 0
    return found


def indirect_symbols(data: Section, first: int, count: int) -> tuple[int, ...]:
    """Return *count* entries, from *first* on, of the table of indirect symbols: indexes in the
    symbol table.

    :raises FormatError: the table does not reach that far.
    """
    if first + count > data.size // 4:
        raise FormatError("the table of indirect symbols is cut short", offset=4 * first)
    return data.numbers(4 * first, count, 4)
