"""The prompt of a terminal: history, completion, key bindings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as ToolkitCompletion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from polydbg.cli.printer import Printer
from polydbg.service.api import DebugClient


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


def run(client: DebugClient, printer: Printer) -> None:
    """Read and run commands until ``q`` or end of input."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=_ClientCompleter(client),
        complete_while_typing=False,
        enable_history_search=True,
    )
    while True:
        try:
            line = session.prompt(client.prompt)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        events = client.repeat() if not line.strip() else client.execute(line)
        if printer.run(client, events, line).session_ended:
            return
