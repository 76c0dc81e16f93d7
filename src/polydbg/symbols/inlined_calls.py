"""Where the functions whose names match were inlined: rows of ``x`` marked ``(inline caller)``.

No hash of a PDB knows inlined calls. The names of functions lie in the id stream (IPI), the calls
in the modules' symbols as ``S_INLINESITE`` records, each with the id of what was inlined and the
offset of the scope it stands in. So ids are matched first, then the modules' bytes are searched for
records with such an id: linear work, refused for PDBs too large for it.

Source: microsoft-pdb ``cvinfo.h`` (INLINESITESYM), LLVM "The PDB TPI and IPI Streams".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard
from polydbg.formats.pdb.dbi import NO_STREAM
from polydbg.formats.pdb.inlines import decode_annotations
from polydbg.formats.pdb.module import (
    PROCEDURES,
    S_INLINESITE,
    S_INLINESITE2,
    CodeViewSymbol,
    read_symbol,
)
from polydbg.formats.pdb.tpi import LF_FUNC_ID, LF_MFUNC_ID
from polydbg.symbols.pdb_file import PdbFile

MAX_SEARCHED = 64 << 20
"""Bytes of ids and module symbols that one search may read; about a second of work."""

_IPI = 4
_IPI_HEADER = struct.Struct("<IIIII")  # version, header size, first index, end index, bytes
_RECORD = struct.Struct("<HH")
_SITE = struct.Struct("<HHIII")  # size, kind, parent, end, inlinee
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
    """One PDB, and whether it is small enough to be searched."""

    def __init__(self, file: PdbFile) -> None:
        self.file = file
        self._affordable: bool | None = None

    @property
    def is_affordable(self) -> bool:
        """Whether a search reads at most :data:`MAX_SEARCHED` bytes."""
        if self._affordable is None:
            total = self.file.msf.size_of(_IPI)
            modules = self.file.dbi.modules
            for number in range(len(modules)):
                if total > MAX_SEARCHED:
                    break
                info = modules[number]
                if info.stream != NO_STREAM:
                    total += info.symbol_size
            self._affordable = total <= MAX_SEARCHED
        return self._affordable

    def module_symbols(self, cancel: CancelToken) -> Iterator[bytes]:
        """Yield the symbol records of each module that has any."""
        modules = self.file.dbi.modules
        for number in range(len(modules)):
            cancel.check()
            info = modules[number]
            if info.stream == NO_STREAM or info.symbol_size <= 4:
                continue
            stream = self.file.msf.stream(info.stream)
            yield stream.read(0, min(info.symbol_size, stream.size))


def inlined_calls(search: InlineSearch, pattern: str, cancel: CancelToken) -> Iterator[InlinedCall]:
    """Yield the inlined calls of the functions whose qualified names match *pattern*.

    :raises FormatError: the id stream is damaged.
    """
    names = _matching_ids(search.file, compile_wildcard(pattern), cancel)
    if not names:
        return
    seen: set[tuple[str, int]] = set()
    for data in search.module_symbols(cancel):
        for position, number in _sites(data, names, cancel):
            call = _call(search.file, data, position, names[number])
            if call is not None and (call.name, call.rva) not in seen:
                seen.add((call.name, call.rva))
                yield call


def _matching_ids(file: PdbFile, wanted: re.Pattern[str], cancel: CancelToken) -> dict[int, str]:
    """Return the ids of functions whose qualified names match, with these names."""
    found: dict[int, str] = {}
    types = file.types
    for index in _function_ids(file, cancel):
        try:
            name = types.function_name_of_id(index)
        except FormatError:
            continue
        if wanted.fullmatch(name):
            found[index] = name
    return found


def _function_ids(file: PdbFile, cancel: CancelToken) -> Iterator[int]:
    """Yield the indices of the function records of the id stream."""
    stream = file.msf.stream(_IPI)
    if stream.size < _IPI_HEADER.size:
        return
    _, offset, index, end_index, size = stream.unpack(_IPI_HEADER, 0)
    end = min(offset + size, stream.size)
    chunk, start = b"", offset
    count = 0
    while offset + 4 <= end and index < end_index:
        if offset + 4 > start + len(chunk):
            chunk, start = stream.read(offset, min(_CHUNK, end - offset)), offset
        length, leaf = _RECORD.unpack_from(chunk, offset - start)
        if length < 2:
            raise FormatError("the id stream of the PDB is damaged", offset=offset)
        if leaf in (LF_FUNC_ID, LF_MFUNC_ID):
            yield index
        offset += length + 2
        index += 1
        count += 1
        if count % _POLL == 0:
            cancel.check()


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
