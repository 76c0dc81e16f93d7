"""``.nvload`` and its like: files of views.

Shapes of ``.nvload`` and ``.nvlist`` are the engine's; the files that polydbg brings along are
listed after those that were loaded, and can be unloaded like them.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.engine.views.files import LoadedFile

_FAMILY = "variables"
_MAX_LISTED = 8


class ViewFile(ShownItem, frozen=True):
    """A file of views: its *path*, how many *types* it has views of, whether polydbg brought it
    along, and the elements in it that are not applied, as ``NAME (line N)``."""

    path: str
    types: int
    is_own: bool
    unsupported: tuple[str, ...]


def _row(file: LoadedFile) -> ViewFile:
    unsupported = tuple(
        f"{sanitise_line(each.name)} (line {each.line})" for each in file.content.unsupported
    )
    path = sanitise_line(file.path)
    return ViewFile(
        path=path,
        types=len(file.content.types),
        is_own=file.is_own,
        unsupported=unsupported,
        shown=f"    {path}",
    )


def _file_name(cursor: Cursor) -> str:
    """Read the name of a file, in quotes or up to the end of the command.

    :raises CommandError: there is none.
    """
    name = cursor.rest().strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]
    if not name:
        raise cursor.error("Syntax error", hint="name a file: .nvload my.natvis; .nvlist lists")
    return name


@command(
    ".nvload",
    summary="Load the views of types that a NatVis file has; anew if it is loaded already.",
    syntax=".nvload file",
    example=".nvload app.natvis",
    family=_FAMILY,
)
def load_views(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    loaded = ctx.session.presenter.load(_file_name(cursor))
    yield Text(value=f'Successfully loaded visualizers in "{sanitise_line(loaded.path)}"')
    unsupported = _row(loaded).unsupported
    if unsupported:
        more = ", ..." if len(unsupported) > _MAX_LISTED else ""
        listed = ", ".join(unsupported[:_MAX_LISTED])
        yield Notice(identifier="view.unsupported", value=f"not applied: {listed}{more}")


@command(
    ".nvlist",
    summary="List the files whose views of types are in force.",
    syntax=".nvlist",
    example=".nvlist",
    family=_FAMILY,
)
def list_views(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield Heading(value="Loaded NatVis Files:")
    files = ctx.session.presenter.all_files()
    for each in files:
        yield _row(each)
    if not files:
        yield Text(value="    <None Loaded>")


@command(
    ".nvunload",
    summary="Unload a file of views, by its path or its name.",
    syntax=".nvunload file",
    example=".nvunload libstdcxx.natvis",
    family=_FAMILY,
)
def unload_views(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    name = _file_name(cursor)
    gone = ctx.session.presenter.unload(name)
    if gone is None:
        raise CommandError(
            f'no visualizers of "{sanitise_line(name)}" are loaded',
            identifier="view.not-loaded",
            hint=".nvlist lists the files",
        )
    yield _unloaded(gone)


@command(
    ".nvunloadall",
    summary="Unload all views of types, those that polydbg brings along too.",
    syntax=".nvunloadall",
    example=".nvunloadall    objects are then shown by their members",
    family=_FAMILY,
)
def unload_all_views(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    for each in ctx.session.presenter.unload_all():
        yield _unloaded(each)


def _unloaded(file: LoadedFile) -> Text:
    return Text(value=f'Successfully unloaded visualizers in "{sanitise_line(file.path)}"')
