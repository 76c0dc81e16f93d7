"""The reference of commands and of JSON items, made from their declarations."""

from __future__ import annotations

import inspect
import types
import typing

from polydbg.commands.output import CommandEnd, Heading, Item, ShownItem
from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, REGISTRY, Command
from polydbg.service.render import SCHEMA_VERSION, hidden_fields, is_hex, type_name

_NOT_IN_JSON: frozenset[type[Item]] = frozenset({CommandEnd, Heading, ShownItem})
_WORDS: dict[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "true or false",
    type(None): "null",
}


def commands_page() -> str:
    """Return ``docs/commands.md``: every command with syntax and example."""
    lines = [
        "# Commands",
        "",
        "Made from the declarations by `polydbg docs commands`. Counts and numbers are hex unless",
        "written `0n10`. `.help COMMAND` shows the same at the prompt.",
    ]
    family = ""
    for entry in REGISTRY.commands():
        if entry.family != family:
            family = entry.family
            lines += ["", f"## {family.replace('_', ' ').capitalize()}"]
        names = ", ".join(f"`{n}`" for n in (entry.name, *entry.aliases))
        lines += ["", f"### {names}", "", entry.summary, ""]
        lines += ["```", entry.syntax, "", f"0:000> {entry.example}", "```"]
    lines += ["", "## Every name and its state", "", "| command | state |", "| --- | --- |"]
    lines += [
        f"| `{name.replace('|', chr(92) + '|')}` | {command_state(entry)} |"
        for name, entry in sorted(
            REGISTRY.declared().items(), key=lambda row: (row[0].lower(), row[0])
        )
    ]
    return "\n".join(lines) + "\n"


def command_state(entry: Command) -> str:
    """Return whether a command works, and what there is instead of one that does not."""
    _, _, instead = entry.example.partition("    ")
    instead = instead.replace("|", "\\|")
    if entry.family == ABSENT_FAMILY:
        return f"not yet: {instead}"
    if entry.family == LIVE_FAMILY:
        return f"not possible with a dump: {instead}"
    return "done"


def index_page() -> str:
    """Return ``src/polydbg/commands/index.py``."""
    return REGISTRY.index_source()


def json_page() -> str:
    """Return ``docs/json.md``: the objects of ``--json`` and the fields of every item."""
    REGISTRY.import_all()
    lines = [
        "# JSON output",
        "",
        f"Schema version {SCHEMA_VERSION}. Made from the declarations by `polydbg docs json`.",
        "",
        "`--json` prints one object a line for each command:",
        "",
        "```json",
        '{"schema": 1, "command": "k", "ok": true, "items": [{"type": "frame_row", ...}]}',
        "```",
        "",
        "`ok` is false when the command failed; then one item is a `failure` with a stable",
        '`identifier`. A *hex string* is a number (`"0x1f"`): 64-bit numbers do not survive',
        "JavaScript. A field that is not known is `null`, as is a float that is infinite or no",
        "number. An object inside another one has its own `type`, too. New fields may be added",
        "within a version; a field changes its meaning or goes only with a new one.",
        "",
        'What is said between commands at a prompt (files that arrived) has `"command": ""`.',
    ]
    for kind in sorted(_all_items(Item) - _NOT_IN_JSON, key=type_name):
        doc = inspect.getdoc(kind) or ""
        lines += ["", f"## `{type_name(kind)}`", "", doc, ""]
        lines += ["| field | type |", "| --- | --- |"]
        hints = typing.get_type_hints(kind, include_extras=True)
        for name in kind.__struct_fields__:
            if name not in hidden_fields():
                lines.append(f"| `{name}` | {type_words(hints[name])} |")
    return "\n".join(lines) + "\n"


def type_words(hint: object) -> str:
    """Return what a field annotated *hint* is in JSON: ``integer``, ``list of string``, ..."""
    if is_hex(hint):
        return "hex string"
    if hint in _WORDS:
        return _WORDS[hint]
    parts = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_words(part) for part in parts)
    if origin is dict:
        return f"object of {type_words(parts[1])} by name"
    if origin is tuple and parts[-1] is ...:
        inner = type_words(parts[0])
        return f"list of ({inner})" if " or " in inner else f"list of {inner}"
    if origin is tuple:
        return f"[{', '.join(map(type_words, parts))}]"
    if isinstance(hint, type) and issubclass(hint, Item):
        return f"`{type_name(hint)}`"
    raise TypeError(f"{hint} has no place in JSON")


def _all_items(kind: type[Item]) -> set[type[Item]]:
    found = set()
    for child in kind.__subclasses__():
        found |= {child} | _all_items(child)
    return found
