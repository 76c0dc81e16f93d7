"""Symbols of an image from its PDB: names, lines, inlined calls, signatures.

What comes first for an address: a thunk of incremental linking, the private function that contains
it, a part of a function moved elsewhere, a linker's jump, else whatever is nearest below it in its
section. Module symbols, global hashes and line tables are read per question; see
:mod:`polydbg.symbols.pdb_file`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.base.wildcards import escape_wildcards
from polydbg.formats.pdb.inlines import InlineRange, Site
from polydbg.formats.pdb.lines import ModuleLines, Row
from polydbg.formats.pdb.module import CodeViewSymbol, parameter_types
from polydbg.formats.pdb.msf import Buffer
from polydbg.formats.pdb.reading import cstring, qualified, text
from polydbg.formats.pdb.sources import last_component, modules_naming, path_matches
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.symbols.pdb_file import Module, PdbFile
from polydbg.symbols.pdb_frames import PdbFrames
from polydbg.symbols.pdb_inlined import InlinedCaller, inlined_callers
from polydbg.symbols.pdb_inlined_lines import inlined_keys_of_line
from polydbg.symbols.pdb_names import PdbNames, private_symbol, public_symbol
from polydbg.symbols.source import InlineSite, LineEntry, SourceRecord, Symbol, SymbolKind
from polydbg.types.source import TypesFromPart

if TYPE_CHECKING:
    from polydbg.symbols.pdb_sources import PdbSources
    from polydbg.symbols.pdb_types import PdbTypes

_MAX_NEXT_CONTRIBUTIONS = 64
_MAX_NESTING = 128
_MAX_ALIASES = 256


def open_pdb(path: Path | str) -> PdbSource:
    """Map the PDB at *path* and read its headers.

    :raises FormatError: when it is not a PDB we read; the message names what it is instead.
    :raises OSError: when the file cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise FormatError("the PDB is empty", offset=0) from None
    try:
        return PdbSource(mapped, str(path))
    except BaseException:
        mapped.close()
        raise


class PdbSource(TypesFromPart):
    """One PDB as a :class:`~polydbg.symbols.source.SymbolSource`."""

    def __init__(self, data: Buffer, path: str) -> None:
        """Read the headers of *data*, mapped from *path*.

        :raises FormatError: as :func:`open_pdb`.
        """
        self._data = data
        self._path = path
        self._file = PdbFile(data)
        self._names = PdbNames(self._file)
        self._frames = PdbFrames(self._file)
        self._sources: PdbSources | None = None
        self._types: PdbTypes | None = None

    # -- identity ------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return self._path

    @property
    def debug_id(self) -> DebugId:
        """Return the GUID with the age of the debug information, as the image's record has it."""
        return self._file.debug_id

    @property
    def status(self) -> str:
        return "private pdb symbols" if self._file.has_private else "pdb symbols"

    @property
    def file(self) -> PdbFile:
        """Return the parts, for readers of types, locals and frame data."""
        return self._file

    @property
    def types(self) -> PdbTypes:
        if self._types is None:
            from polydbg.symbols.pdb_types import PdbTypes

            self._types = PdbTypes(self._file)
        return self._types

    def cfi_at(self, rva: int) -> CfiRules | None:
        return None

    def win_frame_at(self, rva: int) -> WinFrame | None:
        return self._frames.at(rva)

    def close(self) -> None:
        if isinstance(self._data, mmap.mmap):
            self._data.close()

    # -- by address ----------------------------------------------------------------------------

    def kind_at(self, rva: int) -> str:
        return "pdb" if self.symbol_at(rva) is not None else ""

    def symbol_at(self, rva: int) -> Symbol | None:
        key = self._file.key_of_rva(rva)
        if key is None:
            return None
        thunk = self._incremental_thunk(key)
        if thunk is not None:
            return thunk
        contribution = self._file.contribution_at(key)
        module = self._file.module(contribution.module) if contribution is not None else None
        if module is not None:
            found = module.symbols.code_at(key)
            if found is not None:
                return self._private(found, rva, key)
            moved = self._separated(module, key, rva) or self._trampoline(module, key)
            if moved is not None:
                return moved
        return self._nearest(key, rva, module)

    def _private(self, found: CodeViewSymbol, rva: int, key: int) -> Symbol | None:
        """Return the symbol that was found for *rva*.

        In a rearranged image a function's start can lie above its later parts; then the distance
        from the start is what counts, as it was linked.
        """
        start = self._file.rva_of_key(found.key)
        if start is None or start > rva:
            start = max(rva - (key - found.key), 0)
        return private_symbol(self._file, found, start)

    def _incremental_thunk(self, key: int) -> Symbol | None:
        """Return ``ILT+n(name)``: n counts bytes from the first thunk, the name is as stored."""
        publics = self._file.publics
        index = publics.thunk_index(key)
        if index is None:
            return None
        offset = index * publics.thunk_size
        start = (publics.thunk_section << 32) + publics.thunk_offset + offset
        module = self._file.module_at(start)
        target = None
        if module is not None:
            trampoline = module.symbols.trampoline_at(start)
            target = self._raw_name(trampoline.target) if trampoline is not None else None
        rva = self._file.rva_of_key(start)
        if rva is None:
            return None
        name = f"ILT+{offset}({target or ''})"
        return Symbol(name, rva, publics.thunk_size, SymbolKind.THUNK, True)

    def _raw_name(self, key: int) -> str | None:
        """Return the name of the symbol at a packed address as stored: decorated if public."""
        publics = self._file.publics
        rank = publics.rank(key) - 1
        if rank >= 0 and publics.key(rank) == key:
            record = self._file.records.record(publics.record_offset(rank))
            return text(cstring(record, 14))
        module = self._file.module_at(key)
        found = module.symbols.code_at(key) if module is not None else None
        return found.name if found is not None else None

    def _trampoline(self, module: Module, key: int) -> Symbol | None:
        """Return a jump made by the linker, by the name of where it goes."""
        each = module.symbols.trampoline_at(key)
        if each is None:
            return None
        rva = self._file.rva_of_key(each.key)
        target = self._raw_name(each.target)
        if rva is None or target is None:
            return None
        if each.incremental:
            first = module.symbols.trampolines[0].key
            target = f"ILT+{each.key - first}({target})"
        return Symbol(target, rva, each.size, SymbolKind.THUNK, True)

    def _separated(self, module: Module, key: int, rva: int) -> Symbol | None:
        """Return the function that a part moved elsewhere belongs to."""
        part = module.symbols.separated_at(key)
        parent = module.symbols.function_starting_at(part.parent) if part is not None else None
        if part is None or parent is None:
            return None
        start = self._file.rva_of_key(parent.key)
        if start is None or start > rva:  # then count from the part itself
            start = max(rva - (key - part.key), 0)
        return private_symbol(self._file, parent, start)

    def _nearest(self, key: int, rva: int, module: Module | None) -> Symbol | None:
        """Return the nearest symbol at or below *key* in its section."""
        if module is None:
            contributions = self._file.dbi.contributions
            rank = contributions.rank(key)
            if rank >= 0:
                module = self._file.module(contributions[rank].module)
        private = module.symbols.below(key) if module is not None else None
        section = key >> 32
        if not self._file.sections.is_code(section) and self._file.has_private:
            place = self._file.data_index.places.below(key)
            data = self._file.data_at(place[0]) if place is not None else []
            if data and (private is None or data[0].key > private.key):
                private = data[0]
        publics = self._file.publics
        rank = publics.rank(key) - 1
        public_at = publics.key(rank) if rank >= 0 else -1
        if private is not None and private.key >> 32 == section and private.key >= public_at:
            return self._private(private, rva, key)
        if public_at >> 32 != section:
            return None
        return self._public_at(public_at, rank, rva, key)

    def _public_at(self, public_at: int, rank: int, rva: int, key: int) -> Symbol | None:
        """Return the public of a rank, or the private symbol that it stands for."""
        publics = self._file.publics
        # Of several at one address take the first, so that the choice does not depend on *key*.
        steps = _MAX_ALIASES
        while rank > 0 and steps and publics.key(rank - 1) == public_at:
            rank -= 1
            steps -= 1
        record = self._file.records.record(publics.record_offset(rank))
        private = self._names.private_of_public(public_at, record)
        if private is not None:
            return self._private(private, rva, key)
        symbol = public_symbol(self._file, record)
        if symbol is None or symbol.rva <= rva:
            return symbol
        start = max(rva - (key - public_at), 0)
        return Symbol(symbol.name, start, 0, SymbolKind.PUBLIC, symbol.is_code)

    def symbols_at(self, rva: int) -> Sequence[Symbol]:
        key = self._file.key_of_rva(rva)
        if key is None:
            return ()
        thunk = self._incremental_thunk(key)
        if thunk is not None:
            return (thunk,) if thunk.rva == rva else ()
        found: dict[str, Symbol] = {}
        first = self.symbol_at(rva)
        if first is not None and first.rva == rva:
            found[first.name] = first
        module = self._file.module_at(key)
        if module is not None:
            for each in module.symbols.starting_at(key):
                self._add(found, private_symbol(self._file, each, rva))
        for each in self._file.data_at(key):
            self._add(found, private_symbol(self._file, each, rva))
        self._add_publics(found, key, rva)
        return tuple(found.values())

    @staticmethod
    def _add(found: dict[str, Symbol], symbol: Symbol | None) -> None:
        if symbol is not None:
            found.setdefault(symbol.name, symbol)

    def _add_publics(self, found: dict[str, Symbol], key: int, rva: int) -> None:
        """Add the private symbols that publics stand for, and publics that have none."""
        publics = self._file.publics
        end = publics.rank(key)
        start = end
        while start > 0 and end - start < _MAX_ALIASES and publics.key(start - 1) == key:
            start -= 1
        privates = len(found)
        lone: list[Symbol] = []
        for rank in range(start, end):
            record = self._file.records.record(publics.record_offset(rank))
            private = self._names.private_of_public(key, record)
            if private is not None:
                self._add(found, private_symbol(self._file, private, rva))
                continue
            symbol = public_symbol(self._file, record)
            if symbol is not None:
                lone.append(symbol)
        # A lone public at a private symbol is that symbol, spelled in another way (a lambda).
        if end - start == 1 and privates:
            return
        for symbol in lone:
            self._add(found, symbol)

    def neighbours(self, rva: int) -> tuple[Symbol | None, Symbol | None]:
        key = self._file.key_of_rva(rva)
        if key is None:
            return None, None
        return self.symbol_at(rva), self._above(key)

    def _above(self, key: int) -> Symbol | None:
        """Return the nearest symbol above *key*, of any section."""
        publics = self._file.publics
        index = publics.thunk_index(key)
        if index is not None and index + 1 < publics.thunk_count:
            first = (publics.thunk_section << 32) + publics.thunk_offset
            return self._incremental_thunk(first + (index + 1) * publics.thunk_size)
        rank = publics.rank(key)
        best = publics.key(rank) if rank < len(publics) else 1 << 64
        private: CodeViewSymbol | None = None
        for module, floor in self._modules_above(key):
            if floor > best:
                break
            found = module.symbols.above(max(key, floor - 1))
            if found is not None and (found.key < best or (found.key == best and not private)):
                best, private = found.key, found
        if not self._file.sections.is_code(key >> 32) and self._file.has_private:
            place = self._file.data_index.places.above(key)
            if place is not None and (place[0] < best or (place[0] == best and private is None)):
                data = self._file.data_at(place[0])
                best, private = (place[0], data[0]) if data else (best, private)
        if private is not None:
            return private_symbol(self._file, private)
        if rank >= len(publics):
            return None
        record = self._file.records.record(publics.record_offset(rank))
        other = self._names.private_of_public(best, record)
        if other is not None:
            return private_symbol(self._file, other)
        return public_symbol(self._file, record)

    def _modules_above(self, key: int) -> Iterator[tuple[Module, int]]:
        """Yield the modules whose contributions lie at and above *key*, and where these begin."""
        contributions = self._file.dbi.contributions
        start = max(contributions.rank(key), 0)
        for rank in range(start, min(start + _MAX_NEXT_CONTRIBUTIONS, len(contributions))):
            contribution = contributions[rank]
            module = self._file.module(contribution.module)
            if module is not None:
                yield module, contribution.key

    # -- by name -------------------------------------------------------------------------------

    def symbols_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        return self._names.matching(pattern, cancel)

    def inlined_matching(self, pattern: str, cancel: CancelToken) -> Iterator[InlinedCaller]:
        """Yield the inlined calls of functions whose names match, as ``x`` lists them."""
        return inlined_callers(self._file, pattern, cancel)

    def symbol_named(self, name: str, cancel: CancelToken | None = None) -> Symbol | None:
        found = self._names.named(name)
        if found is not None or len(name) > 4096:
            return found
        # Names of C++ publics are hashed in their decorated form: look for them.
        folded = None
        for symbol in self._names.matching(escape_wildcards(name), cancel or CancelToken()):
            if symbol.name == name:
                return symbol
            if folded is None and symbol.name.lower() == name.lower():
                folded = symbol
        return folded

    # -- lines ---------------------------------------------------------------------------------

    def line_at(self, rva: int) -> LineEntry | None:
        place = self._lines_at(rva)
        if place is None:
            return None
        key, lines, row = place
        start = self._file.rva_of_key(row.key)
        if start is None or start > rva:
            start = max(rva - (key - row.key), 0)
        name = self._file_name(lines, row.file)
        return LineEntry(name, row.line, row.column, start, row.size)

    def _lines_at(self, rva: int) -> tuple[int, ModuleLines, Row] | None:
        key = self._file.key_of_rva(rva)
        module = self._file.module_at(key) if key is not None else None
        if key is None or module is None:
            return None
        row = module.lines.row_at(key)
        return (key, module.lines, row) if row is not None else None

    def _file_name(self, lines: ModuleLines, file: int) -> str:
        offset = lines.file_name(file)
        return self._file.names.name(offset) if offset is not None else ""

    def source_record(self, rva: int, path: str) -> SourceRecord:
        if self._sources is None:
            from polydbg.symbols.pdb_sources import PdbSources

            self._sources = PdbSources(self._file)
        return self._sources.record(rva, path)

    def rvas_of_line(self, path: str, line: int, cancel: CancelToken) -> Sequence[int]:
        bare = last_component(path).encode("utf-8", "replace")
        best, keys, inlined = 0, set[int](), set[int]()
        for number in modules_naming(self._file.dbi, bare):
            cancel.check()
            module = self._file.module(number)
            if module is None:
                continue
            lines = module.lines
            files = frozenset(
                file
                for file, name in lines.files()
                if path_matches(self._file.names.name(name), path)
            )
            found, there = lines.keys_of_line(files, line) if files else (0, [])
            if found and (best == 0 or found < best):
                best, keys = found, set()
            if found and found == best:
                keys.update(there)
            if best != line:
                inlined.update(inlined_keys_of_line(module, files, line))
        if best != line and inlined:
            keys = inlined  # the very line, even if inlined, rather than one after it
        rvas = (self._file.rva_of_key(key) for key in sorted(keys))
        return sorted({rva for rva in rvas if rva is not None})

    # -- inlined calls -------------------------------------------------------------------------

    def inlines_at(self, rva: int) -> Sequence[InlineSite]:
        key = self._file.key_of_rva(rva)
        module = self._file.module_at(key) if key is not None else None
        function = module.symbols.code_at(key) if module is not None and key is not None else None
        if key is None or module is None or function is None or not function.is_procedure:
            return ()
        offset = key - function.key
        sites = module.sites(function)
        result: list[InlineSite] = []
        caller: tuple[str, int] | None = None
        for _ in range(_MAX_NESTING):
            site = next((each for each in sites if _covers(each, offset)), None)
            if site is None:
                break
            if caller is None:
                row = module.lines.row_at(key)
                caller = (self._file_name(module.lines, row.file), row.line) if row else ("", 0)
            place = self._place(module.lines, site, offset)
            start = self._file.rva_of_key(function.key + site.start)
            if start is None or start > rva:
                start = max(rva - (offset - site.start), 0)
            name = self._file.function_of_id(module, site.function_id)
            result.append(InlineSite(name, start, *place, *caller))
            caller, sites = place, site.children
        return tuple(result)

    def _place(self, lines: ModuleLines, site: Site, offset: int) -> tuple[str, int]:
        """Return file and line of the code at *offset*, within the inlined function."""
        begin = lines.inlinee(site.function_id)
        if begin is None:
            return "", 0
        piece = site.range_at(offset) or _last_before(site, offset)
        if piece is None:
            return self._file_name(lines, begin[0]), begin[1]
        file = begin[0] if piece.file < 0 else piece.file
        return self._file_name(lines, file), max(begin[1] + piece.line, 0)

    # -- types ---------------------------------------------------------------------------------

    def signature_of(self, symbol: Symbol) -> str | None:
        if symbol.type_index == 0 or symbol.kind is not SymbolKind.FUNCTION:
            return None
        parameters = self._file.types.parameters(symbol.type_index)
        if parameters is None:
            return None
        variables = self._parameter_variables(symbol)
        if len(variables) > len(parameters):
            parameters = variables  # the debugger shows hidden ones, too
        names = [self._file.types.name(each) for each in parameters]
        return f"({', '.join(names) or 'void'})"

    def _parameter_variables(self, symbol: Symbol) -> list[int]:
        key = self._file.key_of_rva(symbol.rva)
        module = self._file.module_at(key) if key is not None else None
        if key is None or module is None:
            return []
        # The global names lead to the record without a walk over all functions of the module.
        found = self._names.function(symbol.name, key)
        if found is None:
            for each in module.symbols.starting_at(key):
                if each.is_procedure and qualified(each.name) == symbol.name:
                    found = each, module
        return parameter_types(found[1].scope(found[0])) if found is not None else []


def _covers(site: Site, offset: int) -> bool:
    return site.range_at(offset) is not None or any(
        _covers(child, offset) for child in site.children
    )


def _last_before(site: Site, offset: int) -> InlineRange | None:
    before = [piece for piece in site.ranges if piece.start <= offset]
    return max(before, key=lambda piece: piece.start) if before else None
