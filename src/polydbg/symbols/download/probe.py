"""Asks servers whether they answer at all: for a check of the search path, not for files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.symbols.download.addresses import joined
from polydbg.symbols.download.problems import Problem, TransferError
from polydbg.symbols.download.receiver import Client
from polydbg.symbols.download.servers import tiers_mark
from polydbg.symbols.store.remote import Server, ServerKind

_LIMIT = 64 << 10
_POLL = 0.05
# An answer of these kinds comes from a server that is there, though it has no such page.
_ANSWERS = frozenset((Problem.NOT_FOUND, Problem.TOO_LARGE))


class ServerCheck(msgspec.Struct, frozen=True):
    """How a server answered: *problem* is ``None`` where it did, *milliseconds* how long it took,
    *detail* what went wrong."""

    server: Server
    milliseconds: int
    problem: Problem | None = None
    detail: str = ""


def check_servers(
    servers: Sequence[Server],
    client: Client,
    cancel: CancelToken,
    waiting: Callable[[Server], None] = lambda server: None,
) -> Iterator[ServerCheck]:
    """Ask all *servers* at once, and yield how each answered, in their order. *waiting* is called
    now and then with the one that is waited for.

    :raises Cancelled: the user asked to stop; what was asked is left behind.
    """
    stop = CancelToken()
    checks: dict[int, ServerCheck] = {}
    done = [threading.Event() for _ in servers]

    def ask(number: int) -> None:
        try:
            checks[number] = _check(servers[number], client, stop)
        except Cancelled:
            return
        finally:
            done[number].set()

    for number in range(len(servers)):
        threading.Thread(target=ask, args=(number,), name="probe", daemon=True).start()
    try:
        for number, event in enumerate(done):
            while not event.wait(_POLL):
                cancel.check()
                waiting(servers[number])
            yield checks[number]
    finally:
        stop.cancel()


def _check(server: Server, client: Client, cancel: CancelToken) -> ServerCheck:
    # debuginfod has no page of its own that is small, and says 404 at once to an id of nothing.
    is_store = server.kind is ServerKind.STORE
    url = tiers_mark(server) if is_store else joined(server.url, "buildid", "00", "debuginfo")
    start, problem, detail = time.perf_counter(), None, ""
    try:
        client.text(url, cancel=cancel, limit=_LIMIT)
    except TransferError as error:
        if error.problem not in _ANSWERS:
            problem, detail = error.problem, error.message
    return ServerCheck(server, round((time.perf_counter() - start) * 1000), problem, detail)
