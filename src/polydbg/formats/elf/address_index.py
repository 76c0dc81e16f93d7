"""Symbols by address: sorted columns over one symbol table, 12 bytes for each that counts.

Made when the first question by address comes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import compress
from operator import and_

from polydbg.formats.address_runs import AddressRuns
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.symbol_table import Columns, SymbolTable

#: Local and global names of code and data; not sections, files, and offsets of thread-local data.
_NAMING_TYPES = (elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_COMMON, elf.STT_GNU_IFUNC)
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
