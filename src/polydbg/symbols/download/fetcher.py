"""Runs the fetching of files on threads of its own, a few at a time, the highest rank first.

The threads are daemons: a server that does not answer holds up neither the session nor its end.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from polydbg.base.errors import Cancelled
from polydbg.symbols.download.addresses import host_of, redacted
from polydbg.symbols.download.jobs import Attempt, Job, JobState
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.download.servers import can_have
from polydbg.symbols.store.hostpath import default_cache
from polydbg.symbols.store.remote import FetchRequest, Server

_MAX_REST = 3600.0  # longest that a server's Retry-After is heeded, in seconds
_LAST_MOMENT = 0.3  # seconds that the end of a session waits for workers, in all


class FileReceiver(Protocol):
    """Takes a job's file from one server: :class:`polydbg.symbols.download.receiver.Receiver`."""

    def ask(self, server: Server, job: Job, *, anew: bool = False) -> Path | None: ...


class Fetcher:
    """The jobs of one session. *on_done* is called on a worker's thread when one ends, before those
    who wait for it go on."""

    def __init__(
        self,
        receiver: FileReceiver,
        limits: Limits | None = None,
        on_done: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self._receiver = receiver
        self._limits = limits or Limits()
        self._on_done = on_done
        self._jobs: dict[object, Job] = {}
        self._unfinished: dict[int, Job] = {}
        self._queue: list[tuple[int, int, Job]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._resting: dict[str, tuple[float, str]] = {}
        self._workers = self._idle = 0
        self._closed = False
        self._anew = False

    def submit(self, request: FetchRequest, *, rank: int = 0) -> Job:
        """Return the job for *request*, begun now unless it is known; those of a higher *rank* run
        before others, the rest in order. One that waits for its turn can rise."""
        with self._changed:
            job = self._jobs.get(request.identity)
            if job is None or (job.path is not None and not job.path.exists()):
                job = self._jobs[request.identity] = Job(request, anew=self._anew)
                self._unfinished[id(job)] = job
            elif job.state is not JobState.QUEUED or rank <= job.rank:
                return job
            job.rank = rank
            heapq.heappush(self._queue, (-rank, next(self._order), job))
            # Those that were woken for a job may not have taken it yet.
            is_short = self._idle < len(self._queue) and self._workers < self._limits.parallel
            if is_short and not self._closed:
                self._workers += 1
                threading.Thread(target=self._work, name="fetch", daemon=True).start()
            self._changed.notify()
            return job

    def knows(self, request: FetchRequest) -> bool:
        """Tell whether the file was asked for before."""
        with self._changed:
            return request.identity in self._jobs

    def holds(self, job: Job) -> bool:
        """Tell whether *job* is still the one for its file, and not forgotten."""
        with self._changed:
            return self._jobs.get(job.request.identity) is job

    def running(self) -> list[Job]:
        """Return the jobs that have not ended, those that run first."""
        with self._changed:
            for job in [each for each in self._unfinished.values() if each.finished.is_set()]:
                del self._unfinished[id(job)]
            jobs = list(self._unfinished.values())
        return sorted(jobs, key=lambda job: job.state is not JobState.RUNNING)

    def jobs(self) -> list[Job]:
        """Return every job, in order of submission."""
        with self._changed:
            return list(self._jobs.values())

    def forget_failures(self) -> None:
        """Ask again for what failed, was missing or is being stopped, and hosts that were left
        alone. What is asked for from now on does not count as missing (:meth:`believe_misses`)."""
        with self._changed:
            self._jobs = {
                key: job
                for key, job in self._jobs.items()
                if job.state is not JobState.FAILED and not job.was_stopped
            }
            self._unfinished = {
                key: job for key, job in self._unfinished.items() if not job.was_stopped
            }
            self._resting.clear()
            self._anew = True

    def believe_misses(self) -> None:
        """Let misses that are remembered count again, for what is asked for from now on."""
        self._anew = False

    def stop(self) -> int:
        """Stop every job that has not ended; return how many there were."""
        stopped = self.running()
        for job in stopped:
            job.cancel.cancel()
        return len(stopped)

    def close(self) -> None:
        """Stop everything; what came so far stays for the next time: workers that hear of it have a
        moment to put it away."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.stop()
        end = time.monotonic() + _LAST_MOMENT
        for job in self.running():
            if job.state is JobState.RUNNING:
                job.finished.wait(max(0.0, end - time.monotonic()))

    # On the workers' threads

    def _work(self) -> None:
        while (job := self._next()) is not None:
            path = None
            try:
                path = self._fetch(job)
            except Cancelled:
                job.attempts.append(_ended(job, "the transfer was stopped"))
            except Exception as error:
                # A fault of ours: the job ends, the worker goes on, the log has the traceback.
                logging.getLogger(__name__).exception("fetching %s failed", job.file_name)
                job.attempts.append(_ended(job, f"internal fault ({type(error).__name__})"))
            finally:
                job.finish(path, self._on_done)
            if path is not None:
                with contextlib.suppress(OSError):
                    self._tidy(path)

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            while True:
                while self._queue and not self._closed:
                    job = heapq.heappop(self._queue)[2]
                    if job.state is JobState.QUEUED:
                        job.state = JobState.RUNNING
                        self._idle -= 1
                        return job
                if self._closed:
                    self._workers -= 1
                    self._idle -= 1
                    return None
                self._changed.wait()

    def _fetch(self, job: Job) -> Path | None:
        for server in job.request.servers:
            job.cancel.check()
            if not can_have(server, job.request) or self._is_resting(server, job):
                continue
            try:
                found = self._receiver.ask(server, job, anew=job.anew)
            except TransferError as error:
                if error.problem.blames_host:
                    self._rest(server, error)
                continue
            if found is not None:
                return found
        return None

    def _is_resting(self, server: Server, job: Job) -> bool:
        host = host_of(server.url)
        with self._changed:
            until, why = self._resting.get(host, (0.0, ""))
        if time.monotonic() >= until:
            return False
        minutes = max(1, round((until - time.monotonic()) / 60))
        detail = f"left alone for another {minutes} min: {why}"
        job.attempts.append(Attempt(host, host, Problem.RESTING, detail))
        return True

    def _rest(self, server: Server, error: TransferError) -> None:
        seconds = max(self._limits.rest, min(error.retry_after, _MAX_REST))
        with self._changed:
            until = time.monotonic() + seconds
            self._resting[host_of(server.url)] = (until, error.message)

    def _tidy(self, arrived: Path) -> None:
        """Keep the default cache within its size after a file came into it."""
        root = default_cache()
        if arrived.is_relative_to(root):
            from polydbg.symbols.download.cache_size import trim

            trim(root, self._limits.cache_size, keep=arrived)


def _ended(job: Job, detail: str) -> Attempt:
    """Return the attempt that was going on when a job ended early."""
    url = job.request.servers[0].url
    return Attempt(redacted(url), job.host or host_of(url), Problem.STOPPED, detail)
