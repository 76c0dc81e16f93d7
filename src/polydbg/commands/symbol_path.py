"""``.sympath``, ``.exepath``, ``.symopt``, ``!sym``: where files are looked for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import msgspec

from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import REGISTRY, command
from polydbg.engine.reload import refresh_all
from polydbg.engine.session import Session
from polydbg.engine.settings import LOAD_ANYTHING, LOAD_LINES, SYMBOL_OPTIONS, Settings
from polydbg.symbols.store import PathCheck, SymbolPath
from polydbg.symbols.store.path import is_url

_EXACT_SYMBOLS = 0x400
_NO_PROMPTS = 0x80000
_NOISY = 0x80000000
_OF_ENVIRONMENT = "DEBUGINFOD_URLS: "
_TABLE = "************* Path validation summary **************"
_COLUMNS = f"{'Response':<33}{'Time (ms)':<14}Location"
_PATH_CHARACTER = re.compile(r"[/\\:*~%]")


class PathRow(Item, frozen=True):
    """A row of the path check: *status* is ``OK``, ``Error`` or ``Deferred`` (of servers, which are
    asked for files only); *reason* says of an error what is wrong, of a server why it gave nothing
    when it was asked last."""

    element: str
    status: str
    milliseconds: int
    reason: str

    @classmethod
    def of(cls, check: PathCheck) -> PathRow:
        return cls(
            element=check.element,
            status=check.status,
            milliseconds=check.milliseconds,
            reason=check.reason,
        )


class SearchPath(ShownItem, frozen=True):
    """A search path as typed and with defaults filled in, and what its elements are worth."""

    kind: str
    path: str
    expanded: str
    elements: tuple[PathRow, ...]


class SymbolOptions(Item, frozen=True):
    """The bits of ``.symopt`` and the names of those that are set."""

    value: Hex
    names: tuple[str, ...]

    def text(self) -> str:
        rows = [f"  0x{bit:08x} - {name}" for bit, name in _set_bits(self.value)]
        return "\n".join([f"Symbol options are {self.value:#x}:", *rows])


def _set_bits(value: int) -> list[tuple[int, str]]:
    return [(bit, name) for bit, name in SYMBOL_OPTIONS.items() if value & bit]


# -- paths ---------------------------------------------------------------------------------------


def read_path(cursor: Cursor) -> str:
    """Read a search path, whose elements are separated by ``;`` as commands are.

    The path ends at the end of the line, or at a ``;`` with a command behind it: a meta or
    extension command that exists, or behind a blank any command that is no existing folder.
    """
    cursor.skip_blanks()
    start = cursor.position
    end = len(cursor.text)
    for found in re.finditer(";", cursor.text[start:]):
        following = cursor.text[start + found.end() :]
        if _is_command(following):
            end = start + found.start()
            break
    cursor.position = end
    return cursor.text[start:end].strip()


def _is_command(text: str) -> bool:
    segment = text.split(";", 1)[0]
    word = re.match(r"\s*([.!][A-Za-z_]+[+-]?)", segment)
    if word:
        name = word[1]
        return REGISTRY.is_name(name) or REGISTRY.is_name(name.rstrip("+-"))
    bare = segment.strip()
    if re.match(r"\*(\s|$)|~[*#.\d]", bare):
        return True
    if not bare or not segment[0].isspace() or _PATH_CHARACTER.search(bare.split()[0]):
        return False
    return REGISTRY.longest_prefix(bare) is not None and not os.path.exists(bare)


def path_item(
    session: Session, kind: str, path: SymbolPath, checks: Sequence[PathCheck] | None = None
) -> SearchPath:
    """Return the lines of a path and its *checks*, by default those of a path of symbols, with the
    servers of the environment. *kind* is ``Symbol`` or the like."""
    checks = path.check() if checks is None else checks
    checks = [_shown(check) for check in _with_servers(session, path, checks)]
    text, expanded = (_without_secrets(each) for each in (path.text, path.expanded))
    title = f"{kind} search path is: "
    lines = [title + (sanitise_line(text) or "<empty>")]
    if kind != "Source":
        lines.append(f"Expanded {title}{sanitise_line(expanded) or '<empty>'}")
    lines += check_lines(checks)
    return SearchPath(
        kind=kind.lower(),
        path=text,
        expanded=expanded,
        elements=tuple(PathRow.of(check) for check in checks),
        shown="\n".join(lines),
    )


def _with_servers(
    session: Session, path: SymbolPath, checks: Sequence[PathCheck]
) -> Iterator[PathCheck]:
    """Yield *checks*, those of servers with what kept them from answering in this session, then
    the servers of ``DEBUGINFOD_URLS``."""
    for element, check in zip(path.elements, checks, strict=True):
        urls = [store for store in element.stores if is_url(store)]
        yield msgspec.structs.replace(check, reason=_failure(session, urls) or check.reason)
    for url in session.settings.debuginfod_urls:
        name = f"{_OF_ENVIRONMENT}{url}"
        yield PathCheck(name, "Deferred", 0, _failure(session, [url]))


def _failure(session: Session, urls: Sequence[str]) -> str:
    if urls and session.settings.offline:
        return "offline: no server is asked (!sym online)"
    failures = (session.files.downloads.failure_of(url) for url in urls)
    return next(filter(None, failures), "")


def _without_secrets(text: str) -> str:
    """Return a path without the passwords that addresses in it may have."""
    if "://" not in text:
        return text
    from polydbg.symbols.download.addresses import redacted

    return redacted(text)


def _shown(check: PathCheck) -> PathCheck:
    return msgspec.structs.replace(check, element=_without_secrets(check.element))


def check_lines(checks: Sequence[PathCheck]) -> list[str]:
    """Return the table of a path check, without rows nothing; a server that failed in this session
    has a line more."""
    if not checks:
        return []
    lines = ["", _TABLE, _COLUMNS]
    for check in checks:
        lines.append(sanitise_line(check.row))
        if check.reason and check.status == "Deferred":
            lines.append(sanitise_line(f"    {check.reason}"))
    return lines


def access_errors(command_name: str, checks: Sequence[PathCheck]) -> Iterator[Item]:
    """Yield a line for each element that cannot be used."""
    for check in map(_shown, checks):
        if check.reason:
            yield Notice(
                identifier="path.not-accessible",
                value=sanitise_line(
                    f"Error: Execute {command_name}(+) command attempts to access "
                    f"'{check.element}' failed: {check.reason}"
                ),
            )


def changed_path(path: SymbolPath, cursor: Cursor) -> SymbolPath | None:
    """Read ``[+] [path]``; return the new path, ``None`` when it is only to be shown."""
    append = cursor.take("+")
    text = read_path(cursor)
    if not text:
        return None
    return path.appended(text) if append else SymbolPath.parse(text)


@command(
    ".sympath",
    summary="Show or set where symbols are looked for; + adds to it.",
    syntax=".sympath[+] [dir | srv*cache*store | cache*dir; ...]",
    example=".sympath+ /symbols;srv*/cache*/mnt/symbols",
    family="symbols",
)
def symbol_path(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    changed = changed_path(settings.symbol_path, cursor)
    if changed is not None:
        settings.symbol_path = changed
        yield from access_errors(".sympath", changed.check())
        refresh_all(ctx.session)
    yield path_item(ctx.session, "Symbol", settings.symbol_path)


@command(
    ".symfix",
    summary="Set the symbol path to Microsoft's server, with a local store; + adds it.",
    syntax=".symfix[+] [store]",
    example=".symfix+ /symbols",
    family="symbols",
)
def symbol_fix(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    append = cursor.take("+")
    fixed = SymbolPath.for_symfix(cursor.string_or_word())
    settings.symbol_path = settings.symbol_path.appended(fixed.text) if append else fixed
    refresh_all(ctx.session)
    yield from ()


@command(
    ".exepath",
    summary="Show or set where images (programs and libraries) are looked for; + adds to it.",
    syntax=".exepath[+] [dir or file; ...]",
    example=".exepath+ /builds/42    x64 unwind data is in the images",
    family="symbols",
)
def image_path(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    changed = changed_path(settings.image_path, cursor)
    if changed is not None:
        settings.image_path = changed
        yield from access_errors(".exepath", changed.check())
        refresh_all(ctx.session)
    yield path_item(ctx.session, "Executable image", settings.image_path)


class SysrootRow(Item, frozen=True):
    """A root file system and what was noticed of it so far."""

    path: str
    notes: tuple[str, ...]

    def text(self) -> str:
        return "\n".join([f"  {self.path}", *(f"    {note}" for note in self.notes)])


@command(
    ".sysroot",
    summary="Show or set the file systems that a Linux process ran in; + adds one.",
    syntax=".sysroot[+] [dir | archive; ... | -]",
    example=".sysroot+ image.tar    what docker save wrote; - forgets them all",
    family="symbols",
)
def sysroot(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    """Files of an ELF module are looked for in each at the path that the process had mapped."""
    from polydbg.engine.sysroots import checked_roots

    settings, roots = ctx.session.settings, ctx.session.files.sysroots
    append = cursor.take("+")
    text = read_path(cursor)
    if text:
        kept = settings.sysroots if append else ()
        given = [] if text == "-" else [part.strip() for part in text.split(";")]
        settings.sysroots = checked_roots([*kept, *(part for part in given if part)])
        roots.forget()
        refresh_all(ctx.session)
    if not settings.sysroots:
        yield Text(value="Root file systems: none (.sysroot DIR or ARCHIVE)")
        return
    yield Text(value="Root file systems:")
    for path in settings.sysroots:
        notes = [sanitise_line(warning.message) for warning in roots.warnings(path)]
        yield SysrootRow(path=sanitise_line(path), notes=tuple(notes))


# -- options -------------------------------------------------------------------------------------


def options_in_force(settings: Settings) -> int:
    """Return the bits of ``.symopt``, with those that have settings of their own."""
    value = settings.symbol_options & ~(LOAD_LINES | _NOISY)
    return value | (LOAD_LINES if settings.lines else 0) | (_NOISY if settings.noisy else 0)


def set_options(session: Session, value: int) -> None:
    """Set the bits, and look again for symbols where the choice of files changes."""
    settings = session.settings
    changed = options_in_force(settings) ^ value
    settings.symbol_options = value
    settings.lines = bool(value & LOAD_LINES)
    settings.noisy = bool(value & _NOISY)
    if changed & (LOAD_ANYTHING | _EXACT_SYMBOLS):
        refresh_all(session)


@command(
    ".symopt",
    summary="Show or change the symbol options.",
    syntax=".symopt[+|-] [flags]",
    example=".symopt+ 0x40    load symbols of another build all the same",
    family="symbols",
)
def symbol_options(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    value = options_in_force(ctx.session.settings)
    add, remove = cursor.take("+"), cursor.take("-")
    if add or remove:
        flags = ctx.expression(cursor) & 0xFFFFFFFF
        set_options(ctx.session, value | flags if add else value & ~flags)
    elif not cursor.at_end:
        cursor.position += 1
        raise cursor.error("Syntax error", hint=".symopt+ FLAGS sets flags, .symopt- clears them")
    value = options_in_force(ctx.session.settings)
    yield SymbolOptions(value=value, names=tuple(name for _, name in _set_bits(value)))
