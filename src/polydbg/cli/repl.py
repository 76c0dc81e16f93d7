"""The prompt of a terminal: history, completion, key bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


def _show_above(
    client: DebugClient, session: PromptSession[str], printer: Printer
) -> Callable[[Sequence[Item]], None]:
    """Return what shows items above the prompt while it stands, with what was typed so far left as
    it is; while a command runs they appear between its lines."""

    def show(items: Sequence[Item]) -> None:
        if not client.activity():
            session.bottom_toolbar = None
        loop = session.app.loop
        if session.app.is_running and loop is not None:
            loop.call_soon_threadsafe(run_in_terminal, lambda: printer.show(items))
        else:
            printer.show(items)

    return show


def run(client: DebugClient, printer: Printer) -> None:
    """Read and run commands until ``q`` or end of input."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=_ClientCompleter(client),
        complete_while_typing=False,
        enable_history_search=True,
    )
    client.listen(_show_above(client, session, printer))
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
        events = client.repeat() if not line.strip() else client.execute(line)
        if printer.run(client, events, line).session_ended:
            return
