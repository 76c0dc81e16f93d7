"""The session's root file systems (``--sysroot``, ``.sysroot``), opened when a file is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.engine.settings import Settings
from polydbg.symbols.store import Outcome, Trail
from polydbg.symbols.store.hostpath import expand_variables
from polydbg.symbols.store.root_paths import path_candidates
from polydbg.symbols.store.sysroot import FoundFile, Progress, Sysroot, open_sysroot

Notify = Callable[[str, str], None]


def checked_roots(paths: Sequence[str]) -> tuple[str, ...]:
    """Return *paths* without repetitions, with ``~`` expanded, as the setting has them.

    :raises TargetError: one is no folder and no archive (see :func:`open_sysroot`).
    """
    roots = tuple(dict.fromkeys(expand_variables(path) for path in paths))
    for path in roots:
        open_sysroot(path).close()
    return roots


class Sysroots:
    """The roots in *settings*, for processes of one kind of processor each.

    *progress* hears of the listing of archives. What was noticed of a root, or that it cannot be
    used, is said once.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[tuple[str, str], Sysroot | None] = {}
        self._said: set[tuple[str, str]] = set()
        self.progress: Progress = lambda text, done, total: None

    def forget(self) -> None:
        """Close the roots; they are opened anew when something is asked for."""
        for root in self._open.values():
            if root is not None:
                root.close()
        self._open.clear()
        self._said.clear()

    def warnings(self, path: str) -> list[Warning]:
        """Return what was noticed of the root *path*."""
        return [
            warning
            for (each, _), root in self._open.items()
            if each == path and root is not None
            for warning in root.warnings
        ]

    def exact(
        self, paths: Sequence[str], arch: str, trail: Trail, cancel: CancelToken, notify: Notify
    ) -> Iterator[FoundFile]:
        """Yield the files of each root at the absolute *paths*."""
        for root in self._roots(arch, trail, cancel, notify):
            yield from self._at(root, paths, trail, notify)

    def candidates(
        self, paths: Sequence[str], arch: str, trail: Trail, cancel: CancelToken, notify: Notify
    ) -> Iterator[FoundFile]:
        """Yield the files of each root that a process may have mapped as one of *paths*: those
        that the paths mean, then others of that name."""
        likely = list(dict.fromkeys(each for path in paths for each in path_candidates(path)))
        for root in self._roots(arch, trail, cancel, notify):
            seen: set[str] = set()
            for found in self._at(root, likely, trail, notify):
                seen.add(found.path)
                yield found
            names = {path.rsplit("/", 1)[-1]: path for path in reversed(likely)}
            for path in names.values():
                try:
                    others = [each for each in root.named(path) if each not in seen]
                except TargetError as error:
                    self._failed(root.path, error, trail, notify)
                    continue
                yield from self._at(root, others, trail, notify)

    def _roots(
        self, arch: str, trail: Trail, cancel: CancelToken, notify: Notify
    ) -> Iterator[Sysroot]:
        for path in self._settings.sysroots:
            key = (path, arch)
            if key not in self._open:
                try:
                    self._open[key] = open_sysroot(path, arch, cancel, self._progress)
                except TargetError as error:
                    self._open[key] = None
                    self._failed(path, error, trail, notify)
            root = self._open[key]
            if root is not None:
                yield root

    def _progress(self, text: str, done: int, total: int) -> None:
        self.progress(text, done, total)

    def _at(
        self, root: Sysroot, paths: Sequence[str], trail: Trail, notify: Notify
    ) -> Iterator[FoundFile]:
        found = None
        seen: set[str] = set()
        for path in paths:
            try:
                found = root.find(path)
            except TargetError as error:
                self._failed(root.path, error, trail, notify)
                continue
            for warning in root.warnings:
                self._say(root.path, warning.identifier, warning.message, notify)
            if found is not None and found.path not in seen:
                seen.add(found.path)
                yield found
        if not seen and paths:
            trail.add(f"{root.path}!{paths[0]}", Outcome.MISSING)

    def _failed(self, path: str, error: TargetError, trail: Trail, notify: Notify) -> None:
        trail.add(path, Outcome.UNREADABLE, error.message)
        self._say(path, error.identifier, f"*** ERROR: {error.message} ({error.hint})", notify)

    def _say(self, path: str, identifier: str, text: str, notify: Notify) -> None:
        if (path, text) not in self._said:
            self._said.add((path, text))
            notify(identifier, sanitise_line(text))
