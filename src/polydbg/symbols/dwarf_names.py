"""Symbols of a module by name: through the symbol table, an index in the file, else a scan.

A scan passes over every unit once; it keeps nothing but what it yields, and can be cancelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.qualified_names import last_part
from polydbg.base.wildcards import compile_wildcard, escape_wildcards
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.debug_names import DebugNames, read_name_tables
from polydbg.formats.dwarf.gdb_index import GdbIndex
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Die
from polydbg.symbols.dwarf_types import size_of
from polydbg.symbols.dwarf_units import CodeUnit, CodeUnits
from polydbg.symbols.source import Symbol, SymbolKind, SymbolSource

_POLL_EVERY = 64
_MAX_NAMES = 256
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OP_ADDR = 0x03
_OP_ADDRX = (0xA1, 0xFB)


class DwarfNames:
    """The names of one module; *table* is its symbol table, complete if it lists all functions."""

    def __init__(
        self, units: CodeUnits, base: int, table: SymbolSource | None, is_complete: bool
    ) -> None:
        self._units = units
        self._base = base
        self._table = table
        self._is_complete = is_complete
        self._named: dict[str, Symbol | None] = {}

    def matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        """Yield the symbols whose names match a wildcard pattern: functions and variables of the
        debug information, then what only the symbol table has."""
        wanted = compile_wildcard(pattern, symbols=True)
        seen: set[tuple[str, int]] = set()
        if not self._is_complete:
            for symbol in self._scan(cancel):
                place = symbol.name, symbol.rva
                if wanted.fullmatch(symbol.name) and place not in seen:
                    seen.add(place)
                    yield symbol
        if self._table is not None:
            for symbol in self._table.symbols_matching(pattern, cancel):
                if (symbol.name, symbol.rva) not in seen:
                    yield symbol

    def named(self, name: str, cancel: CancelToken) -> Symbol | None:
        """Return one symbol by exact name (case-sensitive first, then case-insensitive)."""
        if name not in self._named:
            if len(self._named) >= _MAX_NAMES:
                self._named.clear()
            self._named[name] = self._find(name, cancel)
        return self._named[name]

    def variables_at(self, rva: int) -> list[str]:
        """Return the names that the symbol table has for data at *rva*."""
        found = self._table.symbols_at(rva) if self._table is not None else ()
        return [each.name for each in found if not each.is_code]

    def address_of(self, name: str) -> int | None:
        """Return the RVA of a variable by its exact name where the symbol table or an index of the
        file has it: no unit is passed over for it."""
        found = self._table.symbol_named(name, None) if self._table is not None else None
        if found is None or found.name != name:
            found = next((each for each in self.indexed(name) if each.name == name), None)
        return found.rva if found is not None and not found.is_code else None

    def _find(self, name: str, cancel: CancelToken) -> Symbol | None:
        folded = self._table.symbol_named(name, cancel) if self._table is not None else None
        if folded is not None and (folded.name == name or self._is_complete):
            return folded
        for symbol in self.indexed(name):
            if symbol.name == name:
                return symbol
        if self._is_complete or not self._may_have(name):
            return folded
        wanted = compile_wildcard(escape_wildcards(name), symbols=True)
        for symbol in self._scan(cancel):
            if symbol.name == name:
                return symbol
            if folded is None and wanted.fullmatch(symbol.name):
                folded = symbol
        return folded

    def _may_have(self, name: str) -> bool:
        """Tell whether the strings hold the last part of *name*: a look that saves a scan."""
        last = last_part(name)
        if not _PLAIN.fullmatch(last) or self._units.is_split:
            return True  # operators and the like are spelled in other ways
        word = re.compile(re.escape(last.encode()), re.IGNORECASE)
        files = (self._units.file, self._units.file.supplementary)
        return any(
            file.sections.get(section).contains(word)
            for file in files
            if file is not None
            for section in (".debug_str", ".debug_info", ".debug_line_str")
        )

    # -- indexes of the file -------------------------------------------------------------------

    @cached_property
    def _name_tables(self) -> list[DebugNames]:
        sections = self._units.file.sections
        return read_name_tables(sections.get(".debug_names"), sections.get(".debug_str"))

    @cached_property
    def _gdb_index(self) -> GdbIndex | None:
        section = self._units.file.sections.get(".gdb_index")
        try:
            return GdbIndex(section) if section.size else None
        except FormatError:
            return None

    def listed(self, name: str) -> list[tuple[int, int | None]]:
        """Return where the file's own index lists *name*, or its last part: the offset of a unit,
        and that of the entry in ``.debug_info``, ``None`` where the index does not tell."""
        last = last_part(name).encode("utf-8", "replace")
        places: list[tuple[int, int | None]] = []
        try:
            for table in self._name_tables:
                places += ((each.unit, each.unit + each.offset) for each in table.find(last))
            if self._gdb_index is not None:
                whole = name.encode("utf-8", "replace")
                places += ((unit, None) for unit in self._gdb_index.find(whole))
        except FormatError:
            pass  # a damaged index: what it said so far is checked, and a scan follows
        return places

    def indexed(self, name: str) -> Iterator[Symbol]:
        """Yield symbols that the file's own index lists under *name*, or under its last part."""
        for start, entry in self.listed(name):
            unit = self._units.file.unit_starting_at(start)
            if unit is None:
                continue
            code = self._units.of(unit)
            try:
                entries = [entry] if entry is not None else _entries(code)
                if entry is not None and code.entries is not unit:
                    # Offsets of split units count from their own start.
                    entries = [entry - start + code.entries.header.offset]
            except FormatError:
                continue
            for each in entries:
                symbol = self._symbol(code, each)
                if symbol is not None:
                    yield symbol

    # -- scanning ------------------------------------------------------------------------------

    def _scan(self, cancel: CancelToken) -> Iterator[Symbol]:
        for unit in self._units.all():
            cancel.check()
            try:
                entries = _entries(unit)
            except FormatError:
                continue
            for count, entry in enumerate(entries):
                if count % _POLL_EVERY == 0:
                    cancel.check()
                symbol = self._symbol(unit, entry)
                if symbol is not None:
                    yield symbol

    def _symbol(self, unit: CodeUnit, entry: int) -> Symbol | None:
        """Return the symbol of a function or variable, ``None`` where it has no name or place."""
        try:
            die = unit.entries.die(entry)
            if die is None:
                return None
            if die.tag == c.TAG_VARIABLE:
                place, size, kind = address_of(die), size_of(die), SymbolKind.DATA
            else:
                # The piece with the entry point comes first.
                ranges = [each for each in die.ranges() if each[0] >= self._units.lowest]
                if die.tag != c.TAG_SUBPROGRAM or not ranges:
                    return None
                place, size = ranges[0][0], ranges[0][1] - ranges[0][0]
                kind = SymbolKind.FUNCTION
            name, is_global = unit.named(entry)
        except FormatError:
            return None
        if place is None or place < max(self._base, self._units.lowest) or not name:
            return None
        is_code = kind is SymbolKind.FUNCTION
        return Symbol(name, place - self._base, size, kind, is_code, is_global)


def _entries(unit: CodeUnit) -> list[int]:
    """Return the entries of the functions and variables of *unit*, in the order of the file."""
    return sorted({*unit.functions.values, *unit.scopes.variables})


def address_of(variable: Die) -> int | None:
    """Return the address of a variable that has a fixed place for all its life."""
    place = variable.block(c.AT_LOCATION)
    if not place:
        return None
    unit = variable.unit
    size = unit.header.address_size
    if place[0] == _OP_ADDR and len(place) == 1 + size:
        return int.from_bytes(place[1:], unit.section.order)
    if place[0] in _OP_ADDRX:
        index, after = uleb128(place, 1)
        if after == len(place):
            return unit.indexed_address(index)
    return None
