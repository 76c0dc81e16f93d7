"""What is made of a server's answers: which addresses are tried, what counts as a miss."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.symbols.download.jobs import Job
from polydbg.symbols.download.landing import Landing, Observe
from polydbg.symbols.download.limits import Limits
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.download.receiver import Receiver
from polydbg.symbols.store import FetchRequest, FileKind, IdCheck, Server, ServerKind, Wanted

SERVER = Server("https://one.example/s", ServerKind.STORE)
TIERED = "https://one.example/s/a/a.pdb/K1/a.pdb"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))


class FakeClient:
    """Has *files* and no others; *mark* is what it says of the mark of two tiers."""

    def __init__(self, files: dict[str, bytes], mark: Problem | None) -> None:
        self.files = files
        self.mark = mark

    def download(
        self,
        url: str,
        landing: Landing,
        *,
        cancel: CancelToken,
        observe: Observe,
        origin: str = "",
    ) -> str:
        if url not in self.files:
            raise TransferError(Problem.NOT_FOUND, "it is not there")
        landing.write(self.files[url])
        return url

    def text(self, url: str, *, cancel: CancelToken, limit: int = 0) -> bytes:
        if url.endswith("/index2.txt") and self.mark is None:
            return b""
        if url in self.files:
            return self.files[url]
        problem = self.mark if url.endswith("/index2.txt") and self.mark else Problem.NOT_FOUND
        raise TransferError(problem, "no")


def job() -> Job:
    wanted = Wanted(FileKind.PDB, "a.pdb", "K1")
    request = FetchRequest(wanted, "a.pdb", "K1", "a.pdb", (SERVER,), lambda path: IdCheck(True))
    return Job(request)


@pytest.mark.parametrize(
    "problem", [Problem.SERVER_ERROR, Problem.STALLED, Problem.CUT_SHORT], ids=lambda p: p.value
)
def test_a_fault_while_the_tiers_are_asked_for_is_no_miss(problem: Problem) -> None:
    client = FakeClient({TIERED: b"data"}, problem)
    receiver = Receiver(client, Limits())
    with pytest.raises(TransferError) as caught:
        receiver.ask(SERVER, job())
    assert caught.value.problem is problem
    client.mark = None
    found = receiver.ask(SERVER, job())
    assert found is not None
    assert found.read_bytes() == b"data"


@pytest.mark.parametrize("problem", [Problem.NOT_FOUND, Problem.FORBIDDEN], ids=lambda p: p.value)
def test_a_store_without_tiers_has_misses(problem: Problem) -> None:
    client = FakeClient({TIERED: b"data"}, problem)
    asked = job()
    assert Receiver(client, Limits()).ask(SERVER, asked) is None
    assert asked.attempts[0].detail == "the server does not have it"
    again = job()
    assert Receiver(client, Limits()).ask(SERVER, again) is None
    assert "less than a day ago" in again.attempts[0].detail


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_file_ptr_is_read_as_in_stores_on_disk(encoding: str) -> None:
    pointer = "https://one.example/s/a.pdb/K1/file.ptr"
    text = "PATH: https://one.example/elsewhere/a.pdb\r\n"
    files = {pointer: text.encode(encoding), "https://one.example/elsewhere/a.pdb": b"data"}
    found = Receiver(FakeClient(files, Problem.NOT_FOUND), Limits()).ask(SERVER, job())
    assert found is not None
    assert found.read_bytes() == b"data"
