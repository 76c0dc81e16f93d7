"""DWARF of PE images, in which functions may begin before their debug information does.

GCC puts room for a hook before functions of Windows' own interface (``ms_hook_prologue``, all over
Wine) and counts it to no function; the symbol table has the true beginning, to which callers go.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.source import Symbol, SymbolKind

_MAX_HOOK = 16


class PeDwarfSource(DwarfSource):
    """The DWARF of a PE image, with functions as long as its symbol table lets them be."""

    def symbol_at(self, rva: int) -> Symbol | None:
        symbol = super().symbol_at(rva)
        if symbol is None or self._table is None or not symbol.is_code:
            return symbol
        if symbol.size:
            entry = self._table.symbol_at(symbol.rva)
            if entry is not None and entry.name == symbol.name:
                room = symbol.rva - entry.rva
                if 0 < room <= _MAX_HOOK:
                    return msgspec.structs.replace(symbol, rva=entry.rva, size=symbol.size + room)
            return symbol
        code = self._code_behind(symbol)
        if code is None:
            return symbol
        return msgspec.structs.replace(code, rva=symbol.rva, size=code.rva + code.size - symbol.rva)

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        first = self.symbol_at(rva)
        found = super().symbols_at(rva)
        if first is None or first.rva == rva:
            return found
        return tuple(each for each in found if each.name != first.name)

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        below, above = super().neighbours(rva)
        if below is not None and above is not None and above.rva < below.rva + below.size:
            above = super().neighbours(above.rva)[1]
        return below, above

    def signature_of(self, symbol: Symbol) -> str | None:
        found = super().signature_of(symbol)
        code = self._code_behind(symbol) if found is None else None
        return super().signature_of(code) if code is not None else found

    def _code_behind(self, entry: Symbol) -> Symbol | None:
        """Return the function of the debug information that begins behind the hook at *entry*."""
        if entry.kind is SymbolKind.DATA:
            return None
        code = self._above(entry.rva, entry.rva + _MAX_HOOK)
        return code if code is not None and code.name == entry.name else None
