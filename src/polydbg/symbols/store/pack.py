"""Packs: a symbol store in a zip file, with an index of what it has and what was not to be had.

The store has the layout of SSQP, ``name/key/name`` in lower case, so that an unpacked pack is a
store too; ``polydbg-pack.json`` is the index. Writing streams, and what is written stays readable
when it ends early. A pack that is read is not believed: names, keys, sizes and hashes are checked,
and what its files are, their contents say.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.archives.archive import Budget, Member
from polydbg.formats.archives.zip_archive import ZipArchive
from polydbg.symbols.store.hostpath import is_safe_key, unsafe_reason
from polydbg.symbols.store.layout import name_problem

INDEX_NAME = "polydbg-pack.json"
FORMAT, VERSION = "polydbg-pack", 1
KINDS = ("pdb", "image", "executable", "debuginfo", "breakpad")
_MAX_INDEX = 32 << 20
_MAX_FILE = 8 << 30
_FREE = 64 << 20  # bytes that a member may expand to, however small it is packed
_CHUNK = 1 << 20


class PackedFile(msgspec.Struct, frozen=True):
    """A file in a pack, at *path* in the zip: *host* is where it came from (without secrets, ``""``
    for a store of that machine), *sha256* in hex digits."""

    kind: str
    name: str
    key: str
    file_name: str
    path: str
    size: int
    sha256: str
    host: str = ""


class LackingFile(msgspec.Struct, frozen=True):
    """A file that was wanted and is not in the pack, and why."""

    kind: str
    name: str
    key: str
    file_name: str
    reason: str


class PackIndex(msgspec.Struct, frozen=True, kw_only=True):
    """``polydbg-pack.json``: *made* is the time in UTC (ISO 8601), *maker* the program, *dumps* the
    names of the dumps whose modules wanted the files."""

    format: str = FORMAT
    version: int = VERSION
    made: str = ""
    maker: str = ""
    dumps: tuple[str, ...] = ()
    files: tuple[PackedFile, ...] = ()
    missing: tuple[LackingFile, ...] = ()


# -- writing -------------------------------------------------------------------------------------


class PackWriter:
    """Writes the pack *place*: under another name first, and in its place by :meth:`finish`."""

    def __init__(self, place: Path, dumps: Sequence[str] = (), maker: str = "") -> None:
        """:raises OSError: the folder cannot be written."""
        self._place = place
        self._dumps = tuple(dumps)
        self._maker = maker
        self._temporary = place.with_name(f"~{place.name}-{os.urandom(6).hex()}.tmp")
        self._zip = zipfile.ZipFile(self._temporary, "x", zipfile.ZIP_DEFLATED, allowZip64=True)
        self._files: dict[str, PackedFile] = {}

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was begun, unless :meth:`finish` put it in its place."""
        with contextlib.suppress(OSError, ValueError):  # of what goes anyway: the disk may be full
            self._zip.close()
        self._temporary.unlink(missing_ok=True)

    @property
    def files(self) -> Sequence[PackedFile]:
        """Return what is in the pack."""
        return list(self._files.values())

    def add(
        self,
        source: Path,
        kind: str,
        names: tuple[str, str, str],
        host: str = "",
        observe: Callable[[int], None] = lambda size: None,
    ) -> PackedFile:
        """Put in the file at *source*, whose id was verified. *names* are its folder, its key and
        its name in a store; *observe* gets the size of each piece and may raise.

        :raises OSError: it cannot be read, or the disk is full.
        """
        name, key, file_name = names
        path = "/".join((name, key, file_name)).lower()
        if path in self._files:
            return self._files[path]
        digest, size = hashlib.sha256(), 0
        entry = zipfile.ZipInfo(path, time.gmtime()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        with (
            open(source, "rb") as stream,
            self._zip.open(entry, "w", force_zip64=True) as out,
        ):
            while block := stream.read(_CHUNK):
                out.write(block)
                digest.update(block)
                size += len(block)
                observe(len(block))
        packed = PackedFile(kind, name, key, file_name, path, size, digest.hexdigest(), host)
        self._files[path] = packed
        return packed

    def finish(self, missing: Sequence[LackingFile] = ()) -> PackIndex:
        """Write the index and put the pack in its place. :raises OSError: the disk is full."""
        index = PackIndex(
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            maker=self._maker,
            dumps=self._dumps,
            files=tuple(self._files.values()),
            missing=tuple(missing),
        )
        entry = zipfile.ZipInfo(INDEX_NAME, time.gmtime()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        text = msgspec.json.format(msgspec.json.encode(index), indent=2)
        self._zip.writestr(entry, text + b"\n")
        self._zip.close()
        os.replace(self._temporary, self._place)
        return index


# -- reading -------------------------------------------------------------------------------------


class Pack:
    """A pack of *size* bytes in *stream*.

    :raises FormatError: it is no zip file, has no index of ours, or one that cannot be read.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._archive = ZipArchive(stream, size)
        self._size = size
        self._members: dict[str, Member] = {}
        self._twice: set[str] = set()
        for member in self._archive.members:
            if member.name in self._members:
                self._twice.add(member.name)
            self._members[member.name] = member
        self.index = self._read_index()

    def _read_index(self) -> PackIndex:
        member = self._members.get(INDEX_NAME)
        if member is None:
            raise FormatError(
                f"no pack: {INDEX_NAME} is not in it",
                hint="a zip file of another kind: unpack it, then add the folder",
            )
        data = b"".join(self._archive.expand(member, Budget(self._size, _MAX_INDEX)))
        try:
            index = msgspec.json.decode(data, type=PackIndex)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FormatError(f"{INDEX_NAME} cannot be read: {error}") from None
        if index.format != FORMAT or index.version != VERSION:
            raise FormatError(
                f"a pack of another version ({index.format[:40]} {index.version})",
                hint="a newer polydbg made it",
            )
        return index

    @property
    def unlisted(self) -> list[str]:
        """Return the members that the index does not list."""
        listed = {file.path for file in self.index.files} | {INDEX_NAME}
        return [name for name in self._members if name not in listed]

    def refusal(self, file: PackedFile) -> str:
        """Return why *file* cannot be taken out, before anything is expanded; ``""``."""
        if problem := name_problem(file.name) or unsafe_reason(file.file_name):
            return f"unsafe name: {problem}"
        if not is_safe_key(file.key):
            return "its key is no store key"
        if file.kind not in KINDS:
            return "a kind of file that is not known"
        member = self._members.get(file.path)
        if member is None:
            return "it is not in the zip file"
        if file.path in self._twice:
            return "it is in the zip file twice"
        if self._archive.is_link(member):
            return "it is a symbolic link"
        if member.size != file.size:
            return "the index says another size than the zip file"
        return "it is too large" if file.size > _MAX_FILE else ""

    def blocks(self, file: PackedFile) -> Iterator[bytes]:
        """Yield the bytes of *file*, which :meth:`refusal` has nothing against.

        :raises FormatError: damaged, encrypted, expands too far, or not the bytes that were packed.
        """
        budget = Budget(self._size, min(_MAX_FILE, file.size), _FREE)
        digest = hashlib.sha256()
        for block in self._archive.expand(self._members[file.path], budget):
            digest.update(block)
            yield block
        if digest.hexdigest() != file.sha256.lower():
            raise FormatError("its sha256 is another one than the index says")
