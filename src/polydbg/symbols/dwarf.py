"""Symbols of a module from its DWARF: functions, lines, inlined calls, signatures.

What no function of the debug information covers (assembler code, data, imports) is answered by
the symbol table. A piece of a function that the compiler put elsewhere (``foo.cold``) has the
function's name and counts its offsets from its own start, as symbol tables do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.inlines import InlinedCall
from polydbg.formats.dwarf.line import Row
from polydbg.formats.pdb.sources import last_component
from polydbg.symbols.dwarf_lines import rvas_of_line
from polydbg.symbols.dwarf_names import DwarfNames
from polydbg.symbols.dwarf_types import parameters_of
from polydbg.symbols.dwarf_units import CodeUnit, CodeUnits, SplitOpener
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.symbols.source import (
    InlineSite,
    LineEntry,
    SourceDigest,
    SourceRecord,
    Symbol,
    SymbolKind,
    SymbolSource,
)
from polydbg.types.source import TypesFromPart

if TYPE_CHECKING:
    from polydbg.symbols.dwarf_index import DwarfIndex
    from polydbg.symbols.dwarf_model import DwarfTypes

_MAX_NEXT_UNITS = 16
_MAX_ADDRESS = (1 << 64) - 1


class DwarfSource(TypesFromPart):
    """The DWARF of one module as a :class:`~polydbg.symbols.source.SymbolSource`.

    A unit that is damaged answers nothing; the others, and the symbol table, still do. *units* are
    the units of code, whose entries, line tables and functions can be read there, *names* finds by
    name.
    """

    def __init__(
        self,
        file: DwarfFile,
        path: str,
        *,
        base: int = 0,
        lowest: int = 1,
        table: SymbolSource | None = None,
        table_is_complete: bool = False,
        opener: SplitOpener | None = None,
        index: DwarfIndex | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """*file* was read from *path*; RVA 0 is address *base* of it, and no code lies below
        address *lowest*. *table* is the symbol table, complete when it lists each function of the
        module; *opener* finds split units, *index* is that of *file* on disk, *on_close* closes
        what it opened."""
        self._path = path
        self._base = base
        self._table = table
        self._on_close = on_close
        self._types: DwarfTypes | None = None
        self.units = CodeUnits(file, lowest, opener, index)
        self.names = DwarfNames(self.units, base, table, table_is_complete)

    # -- identity ------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        return "private dwarf symbols"

    @property
    def path(self) -> str:
        return self._path

    def close(self) -> None:
        """Close the symbol table's source and the split files."""
        if self._table is not None:
            self._table.close()
        if self._on_close is not None:
            self._on_close()

    @property
    def types(self) -> DwarfTypes:
        if self._types is None:
            from polydbg.symbols.dwarf_model import DwarfTypes

            self._types = DwarfTypes(self.units, self.names, self._base)
        return self._types

    # -- by address ----------------------------------------------------------------------------

    def _function(self, rva: int) -> tuple[CodeUnit, int, int, int] | None:
        """Return the unit, the piece (start, end) and the entry of the function at *rva*."""
        address = rva + self._base
        if not 0 <= address <= _MAX_ADDRESS:
            return None
        for unit in self.units.at(address):
            try:
                found = unit.function_at(address)
            except FormatError:
                continue
            if found is not None:
                return unit, *found
        return None

    def _symbol(self, unit: CodeUnit, start: int, end: int, entry: int) -> Symbol | None:
        try:
            name, is_global = unit.named(entry)
        except FormatError:
            return None
        if not name:
            return None
        rva = start - self._base
        return Symbol(name, rva, end - start, SymbolKind.FUNCTION, True, is_global)

    def kind_at(self, rva: int) -> str:
        found = self._function(rva)
        if found is not None and self._symbol(*found) is not None:
            return "dwarf"
        return self._table.kind_at(rva) if self._table is not None else ""

    def symbol_at(self, rva: int) -> Symbol | None:
        found = self._function(rva)
        symbol = self._symbol(*found) if found is not None else None
        if symbol is None and self._table is not None:
            return self._table.symbol_at(rva)
        return symbol

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        found: dict[str, Symbol] = {}
        address = rva + self._base
        first = self.symbol_at(rva)
        if first is not None and first.rva == rva:
            found[first.name] = first
        if 0 <= address <= _MAX_ADDRESS:
            for unit in self.units.at(address):
                for symbol in self._starting_at(unit, address):
                    found.setdefault(symbol.name, symbol)
        for symbol in self._table.symbols_at(rva) if self._table is not None else ():
            found.setdefault(symbol.name, symbol)
        return tuple(found.values())

    def _starting_at(self, unit: CodeUnit, address: int) -> Iterator[Symbol]:
        try:
            functions = unit.functions
        except FormatError:
            return
        for rank in functions.starting_at(address):
            symbol = self._symbol(unit, address, functions.ends[rank] + 1, functions.values[rank])
            if symbol is not None:
                yield symbol

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        below, above = self._table.neighbours(rva) if self._table is not None else (None, None)
        own = self._above(rva, above.rva if above is not None else _MAX_ADDRESS)
        return self.symbol_at(rva) or below, own or above

    def _above(self, rva: int, limit: int) -> Symbol | None:
        """Return the first function above *rva* that begins at or below *limit*."""
        address = max(rva + self._base, 0)
        best: tuple[int, CodeUnit, int] | None = None
        candidates = [(address, unit) for unit in self.units.at(address)]
        for count, (start, unit) in enumerate(self.units.coverage.units_above(address)):
            if count == _MAX_NEXT_UNITS or start - self._base > limit:
                break
            candidates.append((start, self.units.of(unit)))
        for start, code in candidates:
            if best is not None and start > best[0]:
                break
            try:
                functions = code.functions
            except FormatError:
                continue
            rank = functions.above(address)
            if rank is not None and (best is None or functions.starts[rank] < best[0]):
                best = functions.starts[rank], code, rank
        if best is None or best[0] - self._base > limit:
            return None
        start, code, rank = best
        functions = code.functions
        return self._symbol(code, start, functions.ends[rank] + 1, functions.values[rank])

    # -- by name -------------------------------------------------------------------------------

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        return self.names.matching(pattern, cancel)

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        return self.names.named(name, cancel or CancelToken())

    def signature_of(self, symbol: Symbol) -> str | None:
        if symbol.kind is not SymbolKind.FUNCTION:
            return None
        found = self._function(symbol.rva)
        if found is None:
            return None
        unit, _, _, entry = found
        try:
            die = unit.entries.die(entry)
            return parameters_of(die, self.units.type_name) if die is not None else None
        except FormatError:
            return None

    # -- lines ---------------------------------------------------------------------------------

    def line_at(self, rva: int) -> LineEntry | None:
        address = rva + self._base
        unit, row, chain = self._place(address)
        if unit is None:
            return None
        if chain:
            # The line of the function itself is where it makes the outermost call.
            call = chain[0]
            start, end = next(each for each in call.ranges if each[0] <= address < each[1])
            if not call.call_line:
                return None
            file = unit.path(call.call_file)
            return LineEntry(
                file, call.call_line, call.call_column, start - self._base, end - start
            )
        if row is None or not row.line:
            return None
        start = row.start - self._base
        return LineEntry(unit.path(row.file), row.line, row.column, start, row.end - row.start)

    def source_record(self, rva: int, path: str) -> SourceRecord:
        address = rva + self._base
        if 0 <= address <= _MAX_ADDRESS:
            for unit in self.units.at(address):
                md5 = _md5_of(unit, path)
                if md5:
                    return SourceRecord(SourceDigest("md5", md5))
        return SourceRecord()

    def _place(self, address: int) -> tuple[CodeUnit | None, Row | None, list[InlinedCall]]:
        """Return the unit that has lines or calls at *address*, with both."""
        if not 0 <= address <= _MAX_ADDRESS:
            return None, None, []
        for unit in self.units.at(address):
            row, chain = None, list[InlinedCall]()
            try:
                row = unit.lines.row_at(address) if unit.lines is not None else None
                function = unit.function_at(address)
                if function is not None:
                    chain = unit.inlines(function[2]).chain_at(address)
            except FormatError:
                pass  # what was read before the damage holds
            if row is not None or chain:
                return unit, row, chain
        return None, None, []

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        address = rva + self._base
        unit, row, chain = self._place(address)
        if unit is None or not chain:
            return ()
        places = [(unit.path(call.call_file), call.call_line) for call in chain]
        places.append((unit.path(row.file), row.line) if row is not None else ("", 0))
        return tuple(
            InlineSite(
                self._name(unit, call.offset),
                call.start - self._base,
                *places[depth + 1],
                *places[depth],
            )
            for depth, call in enumerate(chain)
        )

    @staticmethod
    def _name(unit: CodeUnit, entry: int) -> str:
        try:
            return unit.name(entry)
        except FormatError:
            return ""

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        return rvas_of_line(self.units, self._base, path, line, cancel)

    # -- frames --------------------------------------------------------------------------------

    def cfi_at(self, rva: int) -> CfiRules | None:
        """Return ``None``: the image's own tables are read where frames are unwound."""
        return None

    def win_frame_at(self, rva: int) -> WinFrame | None:
        return None


def _md5_of(unit: CodeUnit, path: str) -> bytes:
    """Return the MD5 of a file of the unit's line table, ``b""`` where DWARF has none."""
    try:
        header = unit.line_header
    except FormatError:
        return b""
    bare = last_component(path)
    for index, entry in enumerate(header.files if header is not None else ()):
        if header is None or not entry.md5 or not entry.name.endswith(bare):
            continue
        if header.path(header.first_file + index, unit.comp_dir) == path:
            return entry.md5
    return b""
