"""Finding a source file on this host by the name that a debug file recorded.

``C:\\build\\src\\a.c`` is looked for as ``DIR/build/src/a.c``, ``DIR/src/a.c``, ``DIR/a.c``: the
longest suffix that exists wins, over all directories of the source path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from polydbg.symbols.store.hostpath import file_problem, host_path, is_network, unsafe_reason
from polydbg.symbols.store.path import ElementKind, SymbolPath

MAX_COMPONENTS = 64
MAX_LENGTH = 4096


def components(recorded: str) -> tuple[str, ...]:
    """Return the parts of a recorded path, without drive or root, ``.`` and ``..`` worked out.

    Empty when the name is hostile or longer than any real one.
    """
    if len(recorded) > MAX_LENGTH:
        return ()
    parts: list[str] = []
    for part in re.split(r"[\\/]", re.sub(r"^[A-Za-z]:", "", recorded)):
        if part in ("", "."):
            continue
        if part == "..":
            parts = parts[:-1]
        elif unsafe_reason(part):
            return ()
        else:
            parts.append(part)
    return tuple(parts) if len(parts) <= MAX_COMPONENTS else ()


class SourceFinder:
    """Looks up source files along a source path and remembers the answers.

    Servers in the path are not asked. With *recorded_paths* the recorded path itself is tried last
    if it is absolute on this host and not on a network; it is off by default because the name may
    come from a stranger's file.
    """

    MAX_ANSWERS = 65_536

    def __init__(self, path: SymbolPath, *, recorded_paths: bool = False) -> None:
        self.path = path
        self._recorded_paths = recorded_paths
        self._answers: dict[str, Path | None] = {}

    def find(self, recorded: str) -> Path | None:
        """Return the file for a recorded name, or ``None``."""
        if recorded not in self._answers:
            if len(self._answers) >= self.MAX_ANSWERS:
                self._answers.clear()
            self._answers[recorded] = self._search(recorded)
        return self._answers[recorded]

    def clear(self) -> None:
        """Forget the answers (the source path or the disk changed)."""
        self._answers.clear()
        self.path.directories.clear()

    def _search(self, recorded: str) -> Path | None:
        parts = components(recorded)
        if not parts:
            return None
        roots = [
            root
            for element in self.path.elements
            if element.kind is ElementKind.DIRECTORY
            and (root := host_path(element.stores[0])) is not None
        ]
        for start in range(len(parts)):
            for root in roots:
                found = self.path.directories.descend(str(root), *parts[start:])
                if found is not None and file_problem(Path(found)) is None:
                    return Path(found)
        if self._recorded_paths and os.path.isabs(recorded) and not is_network(recorded):
            candidate = Path(recorded)
            return candidate if file_problem(candidate) is None else None
        return None
