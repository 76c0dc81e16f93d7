"""Types of the fixtures."""

from __future__ import annotations

from collections.abc import Callable

from polydbg.commands.output import Item

Run = Callable[[str], list[str]]
Items = Callable[[str], list[Item]]
