"""A source of symbols from the symbol tables of an image, whatever its format: which symbol an
address belongs to, what lies around it, what has a name.

A symbol with a size names its range. One without a size names what follows it, up to the next
symbol of the table or the end of its section.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from polydbg.base.cancel import CancelToken
from polydbg.base.wildcards import compile_wildcard, escape_wildcards
from polydbg.symbols.source import NamesOnly, Symbol, SymbolKind
from polydbg.symbols.table_names import words_of

MAX_ALIASES = 4096
#: How many places of symbols below an address are tried for one that reaches up to it: labels and
#: functions inside of others are few, and a gap should cost little.
_MAX_STEPS = 32
_MAX_NAMESAKES = 4096
_MAX_MARKS = 8  # "__ZN" and the length of a name
_POLL_EVERY = 64  # names that are undecorated


class LinkerSymbol(Protocol):
    """A symbol of any format."""

    @property
    def name(self) -> str:
        """Return the linker's name."""
        ...


Entry = TypeVar("Entry", bound=LinkerSymbol)


class SymbolNames(Protocol[Entry]):
    """One symbol table as its names stand by RVA; *Entry* is a symbol of its format."""

    def at(self, rva: int) -> list[Entry]:
        """Return the symbols exactly at *rva*, the one that stands for them first."""
        ...

    def at_or_below(self, rva: int) -> int | None:
        """Return the highest RVA of a symbol that is not above *rva*."""
        ...

    def above(self, rva: int) -> int | None:
        """Return the lowest RVA of a symbol above *rva*."""
        ...

    def size(self, entry: Entry) -> int:
        """Return the size in bytes, 0 where the table has none."""
        ...

    def reaches(self, entry: Entry, rva: int) -> bool:
        """Tell whether *entry*, which has no size and no other one above it up to *rva*, may name
        *rva*: it is its start, or the rest of its section."""
        ...

    def is_one_section(self, first: int, second: int) -> bool:
        """Tell whether two RVAs lie in one section."""
        ...

    def symbol(self, entry: Entry) -> Symbol:
        """Return what commands see of it."""
        ...

    def candidates(self, word: bytes | None, cancel: CancelToken) -> Iterator[Entry]:
        """Yield the symbols, in the order of the table, whose linker names may have *word* in
        them, in any case; all of them without one."""
        ...

    def exact(self, name: str, cancel: CancelToken) -> Entry | None:
        """Return the best of the symbols with the linker name *name*."""
        ...


class TableSource(NamesOnly, Generic[Entry]):
    """The symbol tables of one image as the greater part of a
    :class:`~polydbg.symbols.source.SymbolSource`: all but what the source is called. *kind* is the
    word for such tables that :meth:`kind_at` returns.

    Methods raise :class:`~polydbg.base.errors.FormatError` where a table is damaged.
    """

    kind: ClassVar[str]

    def __init__(self, tables: Sequence[SymbolNames[Entry]]) -> None:
        self._tables = tables

    # -- by address ------------------------------------------------------------------------

    def kind_at(self, rva: int) -> str:
        return self.kind if self.symbol_at(rva) is not None else ""

    def symbol_at(self, rva: int) -> Symbol | None:
        """Return the symbol whose range holds *rva*: the innermost sized symbol, else the nearest
        one below that has no size, in the same section."""
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
        for table in self._tables:
            for each in table.at(rva):
                symbol = table.symbol(each)
                found.setdefault(symbol.name, symbol)
        return list(found.values())

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        return self.symbol_at(rva) or self._nearest_below(rva), self._nearest_above(rva)

    @staticmethod
    def _containing(table: SymbolNames[Entry], rva: int) -> Symbol | None:
        unsized: Entry | None = None
        place = table.at_or_below(rva)
        is_nearest = True
        for _ in range(_MAX_STEPS):
            if place is None:
                break
            here = table.at(place)
            for each in here:
                if rva - place < table.size(each):
                    return table.symbol(each)
            if is_nearest and here:
                is_nearest = False
                # One without a size ends where the next symbol begins.
                unsized = next((each for each in here if not table.size(each)), None)
            place = table.at_or_below(place - 1)
        if unsized is None or not table.reaches(unsized, rva):
            return None
        return table.symbol(unsized)

    def _nearest_below(self, rva: int) -> Symbol | None:
        best: Symbol | None = None
        for table in self._tables:
            place = table.at_or_below(rva)
            for _ in range(_MAX_STEPS):
                if place is None or not table.is_one_section(place, rva):
                    break
                here = table.at(place)
                if here:
                    if best is None or place > best.rva:
                        best = table.symbol(here[0])
                    break
                place = table.at_or_below(place - 1)
        return best

    def _nearest_above(self, rva: int) -> Symbol | None:
        best: Symbol | None = None
        for table in self._tables:
            place = table.above(rva)
            for _ in range(_MAX_STEPS):
                if place is None:
                    break
                here = table.at(place)
                if here:
                    if best is None or place < best.rva:
                        best = table.symbol(here[0])
                    break
                place = table.above(place)
        return best

    # -- by name ---------------------------------------------------------------------------

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        """Yield the symbols whose names match, in the order of the tables."""
        yield from self._matching(pattern, "", cancel)

    def _matching(self, pattern: str, head: str, cancel: CancelToken) -> Iterator[Symbol]:
        wanted = compile_wildcard(pattern, symbols=True)
        seen: set[tuple[str, int]] = set()
        for count, symbol in enumerate(self._candidates(words_of(pattern), head, cancel)):
            if count % _POLL_EVERY == 0:
                cancel.check()
            key = symbol.name, symbol.rva
            if key not in seen and wanted.fullmatch(symbol.name):
                seen.add(key)
                yield symbol

    def _candidates(
        self, words: Sequence[bytes], head: str, cancel: CancelToken
    ) -> Iterator[Symbol]:
        """Yield the symbols whose linker names have all *words* in them and *head* at their start,
        behind no more than the marks of a scheme; in any case."""
        first = words[0] if words else None
        others = [word.decode("ascii").lower() for word in words[1:]]
        head = head.lower()
        for table in self._tables:
            for entry in table.candidates(first, cancel):
                name = entry.name.lower() if others or head else ""
                if head in name[: len(head) + _MAX_MARKS] and all(word in name for word in others):
                    yield table.symbol(entry)

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        """Return the symbol whose linker name, else whose shown name is *name*."""
        cancel = cancel or CancelToken()
        for table in self._tables:
            exact = table.exact(name, cancel)
            if exact is not None:
                return table.symbol(exact)
        found: list[Symbol] = []
        # Most names with a common word are those of members, whose names begin with others.
        head = name if name.isascii() and name.isidentifier() else ""
        for symbol in self._matching(escape_wildcards(name), head, cancel):
            if symbol.name.lower() == name.lower():
                found.append(symbol)
                if len(found) == _MAX_NAMESAKES:
                    break
        return min(
            found,
            key=lambda each: (each.name != name, each.kind is SymbolKind.THUNK, not each.is_global),
            default=None,
        )
