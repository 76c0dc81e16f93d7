"""``ls``, ``lsa``, ``lsc``, ``lsf``, ``lsp``: source text, found by the source path."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Notice, Text
from polydbg.commands.registry import command
from polydbg.engine.source_servers import FoundSource, find_source
from polydbg.engine.source_view import SourceText, SourceView
from polydbg.engine.stack import inlined_at
from polydbg.symbols.store import SymbolPath
from polydbg.symbols.store.hostpath import host_path
from polydbg.symbols.store.path import ElementKind

_MAX_COUNT = 1 << 20


class SourceListing(Item, frozen=True):
    """Lines of a source file: *first* is the number of the first, *current* the marked one or 0,
    *differs* says that the file is not the one that was compiled."""

    file: str
    first: int
    current: int
    lines: tuple[str, ...]
    differs: bool = False

    def text(self) -> str:
        return "\n".join(
            f"{'>' if number == self.current else ' '}{number:5}: {line}"
            for number, line in enumerate(self.lines, self.first)
        )


def source_line_at(ctx: CommandContext, address: int) -> tuple[str, int] | None:
    """Return the recorded file and line of the instruction at *address*: the innermost inlined
    call's, else its function's."""
    system = ctx.system
    for site in reversed(inlined_at(system, address)):
        if site.file and site.line:
            return site.file, site.line
    row = system.modules.line_at(address)
    return (row.file, row.line) if row is not None else None


def source_listing(
    ctx: CommandContext, recorded: str, line: int, address: int, around: tuple[int, int]
) -> SourceListing | None:
    """Return the lines around the one of *address*, marked, *around* before and behind it; ``None``
    where this host does not have the file."""
    found = find_source(ctx.session, ctx.system, recorded, address)
    if found.path is None:
        return None
    view = ctx.session.files.sources
    view.note_difference(found.path, differs=found.differs)
    leading, trailing = around
    return _listing(view, view.open(found.path), max(1, line - leading), line + trailing, line)


def _listing(
    view: SourceView, text: SourceText, first: int, last: int, current: int = 0
) -> SourceListing:
    lines = text.lines[first - 1 : last]
    return SourceListing(
        file=str(text.path),
        first=first,
        current=current,
        lines=tuple(sanitise(line) for line in lines),
        differs=view.differs(text.path),
    )


def _open_at(ctx: CommandContext, address: int) -> int:
    """Make the source of *address* current and return its line.

    :raises CommandError: it has no line, or its file is not on this host.
    """
    where = source_line_at(ctx, address) if ctx.session.settings.lines else None
    if where is None:
        raise CommandError(
            f"No line information for {address_text(address, ctx.system.pointer_size)}",
            identifier="source.no-line",
            hint="lines need DWARF or a private PDB: !sym why says what was found; .lines -e; "
            ".frame N chooses a frame of k that has lines",
        )
    return _open(ctx, *where, address)


def _open_scope(ctx: CommandContext) -> int:
    """Make the source of the chosen frame current and return its line: that of an inlined call
    where such a row was chosen.

    :raises CommandError: as :func:`_open_at`, or there is no stack.
    """
    frame = ctx.session.current_frame(ctx.cancel)
    if frame is None:
        raise CommandError(
            "No current source file", identifier="source.no-scope", hint="lsf FILE, or lsa ADDRESS"
        )
    if not (ctx.session.settings.lines and frame.file and frame.line):
        return _open_at(ctx, frame.frame.lookup_pc)
    return _open(ctx, frame.file, frame.line, frame.frame.lookup_pc)


def _open(ctx: CommandContext, recorded: str, line: int, address: int) -> int:
    view = ctx.session.files.sources
    found = find_source(ctx.session, ctx.system, recorded, address)
    if found.path is None:
        raise _not_found(recorded, found)
    view.file = view.open(found.path)
    view.next_line = line
    view.note_difference(found.path, differs=found.differs)
    return line


def _not_found(recorded: str, found: FoundSource) -> CommandError:
    if found.host:
        return CommandError(
            sanitise_line(
                f"Unable to find source file {recorded}: being fetched from {found.host}"
            ),
            identifier="source.pending",
            hint="try again when it is there; !sym status shows how far it is",
        )
    return CommandError(
        sanitise_line(f"Unable to find source file {recorded}: {'; '.join(found.reasons)}"),
        identifier="source.not-found",
        hint=".srcpath+ DIR, where DIR holds it or the tree it was built from; .srcpath+ FROM=DIR "
        "says where a recorded folder lies here; .srcfix follows the links of PDBs",
    )


def source_at_stop(ctx: CommandContext, address: int) -> Iterator[Item]:
    """Yield the line of *address* as ``l+s`` puts it before a stop display, nothing where this host
    does not have it."""
    where = source_line_at(ctx, address) if ctx.session.settings.lines else None
    if where is None:
        return
    try:
        listing = source_listing(ctx, *where, address, (0, 0))
    except CommandError:
        return
    if listing is not None and listing.lines:
        yield from _difference(ctx.session.files.sources, Path(listing.file))
        yield listing


def _difference(view: SourceView, path: Path | None = None) -> Iterator[Item]:
    """Say once of a file, by default the current one, that it is not the one that was compiled."""
    if path is None and view.file is not None:
        path = view.file.path
    if path is not None and view.is_news(path):
        yield Notice(
            identifier="source.differs",
            value=sanitise_line(
                f"*** WARNING: {path} is not the file that was compiled (its checksum differs): "
                "lines may be off"
            ),
        )


def _first_and_count(cursor: Cursor) -> tuple[int | None, int | None]:
    """Read ``[first][, count]``, decimal."""
    found = cursor.match(r"[ \t]*(\d+)?[ \t]*(?:,[ \t]*(\d+))?")
    first, count = found.groups() if found else (None, None)
    for digits in (first, count):
        if digits and len(digits) > 9:
            raise cursor.error("Range error")
    return int(first) if first else None, min(int(count), _MAX_COUNT) if count else None


def _show(view: SourceView, first: int, count: int, current: int = 0) -> SourceListing:
    text = view.file
    if text is None:
        raise CommandError("No current source file", hint="lsf FILE, or lsa ADDRESS")
    first = max(1, first)
    if first > len(text.lines):
        raise CommandError(
            f"Line {first} is past the end of {sanitise(str(text.path))}, "
            f"which has {len(text.lines)}",
            identifier="source.past-end",
            hint="ls 1 begins at the top",
        )
    shown = _listing(view, text, first, first + count - 1, current)
    view.next_line = first + len(shown.lines)
    return shown


@command(
    "ls",
    summary="List source lines of the current file; without a line it goes on.",
    syntax="ls [.] [first][, count]",
    example="ls 60, 20    lines and counts are decimal; ls . goes to the line of the frame",
    family="source",
)
def list_source(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.session.files.sources
    scope = cursor.match(r"[ \t]*\.") is not None
    first, count = _first_and_count(cursor)
    if view.file is None or scope:
        line = _open_scope(ctx)
        if first is None:
            first = max(1, line - view.leading)
    yield from _difference(view)
    yield _show(view, view.next_line if first is None else first, count or view.count)


@command(
    "lsa",
    summary="List the source around an address and mark its line.",
    syntax="lsa . | lsa address[, first[, count]]",
    example="lsa .    the line of the chosen frame, 4 before, 5 after; lsp -a changes that",
    family="source",
)
def list_source_at(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.session.files.sources
    cursor.match(r"[ \t]*\.[ \t]+(?=[^\s,;])")
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'")
    scope = cursor.match(r"[ \t]*\.(?=[ \t]*(?:[,;]|$))") is not None
    address = None if scope else ctx.expression(cursor)
    first = count = None
    if cursor.match(r"[ \t]*,"):
        first, count = _first_and_count(cursor)
    line = _open_scope(ctx) if address is None else _open_at(ctx, address)
    start = max(1, line - view.leading) if first is None else first
    last = line + view.trailing
    yield from _difference(view)
    yield _show(view, start, count or (view.count if first else last - start + 1), line)


@command(
    "lsc",
    summary="Say which source file and line are current.",
    syntax="lsc",
    example="lsc",
    family="source",
)
def current_source(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.session.files.sources
    if view.file is None:
        yield Text(value="No current source file")
        yield Notice(
            identifier="source.none",
            value="    lsa . opens the source of the current frame, lsf FILE any other",
        )
        return
    yield Text(value=sanitise(f"Current: {view.file.path}({view.next_line})"))


@command(
    "lsf",
    summary="Make a source file current, or forget it (lsf-).",
    syntax="lsf file | lsf- [file]",
    example="lsf orders.c; ls 1",
    family="source",
)
def load_source(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.session.files.sources
    if cursor.take("-"):
        cursor.rest()
        view.file = None
        return
    if cursor.at_end:
        raise cursor.error("Syntax error", hint="lsf FILE")
    name = cursor.rest().strip('"')
    path = _named_source(ctx, name)
    if path is None:
        raise CommandError(
            f"Unable to find source file {name}",
            identifier="source.not-found",
            hint=".srcpath+ DIR, where DIR holds it",
        )
    view.file = view.open(path)
    view.next_line = 1
    yield from ()


def _named_source(ctx: CommandContext, name: str) -> Path | None:
    """Return a file that the user named: as it stands, in a folder of the path, or by suffix."""
    settings = ctx.session.settings
    direct = host_path(name)
    if direct is None:
        return ctx.session.files.sources.find(name, settings.source_path)
    folders = [
        root
        for element in SymbolPath.parse(settings.source_path).elements
        if element.kind is ElementKind.DIRECTORY and (root := host_path(element.stores[0]))
    ]
    for candidate in (direct, *(folder / direct for folder in folders)):
        if os.path.isfile(candidate):
            return candidate
    return ctx.session.files.sources.find(name, settings.source_path)


@command(
    "lsp",
    summary="Show or set how many lines lsa (-a) shows.",
    syntax="lsp [-a] [leading trailing | total]",
    example="lsp -a 2 3",
    family="source",
)
def source_count(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    view = ctx.session.files.sources
    cursor.match(r"[ \t]*-a\b")
    found = cursor.match(r"[ \t]*(\d{1,6})(?:[ \t,]+(\d{1,6}))?")
    if found:
        first, second = found.groups()
        if second is None:
            # Shared out evenly; of an odd rest the lines behind get the larger part.
            around = max(0, int(first) - 1)
            view.leading, view.trailing = around // 2, around - around // 2
        else:
            view.leading, view.trailing = int(first), int(second)
    yield Text(
        value=f"For lsa, {view.leading} lines before and {view.trailing} lines after are shown"
    )
