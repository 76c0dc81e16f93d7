"""The reference of commands and of JSON items, made from their declarations."""

from __future__ import annotations

import inspect
import typing

from polydbg.commands.output import Item
from polydbg.commands.registry import REGISTRY
from polydbg.service.render import SCHEMA_VERSION, hex_fields, hidden_fields, type_name


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
    return "\n".join(lines) + "\n"


def index_page() -> str:
    """Return ``src/polydbg/commands/index.py``."""
    return REGISTRY.index_source()


def json_page() -> str:
    """Return ``docs/json.md``: the objects of ``--json`` and the fields of every item."""
    REGISTRY.declared()
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
        '`identifier`. Fields marked *hex* are strings (`"0x1f"`), because 64-bit numbers do not',
        "survive JavaScript; a field that is not known is `null`. New fields may be added within a",
        "version; a field changes its meaning or goes only with a new one.",
    ]
    for kind in sorted(_all_items(Item), key=type_name):
        doc = inspect.getdoc(kind) or ""
        lines += ["", f"## `{type_name(kind)}`", "", doc, ""]
        lines += ["| field | type |", "| --- | --- |"]
        hints = typing.get_type_hints(kind)
        marks = hex_fields(kind)
        for name in kind.__struct_fields__:
            if name not in hidden_fields():
                shown = str(hints[name]).replace("<class '", "").replace("'>", "")
                shown = shown.replace("|", "or")
                lines.append(f"| `{name}` | {shown}{' *hex*' if name in marks else ''} |")
    return "\n".join(lines) + "\n"


def _all_items(kind: type[Item]) -> set[type[Item]]:
    found = set()
    for child in kind.__subclasses__():
        found |= {child} | _all_items(child)
    return found
