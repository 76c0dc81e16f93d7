"""Types and variables from DWARF."""

from __future__ import annotations

from polydbg.symbols.dwarf_names import DwarfNames
from polydbg.symbols.dwarf_units import CodeUnits
from polydbg.types.source import NoTypes


class DwarfTypes(NoTypes):
    """The types of *units* as a :class:`~polydbg.types.source.TypeSource`; RVA 0 is address *base*
    of the file."""

    def __init__(self, units: CodeUnits, names: DwarfNames, base: int) -> None:
        self._units = units
        self._names = names
        self._base = base
