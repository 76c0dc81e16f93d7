"""Source lines that exist only as inlined code: where they begin.

The line table of a function has the line of the call; what lies inside comes from the annotations
of its inline sites, counted from the first line of the inlined function.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.formats.pdb.inlines import Site
from polydbg.formats.pdb.module import CodeViewSymbol
from polydbg.symbols.pdb_file import Module

_MAX_FUNCTIONS = 8  # that begin before a line: it lies in the nearest, or the nearest is nested
_MAX_SITES = 4096
_MAX_DEPTH = 256


def inlined_keys_of_line(module: Module, files: frozenset[int], line: int) -> list[int]:
    """Return the packed addresses where inlined code of exactly *line* begins, ascending.

    *files* are offsets in the module's checksum table. Of a line that goes on in the next piece
    of code only the first piece counts.
    """
    for ids in module.lines.inlinees_before(files, line, _MAX_FUNCTIONS):
        keys = set[int]()
        for function in _callers(module, ids):
            for site in module.sites(function):
                keys.update(function.key + at for at in _starts(module, site, files, line))
        if keys:
            return sorted(keys)
    return []


def _callers(module: Module, ids: tuple[int, ...]) -> Iterator[CodeViewSymbol]:
    """Yield the functions that any of *ids* is inlined in, each once."""
    seen = set[int]()
    count = 0
    for number in ids:
        for position in module.symbols.sites_of_function(number):
            count += 1
            if count > _MAX_SITES:
                return
            function = module.symbols.function_around(position)
            if function is not None and function.position not in seen:
                seen.add(function.position)
                yield function


def _starts(
    module: Module, site: Site, files: frozenset[int], line: int, depth: int = 0
) -> Iterator[int]:
    """Yield where code of *line* begins in a site and its children, from the function's start."""
    begin = module.lines.inlinee(site.function_id)
    if begin is not None:
        end = -1
        for piece in sorted(site.ranges, key=lambda piece: piece.start):
            file = begin[0] if piece.file < 0 else piece.file
            if file in files and begin[1] + piece.line == line:
                if piece.start != end:
                    yield piece.start
                end = piece.end
    if depth < _MAX_DEPTH:
        for child in site.children:
            yield from _starts(module, child, files, line, depth + 1)
