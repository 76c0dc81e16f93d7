"""The pages made from the declarations."""

from __future__ import annotations

import pytest

from polydbg.commands.output import Failure, Hex
from polydbg.service.reference import json_page, type_words


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (str, "string"),
        (bool, "true or false"),
        (Hex, "hex string"),
        (Hex | None, "hex string or null"),
        (tuple[str, ...], "list of string"),
        (tuple[Hex | None, ...], "list of (hex string or null)"),
        (tuple[tuple[str, int], ...], "list of [string, integer]"),
        (dict[str, Hex], "object of hex string by name"),
        (tuple[Failure, ...], "list of `failure`"),
    ],
)
def test_type_words(hint: object, words: str) -> None:
    assert type_words(hint) == words


def test_json_page_lists_what_json_holds() -> None:
    page = json_page()
    assert "## `frame_row`" in page
    assert "## `failure`" in page
    assert "`heading`" not in page
    assert "`command_end`" not in page
    assert "tuple" not in page


def test_no_field_hides_the_type_of_an_item() -> None:
    """``type`` in JSON is the item's own: a field of that name would take its place."""
    assert "| `type` |" not in json_page()
