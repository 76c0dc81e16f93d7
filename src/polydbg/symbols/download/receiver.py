"""Takes one file from one server: tries its addresses, verifies what comes, puts it into stores."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.archives.archive import CompressionError
from polydbg.symbols.download.addresses import host_of, redacted
from polydbg.symbols.download.jobs import Attempt, Job
from polydbg.symbols.download.landing import Landing, Observe
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.misses import Misses
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.download.servers import Candidate, Form, candidates, tiers_mark
from polydbg.symbols.store.hostpath import DirectoryCache, default_cache
from polydbg.symbols.store.layout import MAX_POINTER_BYTES, LocalStore, packed_name, read_pointer
from polydbg.symbols.store.path import is_url
from polydbg.symbols.store.remote import IdCheck, Server, ServerKind
from polydbg.symbols.store.transfer import copy_into, expand_into

_TIERS = "tiers"


class Client(Protocol):
    """What moves bytes: see :class:`polydbg.symbols.download.http.HttpClient`."""

    def download(
        self,
        url: str,
        landing: Landing,
        *,
        cancel: CancelToken,
        observe: Observe,
        origin: str = "",
    ) -> str: ...

    def text(self, url: str, *, cancel: CancelToken, limit: int = ...) -> bytes: ...


class Receiver:
    """Asks servers for the files of jobs; one object serves all workers."""

    def __init__(self, client: Client, limits: Limits) -> None:
        self._client = client
        self._misses = Misses(limits.miss_age)
        self._tiered: dict[str, bool] = {}

    def ask(self, server: Server, job: Job, *, anew: bool = False) -> Path | None:
        """Return the file in the nearest store, or ``None`` after adding to the job's attempts why
        *server* does not give it. *anew*: misses that are remembered do not count.

        :raises Cancelled: the job was stopped.
        """
        request = job.request
        miss = (server.url, request.name, request.key, request.file_name)
        first = next(candidates(server, request, tiered=self._tiered.get(server.url, False)))
        place, host = redacted(first.url), host_of(server.url)
        # What one address of a source lacks today may be there tomorrow: only stores are believed.
        is_remembered = server.kind is not ServerKind.ADDRESS
        if is_remembered and self._misses.has(*miss) and not anew:
            detail = "not there when it was asked last, less than a day ago"
            job.attempts.append(Attempt(place, host, Problem.NOT_FOUND, detail))
            return None
        try:
            found = self._try_addresses(server, job)
        except TransferError as error:
            job.attempts.append(Attempt(place, host, error.problem, error.message))
            raise
        if found is not None:
            self._misses.remove(*miss)
            job.attempts.append(Attempt(place, host, None, str(found)))
            return found
        if is_remembered:
            self._misses.add(*miss)
        job.attempts.append(Attempt(place, host, Problem.NOT_FOUND, "the server does not have it"))
        return None

    def _try_addresses(self, server: Server, job: Job) -> Path | None:
        """Return the file, ``None`` when none of the server's addresses has it.

        :raises TransferError: an address may have it, but it did not come, or was no good.
        """
        known = self._tiered.get(server.url)
        tiered = bool(known)
        found = self._try_layout(server, job, tiered=tiered)
        if found is None and known is None and server.kind is ServerKind.STORE:
            tiered = self._tiered[server.url] = self._is_tiered(server, job.cancel)
            if tiered:
                found = self._try_layout(server, job, tiered=True)
        return found

    def _try_layout(self, server: Server, job: Job, *, tiered: bool) -> Path | None:
        for candidate in candidates(server, job.request, tiered=tiered):
            job.cancel.check()
            job.begin_transfer(host_of(candidate.url))
            try:
                if candidate.form is Form.POINTER:
                    target = self._pointed_to(candidate.url, job.cancel)
                    return self._receive(server, target, job)
                return self._receive(server, candidate, job)
            except TransferError as error:
                if error.problem is not Problem.NOT_FOUND:
                    raise
        return None

    def _is_tiered(self, server: Server, cancel: CancelToken) -> bool:
        """Ask once whether a store has folders by two letters.

        :raises TransferError: the server did not say, so that a file may be there all the same.
        """
        if self._misses.has(server.url, _TIERS):
            return False
        try:
            self._client.text(tiers_mark(server), cancel=cancel, limit=MAX_POINTER_BYTES)
        except TransferError as error:
            if error.problem.blames_host or error.problem is Problem.CUT_SHORT:
                raise
            if error.problem is Problem.NOT_FOUND:
                self._misses.add(server.url, _TIERS)
            return False
        return True

    def _pointed_to(self, url: str, cancel: CancelToken) -> Candidate:
        """Return where a ``file.ptr`` leads: to another address only, for a path would be one of
        the server's machine."""
        data = self._client.text(url, cancel=cancel, limit=MAX_POINTER_BYTES)
        found = read_pointer(data)
        text = found.target
        if found.message:
            raise TransferError(Problem.NOT_FOUND, found.message[:200])
        if not is_url(text):
            raise TransferError(
                Problem.BAD_REDIRECT, f"{redacted(url)} leads to a path, which is not followed"
            )
        form = Form.PACKED if text.split("?")[0].endswith("_") else Form.PLAIN
        return Candidate(text, form, url)

    # Into the stores

    def _receive(self, server: Server, candidate: Candidate, job: Job) -> Path:
        """Fetch from one address into the nearest store that can be written, and share it.

        :raises TransferError:
        """
        directories = DirectoryCache()
        # The default cache stands in where no store that was named can be written.
        roots = tuple(dict.fromkeys((*server.caches, default_cache())))
        problems: list[TransferError] = []
        for index, root in enumerate(roots):
            store = LocalStore(root, directories)
            try:
                return self._land(store, candidate, job, server.caches[index + 1 :], directories)
            except TransferError as error:
                if error.problem not in (Problem.CACHE_UNWRITABLE, Problem.DISK_FULL):
                    raise
                problems.append(error)
        raise problems[0]

    def _land(
        self,
        store: LocalStore,
        candidate: Candidate,
        job: Job,
        farther: tuple[Path, ...],
        directories: DirectoryCache,
    ) -> Path:
        request = job.request
        is_packed = candidate.form is Form.PACKED
        name = packed_name(request.file_name) if is_packed else request.file_name
        while True:
            landing = Landing.begin(store.target(request.name, request.key, name), store.root)
            try:
                found = self._fill(landing, store, candidate, job)
                break
            except TransferError as error:
                if error.problem not in _WORTHLESS:  # what began elsewhere stays too
                    landing.keep()
                    raise
                landing.discard()
                # The beginning may have been that of another file; now there is none.
                if not (landing.was_resumed and error.problem in _OF_CONTENT):
                    raise
            except BaseException:
                landing.keep()
                raise
        try:
            for root in farther:
                source = landing.path if is_packed else found
                self._copy(LocalStore(root, directories), source, name, job)
        finally:
            if is_packed:
                landing.discard()
        return found

    def _fill(self, landing: Landing, store: LocalStore, candidate: Candidate, job: Job) -> Path:
        """Fetch the file, verify it and put it in its place. :raises TransferError:"""
        place = self._client.download(
            candidate.url,
            landing,
            cancel=job.cancel,
            observe=job.observe,
            origin=candidate.origin,
        )
        landing.close()
        if candidate.form is Form.PACKED:
            return self._expand(store, landing.path, job, place)
        self._verify(landing.path, job, place)
        return landing.commit()

    def _verify(self, file: Path, job: Job, place: str) -> None:
        """:raises TransferError: the file is another one, or damaged."""
        try:
            check = job.request.verify(file)
        except (DebuggerError, OSError) as error:
            words = error.message if isinstance(error, DebuggerError) else str(error.strerror)
            raise TransferError(Problem.DAMAGED, f"{place}: {words}") from error
        if not check.matches:
            raise _refusal(check, job, place)

    def _expand(self, store: LocalStore, packed: Path, job: Job, place: str) -> Path:
        request = job.request
        refused: list[TransferError] = []

        def accept(file: Path) -> bool:
            try:
                self._verify(file, job, place)
            except TransferError as error:
                refused.append(error)
            return not refused

        names = request.name, request.key, request.file_name
        try:
            found = expand_into(store, packed, *names, accept, job.cancel)
        except CompressionError as error:
            raise TransferError(Problem.UNSUPPORTED, f"{place}: {error.message}") from error
        except FormatError as error:
            raise TransferError(Problem.DAMAGED, f"{place}: {error.message}") from error
        except OSError as error:
            raise Landing.problem_of(error, store.root) from error
        if found is None:
            raise refused[0]
        return found

    def _copy(self, store: LocalStore, source: Path, name: str, job: Job) -> None:
        """Put a copy into a store farther away; one that cannot be written goes without."""
        request = job.request
        try:
            copy_into(store, source, request.name, request.key, name, job.cancel)
        except OSError as error:
            problem = Landing.problem_of(error, store.root)
            job.attempts.append(Attempt(str(store.root), "", problem.problem, problem.message))


_WORTHLESS = frozenset(
    (
        Problem.WRONG_ID,
        Problem.DAMAGED,
        Problem.UNSUPPORTED,
        Problem.WEB_PAGE,
        Problem.TOO_LARGE,
    )
)
"""After these nothing of what came is of use to a later transfer."""
_OF_CONTENT = frozenset((Problem.WRONG_ID, Problem.DAMAGED, Problem.UNSUPPORTED, Problem.WEB_PAGE))


def _refusal(check: IdCheck, job: Job, place: str) -> TransferError:
    if check.problem:
        return TransferError(Problem.DAMAGED, f"{place}: {check.problem}")
    has = check.found_id or check.difference or "no id"
    words = job.request.wanted.id_words
    return TransferError(Problem.WRONG_ID, f"{place} is another file: {has}, wanted is {words}")
