"""The client in the same process: what the local terminal uses."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence

from polydbg.service.api import Completion, Event, FinishedEvent, Item, OpenRequest
from polydbg.service.host import EngineHost, EventQueue


class LocalClient:
    """A :class:`~polydbg.service.api.DebugClient` with its engine in this process."""

    def __init__(self) -> None:
        self._host = EngineHost()
        self._prompt = self._host.prompt
        self._events: EventQueue | None = None

    @property
    def prompt(self) -> str:
        return self._prompt

    def open(self, request: OpenRequest) -> Iterator[Event]:
        self._events = self._host.open(request)
        return self.pending()

    def execute(self, line: str) -> Iterator[Event]:
        self._events = self._host.execute(line)
        return self.pending()

    def repeat(self) -> Iterator[Event]:
        self._events = self._host.repeat()
        return self.pending()

    def complete(self, line: str, position: int) -> Sequence[Completion]:
        return self._host.complete(line, position)

    def listen(self, listener: Callable[[Sequence[Item]], None] | None) -> None:
        self._host.listen(listener)

    def activity(self) -> str:
        return self._host.activity()

    def interrupt(self) -> None:
        self._host.interrupt()

    def close(self) -> None:
        self._host.close()

    def pending(self) -> Iterator[Event]:
        events = self._events
        if events is None:
            return
        while True:
            try:
                # With a time-out, so that Ctrl+C reaches the main thread on Windows too.
                event = events.get(timeout=0.2)
            except queue.Empty:
                continue
            if isinstance(event, FinishedEvent):
                self._prompt = event.prompt
                self._events = None
                yield event
                return
            yield event
