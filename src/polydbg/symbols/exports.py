"""Symbols from an image's export table: the last resort, names without sizes or types."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.wildcards import compile_wildcard
from polydbg.images.image import Export
from polydbg.images.pe import PeImage
from polydbg.symbols.source import InlineSite, LineEntry, Symbol, SymbolKind

_POLL_EVERY = 1024


class ExportSource:
    """The exports of one image. The table is read when the first question comes.

    Forwarders name code of another image and exports by ordinal have no name: neither answers.
    """

    def __init__(self, image: PeImage) -> None:
        self._image = image
        self._symbols: list[Symbol] | None = None
        self._starts: list[int] = []
        self._named: dict[str, Symbol] = {}

    @property
    def status(self) -> str:
        return "export symbols"

    @property
    def path(self) -> str:
        return self._image.path or self._image.name

    def symbol_at(self, rva: int) -> Symbol | None:
        return self.neighbours(rva)[0]

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        symbols = self._load()
        end = bisect_right(self._starts, rva)
        start = end
        while start and self._starts[start - 1] == rva:
            start -= 1
        return symbols[start:end]

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        symbols = self._load()
        index = bisect_right(self._starts, rva)
        above = symbols[index] if index < len(symbols) else None
        if not index:
            return None, above
        # Of several names for one address the first answers.
        below = symbols[bisect_right(self._starts, self._starts[index - 1] - 1)]
        if self._image.section_at(rva) is not self._image.section_at(below.rva):
            return None, above
        return below, above

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        wanted = compile_wildcard(pattern, symbols=True)
        for index, symbol in enumerate(self._load()):
            if index % _POLL_EVERY == 0:
                cancel.check()
            if wanted.fullmatch(symbol.name):
                yield symbol

    def symbol_named(self, name: str) -> Symbol | None:
        self._load()
        return self._named.get(name) or self._named.get("\0" + name.lower())

    def line_at(self, rva: int) -> LineEntry | None:
        return None

    def rvas_of_line(self, path: str, line: int) -> Sequence[int]:
        return ()

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        return ()

    def signature_of(self, symbol: Symbol) -> str | None:
        return None

    def close(self) -> None:
        """Do nothing: the image belongs to whoever opened it."""

    def _load(self) -> list[Symbol]:
        if self._symbols is None:
            found = [
                self._symbol(item.name, item)
                for item in self._image.exports()
                if item.name and item.forwarder is None
            ]
            found.sort(key=lambda symbol: symbol.rva)
            for symbol in found:
                self._named.setdefault(symbol.name, symbol)
                self._named.setdefault("\0" + symbol.name.lower(), symbol)
            self._starts = [symbol.rva for symbol in found]
            self._symbols = found
        return self._symbols

    def _symbol(self, name: str, item: Export) -> Symbol:
        return Symbol(name, item.rva, 0, SymbolKind.EXPORT, self._image.is_code(item.rva))
