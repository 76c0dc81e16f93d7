"""The views that are loaded, and what they make of a value."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from polydbg.engine.views.environment import ViewEnvironment
from polydbg.engine.views.files import LoadedFile, load_file, own_files
from polydbg.formats.natvis.names import key_of, match_name, parse_name, stars_in
from polydbg.types.members import follow
from polydbg.types.model import CompoundType, Member
from polydbg.types.presentation import Presentation
from polydbg.types.value import Value

if TYPE_CHECKING:
    from polydbg.engine.session import Session
    from polydbg.engine.views.scope import BoundView

_MAX_KEPT = 4096
_MAX_BASES = 64


class Candidate(msgspec.Struct, frozen=True, eq=False):
    """A view that matches a class, and the way to the base that it is for."""

    path: tuple[Member, ...]
    bound: BoundView
    rank: tuple[int, int, int]


class ViewSet:
    """A :class:`~polydbg.types.presentation.Presenter` of the views that are loaded."""

    def __init__(self, session: Session) -> None:
        self.environment = ViewEnvironment(session)
        self.files: list[LoadedFile] = []
        self._own: list[LoadedFile] | None = None
        self._found: dict[CompoundType, list[Candidate]] = {}

    # -- files -----------------------------------------------------------------------------

    def load(self, path: str) -> LoadedFile:
        """Load the views of a file, anew where it is loaded already; they go before others.

        :raises CommandError: it cannot be read; :raises FormatError: it is no sound NatVis.
        """
        loaded = load_file(path)
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
            self._own = own_files()
        return self._own

    def _changed(self) -> None:
        self._found.clear()

    # -- which views -----------------------------------------------------------------------

    def _candidates(self, compound: CompoundType) -> list[Candidate]:
        found = self._found.get(compound)
        if found is None:
            if len(self._found) >= _MAX_KEPT:
                self._found.clear()
            found = self._of_class(compound, ()) or self._of_bases(compound)
            self._found[compound] = found
        return found

    def _of_class(self, compound: CompoundType, path: tuple[Member, ...]) -> list[Candidate]:
        name = compound.name
        if "::" not in name and not self.files and name[:1] not in "&(":
            return []  # our own views are for libraries, whose types are in namespaces
        key = key_of(name)
        matching = [
            (rank, file, pattern)
            # The file that was loaded last goes first, those that came along go last.
            for rank, file in enumerate((*reversed(self.files), *self._own_files()))
            for pattern in file.patterns(key)
        ]
        tree = parse_name(name) if matching else None
        if tree is None:
            return []
        from polydbg.engine.views.scope import BoundView

        found: list[Candidate] = []
        for rank, file, pattern in matching:
            bindings = match_name(pattern.tree, tree)
            if bindings is None or (path and not pattern.view.is_inheritable):
                continue
            intrinsics = (*file.content.intrinsics, *pattern.view.intrinsics)
            bound = BoundView(
                pattern.view,
                compound,
                bindings,
                {each.name: each for each in intrinsics},
                file.path,
                file.is_own,
            )
            place = min(rank, len(self.files))
            order = (-pattern.view.priority, place, stars_in(pattern.tree))
            found.append(Candidate(path, bound, order))
        return sorted(found, key=lambda each: each.rank)

    def _of_bases(self, compound: CompoundType) -> list[Candidate]:
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
        if candidates:
            # The evaluator and what else views need, for those who meet a class with one.
            from polydbg.engine.views.presenting import present_with

            found, others = present_with(self, candidates, value, view, depth)
            if others:
                self._found[compound] = candidates[others:] + candidates[:others]
            if found is not None:
                return found
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
