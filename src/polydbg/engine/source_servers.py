"""Where the text of a source file comes from: this host, else servers that the user named.

Addresses in a debug file come from whoever made it, so that none is asked unless the source path
says so (``SRV*``); debuginfod servers are those of the path and of ``DEBUGINFOD_URLS``. Nothing
waits here: what is being fetched is there the next time it is looked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.engine.modules import Module
from polydbg.engine.session import Session, System
from polydbg.engine.source_view import MAX_SOURCE_BYTES
from polydbg.symbols.source import SourceDigest, SourceRecord
from polydbg.symbols.store import IdCheck, Outcome, SymbolPath, Trail
from polydbg.symbols.store.hostpath import cache_folder, file_problem
from polydbg.symbols.store.sources import components, debuginfod_servers, follows_links, links_cache

_FOLDER = "files"
_MAX_ADDRESSES = 16
_HEAD = 512


class FoundSource(msgspec.Struct, frozen=True):
    """*path* is the file, ``None`` when it is not there (yet). *differs* says that it is not the
    one that was compiled. Else *host* is the server that it is being fetched from, and *reasons*
    are why it is not there, each in words."""

    path: Path | None
    differs: bool = False
    host: str = ""
    reasons: tuple[str, ...] = ()


def find_source(session: Session, system: System, recorded: str, address: int) -> FoundSource:
    """Find the source file that the code at *address* names *recorded*. Returns at once, unless a
    batch run has time to wait for servers."""
    module = system.modules.at(address)
    record = _record(system, module, recorded, address)
    local = session.files.sources.find(recorded, session.settings.source_path)
    if local is not None:
        return FoundSource(local, differs=not _is_compiled_one(local, record.digest))
    path = SymbolPath.parse(session.settings.source_path)
    urls = [*(record.urls if follows_links(path) else ())]
    servers = dict.fromkeys((*debuginfod_servers(path), *session.settings.debuginfod_urls))
    if module is not None and module.info.build_id and recorded.startswith("/"):
        urls += [_debuginfod_url(each, module.info.build_id, recorded) for each in servers]
    reasons = _reasons(path, record, bool(urls))
    parts = components(recorded)
    if not urls or not parts:
        return FoundSource(None, reasons=reasons)
    return _fetch(session, recorded, urls[:_MAX_ADDRESSES], record.digest, reasons)


def _fetch(
    session: Session,
    recorded: str,
    urls: Sequence[str],
    digest: SourceDigest | None,
    reasons: tuple[str, ...],
) -> FoundSource:
    name = components(recorded)[-1]
    key = hashlib.sha256("\n".join((recorded, *urls)).encode("utf-8", "replace")).hexdigest()[:40]
    cache = links_cache(SymbolPath.parse(session.settings.source_path)) or cache_folder("src")
    kept = cache / _FOLDER / key / name
    if file_problem(kept) is None:
        return FoundSource(kept, differs=not _is_compiled_one(kept, digest))
    trail = Trail()
    path = session.files.downloads.source(
        urls,
        (_FOLDER, key, name),
        lambda each: verify(each, recorded, digest),
        recorded,
        trail,
        cache,
    )
    if path is not None:
        return FoundSource(path)
    if trail.has(Outcome.PENDING):
        from polydbg.symbols.download.addresses import host_of

        return FoundSource(None, host=host_of(trail.entries[-1].place))
    return FoundSource(None, reasons=(*reasons, *(str(entry) for entry in trail.entries)))


def _record(system: System, module: Module | None, recorded: str, address: int) -> SourceRecord:
    source = system.modules.symbols(module) if module is not None else None
    if module is None or source is None:
        return SourceRecord()
    try:
        return source.source_record(address - module.base, recorded)
    except DebuggerError:
        return SourceRecord()


def _debuginfod_url(server: str, build_id: bytes, recorded: str) -> str:
    """Return where a server has a source file. The path is one component, its slashes and dots
    encoded, so that nobody on the way tidies it: the server knows it as it was recorded
    (debuginfod(8))."""
    from polydbg.symbols.download.addresses import joined

    return joined(server, "buildid", build_id.hex(), "source", recorded[1:])


def _reasons(path: SymbolPath, record: SourceRecord, is_asked: bool) -> tuple[str, ...]:
    reasons = [
        "no folder of the source path holds it" if path.elements else "no source path is set"
    ]
    if follows_links(path) and not record.urls:
        reasons.append("its debug file has no address for it")
    if record.command:
        reasons.append(f"its PDB names a command that would fetch it, never run: {record.command}")
    if record.urls and not is_asked:
        from polydbg.symbols.download.addresses import redacted

        reasons.append(f"its PDB says that it lies at {redacted(record.urls[0])}: not asked")
    return tuple(reasons)


# -- the file that was compiled ------------------------------------------------------------------


def verify(path: Path, recorded: str, digest: SourceDigest | None) -> IdCheck:
    """Tell whether *path*, which a server sent, is the source recorded as *recorded*."""
    try:
        data = _read(path)
    except OSError as error:
        return IdCheck(False, problem=f"cannot be read: {error.strerror}")
    if digest is not None:
        if matches(data, digest):
            return IdCheck(True)
        return IdCheck(False, difference=f"its {digest.algorithm} is not that of the compiled file")
    start = data[:_HEAD].lstrip().lower()
    is_page = start.startswith((b"<!doctype html", b"<html"))
    if is_page and not recorded.lower().endswith((".html", ".htm")):
        return IdCheck(False, problem="a web page, not a source file")
    return IdCheck(True)


def matches(data: bytes, digest: SourceDigest) -> bool:
    """Tell whether *data* has *digest*, whatever ends its lines: version control writes them as
    each system has them."""
    unix = data.replace(b"\r\n", b"\n")
    return any(
        hashlib.new(digest.algorithm, each, usedforsecurity=False).digest() == digest.value
        for each in dict.fromkeys((data, unix, unix.replace(b"\n", b"\r\n")))
    )


def _is_compiled_one(path: Path, digest: SourceDigest | None) -> bool:
    """Tell whether a file may be the one that was compiled; what cannot be told counts as such."""
    if digest is None:
        return True
    try:
        return matches(_read(path), digest)
    except OSError:
        return True


def _read(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(MAX_SOURCE_BYTES)
