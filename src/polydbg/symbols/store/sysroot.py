"""The root file system that a process ran in, as a folder or packed: the file at a path inside it.

Links are followed inside the root and ``..`` never leaves it; devices and pipes are not opened.
Whether a file is the right one is for the caller to check: by its build-id.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.memory.space import Buffer
from polydbg.symbols.store.hostpath import unsafe_reason
from polydbg.symbols.store.root_paths import follow, normal_parts

MAX_NAMED = 16
"""Files of one name that are worth a look."""
MAX_SCANNED = 200_000
"""Files of a folder that are looked through for a name."""
MAX_SCAN_DEPTH = 32

Progress = Callable[[str, int, int], None]


class FoundFile(msgspec.Struct, frozen=True, eq=False):
    """A file of a root: its absolute *path* there with links followed, how it is *shown*
    (``/roots/app/usr/lib/libc.so.6``, ``app.tar!/usr/lib/libc.so.6``), its bytes, and its path on
    this host, ``None`` inside of archives. The bytes stay as long as somebody holds them."""

    path: str
    shown: str
    buffer: Buffer
    host_path: str | None = None


class Sysroot(Protocol):
    """A root file system. *path* is the folder or archive as given."""

    @property
    def path(self) -> str: ...

    @property
    def warnings(self) -> Sequence[Warning]:
        """Return what was noticed so far: which image was chosen, what is missing or left out."""
        ...

    def find(self, path: str) -> FoundFile | None:
        """Return the regular file at the absolute *path* of the root, ``None`` when none is there.

        :raises TargetError: ``sysroot.links``, ``sysroot.not-a-file`` (a device, a pipe),
            ``sysroot.access``; of archives ``sysroot.bad-archive``, ``sysroot.codec-missing``.
        :raises Cancelled: the user asked to stop.
        """
        ...

    def named(self, path: str) -> list[str]:
        """Return at most :data:`MAX_NAMED` paths of regular files with the file name of *path*,
        those first that have most folders at their end in common with it.

        Raises as :meth:`find` does.
        """
        ...

    def close(self) -> None:
        """Give up what is open; found files stay usable."""
        ...


def open_sysroot(
    path: str,
    arch: str = "",
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> Sysroot:
    """Return the root at *path*: a folder, an archive of a root file system, or container images
    (``docker save``, an OCI image layout, packed or as a folder), of which the first for the
    processor *arch* counts. Only the first bytes are read; the rest is when a file is asked for.

    :raises TargetError: ``sysroot.not-found``, ``sysroot.access``, ``sysroot.bad-archive``,
        ``sysroot.codec-missing``.
    """
    from polydbg.symbols.store.packed_root import PackedRoot, is_image_folder

    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise TargetError(
            f"{path}: {getattr(error, 'strerror', None) or error}",
            hint="give the folder or the archive that holds the program's files",
            identifier="sysroot.not-found" if missing else "sysroot.access",
        ) from error
    if not is_folder:
        return PackedRoot(path, None, arch, cancel, progress)
    folder = FolderRoot(path, cancel)
    return PackedRoot(path, folder, arch, cancel, progress) if is_image_folder(folder) else folder


class FolderRoot:
    """A folder as a root."""

    def __init__(self, path: str, cancel: CancelToken | None = None) -> None:
        self.path = path
        self.warnings: list[Warning] = []
        self._cancel = cancel
        self._names: dict[str, list[str]] | None = None

    def find(self, path: str) -> FoundFile | None:
        parts = follow(path, self._link)
        if not parts or not _is_safe(parts):
            return None
        host = os.path.join(self.path, *parts)
        data = map_regular(host, follow_links=False)
        if data is None:
            return None
        return FoundFile("/" + "/".join(parts), sanitise_line(host), data, host)

    def named(self, path: str) -> list[str]:
        if self._names is None:
            self._names = self._scan()
        name = path.rsplit("/", 1)[-1]
        return nearest(path, (f"{folder}/{name}" for folder in self._names.get(name, ())))

    def close(self) -> None:
        self._names = None

    def _link(self, parts: Sequence[str]) -> str | None:
        if not _is_safe(parts):
            return None
        try:
            return os.readlink(os.path.join(self.path, *parts)).replace(os.sep, "/")
        except (OSError, ValueError):  # no link, or nothing
            return None

    def _scan(self) -> dict[str, list[str]]:
        """Return the folders that hold a file of each name; system folders are scanned first."""
        names: dict[str, list[str]] = {}
        count = 0
        pending = [("", 0)]
        while pending:
            folder, depth = pending.pop(0)
            if self._cancel is not None:
                self._cancel.check()
            try:
                with os.scandir(os.path.join(self.path, *folder.split("/"))) as found:
                    for entry in found:
                        count += 1
                        if count > MAX_SCANNED:
                            text = f"{self.path}: more than {MAX_SCANNED} files, not all searched"
                            self.warnings.append(Warning("sysroot.many-files", text))
                            return names
                        if entry.is_file(follow_symlinks=False):
                            names.setdefault(entry.name, []).append(folder)
                        elif entry.is_dir(follow_symlinks=False) and depth < MAX_SCAN_DEPTH:
                            pending.append((f"{folder}/{entry.name}", depth + 1))
            except OSError:
                continue
            if not folder:
                pending = [each for each in pending if each[0] not in _NO_FILES]
                pending.sort(key=lambda each: each[0] not in _SYSTEM)
        return names


def map_regular(path: str, *, follow_links: bool) -> Buffer | None:
    """Map the regular file at *path* of this host; ``None``: there is nothing, or a folder.

    :raises TargetError: ``sysroot.not-a-file``, ``sysroot.access``.
    """
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "" if follow_links else "O_NOFOLLOW"):
        flags |= getattr(os, name, 0)
    try:
        # Opening a device can do things, so it is looked at first.
        if not _is_file(os.stat(path, follow_symlinks=follow_links), path):
            return None
        handle = os.open(path, flags)
        try:
            info = os.fstat(handle)
            if not _is_file(info, path):
                return None
            return mmap.mmap(handle, 0, access=mmap.ACCESS_READ) if info.st_size else b""
        finally:
            os.close(handle)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise TargetError(
            f"{sanitise_line(path)}: {getattr(error, 'strerror', None) or error}",
            hint="it must be a regular file that you may read",
            identifier="sysroot.access",
        ) from error


_NO_FILES = ("/proc", "/sys", "/dev")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin", "/opt", "/app")


def nearest(path: str, candidates: Iterable[str]) -> list[str]:
    """Return the *candidates* with most folders at their end in common with *path*, at most
    :data:`MAX_NAMED`."""
    wanted = normal_parts(path)[::-1]

    def common(candidate: str) -> int:
        parts = candidate.split("/")[::-1]
        pairs = zip(wanted, parts, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(wanted))

    return sorted(candidates, key=lambda each: (-common(each), each))[:MAX_NAMED]


def _is_safe(parts: Sequence[str]) -> bool:
    """Tell whether this host can have files of these names: on Windows ``C:`` is another root."""
    if os.name == "nt":
        return not any(unsafe_reason(part) for part in parts)
    return not any("\0" in part for part in parts)


def _is_file(info: os.stat_result, shown: str) -> bool:
    """Tell whether it is a file and no folder. :raises TargetError: ``sysroot.not-a-file``."""
    if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
        return stat.S_ISREG(info.st_mode)
    raise TargetError(
        f"{sanitise_line(shown)}: not a regular file",
        hint="devices and pipes are not opened",
        identifier="sysroot.not-a-file",
    )
