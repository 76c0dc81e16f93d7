"""Shows a request's events: text or JSON on standard output, progress on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from polydbg.service import render
from polydbg.service.api import (
    CommandEnd,
    DebugClient,
    Event,
    FinishedEvent,
    Item,
    ItemsEvent,
    ProgressEvent,
    joined,
)


class Printer:
    """Writes items as they come. *colour* and *as_json* choose the rendering."""

    def __init__(self, out: TextIO, *, colour: bool, as_json: bool) -> None:
        self._out = out
        self._render = render.coloured if colour else render.text_of
        self._as_json = as_json
        self._pending: list[Item] = []
        self._progress_shown = False
        self._is_in_line = False

    def run(self, client: DebugClient, events: Iterator[Event], command: str) -> FinishedEvent:
        """Show *events* to their end. Ctrl+C interrupts the command, then goes on reading."""
        pulled = iter(events)
        while True:
            try:
                return self.follow(pulled, command)
            except KeyboardInterrupt:
                # A generator that was interrupted is finished; ask for the rest of the stream.
                client.interrupt()
                pulled = client.pending()

    def follow(self, events: Iterator[Event], command: str) -> FinishedEvent:
        """Show *events* to their end; an interrupt ends it."""
        for event in events:
            if isinstance(event, FinishedEvent):
                self._finish(command, event)
                return event
            self._show(event)
        raise AssertionError("events end with a FinishedEvent")

    def _show(self, event: Event) -> None:
        match event:
            case ItemsEvent(items=items):
                if self._as_json:
                    self._clear_progress()
                    self._collect(list(items))
                else:
                    self.show(items)
            case ProgressEvent(text=text, done=done, total=total):
                self.progress(text, done, total)
            case FinishedEvent():
                pass

    def show(self, items: Sequence[Item]) -> None:
        """Write *items* in place of the line of progress: at once, as those of no command."""
        self._clear_progress()
        if self._as_json:
            self._out.write(render.json_line("", list(items), True) + "\n")
            self._out.flush()
            return
        shown = (item for item in items if not isinstance(item, CommandEnd))
        if text := joined(shown, self._render):
            self._out.write(text)
            self._out.flush()
            self._is_in_line = not text.endswith("\n")

    def _collect(self, items: list[Item]) -> None:
        for item in items:
            if isinstance(item, CommandEnd):
                self._out.write(render.json_line(item.command, self._pending, item.ok) + "\n")
                self._pending = []
            else:
                self._pending.append(item)
        self._out.flush()

    def _finish(self, command: str, event: FinishedEvent) -> None:
        self._clear_progress()
        if self._is_in_line:  # the prompt begins a line
            self._out.write("\n")
            self._is_in_line = False
        if self._as_json and self._pending:
            ok = not event.failures and not event.interrupted
            self._out.write(render.json_line(command, self._pending, ok) + "\n")
            self._pending = []
        if event.interrupted and not self._as_json:
            self._out.write("Interrupted.\n")
        self._out.flush()

    def progress(self, text: str, done: int, total: int) -> None:
        """Show on the terminal how far the work is."""
        if not sys.stderr.isatty():
            return
        share = f"{100 * done // total:3d}%" if total else f"{done or ''}"
        sys.stderr.write(f"\r\x1b[K{text} {share}")
        sys.stderr.flush()
        self._progress_shown = True

    def _clear_progress(self) -> None:
        if self._progress_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._progress_shown = False
