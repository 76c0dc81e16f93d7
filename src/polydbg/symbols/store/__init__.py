"""Finding the debug file or image of one build: path grammar, stores, the trail of a search.

Searches read no PDB and no image: the caller passes a function that reads a candidate's id. What a
file is by its content alone, :mod:`~polydbg.symbols.store.contents` says.
"""

from polydbg.symbols.store.locate import Located, ask_servers, locate, servers_of
from polydbg.symbols.store.path import PathCheck, SymbolPath
from polydbg.symbols.store.remote import Asker, FetchRequest, IdCheck, Server, ServerKind, Verify
from polydbg.symbols.store.sources import SourceFinder
from polydbg.symbols.store.trail import FileKind, Outcome, Trail, TrailEntry, Wanted

__all__ = [
    "Asker",
    "FetchRequest",
    "FileKind",
    "IdCheck",
    "Located",
    "Outcome",
    "PathCheck",
    "Server",
    "ServerKind",
    "SourceFinder",
    "SymbolPath",
    "Trail",
    "TrailEntry",
    "Verify",
    "Wanted",
    "ask_servers",
    "locate",
    "servers_of",
]
