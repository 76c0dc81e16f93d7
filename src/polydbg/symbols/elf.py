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
from polydbg.base.wildcards import compile_wildcard, escape_wildcards
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.address_index import AddressIndex, is_naming, naming_places
from polydbg.formats.elf.symbol_table import ElfSymbol, SymbolTable
from polydbg.images.elf import ElfImage, PltName, is_plt
from polydbg.symbols.demangle import undecorate_elf, without_clone_suffix
from polydbg.symbols.elf_names import offsets_of, offsets_with, word_of
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.symbols.source import InlineSite, LineEntry, Symbol, SymbolKind

_POLL_EVERY = 1024
_MAX_ALIASES = 4096
#: How many places of symbols below an address are tried for one that reaches up to it: labels and
#: functions inside of others are few, and a gap should cost little.
_MAX_STEPS = 32
_MAX_NAMESAKES = 4096
_RANKS = {elf.STB_GLOBAL: 0, elf.STB_GNU_UNIQUE: 0, elf.STB_WEAK: 1}
_KINDS = {
    elf.STT_FUNC: SymbolKind.FUNCTION,
    elf.STT_GNU_IFUNC: SymbolKind.FUNCTION,
    elf.STT_OBJECT: SymbolKind.DATA,
    elf.STT_COMMON: SymbolKind.DATA,
}


class _Table:
    """One symbol table with what its file says of sections. Addresses are RVAs."""

    def __init__(self, image: ElfImage, table: SymbolTable) -> None:
        self._image = image
        self._sections = image.section_headers
        self._base = image.image_base
        self._thumb = image.header.machine == elf.EM_ARM
        self._has_marks = image.machine.startswith(("arm", "riscv"))
        self.table = table

    @cached_property
    def index(self) -> AddressIndex:
        return AddressIndex(self.table, self.is_section, thumb=self._thumb)

    def is_section(self, number: int) -> bool:
        """Tell whether symbols of section *number* have a place in memory."""
        if self._sections and number < elf.SHN_LORESERVE:
            return number < len(self._sections) and self._sections[number].is_loaded
        if number == elf.SHN_XINDEX:
            return len(self._sections) > elf.SHN_LORESERVE
        return 0 < number < elf.SHN_LORESERVE

    def symbol(self, index: int) -> ElfSymbol | None:
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
        for index in self.index.at(rva + self._base)[:_MAX_ALIASES]:
            symbol = self.symbol(index)
            if symbol is not None:
                found.append(symbol)
        return sorted(found, key=_preference)

    def at_or_below(self, rva: int) -> int | None:
        found = self.index.at_or_below(rva + self._base) if rva + self._base >= 0 else None
        return None if found is None else found - self._base

    def above(self, rva: int) -> int | None:
        found = self.index.above(max(rva + self._base, -1))
        return None if found is None else found - self._base

    def rva(self, symbol: ElfSymbol) -> int:
        is_code = symbol.type in (elf.STT_FUNC, elf.STT_GNU_IFUNC)
        return (symbol.value & ~1 if self._thumb and is_code else symbol.value) - self._base

    def reaches(self, symbol: ElfSymbol, rva: int) -> bool:
        """Tell whether *symbol*, which has no size and no other one above it up to *rva*, may name
        *rva*: it is its start, or the rest of its section."""
        if rva == self.rva(symbol):
            return True
        if symbol.section < len(self._sections):
            section = self._sections[symbol.section]
            return 0 <= rva + self._base - section.address < section.size
        segment = self._image.segment_at(self.rva(symbol))
        return segment is not None and segment is self._image.segment_at(rva)

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
                symbol = self.symbol(columns.first + place)
                if symbol is not None:
                    yield symbol


class ElfSource:
    """The symbol tables of one image as a :class:`~polydbg.symbols.source.SymbolSource`.

    Methods raise :class:`~polydbg.base.errors.FormatError` where a table is damaged.
    """

    def __init__(self, image: ElfImage, debug: ElfImage | None = None) -> None:
        """Find the tables of *image*; *debug* is its separate debug file, if there is one. Neither
        is closed.

        :raises FormatError: a table is cut short or damaged.
        """
        self._image = image
        self._debug = debug
        self._tables = self._find_tables()

    def _find_tables(self) -> list[_Table]:
        for file in (self._debug, self._image):
            table = file.symbols if file is not None else None
            if file is not None and table is not None and len(table) > 1:
                return [_Table(file, table)]
        found = []
        mini = self._image.mini_debug
        if mini is not None and (table := mini.symbols) is not None:
            found.append(_Table(mini, table))
        try:
            table = self._image.dynamic_symbols
        except MemoryReadError:
            table = None
        if table is not None and len(table) > 1:
            found.append(_Table(self._image, table))
        return found

    # -- identity --------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """Return ``elf symbols``, ``dynamic symbols only``, or ``no symbols``."""
        tables = self._tables
        if not tables:
            return "no symbols"
        is_dynamic = tables[0].table is self._image.dynamic.__dict__.get("symbols")
        return "dynamic symbols only" if is_dynamic else "elf symbols"

    @property
    def path(self) -> str:
        file = self._image if self._debug is None else self._debug
        return file.path or file.name

    def close(self) -> None:
        """Do nothing: the images belong to whoever opened them."""

    # -- by address ------------------------------------------------------------------------

    def symbol_at(self, rva: int) -> Symbol | None:
        """Return the symbol whose range holds *rva*: the PLT entry, the innermost sized symbol,
        else the nearest one below that has no size, in the same section."""
        entry = self._plt_at(rva)
        if entry is not None:
            return self._plt_symbol(entry)
        best: Symbol | None = None
        for table in self._tables:
            found = self._containing(table, rva)
            if found is not None and (
                best is None or (found.size > 0, found.rva) > (best.size > 0, best.rva)
            ):
                best = found
        return best

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        found: dict[str, Symbol] = {}
        entry = self._plt_at(rva)
        if entry is not None and entry.rva == rva:
            found[entry.name] = self._plt_symbol(entry)
        for table in self._tables:
            for each in table.at(rva):
                symbol = self._symbol(table, each)
                found.setdefault(symbol.name, symbol)
        return list(found.values())

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        return self.symbol_at(rva) or self._nearest_below(rva), self._nearest_above(rva)

    def _containing(self, table: _Table, rva: int) -> Symbol | None:
        unsized: ElfSymbol | None = None
        place = table.at_or_below(rva)
        is_nearest = True
        for _ in range(_MAX_STEPS):
            if place is None:
                break
            here = table.at(place)
            for each in here:
                if rva - place < each.size:
                    return self._symbol(table, each)
            if is_nearest and here:
                is_nearest = False
                # One without a size ends where the next symbol begins.
                unsized = next((each for each in here if not each.size), None)
            place = table.at_or_below(place - 1)
        if unsized is None or not table.reaches(unsized, rva):
            return None
        return self._symbol(table, unsized)

    def _nearest_below(self, rva: int) -> Symbol | None:
        best: Symbol | None = None
        for table in self._tables:
            place = table.at_or_below(rva)
            for _ in range(_MAX_STEPS):
                if place is None or not self._is_one_section(place, rva):
                    break
                here = table.at(place)
                if here:
                    if best is None or place > best.rva:
                        best = self._symbol(table, here[0])
                    break
                place = table.at_or_below(place - 1)
        return best

    def _nearest_above(self, rva: int) -> Symbol | None:
        best: Symbol | None = None
        entries = self._image.plt_names
        index = bisect_right(entries, rva, key=lambda entry: entry.rva)
        if index < len(entries):
            best = self._plt_symbol(entries[index])
        for table in self._tables:
            place = table.above(rva)
            for _ in range(_MAX_STEPS):
                if place is None:
                    break
                here = table.at(place)
                if here:
                    if best is None or place < best.rva:
                        best = self._symbol(table, here[0])
                    break
                place = table.above(place)
        return best

    def _is_one_section(self, first: int, second: int) -> bool:
        image = self._image
        if image.section_headers:
            return image.section_at(first) is image.section_at(second)
        return image.segment_at(first) is image.segment_at(second)

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

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        """Yield the symbols whose names match, in the order of the table, then PLT entries."""
        wanted = compile_wildcard(pattern, symbols=True)
        word = word_of(pattern)
        seen: set[tuple[str, int]] = set()
        for symbol in self._candidates(word, cancel):
            key = symbol.name, symbol.rva
            if key not in seen and wanted.fullmatch(symbol.name):
                seen.add(key)
                yield symbol

    def _candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[Symbol]:
        for table in self._tables:
            offsets = None if word is None else offsets_with(table.table, word, cancel)
            for each in table.named_at(offsets, cancel):
                yield self._symbol(table, each)
        yield from map(self._plt_symbol, self._image.plt_names)

    def symbol_named(self, name: str) -> Symbol | None:
        """Return the symbol whose linker name, else whose shown name is *name*; ``name@VERSION``
        and ``name@@VERSION`` ask for one version."""
        cancel = CancelToken()
        for table in self._tables:
            exact = self._exact(table, name, cancel)
            if exact:
                return self._symbol(table, min(exact, key=_preference))
        found: list[Symbol] = []
        for symbol in self.symbols_matching(escape_wildcards(name), cancel):
            if symbol.name.lower() == name.lower():
                found.append(symbol)
                if len(found) == _MAX_NAMESAKES:
                    break
        return min(
            found,
            key=lambda each: (each.name != name, each.kind is SymbolKind.THUNK, not each.is_global),
            default=None,
        )

    @staticmethod
    def _exact(table: _Table, name: str, cancel: CancelToken) -> list[ElfSymbol]:
        """Return the symbols whose linker name is *name*, with or without a version."""
        found: list[ElfSymbol] = []
        # Some linkers write the version into the name, others keep a table of versions.
        for each in dict.fromkeys((name, name.partition("@")[0])):
            offsets = offsets_of(table.table, each.encode("utf-8", "surrogateescape"))
            found += table.named_at(offsets, cancel) if offsets else ()
        return [each for each in found if name in (each.name, each.versioned_name)]

    # -- what symbol tables do not know ----------------------------------------------------

    def line_at(self, rva: int) -> LineEntry | None:
        return None

    def rvas_of_line(self, path: str, line: int) -> Sequence[int]:
        return ()

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        return ()

    def signature_of(self, symbol: Symbol) -> str | None:
        return None

    def cfi_at(self, rva: int) -> CfiRules | None:
        return None

    def win_frame_at(self, rva: int) -> WinFrame | None:
        return None

    # -- records ---------------------------------------------------------------------------

    def _symbol(self, table: _Table, found: ElfSymbol) -> Symbol:
        rva = table.rva(found)
        kind = _KINDS.get(found.type, SymbolKind.PUBLIC)
        return Symbol(
            name=shown_name(found),
            rva=rva,
            size=found.size,
            kind=kind,
            is_code=kind is SymbolKind.FUNCTION or self._image.is_code(rva),
            is_global=found.binding != elf.STB_LOCAL,
        )

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
