"""Who waits for whom: the cycles in which threads wait for each other, whatever they wait for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from polydbg.targets.target import ThreadInfo


class Waiting(Protocol):
    """A thread that waits for what another one, *owner*, holds: ``None`` where that is not
    known."""

    @property
    def thread(self) -> ThreadInfo: ...

    @property
    def owner(self) -> ThreadInfo | None: ...


W = TypeVar("W", bound=Waiting)


def cycles(waits: Iterable[W]) -> Iterator[tuple[W, ...]]:
    """Yield the cycles of the graph thread -> owner, each once, its lowest thread first.

    In each every thread waits for what the next one's thread owns, and the last for the first's: a
    deadlock.
    """
    by_thread = {wait.thread.id: wait for wait in waits}
    done: set[int] = set()
    for start in sorted(by_thread.values(), key=lambda w: w.thread.ordinal):
        path: list[W] = []
        at: W | None = start
        on_path: set[int] = set()
        while at is not None and at.thread.id not in done and at.thread.id not in on_path:
            path.append(at)
            on_path.add(at.thread.id)
            at = by_thread.get(at.owner.id) if at.owner is not None else None
        if at is not None and at.thread.id in on_path:
            ring = path[path.index(at) :]
            first = ring.index(min(ring, key=lambda w: w.thread.ordinal))
            yield tuple(ring[first:] + ring[:first])
        done |= on_path
