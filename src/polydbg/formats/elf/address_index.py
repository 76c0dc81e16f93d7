"""Symbols by address: sorted columns over one symbol table, 12 bytes for each that counts.

Sorting a long table takes seconds, so the first questions are answered by the entries near the
address alone, found by the high bytes that their values share.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property
from itertools import compress
from operator import and_

from polydbg.formats.address_runs import AddressRuns
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.symbol_table import Columns, SymbolTable

#: Local and global names of code and data; not sections, files, and offsets of thread-local data.
_NAMING_TYPES = (elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_COMMON, elf.STT_GNU_IFUNC)
#: What the low bytes of addresses tell apart.
_PAGE = 1 << 16
_LAST_PAGE = (1 << 48) - 1
_REACH = 4 * _PAGE
_MAX_PAGES = 12
_SHORT_TABLE = 1 << 14
_IS_NAMING = bytes((info & 15) in _NAMING_TYPES for info in range(256))


class AddressIndex(AddressRuns):
    """The symbols of a table that name an address, by address.

    *is_section* tells by number which sections count: those that are loaded. *thumb* is set for
    ARM, where bit 0 of a function's value says Thumb and is not part of the address.
    """

    def __init__(
        self, table: SymbolTable, is_section: Callable[[int], bool], *, thumb: bool = False
    ) -> None:
        super().__init__(_sorted_run(columns, is_section, thumb) for columns in table.chunks())


class SymbolsByAddress:
    """What :class:`AddressIndex` answers, which is made when it is worth it: for short tables at
    once, for long ones after :data:`_MAX_PAGES` questions about different places."""

    def __init__(
        self, table: SymbolTable, is_section: Callable[[int], bool], *, thumb: bool = False
    ) -> None:
        self._table = table
        self._is_section = is_section
        self._thumb = thumb
        self._pages: dict[int, dict[int, list[int]]] = {}
        self._is_long = len(table) > _SHORT_TABLE

    @cached_property
    def _whole(self) -> AddressIndex:
        return AddressIndex(self._table, self._is_section, thumb=self._thumb)

    def at(self, address: int) -> list[int]:
        """Return the indexes of the symbols exactly at *address*, in the order of the table."""
        page = self._page(address)
        return self._whole.at(address) if page is None else page.get(address, [])

    def at_or_below(self, address: int) -> int | None:
        """Return the highest address of a symbol that is not above *address*."""
        for near in range(address, max(address - _REACH, 0), -_PAGE):
            page = self._page(near)
            if page is None:
                break
            values = sorted(page)
            rank = bisect_right(values, address)
            if rank:
                return values[rank - 1]
        return self._whole.at_or_below(address)

    def above(self, address: int) -> int | None:
        """Return the lowest address of a symbol above *address*."""
        for near in range(address, address + _REACH, _PAGE):
            page = self._page(near)
            if page is None:
                break
            values = sorted(page)
            rank = bisect_right(values, address)
            if rank < len(values):
                return values[rank]
        return self._whole.above(address)

    def _page(self, address: int) -> dict[int, list[int]] | None:
        """Return the symbols around *address* by their own, ``None`` where the whole index is to
        answer."""
        number = address // _PAGE
        if not self._is_long or "_whole" in self.__dict__ or not 0 <= number <= _LAST_PAGE:
            return None
        if number not in self._pages:
            near = self._table.indexes_near(address) if len(self._pages) < _MAX_PAGES else None
            if near is None:
                self._is_long = False
                self._pages.clear()
                return None
            self._pages[number] = self._by_address(near)
        return self._pages[number]

    def _by_address(self, indexes: list[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index in indexes:
            value, info, section = self._table.place_of(index)
            if not _IS_NAMING[info] or not self._is_section(section):
                continue
            if self._thumb and info & 15 in (elf.STT_FUNC, elf.STT_GNU_IFUNC):
                value &= ~1
            found.setdefault(value, []).append(index)
        return found


def naming_places(columns: Columns, is_section: Callable[[int], bool]) -> list[int]:
    """Return the places in *columns* of symbols that name an address in the sections that count."""
    known = {number: is_section(number) for number in set(columns.sections)}
    wanted = map(
        and_, columns.infos.translate(_IS_NAMING), map(known.__getitem__, columns.sections)
    )
    return list(compress(range(len(columns)), wanted))


def is_naming(columns: Columns, place: int, is_section: Callable[[int], bool]) -> bool:
    """Tell whether the symbol at *place* is one of :func:`naming_places`."""
    return bool(_IS_NAMING[columns.infos[place]]) and is_section(columns.sections[place])


def _sorted_run(
    columns: Columns, is_section: Callable[[int], bool], thumb: bool
) -> tuple[array[int], array[int]]:
    """Return addresses and symbol indexes of one chunk, by address and then by index."""
    places = naming_places(columns, is_section)
    # A list hands out its numbers faster than an array makes them.
    values = columns.values.tolist()
    if thumb:
        for place in places:
            if columns.infos[place] & 15 in (elf.STT_FUNC, elf.STT_GNU_IFUNC):
                values[place] &= ~1
    places.sort(key=values.__getitem__)
    code = "I" if columns.first + len(columns) <= 0xFFFFFFFF else "Q"
    return (
        array("Q", map(values.__getitem__, places)),
        array(code, [columns.first + place for place in places]),
    )
