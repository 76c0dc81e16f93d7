"""Putting files into stores: under another name first, then renamed, so that no reader of a shared
store ever sees half a file and concurrent writers cannot spoil each other's work."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from polydbg.base.cancel import CancelToken
from polydbg.formats.archives.opening import expand_first
from polydbg.symbols.store.layout import LocalStore

_CHUNK = 1 << 20
MAX_EXPANDED = 4 << 30
"""Most bytes that one compressed file may expand to."""


def copy_into(
    store: LocalStore, source: Path, folder: str, key: str, name: str, cancel: CancelToken | None
) -> Path | None:
    """Copy *source* to *name* in the folder ``folder/key`` of *store* and return the copy;
    ``None`` when *source* changed meanwhile.

    :raises OSError: the store cannot be written, or the disk is full.
    """
    destination = store.target(folder, key, name)
    with open(source, "rb") as stream:
        chunks = iter(lambda: stream.read(_CHUNK), b"")
        size = os.fstat(stream.fileno()).st_size
        return _write(store, destination, chunks, cancel, lambda path: path.stat().st_size == size)


def expand_into(
    store: LocalStore,
    source: Path,
    folder: str,
    key: str,
    name: str,
    accept: Callable[[Path], bool],
    cancel: CancelToken | None,
) -> Path | None:
    """Expand the compressed *source* to *name* in the folder ``folder/key`` of *store*; ``None``
    when *accept* refuses the result.

    *accept* sees the file under its temporary name and must not keep it open.

    :raises OSError: the store cannot be written, or the disk is full.
    :raises FormatError: *source* is damaged or cannot be expanded.
    """
    destination = store.target(folder, key, name)
    with open(source, "rb") as stream:
        blocks = expand_first(stream, os.fstat(stream.fileno()).st_size, MAX_EXPANDED)
        return _write(store, destination, blocks, cancel, accept)


def write_into(
    store: LocalStore,
    blocks: Iterator[bytes],
    folder: str,
    key: str,
    name: str,
    accept: Callable[[Path], bool],
    cancel: CancelToken | None,
) -> Path | None:
    """Write *blocks* to *name* in the folder ``folder/key`` of *store*; ``None`` when *accept*
    refuses the result, as for :func:`expand_into`.

    :raises OSError: the store cannot be written, or the disk is full.
    """
    return _write(store, store.target(folder, key, name), blocks, cancel, accept)


def _write(
    store: LocalStore,
    destination: Path,
    blocks: Iterator[bytes],
    cancel: CancelToken | None,
    accept: Callable[[Path], bool],
) -> Path | None:
    make_folder(store.root, destination.parent)
    temporary = destination.with_name(f"~{os.getpid():x}-{os.urandom(6).hex()}.tmp")
    try:
        with open(temporary, "xb") as stream:
            for block in blocks:
                if cancel is not None:
                    cancel.check()
                stream.write(block)
        if not accept(temporary):
            return None
        rename(temporary, destination)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return destination


def make_folder(root: Path, folder: Path) -> None:
    """Create the key folder; a root that did not exist also gets the marker of a store.

    :raises OSError: it cannot be made, or links in the store lead out of it.
    """
    new = not root.exists()
    if not is_inside(folder / "file", os.path.realpath(root)):
        raise OSError(errno.ELOOP, "a link in it leads to another place")
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        with contextlib.suppress(OSError):
            (root / "pingme.txt").touch()


def is_inside(path: Path, root: str) -> bool:
    """Tell whether *path*, links followed, lies below the real path *root*."""
    return os.path.realpath(path).startswith(root.rstrip(os.sep) + os.sep)


def rename(temporary: Path, destination: Path) -> None:
    """Put the finished file in place. Windows refuses while somebody has the old one open, who
    then has the same file as we."""
    try:
        os.replace(temporary, destination)
    except PermissionError:
        if not destination.is_file() or destination.stat().st_size != temporary.stat().st_size:
            raise
