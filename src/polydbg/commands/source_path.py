"""``.srcpath``, ``.srcfix`` and their forms for a client, ``.lsrcpath``, ``.lsrcfix``: where source
files are looked for. Client and session are one, so that both forms are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Notice
from polydbg.commands.registry import command
from polydbg.commands.symbol_path import access_errors, changed_path, path_item
from polydbg.symbols.store import SymbolPath
from polydbg.symbols.store.sources import check_source_path

_LINKS = "SRV*"


@command(
    ".srcpath",
    summary="Show or set where source files are looked for; + adds to it.",
    syntax=".srcpath[+] [dir | from=dir | SRV* | DebugInfoD*url; ...]",
    example=".srcpath+ C:\\build\\app=/src/app    C:\\build\\app\\a.c is found as /src/app/a.c",
    family="symbols",
    aliases=(".lsrcpath",),
)
def source_path(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    changed = changed_path(SymbolPath.parse(settings.source_path), cursor)
    if changed is not None:
        settings.source_path = changed.text
        yield from access_errors(".srcpath", check_source_path(changed))
    path = SymbolPath.parse(settings.source_path)
    yield path_item(ctx.session, "Source", path, check_source_path(path))


@command(
    ".srcfix",
    summary="Fetch sources from where PDBs say that they lie; + adds that to the source path.",
    syntax=".srcfix[+] [dir; ...]",
    example=".srcfix    the addresses are those of the makers of the modules",
    family="symbols",
    aliases=(".lsrcfix",),
)
def source_fix(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    before = SymbolPath.parse(settings.source_path)
    append = cursor.take("+")
    given = changed_path(SymbolPath.parse(""), cursor)
    path = before if append else SymbolPath.parse("")
    for text in (_LINKS, given.text if given is not None else ""):
        path = path.appended(text)
    settings.source_path = path.text
    yield from access_errors(".srcfix", check_source_path(path))
    if settings.offline:
        yield Notice(identifier="source.offline", value="offline: no server is asked (!sym online)")
