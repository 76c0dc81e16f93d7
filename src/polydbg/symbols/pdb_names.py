"""Names in a PDB: one by its exact name, many by a wildcard, and all names of an address.

Global names lie in one stream of records, reached by two hashes: private names (data, references
to functions) and public ones (decorated). Lists come in the order of the hashes, private data
first, then functions, then publics, as the debugger lists them. A public stays out of a list where
a private symbol has its address, and so do string literals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard, literals_of
from polydbg.formats.pdb.gsi import S_PUB32, SymbolHash
from polydbg.formats.pdb.module import (
    DATA,
    S_LPROCREF,
    S_PROCREF,
    S_THUNK32,
    CodeViewSymbol,
    read_symbol,
)
from polydbg.formats.pdb.reading import cstring, qualified, text
from polydbg.symbols.demangle import undecorate
from polydbg.symbols.pdb_file import Module, PdbFile
from polydbg.symbols.source import Symbol, SymbolKind

_REFERENCES = frozenset((S_PROCREF, S_LPROCREF))
_WANTED = _REFERENCES | DATA | {S_PUB32}
_NAME_AT = 14  # in all of them
_CHUNK = 1 << 21
_OVERLAP = 1 << 16  # the longest record
_MAX_NAME = 1 << 13
_POLL = 512
_PART = 1 << 15
_MAX_CANDIDATES = 1 << 15
_STRING_LITERAL = b"??_C@"
# Words that undecorating puts into names, so a pattern's text need not be in the decorated name.
_MADE_WORDS = (
    "operator new delete `rtti complete object locator class hierarchy descriptor base array at "
    "type descriptor' `vftable' `vbtable' `vcall' `typeof' `local static guard' `string' "
    "`vbase destructor' `vector deleting destructor' `default constructor closure' "
    "`scalar deleting destructor' `vector constructor iterator' `vector destructor iterator' "
    "`eh vector vbase copy constructor iterator' `anonymous namespace' `dynamic initializer for "
    "`dynamic atexit destructor for `adjustor `managed `udt returning' `virtual displacement map' "
    "`local vftable' `placement closure' `omni callsig' `thread safe static guard' "
    "void bool char unsigned short int long __int64 float double wchar_t const volatile signed "
    "char8_t char16_t char32_t nullptr_t decltype auto __cdecl __stdcall __thiscall __vectorcall "
    "__fastcall vtable typeinfo name guard variable __ptr64 true false lambda"
)
_ANONYMOUS = b"`anonymous namespace'"
_HASHED_SCOPE = re.compile(rb"@(\?A0x[0-9A-Fa-f]{1,8})@")  # of a decorated name
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def public_symbol(file: PdbFile, record: bytes) -> Symbol | None:
    """Return a public record as a symbol, ``None`` when its section is not in the image."""
    if len(record) <= _NAME_AT:
        return None
    flags = int.from_bytes(record[4:8], "little")
    key = public_key(record)
    rva = file.rva_of_key(key)
    if rva is None:
        return None
    name = undecorate(text(cstring(record, _NAME_AT)))
    # Bit 0: code, bit 1: function. Import libraries' thunks have neither and are code all the same.
    is_code = bool(flags & 3) or file.sections.is_code(key >> 32)
    return Symbol(name, rva, 0, SymbolKind.PUBLIC, is_code)


def public_key(record: bytes) -> int:
    """Return the packed address of a public record."""
    return int.from_bytes(record[12:14], "little") << 32 | int.from_bytes(record[8:12], "little")


def private_symbol(file: PdbFile, found: CodeViewSymbol, rva: int | None = None) -> Symbol | None:
    """Return a module's or global record as a symbol, ``None`` when it is not in the image."""
    if rva is None:
        rva = file.rva_of_key(found.key)
        if rva is None:
            return None
    size, type_index = found.size, found.type_index
    if found.is_procedure:
        kind = SymbolKind.FUNCTION
        if found.has_id_type:
            try:
                type_index = file.types.function_type_of_id(type_index)
            except FormatError:
                type_index = 0
    elif found.kind == S_THUNK32:
        kind = SymbolKind.THUNK
    elif found.kind in DATA:
        kind = SymbolKind.DATA
        try:
            size = file.types.size(type_index)
        except FormatError:
            size = 0  # the address is good even if the type is not
    else:
        kind = SymbolKind.LABEL
    is_code = kind is not SymbolKind.DATA
    return Symbol(qualified(found.name), rva, size, kind, is_code, found.is_global, type_index)


class PdbNames:
    """Searches by name."""

    def __init__(self, file: PdbFile) -> None:
        self._file = file

    # -- one name ------------------------------------------------------------------------------

    def named(self, name: str) -> Symbol | None:
        """Return one symbol by its exact name, in the case given if there is one."""
        encoded = name.encode()
        for fold in (False, True):
            for _, record in self._file.globals.find(encoded, fold=fold):
                found = self._private(record)
                symbol = private_symbol(self._file, found) if found is not None else None
                if symbol is not None:
                    return symbol
            symbol = self._public_named(name, encoded, fold)
            if symbol is not None:
                return symbol
        return None

    def _public_named(self, name: str, encoded: bytes, fold: bool) -> Symbol | None:
        """Return a public by its shown name, else by its name as stored.

        What undecorating takes off a C name is one character in front; C++ needs a search.
        """
        stored = None
        for raw in (encoded, b"_" + encoded, b"." + encoded, b"@" + encoded):
            for _, record in self._file.publics.names.find(raw, fold=fold):
                symbol = public_symbol(self._file, record)
                if symbol is None:
                    continue
                if symbol.name == name or (fold and symbol.name.lower() == name.lower()):
                    return symbol
                stored = stored or (symbol if raw == encoded else None)
        return stored

    def _private(self, record: bytes) -> CodeViewSymbol | None:
        """Return what a global record stands for: data itself, or the function referred to."""
        kind = record[2] | record[3] << 8
        if kind in _REFERENCES:
            found = self._file.referenced(record)
            return found[0] if found is not None else None
        if kind in DATA:
            return read_symbol(record, 0, 0)
        return None

    def function(self, name: str, key: int) -> tuple[CodeViewSymbol, Module] | None:
        """Return the function that has a name and an address, and its module."""
        for _, record in self._file.globals.find(name.encode()):
            found = None
            if (record[2] | record[3] << 8) in _REFERENCES:
                found = self._file.referenced(record)
            if found is not None and found[0].key == key and found[0].is_procedure:
                return found
        return None

    def private_of_public(self, key: int, record: bytes) -> CodeViewSymbol | None:
        """Return the private symbol that has the address and the name of a public one."""
        if not self._file.has_private:
            return None
        raw = cstring(record, _NAME_AT)
        shown = undecorate(text(raw)).encode()
        stored = _HASHED_SCOPE.search(raw)
        hashed = shown.replace(_ANONYMOUS, stored[1]) if stored else shown
        for name in dict.fromkeys((shown, raw, hashed)):
            for _, candidate in self._file.globals.find(name):
                found = self._private(candidate)
                if found is not None and found.key == key:
                    return found
        return None

    # -- wildcards -----------------------------------------------------------------------------

    def matching(self, pattern: str, cancel: CancelToken) -> Iterator[Symbol]:
        """Yield the symbols whose names match, in the order described above."""
        regex = compile_wildcard(pattern)
        literal = search_literal(pattern)
        candidates = self._candidates(literal, cancel) if literal else None
        listed: set[int] = set()
        yield from self._private_matching(regex, candidates, listed, cancel)
        yield from self._public_matching(regex, candidates, listed, cancel)

    def _ordered(
        self, names: SymbolHash, candidates: set[int] | None, cancel: CancelToken
    ) -> Iterator[tuple[int, bytes]]:
        """Yield (offset plus one, record) of the candidates in the order of a hash."""
        read = self._file.records.record
        order = names.order()
        wanted = candidates.__contains__ if candidates is not None else bool
        for start in range(0, len(order), _PART):
            cancel.check()
            for number, offset in enumerate(filter(wanted, order[start : start + _PART])):
                if number % _POLL == 0:
                    cancel.check()
                yield offset, read(offset - 1)

    def _private_matching(
        self,
        regex: re.Pattern[str],
        candidates: set[int] | None,
        listed: set[int],
        cancel: CancelToken,
    ) -> Iterator[Symbol]:
        """Yield data as it comes, then the functions."""
        seen: set[tuple[str, int]] = set()
        functions: list[int] = []
        for offset, record in self._ordered(self._file.globals, candidates, cancel):
            if len(record) <= _NAME_AT:
                continue
            kind = record[2] | record[3] << 8
            is_function = kind in _REFERENCES
            if not is_function and kind not in DATA:
                continue
            if regex.fullmatch(qualified(text(cstring(record, _NAME_AT)))) is None:
                continue
            if is_function:
                functions.append(offset)
                continue
            yield from self._once(record, listed, seen)
        for number, offset in enumerate(functions):
            if number % _POLL == 0:
                cancel.check()
            yield from self._once(self._file.records.record(offset - 1), listed, seen)

    def _once(
        self, record: bytes, listed: set[int], seen: set[tuple[str, int]]
    ) -> Iterator[Symbol]:
        """Yield the symbol of a private record, if its name and address are new."""
        found = self._private(record)
        symbol = private_symbol(self._file, found) if found is not None else None
        if found is None or symbol is None:
            return
        listed.add(found.key)
        if (symbol.name, symbol.rva) not in seen:
            seen.add((symbol.name, symbol.rva))
            yield symbol

    def _public_matching(
        self,
        regex: re.Pattern[str],
        candidates: set[int] | None,
        listed: set[int],
        cancel: CancelToken,
    ) -> Iterator[Symbol]:
        for _, record in self._ordered(self._file.publics.names, candidates, cancel):
            if len(record) <= _NAME_AT or record.startswith(_STRING_LITERAL, _NAME_AT):
                continue
            key = public_key(record)
            if key in listed:
                continue  # before the work of undecorating its name
            if regex.fullmatch(undecorate(text(cstring(record, _NAME_AT)))) is None:
                continue
            if self._has_private(key, record):
                continue
            symbol = public_symbol(self._file, record)
            if symbol is not None:
                yield symbol

    def _has_private(self, key: int, record: bytes) -> bool:
        """Tell whether a private symbol starts where a public one does."""
        if not self._file.has_private:
            return False
        if self.private_of_public(key, record) is not None:
            return True
        module = self._file.module_at(key)
        return module is not None and any(
            symbol.is_procedure or symbol.kind in DATA for symbol in module.symbols.starting_at(key)
        )

    def _candidates(self, literal: bytes, cancel: CancelToken) -> set[int] | None:
        """Return the offsets, plus one, of the records whose names contain *literal* (lower case).

        ``None`` when they are so many that it is quicker to look at every record.

        The stream is searched in pieces; each hit is brought back to the start of its record,
        which stands 14 bytes before the name.
        """
        stream = self._file.records.stream
        found: set[int] = set()
        position = 0
        while position < stream.size:
            cancel.check()
            chunk = stream.read_once(position, min(_CHUNK + _OVERLAP, stream.size - position))
            folded = chunk.lower()
            hit = folded.find(literal)
            hits = 0
            while hit >= 0:
                start, end = _record_around(chunk, hit, position)
                if start >= 0:
                    found.add(position + start + 1)
                hits += 1
                if hits % _POLL == 0:
                    cancel.check()
                hit = folded.find(literal, max(end, hit + 1))
            if len(found) > _MAX_CANDIDATES:
                return None
            position += _CHUNK
        return found


def _record_around(chunk: bytes, hit: int, base: int) -> tuple[int, int]:
    """Return (start, end) of the record whose name contains *hit*; start is -1 when none does.

    The bytes before the name are a section's or module's number, whose high byte mostly is 0, so
    the last NUL before the hit is at most a few bytes before the name.
    """
    zero = chunk.rfind(b"\0", max(hit - _MAX_NAME, 0), hit)
    if zero < 0:
        return -1, hit + 1
    for name in range(zero + 1, min(zero + 5, hit + 1)):
        start = name - _NAME_AT
        if start < 0 or (base + start) & 3:
            continue
        if (chunk[start + 2] | chunk[start + 3] << 8) not in _WANTED:
            continue
        end = start + 2 + (chunk[start] | chunk[start + 1] << 8)
        stop = chunk.find(b"\0", hit, min(end, len(chunk)))
        if stop >= 0 and end - stop <= 4:
            return start, end
    return -1, hit + 1


def search_literal(pattern: str) -> bytes:
    """Return text, in lower case, that the record of every match contains; b"" for none.

    Only parts of a pattern that are identifiers, and cannot come from the words that undecorating
    makes up, are sure to be in a decorated name as they are.
    """
    best = ""
    for run in literals_of(pattern):
        for match in _IDENTIFIER.finditer(run):
            word = match[0].strip("_").lower()
            if len(word) > len(best) and word.isascii() and word not in _MADE_WORDS:
                best = word
    return best.encode() if len(best) >= 2 else b""
