"""Pages of the reference that are made from tables, so that they cannot drift from the code."""

from __future__ import annotations

from collections.abc import Sequence

from polydbg.cli.options import UsageError, markdown


def page(words: Sequence[str]) -> str:
    """Return a page as Markdown. :raises UsageError: no such page."""
    match list(words):
        case ["cli"]:
            return markdown()
        case ["commands"]:
            from polydbg.service.reference import commands_page

            return commands_page()
        case ["index"]:
            from polydbg.service.reference import index_page

            return index_page()
        case ["json"]:
            from polydbg.service.reference import json_page

            return json_page()
        case _:
            raise UsageError("usage: polydbg docs cli|commands|index|json")
