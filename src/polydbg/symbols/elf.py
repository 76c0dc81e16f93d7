"""Symbols of an image from its ELF symbol tables: names and sizes of code and data, no lines.

``.symtab`` of the image or of its separate debug file says most; without one there are the dynamic
symbols and what ``.gnu_debugdata`` holds. Beside them stand the entries of the PLT
(``puts@plt``). Names that share an address are all given; the one that stands for it is a sized
function or object before a bare label, global before weak before local, then the one with the
fewest leading underscores, as lldb and gdb choose. Parts that the compiler split off a function
(``foo.cold``) bear its name and begin where they begin. Thread-local symbols have no address in
the image and answer nothing here.

An address behind the end of a sized symbol, and before the next one, has no name: whatever is
there, the table says that it is not that function. Function descriptors of 64-bit big-endian
PowerPC are data that name the function, as in the table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import compress

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import MemoryReadError
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.address_index import SymbolsByAddress, is_naming, naming_places
from polydbg.formats.elf.symbol_table import ElfSymbol, SymbolTable
from polydbg.images.elf import ElfImage, PltName, is_plt
from polydbg.symbols.demangle import undecorate_elf, without_clone_suffix
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.symbols.table_names import offsets_of, offsets_with
from polydbg.symbols.table_source import MAX_ALIASES, TableSource

_POLL_EVERY = 1024
_RANKS = {elf.STB_GLOBAL: 0, elf.STB_GNU_UNIQUE: 0, elf.STB_WEAK: 1}
_KINDS = {
    elf.STT_FUNC: SymbolKind.FUNCTION,
    elf.STT_GNU_IFUNC: SymbolKind.FUNCTION,
    elf.STT_OBJECT: SymbolKind.DATA,
    elf.STT_COMMON: SymbolKind.DATA,
}


class _Table:
    """One symbol table with what its file says of sections. Addresses are RVAs."""

    def __init__(self, file: ElfImage, table: SymbolTable, image: ElfImage) -> None:
        """*table* is one of *file*, which is *image* or holds its debug information."""
        self._file = file
        self._image = image
        self._sections = file.section_headers
        self._base = file.image_base
        self._thumb = file.header.machine == elf.EM_ARM
        self._has_marks = file.machine.startswith(("arm", "riscv"))
        self.table = table

    @cached_property
    def index(self) -> SymbolsByAddress:
        return SymbolsByAddress(self.table, self.is_section, thumb=self._thumb)

    def is_section(self, number: int) -> bool:
        """Tell whether symbols of section *number* have a place in memory."""
        if self._sections and number < elf.SHN_LORESERVE:
            return number < len(self._sections) and self._sections[number].is_loaded
        if number == elf.SHN_XINDEX:
            return len(self._sections) > elf.SHN_LORESERVE
        return 0 < number < elf.SHN_LORESERVE

    def entry(self, index: int) -> ElfSymbol | None:
        """Return the symbol, ``None`` for marks that name nothing: where ARM and RISC-V code
        changes to data, labels that assemblers make."""
        found = self.table.symbol(index)
        if not found.name:
            return None
        if found.type == elf.STT_NOTYPE and found.binding == elf.STB_LOCAL:
            is_mark = self._has_marks and found.name[0] == "$"
            if is_mark or found.name.startswith((".L", ".annobin", "L0\1")):
                return None
        return found

    def at(self, rva: int) -> list[ElfSymbol]:
        """Return the symbols exactly at *rva*, the one that stands for them first."""
        found = []
        for index in self.index.at(rva + self._base)[:MAX_ALIASES]:
            symbol = self.entry(index)
            if symbol is not None:
                found.append(symbol)
        return sorted(found, key=_preference)

    def at_or_below(self, rva: int) -> int | None:
        found = self.index.at_or_below(rva + self._base) if rva + self._base >= 0 else None
        return None if found is None else found - self._base

    def above(self, rva: int) -> int | None:
        found = self.index.above(max(rva + self._base, -1))
        return None if found is None else found - self._base

    def size(self, entry: ElfSymbol) -> int:
        return entry.size

    def symbol(self, entry: ElfSymbol) -> Symbol:
        rva = self.rva(entry)
        kind = _KINDS.get(entry.type, SymbolKind.PUBLIC)
        return Symbol(
            name=shown_name(entry),
            rva=rva,
            size=entry.size,
            kind=kind,
            is_code=kind is SymbolKind.FUNCTION or self._image.is_code(rva),
            is_global=entry.binding != elf.STB_LOCAL,
        )

    def rva(self, symbol: ElfSymbol) -> int:
        is_code = symbol.type in (elf.STT_FUNC, elf.STT_GNU_IFUNC)
        return (symbol.value & ~1 if self._thumb and is_code else symbol.value) - self._base

    def reaches(self, entry: ElfSymbol, rva: int) -> bool:
        if rva == self.rva(entry):
            return True
        if entry.section < len(self._sections):
            section = self._sections[entry.section]
            return 0 <= rva + self._base - section.address < section.size
        segment = self._file.segment_at(self.rva(entry))
        return segment is not None and segment is self._file.segment_at(rva)

    def is_one_section(self, first: int, second: int) -> bool:
        image = self._image
        if image.section_headers:
            return image.section_at(first) is image.section_at(second)
        return image.segment_at(first) is image.segment_at(second)

    def candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[ElfSymbol]:
        strings = self.table.strings
        return self.named_at(None if word is None else offsets_with(strings, word, cancel), cancel)

    def exact(self, name: str, cancel: CancelToken) -> ElfSymbol | None:
        """Return the best symbol with the linker name *name*, with or without a version."""
        found: list[ElfSymbol] = []
        # Some linkers write the version into the name, others keep a table of versions.
        for each in dict.fromkeys((name, name.partition("@")[0])):
            offsets = offsets_of(self.table.strings, each.encode("utf-8", "surrogateescape"))
            found += self.named_at(offsets, cancel) if offsets else ()
        exact = (each for each in found if name in (each.name, each.versioned_name))
        return min(exact, key=_preference, default=None)

    def named_at(self, offsets: set[int] | None, cancel: CancelToken) -> Iterator[ElfSymbol]:
        """Yield the symbols with a place in memory whose names begin at *offsets* of the string
        table, ``None`` for all."""
        for columns in self.table.chunks():
            cancel.check()
            if offsets is None:
                places = naming_places(columns, self.is_section)
            else:
                wanted = map(offsets.__contains__, columns.names)
                places = [
                    place
                    for place in compress(range(len(columns)), wanted)
                    if is_naming(columns, place, self.is_section)
                ]
            for count, place in enumerate(places):
                if count % _POLL_EVERY == 0:
                    cancel.check()
                symbol = self.entry(columns.first + place)
                if symbol is not None:
                    yield symbol


class ElfSource(TableSource[ElfSymbol]):
    """The symbol tables of one image as a :class:`~polydbg.symbols.source.SymbolSource`.

    Methods raise :class:`~polydbg.base.errors.FormatError` where a table is damaged.
    """

    kind = "elf"

    def __init__(self, image: ElfImage, debug: ElfImage | None = None) -> None:
        """Find the tables of *image*; *debug* is its separate debug file, if there is one. Neither
        is closed.

        :raises FormatError: a table is cut short or damaged.
        """
        self._image = image
        self._debug = debug
        tables = self._find_tables()
        self._first = tables[0].table if tables else None
        super().__init__(tables)

    def _find_tables(self) -> list[_Table]:
        for file in (self._debug, self._image):
            table = file.symbols if file is not None else None
            if file is not None and table is not None and len(table) > 1:
                return [_Table(file, table, self._image)]
        found = []
        mini = self._image.mini_debug
        if mini is not None and (table := mini.symbols) is not None:
            found.append(_Table(mini, table, self._image))
        try:
            table = self._image.dynamic_symbols
        except MemoryReadError:
            table = None
        if table is not None and len(table) > 1:
            found.append(_Table(self._image, table, self._image))
        return found

    # -- identity --------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """Return ``elf symbols``, ``dynamic symbols only``, or ``no symbols``."""
        if self._first is None:
            return "no symbols"
        is_dynamic = self._first is self._image.dynamic.__dict__.get("symbols")
        return "dynamic symbols only" if is_dynamic else "elf symbols"

    @property
    def path(self) -> str:
        file = self._image if self._debug is None else self._debug
        return file.path or file.name

    # -- by address ------------------------------------------------------------------------

    def symbol_at(self, rva: int) -> Symbol | None:
        """Return the symbol whose range holds *rva*: the PLT entry, the innermost sized symbol,
        else the nearest one below that has no size, in the same section."""
        entry = self._plt_at(rva)
        return super().symbol_at(rva) if entry is None else self._plt_symbol(entry)

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        entry = self._plt_at(rva)
        found = super().symbols_at(rva)
        if entry is None or entry.rva != rva:
            return found
        symbol = self._plt_symbol(entry)
        return [symbol, *(each for each in found if each.name != symbol.name)]

    def _nearest_above(self, rva: int) -> Symbol | None:
        best = super()._nearest_above(rva)
        entries = self._image.plt_names
        index = bisect_right(entries, rva, key=lambda entry: entry.rva)
        if index < len(entries) and (best is None or entries[index].rva <= best.rva):
            return self._plt_symbol(entries[index])
        return best

    def _plt_at(self, rva: int) -> PltName | None:
        section = self._image.section_at(rva)
        if section is None or not is_plt(section):
            return None
        entries = self._image.plt_names
        index = bisect_right(entries, rva, key=lambda entry: entry.rva) - 1
        if index >= 0 and rva - entries[index].rva < entries[index].size:
            return entries[index]
        return None

    # -- by name ---------------------------------------------------------------------------

    def _candidates(
        self, words: Sequence[bytes], head: str, cancel: CancelToken
    ) -> Iterator[Symbol]:
        yield from super()._candidates(words, head, cancel)
        yield from map(self._plt_symbol, self._image.plt_names)

    @staticmethod
    def _plt_symbol(entry: PltName) -> Symbol:
        return Symbol(entry.name, entry.rva, entry.size, SymbolKind.THUNK, True)


def shown_name(symbol: ElfSymbol) -> str:
    """Return the name as commands show it: without a version, as gdb does."""
    name = symbol.name.partition("@")[0]
    return undecorate_elf(name) if name else symbol.name


def _preference(symbol: ElfSymbol) -> tuple[bool, bool, int, bool, int, int]:
    """Return the key by which the best of several names for one address sorts first."""
    name = symbol.name
    return (
        symbol.type == elf.STT_NOTYPE,
        not symbol.size,
        _RANKS.get(symbol.binding, 2),
        without_clone_suffix(name) != name,
        len(name) - len(name.lstrip("_")),
        symbol.index,
    )
