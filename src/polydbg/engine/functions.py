"""Which code belongs to one function: by its symbol, else by the image's unwind data.

A function can lie in several parts (hot and cold). A part belongs to it when the debug file says
so, when its unwind information is chained to the function's, or when the compiler named it
``function.cold``.
"""

from __future__ import annotations

import re

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import Module, ModuleMap
from polydbg.formats.pe.pdata import RuntimeFunction, primary_of
from polydbg.symbols.source import Symbol, SymbolKind

_COLD = re.compile(r"\.cold(?:\.\d+)?$")
_NEAR = 1 << 16  # bytes; how far code outside of every module is followed
_SIZED = (SymbolKind.FUNCTION, SymbolKind.THUNK)


def unwind_row(modules: ModuleMap, module: Module, rva: int) -> RuntimeFunction | None:
    """Return the x64 unwind row of the function that *rva* belongs to, the first of its chain.

    ``None`` for leaf functions, other processors, and where the table cannot be read.
    """
    image = modules.pe_image(module)
    if image is None or image.machine != "amd64":
        return None
    try:
        row = image.function_at(rva)
        return primary_of(image.space, row) if row is not None else None
    except DebuggerError:
        return None


class Function(msgspec.Struct, frozen=True):
    """A function of a module. *start* is an address; *size* is in bytes, 0 when not known.

    *symbol* is its symbol, ``None`` where only unwind data tell its extent (*is_from_unwind*) or
    where nothing does: then *start* is the address that was asked for.
    """

    modules: ModuleMap
    module: Module | None
    start: int
    size: int = 0
    symbol: Symbol | None = None
    is_from_unwind: bool = False

    def contains(self, address: int) -> bool:
        """Say whether the code at *address* belongs to this function."""
        if 0 <= address - self.start < max(self.size, 1):
            return True
        if self.modules.at(address) is not self.module:
            return False
        if self.module is None:
            return not self.size and abs(address - self.start) < _NEAR
        rva, start = address - self.module.base, self.start - self.module.base
        row = unwind_row(self.modules, self.module, rva)
        if self.is_from_unwind:
            return row is not None and row.begin == start
        found = self.modules.symbol_at(self.module, address)
        if self.symbol is None or found is None:
            return found is self.symbol and (row is None or row.begin == start)
        if found.name != self.symbol.name:
            return _COLD.sub("", found.name) == _COLD.sub("", self.symbol.name)
        return row is None or row.begin == start


def function_at(modules: ModuleMap, address: int) -> Function:
    """Return the function that *address* belongs to."""
    module = modules.at(address)
    if module is None:
        return Function(modules, None, address)
    rva = address - module.base
    symbol = modules.symbol_at(module, address)
    if symbol is not None and not symbol.is_code:
        symbol = None
    row = unwind_row(modules, module, rva)
    if symbol is None:
        if row is None:
            return Function(modules, module, address)
        return _by_unwind(modules, module, row)
    inside = symbol.kind in _SIZED and rva - symbol.rva < symbol.size
    # Without sizes the nearest symbol below may belong to another function.
    if not inside and row is not None and row.begin > symbol.rva:
        return _by_unwind(modules, module, row)
    size = symbol.size
    if not size and row is not None and row.begin <= symbol.rva:
        size = max(row.end - symbol.rva, 0)
    return Function(modules, module, module.base + symbol.rva, size, symbol)


def _by_unwind(modules: ModuleMap, module: Module, row: RuntimeFunction) -> Function:
    size = max(row.end - row.begin, 0)
    return Function(modules, module, module.base + row.begin, size, is_from_unwind=True)
