"""The files of a root file system that is packed: layers in order, later ones win.

White-outs are those of the OCI image specification (image layer filesystem changeset): ``.wh.NAME``
removes NAME of the layers below, ``.wh..wh..opq`` all that they have in its folder. Both say
nothing about their own layer, wherever they stand in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from polydbg.base.errors import TargetError
from polydbg.formats.archives.tar_archive import EntryKind
from polydbg.symbols.store.root_paths import follow

MAX_FILES = 1_000_000
"""Files, links and folders of all layers."""
MAX_NAMES = 128 << 20
"""Characters of all their names."""
MAX_DEPTH = 128
_WHITE_OUT = ".wh."
_OPAQUE = ".wh..wh..opq"


class TreeFile(msgspec.Struct, frozen=True, eq=False):
    """A file: the number of its layer, and its place and size there (of a zip file, its member)."""

    layer: int
    offset: int
    size: int


class TreeLink(msgspec.Struct, frozen=True, eq=False):
    """A symbolic link."""

    target: str


class LayerEntry(msgspec.Struct, frozen=True):
    """An entry of a layer; *link* is where a link of either kind leads."""

    kind: EntryKind
    name: str
    link: str
    offset: int
    size: int


Node = TreeFile | TreeLink | dict[str, "Node"]


class FileTree:
    """Files and links by path. *is_full* tells that some were left out because of their number."""

    def __init__(self) -> None:
        self._root: dict[str, Node] = {}
        self._layers = 0
        self._count = self._characters = 0
        self._last: tuple[str, dict[str, Node]] | None = None
        self.is_full = False

    def add_layer(self, entries: Iterable[LayerEntry]) -> None:
        """Put a layer over what is there.

        :raises FormatError: from the reader of *entries*.
        """
        added: list[tuple[list[str], LayerEntry]] = []
        for entry in entries:
            parts = [part for part in entry.name.split("/") if part not in ("", ".")]
            if ".." in parts or len(parts) > MAX_DEPTH:
                continue
            if parts and parts[-1].startswith(_WHITE_OUT):
                self._white_out(parts[:-1], parts[-1])
                continue
            self._characters += len(entry.name) + len(entry.link)
            self.is_full |= self._count + len(added) >= MAX_FILES or self._characters > MAX_NAMES
            if self.is_full:
                break
            added.append((parts, entry))
        self._last = None
        for parts, entry in added:
            self._add(parts, entry)
        self._layers += 1

    def node(self, path: str) -> tuple[str, Node | None]:
        """Return the absolute path that *path* leads to, and what is there.

        :raises TargetError: ``sysroot.links``.
        """
        parts = follow(path, self._link)
        return "/" + "/".join(parts), self._at(parts)

    def files(self) -> Iterator[tuple[str, TreeFile]]:
        """Yield every file with its path."""
        pending: list[tuple[str, dict[str, Node]]] = [("", self._root)]
        while pending:
            path, folder = pending.pop()
            for name, node in folder.items():
                if isinstance(node, TreeFile):
                    yield f"{path}/{name}", node
                elif isinstance(node, dict):
                    pending.append((f"{path}/{name}", node))

    def descend_into_only_folder(self) -> str:
        """Make the only folder at the top the root where it looks like one; return its name."""
        if len(self._root) != 1:
            return ""
        name, node = next(iter(self._root.items()))
        if not isinstance(node, dict) or name in _LOOKS_LIKE_ROOT:
            return ""
        if _LOOKS_LIKE_ROOT.isdisjoint(node):
            return ""
        self._root = node
        return name

    def _white_out(self, folder: list[str], name: str) -> None:
        try:
            node = self._at(follow("/".join(folder), self._link))
        except TargetError:
            return
        if not isinstance(node, dict):
            return
        if name == _OPAQUE:
            node.clear()
        elif not name.startswith(_WHITE_OUT * 2):  # others are notes of aufs to itself
            node.pop(name[len(_WHITE_OUT) :], None)

    def _add(self, parts: list[str], entry: LayerEntry) -> None:
        """Add an entry as unpacking would: links of the folders on the way are followed."""
        if not parts:
            return
        node: Node | None
        if entry.kind is EntryKind.HARD_LINK:
            node = self._hard_link(entry.link)
        elif entry.kind is EntryKind.LINK:
            node = TreeLink(entry.link)
        elif entry.kind is EntryKind.FILE:
            node = TreeFile(self._layers, entry.offset, entry.size)
        elif entry.kind is EntryKind.FOLDER:
            node = {}
        else:
            node = None
        folder = self._parent(parts[:-1])
        if folder is None:
            return
        name = parts[-1]
        old = folder.get(name)
        if isinstance(node, dict) and isinstance(old, dict):
            return
        if old is not None and not isinstance(old, TreeFile):
            self._last = None
        if node is None:
            folder.pop(name, None)  # a device hides what lay there, or a link leads nowhere
        else:
            self._count += 1
            folder[name] = node

    def _parent(self, parts: list[str]) -> dict[str, Node] | None:
        """Return the folder at *parts*, made where it is missing; ``None`` where a file is."""
        path = "/".join(parts)
        if self._last is not None and self._last[0] == path:
            return self._last[1]
        try:
            resolved = follow(path, self._link)
        except TargetError:
            return None
        if len(resolved) > MAX_DEPTH:
            return None
        folder = self._root
        for part in resolved:
            node = folder.get(part)
            if node is None:
                if self._count >= MAX_FILES:
                    self.is_full = True
                    return None
                self._count += 1
                node = folder[part] = {}
            if not isinstance(node, dict):
                return None
            folder = node
        self._last = (path, folder)
        return folder

    def _hard_link(self, target: str) -> Node | None:
        if ".." in target.split("/"):
            return None
        path, _, name = target.strip("/").rpartition("/")
        try:
            folder = self._at(follow(path, self._link))
        except TargetError:
            return None
        node = folder.get(name) if isinstance(folder, dict) else None
        return None if isinstance(node, dict) else node

    def _link(self, parts: Sequence[str]) -> str | None:
        node = self._at(parts)
        return node.target if isinstance(node, TreeLink) else None

    def _at(self, parts: Sequence[str]) -> Node | None:
        node: Node | None = self._root
        for part in parts:
            if not isinstance(node, dict):
                return None
            node = node.get(part)
        return node


_LOOKS_LIKE_ROOT = frozenset(("usr", "lib", "lib64", "bin", "etc", "var", "opt"))
