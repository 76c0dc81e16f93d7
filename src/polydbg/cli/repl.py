"""The prompt of a terminal: history, completion, key bindings."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as ToolkitCompletion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from polydbg.cli.printer import Printer
from polydbg.service.api import DebugClient, Item


class _ClientCompleter(Completer):
    """Asks the client what could stand at the cursor."""

    def __init__(self, client: DebugClient) -> None:
        self._client = client

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[ToolkitCompletion]:
        for found in self._client.complete(document.text, document.cursor_position):
            yield ToolkitCompletion(
                found.text, start_position=-found.length, display_meta=found.meaning
            )


def _history() -> History:
    """Return the history file of this user, or one in memory where it cannot be written."""
    from platformdirs import user_state_path

    path = Path(user_state_path("polydbg"))
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path / "history"
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(file))


class _News:
    """Shows items above the prompt while it stands, with what was typed so far left as it is; while
    a command runs they appear between its lines. It is called on another thread."""

    def __init__(self, client: DebugClient, session: PromptSession[str], printer: Printer) -> None:
        self._client = client
        self._session = session
        self._printer = printer
        self._waiting: queue.SimpleQueue[Sequence[Item]] = queue.SimpleQueue()

    def __call__(self, items: Sequence[Item]) -> None:
        self._waiting.put(items)
        if not self._client.activity():
            self._session.bottom_toolbar = None
        loop = self._session.app.loop
        if self._session.app.is_running and loop is not None:
            # A prompt that ends meanwhile shows nothing any more: see show().
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(run_in_terminal, self.show)
        else:
            self.show()

    def show(self) -> None:
        """Write what was not written yet: also after each prompt."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._printer.show(self._waiting.get_nowait())


def run(client: DebugClient, printer: Printer) -> None:
    """Read and run commands until ``q`` or end of input."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=_ClientCompleter(client),
        complete_while_typing=False,
        enable_history_search=True,
    )
    news = _News(client, session, printer)
    client.listen(news)
    while True:
        try:
            # A toolbar without text would still be a bar, so there is one only with transfers.
            busy = bool(client.activity())
            session.bottom_toolbar = client.activity if busy else None
            line = session.prompt(client.prompt, refresh_interval=0.5 if busy else 0)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        finally:
            news.show()
        events = client.repeat() if not line.strip() else client.execute(line)
        if printer.run(client, events, line).session_ended:
            return
