"""Types and variables from a PDB.

Names are found through the hashes of the file: that of types knows classes without a scope, that of
global symbols has a record for each named type (S_UDT), for constants and for data.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard
from polydbg.formats.pdb import tpi
from polydbg.formats.pdb.module import DATA, S_PROCREF, THREAD_DATA, read_symbol
from polydbg.formats.pdb.reading import constant, cstring, numeric, qualified, text, u32, unpack
from polydbg.symbols.pdb_file import PdbFile
from polydbg.symbols.pdb_names import search_literal
from polydbg.symbols.pdb_places import constant_place, static_place, thread_place
from polydbg.symbols.pdb_type_builder import PdbTypeBuilder, named_by_udt
from polydbg.types.source import NoTypes, Scope, Variable, VariableKind

if TYPE_CHECKING:
    from polydbg.symbols.pdb_variables import PdbVariables
    from polydbg.types.model import Type

S_UDT: Final = 0x1108
S_CONSTANT: Final = 0x1107
_UDT_NAME_AT = 8
_DATA_NAME_AT = 14
_CONSTANT = struct.Struct("<HHI")
_KEYWORD = re.compile(r"(?:struct|class|union|enum|interface)\s+(?=\S)")
_CHUNK = 1 << 21
_OVERLAP = 1 << 16  # the longest record
_POLL = 512
_MAX_NAME = 1 << 13
_QUICK = 1 << 25  # bytes of type records that are searched in some 50 ms
_KEPT_NAMES = 1 << 12
_OF_FUNCTION = re.compile(r"::__l\d+::|<lambda|<unnamed-type")


class PdbTypes(NoTypes):
    """The types of *file* as a :class:`~polydbg.types.source.TypeSource`."""

    def __init__(self, file: PdbFile) -> None:
        self._file = file
        self.builder = PdbTypeBuilder(file.types, self, self._static_place)
        self._variables: PdbVariables | None = None
        self._within: dict[str, int | None] = {}

    # -- types by name ---------------------------------------------------------------------

    def type_named(self, name: str, cancel: CancelToken | None = None) -> Type | None:
        name = _KEYWORD.sub("", name.strip(), count=1)
        for fold in (False, True):
            index = self._hashed(name, fold)
            if index is not None:
                return self.builder.type_of(index)
            found = self._udt(name, fold)
            if found is not None:
                return found
        return self._within_function(name, cancel or CancelToken())

    def _within_function(self, name: str, cancel: CancelToken) -> Type | None:
        """Return the type that a function declares for itself.

        The hash knows it by its linker's name alone, so its record has to be searched for. In a
        large file that takes seconds: there, only names that are a function's for certain count.
        """
        stream = self._file.types.tpi
        if "::" not in name or (stream.size > _QUICK and _OF_FUNCTION.search(name) is None):
            return None
        if name not in self._within:
            if len(self._within) > _KEPT_NAMES:
                self._within.clear()
            self._within[name] = self._searched(name, cancel)
        index = self._within[name]
        return self.builder.type_of(index) if index is not None else None

    def _searched(self, name: str, cancel: CancelToken) -> int | None:
        declared: int | None = None
        last = name.rpartition("::")[2].lower().encode()
        for index, found in self._named_records(last, cancel):
            if found == name:
                if not getattr(self.builder.type_of(index), "is_declaration", False):
                    return index
                declared = index
        return declared

    def _hashed(self, name: str, fold: bool) -> int | None:
        """Return the class or enumeration that the hash of types knows by that name."""
        types = self._file.types
        if not fold:
            return types.named(name)
        wanted = name.lower()
        return types.named(name, lambda found: found.lower() == wanted)

    def _udt(self, name: str, fold: bool) -> Type | None:
        """Return the type that a record of the global symbols names; a definition if there is
        one."""
        declared: Type | None = None
        for kind, record in self._global_records(name, fold):
            if kind != S_UDT:
                continue
            found = named_by_udt(
                qualified(text(cstring(record, _UDT_NAME_AT))),
                partial(self.builder.type_of, u32(record, 4)),
            )
            if not getattr(found.bare, "is_declaration", False):
                return found
            declared = declared or found
        return declared

    def _global_records(self, name: str, fold: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, record) of the global symbols of that name."""
        wanted = name.lower() if fold else name
        records = self._file.records
        for offset in self._file.globals.bucket(name.encode()):
            try:
                record = records.record(offset)
                kind = record[2] | record[3] << 8
                found = qualified(text(cstring(record, _name_at(kind, record))))
            except (FormatError, IndexError):
                continue
            if (found.lower() if fold else found) == wanted:
                yield kind, record

    def types_matching(self, pattern: str, cancel: CancelToken) -> Iterator[Type]:
        pattern = _KEYWORD.sub("", pattern.strip(), count=1)
        regex = compile_wildcard(pattern)
        literal = search_literal(pattern)
        seen: set[str] = set()
        for index, name in self._named_records(literal, cancel):
            if name in seen or regex.fullmatch(name) is None:
                continue
            found = self.builder.type_of(index)
            if not getattr(found, "is_declaration", False):
                seen.add(name)
                yield found
        for name, index in self._udts(literal, cancel):
            if name not in seen and regex.fullmatch(name) is not None:
                seen.add(name)
                yield named_by_udt(name, partial(self.builder.type_of, index))

    def _named_records(self, literal: bytes, cancel: CancelToken) -> Iterator[tuple[int, str]]:
        """Yield index and name of the classes and enumerations whose records hold *literal*."""
        for number, (index, record) in enumerate(
            self._file.types.tpi.containing(literal, cancel.check)
        ):
            if number % _POLL == 0:
                cancel.check()
            leaf = record[2] | record[3] << 8
            if leaf not in tpi.KEYWORDS:
                continue
            try:
                name = tpi.aggregate(leaf, record[4:]).name
            except FormatError:
                continue
            if name and not name.startswith("<"):
                yield index, qualified(name)

    def _udts(self, literal: bytes, cancel: CancelToken) -> Iterator[tuple[str, int]]:
        """Yield name and type of the S_UDT records whose names hold *literal*."""
        stream = self._file.records.stream
        for base in range(0, stream.size, _CHUNK):
            cancel.check()
            chunk = stream.read_once(base, min(_CHUNK + _OVERLAP, stream.size - base))
            for number, start in enumerate(_udt_starts(chunk, literal)):
                if number % _POLL == 0:
                    cancel.check()
                if start < _CHUNK:
                    yield (
                        qualified(text(cstring(chunk, start + _UDT_NAME_AT))),
                        u32(chunk, start + 4),
                    )

    def type_of_index(self, index: int) -> Type | None:
        return self.builder.type_of(index) if index else None

    def type_at(self, rva: int) -> Type | None:
        file = self._file
        key = file.key_of_rva(rva)
        module = file.module_at(key) if key is not None else None
        if key is None:
            return None
        found = module.symbols.function_starting_at(key) if module is not None else None
        if found is None:
            data = file.data_at(key)
            found = data[0] if data else None
        if found is None or not found.type_index:
            return None
        index = found.type_index
        if found.has_id_type:
            index = file.types.function_type_of_id(index)
        return self.builder.type_of(index) if index else None

    # -- variables -------------------------------------------------------------------------

    @property
    def variables(self) -> PdbVariables:
        """Return those of functions."""
        if self._variables is None:
            from polydbg.symbols.pdb_variables import PdbVariables

            self._variables = PdbVariables(self._file, self.builder)
        return self._variables

    def scopes_at(self, rva: int) -> Sequence[Scope]:
        return self.variables.scopes_at(rva)

    def global_near(
        self, rva: int, name: str, cancel: CancelToken | None = None
    ) -> Variable | None:
        return self.variables.static_near(rva, name)

    def _static_place(self, name: str) -> tuple[int | None, int | None]:
        """Return the RVA of a static member, or its value where it is only a constant."""
        for kind, record in self._global_records(name):
            if kind in DATA:
                found = read_symbol(record, 0, 0)
                return self._file.rva_of_key(found.key) if found is not None else None, None
            if kind == S_CONSTANT:
                value, _ = constant(record, _CONSTANT.size)
                return None, value if isinstance(value, int) else None
        return None, None

    def global_named(self, name: str, cancel: CancelToken | None = None) -> Variable | None:
        for fold in (False, True):
            for kind, record in self._global_records(name, fold):
                found = self._variable(kind, record)
                if found is not None:
                    return found
        return None

    def _variable(self, kind: int, record: bytes) -> Variable | None:
        """Return what a record of the global symbols describes, ``None`` for other kinds."""
        if kind == S_CONSTANT:
            _, _, index = unpack(_CONSTANT, record, 0)
            value, at = constant(record, _CONSTANT.size)
            name = qualified(text(cstring(record, at)))
            place = constant_place(self.builder, index, value)
            type_ = partial(self.builder.type_of, index)
            return Variable(name, VariableKind.CONSTANT, type_, lambda frame: place)
        found = read_symbol(record, 0, 0) if kind in DATA or kind in THREAD_DATA else None
        if found is None:
            return None
        type_ = partial(self.builder.type_of, found.type_index)
        name = qualified(found.name)
        if kind in THREAD_DATA:
            return Variable(
                name, VariableKind.THREAD, type_, partial(thread_place, found.key & 0xFFFFFFFF)
            )
        rva = self._file.rva_of_key(found.key)
        if rva is None:
            return None
        return Variable(name, VariableKind.GLOBAL, type_, partial(static_place, rva), rva=rva)

    def globals_without_address(self, pattern: str, cancel: CancelToken) -> Iterator[Variable]:
        regex = compile_wildcard(pattern)
        literal = search_literal(pattern)
        stream = self._file.records.stream
        seen: set[str] = set()
        for base in range(0, stream.size, _CHUNK):
            cancel.check()
            chunk = stream.read_once(base, min(_CHUNK + _OVERLAP, stream.size - base))
            if literal and literal not in chunk.lower():
                continue
            # Constants, enumerators among them, are left out, as the engine does.
            for kind in sorted(THREAD_DATA):
                for start in _record_starts(chunk, kind):
                    if start >= _CHUNK:
                        break
                    size = (chunk[start] | chunk[start + 1] << 8) + 2
                    found = self._variable(kind, chunk[start : start + size])
                    if not found or found.name in seen or not regex.fullmatch(found.name):
                        continue
                    seen.add(found.name)
                    yield found


def _name_at(kind: int, record: bytes) -> int:
    if kind == S_UDT:
        return _UDT_NAME_AT
    if kind == S_CONSTANT:
        return numeric(record, _CONSTANT.size)[1]
    if kind in DATA or kind in THREAD_DATA or kind == S_PROCREF:
        return _DATA_NAME_AT
    raise FormatError("a record without a name")


def _record_starts(chunk: bytes, kind: int) -> Iterator[int]:
    """Yield where records of *kind* begin in *chunk*."""
    wanted = struct.pack("<H", kind)
    hit = chunk.find(wanted)
    while hit >= 0:
        start = hit - 2
        size = (chunk[start] | chunk[start + 1] << 8) + 2 if start >= 0 else 0
        if start >= 0 and not start & 3 and not size & 3 and 12 <= size <= _MAX_NAME:
            end = start + size
            if end <= len(chunk) and chunk[end - 1] in (0, 0xF1, 0xF2, 0xF3):
                yield start
        hit = chunk.find(wanted, hit + 2)


def _udt_starts(chunk: bytes, literal: bytes) -> Iterator[int]:
    """Yield where the S_UDT records begin whose names hold *literal* (lower case)."""
    if not literal:
        yield from _record_starts(chunk, S_UDT)
        return
    folded = chunk.lower()
    hit = folded.find(literal)
    while hit >= 0:
        zero = chunk.rfind(b"\0", max(hit - _MAX_NAME, 0), hit)
        start = zero + 1 - _UDT_NAME_AT
        if start >= 0 and not start & 3 and (chunk[start + 2] | chunk[start + 3] << 8) == S_UDT:
            yield start
            hit = folded.find(literal, start + 2 + (chunk[start] | chunk[start + 1] << 8))
        else:
            hit = folded.find(literal, hit + 1)
