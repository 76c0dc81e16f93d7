"""What a reader noticed and got over: data, never printed below the service."""

from __future__ import annotations

import msgspec


class Warning(msgspec.Struct, frozen=True):
    """*identifier* is stable for scripts (``dump.truncated``), *message* is one line."""

    identifier: str
    message: str
