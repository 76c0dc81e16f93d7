"""Files of views: which classes each has views of, known before it is read as XML."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import msgspec

from polydbg.base.errors import CommandError
from polydbg.formats.natvis.model import NatvisFile, TypeView
from polydbg.formats.natvis.names import NameTree, key_of, parse_name

_NAME = re.compile(r'<(?:Type|AlternativeType) Name="([^"]*)"')
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


class Pattern(msgspec.Struct, frozen=True, eq=False):
    """A name that a view is for."""

    tree: NameTree
    view: TypeView


class LoadedFile:
    """A file of views: its *path*, and whether polydbg brought it along."""

    def __init__(self, path: str, data: bytes, *, is_own: bool = False) -> None:
        self.path = path
        self.is_own = is_own
        self._data = data

    @cached_property
    def content(self) -> NatvisFile:
        """Return what the file says. :raises FormatError: it is no sound NatVis."""
        # Expat and the records of lists are for those who meet a class with a view.
        from polydbg.formats.natvis.reader import read_natvis

        return read_natvis(self._data)

    @cached_property
    def _own_keys(self) -> frozenset[str]:
        """Return the keys of the names in one of our own files, whose spelling is known."""
        return frozenset(key_of(_plain(name)) for name in _NAME.findall(self._data.decode()))

    def patterns(self, key: str) -> Iterable[Pattern]:
        """Return the names with that :attr:`~polydbg.formats.natvis.names.NameTree.key`, in the
        file's order."""
        if self.is_own and key not in self._own_keys:
            return ()
        return self._patterns.get(key, ())

    @cached_property
    def _patterns(self) -> dict[str, list[Pattern]]:
        found: dict[str, list[Pattern]] = {}
        for view in self.content.types:
            for name in view.names:
                tree = parse_name(name)
                if tree is not None:
                    found.setdefault(tree.key, []).append(Pattern(tree, view))
        return found


def _plain(text: str) -> str:
    for entity, char in _ENTITIES:
        text = text.replace(entity, char)
    return text


def load_file(path: str) -> LoadedFile:
    """Return the file of views at *path*, read.

    :raises CommandError: it cannot be read; :raises FormatError: it is no sound NatVis.
    """
    from polydbg.formats.natvis.xml_tree import MAX_BYTES

    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(
            f'Unable to load "{path}": {error.strerror or error}',
            identifier="view.no-file",
            hint="give the path of a .natvis file",
        ) from error
    loaded = LoadedFile(os.path.abspath(path), data)
    _ = loaded.content
    return loaded


def own_files() -> list[LoadedFile]:
    """Return the files that polydbg brings along."""
    folder = Path(__file__).parents[2] / "views"
    return [
        LoadedFile(str(each), each.read_bytes(), is_own=True)
        for each in sorted(folder.glob("*.natvis"))
    ]
