"""A file being fetched: what is known of it while it runs, and afterwards."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.symbols.download.problems import Problem
from polydbg.symbols.store.remote import FetchRequest


class Attempt(msgspec.Struct, frozen=True):
    """What a server answered. *place* is its address of the file, without secrets; *problem* is
    ``None`` for the file that was taken; *found_id* what another file has."""

    place: str
    host: str
    problem: Problem | None
    detail: str = ""
    found_id: str = ""


class JobState(enum.Enum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    FOUND = "found"
    FAILED = "failed"


class Job:
    """The fetching of one file. Workers write it, everybody may read it.

    *done* and *total* count the bytes of the transfer that runs (*total* 0: not known), *host* is
    where it comes from. *path* is the file, once :attr:`finished` is set. Those of a higher *rank*
    run first. With *anew* it does not count that servers lacked the file lately.
    """

    def __init__(self, request: FetchRequest, *, anew: bool = False) -> None:
        self.request = request
        self.anew = anew
        self.state = JobState.QUEUED
        self.rank = 0
        self.attempts: list[Attempt] = []
        self.path: Path | None = None
        self.host = ""
        self.done = self.total = 0
        self.started = 0.0
        self.cancel = CancelToken()
        self.finished = threading.Event()

    @property
    def file_name(self) -> str:
        return self.request.file_name

    @property
    def was_stopped(self) -> bool:
        """Tell whether the user stopped it."""
        return self.path is None and self.cancel.is_cancelled

    @property
    def rate(self) -> float:
        """Return the bytes a second of the transfer that runs."""
        took = time.monotonic() - self.started
        return self.done / took if self.started and took > 0 else 0.0

    def begin_transfer(self, host: str) -> None:
        """Note that a transfer from *host* begins."""
        self.host, self.done, self.total, self.started = host, 0, 0, time.monotonic()

    def observe(self, done: int, total: int) -> None:
        """Note the bytes so far and those to come in all."""
        self.done, self.total = done, total

    def finish(self, path: Path | None, hand_over: Callable[[Job], None]) -> None:
        """Note the end; *path* is the file or ``None``. The job is handed over before anybody who
        waits for it goes on, so that it is there to be taken then."""
        self.path = path
        self.state = JobState.FAILED if path is None else JobState.FOUND
        try:
            hand_over(self)
        finally:
            self.finished.set()
