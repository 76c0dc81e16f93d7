"""The engine thread: owns one session, runs requests in order of arrival, streams their events."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, DebuggerError
from polydbg.commands.dumps import first_screen
from polydbg.commands.language import Interpreter
from polydbg.commands.output import CommandEnd, Failure, Item, joined
from polydbg.engine.scripts import ScriptSession
from polydbg.engine.session import Session, System, expand_dump_arguments
from polydbg.engine.sysroots import checked_roots
from polydbg.service.api import (
    Completion,
    Event,
    FinishedEvent,
    ItemsEvent,
    OpenRequest,
    ProgressEvent,
)
from polydbg.service.render import text_of

_OF_FILES = ("sysroot.", "image.mismatched")  # what is said of files while a dump opens
_BATCH_ITEMS = 64
_BATCH_SECONDS = 0.02
_QUEUE_EVENTS = 64
_COMPLETION_SECONDS = 0.3


EventQueue = queue.Queue[Event]


class _Request(msgspec.Struct, eq=False):
    work: Callable[[], Iterator[Item]]
    events: EventQueue


class _Wake:
    """In the queue of requests: files came from servers."""


Listener = Callable[[Sequence[Item]], None]


class EngineHost:
    """Runs on a thread of its own from the first request on."""

    def __init__(self) -> None:
        self._session = Session()
        self._cancel = CancelToken()
        self._interpreter = Interpreter(self._session, self._cancel, self._progress)
        self._session.scripts.lend = self._lend
        self._requests: queue.Queue[_Request | _Wake | None] = queue.Queue()
        self._session.files.downloads.on_done = lambda: self._requests.put(_Wake())
        self._listener: Listener | None = None
        self._news: list[Item] = []
        # Held while modules change without a request: completion reads them at the prompt.
        self._session_lock = threading.Lock()
        self._events: EventQueue | None = None
        self._batch: list[Item] = []
        self._last_progress = self._last_flush = 0.0
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def prompt(self) -> str:
        return self._session.prompt

    def open(self, request: OpenRequest) -> EventQueue:
        """Queue the opening of dumps and return where its events arrive."""
        return self._submit(lambda: self._open(request))

    def execute(self, line: str) -> EventQueue:
        """Queue a command line and return where its events arrive."""
        return self._submit(lambda: self._interpreter.run(line))

    def repeat(self) -> EventQueue:
        """Queue the last command again."""
        return self._submit(self._interpreter.repeat)

    def interrupt(self) -> None:
        """Ask the running request to stop; safe from any thread."""
        self._cancel.cancel()

    def complete(self, line: str, position: int) -> Sequence[Completion]:
        """Return completions. Reads the session while no request runs (the caller waits); while
        files that came are read for long there are none."""
        from polydbg.service.completion import completions

        if not self._session_lock.acquire(timeout=_COMPLETION_SECONDS):
            return ()
        try:
            return completions(self._session, line, position)
        finally:
            self._session_lock.release()

    def listen(self, listener: Listener | None) -> None:
        """Hand what is said between requests to *listener*, on the engine's thread."""
        self._listener = listener

    def activity(self) -> str:
        """Return one line about the transfers that run; safe from any thread."""
        return self._session.files.downloads.activity()

    def close(self) -> None:
        """End the engine thread and close every file."""
        self._cancel.cancel()
        self._requests.put(None)
        self._thread.join(timeout=5)

    def _submit(self, work: Callable[[], Iterator[Item]]) -> EventQueue:
        events: EventQueue = queue.Queue(_QUEUE_EVENTS)
        self._cancel.reset()
        self._requests.put(_Request(work, events))
        return events

    def _serve(self) -> None:
        while (request := self._requests.get()) is not None:
            if isinstance(request, _Request):
                self._run(request)
            else:
                self._on_arrival()
        self._session.log.close()
        self._session.close()

    def _on_arrival(self) -> None:
        """Between requests: give the modules what came, and tell the listener. A request that waits
        does so itself, and may have been interrupted already."""
        if not self._requests.empty():
            return
        self._cancel.reset()
        try:
            self._take_arrivals()
            news, self._news = self._news, []
            if self._listener is None:
                self._news = news
            elif news:
                self._listener(news)
        except DebuggerError as error:
            self._news.append(Failure.of(error))
        except Exception as error:
            # A fault of ours, or of the listener's: the thread that answers requests goes on.
            _log_fault()
            self._news.append(_internal_failure(error))

    def _run(self, request: _Request) -> None:
        """Run one request; whatever happens, its last event is a :class:`FinishedEvent`."""
        self._events = request.events
        failures, interrupted = 0, False
        try:
            for item in self._after_news(request.work()):
                failures += isinstance(item, Failure)
                self._log(item)
                self._batch.append(item)
                self._flush_if_due(item)
        except Cancelled:
            interrupted = True
        except DebuggerError as error:
            failures += 1
            self._batch.append(Failure.of(error))
        except Exception as error:
            # A fault of ours: the session goes on, the log has the traceback.
            _log_fault()
            failures += 1
            self._batch.append(_internal_failure(error))
        self._cancel.reset()
        self._flush()
        finished = FinishedEvent(
            failures, interrupted, self._session.is_finished, self._session.prompt
        )
        self._put(finished)
        self._events = None

    def _after_news(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what came since the last request, then *items*. A batch run waits first for what is
        being fetched, as long as it may."""
        self._session.files.downloads.settle()
        self._take_arrivals()
        news, self._news = self._news, []
        yield from news
        yield from items

    def _take_arrivals(self) -> None:
        """Give the modules what came, and keep what is to be said of it."""
        with self._session_lock:
            self._news += self._interpreter.take_arrivals()

    def _log(self, item: Item) -> None:
        """Copy what is shown into the session's log file, if one is open."""
        if self._session.log.path is not None and not isinstance(item, CommandEnd):
            self._session.log.write(joined([item], text_of))

    def _flush_if_due(self, item: Item) -> None:
        """Send what is gathered when the client waits, a command ends, or enough came together.

        A bulk listing then costs one event for many items, and a single line appears at once.
        """
        assert self._events is not None
        if (
            self._events.empty()
            or isinstance(item, CommandEnd)
            or len(self._batch) >= _BATCH_ITEMS
            or time.monotonic() - self._last_flush > _BATCH_SECONDS
        ):
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            batch, self._batch = self._batch, []
            self._put(ItemsEvent(batch))
        self._last_flush = time.monotonic()

    def _put(self, event: Event) -> None:
        """Hand over an event; a slow client holds the engine back, an interrupt frees it."""
        assert self._events is not None
        while True:
            try:
                self._events.put(event, timeout=0.05)
                return
            except queue.Full:
                if self._cancel.is_cancelled and not isinstance(event, FinishedEvent):
                    return

    def _progress(self, text: str, done: int, total: int) -> None:
        """Report progress at most ten times a second."""
        self._cancel.check()
        if self._events is None:
            return  # between requests
        now = time.monotonic()
        if now - self._last_progress >= 0.1:
            self._last_progress = now
            self._flush()
            self._put(ProgressEvent(text, done, total))

    def _lend(self) -> ScriptSession | None:
        """Return the current dump as scripts see it: the library is imported with the first."""
        from polydbg import lend_to_scripts

        lend_to_scripts(self._session, self._interpreter, self._cancel)
        return self._session.scripts.lend()

    def _fetch_stack(self, system: System) -> None:
        """Fetch what the stack of the event needs, in a batch run with servers."""
        downloads = self._session.files.downloads
        if not downloads.is_batch or not downloads.can_ask():
            return
        from polydbg.engine.arrivals import fetch_stack

        with self._session.files.notices.quietly():  # the first screen says what is missing
            fetch_stack(self._session, system, self._take_arrivals)

    def _open(self, request: OpenRequest) -> Iterator[Item]:
        settings = self._session.settings
        settings.search(
            request.symbol_path,
            request.image_path,
            offline=request.offline,
            use_environment=request.use_environment,
        )
        settings.source_path = request.source_path or ""
        settings.sysroots = checked_roots(request.sysroots)
        settings.lines = request.lines
        settings.programs = settings.programs and request.programs
        settings.choose_evaluator(request.evaluator, use_environment=request.use_environment)
        self._session.files.downloads.wait_at_most(request.symbol_wait)
        context = self._interpreter.context()
        for path in expand_dump_arguments(request.dumps):
            system = self._session.open_dump(
                path, "", self._cancel, self._progress, arch=request.arch
            )
            self._fetch_stack(system)
            if request.first_screen:
                yield first_screen(context, system)
                yield from self._interpreter.take_notices(_OF_FILES)
                yield CommandEnd(command="open", ok=True)
        # What was missing on opening stands in the first screen.
        self._interpreter.discard_notices()


def _internal_failure(error: Exception) -> Failure:
    import traceback

    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rsplit('polydbg', 1)[-1].lstrip('/')}:{frame.lineno}"
    return Failure(
        identifier="internal.fault",
        message=f"internal fault ({type(error).__name__} at {where}); the session goes on",
        hint="please report it with the command; POLYDBG_LOG=debug writes the details",
    )


def _log_fault() -> None:
    """Log the exception being handled, with its traceback."""
    import logging

    logging.getLogger(__name__).exception("a command failed unexpectedly")
