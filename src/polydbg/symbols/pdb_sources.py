"""What a PDB says about source files: their checksums, source links, the source server."""

from __future__ import annotations

from functools import cached_property

from polydbg.base.errors import FormatError
from polydbg.formats.pdb import source_link, source_server
from polydbg.formats.pdb.source_link import SourceLinks
from polydbg.formats.pdb.source_server import SourceServer
from polydbg.symbols.pdb_file import PdbFile
from polydbg.symbols.source import SourceDigest, SourceRecord

_ALGORITHMS = {(1, 16): "md5", (2, 20): "sha1", (3, 32): "sha256"}  # by kind and size
_LINKS = "sourcelink"
_MAX_LINKS = 256


class PdbSources:
    """Answers :meth:`~polydbg.symbols.source.SymbolSource.source_record` from one PDB."""

    def __init__(self, file: PdbFile) -> None:
        self._file = file

    def record(self, rva: int, path: str) -> SourceRecord:
        """Return what is known of *path*. Links that are damaged count as none."""
        urls = [url for links in self._links if (url := links.url(path)) is not None]
        command = ""
        try:
            served = self._server.find(path) if self._server is not None else None
        except FormatError:
            served = None
        if served is not None:
            urls += [served.url] if served.url else []
            command = served.command
        return SourceRecord(self._digest(rva, path), tuple(dict.fromkeys(urls)), command)

    def _digest(self, rva: int, path: str) -> SourceDigest | None:
        key = self._file.key_of_rva(rva)
        module = self._file.module_at(key) if key is not None else None
        if module is None:
            return None
        for file, name in module.lines.files():
            if self._file.names.name(name) == path:
                kind, value = module.lines.checksum(file)
                algorithm = _ALGORITHMS.get((kind, len(value)))
                return SourceDigest(algorithm, value) if algorithm is not None else None
        return None

    @cached_property
    def _links(self) -> tuple[SourceLinks, ...]:
        """Read the streams ``sourcelink``, ``sourcelink$1``, ..., in this order."""
        names = [
            name
            for name in self._file.info.named_streams
            if name == _LINKS or name.startswith(f"{_LINKS}$")
        ]
        found: list[SourceLinks] = []
        for name in sorted(names, key=lambda name: (len(name), name))[:_MAX_LINKS]:
            try:
                found.append(SourceLinks.parse(self._stream(name, source_link.MAX_BYTES)))
            except FormatError:
                continue
        return tuple(found)

    @cached_property
    def _server(self) -> SourceServer | None:
        if "srcsrv" not in self._file.info.named_streams:
            return None
        try:
            return SourceServer.parse(self._stream("srcsrv", source_server.MAX_BYTES))
        except FormatError:
            return None

    def _stream(self, name: str, most: int) -> bytes:
        stream = self._file.msf.stream(self._file.info.named_streams[name])
        return stream.read(0, min(stream.size, most + 1))
