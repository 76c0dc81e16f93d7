"""``.help``: every command with its syntax and an example."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Item, Text
from polydbg.commands.registry import ABSENT_FAMILY, REGISTRY, Command, command


class CommandHelp(Item, frozen=True):
    """One command of the help."""

    name: str
    aliases: tuple[str, ...]
    family: str
    summary: str
    syntax: str
    example: str
    detailed: bool

    def text(self) -> str:
        if not self.detailed:
            return f"  {self.name:12} {self.summary}"
        lines = [f"{self.name} - {self.summary}", f"  syntax:  {self.syntax}"]
        lines.append(f"  example: {self.example}")
        if self.aliases:
            lines.append(f"  also:    {', '.join(self.aliases)}")
        lines.append("  Counts and numbers are hex unless written 0n10 (see n).")
        return "\n".join(lines)


@command(
    ".help",
    summary="List the commands, or explain one.",
    syntax=".help [command]",
    example=".help k",
    family="help",
    aliases=(".hh",),
)
def help_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    word = cursor.match(r"[^\s;]+")
    if word:
        found = REGISTRY.exact(word.group())
        if found is None and word.group().startswith("!"):
            from polydbg.commands.scripting import command_of_script

            found = command_of_script(ctx.session, word.group())
        if found is None:
            from polydbg.commands.language import suggestion

            raise CommandError(
                f"no command {word.group()}",
                identifier="command.unknown",
                hint=suggestion(word.group()),
            )
        yield _item(found, detailed=True)
        return
    family = ""
    for entry in REGISTRY.commands():
        if entry.family == ABSENT_FAMILY:
            continue  # what is not there is listed by name alone, at the end
        if entry.family != family:
            family = entry.family
            yield Heading(value=f"{family.replace('_', ' ')}:")
        yield _item(entry, detailed=False)
    yield from _of_scripts(ctx)
    yield Heading(value=f"{ABSENT_FAMILY.replace('_', ' ')}:")
    yield from _absent_names()
    yield Text(value="`.help COMMAND` explains one, with an example.")


def _of_scripts(ctx: CommandContext) -> Iterator[Item]:
    """Yield the commands of loaded scripts and installed packages."""
    from polydbg.commands.scripting import declared

    found = ctx.session.scripts.commands()
    if found:
        yield Heading(value="scripts and packages:")
    for each in found:
        yield _item(declared(each), detailed=False)


def _absent_names() -> Iterator[Item]:
    """Yield one line with the commands of WinDbg that only say what to use instead."""
    entries = [entry for entry in REGISTRY.commands() if entry.family == ABSENT_FAMILY]
    names = [name for entry in entries for name in (entry.name, *entry.aliases)]
    if names:
        yield Text(value=textwrap.fill(f"  {' '.join(names)}", 79, subsequent_indent="  "))


def _item(entry: Command, *, detailed: bool) -> CommandHelp:
    return CommandHelp(
        name=entry.name,
        aliases=entry.aliases,
        family=entry.family,
        summary=entry.summary,
        syntax=entry.syntax,
        example=entry.example,
        detailed=detailed,
    )
