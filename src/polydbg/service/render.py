"""Renderings of items: text for people, JSON for programs, colour for terminals."""

from __future__ import annotations

import math
import re
import typing
from functools import cache

import msgspec

from polydbg.base.text import sanitise
from polydbg.commands.output import Failure, Heading, Item, Notice

SCHEMA_VERSION = 1
"""Version of the JSON objects; see docs/json.md."""

_SNAKE = re.compile(r"(?<!^)(?=[A-Z])")
_HIDDEN = frozenset({"shown", "prompt_width", "detailed", "pointer_size"})


def text_of(item: Item) -> str:
    """Return the item as text; nothing in it can steer a terminal."""
    return sanitise(item.text())


def coloured(item: Item) -> str:
    """Return the item as text with ANSI colours by its type."""
    text = text_of(item)
    if isinstance(item, Failure):
        return f"\x1b[31m{text}\x1b[0m"
    if isinstance(item, Notice):
        return f"\x1b[33m{text}\x1b[0m"
    if isinstance(item, Heading):
        return f"\x1b[2m{text}\x1b[0m"
    return text


def json_of(item: Item) -> dict[str, object]:
    """Return the item as plain data: its type in snake case, its fields, big numbers in hex."""
    data = _plain(item)
    assert isinstance(data, dict)
    return data


def json_line(command: str, items: list[Item], ok: bool) -> str:
    """Return the one-line JSON object of a command."""
    import json

    return json.dumps(
        {
            "schema": SCHEMA_VERSION,
            "command": command,
            "ok": ok,
            "items": [json_of(i) for i in items if not isinstance(i, Heading)],
        },
        ensure_ascii=True,
        allow_nan=False,
    )


@cache
def hex_fields(kind: type) -> frozenset[str]:
    """Return the names of fields whose annotation holds the hex mark."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _holds_hex(hint))


def _holds_hex(hint: object) -> bool:
    return is_hex(hint) or any(_holds_hex(a) for a in typing.get_args(hint))


def is_hex(hint: object) -> bool:
    """Return whether an annotation is :data:`~polydbg.commands.output.Hex` itself."""
    metadata = getattr(hint, "__metadata__", ())
    return any(isinstance(m, msgspec.Meta) and (m.extra or {}).get("hex") for m in metadata)


def hidden_fields() -> frozenset[str]:
    """Return the names of fields that serve the text alone and are left out of JSON."""
    return _HIDDEN


def type_name(kind: type) -> str:
    """Return the ``type`` of an item's JSON object: its class name in snake case."""
    return _SNAKE.sub("_", kind.__name__).lower()


def _plain(value: object, as_hex: bool = False) -> object:
    if isinstance(value, msgspec.Struct):
        marked = hex_fields(type(value))
        fields = {
            f: _plain(getattr(value, f), f in marked)
            for f in value.__struct_fields__
            if f not in _HIDDEN
        }
        return {"type": type_name(type(value)), **fields}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # JSON has no word for others
    if isinstance(value, int):
        return f"{'-' if value < 0 else ''}{abs(value):#x}" if as_hex else value
    if isinstance(value, dict):
        return {str(k): _plain(v, as_hex) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, as_hex) for v in value]
    return str(value)
