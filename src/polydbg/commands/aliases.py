"""``as``, ``aS``, ``ad``, ``al``: names for text in command lines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.host_files import host_text
from polydbg.commands.output import Heading, Item, ShownItem, Text, gathered
from polydbg.commands.registry import command
from polydbg.engine.aliases import MAX_TEXT
from polydbg.engine.target_strings import counted_string, terminated_string

_SWITCH = re.compile(r"[ \t]*/(ma|mu|msa|msu|x|e|c|f)(?=[ \t])")
_FROM_TARGET = ("ma", "mu", "msa", "msu", "c")
_MAX_FILE = MAX_TEXT


class AliasRow(ShownItem, frozen=True):
    """A user-named alias."""

    name: str
    value: str


@command(
    "as",
    summary="Give a name to text, a value, a string of the target, a file or output.",
    syntax="as name rest of the line | as /x name expression | /e name variable | "
    "/ma /mu /msa /msu name address | /f name file | /c name commands",
    example="as /x top poi(@rsp); .block { .echo ${top} }",
    family="control",
)
def set_alias(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _define(ctx, cursor, takes_line=True)


@command(
    "aS",
    summary="Give a name to text up to the next semicolon, or as with the switches of as.",
    syntax='aS name text | aS name "text" | the switches of as',
    example='aS hello ".echo hi"; .block { hello }',
    family="control",
)
def set_alias_phrase(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _define(ctx, cursor, takes_line=False)


def _define(ctx: CommandContext, cursor: Cursor, *, takes_line: bool) -> Iterator[Item]:
    found = _SWITCH.match(cursor.text, cursor.position)
    switch = found[1] if found else ""
    cursor.position = found.end() if found else cursor.position
    name = _name(cursor)
    if switch:
        text = _switched(ctx, cursor, switch)
    elif takes_line:
        cursor.match(r"[ \t]")
        text = cursor.rest_of_line()
    else:
        cursor.skip_blanks()
        quoted = cursor.match(r'"([^"]*)"')
        text = quoted[1] if quoted else cursor.rest()
    is_foreign = switch in _FROM_TARGET or ctx.flow.foreign > 0
    if not ctx.session.aliases.define(name, text, is_foreign=is_foreign):
        raise CommandError("the alias is too long, or there are too many", identifier="alias.full")
    yield from ()


def _name(cursor: Cursor) -> str:
    """Read the name, in ``${/v:name}`` perhaps. :raises CommandError: there is none."""
    cursor.skip_blanks()
    found = cursor.match(r"\$\{/v:([^{}\s]+)\}|([^\s;\"]+)")
    name = (found[1] or found[2]) if found else ""
    if not name or re.match(r"(?:as|aS|al|ad)$", name):
        cursor.position += 1
        raise cursor.error("Syntax error", hint="as NAME TEXT")
    return name


def _switched(ctx: CommandContext, cursor: Cursor, switch: str) -> str:
    match switch:
        case "x":
            value = ctx.expression(cursor)
            return f"0x{value:x}"
        case "e":
            return os.environ.get(cursor.word(), "")
        case "f":
            return host_text(cursor.rest(), _MAX_FILE)
        case "c":
            return gathered(ctx.run(cursor.rest_of_line()), MAX_TEXT)
    address = ctx.expression(cursor)
    read = counted_string if switch.startswith("ms") else terminated_string
    try:
        return read(ctx.system, address, wide=switch.endswith("u"))
    except MemoryReadError as error:
        raise CommandError(
            f"Unable to read the string at {address:#x}", identifier="memory.absent"
        ) from error


@command(
    "ad",
    summary="Delete an alias, or all (*).",
    syntax="ad [/q] name | ad *",
    example="ad *",
    family="control",
)
def delete_alias(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    quiet = cursor.match(r"[ \t]*/q(?=[ \t])") is not None
    name = _name(cursor)
    if name == "*":
        ctx.session.aliases.clear()
    elif not ctx.session.aliases.delete(name) and not quiet:
        raise cursor.error("No information found error")
    yield from ()


@command(
    "al",
    summary="List the aliases.",
    syntax="al",
    example="al",
    family="control",
)
def list_aliases(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    rows = list(ctx.session.aliases)
    if not rows:
        yield Text(value="No aliases")
        return
    yield Heading(value="  Alias            Value  ")
    yield Heading(value=" -------          ------- ")
    for name, value in rows:
        name, value = sanitise_line(name), sanitise_line(value)
        yield AliasRow(name=name, value=value, shown=f" {name:<16} {value} ")
