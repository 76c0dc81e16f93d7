"""A source line in all modules: which are asked first, and which of their answers is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import Module, ModuleMap, SymbolState
from polydbg.symbols.source import SymbolSource


def search_groups(modules: ModuleMap, file: str, here: Module | None) -> Iterator[list[Module]]:
    """Yield the modules in the order to ask for a line of *file*: those with symbols (the one
    where execution stands, *here*, before the others), then those named like the file, then
    the rest."""
    stem = os.path.splitext(file.replace("\\", "/").rpartition("/")[2])[0].lower()
    rest = list(modules.modules)
    loaded = [m for m in rest if m is here or m.state is SymbolState.LOADED]
    yield sorted(loaded, key=lambda module: module is not here)
    alike = [m for m in rest if m not in loaded and stem and stem in m.name.lower()]
    yield alike
    yield [m for m in rest if m not in loaded and m not in alike]


def address_of_line(
    modules: ModuleMap, group: Sequence[Module], file: str, number: int, cancel: CancelToken
) -> int | None:
    """Return the address of a line: of the first module of *group* with code of exactly this line,
    else of the first that has code after it; loads symbols as it goes.

    :raises Cancelled: *cancel* was set.
    """
    nearest: int | None = None
    for module in group:
        source = modules.symbols(module)
        try:
            found = source.rvas_of_line(file, number, cancel) if source is not None else ()
            if source is None or not found:
                continue
            if _is_exact(source, found[0], number):
                return module.base + found[0]
        except DebuggerError:
            continue
        nearest = module.base + found[0] if nearest is None else nearest
    return nearest


def _is_exact(source: SymbolSource, rva: int, number: int) -> bool:
    """Tell whether the code at *rva* is of that line, inlined or not."""
    row = source.line_at(rva)
    if row is not None and row.line == number:
        return True
    return any(site.line == number for site in source.inlines_at(rva))
