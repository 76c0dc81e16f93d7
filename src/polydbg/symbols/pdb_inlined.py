"""Inlined functions by name: where ``x`` says ``module!leaf =  (inline caller) module!f+49``.

No hash of a PDB knows inlined calls. The names of functions are in the id stream, with a number
for their class or namespace; the calls in the symbols of every module, with the function's id. So
the ids that match come first, and most patterns end there; then the modules' bytes are searched
for inline sites with such an id.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard, is_wildcard, literals_of
from polydbg.formats.pdb.dbi import NO_STREAM
from polydbg.formats.pdb.inlines import Site
from polydbg.formats.pdb.module import S_INLINESITE, S_INLINESITE2, CodeViewSymbol
from polydbg.formats.pdb.reading import cstring, qualified, text
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
from polydbg.symbols.pdb_names import private_symbol
from polydbg.symbols.source import Symbol

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
_FUNCTIONS = frozenset((LF_FUNC_ID, LF_MFUNC_ID))
_NAME_AT = 12  # in records of functions: length, leaf, scope, type come before
_FUNCTION = struct.Struct("<2xHI")  # leaf, scope
_SITE = struct.Struct("<HHIII")  # length, kind, parent, end, inlinee
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_POLL = 512
_MAX_DEPTH = 256


class InlinedCaller(msgspec.Struct, frozen=True):
    """An inlined call: the inlined function, the RVA where its code begins, and its caller.

    *size* is that of the call's own code, in bytes.
    """

    name: str
    rva: int
    size: int
    caller: Symbol


def inlined_callers(file: PdbFile, pattern: str, cancel: CancelToken) -> Iterator[InlinedCaller]:
    """Yield the inlined calls of the functions whose qualified names match *pattern*."""
    if not file.has_private:
        return
    names = _matching_ids(file, pattern, cancel)
    if not names:
        return
    seen: set[tuple[str, int]] = set()
    for number in range(len(file.dbi.modules)):
        cancel.check()
        for function, sites in _callers(file, number, names, cancel):
            for call in _calls(file, function, sites, names):
                if (call.name, call.rva) not in seen:
                    seen.add((call.name, call.rva))
                    yield call


# -- which functions ---------------------------------------------------------------------------


def _matching_ids(file: PdbFile, pattern: str, cancel: CancelToken) -> dict[int, str]:
    """Return the ids of the functions whose qualified names match, with these names.

    The text to look for can stand in the function's own name or in that of its scope. The scopes
    that hold it are collected first, in one pass: to look each one up would take seconds.
    """
    wanted = compile_wildcard(pattern)
    word = _word(pattern)
    # Without wildcard or "::" nothing but a function of the global scope can match.
    scopes: dict[tuple[int, int], str] = {}
    if is_wildcard(pattern) or "::" in pattern:
        scopes = _scopes(file, word, cancel)
    found: dict[int, str] = {}
    records = file.types.ipi.containing(b"" if scopes else word, cancel.check)
    for count, (index, record) in enumerate(records):
        if count % _POLL == 0:
            cancel.check()
        if len(record) <= _NAME_AT:
            continue
        leaf, number = _FUNCTION.unpack_from(record)
        scope = scopes.get((leaf, number))
        if leaf not in _FUNCTIONS or (scope is None and word not in record.lower()):
            continue
        try:
            if scope:
                name = qualified(f"{scope}::{text(cstring(record, _NAME_AT))}")
            else:
                name = file.types.function_name_of_id(index)
        except FormatError:
            continue  # one damaged id does not hide the others
        if wanted.fullmatch(name) is not None:
            found[index] = name
    return found


def _word(pattern: str) -> bytes:
    """Return the longest identifier, in lower case, that every match has; ``b""`` for none.

    It lies within one part of a qualified name, since ``::`` is no part of it.
    """
    words = [word.lower() for run in literals_of(pattern) for word in _IDENTIFIER.findall(run)]
    # These words, and parts of them, are not always spelled so in the file.
    words = [word for word in words if word not in "anonymous namespace"]
    return max(words, key=len, default="").encode()


def _scopes(file: PdbFile, word: bytes, cancel: CancelToken) -> dict[tuple[int, int], str]:
    """Return (leaf of the function's id, number) -> name of the scopes that hold *word*."""
    found: dict[tuple[int, int], str] = {}
    types = file.types
    for leaf, stream in ((LF_MFUNC_ID, types.tpi), (LF_FUNC_ID, types.ipi)):
        for count, (index, record) in enumerate(stream.containing(word, cancel.check)):
            if count % _POLL == 0:
                cancel.check()
            kind = record[2] | record[3] << 8
            try:
                if leaf == LF_MFUNC_ID and kind in _CLASSES:
                    found[leaf, index] = aggregate(kind, record[4:]).name
                elif leaf == LF_FUNC_ID and kind == LF_STRING_ID:
                    found[leaf, index] = types.string_of_id(index)
            except FormatError:
                continue
    return found


# -- which calls -------------------------------------------------------------------------------


def _callers(
    file: PdbFile, number: int, names: dict[int, str], cancel: CancelToken
) -> Iterator[tuple[CodeViewSymbol, tuple[Site, ...]]]:
    """Yield the functions of a module with inlined calls of *names*, and their inlined calls.

    The module is decoded only when its bytes hold such a call.
    """
    info = file.dbi.modules[number]
    if info.stream == NO_STREAM or info.symbol_size <= 4:
        return
    stream = file.msf.stream(info.stream)
    data = stream.read(0, min(info.symbol_size, stream.size))
    positions = list(_sites(data, names, cancel))
    module = file.module(number) if positions else None
    if module is None:
        return
    functions: dict[int, CodeViewSymbol] = {}
    for position in positions:
        function = module.symbols.function_around(position)
        if function is not None:
            functions[function.position] = function
    for position in sorted(functions):
        yield functions[position], module.sites(functions[position])


def _sites(data: bytes, names: dict[int, str], cancel: CancelToken) -> Iterator[int]:
    """Yield the positions of the inline sites in *data* whose function is in *names*."""
    for kind in (S_INLINESITE, S_INLINESITE2):
        mark = kind.to_bytes(2, "little")
        hit = data.find(mark)
        count = 0
        while hit >= 0:
            position = hit - 2
            if position >= 4 and position & 3 == 0 and position + _SITE.size <= len(data):
                length, _, _, _, function_id = _SITE.unpack_from(data, position)
                if function_id in names and length + 2 >= _SITE.size:
                    yield position
            hit = data.find(mark, hit + 1)
            count += 1
            if count % _POLL == 0:
                cancel.check()


def _calls(
    file: PdbFile,
    function: CodeViewSymbol,
    sites: tuple[Site, ...],
    names: dict[int, str],
    depth: int = 0,
) -> Iterator[InlinedCaller]:
    for site in sites:
        name = names.get(site.function_id)
        rva = file.rva_of_key(function.key + site.start) if name is not None else None
        caller = private_symbol(file, function) if rva is not None else None
        if name is not None and rva is not None and caller is not None:
            size = sum(piece.end - piece.start for piece in site.ranges)
            yield InlinedCaller(name, rva, size, caller)
        if depth < _MAX_DEPTH:
            yield from _calls(file, function, site.children, names, depth + 1)
