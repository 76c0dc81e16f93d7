"""The search for one file of one build along a path, with a trail of every place.

Order: the elements of the path from left to right (in a directory ``symbols/<ext>``, ``<ext>``, the
directory itself, then the directory as a store; a file as itself), then the extra paths of the
request, then the default cache; the servers of the path last, so that nothing is fetched which
lies on this host. Every candidate's id is read by the caller's function before it counts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.archives.archive import CompressionError
from polydbg.symbols.store.hostpath import (
    base_name,
    default_cache,
    directory_problem,
    file_problem,
    host_path,
    is_network,
    is_safe_key,
    is_windows_style,
    unsafe_reason,
)
from polydbg.symbols.store.layout import LocalStore, is_packed, name_problem
from polydbg.symbols.store.path import ElementKind, PathElement, SymbolPath, is_url
from polydbg.symbols.store.remote import (
    Asker,
    FetchRequest,
    IdCheck,
    Server,
    ServerKind,
    Verify,
)
from polydbg.symbols.store.trail import FileKind, Outcome, Trail, Wanted
from polydbg.symbols.store.transfer import copy_into, expand_into

_CORRECT_PATH = "Correct the search path: .sympath and .exepath check each of its elements."
_EXTENSIONS = ("dll", "exe", "sys")


class Located(msgspec.Struct, frozen=True):
    """A file to use. *mismatched* marks one of another build; *element* is where it came from, as
    typed, or the extra path."""

    path: Path
    mismatched: bool
    element: str


def locate(
    wanted: Wanted,
    path: SymbolPath,
    verify: Verify,
    trail: Trail,
    *,
    load_anything: bool = False,
    cancel: CancelToken | None = None,
    asker: Asker | None = None,
) -> Located | None:
    """Find *wanted* along *path* and tell *trail* about every place.

    *verify* opens a candidate and reads its id; a :class:`FormatError` or :class:`OSError` from it
    means damaged or unreadable. With *load_anything* the first candidate of another build is
    returned, marked, when no right one exists. *asker* asks the servers of the path at the end;
    without one they are left out.

    :raises Cancelled: *cancel* was set.
    """
    trail.begin(wanted, [element.text for element in path.elements])
    name = _safe_name(wanted, trail)
    if not name:
        return None
    search = _Search(wanted, name, path, verify, trail, cancel)
    found = search.run()
    if found is None and asker is not None:
        fetched = ask_servers(wanted, path, verify, trail, asker)
        found = Located(fetched, False, str(fetched)) if fetched is not None else None
    return found if found is not None or not load_anything else search.fallback


def ask_servers(
    wanted: Wanted, path: SymbolPath, verify: Verify, trail: Trail, asker: Asker
) -> Path | None:
    """Ask the servers of *path* for *wanted*, whose search began *trail*; return the file if it is
    there by now. *verify* may run on another thread."""
    name = _safe_name(wanted, trail)
    if not name or wanted.key is None:
        return None
    request = FetchRequest(
        wanted, name, wanted.key, wanted.kind.file_name(name), servers_of(path), verify
    )
    return asker.ask(request, trail)


def servers_of(path: SymbolPath) -> tuple[Server, ...]:
    """Return the servers of *path* in order, each with the stores that its files are put into."""
    servers: list[Server] = []
    caches: list[Path] = []
    for element in path.elements:
        if element.kind is ElementKind.DEBUGINFOD:
            urls = [url for url in element.stores if is_url(url)]
            servers += [Server(url, ServerKind.DEBUGINFOD, tuple(caches)) for url in urls]
        elif element.kind is ElementKind.CACHE:
            caches += _local_roots(element)
        elif element.kind is ElementKind.CHAIN:
            nearer = (*caches, *_local_roots(element))
            urls = [url for url in element.stores if is_url(url)]
            servers += [Server(url, ServerKind.STORE, nearer) for url in urls]
    return tuple(dict.fromkeys(servers))


def _local_roots(element: PathElement) -> list[Path]:
    """Return the stores of an element that lie on this host, the default cache for ``""``."""
    texts = [text for text in element.stores if not is_url(text)]
    roots = [host_path(text) if text else default_cache() for text in texts]
    return [root for root in roots if root is not None]


def _safe_name(wanted: Wanted, trail: Trail) -> str:
    """Return the name of the file in a folder; ``""`` after telling *trail* that it, or the key,
    cannot be part of a path."""
    name = base_name(wanted.name)
    reason = name_problem(name)
    if not reason and wanted.key is not None and not is_safe_key(wanted.key):
        reason = "the id is no store key"
    if reason:
        trail.add(wanted.name[:300], Outcome.UNSAFE_NAME, reason)
        return ""
    return name


class _Search:
    """One search; keeps the caches met so far and the first file of another build."""

    def __init__(
        self,
        wanted: Wanted,
        name: str,
        path: SymbolPath,
        verify: Verify,
        trail: Trail,
        cancel: CancelToken | None,
    ) -> None:
        self._wanted = wanted
        self._name = name
        self._file = wanted.kind.file_name(name)
        self._path = path
        self._directories = path.directories
        self._verify = verify
        self._trail = trail
        self._cancel = cancel
        self._caches: list[LocalStore] = []
        self.fallback: Located | None = None

    def run(self) -> Located | None:
        for element in self._path.elements:
            if self._cancel is not None:
                self._cancel.check()
            found = self._in_element(element)
            if found is not None:
                return Located(found, False, element.text)
        for extra in self._wanted.extra_paths:
            candidate = self._extra_candidate(extra)
            if candidate is not None and self._accept(candidate, str(extra)):
                return Located(candidate, False, str(extra))
        return self._in_default_cache()

    def _in_default_cache(self) -> Located | None:
        """Look where downloads and packs are put when nobody names a store."""
        root = default_cache()
        named = any(root in _local_roots(element) for element in self._path.elements)
        if named or self._wanted.key is None or directory_problem(root) is not None:
            return None
        element = PathElement("cache*", ElementKind.CACHE, ("",))
        found = self._in_chain(element)
        return Located(found, False, element.text) if found is not None else None

    def _in_element(self, element: PathElement) -> Path | None:
        if element.kind is ElementKind.DIRECTORY:
            return self._in_directory(element)
        if element.kind is ElementKind.CHAIN:
            return self._in_chain(element)
        if element.kind is ElementKind.CACHE:
            found = self._in_chain(element)
            self._caches += self._stores(element, quiet=True)
            return found
        if element.kind is ElementKind.FOREIGN:
            detail = "only symsrv.dll is known as a server program"
            step = "Name its store by folder or address instead: .sympath+ DIR, .sympath+ srv*URL."
            self._trail.add(element.text, Outcome.NOT_ASKED, detail, step=step)
        return None

    # Directories

    def _in_directory(self, element: PathElement) -> Path | None:
        root = host_path(element.stores[0])
        if root is None:
            self._trail.add(element.text, Outcome.NOT_ASKED, "a path of another system")
            return None
        if file_problem(root) is None:
            return self._given_file(root, element)
        problem = directory_problem(root)
        if problem is not None:
            if problem:
                self._trail.add(element.text, Outcome.UNREADABLE, problem)
            else:
                self._trail.add(
                    element.text, Outcome.MISSING, "no such directory", step=_CORRECT_PATH
                )
            return None
        for folders in self._folders():
            found = self._directories.descend(str(root), *folders, self._file)
            if found is None:
                self._trail.add(root.joinpath(*folders, self._file), Outcome.MISSING)
            elif not os.path.isdir(found) and self._accept(Path(found), element.text):
                return self._share(Path(found), self._caches)
        store = LocalStore(root, self._directories)
        return self._in_stores([store], element)

    def _given_file(self, file: Path, element: PathElement) -> Path | None:
        """Offer a file that is itself an element: an image may have another name than it had. That
        it is not the wanted one is worth a word only of a file of that name."""
        if file.name.lower() == self._file.lower() or self._wanted.any_name:
            return file if self._accept(file, element.text) else None
        if self._wanted.kind is not FileKind.IMAGE:
            return None
        try:
            matches = self._verify(file).matches
        except (OSError, DebuggerError):
            return None
        if matches:
            self._trail.add(file, Outcome.FOUND)
        return file if matches else None

    def _folders(self) -> Iterable[tuple[str, ...]]:
        extension = os.path.splitext(base_name(self._wanted.image_name))[1][1:]
        if self._wanted.kind is FileKind.BREAKPAD or self._wanted.flat:
            yield ()
            return
        if self._wanted.kind is FileKind.IMAGE:
            extension = os.path.splitext(self._name)[1][1:]
        extensions: Sequence[str] = _EXTENSIONS
        if extension:
            extensions = () if unsafe_reason(extension) else (extension.lower(),)
        yield from (("symbols", each) for each in extensions)
        yield from ((each,) for each in extensions)
        yield ()

    # Stores

    def _stores(self, element: PathElement, *, quiet: bool = False) -> list[LocalStore]:
        stores: list[LocalStore] = []
        for text in element.stores:
            if is_url(text):
                continue
            root = host_path(text) if text else default_cache()
            if root is not None:
                stores.append(LocalStore(root, self._directories))
            elif not quiet:
                self._trail.add(text, Outcome.NOT_ASKED, "a path of another system")
        return stores

    def _in_chain(self, element: PathElement) -> Path | None:
        return self._in_stores(self._stores(element), element)

    def _in_stores(self, stores: Sequence[LocalStore], element: PathElement) -> Path | None:
        key = self._wanted.key
        if key is None:
            return None
        nearer = list(self._caches)
        for store in stores:
            found = store.probe(self._name, key, self._wanted.kind, self._trail)
            if found is not None:
                if is_packed(found) and not is_packed(Path(self._file)):
                    ready = self._expand(found, key, nearer, element)
                elif self._accept(found, element.text):
                    ready = self._share(found, nearer)
                else:
                    ready = None
                if ready is not None:
                    return ready
            nearer.append(store)
        return None

    def _accept(self, candidate: Path, element: str) -> bool:
        """Read the candidate's id, tell the trail, and keep the first wrong one for later."""
        problem = file_problem(candidate)
        if problem is not None:
            outcome = Outcome.UNREADABLE if problem else Outcome.MISSING
            self._trail.add(candidate, outcome, problem)
            return False
        check = self._check(candidate, candidate)
        if check is None:
            return False
        if check.matches:
            self._trail.add(candidate, Outcome.FOUND, found_id=check.found_id)
        elif self.fallback is None:
            self.fallback = Located(candidate, True, element)
        return check.matches

    def _check(self, candidate: Path, place: Path) -> IdCheck | None:
        """Return the candidate's id, or ``None`` after telling the trail that it has none."""
        try:
            check = self._verify(candidate)
        except OSError as error:
            self._trail.add(place, Outcome.UNREADABLE, error.strerror or str(error))
            return None
        except DebuggerError as error:
            other = error.identifier.startswith(("pdb.", "breakpad."))
            outcome = Outcome.OTHER_FORMAT if other else Outcome.DAMAGED
            self._trail.add(place, outcome, error.message)
            return None
        if check.matches:
            return check
        if check.problem:
            self._trail.add(place, Outcome.DAMAGED, check.problem, check.found_id)
            return None
        if check.difference:
            self._trail.add(place, Outcome.WRONG_ID, check.difference, check.found_id)
            return check
        if self._wanted.key is None:
            detail = "neither the dump nor an image says which id is wanted"
            self._trail.add(place, Outcome.UNKNOWN_ID, detail, check.found_id)
            return check
        if not check.found_id:
            detail = "the file does not say of which build it is"
            self._trail.add(place, Outcome.UNKNOWN_ID, detail)
            return check
        detail = f"wanted {self._wanted.id_words}"
        self._trail.add(place, Outcome.WRONG_ID, detail, check.found_id)
        return check

    # Copies

    def _share(self, found: Path, nearer: Sequence[LocalStore]) -> Path:
        """Copy a verified file into the stores to its left; return the nearest copy, or itself."""
        if self._wanted.key is None:
            return found
        for store in reversed(nearer):
            found = self._copy(store, found, self._file) or found
        return found

    def _copy(self, store: LocalStore, source: Path, name: str) -> Path | None:
        key = self._wanted.key or ""
        try:
            copy = copy_into(store, source, self._name, key, name, self._cancel)
        except OSError as error:
            self._trail.add(store.root, Outcome.NOT_COPIED, error.strerror or str(error))
            return None
        if copy is None:
            self._trail.add(store.root, Outcome.NOT_COPIED, "the file changed meanwhile")
        else:
            self._trail.add(copy, Outcome.COPIED, f"from {source}")
        return copy

    def _expand(
        self, packed: Path, key: str, nearer: Sequence[LocalStore], element: PathElement
    ) -> Path | None:
        """Expand into the nearest store that can be written, else the default cache; the stores in
        between keep the compressed form."""
        default = LocalStore(default_cache(), self._directories)
        targets = list(dict.fromkeys([*nearer, default]))
        if default not in nearer:
            ready = default.probe(self._name, key, self._wanted.kind, Trail())
            if ready is not None and not is_packed(ready) and self._accept(ready, element.text):
                return ready
        for index, target in enumerate(targets):
            try:
                ready = expand_into(
                    target,
                    packed,
                    self._name,
                    key,
                    self._file,
                    self._acceptor(packed),
                    self._cancel,
                )
            except FormatError as error:
                unsupported = isinstance(error, CompressionError)
                outcome = Outcome.UNSUPPORTED if unsupported else Outcome.DAMAGED
                self._trail.add(packed, outcome, error.message)
                return None
            except OSError as error:
                self._trail.add(target.root, Outcome.NOT_COPIED, error.strerror or str(error))
                continue
            if ready is None:
                return None
            self._trail.add(ready, Outcome.FOUND, f"expanded from {packed}")
            for between in reversed(list(nearer)[index + 1 :]):
                self._copy(between, packed, packed.name)
            return ready
        return None

    def _acceptor(self, packed: Path) -> Callable[[Path], bool]:
        def accept(expanded: Path) -> bool:
            check = self._check(expanded, packed)
            return check is not None and check.matches

        return accept

    # Extra paths

    def _extra_candidate(self, extra: str | Path) -> Path | None:
        if isinstance(extra, Path):
            path = extra
            if path.is_dir():
                found = self._directories.find(str(path), self._file)
                if found is None:
                    self._trail.add(path / self._file, Outcome.MISSING)
                    return None
                path = Path(found)
        else:
            recorded = self._recorded(extra)
            if recorded is None:
                return None
            path = recorded
        if file_problem(path) == "":
            self._trail.add(path, Outcome.MISSING)
            return None
        return path

    def _recorded(self, text: str) -> Path | None:
        """Return a path out of a file, which may be hostile: opening a share would send the user's
        credentials to whoever wrote the dump."""
        reason = ""
        if len(text) > 4096 or any(char < " " for char in text):
            reason = "unsafe path"
        elif is_network(text):
            reason = "network paths recorded in a file are never followed"
        elif is_windows_style(text) and os.name != "nt":
            reason = "a path of another system"
        elif base_name(text).lower() != self._name.lower():
            reason = f"it is not named {self._name}"
        if not reason and os.path.isabs(text):
            return Path(text)
        if reason:
            self._trail.add(text[:300], Outcome.NOT_ASKED, reason)
        return None
