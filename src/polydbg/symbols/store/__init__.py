"""Finding the debug file or image of one build: path grammar, stores, the trail of a search.

The package reads no PDB and no PE image: the caller passes a function that reads a candidate's id.
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
