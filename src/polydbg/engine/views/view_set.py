"""The views that are loaded, and what they make of a value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.engine.views.display import MISSING, display_text, is_in_view
from polydbg.engine.views.environment import ViewEnvironment, ViewError
from polydbg.engine.views.rows import count_of, rows_of
from polydbg.engine.views.scope import BoundView, ViewScope
from polydbg.engine.views.words import words_of
from polydbg.formats.natvis.model import (
    NatvisFile,
    SmartPointer,
    StringView,
    TypeView,
    ViewPart,
)
from polydbg.formats.natvis.names import NameTree, match_name, parse_name, stars_in
from polydbg.formats.natvis.reader import read_natvis
from polydbg.formats.natvis.xml_tree import MAX_BYTES
from polydbg.types.members import follow
from polydbg.types.model import CompoundType, Member
from polydbg.types.presentation import Child, Presentation
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session

_MAX_KEPT = 4096
_MAX_BASES = 64


class LoadedFile(msgspec.Struct, frozen=True, eq=False):
    """A file of views: its *path*, and whether polydbg brought it along."""

    path: str
    content: NatvisFile
    is_own: bool = False


class _Candidate(msgspec.Struct, frozen=True, eq=False):
    """A view that matches a class, and the way to the base that it is for."""

    path: tuple[Member, ...]
    bound: BoundView
    rank: tuple[int, int, int]


class _Pattern(msgspec.Struct, frozen=True, eq=False):
    tree: NameTree
    view: TypeView
    file: LoadedFile
    rank: int


class ViewSet:
    """A :class:`~polydbg.types.presentation.Presenter` of the views that are loaded."""

    def __init__(self, session: Session) -> None:
        self.environment = ViewEnvironment(session)
        self.files: list[LoadedFile] = []
        self._own: list[LoadedFile] | None = None
        self._patterns: dict[str, list[_Pattern]] = {}
        self._found: dict[CompoundType, list[_Candidate]] = {}

    # -- files -----------------------------------------------------------------------------

    def load(self, path: str) -> LoadedFile:
        """Load the views of a file, anew where it is loaded already; they go before others.

        :raises CommandError: it cannot be read; :raises FormatError: it is no sound NatVis.
        """
        try:
            with open(path, "rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise CommandError(
                f'Unable to load "{path}": {error.strerror or error}',
                identifier="view.no-file",
                hint="give the path of a .natvis file",
            ) from error
        loaded = LoadedFile(os.path.abspath(path), read_natvis(data))
        self.files = [each for each in self.files if each.path != loaded.path] + [loaded]
        self._changed()
        return loaded

    def unload(self, name: str) -> LoadedFile | None:
        """Unload a file by its path or name; ``None``: none of that name is loaded."""
        wanted = os.path.abspath(name)
        for each in self.all_files():
            if wanted == each.path or os.path.basename(each.path) == name:
                self.files = [other for other in self.files if other is not each]
                self._own = [other for other in self._own or () if other is not each]
                self._changed()
                return each
        return None

    def unload_all(self) -> list[LoadedFile]:
        """Unload every file, polydbg's own too; return them."""
        gone = self.all_files()
        self.files, self._own = [], []
        self._changed()
        return gone

    def all_files(self) -> list[LoadedFile]:
        """Return the files in force: those that were loaded, then polydbg's own."""
        return [*self.files, *self._own_files()]

    def _own_files(self) -> list[LoadedFile]:
        if self._own is None:
            from importlib import resources

            folder = resources.files("polydbg") / "views"
            self._own = [
                LoadedFile(str(each), read_natvis(each.read_bytes()), is_own=True)
                for each in sorted(folder.iterdir(), key=lambda each: each.name)
                if each.name.endswith(".natvis")
            ]
            self._changed()
        return self._own

    def _changed(self) -> None:
        self._patterns.clear()
        self._found.clear()

    # -- which views -----------------------------------------------------------------------

    def _index(self) -> dict[str, list[_Pattern]]:
        """Return the patterns by what stands before their arguments."""
        if not self._patterns:
            # The file that was loaded last goes first, those that came along go last.
            own = len(self.files)
            ranked = [(own - 1 - index, each) for index, each in enumerate(self.files)]
            ranked += [(own, each) for each in self._own_files()]
            for rank, file in ranked:
                for view in file.content.types:
                    for name in view.names:
                        tree = parse_name(name)
                        if tree is not None:
                            pattern = _Pattern(tree, view, file, rank)
                            self._patterns.setdefault(tree.key, []).append(pattern)
        return self._patterns

    def _candidates(self, compound: CompoundType) -> list[_Candidate]:
        found = self._found.get(compound)
        if found is None:
            if len(self._found) >= _MAX_KEPT:
                self._found.clear()
            found = self._of_class(compound, ()) or self._of_bases(compound)
            self._found[compound] = found
        return found

    def _of_class(self, compound: CompoundType, path: tuple[Member, ...]) -> list[_Candidate]:
        name = compound.name
        if "::" not in name and not self.files and name[:1] not in "&(":
            return []  # our own views are for libraries, whose types are in namespaces
        tree = parse_name(name)
        if tree is None:
            return []
        found: list[_Candidate] = []
        for pattern in self._index().get(tree.key, ()):
            bindings = match_name(pattern.tree, tree)
            if bindings is None or (path and not pattern.view.is_inheritable):
                continue
            intrinsics = (*pattern.file.content.intrinsics, *pattern.view.intrinsics)
            bound = BoundView(
                pattern.view,
                compound,
                bindings,
                {each.name: each for each in intrinsics},
                pattern.file.path,
                pattern.file.is_own,
            )
            rank = (-pattern.view.priority, pattern.rank, stars_in(pattern.tree))
            found.append(_Candidate(path, bound, rank))
        return sorted(found, key=lambda each: each.rank)

    def _of_bases(self, compound: CompoundType) -> list[_Candidate]:
        """Return the views of the nearest base that has one."""
        if not self.files and "::" not in compound.name and not compound.bases:
            return []
        level: list[tuple[tuple[Member, ...], CompoundType]] = [((), compound)]
        seen = 0
        while level and seen < _MAX_BASES:
            following: list[tuple[tuple[Member, ...], CompoundType]] = []
            for path, each in level:
                for base in each.bases:
                    target = base.type.bare
                    seen += 1
                    if not isinstance(target, CompoundType) or seen > _MAX_BASES:
                        continue
                    found = self._of_class(target, (*path, base))
                    if found:
                        return found
                    following.append(((*path, base), target))
            level = following
        return []

    def matches(self, value: Value) -> Iterator[tuple[BoundView, Value]]:
        """Yield the views for an object, the best first, each with the part that it is for."""
        value = self.environment.completed(value)
        compound = value.type.bare
        if isinstance(compound, CompoundType):
            for each in self._candidates(compound):
                yield each.bound, follow(value, each.path)

    # -- what they say ---------------------------------------------------------------------

    def present(self, value: Value, view: str = "", depth: int = 0) -> Presentation | None:
        """Return what the view of the value's class makes of it; *view* names one of several,
        *depth* is how many views are being expanded around it.

        A view that fails leaves its reason in :attr:`Presentation.problem`.
        """
        compound = value.type.bare
        if not isinstance(compound, CompoundType):
            return None
        compound = self._completed(compound, value)
        candidates = self._candidates(compound)
        problem, name = "", ""
        is_other_layout = True
        for index, each in enumerate(candidates):
            bound = each.bound
            if not _is_shown(bound.view, view):
                continue
            try:
                this = follow(self.environment.completed(value), each.path)
                found = self._presented(bound, this, view, depth)
            except DebuggerError as error:
                is_other_layout = is_other_layout and error.identifier in MISSING
                if not problem or error.identifier not in MISSING:
                    problem, name = error.message, _name_of(bound)
                continue
            if index and is_other_layout:
                # The views before it are for other layouts of the class than the one it has.
                self._found[compound] = candidates[index:] + candidates[:index]
            return found
        if problem:
            return Presentation(problem=problem, view=name)
        return self._variant(value, compound)

    def _completed(self, compound: CompoundType, value: Value) -> CompoundType:
        if not compound.is_declaration:
            return compound
        found = self.environment.completed(value).type.bare
        return found if isinstance(found, CompoundType) else compound

    def _variant(self, value: Value, compound: CompoundType) -> Presentation | None:
        """Return what Rust's own types say: enumerations and tuples need no view."""
        if compound.name[:1] == "(":
            from polydbg.engine.views.variants import present_tuple

            return present_tuple(self, value)
        if compound.parts.variant_part is None:
            return None
        from polydbg.engine.views.variants import present_variant

        return present_variant(self, value)

    def display(self, value: Value, view: str = "") -> str | None:
        """Return the display string of an object within another one's, ``None`` where it has none
        or that fails."""
        with self.environment.nested() as may_begin:
            found = self.present(value, view) if may_begin else None
        return found.text if found is not None and not found.problem else None

    def _presented(self, bound: BoundView, this: Value, view: str, depth: int) -> Presentation:
        scope = ViewScope(self, bound, this, depth=depth)
        if depth == 0:
            self.environment.begin_row()
        text = self._display(bound.view, scope, view)
        parts = bound.view.parts
        if text is None and parts is None:
            raise ViewError("no display string of the view applies")
        if parts is None or self.environment.is_nested:
            return Presentation(text=text, view=_name_of(bound))
        count = count_of(scope, parts, view)
        rows = parts

        def children(skip: int) -> Iterator[Child]:
            return rows_of(scope, rows, view, skip)

        return Presentation(text, children, count, view=_name_of(bound))

    def _display(self, view: TypeView, scope: ViewScope, name: str) -> str | None:
        shown = display_text(scope, view.display, name)
        if shown is not None:
            return shown
        texts: tuple[StringView | SmartPointer, ...] = (*view.strings, *view.pointers)
        for each in texts:
            if _is_shown(each, name) and scope.holds(each.condition):
                value = scope.evaluate(each.what.expression)
                return words_of(self, value, each.what.specifiers, scope)
        return None


def _name_of(bound: BoundView) -> str:
    return f"{bound.view.names[0]} ({os.path.basename(bound.file)})"


def _is_shown(part: TypeView | ViewPart, view: str) -> bool:
    return is_in_view(part.include_view, part.exclude_view, view)
