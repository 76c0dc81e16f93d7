"""What is said between commands, as text and as JSON."""

from __future__ import annotations

import io
import json

from polydbg.cli.printer import Printer
from polydbg.commands.output import Notice

SAID = Notice(identifier="symbols.arrived", value="Symbols of app arrived")


def shown(*, as_json: bool) -> str:
    out = io.StringIO()
    Printer(out, colour=False, as_json=as_json).show([SAID])
    return out.getvalue()


def test_as_text() -> None:
    assert shown(as_json=False) == "Symbols of app arrived\n"


def test_as_json_it_is_a_line_of_no_command() -> None:
    line = json.loads(shown(as_json=True))
    assert line["command"] == ""
    assert line["ok"] is True
    assert [item["identifier"] for item in line["items"]] == ["symbols.arrived"]
