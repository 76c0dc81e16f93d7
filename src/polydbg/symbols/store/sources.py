"""Finding a source file on this host by the name that a debug file recorded.

Elements of a source path are

- ``FROM=DIR``, a rule: what was recorded below the folder FROM is looked for below DIR; a ``/*`` at
  the end of FROM may stand there or not. The longest FROM comes first. Rules come before folders.
- ``DIR``, a folder: ``C:\\build\\src\\a.c`` is looked for as ``DIR/build/src/a.c``,
  ``DIR/src/a.c``, ``DIR/a.c``: the longest suffix that exists wins, over all folders of the path.
- ``SRV*``, which lets the links of debug files be followed, and ``DebugInfoD*URL*URL``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from polydbg.symbols.store.hostpath import file_problem, host_path, is_network, unsafe_reason
from polydbg.symbols.store.path import ElementKind, PathCheck, PathElement, SymbolPath, is_url

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


class MappingRule(msgspec.Struct, frozen=True):
    """A rule ``FROM=DIR``: *drive* is that of FROM in lower case or empty, *parts* its components,
    of Windows in lower case; *directory* as typed."""

    drive: str
    parts: tuple[str, ...]
    is_windows: bool
    directory: str

    def rest(self, recorded: str, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Return the components of *recorded*, which are *parts*, below FROM; none where it does
        not lie there."""
        count = len(self.parts)
        start = tuple(part.lower() for part in parts[:count]) if self.is_windows else parts[:count]
        if start != self.parts or _drive(recorded) != self.drive:
            return ()
        return parts[count:]


def rule_of(element: PathElement) -> MappingRule | None:
    """Return the rule that an element of a source path is, if it is one."""
    origin, equals, directory = element.stores[0].partition("=") if element.stores else ("", "", "")
    if element.kind is not ElementKind.DIRECTORY or not equals or not directory.strip():
        return None
    origin = origin.strip().removesuffix("*")
    parts = components(origin)
    if not parts and not re.fullmatch(r"([A-Za-z]:)?[\\/]", origin):
        return None
    is_windows = bool(_drive(origin)) or "\\" in origin
    folded = tuple(part.lower() for part in parts) if is_windows else parts
    return MappingRule(_drive(origin), folded, is_windows, directory.strip())


def _drive(path: str) -> str:
    return path[:2].lower() if re.match(r"[A-Za-z]:", path) else ""


def follows_links(path: SymbolPath) -> bool:
    """Tell whether the path says that sources may be fetched from where debug files say they lie:
    ``SRV*``, the element that ``.srcfix`` sets."""
    return any(_is_link_element(element) for element in path.elements)


def links_cache(path: SymbolPath) -> Path | None:
    """Return the store of ``SRV*STORE``, where sources that are fetched are kept."""
    for element in path.elements:
        text = element.text.partition("*")[2] if _is_link_element(element) else ""
        if text and (root := host_path(text)) is not None:
            return root
    return None


def _is_link_element(element: PathElement) -> bool:
    is_server = element.kind is ElementKind.CHAIN and element.text.lower().startswith("srv*")
    return is_server and not is_url(element.text.split("*")[-1])


def debuginfod_servers(path: SymbolPath) -> tuple[str, ...]:
    """Return the servers of the path's ``DebugInfoD*URL*URL``."""
    return tuple(
        store
        for element in path.elements
        if element.kind is ElementKind.DEBUGINFOD
        for store in element.stores
        if is_url(store)
    )


def check_source_path(path: SymbolPath) -> list[PathCheck]:
    """Return a row per element; of a rule, its folder is what is checked."""
    rows: list[PathCheck] = []
    for element, row in zip(path.elements, path.check(), strict=True):
        rule = rule_of(element)
        if rule is not None:
            folder = PathElement(rule.directory, ElementKind.DIRECTORY, (rule.directory,))
            found = SymbolPath(rule.directory, (folder,)).check()[0]
            row = msgspec.structs.replace(found, element=element.text)
        rows.append(row)
    return rows


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
        rules = [rule for element in path.elements if (rule := rule_of(element)) is not None]
        self._rules = sorted(rules, key=lambda rule: -len(rule.parts))

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
        for rule in self._rules:
            target, rest = host_path(rule.directory), rule.rest(recorded, parts)
            if target is not None and rest and (found := self._below(target, rest)) is not None:
                return found
        roots = [
            root
            for element in self.path.elements
            if element.kind is ElementKind.DIRECTORY
            and rule_of(element) is None
            and (root := host_path(element.stores[0])) is not None
        ]
        for start in range(len(parts)):
            for root in roots:
                found = self._below(root, parts[start:])
                if found is not None:
                    return found
        if self._recorded_paths and os.path.isabs(recorded) and not is_network(recorded):
            candidate = Path(recorded)
            return candidate if file_problem(candidate) is None else None
        return None

    def _below(self, root: Path, parts: tuple[str, ...]) -> Path | None:
        found = self.path.directories.descend(str(root), *parts)
        return Path(found) if found is not None and file_problem(Path(found)) is None else None
