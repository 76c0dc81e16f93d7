"""Inlined functions by name: where ``x`` says ``module!leaf =  (inline caller) module!f+49``.

Names of inlined functions are in the id stream only; which calls of them there are, in the symbols
of every module. So the ids that match come first, and most patterns end there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.base.wildcards import compile_wildcard
from polydbg.formats.pdb.inlines import Site
from polydbg.formats.pdb.module import CodeViewSymbol
from polydbg.formats.pdb.tpi import LF_FUNC_ID, LF_MFUNC_ID
from polydbg.symbols.pdb_file import Module, PdbFile
from polydbg.symbols.pdb_names import private_symbol, search_literal
from polydbg.symbols.source import Symbol

_MAX_IDS = 4096
_MAX_ALL_IDS = 50_000
_FEW = 8
_MAX_DEPTH = 256


@dataclass(frozen=True, slots=True)
class InlinedCaller:
    """An inlined call: the inlined function, the RVA where its code begins, and its caller."""

    name: str
    rva: int
    caller: Symbol


def inlined_callers(file: PdbFile, pattern: str, cancel: CancelToken) -> Iterator[InlinedCaller]:
    """Yield the inlined calls of the functions whose names match *pattern*.

    A pattern without any text of a name to look for (``*``) has none: it would list every call.
    """
    literal = search_literal(pattern)
    if not literal or not file.has_private:
        return
    names = dict(_matching_ids(file, pattern, literal, cancel))
    if not names:
        return
    for number in range(len(file.dbi.modules)):
        cancel.check()
        module = file.module(number)
        if module is None or module.info.symbol_size <= 4:
            continue
        for function in _callers(module, names, cancel):
            yield from _calls(file, function, module.sites(function), names)


def _matching_ids(
    file: PdbFile, pattern: str, literal: bytes, cancel: CancelToken
) -> Iterator[tuple[int, str]]:
    """Yield (id, name) of the functions in the id stream whose names match.

    The last part of a name is in the record itself; what the literal may come from besides is
    the class or namespace, so records that only refer to such are looked at, too.
    """
    regex = compile_wildcard(pattern)
    last = search_literal(pattern.rpartition("::")[2])
    ids = file.types.ipi
    if not last and ids.end - ids.first > _MAX_ALL_IDS:
        return  # `scope::*` would mean to spell out every id
    count = 0
    for index, record in ids.containing(last, cancel.check):
        leaf = record[2] | record[3] << 8
        if leaf not in (LF_FUNC_ID, LF_MFUNC_ID):
            continue
        try:
            name = file.types.function_name_of_id(index)
        except FormatError:
            continue  # one damaged id does not hide the others
        if regex.fullmatch(name) is not None:
            yield index, name
            count += 1
            if count >= _MAX_IDS:
                return


def _callers(module: Module, names: dict[int, str], cancel: CancelToken) -> list[CodeViewSymbol]:
    """Return the functions of a module with inlined calls of *names*, by their records' order."""
    symbols = module.symbols
    found: dict[int, CodeViewSymbol] = {}
    for number in names:
        cancel.check()
        if len(names) > _FEW and module.lines.inlinee(number) is None:
            continue  # cheaper than to look through the symbols for each of many
        for position in symbols.sites_of_function(number):
            function = symbols.function_around(position)
            if function is not None:
                found[function.position] = function
    return [found[position] for position in sorted(found)]


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
            yield InlinedCaller(name, rva, caller)
        if depth < _MAX_DEPTH:
            yield from _calls(file, function, site.children, names, depth + 1)
