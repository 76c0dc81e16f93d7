"""Symbols from an image's export table: the last resort, names without sizes or types."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.wildcards import compile_wildcard
from polydbg.images.pe import PeImage
from polydbg.symbols.source import NamesOnly, Symbol, SymbolKind

_POLL_EVERY = 1024


class ExportSource(NamesOnly):
    """The exports of one image. Names are read when they answer a question.

    Forwarders name code of another image and exports by ordinal have no name: neither answers.
    """

    def __init__(self, image: PeImage) -> None:
        self._image = image
        self._named: dict[str, Symbol] = {}

    @property
    def status(self) -> str:
        return "export symbols"

    @property
    def path(self) -> str:
        return self._image.path or self._image.name

    @property
    def _starts(self) -> list[int]:
        table = self._image.export_addresses()
        return table.starts if table else []

    def kind_at(self, rva: int) -> str:
        return "export" if self.symbol_at(rva) is not None else ""

    def symbol_at(self, rva: int) -> Symbol | None:
        starts = self._starts
        index = bisect_right(starts, rva)
        if not index:
            return None
        start = starts[index - 1]
        if self._image.section_at(rva) is not self._image.section_at(start):
            return None
        return self._first_at(start)

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        table = self._image.export_addresses()
        if table is None:
            return ()
        return [self._symbol(name, rva) for name in table.names_at(rva) if name]

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        starts = self._starts
        index = bisect_right(starts, rva)
        above = self._first_at(starts[index]) if index < len(starts) else None
        return self.symbol_at(rva), above

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        wanted = compile_wildcard(pattern, symbols=True)
        for index, symbol in enumerate(self._all()):
            if index % _POLL_EVERY == 0:
                cancel.check()
            if wanted.fullmatch(symbol.name):
                yield symbol

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        if not self._named:
            for symbol in self._all():
                self._named.setdefault(symbol.name, symbol)
                self._named.setdefault("\0" + symbol.name.lower(), symbol)
        return self._named.get(name) or self._named.get("\0" + name.lower())

    def _first_at(self, rva: int) -> Symbol | None:
        """Return the first of the names for one address."""
        return next(iter(self.symbols_at(rva)), None)

    def _all(self) -> list[Symbol]:
        """Return every named export by address."""
        found = [
            self._symbol(item.name, item.rva)
            for item in self._image.exports()
            if item.name and item.forwarder is None
        ]
        return sorted(found, key=lambda symbol: symbol.rva)

    def _symbol(self, name: str, rva: int) -> Symbol:
        return Symbol(name, rva, 0, SymbolKind.EXPORT, self._image.is_code(rva))
