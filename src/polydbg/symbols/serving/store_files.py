"""Finds in a folder what clients of symbol servers and of debuginfod ask for.

The folder is a symbol store (either number of tiers), a ``.build-id`` tree, or both. Paths in
requests are hostile: each part must be a safe component, and what a part leads to must lie in the
folder, whatever links there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from polydbg.base.errors import DebuggerError
from polydbg.images.elf import ElfImage
from polydbg.symbols.store.contents import elf_key, is_build_id
from polydbg.symbols.store.hostpath import DirectoryCache, file_problem, is_safe_key, unsafe_reason
from polydbg.symbols.store.layout import LocalStore, follow_pointer, tier_folder
from polydbg.symbols.store.sources import components
from polydbg.symbols.store.trail import Trail
from polydbg.symbols.store.transfer import is_inside

MAX_NAMES = 200_000
"""Most folders of a store that are looked through for a build id."""
MAX_SECTION = 1 << 30
_MARKS = ("index2.txt", "pingme.txt")


class StoreFiles:
    """The files in *root*; *sources* maps the beginnings of recorded paths to folders."""

    def __init__(self, root: Path, sources: Mapping[str, Path] | None = None) -> None:
        self.root = root
        self._sources = dict(sources or {})
        self._real = os.path.realpath(root)
        self._directories = DirectoryCache()
        self._store = LocalStore(root, self._directories)
        self._names: dict[str, Path] = {}

    def of_store(self, parts: list[str]) -> Path | None:
        """Return the file at ``NAME/KEY/FILE``, with or without a folder of two letters before it,
        or one of the marks of a store; a ``file.ptr`` is followed where it leads to inside."""
        if any(unsafe_reason(part) for part in parts):
            return None
        if len(parts) == 1:
            return self._inside(self.root / parts[0]) if parts[0].lower() in _MARKS else None
        if len(parts) not in (3, 4) or not is_safe_key(parts[-2]):
            return None
        name, key, file_name = parts[-3:]
        if file_name.lower() == "file.ptr":  # a path of this machine, nobody else's business
            return None
        if len(parts) == 4 and parts[0].lower() != tier_folder(name):
            return None
        for tiers in self._store.tiers(name):
            folder = self._directories.descend(str(self.root), *tiers, name, key)
            if folder is None:
                continue
            found = self._directories.find(folder, file_name)
            if found is None and (pointer := self._directories.find(folder, "file.ptr")):
                target = follow_pointer(Path(pointer), Trail())
                found = str(target) if target is not None else None
            if found is not None and (file := self._inside(Path(found))) is not None:
                return file
        return None

    # -- by build id -------------------------------------------------------------------------

    def executable(self, build_id: str) -> Path | None:
        """Return the program or library of a build id."""
        if not is_build_id(build_id):
            return None
        known = self._names.get(build_id)
        if known is not None and file_problem(known) is None:
            return known
        tree = self.root / ".build-id" / build_id[:2] / build_id[2:]
        found = self._inside(tree) or self._by_key(elf_key(build_id, debug=False))
        if found is not None:
            self._names[build_id] = found
        return found

    def debug_information(self, build_id: str) -> Path | None:
        """Return the file with the debug information of a build id: a separate one, else the
        program that was not stripped."""
        if not is_build_id(build_id):
            return None
        tree = self.root / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
        key = elf_key(build_id, debug=True)
        found = self._inside(tree) or self.of_store(["_.debug", key, "_.debug"])
        if found is not None:
            return found
        program = self.executable(build_id)
        return program if program is not None and _has_section(program, ".debug_info") else None

    def section(self, build_id: str, name: str) -> bytes | None:
        """Return a section of the debug information, else of the program, as the file has it."""
        for file in (self.debug_information(build_id), self.executable(build_id)):
            if file is None:
                continue
            data = _section(file, name)
            if data is not None:
                return data
        return None

    def source(self, build_id: str, path: str) -> Path | None:
        """Return the source file that debug information calls *path*."""
        if not is_build_id(build_id):
            return None
        wanted = components(path)
        for prefix in sorted(self._sources, key=len, reverse=True):
            start = components(prefix)
            if wanted[: len(start)] != start or len(wanted) == len(start):
                continue
            folder = self._sources[prefix]
            found = folder.joinpath(*wanted[len(start) :])
            if is_inside(found, os.path.realpath(folder)) and file_problem(found) is None:
                return found
        return None

    def _by_key(self, key: str) -> Path | None:
        """Look through the names of the store for a key: ELF files are kept under their names."""
        roots = [self.root]
        if self._directories.find(str(self.root), "index2.txt") is not None:
            roots += [Path(each.path) for each in _folders(self.root)]
        for root in roots:
            for name in _folders(root):
                folder = os.path.join(name.path, key)
                if not os.path.isdir(folder):
                    continue
                found = self._inside(Path(folder) / name.name)
                if found is not None:
                    return found
        return None

    def _inside(self, path: Path) -> Path | None:
        """Return *path* if it is a regular file that lies in the folder, links followed."""
        is_file = file_problem(path) is None
        return path if is_file and is_inside(path, self._real) else None


def _folders(root: Path) -> list[os.DirEntry[str]]:
    """Return the folders in *root* that may be names of files."""
    found: list[os.DirEntry[str]] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                if len(found) >= MAX_NAMES:
                    break
                if entry.is_dir() and entry.name not in ("000Admin", ".build-id"):
                    found.append(entry)
    except OSError:
        return found
    return found


def _has_section(file: Path, name: str) -> bool:
    try:
        image = ElfImage.from_file(file)
    except (DebuggerError, OSError):
        return False
    try:
        section = image.section_named(name)
        return section is not None and section.has_bytes
    except DebuggerError:
        return False
    finally:
        image.close()


def _section(file: Path, name: str) -> bytes | None:
    """Return the bytes of a section as the file has them, ``None`` where it has none."""
    try:
        image = ElfImage.from_file(file)
    except (DebuggerError, OSError):
        return None
    try:
        section = image.section_named(name)
        if section is None or not section.has_bytes or not 0 < section.size <= MAX_SECTION:
            return None
        with open(file, "rb") as stream:
            stream.seek(section.offset)
            data = stream.read(section.size)
        return data if len(data) == section.size else None
    except (DebuggerError, OSError):
        return None
    finally:
        image.close()
