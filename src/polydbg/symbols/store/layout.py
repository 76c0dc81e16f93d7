"""How symbol stores lay out files on disk.

Flat stores hold ``NAME/KEY/NAME`` (Breakpad's files: ``NAME/KEY/NAME.sym``); with ``index2.txt``
in the root, ``na/NAME/KEY/NAME``. The key folder holds the file, or its compressed form with the
last letter of the name replaced by ``_``, or ``file.ptr``, a text that says where the file is.
Source:
https://learn.microsoft.com/windows-hardware/drivers/debugger/symbol-storage-format
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from polydbg.symbols.store.hostpath import (
    DirectoryCache,
    directory_problem,
    file_problem,
    host_path,
    unsafe_reason,
)
from polydbg.symbols.store.trail import FileKind, Outcome, Trail

MAX_POINTER_BYTES = 4096
MAX_POINTER_HOPS = 4
_OWN_NAMES = frozenset(("index2.txt", "pingme.txt", "000admin"))


def packed_name(name: str) -> str:
    """Return the name of the compressed form: ``a.pdb`` is stored as ``a.pd_``."""
    return name[:-1] + "_"


def name_problem(name: str) -> str:
    """Return why *name* cannot be the folder of a file in a store, or ``""``."""
    if name.lower() in _OWN_NAMES:
        return "a name that symbol stores have for themselves"
    return unsafe_reason(name)


def tier_folder(name: str) -> str:
    """Return the folder above *name* in stores with folders by the first two letters."""
    return name[:2].lower().rstrip(". ") or "_"


def is_packed(path: Path) -> bool:
    """Return whether a file of a store is a compressed form, by its name."""
    return path.name.endswith("_")


class LocalStore:
    """A store in a directory of this host, with either number of tiers."""

    def __init__(self, root: Path, directories: DirectoryCache) -> None:
        self.root = root
        self._directories = directories

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalStore) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def probe(self, name: str, key: str, kind: FileKind, trail: Trail) -> Path | None:
        """Return a regular file for *name* and *key*, possibly compressed, or tell *trail* why not.

        *name* and *key* are safe components of a path. The file's id has not been verified.
        """
        problem = directory_problem(self.root)
        if problem is not None:
            outcome = Outcome.UNREADABLE if problem else Outcome.MISSING
            trail.add(self.root, outcome, problem or "no such store")
            return None
        for tiers in self.tiers(name):
            folder = self._directories.descend(str(self.root), *tiers, name, key)
            if folder is not None:
                found = self._in_folder(folder, kind.file_name(name), trail)
                if found is not None:
                    return found
        trail.add(self.root / name / key / kind.file_name(name), Outcome.MISSING)
        return None

    def target(self, name: str, key: str, file_name: str) -> Path:
        """Return where a new file belongs, in the spelling of folders that exist already."""
        path = str(self.root)
        tiers = self.tiers(name)[0]
        for part in (*tiers, name, key, file_name):
            path = self._directories.find(path, part) or os.path.join(path, part)
        return Path(path)

    def tiers(self, name: str) -> list[tuple[str, ...]]:
        """Return the folders between the root and NAME, the store's own way first."""
        mark = self._directories.find(str(self.root), "index2.txt")
        if mark is None or not os.path.isfile(mark):
            return [()]
        return [(tier_folder(name),), ()]

    def _in_folder(self, folder: str, name: str, trail: Trail) -> Path | None:
        for spelling in (name, packed_name(name)):
            path = self._directories.find(folder, spelling)
            if path is None:
                continue
            problem = file_problem(Path(path))
            if problem is None:
                return Path(path)
            trail.add(path, Outcome.UNREADABLE, problem)
        pointer = self._directories.find(folder, "file.ptr")
        return None if pointer is None else follow_pointer(Path(pointer), trail)


def follow_pointer(pointer: Path, trail: Trail) -> Path | None:
    """Return the regular file a ``file.ptr`` leads to, through at most a few more of them.

    Its text is a path, with or without ``PATH:`` before it, or ``MSG:`` and the reason why the
    store has no file.
    """
    seen: set[str] = set()
    current = pointer
    for _ in range(MAX_POINTER_HOPS):
        if os.path.realpath(current) in seen:
            trail.add(pointer, Outcome.DAMAGED, "file.ptr leads back to itself")
            return None
        seen.add(os.path.realpath(current))
        target = _pointer_target(current, trail)
        if target is None:
            return None
        if target.name.lower() != "file.ptr":
            problem = file_problem(target)
            if problem is None:
                return target
            outcome = Outcome.UNREADABLE if problem else Outcome.MISSING
            trail.add(target, outcome, problem or f"named by {current}")
            return None
        current = target
    trail.add(pointer, Outcome.DAMAGED, f"more than {MAX_POINTER_HOPS} file.ptr in a row")
    return None


class Pointer(msgspec.Struct, frozen=True):
    """What a ``file.ptr`` says: *target* is a path or an address, or ``""``; *message* why the
    store has no file."""

    target: str
    message: str = ""


def read_pointer(data: bytes) -> Pointer:
    """Return what the text of a ``file.ptr`` says."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = data.decode(encoding, "replace").strip().strip("\0").strip()
    if text[:4].upper() == "MSG:":
        return Pointer("", " ".join(text[4:].split()))
    return Pointer(text[5:].strip() if text[:5].upper() == "PATH:" else text)


def _pointer_target(pointer: Path, trail: Trail) -> Path | None:
    problem = file_problem(pointer)
    if problem is not None:
        outcome = Outcome.UNREADABLE if problem else Outcome.MISSING
        trail.add(pointer, outcome, problem)
        return None
    try:
        with open(pointer, "rb") as stream:
            data = stream.read(MAX_POINTER_BYTES + 1)
    except OSError as error:
        trail.add(pointer, Outcome.UNREADABLE, error.strerror or str(error))
        return None
    found = read_pointer(data)
    text = found.target
    if found.message:
        trail.add(pointer, Outcome.MISSING, found.message)
        return None
    if not text or len(data) > MAX_POINTER_BYTES or any(char < " " for char in text):
        trail.add(pointer, Outcome.DAMAGED, "file.ptr holds no path")
        return None
    path = host_path(text)
    if path is None:
        trail.add(pointer, Outcome.NOT_ASKED, f"it names {text}, a path of another system")
        return None
    return path if path.is_absolute() else pointer.parent / path
