"""The prompt of a terminal: what is said while it stands, and while it ends."""

from __future__ import annotations

import io
from typing import cast

import pytest
from prompt_toolkit import PromptSession

from polydbg.cli import repl
from polydbg.cli.printer import Printer
from polydbg.commands.output import Text
from polydbg.service.local import LocalClient


class EndedLoop:
    """A loop of a prompt that ended a moment ago: it is closed, or calls nothing any more."""

    def __init__(self, is_closed: bool) -> None:
        self._is_closed = is_closed

    def call_soon_threadsafe(self, *call: object) -> None:
        if self._is_closed:
            raise RuntimeError("Event loop is closed")


class EndingSession:
    """A session whose prompt ends just when news come."""

    bottom_toolbar: object = None

    def __init__(self, is_closed: bool) -> None:
        self.loop = EndedLoop(is_closed)
        self.is_running = True

    @property
    def app(self) -> EndingSession:
        return self


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "over"])
def test_news_of_a_prompt_that_ends_are_not_lost(is_closed: bool) -> None:
    out, client = io.StringIO(), LocalClient()
    session = cast("PromptSession[str]", EndingSession(is_closed))
    news = repl._News(client, session, Printer(out, colour=False, as_json=False))
    news([Text(value="Symbols of app arrived")])
    assert out.getvalue() == ""
    news.show()
    news.show()
    assert out.getvalue() == "Symbols of app arrived\n"
    client.close()
