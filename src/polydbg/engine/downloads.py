"""The session's side of fetching: which module waits for what, how long a command waits, what came.

At a prompt nothing waits: a search that ends at servers gets "being fetched", and the module is
looked for again when the file is there. A batch run has a budget of waiting, which every search
draws on until it is used up. Only the engine's thread calls this; workers hand over by a queue.
"""

from __future__ import annotations

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.base.text import sanitise_line, size_text
from polydbg.engine.settings import Settings
from polydbg.symbols.store import (
    FetchRequest,
    FileKind,
    Outcome,
    Server,
    ServerKind,
    SymbolPath,
    Trail,
    Verify,
    Wanted,
    servers_of,
)
from polydbg.symbols.store.hostpath import cache_folder
from polydbg.symbols.store.sources import debuginfod_servers
from polydbg.targets.target import ModuleInfo

if TYPE_CHECKING:
    from polydbg.symbols.download.fetcher import Fetcher
    from polydbg.symbols.download.http import HttpClient
    from polydbg.symbols.download.jobs import Attempt, Job
    from polydbg.symbols.download.problems import Problem

_POLL = 0.05
_SHOWN_FILES = 3


class Finished(msgspec.Struct, frozen=True, eq=False):
    """A job that ended, and the modules that asked for its file. *was_stopped* says that the user
    stopped it, and did not ask again since."""

    job: Job
    owners: tuple[ModuleInfo, ...]
    was_stopped: bool


class Downloads:
    """Asks servers for the files of modules.

    *budget* is for how many more seconds searches may wait for servers; 0 at a prompt, where
    *is_batch* is false. *on_done* is called on another thread when a file came or failed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetcher: Fetcher | None = None
        self._client: HttpClient | None = None
        self._finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._owners: dict[Job, list[ModuleInfo]] = {}
        self._owner: ModuleInfo | None = None
        self._waiting: Counter[int] = Counter()  # for how many jobs, by the module's identity
        self._begun: dict[Job, None] = {}
        self._told: set[tuple[str, Problem]] = set()  # which host has which fault
        self._waits = True
        self._begins = True
        self._rank = 0
        self.is_batch = False
        self.budget = 0.0
        self.cancel = CancelToken()
        self.progress: Callable[[str, int, int], None] = lambda text, done, total: None
        self.on_done: Callable[[], None] = lambda: None

    def wait_at_most(self, seconds: float | None) -> None:
        """Let searches, and commands that wait for all files, wait for *seconds* in all (a batch
        run). ``None``: searches never wait, such commands as long as it takes (a prompt)."""
        self.budget, self.is_batch = seconds or 0.0, seconds is not None

    # -- asking ------------------------------------------------------------------------------

    def begin_command(self) -> None:
        """Have what is asked for from now on fetched before what was asked for so far."""
        self._rank += 1
        if self._fetcher is not None:
            self._fetcher.believe_misses()

    @contextmanager
    def for_module(self, info: ModuleInfo) -> Iterator[None]:
        """Within this, what is asked for is *info*'s: it is looked for again when it came."""
        before, self._owner = self._owner, info
        try:
            yield
        finally:
            self._owner = before

    @contextmanager
    def not_waiting(self) -> Iterator[None]:
        """Within this, searches begin transfers and go on."""
        before, self._waits = self._waits, False
        try:
            yield
        finally:
            self._waits = before

    @contextmanager
    def beginning_nothing(self) -> Iterator[None]:
        """Within this, searches hear of transfers that were asked for, and begin no others."""
        before, self._begins = self._begins, False
        try:
            yield
        finally:
            self._begins = before

    def ask(self, request: FetchRequest, trail: Trail) -> Path | None:
        """Return the file if servers gave it by now; see :class:`polydbg.symbols.store.Asker`."""
        named = (*request.servers, *self._servers_of_environment(request.wanted))
        if not named:
            return None
        from polydbg.symbols.download.servers import can_have

        servers = tuple(each for each in dict.fromkeys(named) if can_have(each, request))
        if not servers:
            return None
        if self._settings.offline:
            self._tell_offline(servers, trail)
            return None
        request = msgspec.structs.replace(request, servers=servers)
        if not self._begins and not self.fetcher.knows(request):
            return None
        job = self._submit(request)
        if not job.finished.is_set() and self._waits:
            self.wait([job])
        if job.finished.is_set():
            self._forget_owner(job)
            _tell_attempts(job, trail)
            return job.path
        self._begun[job] = None
        trail.add(_place(job), Outcome.PENDING, _progress_words(job), step=_PENDING_STEP)
        return None

    def source(
        self,
        urls: Sequence[str],
        cache_name: tuple[str, str, str],
        verify: Verify,
        words: str,
        trail: Trail,
        cache: Path | None = None,
    ) -> Path | None:
        """Return a source file that lies at one of *urls*, if it came by now; else *trail* says how
        far it is. *cache_name* are the folder, the key and the file name in the store *cache*
        (``None``: the program's own), *words* name the file for people."""
        name, key, file_name = cache_name
        caches = (cache or cache_folder("src"),)
        servers = tuple(Server(url, ServerKind.ADDRESS, caches) for url in urls)
        wanted = Wanted(FileKind.SOURCE, words, key)
        request = FetchRequest(wanted, name, key, file_name, servers, verify)
        trail.begin(wanted, urls)
        return self.ask(request, trail)

    def _submit(self, request: FetchRequest) -> Job:
        job = self.fetcher.submit(request, rank=self._rank)
        if self._owner is not None and not job.finished.is_set():
            owners = self._owners.setdefault(job, [])
            if not any(each is self._owner for each in owners):
                owners.append(self._owner)
                self._waiting[id(self._owner)] += 1
        return job

    def _forget_owner(self, job: Job) -> None:
        """Note that the search at hand has what came of *job*: its module need not look again."""
        owners = self._owners.get(job, [])
        if any(each is self._owner for each in owners):
            owners[:] = [each for each in owners if each is not self._owner]
            self._waiting[id(self._owner)] -= 1

    def _servers_of_environment(self, wanted: Wanted) -> Sequence[Server]:
        """Return the servers of ``DEBUGINFOD_URLS``, which have ELF files."""
        if not wanted.build_id:
            return ()
        return [Server(url, ServerKind.DEBUGINFOD) for url in self._settings.debuginfod_urls]

    def _tell_offline(self, servers: Sequence[Server], trail: Trail) -> None:
        from polydbg.symbols.download.addresses import redacted
        from polydbg.symbols.download.problems import Problem

        for server in servers:
            place = redacted(server.url)
            trail.add(place, Outcome.NOT_ASKED, "offline", step=Problem.OFFLINE.step)

    @property
    def fetcher(self) -> Fetcher:
        """Return what runs the transfers, made when it is first needed."""
        if self._fetcher is None:
            from polydbg.symbols.download.fetcher import Fetcher
            from polydbg.symbols.download.limits import Limits
            from polydbg.symbols.download.receiver import Receiver

            limits = Limits()
            receiver = Receiver(self.client, limits)
            self._fetcher = Fetcher(receiver, limits, self._note_finished)
        return self._fetcher

    @property
    def client(self) -> HttpClient:
        """Return what speaks to servers, made when it is first needed."""
        if self._client is None:
            from polydbg.symbols.download.http import HttpClient

            self._client = HttpClient()
        return self._client

    def _note_finished(self, job: Job) -> None:
        self._finished.put(job)
        self.on_done()

    # -- waiting -----------------------------------------------------------------------------

    def wait(self, jobs: Sequence[Job], *, unlimited: bool = False) -> None:
        """Wait until *jobs* ended, or the budget is used up unless *unlimited*.

        :raises Cancelled: the user asked to stop; the transfers go on.
        """
        last = time.monotonic()
        left = list(jobs)
        while left and (unlimited or self.budget > 0):
            left[0].finished.wait(_POLL)
            left = [job for job in left if not job.finished.is_set()]
            now = time.monotonic()
            if not unlimited:
                self.budget = max(0.0, self.budget - (now - last))
            last = now
            self.cancel.check()
            if left:
                self.progress(self.activity(), *_bytes_of(left))

    @property
    def may_wait(self) -> bool:
        """Tell whether a command that waits for all files may (still) do so."""
        return self.budget > 0 or not self.is_batch

    def settle(self) -> None:
        """Wait, within the budget, until nothing is being fetched."""
        if self._fetcher is not None and self.budget > 0:
            self.wait(self._fetcher.running())

    def wait_for_all(self) -> None:
        """Wait until nothing is being fetched, however long that takes; in a batch run as long as
        the budget lasts.

        :raises Cancelled: the user asked to stop, and the transfers were.
        """
        if self._fetcher is None:
            return
        try:
            self.wait(self._fetcher.running(), unlimited=not self.is_batch)
        except Cancelled:
            self._fetcher.stop()
            raise

    def can_ask(self) -> bool:
        """Tell whether any search of the session would ask a server."""
        return not self._settings.offline and bool(self.servers())

    def servers(self) -> tuple[Server, ...]:
        """Return the servers of the session's paths and of the environment."""
        settings = self._settings
        found = [*servers_of(settings.symbol_path), *servers_of(settings.image_path)]
        sources = debuginfod_servers(SymbolPath.parse(settings.source_path))
        found += [Server(url, ServerKind.DEBUGINFOD) for url in sources]
        found += [Server(url, ServerKind.DEBUGINFOD) for url in settings.debuginfod_urls]
        return tuple({each.url: each for each in reversed(found)}.values())[::-1]

    def failure_of(self, url: str) -> str:
        """Return why the host of *url* failed when it was asked last in this session; ``""`` where
        it answered, be it that it lacks a file, or was not asked."""
        jobs = self.jobs()
        if not jobs:
            return ""
        from polydbg.symbols.download.addresses import host_of
        from polydbg.symbols.download.problems import Problem

        host, unasked = host_of(url), (Problem.RESTING, Problem.STOPPED)
        attempts = [each for job in jobs for each in job.attempts if each.problem not in unasked]
        last = next((each for each in reversed(attempts) if each.host == host), None)
        if last is None or last.problem in (None, Problem.NOT_FOUND):
            return ""
        return last.detail

    # -- what came ---------------------------------------------------------------------------

    def is_pending(self, info: ModuleInfo) -> bool:
        """Tell whether a file of a module is being fetched, or came and waits to be taken."""
        return self._waiting[id(info)] > 0

    def has_finished(self) -> bool:
        """Tell whether :meth:`take_finished` would return something."""
        return not self._finished.empty()

    def take_finished(self) -> list[Finished]:
        """Return what ended since the last call."""
        found: list[Finished] = []
        while True:
            try:
                job = self._finished.get_nowait()
            except queue.Empty:
                return found
            owners = tuple(self._owners.pop(job, ()))
            self._waiting.subtract(map(id, owners))
            was_stopped = job.was_stopped and self.fetcher.holds(job)
            found.append(Finished(job, owners, was_stopped))

    def take_begun(self) -> list[Job]:
        """Return what searches since the last call did not wait for and has not come yet."""
        begun, self._begun = self._begun, {}
        return [job for job in begun if not job.finished.is_set()]

    def is_news(self, attempt: Attempt) -> bool:
        """Tell whether a failure is none of a host's that was told before; now it is told."""
        problem = attempt.problem
        if problem is None or not problem.blames_host:
            return True
        is_news = (attempt.host, problem) not in self._told
        self._told.add((attempt.host, problem))
        return is_news

    def running(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return self._fetcher.running() if self._fetcher is not None else []

    def jobs(self) -> list[Job]:
        """Return all jobs of the session."""
        return self._fetcher.jobs() if self._fetcher is not None else []

    def activity(self) -> str:
        """Return one line about the transfers that run, ``""`` for none. Safe from any thread."""
        running = self.running()
        if not running:
            return ""
        more = f" (and {len(running) - 1} more)" if len(running) > 1 else ""
        return sanitise_line(f"fetching {job_words(running[0])}{more}")

    # -- control -----------------------------------------------------------------------------

    def ask_again(self) -> None:
        """Forget what failed or was missing, and which hosts are left alone (``.reload /f``)."""
        self._told.clear()
        if self.can_ask():
            self.fetcher.forget_failures()

    def stop(self) -> None:
        """Stop the transfers that run and those that wait for their turn."""
        if self._fetcher is not None:
            self._fetcher.stop()

    def close(self) -> None:
        """Stop the transfers."""
        if self._fetcher is not None:
            self._fetcher.close()


_PENDING_STEP = "It is used as soon as it arrives (!sym status shows how far it is)."


def job_words(job: Job) -> str:
    """Return ``app.pdb from HOST: 3.2 of 40.1 MB, 5.1 MB/s``."""
    words = _progress_words(job)
    return f"{shown_name(job)} from {job.host or _place(job)}{': ' if words else ''}{words}"


def shown_name(job: Job) -> str:
    """Return the name of a file for people; stores call every debug file ``_.debug``."""
    if not job.file_name.startswith("_."):
        return job.file_name
    return f"debug file of {job.request.wanted.id_words}"


def files_words(jobs: Sequence[Job]) -> str:
    """Return ``a.pdb, b.pdb and 3 more from HOST``."""
    names = list(dict.fromkeys(shown_name(job) for job in jobs))
    shown = ", ".join(names[:_SHOWN_FILES])
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    hosts = list(dict.fromkeys(_host(job) for job in jobs))
    return sanitise_line(f"{shown}{more} from {', '.join(hosts[:_SHOWN_FILES])}")


def _host(job: Job) -> str:
    from polydbg.symbols.download.addresses import host_of

    return job.host or host_of(job.request.servers[0].url)


def _place(job: Job) -> str:
    from polydbg.symbols.download.addresses import redacted

    return redacted(job.request.servers[0].url)


def _progress_words(job: Job) -> str:
    if not job.done:
        return ""
    of = f" of {size_text(job.total)}" if job.total else ""
    return f"{size_text(job.done)}{of}, {size_text(int(job.rate))}/s"


def _bytes_of(jobs: Sequence[Job]) -> tuple[int, int]:
    """Return the bytes done and to come; 0 to come where one does not say."""
    known = all(job.total for job in jobs)
    return sum(job.done for job in jobs), sum(job.total for job in jobs) if known else 0


def _tell_attempts(job: Job, trail: Trail) -> None:
    """Add what servers answered to the trail of a search."""
    from polydbg.symbols.download.problems import Problem

    for attempt in job.attempts:
        problem = attempt.problem
        if problem is None:
            trail.add(attempt.place, Outcome.FOUND, attempt.detail)
        elif problem is Problem.NOT_FOUND:
            trail.add(attempt.place, Outcome.NOT_ON_SERVER, attempt.detail)
        elif problem is Problem.RESTING:
            trail.add(attempt.place, Outcome.NOT_ASKED, attempt.detail, step=problem.step)
        else:
            trail.add(attempt.place, Outcome.FAILED, attempt.detail, step=problem.step)
