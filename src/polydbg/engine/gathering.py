"""Gathers files by their ids, without a dump: from what lies on this host, else from servers.

The ids come from another machine; names, keys and build ids in them are checked before they become
part of a path or an address, and every file says by its content whether it is the one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from polydbg.engine.debug_files import debug_places, debuginfod_file, image_places
from polydbg.engine.downloads import Downloads
from polydbg.engine.settings import Settings
from polydbg.engine.wanted_files import BREAKPAD, DEBUGINFO, EXECUTABLE, IMAGE, WantedFile
from polydbg.images.pe import PeImage
from polydbg.symbols.store import (
    FileKind,
    Outcome,
    SymbolPath,
    Trail,
    Verify,
    Wanted,
    ask_servers,
    locate,
)
from polydbg.symbols.store.contents import check_content, is_build_id
from polydbg.symbols.store.hostpath import base_name

_TOLD = (
    Outcome.UNSAFE_NAME,
    Outcome.FAILED,
    Outcome.WRONG_ID,
    Outcome.DAMAGED,
    Outcome.NOT_ON_SERVER,
    Outcome.NOT_ASKED,
)
"""What says why a file is missing, beside that it is nowhere on this host."""

NO_SERVERS = "it is not on this machine, and no server is set: -y, _NT_SYMBOL_PATH, DEBUGINFOD_URLS"


class Gathered(msgspec.Struct, frozen=True):
    """What became of one file: *path* is its place, or ``None`` and *reason* says why; *host* is
    the server that it came from in this run, ``""`` for what lay on this host."""

    path: Path | None
    host: str = ""
    reason: str = ""


class Gatherer:
    """Looks for files along the paths of *settings*. *downloads* asks the servers: transfers
    begin at once, a few at a time, and are waited for by :meth:`settle`."""

    def __init__(self, downloads: Downloads, settings: Settings) -> None:
        self._settings = settings
        self._downloads = downloads
        self._trails: dict[WantedFile, Trail] = {}
        self._found: dict[WantedFile, Path] = {}

    def begin(self, file: WantedFile) -> None:
        """Look for *file* on this host, and have servers asked for what is not here.

        :raises Cancelled: it was stopped.
        """
        trail = Trail()
        wanted = self._wanted(file)
        with self._downloads.not_waiting():
            located = locate(
                wanted,
                self._path_of(file),
                _verifier(file),
                trail,
                cancel=self._downloads.cancel,
                asker=self._downloads,
            )
        self._trails[file] = trail
        if located is not None:
            self._found[file] = located.path

    def settle(self) -> None:
        """Wait until servers have answered. :raises Cancelled: it was stopped."""
        self._downloads.wait(self._downloads.running(), unlimited=True)

    def outcome(self, file: WantedFile) -> Gathered:
        """Return what became of *file*, which was begun (or was not, before a stop)."""
        trail = self._trails.get(file)
        if trail is None:
            return Gathered(None, reason="stopped before it was looked for")
        path, host = self._found.get(file), ""
        if trail.has(Outcome.PENDING):
            trail = Trail()
            wanted = self._wanted(file)
            trail.begin(wanted, ())
            with self._downloads.not_waiting():
                path = ask_servers(
                    wanted, self._path_of(file), _verifier(file), trail, self._downloads
                )
        if path is None:
            return Gathered(None, reason=self._reason(trail))
        for job in self._downloads.jobs():
            if job.path == path:
                host = job.host
        return Gathered(path, host)

    def _reason(self, trail: Trail) -> str:
        has_none = not self._downloads.servers()
        return reason_of(trail) or (
            NO_SERVERS if has_none else "no server of the path has files of this kind"
        )

    def _wanted(self, file: WantedFile) -> Wanted:
        """Return what is looked for, with the places of this host that go by the build id."""
        wanted = file.wanted
        if not is_build_id(wanted.build_id):
            return msgspec.structs.replace(wanted, build_id="", extra_paths=())
        return msgspec.structs.replace(wanted, extra_paths=tuple(self._places(file)), flat=True)

    def _places(self, file: WantedFile) -> Iterator[Path]:
        build_id = file.wanted.build_id
        if file.kind == EXECUTABLE:
            yield from image_places(self._settings, build_id)
        elif file.kind == DEBUGINFO:
            yield from (
                place for place, _ in debug_places(self._settings, (), None, build_id, None)
            )
            cached = debuginfod_file(build_id, "debuginfo")
            if cached is not None:
                yield cached

    def _path_of(self, file: WantedFile) -> SymbolPath:
        is_image = file.kind in (IMAGE, EXECUTABLE)
        return self._settings.image_search_path if is_image else self._settings.symbol_path


def _verifier(file: WantedFile) -> Verify:
    kind, key = file.kind, file.wanted.key or ""
    return lambda path: check_content(path, kind, key)


def reason_of(trail: Trail) -> str:
    """Return why servers did not give what *trail* is about, ``""`` where it does not say."""
    if trail.has(Outcome.PENDING):
        return "stopped before it came"
    entries = [entry for entry in trail.entries if entry.outcome in _TOLD]
    words = [
        entry.detail if entry.outcome is Outcome.FAILED else f"{entry.outcome.value}: {entry.place}"
        for entry in entries
    ]
    return "; ".join(dict.fromkeys(words))


def wanted_file(kind: str, name: str, key: str, build_id: str = "", words: str = "") -> WantedFile:
    """Return the file of that kind, by its folder and key in stores; *words* are its id for
    people."""
    file_kind = FileKind.PDB
    if kind in (IMAGE, EXECUTABLE):
        file_kind = FileKind.IMAGE
    elif kind == BREAKPAD:
        file_kind = FileKind.BREAKPAD
    return WantedFile(kind, Wanted(file_kind, name, key, words, build_id=build_id))


def pdb_of_image(image: Path) -> WantedFile | None:
    """Return the PDB that the record of a PE image names, ``None`` where it names none.

    :raises FormatError: the image is damaged.
    :raises TargetError: it cannot be read.
    """
    opened = PeImage.from_file(image)
    try:
        record = opened.codeview()
    finally:
        opened.close()
    if record is None or not record.path or record.debug_id.is_null:
        return None
    debug_id = record.debug_id
    words = f"{debug_id.braced} age {debug_id.age:x}"
    return wanted_file("pdb", base_name(record.path), debug_id.key, words=words)


def names_in_store(file: WantedFile) -> tuple[str, str, str]:
    """Return the folder, the key and the file name of *file* in a store."""
    wanted = file.wanted
    return wanted.name, wanted.key or "", wanted.kind.file_name(wanted.name)
