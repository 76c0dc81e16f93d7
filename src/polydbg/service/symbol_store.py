"""A symbol store of one's own: what ``polydbg sym store`` runs."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.output import Item, Text
from polydbg.commands.store_rows import RemovedFolder, StoreTransaction
from polydbg.service.api import Event
from polydbg.service.symbol_packs import PackAdd, Progress, events_of
from polydbg.symbols.store.adding import ADDED, THERE, Taken
from polydbg.symbols.store.hostpath import directory_problem
from polydbg.symbols.store.transactions import Books, Entry, has_reference
from polydbg.symbols.store.transfer import make_folder


class StoreRequest(msgspec.Struct, frozen=True):
    """What to do with the store *folder*: *sources* are packs, folders and files to add, *number*
    the transaction to remove. *two_tier* makes a new store one with folders by two letters."""

    folder: str
    sources: Sequence[str] = ()
    number: str = ""
    two_tier: bool = False
    product: str = ""
    version: str = ""
    comment: str = ""


class _StoreWork(ABC):
    """Common to all: *lacking* counts what did not come to pass."""

    def __init__(self, request: StoreRequest, cancel: CancelToken, progress: Progress) -> None:
        self._request = request
        self._root = Path(request.folder)
        self._cancel = cancel
        self._progress = progress
        self.lacking = 0

    def events(self) -> Iterator[Event]:
        """Do it, and show what came of it."""
        return events_of(self._run(), lambda: False)

    @abstractmethod
    def _run(self) -> Iterator[Item]:
        """Do it, and yield a row for each thing that came of it."""

    def _require_folder(self) -> None:
        """:raises DebuggerError: the store is not there."""
        problem = directory_problem(self._root)
        if problem is not None:
            raise DebuggerError(
                f"{self._root}: {problem or 'no such folder'}",
                identifier="store.no-folder",
                hint="polydbg sym store add DIR FILE... makes a store",
            )


class StoreAdd(_StoreWork):
    """Adds symbol files by their content, as one transaction."""

    def _run(self) -> Iterator[Item]:
        request, root = self._request, self._root
        is_new = not root.exists()
        make_folder(root, root)
        if request.two_tier and is_new:
            (root / "index2.txt").touch()
        entries: list[Entry] = []

        def note(taken: Taken) -> None:
            if _is_ours(taken):
                folder = Path(taken.place).parent.relative_to(root).as_posix()
                entries.append(Entry(folder, str(Path(taken.source).absolute())))

        adding = PackAdd(request.sources, request.folder, self._cancel, self._progress, note)
        with Books(root, self._cancel) as books:
            try:
                yield from adding.items()
            finally:  # what was added before a stop is in the books too
                self.lacking = adding.lacking
                number = ""
                if entries:
                    words = (request.product, request.version, request.comment)
                    number = books.record(entries, *words)
        if number:
            yield StoreTransaction(
                number=number,
                when=time.strftime("%m/%d/%Y %H:%M:%S"),
                product=sanitise_line(request.product),
                version=sanitise_line(request.version),
                comment=sanitise_line(request.comment),
                files=len(set(entries)),
            )


class StoreList(_StoreWork):
    """Lists the transactions in force."""

    def _run(self) -> Iterator[Item]:
        self._require_folder()
        rows = Books(self._root, self._cancel).transactions()
        for row in rows:
            yield StoreTransaction(
                number=row.number,
                when=sanitise_line(row.when),
                product=sanitise_line(row.product),
                version=sanitise_line(row.version),
                comment=sanitise_line(row.comment),
            )
        if not rows:
            yield Text(value="no transactions")


class StoreRemove(_StoreWork):
    """Takes a transaction back."""

    def _run(self) -> Iterator[Item]:
        self._require_folder()
        with Books(self._root, self._cancel) as books:
            count = 0
            for folder in books.remove(self._request.number):
                count += 1
                yield RemovedFolder(folder=sanitise_line(folder))
        yield Text(value=f"{count} folders removed; what other transactions want stays")


STORE_WORK: dict[str, Callable[[StoreRequest, CancelToken, Progress], _StoreWork]] = {
    "add": StoreAdd,
    "list": StoreList,
    "remove": StoreRemove,
}
"""What may follow ``sym store``."""


def _is_ours(taken: Taken) -> bool:
    """Tell whether a transaction wants the file: what lay in the store without one is nobody's to
    remove."""
    return taken.outcome == ADDED or (taken.outcome == THERE and has_reference(Path(taken.place)))
