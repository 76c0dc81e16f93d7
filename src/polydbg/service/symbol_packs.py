"""Packs for the command line: fetch what a list of ids names, and add what came to a store.

Work runs on the caller's thread and stops when its token is cancelled: a pack then holds what came.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from polydbg import __version__
from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Failure, Item
from polydbg.commands.pack_rows import AddedFile, AddSummary, FetchedFile, PackSummary
from polydbg.engine.downloads import Downloads
from polydbg.engine.gathering import (
    Gathered,
    Gatherer,
    names_in_store,
    pdb_of_image,
    wanted_file,
)
from polydbg.engine.settings import Settings
from polydbg.engine.wanted_files import BREAKPAD, DEBUGINFO, IMAGE, PDB, WantedFile
from polydbg.service.api import Event, FinishedEvent, ItemsEvent
from polydbg.service.id_lists import IdList, ModuleFiles, read_id_lists
from polydbg.symbols.store.adding import ADDED, OTHER, REFUSED, THERE, StoreAdder, Taken
from polydbg.symbols.store.hostpath import DirectoryCache, default_cache
from polydbg.symbols.store.layout import LocalStore
from polydbg.symbols.store.pack import LackingFile, PackWriter

Progress = Callable[[str, int, int], None]
_SYMBOLS = (PDB, DEBUGINFO, BREAKPAD)


def ask_anew(downloads: Downloads) -> None:
    """Ask servers again for what they did not have a while ago: somebody asked for it by name."""
    if downloads.can_ask():
        downloads.fetcher.forget_failures()


def events_of(items: Iterator[Item], is_interrupted: Callable[[], bool]) -> Iterator[Event]:
    """Yield the events of work that yields *items*; whatever happens, the last one ends it."""
    failures, was_stopped = 0, False
    try:
        for item in items:
            yield ItemsEvent([item])
    except Cancelled:
        was_stopped = True
    except (DebuggerError, OSError) as error:
        failures = 1
        yield ItemsEvent([_failure(error)])
    yield FinishedEvent(failures, was_stopped or is_interrupted(), True, "")


def _failure(error: DebuggerError | OSError) -> Failure:
    if isinstance(error, DebuggerError):
        return Failure.of(error)
    place = f"{error.filename}: " if error.filename else ""
    words = sanitise_line(f"{place}{error.strerror or error}")
    return Failure(identifier="file.unusable", message=words)


class PackRequest(msgspec.Struct, frozen=True):
    """What ``sym fetch`` is asked: *sources* are files of ids or dumps, *output* the pack to write.
    Paths of ``None`` are the environment's."""

    sources: Sequence[str]
    output: str
    symbol_path: str | None = None
    image_path: str | None = None
    offline: bool = False


class PackFetch:
    """One run of ``sym fetch``. *cancel* stops it from any thread, *progress* gets a line and the
    bytes done and to come. After the run :attr:`lacking` counts what was not to be had."""

    def __init__(self, request: PackRequest, cancel: CancelToken, progress: Progress) -> None:
        self._request = request
        self._cancel = cancel
        self._progress = progress
        settings = Settings()
        settings.search(request.symbol_path, request.image_path, offline=request.offline)
        self._downloads = Downloads(settings)
        self._downloads.cancel = cancel
        # Sizes are in the words: of several files that run no share is known.
        self._downloads.progress = lambda text, done, total: progress(text, 0, 0)
        self._gatherer = Gatherer(self._downloads, settings)
        self.lacking = 0
        self.is_interrupted = False

    def events(self) -> Iterator[Event]:
        """Fetch, write the pack, and show a row for each file and the sum."""
        return events_of(self._run(), lambda: self.is_interrupted)

    def _run(self) -> Iterator[Item]:
        """Yield a row for each file and the sum.

        :raises DebuggerError: the ids cannot be read.
        :raises OSError: the pack cannot be written.
        """
        request = self._request
        try:
            ask_anew(self._downloads)
            ids = read_id_lists(request.sources, request.symbol_path, request.image_path)
            outcomes = self._gather(ids)
            yield from self._pack(ids, outcomes)
        finally:
            self._downloads.close()

    # Files

    def _gather(self, ids: IdList) -> dict[WantedFile, Gathered]:
        """Look for everything at once; then for what images name, and what serves instead of
        symbols that were not found."""
        outcomes: dict[WantedFile, Gathered] = {}
        asked = [self._begin_module(module, outcomes) for module in ids.modules]
        self._settle()
        second: list[list[WantedFile]] = []
        for module, files in zip(ids.modules, asked, strict=True):
            for file in files:
                outcomes[file] = self._gatherer.outcome(file)
            second.append(self._begin_second(module, files, outcomes))
        self._settle()
        for files, more in zip(asked, second, strict=True):
            for file in more:
                gathered = self._gatherer.outcome(file)
                # That a substitute is missing too is no news.
                if gathered.path is not None or file.kind != BREAKPAD or not files:
                    outcomes[file] = gathered
        return outcomes

    def _begin_module(
        self, module: ModuleFiles, outcomes: dict[WantedFile, Gathered]
    ) -> list[WantedFile]:
        """Begin with the files of a module that can be asked for; say why of the others."""
        files: list[WantedFile] = []
        for each in module.files:
            file = wanted_file(each.kind, each.name, each.key, each.build_id, each.id)
            if not each.key:
                outcomes[file] = Gathered(None, reason=each.reason or "its id is not known")
            elif each.kind != BREAKPAD:
                files.append(file)
                self._begin(file)
        return files

    def _begin_second(
        self,
        module: ModuleFiles,
        files: list[WantedFile],
        outcomes: dict[WantedFile, Gathered],
    ) -> list[WantedFile]:
        """Begin with the PDB that an image names where the dump does not, and the Breakpad file
        where there are no symbols."""
        more: list[WantedFile] = []
        nameless = [wanted_file(f.kind, f.name, "", "", f.id) for f in module.files if not f.key]
        for file in files:
            path = outcomes[file].path
            unknown = [each for each in nameless if each.kind == PDB]
            if file.kind == IMAGE and path is not None and unknown:
                with contextlib.suppress(DebuggerError):
                    pdb = pdb_of_image(path)
                    if pdb is not None:
                        more.append(pdb)
                        outcomes.pop(unknown[0], None)
        has_symbols = module.has_symbols or any(
            file.kind in _SYMBOLS and outcomes[file].path is not None for file in files
        )
        if not has_symbols:
            more += [
                wanted_file(each.kind, each.name, each.key, words=each.id)
                for each in module.files
                if each.kind == BREAKPAD and each.key
            ]
        for file in more:
            self._begin(file)
        return more

    def _begin(self, file: WantedFile) -> None:
        if not self.is_interrupted:
            with self._stopping():
                self._gatherer.begin(file)

    def _settle(self) -> None:
        if not self.is_interrupted:
            with self._stopping():
                self._gatherer.settle()

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """Within this, a stop ends the transfers; what came is packed all the same."""
        try:
            yield
        except Cancelled:
            self.is_interrupted = True
            self._downloads.stop()
            self._cancel.reset()

    # The pack

    def _pack(self, ids: IdList, outcomes: dict[WantedFile, Gathered]) -> Iterator[Item]:
        found = {file: each for file, each in outcomes.items() if each.path is not None}
        lacking = [
            LackingFile(file.kind, *names_in_store(file), each.reason)
            for file, each in outcomes.items()
            if each.path is None
        ]
        size = 0
        if found:
            maker = f"polydbg {__version__}"
            with PackWriter(Path(self._request.output), ids.dumps, maker) as pack:
                for file, each in found.items():
                    if self._cancel.is_cancelled:
                        self.is_interrupted = True
                        reason = "stopped before it was packed"
                        lacking.append(LackingFile(file.kind, *names_in_store(file), reason))
                        continue
                    row = self._add(pack, file, each)
                    size += row.size
                    yield row
                pack.finish(lacking)
        self.lacking = len(lacking)
        for each_lacking in lacking:
            yield _missing_row(each_lacking)
        path = self._request.output if found else ""
        yield PackSummary(
            path=path, files=len(outcomes) - len(lacking), size=size, missing=len(lacking)
        )

    def _add(self, pack: PackWriter, file: WantedFile, gathered: Gathered) -> FetchedFile:
        assert gathered.path is not None
        name, done = file.wanted.name, 0

        def observe(size: int) -> None:
            nonlocal done
            done += size
            self._progress(f"packing {sanitise_line(name)}", done, total)

        total = gathered.path.stat().st_size
        packed = pack.add(gathered.path, file.kind, names_in_store(file), gathered.host, observe)
        return FetchedFile(
            kind=file.kind,
            file=sanitise_line(packed.file_name),
            id=sanitise_line(packed.key),
            state="in",
            size=packed.size,
            host=sanitise_line(packed.host),
            reason="",
        )


def _missing_row(file: LackingFile) -> FetchedFile:
    return FetchedFile(
        kind=file.kind,
        file=sanitise_line(file.file_name),
        id=sanitise_line(file.key or "id not known"),
        state="missing",
        size=0,
        host="",
        reason=sanitise_line(file.reason),
    )


# -- adding --------------------------------------------------------------------------------------


class PackAdd:
    """One run of ``sym add``: adds *sources* (packs, folders, files) to the store *folder*, without
    one to the default cache; *note* hears of each file. After the run :attr:`lacking` counts what
    did not get in."""

    def __init__(
        self,
        sources: Iterable[str],
        folder: str | None,
        cancel: CancelToken,
        progress: Progress,
        note: Callable[[Taken], None] = lambda taken: None,
    ) -> None:
        self._sources = sources
        self._note = note
        self._store = LocalStore(Path(folder) if folder else default_cache(), DirectoryCache())
        self._adder = StoreAdder(
            self._store,
            cancel,
            lambda name, done, total: progress(f"adding {sanitise_line(name)}", done, total),
        )
        self.lacking = 0

    def events(self) -> Iterator[Event]:
        """Add, and show a row for each file and the sum; what was added stays after a stop."""
        return events_of(self.items(), lambda: False)

    def items(self) -> Iterator[Item]:
        """Yield a row for each file and the sum.

        :raises Cancelled: it was stopped; what was added stays.
        """
        counts = dict.fromkeys((ADDED, THERE, REFUSED), 0)
        for source in self._sources:
            for taken in self._add(Path(source)):
                outcome = REFUSED if taken.outcome == OTHER else taken.outcome
                counts[outcome] += 1
                self._note(taken)
                yield AddedFile(
                    source=sanitise_line(taken.source),
                    outcome=taken.outcome,
                    place=sanitise_line(taken.place),
                    reason=sanitise_line(taken.reason),
                )
        self.lacking = counts[REFUSED]
        yield AddSummary(
            store=sanitise_line(str(self._store.root)),
            added=counts[ADDED],
            already_there=counts[THERE],
            refused=counts[REFUSED],
        )

    def _add(self, source: Path) -> Iterator[Taken]:
        """Add one source; that it cannot be added keeps nothing from the next."""
        try:
            for taken in self._adder.add(source):
                if taken.outcome != OTHER or not source.is_dir():  # folders hold much else
                    yield taken
        except DebuggerError as error:
            hint = f" ({error.hint})" if error.hint else ""
            yield Taken(str(source), REFUSED, reason=f"{error.message}{hint}")
        except OSError as error:
            yield Taken(str(source), REFUSED, reason=_failure(error).message)
