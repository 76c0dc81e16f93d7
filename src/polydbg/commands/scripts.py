"""``$<``, ``$><``, ``$$<``, ``$$><``, ``$$>a<``: files of commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.host_files import host_text
from polydbg.commands.output import Item, Text
from polydbg.commands.registry import command

_MAX_FILE = 1 << 20
_ARGUMENT = re.compile(r'"([^"]*)"|([^\s;"]+)')


def _read(name: str) -> list[str]:
    """Return the lines of a file of commands. :raises CommandError: it cannot be read."""
    if not name:
        raise CommandError("Filename expected", identifier="script.no-name", hint="$$>< FILE")
    return host_text(name, _MAX_FILE).splitlines()


def _line_by_line(ctx: CommandContext, name: str) -> Iterator[Item]:
    """Run each line by itself, shown before its output as if it was typed."""
    for line in _read(name):
        ctx.cancel.check()
        if line.strip():
            yield Text(value=f"{ctx.session.prompt}{line}")
            yield from ctx.run(line)


def _as_one(ctx: CommandContext, name: str, arguments: list[str] | None = None) -> Iterator[Item]:
    """Run the whole file as one block, its lines joined by semicolons."""
    text = ";".join(line for line in _read(name) if line.strip())
    if arguments is None:
        yield from ctx.run(text)
        return
    values = {f"$arg{number}": value for number, value in enumerate(arguments, 1)}
    values["$argcount"] = str(len(arguments))
    with ctx.session.aliases.variables(values):
        yield from ctx.run(text)


@command(
    "$<",
    summary="Run a file of commands, line by line; the rest of the line is its name.",
    syntax="$<file",
    example="$<commands.txt",
    family="control",
    rest_of_line=True,
)
def run_file(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _line_by_line(ctx, cursor.rest_of_line().strip())


@command(
    "$><",
    summary="Run a file of commands as one block; the rest of the line is its name.",
    syntax="$><file",
    example="$><commands.txt",
    family="control",
    rest_of_line=True,
)
def run_file_as_one(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _as_one(ctx, cursor.rest_of_line().strip())


@command(
    "$$<",
    summary="Run a file of commands, line by line; other commands may follow.",
    syntax="$$<file",
    example="$$<commands.txt; k",
    family="control",
)
def run_file_and_go_on(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _line_by_line(ctx, cursor.rest().strip('"'))


@command(
    "$$><",
    summary="Run a file of commands as one block; other commands may follow.",
    syntax="$$><file",
    example="$$><commands.txt; k",
    family="control",
)
def run_file_as_one_and_go_on(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _as_one(ctx, cursor.rest().strip('"'))


@command(
    "$$>a<",
    summary="Run a file of commands with arguments: ${$arg1} and so on stand for them.",
    syntax="$$>a<file argument ...",
    example="$$>a<show.txt 11fc70 4",
    family="control",
)
def run_file_with_arguments(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    words = [
        found[1] if found[1] is not None else found[2]
        for found in _ARGUMENT.finditer(cursor.rest())
    ]
    yield from _as_one(ctx, words[0] if words else "", words[1:])
