"""Symbols of an image from the COFF symbol table that linkers for MinGW leave in PE files.

The table has no sizes: a symbol names what follows it, up to the next one or the end of its
section. Symbols of sections and files, and values that are no addresses, name nothing. Of several
names for one address the one that stands for it is a function before what has no type, a global
before a weak before a static one before a label, then the one with the fewest leading underscores.

Names of x86 lose what calling conventions add to them (``_name``, ``_name@8``, ``@name@8``), as in
the lists of Microsoft's tools; on other processors compilers add nothing. Names of C++ come as
those of ELF do. Parts that the compiler split off a function bear its name.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from polydbg.base.cancel import CancelToken
from polydbg.formats.address_runs import AddressRuns
from polydbg.formats.pe import coff_symbols as coff
from polydbg.formats.pe.coff_symbols import CoffEntry, CoffSymbol, CoffSymbolTable
from polydbg.images.pe import PeImage
from polydbg.symbols.demangle import undecorate_coff, without_clone_suffix
from polydbg.symbols.source import Symbol, SymbolKind
from polydbg.symbols.table_names import offsets_of, offsets_with
from polydbg.symbols.table_source import MAX_ALIASES, TableSource

_MAX_RVA = 0xFFFFFFFF
_CHUNK = 1 << 16
_RANKS = {
    coff.CLASS_EXTERNAL: 0,
    **dict.fromkeys(coff.WEAK_CLASSES, 1),
    coff.CLASS_STATIC: 2,
    coff.CLASS_LABEL: 3,
}


def coff_source(image: PeImage) -> CoffSource | None:
    """Return the source of the COFF symbols in the file of *image*, ``None`` where it has no table
    or none of its symbols names anything."""
    table = image.coff_symbols()
    if table is None or not any(_is_placed(image, entry) for entry in table.naming()):
        return None
    return CoffSource(image, table)


class CoffSource(TableSource[CoffSymbol]):
    """The COFF symbols of one image as a :class:`~polydbg.symbols.source.SymbolSource`."""

    kind = "coff"

    def __init__(self, image: PeImage, table: CoffSymbolTable) -> None:
        """Answer from *table*, the one of *image*; the image is not closed."""
        self._image = image
        super().__init__([_Table(image, table)])

    @property
    def status(self) -> str:
        return "coff symbols"

    @property
    def path(self) -> str:
        return self._image.path or self._image.name


class _Table:
    """The table with what its image says of sections. Addresses are RVAs."""

    def __init__(self, image: PeImage, table: CoffSymbolTable) -> None:
        self._image = image
        self._sections = image.section_headers
        self._is_x86 = image.machine == "x86"
        self._table = table

    @cached_property
    def _index(self) -> AddressRuns:
        placed = (
            (self._rva(entry), entry.index)
            for entry in self._table.naming()
            if _is_placed(self._image, entry)
        )
        return AddressRuns(_runs(placed))

    def _rva(self, entry: CoffEntry | CoffSymbol) -> int:
        return self._sections[entry.section - 1].rva + entry.value

    def at(self, rva: int) -> list[CoffSymbol]:
        found = map(self._table.symbol, self._index.at(rva)[:MAX_ALIASES])
        return sorted((each for each in found if each.name), key=_preference)

    def at_or_below(self, rva: int) -> int | None:
        return self._index.at_or_below(rva)

    def above(self, rva: int) -> int | None:
        return self._index.above(rva)

    def size(self, entry: CoffSymbol) -> int:
        return 0

    def reaches(self, entry: CoffSymbol, rva: int) -> bool:
        section = self._sections[entry.section - 1]
        return rva == self._rva(entry) or 0 <= rva - section.rva < section.memory_size

    def is_one_section(self, first: int, second: int) -> bool:
        return self._image.section_at(first) is self._image.section_at(second)

    def symbol(self, entry: CoffSymbol) -> Symbol:
        rva = self._rva(entry)
        is_code = entry.is_function or self._image.is_code(rva)
        kind = SymbolKind.FUNCTION if entry.is_function else SymbolKind.PUBLIC
        return Symbol(
            name=undecorate_coff(entry.name, is_x86=self._is_x86),
            rva=rva,
            size=0,
            kind=kind if is_code else SymbolKind.DATA,
            is_code=is_code,
            is_global=entry.storage_class not in (coff.CLASS_STATIC, coff.CLASS_LABEL),
        )

    def candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[CoffSymbol]:
        offsets = None
        if word is not None:
            word = word.lower()
            offsets = offsets_with(self._table.strings, word, cancel)
        for entry in self._table.naming(cancel.check):
            if word is not None:
                name = entry.name
                if isinstance(name, bytes):
                    if word not in name.lower():
                        continue
                elif offsets is not None and name not in offsets:
                    continue
            yield from self._named(entry)

    def exact(self, name: str, cancel: CancelToken) -> CoffSymbol | None:
        raw = name.encode("utf-8", "surrogateescape")
        offsets = offsets_of(self._table.strings, raw)
        if not offsets and len(raw) > coff.INLINE_NAME:
            return None
        found: list[CoffSymbol] = []
        for entry in self._table.naming(cancel.check):
            if entry.name == raw or entry.name in offsets:
                found += self._named(entry)
        return min(found, key=_preference, default=None)

    def _named(self, entry: CoffEntry) -> Iterator[CoffSymbol]:
        """Yield the symbol if it has a name and a place in the image."""
        if _is_placed(self._image, entry):
            symbol = self._table.symbol(entry.index)
            if symbol.name:
                yield symbol


def _runs(pairs: Iterator[tuple[int, int]]) -> Iterator[tuple[array[int], array[int]]]:
    """Yield (address, index) pairs as sorted columns, so many at a time that it needs no memory."""
    while chunk := sorted(islice(pairs, _CHUNK)):
        yield array("I", [pair[0] for pair in chunk]), array("I", [pair[1] for pair in chunk])


def _is_placed(image: PeImage, entry: CoffEntry) -> bool:
    sections = image.section_headers
    if not 0 < entry.section <= len(sections):
        return False
    return sections[entry.section - 1].rva + entry.value <= _MAX_RVA


def _preference(symbol: CoffSymbol) -> tuple[bool, int, bool, int, int]:
    """Return the key by which the best of several names for one address sorts first."""
    name = symbol.name
    return (
        not symbol.is_function,
        _RANKS.get(symbol.storage_class, len(_RANKS)),
        without_clone_suffix(name) != name,
        len(name) - len(name.lstrip("_")),
        symbol.index,
    )
