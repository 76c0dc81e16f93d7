"""The session's side of fetching, with transfers that end when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from polydbg.engine.downloads import Downloads
from polydbg.engine.settings import Settings
from polydbg.symbols.download.fetcher import Fetcher
from polydbg.symbols.download.jobs import Attempt, Job
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem
from polydbg.symbols.store import (
    FetchRequest,
    FileKind,
    IdCheck,
    Outcome,
    Server,
    ServerKind,
    Trail,
    Wanted,
)
from polydbg.targets.target import ModuleInfo

SERVER = Server("https://one.example/s", ServerKind.STORE)
APP = ModuleInfo("app", "app.exe", 0x1000, 0x1000, 1)


class Gated:
    """A receiver that answers when its gate is open: with *found*."""

    def __init__(self, found: Path | None) -> None:
        self.gate = threading.Event()
        self.started = threading.Event()
        self.order: list[str] = []
        self._found = found

    def ask(self, server: Server, job: Job, *, anew: bool = False) -> Path | None:
        self.order.append(job.file_name)
        self.started.set()
        assert self.gate.wait(10)
        job.attempts.append(Attempt(server.url, "one.example", Problem.NOT_FOUND))
        return self._found


@pytest.fixture
def receiver() -> Gated:
    return Gated(Path(__file__))


@pytest.fixture
def downloads(receiver: Gated) -> Iterator[Downloads]:
    made = Downloads(Settings())
    made._fetcher = Fetcher(receiver, Limits(parallel=1), made._note_finished)
    yield made
    receiver.gate.set()
    made.close()


def request(name: str) -> FetchRequest:
    wanted = Wanted(FileKind.PDB, name, "K1")
    return FetchRequest(wanted, name, "K1", name, (SERVER,), lambda path: IdCheck(True))


def test_what_the_last_command_asks_for_comes_first(downloads: Downloads, receiver: Gated) -> None:
    for name in ("first", "second", "third"):
        downloads.ask(request(name), Trail())
    assert receiver.started.wait(10)
    downloads.begin_command()
    for name in ("fourth", "third"):
        downloads.ask(request(name), Trail())
    receiver.gate.set()
    downloads.wait(downloads.jobs(), unlimited=True)
    assert receiver.order == ["first", "fourth", "third", "second"]


def test_a_module_waits_until_what_came_was_taken(downloads: Downloads, receiver: Gated) -> None:
    trail = Trail()
    with downloads.for_module(APP):
        assert downloads.ask(request("app.pdb"), trail) is None
    assert trail.has(Outcome.PENDING)
    receiver.gate.set()
    downloads.wait(downloads.jobs(), unlimited=True)
    assert downloads.is_pending(APP), "it is still to be looked at anew"
    (finished,) = downloads.take_finished()
    assert finished.owners == (APP,)
    assert not downloads.is_pending(APP)


def test_who_waited_has_the_file_and_is_not_looked_at_anew(
    downloads: Downloads, receiver: Gated
) -> None:
    downloads.wait_at_most(20)
    receiver.gate.set()
    with downloads.for_module(APP):
        assert downloads.ask(request("app.pdb"), Trail()) == Path(__file__)
    assert not downloads.is_pending(APP)
    (finished,) = downloads.take_finished()
    assert finished.owners == ()
