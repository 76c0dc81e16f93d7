"""Where the functions whose names match were inlined: rows of ``x`` marked ``(inline caller)``.

No hash of a PDB knows inlined calls. The names of functions lie in the id stream (IPI), the calls
in the modules' symbols as ``S_INLINESITE`` records, each with the id of what was inlined and the
offset of the scope it stands in. So ids are matched first, then the modules' bytes are searched for
records with such an id: linear work, refused for PDBs too large for it.

Source: microsoft-pdb ``cvinfo.h`` (INLINESITESYM), LLVM "The PDB TPI and IPI Streams".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Set
from dataclasses import dataclass

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard, is_wildcard
from polydbg.formats.pdb.dbi import NO_STREAM
from polydbg.formats.pdb.inlines import decode_annotations
from polydbg.formats.pdb.module import (
    PROCEDURES,
    S_INLINESITE,
    S_INLINESITE2,
    CodeViewSymbol,
    read_symbol,
)
from polydbg.formats.pdb.reading import cstring, text
from polydbg.formats.pdb.tpi import (
    LF_CLASS,
    LF_CLASS2,
    LF_FUNC_ID,
    LF_INTERFACE,
    LF_INTERFACE2,
    LF_MFUNC_ID,
    LF_STRING_ID,
    LF_STRUCTURE,
    LF_STRUCTURE2,
    LF_UNION,
    LF_UNION2,
    aggregate,
)
from polydbg.symbols.pdb_file import PdbFile
from polydbg.symbols.pdb_names import search_literal

MAX_SEARCHED = 64 << 20
"""Bytes of types, ids and module symbols that one search may read; about a second of work."""

_TPI, _IPI = 2, 4
_TYPES_HEADER = struct.Struct("<IIIII")  # version, header size, first index, end index, bytes
_RECORD = struct.Struct("<HH")
_SITE = struct.Struct("<HHIII")  # size, kind, parent, end, inlinee
_FUNCTION_IDS = frozenset((LF_FUNC_ID, LF_MFUNC_ID))
_STRING_IDS = frozenset((LF_STRING_ID,))
_CLASSES = frozenset(
    (
        LF_CLASS,
        LF_STRUCTURE,
        LF_UNION,
        LF_INTERFACE,
        LF_CLASS2,
        LF_STRUCTURE2,
        LF_UNION2,
        LF_INTERFACE2,
    )
)
_CHUNK = 1 << 20
_POLL = 1024
_MAX_DEPTH = 256
_ANNOTATIONS_AT = {S_INLINESITE: 16, S_INLINESITE2: 20}


@dataclass(frozen=True, slots=True)
class InlinedCall:
    """*name* was inlined in the function *caller*: its first code is at *rva*, *displacement* bytes
    from the caller's start; *size* is that of its own code in bytes."""

    name: str
    rva: int
    size: int
    caller: str
    displacement: int


class InlineSearch:
    """A search of one PDB for the inlined calls of functions whose qualified names match."""

    def __init__(self, file: PdbFile, pattern: str) -> None:
        self._file = file
        self._pattern = pattern
        # Without wildcard or "::" nothing but a function of the global scope can match.
        self._scoped = is_wildcard(pattern) or "::" in pattern

    @property
    def is_affordable(self) -> bool:
        """Whether the search reads at most :data:`MAX_SEARCHED` bytes."""
        msf, modules = self._file.msf, self._file.dbi.modules
        total = msf.size_of(_IPI) + (msf.size_of(_TPI) if self._scoped else 0)
        for number in range(len(modules)):
            if total > MAX_SEARCHED:
                break
            info = modules[number]
            if info.stream != NO_STREAM:
                total += info.symbol_size
        return total <= MAX_SEARCHED

    def calls(self, cancel: CancelToken) -> Iterator[InlinedCall]:
        """Yield the calls, each name and address once.

        :raises FormatError: the types or ids are damaged.
        """
        names = self._matching_ids(cancel)
        if not names:
            return
        seen: set[tuple[str, int]] = set()
        for data in self._module_symbols(cancel):
            for position, number in _sites(data, names, cancel):
                call = _call(self._file, data, position, names[number])
                if call is not None and (call.name, call.rva) not in seen:
                    seen.add((call.name, call.rva))
                    yield call

    def _module_symbols(self, cancel: CancelToken) -> Iterator[bytes]:
        """Yield the symbol records of each module that has any."""
        modules = self._file.dbi.modules
        for number in range(len(modules)):
            cancel.check()
            info = modules[number]
            if info.stream == NO_STREAM or info.symbol_size <= 4:
                continue
            stream = self._file.msf.stream(info.stream)
            yield stream.read(0, min(info.symbol_size, stream.size))

    def _matching_ids(self, cancel: CancelToken) -> dict[int, str]:
        """Return the ids of functions whose qualified names match, with these names."""
        wanted = compile_wildcard(self._pattern)
        word = search_literal(self._pattern)  # in the scope's name or in the function's own
        scopes = _Scopes(self._file, word, cancel)
        found: dict[int, str] = {}
        for index, leaf, body in _records(self._file, _IPI, _FUNCTION_IDS, cancel):
            if len(body) < 9:
                continue
            own = cstring(body, 8)
            scope_index = int.from_bytes(body[:4], "little")
            if scope_index and not self._scoped:
                continue
            scope = ""
            if word in own.lower():
                scope = scopes.name(scope_index, leaf)
            elif not scope_index or not (scope := scopes.matching(scope_index, leaf)):
                continue
            name = f"{scope}::{text(own)}" if scope else text(own)
            if wanted.fullmatch(name):
                found[index] = name
        return found


class _Scopes:
    """Names of classes and namespaces, by the number that a function's id has for them."""

    def __init__(self, file: PdbFile, word: bytes, cancel: CancelToken) -> None:
        self._file = file
        self._word = word
        self._cancel = cancel
        self._names: dict[tuple[int, int], str] = {}
        self._matching: dict[int, dict[int, str]] = {}

    def name(self, index: int, leaf: int) -> str:
        """Return the name of a scope, ``""`` for the global one."""
        key = (leaf, index)
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = self._read(index, leaf) if index else ""
        return known

    def _read(self, index: int, leaf: int) -> str:
        types = self._file.types
        try:
            if leaf == LF_FUNC_ID:
                return types.string_of_id(index)
            kind, body = types.tpi.record(index)
            return aggregate(kind, body).name if kind in _CLASSES else ""
        except FormatError:
            return ""

    def matching(self, index: int, leaf: int) -> str:
        """Return the name of a scope that contains the word searched for, ``""`` for others."""
        known = self._matching.get(leaf)
        if known is None:
            known = self._matching[leaf] = self._collect(leaf)
        return known.get(index, "")

    def _collect(self, leaf: int) -> dict[int, str]:
        """Read all scopes in one pass: looking each up by its number would take far longer."""
        found: dict[int, str] = {}
        stream, leaves = (_IPI, _STRING_IDS) if leaf == LF_FUNC_ID else (_TPI, _CLASSES)
        if not _contains(self._file, stream, self._word, self._cancel):
            return found
        for index, kind, body in _records(self._file, stream, leaves, self._cancel):
            if self._word not in body.lower():
                continue
            try:
                name = (
                    self._file.types.string_of_id(index)
                    if kind == LF_STRING_ID
                    else aggregate(kind, body).name
                )
            except FormatError:
                continue
            found[index] = name
        return found


def _contains(file: PdbFile, number: int, word: bytes, cancel: CancelToken) -> bool:
    """Tell whether a stream has *word* (lower case) anywhere: much faster than reading records."""
    stream = file.msf.stream(number)
    for start in range(0, stream.size, _CHUNK):
        cancel.check()
        size = min(_CHUNK + len(word), stream.size - start)
        if word in stream.read(start, size).lower():
            return True
    return False


def _records(
    file: PdbFile, number: int, leaves: Set[int], cancel: CancelToken
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (index, leaf, body) of a type stream's records of the kinds in *leaves*."""
    stream = file.msf.stream(number)
    if stream.size < _TYPES_HEADER.size:
        return
    _, offset, index, end_index, size = stream.unpack(_TYPES_HEADER, 0)
    end = min(offset + size, stream.size)
    unpack, position = _RECORD.unpack_from, 0
    chunk = b""
    while offset + 4 <= end and index < end_index:
        chunk, position = stream.read(offset, min(_CHUNK, end - offset)), 0
        cancel.check()
        while position + 4 <= len(chunk):
            length, leaf = unpack(chunk, position)
            following = position + length + 2
            if following > len(chunk):
                break
            if length < 2:
                raise FormatError("the types of the PDB are damaged", offset=offset + position)
            if leaf in leaves:
                yield index, leaf, chunk[position + 4 : following]
            position = following
            index += 1
        if position == 0:
            return  # cut within its last record
        offset += position


def _sites(data: bytes, names: dict[int, str], cancel: CancelToken) -> Iterator[tuple[int, int]]:
    """Yield (position, id) of the inline sites in *data* whose function is in *names*."""
    for kind in _ANNOTATIONS_AT:
        mark = kind.to_bytes(2, "little")
        hit = data.find(mark)
        count = 0
        while hit >= 0:
            position = hit - 2
            if position >= 4 and position & 3 == 0 and position + _SITE.size <= len(data):
                size, _, _, end, number = _SITE.unpack_from(data, position)
                if number in names and size >= 14 and position < end < len(data):
                    yield position, number
            hit = data.find(mark, hit + 1)
            count += 1
            if count % _POLL == 0:
                cancel.check()


def _call(file: PdbFile, data: bytes, position: int, name: str) -> InlinedCall | None:
    """Return the call whose record is at *position*; ``None`` when no code of it is left."""
    function = _enclosing_function(data, position)
    if function is None:
        return None
    size, kind = _RECORD.unpack_from(data, position)
    start = position + _ANNOTATIONS_AT[kind]
    ranges = decode_annotations(data, start, min(position + size + 2, len(data)), function.size)
    if not ranges:
        return None
    first = min(piece.start for piece in ranges)
    rva = file.rva_of_key(function.key + first)
    if rva is None:
        return None
    length = sum(piece.end - piece.start for piece in ranges)
    return InlinedCall(name, rva, length, function.name, first)


def _enclosing_function(data: bytes, position: int) -> CodeViewSymbol | None:
    """Follow the scopes outwards from the record at *position* to its function."""
    for _ in range(_MAX_DEPTH):
        if position + _SITE.size > len(data):
            return None
        _, kind, parent, _, _ = _SITE.unpack_from(data, position)
        if kind in PROCEDURES:
            try:
                return read_symbol(data, position, position)
            except FormatError:
                return None
        if not 4 <= parent < position:
            return None
        position = parent
    return None
