"""The service in process: order of events, interruption, failures, renderings."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from polydbg.commands.output import Failure, Heading, Notice, Text
from polydbg.service import render
from polydbg.service.api import CommandEnd, FinishedEvent, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient

DEMO = str(resources.files("polydbg") / "demo")


@pytest.fixture
def client() -> Iterator[LocalClient]:
    client = LocalClient()
    request = OpenRequest(dumps=[f"{DEMO}/practice.dmp"], symbol_path=DEMO, image_path=DEMO)
    assert isinstance(list(client.open(request))[-1], FinishedEvent)
    yield client
    client.close()


def texts(client: LocalClient, line: str) -> list[str]:
    found: list[str] = []
    for event in client.execute(line):
        if isinstance(event, ItemsEvent):
            found += [i.text() for i in event.items if not isinstance(i, CommandEnd)]
    return found


def test_the_last_event_says_how_it_ended(client: LocalClient) -> None:
    events = list(client.execute(".echo a; ? nosuch"))
    assert isinstance(events[-1], FinishedEvent)
    assert events[-1].failures == 1
    assert not events[-1].session_ended
    assert events[-1].prompt == client.prompt == "0:000> "
    ended = list(client.execute("q"))[-1]
    assert isinstance(ended, FinishedEvent)
    assert ended.session_ended


def test_opening_what_is_no_dump_fails_in_one_line(tmp_path: Path) -> None:
    client = LocalClient()
    bad = tmp_path / "bad.dmp"
    bad.write_bytes(b"<html>not found</html>" * 10)
    for path in (str(bad), str(tmp_path / "missing.dmp"), str(tmp_path / "*.dmpx")):
        events = list(client.open(OpenRequest(dumps=[path])))
        items = [i for e in events if isinstance(e, ItemsEvent) for i in e.items]
        failures = [i for i in items if isinstance(i, Failure)]
        assert len(failures) == 1
        assert failures[0].identifier.startswith("dump.")
        assert failures[0].hint
    client.close()


def test_the_first_screen_has_at_most_twelve_lines() -> None:
    client = LocalClient()
    events = list(client.open(OpenRequest(dumps=[f"{DEMO}/practice.dmp"])))
    items = [i for e in events if isinstance(e, ItemsEvent) for i in e.items]
    screen = next(i for i in items if type(i).__name__ == "FirstScreen").text()
    assert len(screen.split("\n")) <= 12
    for words in ("User Mini Dump File", "Access violation", "Verdict", "record_sale"):
        assert words in screen
    client.close()


def test_an_interrupt_ends_a_long_command_within_half_a_second(client: LocalClient) -> None:
    timer = threading.Timer(0.2, client.interrupt)
    timer.start()
    started = time.monotonic()
    ended = list(client.execute(".sleep 0n20000; .echo never"))[-1]
    assert isinstance(ended, FinishedEvent)
    assert ended.interrupted
    assert time.monotonic() - started < 5  # the command would have taken 20 s
    assert texts(client, ".echo alive") == ["alive"]


def test_a_log_receives_what_is_shown(client: LocalClient, tmp_path: Path) -> None:
    path = tmp_path / "session.log"
    texts(client, f'.logopen "{path}"')
    texts(client, ".echo into the log")
    texts(client, ".logclose")
    assert "into the log" in path.read_text()


def test_json_has_hex_strings_and_no_headings(client: LocalClient) -> None:
    items = [i for e in client.execute("k 2") if isinstance(e, ItemsEvent) for i in e.items]
    data = json.loads(render.json_line("k 2", items[:-1], True))
    assert data["schema"] == render.SCHEMA_VERSION
    assert data["command"] == "k 2"
    rows = [i for i in data["items"] if i["type"] == "frame_row"]
    assert rows[0]["child_sp"].startswith("0x")
    assert isinstance(rows[0]["number"], int)
    assert not any(i["type"] == "heading" for i in data["items"])


def test_nothing_from_a_file_can_steer_a_terminal() -> None:
    text = render.text_of(Text(value="a\x1b[31mb\u202ec\x9bd\x00e\u2066"))
    assert "\x1b" not in text
    assert text == "a\\x1b[31mb\\u202ec\\x9bd\\x00e\\u2066"
    assert render.coloured(Heading(value="h")).startswith("\x1b[2m")
    assert render.coloured(Notice(identifier="x", value="n")).startswith("\x1b[33m")


def test_completion(client: LocalClient) -> None:
    names = [c.text for c in client.complete(".ec", 3)]
    assert ".echo" in names
    assert ".ecxr" in names
    assert [c.text for c in client.complete("u prac", 6)] == ["practice!"]
    symbols = [c.text for c in client.complete("u practice!pri", 14)]
    assert "practice!price_line" in symbols
    assert "@rax" in [c.text for c in client.complete("r @ra", 5)]


def test_completion_waits_for_no_long_reading(client: LocalClient) -> None:
    assert client.complete(".ech", 4)
    with client._host._session_lock:  # as while files that arrived are read
        assert not client.complete(".ech", 4)
    assert client.complete(".ech", 4)


@pytest.mark.parametrize("expression", ["1e999", "-1.0/0", "0.0/0.0", "(float)1e300"])
def test_floats_that_json_lacks_are_null(client: LocalClient, expression: str) -> None:
    items = [
        item
        for event in client.execute(f"?? {expression}")
        if isinstance(event, ItemsEvent)
        for item in event.items
    ]
    line = render.json_line("??", items, True)
    assert '"number": null' in line
    assert "NaN" not in line
    assert "Infinity" not in line
