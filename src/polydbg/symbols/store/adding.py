"""Takes files into a store: those of a pack, and loose ones, whose content decides the key.

Nothing gets in whose id was not read from the file itself; every file has its place at once, whole,
or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.base.text import size_text
from polydbg.formats.archives.archive import MAX_MEMBERS
from polydbg.symbols.store.contents import Content, check_content, contents_of
from polydbg.symbols.store.hostpath import is_safe_key
from polydbg.symbols.store.layout import LocalStore, name_problem
from polydbg.symbols.store.pack import Pack, PackedFile
from polydbg.symbols.store.transfer import copy_into, write_into

MAX_FILES = 100_000
"""Most files of one folder that are looked at."""
_MAX_DEPTH = 32
_RESERVE = 64 << 20  # bytes of the disk that are left free

ADDED, THERE, REFUSED, OTHER = "added", "already there", "refused", "not a symbol file"


class Taken(msgspec.Struct, frozen=True):
    """What became of one file: *outcome* is ``added``, ``already there``, ``refused`` or ``not a
    symbol file``; *place* is where it is in the store, *reason* why it was refused."""

    source: str
    outcome: str
    place: str = ""
    reason: str = ""


class StoreAdder:
    """Adds to *store*. *observe* gets a file's name and how many of how many bytes of the source
    are done."""

    def __init__(
        self,
        store: LocalStore,
        cancel: CancelToken,
        observe: Callable[[str, int, int], None] = lambda name, done, total: None,
    ) -> None:
        self._store = store
        self._cancel = cancel
        self._observe = observe

    def add(self, source: Path) -> Iterator[Taken]:
        """Add a pack, the symbol files in a folder, or one file.

        :raises Cancelled: it was stopped; what was added stays.
        :raises OSError: *source* cannot be read, or the store cannot be written.
        :raises FormatError: *source* is a zip file, but no pack that can be read.
        """
        if source.is_dir():
            yield from self._add_folder(source)
        elif _is_zip(source):
            yield from self._add_pack(source)
        else:
            yield from self._add_file(source)

    # Packs

    def _add_pack(self, place: Path) -> Iterator[Taken]:
        with open(place, "rb") as stream:
            pack = Pack(stream, os.fstat(stream.fileno()).st_size)
            files = pack.index.files
            if len(files) > MAX_MEMBERS:
                raise FormatError(f"the pack lists {len(files)} files, more than {MAX_MEMBERS}")
            total = sum(file.size for file in files if not pack.refusal(file))
            self._check_room(total)
            done = 0
            for file in files:
                self._cancel.check()
                yield self._from_pack(pack, file, done, total)
                done += file.size
            for name in pack.unlisted:
                yield Taken(name, REFUSED, reason="the pack's index does not list it")

    def _check_room(self, size: int) -> None:
        """:raises OSError: the disk has no room for *size* bytes."""
        folder = self._store.root
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        if size + _RESERVE > free:
            raise OSError(
                f"the disk of {self._store.root} has {size_text(free)} left, "
                f"the pack wants {size_text(size)}"
            )

    def _from_pack(self, pack: Pack, file: PackedFile, done: int, total: int) -> Taken:
        if problem := pack.refusal(file):
            return Taken(file.path, REFUSED, reason=problem)
        problems: list[str] = []

        def accept(path: Path) -> bool:
            if problem := _difference(path, file.kind, file.key):
                problems.append(problem)
            return not problems

        def blocks() -> Iterator[bytes]:
            taken = done
            for block in pack.blocks(file):
                taken += len(block)
                self._observe(file.file_name, taken, total)
                yield block

        try:
            return self._put(file.path, file, blocks(), accept, problems)
        except FormatError as error:
            self._remove_empty(self._store.target(file.name, file.key, file.file_name))
            return Taken(file.path, REFUSED, reason=error.message)

    def _put(
        self,
        source: str,
        file: PackedFile,
        blocks: Iterator[bytes],
        accept: Callable[[Path], bool],
        problems: list[str],
    ) -> Taken:
        names = file.name, file.key, file.file_name
        target = self._store.target(*names)
        if target.is_file() and not _difference(target, file.kind, file.key):
            return Taken(source, THERE, str(target))
        placed = write_into(self._store, blocks, *names, accept, self._cancel)
        if placed is None:
            self._remove_empty(target)
            return Taken(source, REFUSED, reason=problems[0])
        return Taken(source, ADDED, str(placed))

    def _remove_empty(self, target: Path) -> None:
        """Remove the folders that were made for a file that was refused."""
        for folder in (target.parent, target.parent.parent):
            with contextlib.suppress(OSError):
                if folder != self._store.root:
                    folder.rmdir()  # only where it is empty

    # Loose files

    def _add_folder(self, root: Path) -> Iterator[Taken]:
        for count, path in enumerate(_files_below(root)):
            self._cancel.check()
            if count >= MAX_FILES:
                yield Taken(str(root), REFUSED, reason=f"it has more than {MAX_FILES} files")
                return
            try:
                yield from self._add_file(path)
            except OSError as error:
                if error.filename != str(path):
                    raise  # the store's fault
                yield Taken(str(path), REFUSED, reason=error.strerror or str(error))

    def _add_file(self, path: Path) -> Iterator[Taken]:
        """:raises OSError: the file cannot be read, or the store cannot be written."""
        if not stat.S_ISREG(os.stat(path).st_mode):
            yield Taken(str(path), OTHER, reason="not a regular file")
            return
        try:
            found = contents_of(path)
        except DebuggerError as error:
            yield Taken(str(path), OTHER, reason=error.message)
            return
        for content in found:
            self._cancel.check()
            yield self._copy(path, content)

    def _copy(self, path: Path, content: Content) -> Taken:
        name = content.name or path.name
        if (problem := name_problem(name)) or not is_safe_key(content.key):
            return Taken(str(path), REFUSED, reason=problem or "its id is no store key")
        names = name, content.key, content.store_kind.file_name(name)
        target = self._store.target(*names)
        if target.is_file() and not _difference(target, content.kind, content.key):
            return Taken(str(path), THERE, str(target))
        self._observe(path.name, 0, 0)
        placed = copy_into(self._store, path, *names, self._cancel)
        if placed is None:
            return Taken(str(path), REFUSED, reason="the file changed meanwhile")
        return Taken(str(path), ADDED, str(placed))


def _is_zip(path: Path) -> bool:
    """Tell whether a file begins as a zip file does (what has one at its end may be a program)."""
    with open(path, "rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6")


def _difference(path: Path, kind: str, key: str) -> str:
    """Return what is wrong with the file in the place of that kind and key, ``""`` for nothing."""
    try:
        check = check_content(path, kind, key)
    except DebuggerError as error:
        return error.message
    if check.matches:
        return ""
    return check.difference or f"it is another file: its id is {check.found_id}, not {key}"


def _files_below(root: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the regular files in *root* and its folders; links are not followed."""
    with os.scandir(root) as entries:
        listed = sorted(entries, key=lambda each: each.name)
    for entry in listed:
        if entry.name.startswith(("~", ".")):
            continue
        if entry.is_file(follow_symlinks=False):
            yield Path(entry.path)
        elif depth < _MAX_DEPTH and entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(PermissionError):
                yield from _files_below(Path(entry.path), depth + 1)
