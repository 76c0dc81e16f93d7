"""What a reader noticed and got over: data, never printed below the service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Warning:
    """*identifier* is stable for scripts (``dump.truncated``), *message* is one line."""

    identifier: str
    message: str
