"""What is asked of servers: records, no I/O.

A search looks at everything that lies on this host first; the servers of its path are gathered on
the way and asked at its end, all in one request.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from polydbg.symbols.store.trail import Trail, Wanted


class ServerKind(enum.Enum):
    """Which addresses a server has: ``NAME/KEY/NAME``, or debuginfod's ``buildid/ID/...``."""

    STORE = "symbol server"
    DEBUGINFOD = "debuginfod server"
    ADDRESS = "address"  # of one file: its URL is the server's


class Server(msgspec.Struct, frozen=True):
    """A server: *url* as typed (it may hold a password: show :func:`~polydbg.symbols.download.
    addresses.redacted`). *caches* are the stores that a file from it is put into, the nearest
    first; none stands for the default cache."""

    url: str
    kind: ServerKind
    caches: tuple[Path, ...] = ()


class IdCheck(msgspec.Struct, frozen=True):
    """What a candidate is: *found_id* in the form of a store key (or empty), *problem* in words
    when the file is damaged or no such file at all, *difference* what tells it from the wanted one
    where no ids can be compared."""

    matches: bool
    found_id: str = ""
    problem: str = ""
    difference: str = ""


Verify = Callable[[Path], IdCheck]
"""Opens a candidate and reads its id. It may run on another thread than the session's."""


class FetchRequest(msgspec.Struct, frozen=True, eq=False):
    """A file that servers may have. *name* and *key* are safe components of a path: the folder in
    stores is ``name/key``, the file in it *file_name*."""

    wanted: Wanted
    name: str
    key: str
    file_name: str
    servers: tuple[Server, ...]
    verify: Verify

    @property
    def identity(self) -> tuple[str, str, str, tuple[Server, ...]]:
        """Return what two requests for the same file have in common."""
        return self.name.lower(), self.key, self.file_name.lower(), self.servers


class Asker(Protocol):
    """Whoever can ask servers."""

    def ask(self, request: FetchRequest, trail: Trail) -> Path | None:
        """Return the file if it is there by now, else tell *trail* how far its fetching is or why
        it failed. Returns at once unless the session decided to wait."""
        ...
