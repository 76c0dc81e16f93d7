"""The queue of transfers: order, hosts that are left alone, stopping; no network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from polydbg.symbols.download.fetcher import Fetcher
from polydbg.symbols.download.jobs import Attempt, Job, JobState
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.store import FetchRequest, FileKind, IdCheck, Server, ServerKind, Wanted

ONE = Server("https://one.example/s", ServerKind.STORE)
TWO = Server("https://two.example/s", ServerKind.STORE)
DEBUGINFOD = Server("https://d.example", ServerKind.DEBUGINFOD)


class FakeReceiver:
    """Answers by a function of server and file name; notes what it was asked, in order."""

    def __init__(self, answer: Callable[[Server, str], Path | None]) -> None:
        self.asked: list[tuple[str, str]] = []
        self.anew: list[bool] = []
        self._answer = answer
        self._lock = threading.Lock()

    def ask(self, server: Server, job: Job, *, anew: bool = False) -> Path | None:
        with self._lock:
            self.asked.append((server.url, job.file_name))
            self.anew.append(anew)
        job.cancel.check()
        found = self._answer(server, job.file_name)
        problem = None if found is not None else Problem.NOT_FOUND
        job.attempts.append(Attempt(server.url, "host", problem))
        return found


def request(
    name: str, *servers: Server, kind: FileKind = FileKind.PDB, build_id: str = ""
) -> FetchRequest:
    wanted = Wanted(kind, name, "K1", build_id=build_id)
    return FetchRequest(wanted, name, "K1", name, servers or (ONE,), lambda path: IdCheck(True))


def done(job: Job) -> Job:
    assert job.finished.wait(10)
    return job


def test_the_next_server_is_asked_where_the_first_has_nothing() -> None:
    receiver = FakeReceiver(lambda server, name: Path("x") if server is TWO else None)
    fetcher = Fetcher(receiver)
    job = done(fetcher.submit(request("a.pdb", ONE, TWO)))
    assert job.path == Path("x")
    assert job.state is JobState.FOUND
    assert [url for url, _ in receiver.asked] == [ONE.url, TWO.url]


def test_one_file_is_fetched_once() -> None:
    receiver = FakeReceiver(lambda server, name: Path(__file__))
    fetcher = Fetcher(receiver)
    first = done(fetcher.submit(request("a.pdb")))
    assert fetcher.submit(request("A.PDB")) is first
    assert len(receiver.asked) == 1


def test_a_file_that_went_away_is_fetched_again(tmp_path: Path) -> None:
    receiver = FakeReceiver(lambda server, name: tmp_path / "gone")
    fetcher = Fetcher(receiver)
    done(fetcher.submit(request("a.pdb")))
    done(fetcher.submit(request("a.pdb")))
    assert len(receiver.asked) == 2


def test_a_host_that_failed_is_left_alone() -> None:
    def fail(server: Server, name: str) -> Path | None:
        raise TransferError(Problem.UNREACHABLE, "one.example did not answer")

    receiver = FakeReceiver(fail)
    fetcher = Fetcher(receiver, Limits(parallel=1))
    done(fetcher.submit(request("a.pdb")))
    second = done(fetcher.submit(request("b.pdb")))
    assert receiver.asked == [(ONE.url, "a.pdb")]
    (attempt,) = second.attempts
    assert attempt.problem is Problem.RESTING
    assert "one.example did not answer" in attempt.detail

    fetcher.forget_failures()
    third = done(fetcher.submit(request("b.pdb")))
    assert third is not second
    assert receiver.asked[-1] == (ONE.url, "b.pdb")
    assert receiver.anew == [False, True], "what was missing is asked for again, too"


def test_a_fault_of_one_file_does_not_rest_the_host() -> None:
    def fail(server: Server, name: str) -> Path | None:
        raise TransferError(Problem.WRONG_ID, "another file")

    receiver = FakeReceiver(fail)
    fetcher = Fetcher(receiver, Limits(parallel=1))
    done(fetcher.submit(request("a.pdb")))
    done(fetcher.submit(request("b.pdb")))
    assert len(receiver.asked) == 2


def test_retry_after_is_heeded_but_not_for_ever(monkeypatch: object) -> None:
    def fail(server: Server, name: str) -> Path | None:
        raise TransferError(Problem.RATE_LIMITED, "too many", retry_after=1e9)

    fetcher = Fetcher(FakeReceiver(fail), Limits(parallel=1, rest=1.0))
    done(fetcher.submit(request("a.pdb")))
    (attempt,) = done(fetcher.submit(request("b.pdb"))).attempts
    assert "60 min" in attempt.detail


def test_the_highest_rank_comes_first_and_four_at_a_time() -> None:
    gate, started = threading.Event(), threading.Semaphore(0)
    running, most = [0], [0]
    lock = threading.Lock()

    def answer(server: Server, name: str) -> Path | None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        started.release()
        assert gate.wait(10)
        with lock:
            running[0] -= 1
        return Path(__file__)

    receiver = FakeReceiver(answer)
    fetcher = Fetcher(receiver)
    jobs = [fetcher.submit(request(f"late{n}.pdb")) for n in range(8)]
    for _ in range(4):
        assert started.acquire(timeout=10)
    jobs.append(fetcher.submit(request("urgent.pdb"), rank=1))
    jobs.append(fetcher.submit(request("late7.pdb"), rank=1))
    gate.set()
    for job in jobs:
        done(job)
    assert most[0] == 4
    order = [name for _, name in receiver.asked]
    assert set(order[4:6]) == {"urgent.pdb", "late7.pdb"}
    assert len(order) == len(set(order)) == 9


def test_stop_ends_what_runs_and_what_waits() -> None:
    def answer(server: Server, name: str) -> Path | None:
        time.sleep(0.02)
        return None

    receiver = FakeReceiver(answer)
    fetcher = Fetcher(receiver, Limits(parallel=1))
    jobs = [fetcher.submit(request(f"{n}.pdb", ONE, TWO)) for n in range(20)]
    assert fetcher.stop() >= 19
    for job in jobs:
        done(job)
    assert len(receiver.asked) < 20
    assert {a.problem for a in jobs[-1].attempts} == {Problem.STOPPED}


def test_what_is_being_stopped_is_begun_again_at_once() -> None:
    gate = threading.Event()

    def answer(server: Server, name: str) -> Path | None:
        assert gate.wait(10)
        return None

    receiver = FakeReceiver(answer)
    fetcher = Fetcher(receiver)
    first = fetcher.submit(request("a.pdb"))
    fetcher.stop()
    fetcher.forget_failures()
    second = fetcher.submit(request("a.pdb"))
    gate.set()
    assert second is not first
    assert [a.problem for a in done(second).attempts] == [Problem.NOT_FOUND]


def test_a_worker_that_has_not_woken_yet_does_not_count_as_idle() -> None:
    gate, started = threading.Event(), threading.Semaphore(0)

    def answer(server: Server, name: str) -> Path | None:
        if name != "first.pdb":
            started.release()
            assert gate.wait(10)
        return Path(__file__)

    fetcher = Fetcher(FakeReceiver(answer))
    done(fetcher.submit(request("first.pdb")))
    time.sleep(0.05)  # its worker waits for the next one
    with fetcher._changed:  # the lock may be taken twice: nobody wakes in between
        jobs = [fetcher.submit(request(f"{n}.pdb")) for n in range(4)]
    came = [started.acquire(timeout=10) for _ in jobs]
    gate.set()
    assert all(came), "all four run at the same time"
    for job in jobs:
        done(job)


def test_debuginfod_servers_are_asked_for_build_ids_only() -> None:
    receiver = FakeReceiver(lambda server, name: None)
    fetcher = Fetcher(receiver, Limits(parallel=1))
    done(fetcher.submit(request("a.pdb", DEBUGINFOD)))
    done(fetcher.submit(request("a.sym", DEBUGINFOD, kind=FileKind.BREAKPAD, build_id="ab")))
    done(fetcher.submit(request("a", DEBUGINFOD, kind=FileKind.IMAGE, build_id="ab")))
    assert receiver.asked == [(DEBUGINFOD.url, "a")]


def test_a_fault_of_ours_ends_one_job_and_not_the_queue() -> None:
    def answer(server: Server, name: str) -> Path | None:
        if name == "bad.pdb":
            raise ZeroDivisionError
        return Path(__file__)

    fetcher = Fetcher(FakeReceiver(answer), Limits(parallel=1))
    bad = done(fetcher.submit(request("bad.pdb")))
    good = done(fetcher.submit(request("good.pdb")))
    assert bad.path is None
    assert "internal fault (ZeroDivisionError)" in bad.attempts[0].detail
    assert good.path is not None


def test_on_done_hears_of_every_job() -> None:
    heard: list[str] = []
    fetcher = Fetcher(
        FakeReceiver(lambda server, name: None),
        Limits(parallel=1),
        on_done=lambda job: heard.append(job.file_name),
    )
    first, second = fetcher.submit(request("a.pdb")), fetcher.submit(request("b.pdb"))
    done(first), done(second)
    assert heard == ["a.pdb", "b.pdb"], "before whoever waits goes on"
    fetcher.close()


def test_at_the_end_what_came_is_put_away() -> None:
    begun, put_away = threading.Event(), threading.Event()

    class Keeping(FakeReceiver):
        def ask(self, server: Server, job: Job, *, anew: bool = False) -> Path | None:
            begun.set()
            try:
                while True:
                    job.cancel.check()
                    time.sleep(0.01)
            finally:
                time.sleep(0.05)
                put_away.set()

    fetcher = Fetcher(Keeping(lambda server, name: None))
    job = fetcher.submit(request("a.pdb"))
    assert begun.wait(10)
    fetcher.close()
    assert put_away.is_set()
    assert job.was_stopped


def test_a_worker_that_does_not_hear_does_not_hold_up_the_end() -> None:
    begun, released = threading.Event(), threading.Event()

    def hang(server: Server, name: str) -> Path | None:
        begun.set()
        released.wait(30)
        return None

    fetcher = Fetcher(FakeReceiver(hang))
    job = fetcher.submit(request("a.pdb"))
    assert begun.wait(10)
    fetcher.close()
    assert not job.finished.is_set()
    released.set()
    done(job)


def test_misses_count_again_after_the_command_that_asked_anew() -> None:
    receiver = FakeReceiver(lambda server, name: None)
    fetcher = Fetcher(receiver, Limits(parallel=1))
    fetcher.forget_failures()
    done(fetcher.submit(request("a.pdb")))
    fetcher.believe_misses()
    done(fetcher.submit(request("b.pdb")))
    assert receiver.anew == [True, False]
