"""Root file systems inside of archives, read in place: container images and plain root archives.

What lies in the file as it is, is mapped there. Packed layers are expanded once to list them, and
a wanted file of one again from the nearest place that the decoder can go back to, into a temporary
file without a name.
"""

from __future__ import annotations

import errno
import mmap
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError, TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.formats.archives.archive import (
    Budget,
    CompressionError,
    SeekableStream,
    chunks,
)
from polydbg.formats.archives.codecs import MAGICS
from polydbg.formats.archives.opening import HEAD_SIZE
from polydbg.formats.archives.streams import BufferStream, ExpandedStream, WindowStream
from polydbg.formats.archives.tar_archive import EntryKind, entries, is_tar
from polydbg.formats.archives.zip_archive import ZipArchive
from polydbg.memory.space import Buffer
from polydbg.memory.temporary import unpacked
from polydbg.symbols.store import container_image
from polydbg.symbols.store.file_tree import MAX_FILES, FileTree, LayerEntry, TreeFile
from polydbg.symbols.store.sysroot import FolderRoot, FoundFile, Progress, map_regular, nearest

MAX_EXPANDED = 64 << 30
"""Most bytes that one layer may expand to; it is read through, not kept."""
FREE_EXPANDED = 2 << 30
MAX_UNPACKED = 8 << 30
"""Most bytes of all files that are unpacked."""
_MAX_LINK = 4096
_FORGET = 8 << 20  # bytes of a mapped file that are read before its pages are given back


class _Blob(msgspec.Struct, eq=False):
    """A file to look into, *size* unknown while it is packed; *buffer* where it lies as it is."""

    stream: SeekableStream
    size: int | None
    buffer: Buffer | None


class _Layer(Protocol):
    """An archive as part of a root; *is_cut_short* once its entries were listed."""

    is_cut_short: bool

    def entries(self) -> Iterator[LayerEntry]: ...

    def blob(self, file: TreeFile) -> _Blob:
        """Return a file of it. :raises FormatError:"""
        ...


class _TarLayer:
    def __init__(self, blob: _Blob) -> None:
        self._blob = blob
        self.is_cut_short = False

    def entries(self) -> Iterator[LayerEntry]:
        most = 2 * MAX_FILES
        for each in entries(self._blob.stream, self._blob.size, most, self._note_cut):
            yield LayerEntry(each.kind, each.name, each.link, each.offset, each.size)

    def _note_cut(self) -> None:
        self.is_cut_short = True

    def blob(self, file: TreeFile) -> _Blob:
        return _part(self._blob, file.offset, file.size)


class _ZipLayer:
    is_cut_short = False  # its list of files is at its end: without that it is not opened

    def __init__(self, blob: _Blob, size: int) -> None:
        self._blob = blob
        self._archive = ZipArchive(blob.stream, size)

    def entries(self) -> Iterator[LayerEntry]:
        for member in self._archive.members:
            kind, link = EntryKind.FILE, ""
            size = member.size or 0
            if self._archive.is_link(member):
                kind = EntryKind.LINK
                budget = Budget(size, _MAX_LINK, _MAX_LINK)
                try:
                    link = b"".join(self._archive.expand(member, budget)).decode("utf-8")
                except (FormatError, UnicodeDecodeError):
                    continue
            yield LayerEntry(kind, member.name, link, member.index, size)

    def blob(self, file: TreeFile) -> _Blob:
        member = self._archive.located(self._archive.members[file.offset])
        if member.offset is not None:
            return _part(self._blob, member.offset, file.size)
        budget = Budget(file.size, MAX_UNPACKED, MAX_UNPACKED)
        buffer = unpacked(self._archive.expand(member, budget))
        return _Blob(BufferStream(buffer), len(buffer), buffer)


class PackedRoot:
    """The root in the archive at *path*, or in the folder *folder* of an image layout.

    :raises TargetError: as :func:`~polydbg.symbols.store.sysroot.open_sysroot` says.
    """

    def __init__(
        self,
        path: str,
        folder: FolderRoot | None,
        arch: str = "",
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.path = path
        self.warnings: list[Warning] = []
        self._folder = folder
        self._words = f"Reading {sanitise_line(path)}"
        self._arch = arch
        self._cancel = cancel
        self._progress = progress
        self._tree: FileTree | None = None
        self._layers: list[_Layer] = []
        self._names: dict[str, list[str]] | None = None
        self._unpacked: dict[TreeFile, Buffer] = {}
        self._room = Budget(0, MAX_UNPACKED, MAX_UNPACKED)
        self._forgotten_at = 0
        self._buffer: Buffer = b"" if folder is not None else self._mapped()

    def find(self, path: str) -> FoundFile | None:
        tree = self._listed()
        resolved, node = tree.node(path)
        if not isinstance(node, TreeFile):
            return None
        shown = f"{sanitise_line(self.path)}!{sanitise_line(resolved)}"
        with self._errors(shown):
            buffer = self._unpacked.get(node)
            if buffer is None:
                buffer = self._contents(node)
            # A view of its own: whoever closes it leaves the mapping to the others.
            return FoundFile(resolved, shown, memoryview(buffer))

    def named(self, path: str) -> list[str]:
        tree = self._listed()
        if self._names is None:
            self._names = {}
            for each, _ in tree.files():
                folder, _, name = each.rpartition("/")
                self._names.setdefault(name, []).append(folder)
        name = path.rsplit("/", 1)[-1]
        return nearest(path, (f"{folder}/{name}" for folder in self._names.get(name, ())))

    def close(self) -> None:
        self._tree, self._layers, self._names, self._unpacked = None, [], None, {}
        self._buffer = b""  # the mapping goes with the last view of it

    # -- reading ---------------------------------------------------------------------------

    def _mapped(self) -> Buffer:
        """Map the archive and look whether it is one."""
        found = map_regular(self.path, follow_links=True)
        with self._errors(self.path):
            if found is None or _kind(found) is None:
                raise FormatError("neither a folder nor an archive of a root file system")
        assert found is not None
        return found

    def _contents(self, node: TreeFile) -> Buffer:
        blob = self._layers[node.layer].blob(node)
        if blob.buffer is not None and not isinstance(blob.buffer, mmap.mmap):
            return blob.buffer
        self._room.take(node.size)
        buffer = (
            blob.buffer if blob.buffer is not None else unpacked(chunks(blob.stream, blob.size))
        )
        if len(buffer) != node.size:
            raise FormatError(f"only {len(buffer)} of {node.size} bytes are there")
        self._unpacked[node] = buffer
        return buffer

    def _stream(self, buffer: Buffer) -> BufferStream:
        """Return a mapped file as a stream that does not count as our memory once it was read."""

        def watch(done: int, total: int) -> None:
            self._watch(done, total)
            if abs(done - self._forgotten_at) >= _FORGET and isinstance(buffer, mmap.mmap):
                self._forgotten_at = done
                if hasattr(buffer, "madvise"):
                    buffer.madvise(mmap.MADV_DONTNEED)

        return BufferStream(buffer, watch)

    def _watch(self, done: int, total: int) -> None:
        if self._cancel is not None:
            self._cancel.check()
        if self._progress is not None:
            self._progress(self._words, done, total)

    def _listed(self) -> FileTree:
        if self._tree is None:
            self.warnings.clear()  # of an attempt that was cancelled
            with self._errors(self.path):
                tree, layers = self._open_layers()
                if tree.is_full:
                    text = f"{self.path}: more than {MAX_FILES} files, the rest is left out"
                    self.warnings.append(Warning("sysroot.many-files", text))
            self._tree, self._layers = tree, layers
        return self._tree

    def _open_layers(self) -> tuple[FileTree, list[_Layer]]:
        """Return the files of the image that was chosen, or of the archive when it is none."""
        if self._folder is not None:
            found = self._image_layers(self._folder_blob)
            if found is None:
                raise FormatError("an image layout without an image")
            return found
        outer = FileTree()
        buffer = self._buffer
        layer = self._open(_Blob(self._stream(buffer), len(buffer), buffer))
        if layer is None:
            return outer, []
        self._add(layer, outer)

        def blob_of(path: str) -> _Blob | None:
            _, node = outer.node(path)
            return layer.blob(node) if isinstance(node, TreeFile) else None

        found = self._image_layers(blob_of)
        if found is not None:
            return found
        name = outer.descend_into_only_folder()
        if name:
            text = f"{self.path}: its only folder {sanitise_line(name)} is taken for the root"
            self.warnings.append(Warning("sysroot.folder", text))
        return outer, [layer]

    def _add(self, layer: _Layer, tree: FileTree) -> None:
        tree.add_layer(layer.entries())
        if layer.is_cut_short:
            text = f"{self.path}: a tar file ends too early, files are missing: cut short?"
            self.warnings.append(Warning("sysroot.cut-short", text))

    def _folder_blob(self, path: str) -> _Blob | None:
        assert self._folder is not None
        found = self._folder.find(path)
        if found is None:
            return None
        return _Blob(self._stream(found.buffer), len(found.buffer), found.buffer)

    def _image_layers(
        self, blob_of: Callable[[str], _Blob | None]
    ) -> tuple[FileTree, list[_Layer]] | None:
        """Return the files of the chosen image and its layers; ``None``: there is no image."""
        images = container_image.images(_reader(blob_of))
        if not images:
            return None
        image, words = container_image.choose(images, self._arch)
        if words:
            self.warnings.append(Warning("sysroot.image", f"{self.path}: {words}"))
        tree = FileTree()
        layers: list[_Layer] = []
        missing = 0
        for path in image.layers:
            blob = blob_of(path)
            layer = self._open(blob) if blob is not None else None
            missing += blob is None
            if layer is not None:
                self._add(layer, tree)
                layers.append(layer)
        if missing:
            text = f"{self.path}: {missing} of {len(image.layers)} layers are not in it: cut short?"
            self.warnings.append(Warning("sysroot.layers-missing", text))
        return tree, layers

    def _open(self, blob: _Blob) -> _Layer | None:
        """Return the archive that *blob* is, ``None`` when it is empty."""
        blob.stream.seek(0)
        head = blob.stream.read(HEAD_SIZE)
        kind = _kind(head)
        if kind in MAGICS.values():
            assert blob.size is not None
            budget = Budget(blob.size, MAX_EXPANDED, FREE_EXPANDED)
            stream = ExpandedStream(blob.stream, kind or "", budget)
            head = stream.read(HEAD_SIZE)
            if head and any(head) and not is_tar(head):
                raise FormatError(f"the {kind} file holds no tar file")
            blob = _Blob(stream, None, None)
        elif kind == "zip" and blob.size is not None:
            return _ZipLayer(blob, blob.size)
        elif kind is None and any(head):
            raise FormatError("a layer that is no archive")
        return _TarLayer(blob) if any(head) else None

    @contextmanager
    def _errors(self, shown: str) -> Iterator[None]:
        """Turn errors of readers and of the disk into errors about *shown*."""
        shown = sanitise_line(shown)
        try:
            yield
        except CompressionError as error:
            raise TargetError(
                f"{shown}: {error.message}",
                hint=error.hint or "unpack it with its own tool and give the folder",
                identifier="sysroot.codec-missing",
            ) from error
        except FormatError as error:
            raise TargetError(
                f"{shown}: {error.message}",
                hint="give a folder, a tar or zip archive, or what docker save wrote",
                identifier="sysroot.bad-archive",
            ) from error
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise TargetError(
                f"{shown}: cannot unpack into {tempfile.gettempdir()}: {error.strerror}",
                hint="set TMPDIR to a folder with room" if full else "check TMPDIR",
                identifier="sysroot.access",
            ) from error


def is_image_folder(folder: FolderRoot) -> bool:
    """Tell whether a folder is an image layout, or what ``docker save`` wrote, unpacked."""
    if folder.find("oci-layout") is not None and folder.find("index.json") is not None:
        return True
    saved = folder.find("manifest.json")
    return saved is not None and b'"Layers"' in saved.buffer[: container_image.MAX_JSON]


def _kind(head: Buffer) -> str | None:
    """Return the codec, ``tar`` or ``zip`` of what starts with *head*."""
    start = bytes(head[:HEAD_SIZE])
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    codec = next((codec for magic, codec in MAGICS.items() if start.startswith(magic)), None)
    return "tar" if is_tar(start) else codec


def _part(blob: _Blob, offset: int, size: int) -> _Blob:
    """Return *size* bytes of *blob* from *offset* on."""
    if blob.buffer is None:
        return _Blob(WindowStream(blob.stream, offset, size), size, None)
    view = memoryview(blob.buffer)[offset : offset + size]
    return _Blob(WindowStream(blob.stream, offset, size), size, view)


def _reader(blob_of: Callable[[str], _Blob | None]) -> container_image.Read:
    def read(path: str) -> bytes | None:
        blob = blob_of(path)
        if blob is None:
            return None
        most = container_image.MAX_JSON + 1
        blob.stream.seek(0)
        return b"".join(chunks(blob.stream, min(most, blob.size or most)))

    return read
