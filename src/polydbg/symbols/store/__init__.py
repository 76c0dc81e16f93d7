"""Finding the debug file or image of one build: path grammar, stores, the trail of a search.

The package reads no PDB and no PE image: the caller passes a function that reads a candidate's id.
"""

from polydbg.symbols.store.locate import IdCheck, Located, locate
from polydbg.symbols.store.path import PathCheck, SymbolPath
from polydbg.symbols.store.sources import SourceFinder
from polydbg.symbols.store.trail import FileKind, Outcome, Trail, TrailEntry, Wanted

__all__ = [
    "FileKind",
    "IdCheck",
    "Located",
    "Outcome",
    "PathCheck",
    "SourceFinder",
    "SymbolPath",
    "Trail",
    "TrailEntry",
    "Wanted",
    "locate",
]
