"""A file on its way into a store: under another name until it is whole and known to be right.

What came of a transfer that broke off stays beside the place of the file, with a note of what it is
the beginning of, so that the next transfer, also of another process, goes on there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from polydbg.base.text import size_text
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.store.locking import lock
from polydbg.symbols.store.transfer import make_folder, rename

_PART = ".part"
_STALE = 7 * 24 * 3600.0  # seconds after which nobody goes on with a transfer
_MAX_NOTE = 4096
_RESERVE = 64 << 20  # bytes of a disk that are left free
_MIN_FREE = 1 << 20
_TRIES = 8
_FULL = frozenset(
    code for code in (errno.ENOSPC, getattr(errno, "EDQUOT", None)) if code is not None
)

Observe = Callable[[int, int], None]
"""Hears of the bytes done and of those in all, 0 where that is not known."""


class Beginning(msgspec.Struct, frozen=True):
    """What a part is the beginning of: a hash of the address, the server's own mark of this very
    content (a strong ETag, else the time of its last change), its size (0: not known)."""

    address: str
    validator: str
    total: int = 0


class Landing:
    """A part of a file at *destination* in the store *root*; use :meth:`begin`.

    *was_resumed* tells that some of it came before the transfer that ends it, *total* is the size
    of the file of which it is the beginning (0: not known).
    """

    def __init__(self, destination: Path, root: Path, part: Path, file: BinaryIO) -> None:
        self._destination = destination
        self._root = root
        self._file = file
        self._note = part.with_name(f"{part.name}.json")
        self.path = part
        self.total = 0
        self.was_resumed = False

    @classmethod
    def begin(cls, destination: Path, root: Path) -> Landing:
        """Open the part of the file at *destination*, another one where that cannot be had: a
        process has it open, or it is no file.

        :raises TransferError: the folder cannot be written.
        """
        part = destination.with_name(f"~{destination.name}{_PART}")
        for left in range(_TRIES, -1, -1):
            try:
                make_folder(root, destination.parent)
                remove_stale(destination.parent)
                with contextlib.suppress(OSError):
                    return cls(destination, root, part, _open_alone(part))
                own = destination.with_name(f"~{os.getpid():x}-{os.urandom(6).hex()}.tmp")
                return cls(destination, root, own, _open_alone(own))
            except OSError as error:
                # Whoever had nothing to put there may have removed the folder meanwhile.
                if not left or error.errno != errno.ENOENT:
                    raise cls.problem_of(error, root) from error
        raise AssertionError("the last round returns or raises")

    @staticmethod
    def problem_of(error: OSError, root: Path) -> TransferError:
        """Return what to say of a store that cannot be written."""
        if error.errno in _FULL:
            return TransferError(Problem.DISK_FULL, f"the disk of {root} is full")
        words = error.strerror or str(error)
        return TransferError(Problem.CACHE_UNWRITABLE, f"{root} cannot be written: {words}")

    @property
    def offset(self) -> int:
        """Return how many bytes are there."""
        return self._file.tell()

    def resume(self, address: str) -> str:
        """Return the validator of what the part is the beginning of, ``""`` when it is none of
        *address*: then it stays until something comes from there (:meth:`restart`)."""
        with contextlib.suppress(OSError, msgspec.DecodeError, RecursionError):
            info = self._note.lstat()
            if stat.S_ISREG(info.st_mode) and info.st_size <= _MAX_NOTE:
                note = msgspec.json.decode(self._note.read_bytes(), type=Beginning)
                self._file.seek(0, os.SEEK_END)
                fits = not note.total or self.offset <= note.total
                if note.address == _hash(address) and note.validator and self.offset and fits:
                    self.total, self.was_resumed = note.total, True
                    return note.validator
        return ""

    def expect(self, address: str, validator: str, total: int) -> None:
        """Note what the part is the beginning of, and check that the rest of *total* bytes has
        room.

        :raises TransferError: the disk has no room for it.
        """
        rest = total - self.offset
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(self.path.parent).free
            if rest > _MIN_FREE and rest + _RESERVE > free:
                raise TransferError(
                    Problem.DISK_FULL,
                    f"the disk of {self._root} has {size_text(free)} left, "
                    f"the file wants {size_text(rest)}",
                )
        if validator:
            note = msgspec.json.encode(Beginning(_hash(address), validator, total))
            fresh = self._note.with_name(f"~{os.getpid():x}-{os.urandom(6).hex()}.json")
            try:
                with open(fresh, "xb") as file:
                    file.write(note)
                os.replace(fresh, self._note)  # never through a link that lies there
            except OSError:  # then the next transfer begins anew
                with contextlib.suppress(OSError):
                    fresh.unlink()

    def write(self, data: bytes) -> None:
        """Append *data*. :raises TransferError: the disk is full or fails."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self.problem_of(error, self._root) from error

    def restart(self) -> None:
        """Forget what came so far."""
        self.total, self.was_resumed = 0, False
        try:
            self._file.seek(0)
            self._file.truncate()
            self._note.unlink(missing_ok=True)
        except OSError as error:
            raise self.problem_of(error, self._root) from error

    def close(self) -> None:
        """Note that the whole content is there: it can be opened by :attr:`path`.

        The lock is held until the file has its place, but for Windows, where that needs it closed.

        :raises TransferError: the last bytes found no room.
        """
        try:
            self._file.flush()
            if sys.platform == "win32":
                self._file.close()
        except OSError as error:
            raise self.problem_of(error, self._root) from error

    def commit(self) -> Path:
        """Put the file in its place and return that. :raises TransferError:"""
        try:
            rename(self.path, self._destination)
            self._note.unlink(missing_ok=True)
            self._file.close()
        except OSError as error:
            raise self.problem_of(error, self._root) from error
        return self._destination

    def keep(self) -> None:
        """Leave what came for the next transfer; nothing and what nobody could go on with goes."""
        with contextlib.suppress(OSError):
            has_part = self.offset > 0 if not self._file.closed else True
            # Under a name of its own, beside another process's part, nobody would find it again.
            is_alone = not self.path.name.endswith(_PART)
            if is_alone or not has_part or not self._note.exists():
                self.discard()
            self._file.close()

    def discard(self) -> None:
        """Remove what came, and the folders that were made for it."""
        # While it is locked nobody else takes it for his own; Windows wants it closed first.
        actions = [self._remove_files, self._file.close]
        for action in reversed(actions) if sys.platform == "win32" else actions:
            with contextlib.suppress(OSError):
                action()
        folder = self.path.parent
        for _ in range(2):
            with contextlib.suppress(OSError):
                if folder != self._root:
                    folder.rmdir()  # only where it is empty
            folder = folder.parent

    def _remove_files(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove parts in *folder* that nobody has gone on with for a week."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            is_part = entry.name.startswith("~") and entry.name.endswith((_PART, ".tmp", ".json"))
            with contextlib.suppress(OSError):  # a folder of such a name, or another was faster
                if is_part and time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE:
                    os.unlink(entry.path)


def _hash(address: str) -> str:
    return hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()


def _open_alone(path: Path) -> BinaryIO:
    """Open a file to write behind what it has.

    :raises OSError: a process has it open, it is a link or no file, or the folder is not writable.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file")
    file = os.fdopen(handle, "r+b", buffering=1 << 18)
    try:
        lock(file)
        # Whoever had it before may have put it in its place meanwhile.
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
            raise BlockingIOError(errno.EAGAIN, "it was renamed")
        file.seek(0, os.SEEK_END)
    except OSError:
        file.close()
        raise
    return file
