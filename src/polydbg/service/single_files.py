"""One file by its id, fetched into the cache: as debuginfod-find does, and the same for stores."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Item
from polydbg.commands.pack_rows import FetchedFile, FetchedPath
from polydbg.engine.downloads import Downloads
from polydbg.engine.gathering import (
    NO_SERVERS,
    Gatherer,
    reason_of,
    wanted_file,
)
from polydbg.engine.settings import Settings
from polydbg.engine.wanted_files import BREAKPAD, DEBUGINFO, EXECUTABLE, IMAGE, PDB, WantedFile
from polydbg.service.api import Event
from polydbg.service.symbol_packs import ask_anew, events_of
from polydbg.symbols.store import ServerKind, Trail
from polydbg.symbols.store.contents import elf_key, is_build_id
from polydbg.symbols.store.hostpath import base_name, is_safe_key, unsafe_reason

_OF_BUILD = re.compile(r"(debuginfo|executable|section|source):([0-9A-Fa-f]+)(/.*)?", re.DOTALL)
_KEY = re.compile(r"(?P<elf>elf-buildid-(?P<debug>sym-)?)|(?P<macho>mach-uuid-(?P<dsym>sym-)?)")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{9,40}")
_PDB_KEY = re.compile(r"[0-9A-Fa-f]{33,40}")


class Single(msgspec.Struct, frozen=True):
    """What is asked for: *file* for whole ones; else *what* (``section`` or ``source``) of
    *build_id*, called *name*."""

    file: WantedFile | None
    what: str = ""
    build_id: str = ""
    name: str = ""


def parse_single(text: str) -> Single | None:
    """Return what *text* asks for: ``debuginfo:ID``, ``executable:ID``, ``section:ID/NAME``,
    ``source:ID/PATH`` or ``NAME/KEY``; ``None`` where it has no such form.

    :raises CommandError: it has, but no such file can be.
    """
    if (found := _OF_BUILD.fullmatch(text)) is not None:
        return _of_build(found[1], found[2].lower(), found[3] or "")
    name, slash, key = text.rpartition("/")
    prefix = _KEY.match(key)
    if not slash or unsafe_reason(name) or not is_safe_key(key):
        return None
    if prefix is None and not _HEX_KEY.fullmatch(key):
        return None  # the path of a dump
    if prefix is not None:
        is_debug = bool(prefix["debug"] or prefix["dsym"])
        build_id = key.removeprefix(prefix[0]) if prefix["elf"] else ""
        kind = DEBUGINFO if is_debug else EXECUTABLE
        return Single(wanted_file(kind, name, key, build_id, key))
    kind = IMAGE
    if name.lower().endswith(".sym"):
        name, kind = name[: -len(".sym")], BREAKPAD
    elif _PDB_KEY.fullmatch(key):
        kind = PDB if name.lower().endswith(".pdb") else BREAKPAD
    return Single(wanted_file(kind, name, key, words=key))


def _of_build(what: str, build_id: str, rest: str) -> Single:
    """:raises CommandError: no build id, or a name too many or too few."""
    if not is_build_id(build_id):
        raise CommandError(f"'{build_id}' is no build id", identifier="fetch.no-id")
    if what in ("section", "source"):
        name = rest[1:] if what == "section" else rest
        if not name.strip("/") or any(char < " " for char in name):
            example = ".debug_info" if what == "section" else "usr/src/app.c"
            raise CommandError(
                f"{what}: needs a name behind the build id", hint=f"{what}:{build_id}/{example}"
            )
        return Single(None, what, build_id, name)
    if rest:
        raise CommandError(f"{what}: takes a build id alone", hint=f"{what}:{build_id}")
    is_debug = what == DEBUGINFO
    name = "_.debug" if is_debug else "executable"
    key = elf_key(build_id, debug=is_debug)
    return Single(wanted_file(what, name, key, build_id, f"build id {build_id}"))


class SingleFetch:
    """Fetches one file; after the run :attr:`lacking` is 1 when it was not to be had."""

    def __init__(
        self,
        single: Single,
        symbol_path: str | None,
        cancel: CancelToken,
        progress: Callable[[str, int, int], None],
        *,
        offline: bool = False,
    ) -> None:
        self._single = single
        self._settings = Settings()
        self._settings.search(symbol_path, None, offline=offline)
        self._downloads = Downloads(self._settings)
        self._downloads.cancel = cancel
        # Sizes are in the words: of several files that run no share is known.
        self._downloads.progress = lambda text, done, total: progress(text, 0, 0)
        self.lacking = 0

    def events(self) -> Iterator[Event]:
        """Fetch it, and show where it is."""
        return events_of(self._run(), lambda: False)

    def _run(self) -> Iterator[Item]:
        try:
            ask_anew(self._downloads)
            file = self._single.file
            path, reason = self._part() if file is None else self._whole(file)
        finally:
            self._downloads.close()
        if path is not None:
            yield FetchedPath(path=sanitise_line(str(path)))
            return
        self.lacking = 1
        wanted = file.wanted if file is not None else None
        yield FetchedFile(
            kind=file.kind if file is not None else self._single.what,
            file=sanitise_line(wanted.name if wanted is not None else self._single.name),
            id=sanitise_line(wanted.id_words if wanted is not None else self._single.build_id),
            state="missing",
            size=0,
            host="",
            reason=sanitise_line(reason),
        )

    def _whole(self, file: WantedFile) -> tuple[Path | None, str]:
        gatherer = Gatherer(self._downloads, self._settings)
        gatherer.begin(file)
        gatherer.settle()
        gathered = gatherer.outcome(file)
        return gathered.path, gathered.reason

    def _part(self) -> tuple[Path | None, str]:
        """Fetch a section or a source file, which only debuginfod servers have by a build id."""
        from polydbg.engine.source_servers import verify
        from polydbg.symbols.download.addresses import joined

        single = self._single
        servers = [s.url for s in self._downloads.servers() if s.kind is ServerKind.DEBUGINFOD]
        if not servers:
            return None, NO_SERVERS
        part = single.name.removeprefix("/")
        urls = [joined(each, "buildid", single.build_id, single.what, part) for each in servers]
        identity = "\n".join((single.what, single.build_id, single.name))
        key = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:40]
        name = base_name(single.name)
        if unsafe_reason(name):
            name = "file"
        cache_name = f"{single.what}s", key, name
        path: Path | None = None
        trail = Trail()
        for _ in range(2):  # the second time after everything has ended
            trail = Trail()
            with self._downloads.not_waiting():
                path = self._downloads.source(
                    urls, cache_name, lambda got: verify(got, name, None), single.name, trail
                )
            self._downloads.wait(self._downloads.running(), unlimited=True)
        return path, reason_of(trail)
