"""Symbols of a Mach-O image from its symbol table: names of code and data, no lines.

The table says where things begin, not where they end. The list of function starts
(``LC_FUNCTION_STARTS``) says where the next function does, named or not: that is how far a function
reaches, and code of a function that is not in the table has no name.

Names lose the underscore that C's names have in front; C++ and Rust names are undecorated, those of
Swift and Objective-C stay as they are. Stubs of imported functions have the name that Apple's tools
give them, ``DYLD-STUB$$puts``. Of several names for one address the one that stands for it is one
that other images see, then a function's entry before an alternative one, then the one with the
fewest leading underscores.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.formats.address_runs import AddressRuns
from polydbg.formats.macho.symbol_table import N_ALT_ENTRY, MachSymbol, MachSymbolTable
from polydbg.images.macho import MachoImage
from polydbg.symbols.demangle import undecorate_elf
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.symbols.table_names import offsets_of, offsets_with
from polydbg.symbols.table_source import MAX_ALIASES, SymbolNames, TableSource

_POLL_EVERY = 1024
_STUB = "DYLD-STUB$$"


class MachoSource(TableSource[MachSymbol]):
    """The symbol table of one image as a :class:`~polydbg.symbols.source.SymbolSource`.

    Methods raise :class:`~polydbg.base.errors.FormatError` where a table is damaged.
    """

    kind = "macho"

    def __init__(self, image: MachoImage, debug: MachoImage | None = None) -> None:
        """Take the table of *debug*, the image's dSYM, else the one of *image*. Neither is closed.

        What lies outside ``__TEXT`` of a library that may be in a shared cache is not where its
        file says: such names are left out.
        """
        self._file = image
        tables: list[SymbolNames[MachSymbol]] = []
        for file in (debug, image):
            table = file.symbols if file is not None else None
            if file is not None and table is not None and len(table):
                self._file = file
                tables.append(_Table(image, file, table))
                break
        super().__init__([*tables, _Stubs(image)] if tables else ())

    @property
    def status(self) -> str:
        """Return ``macho symbols`` or ``no symbols``."""
        return "macho symbols" if self._tables else "no symbols"

    @property
    def path(self) -> str:
        return self._file.path or self._file.name


class _Table:
    """The symbol table with what the files say of sections and functions. Addresses are RVAs."""

    def __init__(self, image: MachoImage, file: MachoImage, table: MachSymbolTable) -> None:
        """*table* is one of *file*, which is *image* or its dSYM."""
        self._image = image
        self._file = file
        self._table = table
        self._base = file.image_base
        self._sections = file.section_headers
        self._text_only = image.may_be_rearranged or file.may_be_rearranged

    def _is_wanted(self, number: int) -> bool:
        """Tell whether symbols of section *number* have a place in memory."""
        if not 1 <= number <= len(self._sections):
            return False
        section = self._sections[number - 1]
        if self._text_only and section.segment != "__TEXT":
            return False
        return self._file.is_loaded(section)

    @cached_property
    def _index(self) -> AddressRuns:
        return AddressRuns(self._runs())

    def _runs(self) -> Iterator[tuple[array[int], array[int]]]:
        for values, indexes in self._table.defined(self._is_wanted):
            order = sorted(range(len(values)), key=values.__getitem__)
            yield (
                array("Q", map(values.__getitem__, order)),
                array("I", map(indexes.__getitem__, order)),
            )

    @cached_property
    def _starts(self) -> array[int]:
        """The RVAs where functions begin; not every debug file has a copy of the list."""
        for file in (self._image, self._file):
            try:
                found = file.function_starts
            except DebuggerError:
                continue  # damaged, or not in memory
            if found:
                return found
        return array("Q")

    def at(self, rva: int) -> list[MachSymbol]:
        if rva + self._base < 0:
            return []
        found = map(self._table.symbol, self._index.at(rva + self._base)[:MAX_ALIASES])
        return sorted((each for each in found if each.name), key=_preference)

    def at_or_below(self, rva: int) -> int | None:
        found = self._index.at_or_below(rva + self._base) if rva + self._base >= 0 else None
        return None if found is None else found - self._base

    def above(self, rva: int) -> int | None:
        found = self._index.above(max(rva + self._base, -1))
        return None if found is None else found - self._base

    def _is_code(self, entry: MachSymbol) -> bool:
        section = self._sections[entry.section - 1]
        return section.is_code and section.address <= entry.value < section.end

    def size(self, entry: MachSymbol) -> int:
        """Return how far the function that begins at *entry* reaches: to where the next one begins,
        or its section ends; 0 if nothing says that a function begins there."""
        starts, rva = self._starts, entry.value - self._base
        index = bisect_right(starts, rva)
        if not index or starts[index - 1] != rva or not self._is_code(entry):
            return 0
        end = self._sections[entry.section - 1].end - self._base
        return min(starts[index], end) - rva if index < len(starts) else end - rva

    def reaches(self, entry: MachSymbol, rva: int) -> bool:
        place = entry.value - self._base
        if place == rva:
            return True
        section = self._sections[entry.section - 1]
        # What names the header lies in no section, whatever number it bears.
        for address in (entry.value, rva + self._base):
            if not section.address <= address < section.end:
                return False
        starts = self._starts if section.is_code else ()
        index = bisect_right(starts, rva)
        return not index or starts[index - 1] <= place

    def is_one_section(self, first: int, second: int) -> bool:
        return self._file.section_at(first) is self._file.section_at(second)

    def symbol(self, entry: MachSymbol) -> Symbol:
        is_code = self._is_code(entry)
        return Symbol(
            name=shown_name(entry.name),
            rva=entry.value - self._base,
            size=self.size(entry),
            kind=SymbolKind.FUNCTION if is_code else SymbolKind.DATA,
            is_code=is_code,
            is_global=entry.is_external,
        )

    def candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[MachSymbol]:
        strings = self._table.strings
        return self._named(None if word is None else offsets_with(strings, word, cancel), cancel)

    def exact(self, name: str, cancel: CancelToken) -> MachSymbol | None:
        """Return the best symbol called *name* by the linker, with C's underscore or without."""
        offsets: set[int] = set()
        for spelling in (f"_{name}", name):
            offsets |= offsets_of(self._table.strings, spelling.encode("utf-8", "surrogateescape"))
        found = self._named(offsets, cancel) if offsets else ()
        exact = (each for each in found if name in (plain_name(each.name), each.name))
        return min(exact, key=_preference, default=None)

    def _named(self, offsets: set[int] | None, cancel: CancelToken) -> Iterator[MachSymbol]:
        """Yield the symbols whose names begin at *offsets* of the strings, ``None`` for all."""
        for _, indexes in self._table.defined(self._is_wanted, offsets):
            for count, index in enumerate(indexes):
                if count % _POLL_EVERY == 0:
                    cancel.check()
                symbol = self._table.symbol(index)
                if symbol.name:
                    yield symbol


class _Stubs:
    """The stubs of an image as symbols; their values are RVAs."""

    def __init__(self, image: MachoImage) -> None:
        self._image = image

    @cached_property
    def _symbols(self) -> list[MachSymbol]:
        try:
            stubs = self._image.stubs
        except DebuggerError:
            return []  # damaged, or not in memory
        return [MachSymbol(-1, each.name, 0, 0, 0, each.rva) for each in stubs if each.name]

    @cached_property
    def _starts(self) -> list[int]:
        return [each.value for each in self._symbols]

    def at(self, rva: int) -> list[MachSymbol]:
        return self._symbols[bisect_left(self._starts, rva) : bisect_right(self._starts, rva)]

    def at_or_below(self, rva: int) -> int | None:
        index = bisect_right(self._starts, rva)
        return self._starts[index - 1] if index else None

    def above(self, rva: int) -> int | None:
        index = bisect_right(self._starts, rva)
        return self._starts[index] if index < len(self._starts) else None

    def size(self, entry: MachSymbol) -> int:
        stubs = self._image.stubs
        return stubs[bisect_left(stubs, entry.value, key=lambda stub: stub.rva)].size

    def reaches(self, entry: MachSymbol, rva: int) -> bool:
        return 0 <= rva - entry.value < self.size(entry)

    def is_one_section(self, first: int, second: int) -> bool:
        return self._image.section_at(first) is self._image.section_at(second)

    def symbol(self, entry: MachSymbol) -> Symbol:
        name = _STUB + shown_name(entry.name)
        return Symbol(name, entry.value, self.size(entry), SymbolKind.THUNK, True)

    def candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[MachSymbol]:
        return iter(self._symbols)

    def exact(self, name: str, cancel: CancelToken) -> MachSymbol | None:
        return None


def plain_name(name: str) -> str:
    """Return the linker's *name* without the underscore that C puts in front."""
    return name.removeprefix("_")


def shown_name(name: str) -> str:
    """Return the name as commands show it."""
    plain = plain_name(name)
    # The point in a method of Objective-C is the writer's own.
    return plain if plain.startswith(("-[", "+[", "$s", "$S")) else undecorate_elf(plain)


def _preference(symbol: MachSymbol) -> tuple[bool, bool, int, int]:
    """Return the key by which the best of several names for one address sorts first."""
    name = symbol.name
    return (
        not symbol.is_external,
        bool(symbol.description & N_ALT_ENTRY),
        len(name) - len(name.lstrip("_")),
        symbol.index,
    )
