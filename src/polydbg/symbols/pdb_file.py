"""A PDB as its parts: streams, address translation, modules kept while they are in use.

Addresses inside are packed (section, offset) keys of the image as it was linked; RVAs outside are
those of the image as it is, so every crossing goes through the section headers and, for images
that were rearranged after the link, through OMAP.
"""

from __future__ import annotations

from collections import OrderedDict

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.pdb import dbi as dbi_format
from polydbg.formats.pdb.dbi import NO_STREAM, Contribution, Dbi, Sections, key_of
from polydbg.formats.pdb.gsi import DataIndex, Publics, SymbolHash, SymbolRecords
from polydbg.formats.pdb.info import NameTable, read_info
from polydbg.formats.pdb.inlines import Site, sites_of
from polydbg.formats.pdb.lines import ModuleLines
from polydbg.formats.pdb.module import DATA, CodeViewSymbol, ModuleSymbols, read_symbol
from polydbg.formats.pdb.msf import Buffer, Msf, Stream
from polydbg.formats.pdb.omap import Omap
from polydbg.formats.pdb.tpi import Types

_KEPT_MODULES = 48
_IMPORTED = 1 << 31
_KEPT_BYTES = 24 << 20


class Module:
    """One object file's part of the PDB; symbols and lines are read when first asked for."""

    def __init__(self, info: dbi_format.ModuleInfo, stream: Stream) -> None:
        self.info = info
        self.stream = stream
        self._symbols: ModuleSymbols | None = None
        self._lines: ModuleLines | None = None
        self._sites: dict[int, tuple[Site, ...]] = {}

    @property
    def symbols(self) -> ModuleSymbols:
        if self._symbols is None:
            size = min(self.info.symbol_size, self.stream.size)
            self._symbols = ModuleSymbols(self.stream.read(0, size))
        return self._symbols

    @property
    def lines(self) -> ModuleLines:
        if self._lines is None:
            self._lines = ModuleLines(self.c13())
        return self._lines

    def c13(self) -> bytes:
        """Return the part with lines, inlined functions and (of old linkers) frame data."""
        start = self.info.symbol_size + self.info.c11_size
        size = max(min(self.info.c13_size, self.stream.size - start), 0)
        return self.stream.read(start, size) if size else b""

    def sites(self, function: CodeViewSymbol) -> tuple[Site, ...]:
        """Return the calls inlined in *function*."""
        known = self._sites.get(function.position)
        if known is None:
            if len(self._sites) > 256:
                self._sites.clear()
            known = self._sites[function.position] = sites_of(self.scope(function), function.size)
        return known

    def scope(self, function: CodeViewSymbol) -> bytes:
        """Return a function's record with the records of its scope."""
        size = min(self.info.symbol_size, self.stream.size) - function.position
        if function.position < function.end:
            size = min(size, function.end + 4 - function.position)
        return self.stream.read(function.position, size)

    def procedure(self, position: int) -> CodeViewSymbol | None:
        """Return the symbol at *position* of the stream, reading no more than its record."""
        size = self.stream.u16(position) + 2
        return read_symbol(self.stream.read(position, size), 0, position)

    @property
    def cost(self) -> int:
        """Return about how many bytes this module keeps in memory."""
        return self.info.symbol_size + self.info.c13_size


class PdbFile:
    """The streams of a PDB that questions about names, lines and types need."""

    def __init__(self, data: Buffer) -> None:
        """Read the headers only.

        :raises FormatError: for other formats and kinds of PDB (named), and damaged headers.
        """
        self.msf = Msf(data)
        self.info = read_info(self.msf)
        if self.info.is_fastlink:
            raise FormatError(
                "this is a partial PDB (/DEBUG:FASTLINK): its symbols are in the object files",
                hint="make a full PDB with mspdbcmf.exe",
                identifier="pdb.fastlink",
            )
        self.dbi = Dbi(self.msf)
        self.debug_id = DebugId.from_guid_bytes(self.info.guid, self.dbi.age)
        self.records = SymbolRecords(self.msf.stream(self.dbi.record_stream))
        self.globals = SymbolHash(self.msf.stream(self.dbi.global_stream), 0, self.records)
        self.publics = Publics(self.msf.stream(self.dbi.public_stream), self.records)
        self.types = Types(self.msf)
        names = self.info.named_streams.get("/names", NO_STREAM)
        self.names = NameTable(self.msf.stream(names))
        self._sections: Sections | None = None
        self._omap: tuple[Omap, Omap] | None = None
        self._modules: OrderedDict[int, Module] = OrderedDict()
        self._kept = 0
        self._data_index: DataIndex | None = None
        self._has_private: bool | None = None
        self._by_name: dict[str, int] | None = None

    # -- addresses -----------------------------------------------------------------------------

    @property
    def sections(self) -> Sections:
        """Return the sections as linked, and read OMAP along with them."""
        if self._sections is None:
            to_source = self.dbi.debug_stream(dbi_format.DBG_OMAP_TO_SOURCE)
            from_source = self.dbi.debug_stream(dbi_format.DBG_OMAP_FROM_SOURCE)
            headers = self.dbi.debug_stream(dbi_format.DBG_SECTIONS)
            if to_source is not None and from_source is not None:
                self._omap = (Omap(to_source), Omap(from_source))
                headers = self.dbi.debug_stream(dbi_format.DBG_ORIGINAL_SECTIONS) or headers
            self._sections = Sections(headers.all() if headers is not None else b"")
        return self._sections

    def key_of_rva(self, rva: int) -> int | None:
        """Return the packed (section, offset) of an RVA, ``None`` outside of every section."""
        sections = self.sections
        linked = self.linked_rva(rva)
        place = sections.locate(linked) if linked is not None else None
        return key_of(*place) if place is not None else None

    def rva_of_key(self, key: int) -> int | None:
        """Return the RVA of a packed address; ``None`` for absolute symbols and removed code."""
        rva = self.sections.rva(key >> 32, key & 0xFFFFFFFF)
        return self.present_rva(rva) if rva is not None else None

    def linked_rva(self, rva: int) -> int | None:
        """Return where the code at an RVA was when the image was linked, ``None`` for what came
        later."""
        _ = self.sections
        return rva if self._omap is None else self._omap[0].translate(rva, nearest=True)

    def present_rva(self, rva: int) -> int | None:
        """Return where the code linked at an RVA is in the image, ``None`` for removed code."""
        _ = self.sections
        return rva if self._omap is None else self._omap[1].translate(rva, nearest=False)

    # -- private symbols -----------------------------------------------------------------------

    @property
    def has_private(self) -> bool:
        """Tell whether there are private symbols."""
        if self._has_private is None:
            self._has_private = not self.dbi.is_stripped and self.dbi.modules.with_symbols()
        return self._has_private

    @property
    def data_index(self) -> DataIndex:
        """Return the global data by address, collected when first asked for."""
        if self._data_index is None:
            self._data_index = DataIndex(self.records, DATA)
        return self._data_index

    def data_at(self, key: int) -> list[CodeViewSymbol]:
        """Return the global and static data that start at a packed address."""
        if self.sections.is_code(key >> 32) or not self.has_private:
            return []
        found = []
        for offset in self.data_index.places.starting_at(key):
            symbol = read_symbol(self.records.record(offset), 0, offset)
            if symbol is not None:
                found.append(symbol)
        return found

    # -- modules -------------------------------------------------------------------------------

    def module(self, index: int) -> Module | None:
        """Return a module that has symbols or lines, ``None`` for the others.

        :raises FormatError: for a number that no module has.
        """
        known = self._modules.get(index)
        if known is not None:
            self._modules.move_to_end(index)
            return known
        info = self.dbi.modules[index]
        if info.stream == NO_STREAM:
            return None
        module = self._modules[index] = Module(info, self.msf.stream(info.stream))
        self._kept += module.cost
        while len(self._modules) > 1 and (
            len(self._modules) > _KEPT_MODULES or self._kept > _KEPT_BYTES
        ):
            _, old = self._modules.popitem(last=False)
            self._kept -= old.cost
        return module

    def function_of_id(self, module: Module, number: int) -> str:
        """Return the name of an inlined function; *number* can be an id of another module."""
        if number & _IMPORTED:
            place = module.lines.imported(number)
            other = self._module_named(self.names.name(place[0])) if place is not None else None
            found = other.lines.exported(place[1]) if other is not None and place else None
            if found is None:
                raise FormatError(f"inlined function {number:#x} is in no module of the PDB")
            number = found
        return self.types.function_name_of_id(number)

    def _module_named(self, name: str) -> Module | None:
        if self._by_name is None:
            modules = self.dbi.modules
            self._by_name = {modules[n].name.lower(): n for n in range(len(modules))}
        index = self._by_name.get(name.lower())
        return self.module(index) if index is not None else None

    def contribution_at(self, key: int) -> Contribution | None:
        """Return the contribution that covers a packed address."""
        return self.dbi.contributions.at(key)

    def module_at(self, key: int) -> Module | None:
        """Return the module that contributed the bytes at a packed address."""
        contribution = self.contribution_at(key)
        return self.module(contribution.module) if contribution is not None else None

    def referenced(self, record: bytes) -> tuple[CodeViewSymbol, Module] | None:
        """Return the function that a procedure reference names, and its module.

        The record holds the offset in the module's stream and the module's number plus one.
        """
        if len(record) < 14:
            return None
        offset = int.from_bytes(record[8:12], "little")
        number = int.from_bytes(record[12:14], "little")
        if not 1 <= number <= len(self.dbi.modules):
            return None
        module = self.module(number - 1)
        symbol = module.procedure(offset) if module is not None else None
        return (symbol, module) if symbol is not None and module is not None else None
