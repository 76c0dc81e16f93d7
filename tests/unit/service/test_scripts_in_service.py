"""Scripts and programs through the client: lent sessions, output as it comes, -noshell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources

import pytest

from polydbg.service.api import FinishedEvent, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient

DEMO = resources.files("polydbg") / "demo"


@pytest.fixture
def client() -> Iterator[LocalClient]:
    client = LocalClient()
    yield client
    client.close()


def _request(*, programs: bool = True, dumps: Sequence[str] = ()) -> OpenRequest:
    demo = str(DEMO)
    return OpenRequest(
        dumps=dumps, symbol_path=demo, image_path=demo, programs=programs, first_screen=False
    )


def _lines(client: LocalClient, line: str) -> list[str]:
    events = list(client.execute(line))
    return [
        text
        for event in events
        if isinstance(event, ItemsEvent)
        for item in event.items
        if (text := item.text())
    ]


def test_python_sees_the_dump_of_the_client(client: LocalClient) -> None:
    list(client.open(_request(dumps=[str(DEMO / "practice.dmp")])))
    assert _lines(client, "!py session.arch, thread.ordinal") == ["('amd64', 0)"]
    assert _lines(client, "!py frame.symbol") == ["record_sale"]
    assert _lines(client, "~1s; !py thread.ordinal")[-1] == "1"


def test_python_works_without_a_dump(client: LocalClient) -> None:
    list(client.open(_request()))
    assert _lines(client, "!py session is None, 1 + 1") == ["(True, 2)"]


def test_an_interrupt_ends_a_loop_of_python(client: LocalClient) -> None:
    list(client.open(_request(dumps=[str(DEMO / "practice.dmp")])))
    events = client.execute("!py while True: print('on')")
    assert isinstance(next(events), ItemsEvent), "lines come while it runs"
    client.interrupt()
    last = list(client.pending())[-1]
    assert isinstance(last, FinishedEvent)
    assert last.interrupted
    assert _lines(client, "!py 5") == ["5"]


@pytest.mark.parametrize("line", [".shell echo x", "!!echo x", "!py 1", ".scriptrun x.py"])
def test_what_the_command_line_forbids(client: LocalClient, line: str) -> None:
    list(client.open(_request(programs=False)))
    assert "has been disabled" in _lines(client, line)[0]
