"""``!sym``: why a module has the symbols it has, traces of searches, transfers from servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item, Text
from polydbg.commands.registry import command
from polydbg.engine.modules import Module, SymbolState
from polydbg.symbols.store import Trail

_NO_PROMPTS = 0x80000
_UNWIND_DATA = (
    "Unwind data is in the .exe (or .dll), not in the .pdb: without the image, x64 stacks through "
    "this module are guesses."
)


class SearchPlace(Item, frozen=True):
    """A place that was looked at: *outcome* in the words of ``!sym noisy``, *found_id* the store
    key of the file there."""

    place: str
    outcome: str
    detail: str
    found_id: str

    def text(self) -> str:
        found = f" (has {self.found_id})" if self.found_id else ""
        return f"{self.place} - {self.outcome}{found}{': ' if self.detail else ''}{self.detail}"


class SymbolSearch(Item, frozen=True):
    """One half of ``!sym why``: what was wanted, the places looked at, what came of it.

    *wanted_key* is the store key; *found* is the path in use or ``""``; *advice* what to do, the
    most promising first.
    """

    module: str
    kind: str
    state: str
    wanted_name: str
    wanted_id: str
    wanted_key: str
    found: str
    places: tuple[SearchPlace, ...]
    advice: tuple[str, ...]

    def text(self) -> str:
        lines = [f"{self.kind} of {self.module}: {self.state}"]
        key = f" (key {self.wanted_key})" if self.wanted_key else ""
        lines.append(f"  wanted: {self.wanted_name}, {self.wanted_id}{key}")
        lines += [f"  {place.text()}" for place in self.places]
        if self.advice:
            lines.append("  what to do:")
            lines += [f"    {line}" for line in self.advice]
        return "\n".join(lines)


class FrameSymbols(Item, frozen=True):
    """A row of ``!sym frames``: *symbols* is the kind of symbols that *name* comes from, as in the
    rows of ``k``, *file* the file that has them; both ``""`` where the frame has no name."""

    number: int
    name: str
    symbols: str
    file: str

    def text(self) -> str:
        origin = f" [{self.file}]" if self.file else ""
        return f"{self.number:02x} {self.symbols or '-':<9}{self.name}{origin}"


@command(
    "!sym",
    summary="Say why a module has the symbols it has; trace searches; show what is fetched.",
    syntax="!sym [noisy | quiet | prompts [off] | why [module | *] | list | frames | path | status "
    "| wait | online | offline]",
    example="!sym why practice    every place tried, the id wanted, the id found, what to do; "
    "!sym why * lists what all modules lack, !sym list the ids of their files; "
    "!sym frames says which symbols name each frame; "
    "!sym path asks each server of the path once; !sym status shows what is fetched, "
    "!sym wait waits for it",
    family="symbols",
)
def sym(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    word = cursor.word().lower()
    if word in _SUBCOMMANDS:
        yield from _SUBCOMMANDS[word](ctx, cursor)
        return
    settings = ctx.session.settings
    if word in ("noisy", "quiet"):
        settings.noisy = word == "noisy"
    elif word == "prompts":
        off = cursor.match(r"[ \t]+off\b") is not None
        options = settings.symbol_options & ~_NO_PROMPTS
        settings.symbol_options = options | (_NO_PROMPTS if off else 0)
    elif word:
        names = ", ".join(_SUBCOMMANDS)
        raise cursor.error("Syntax error", hint=f"!sym noisy, quiet, prompts, {names}")
    mode = "noisy" if settings.noisy else "quiet"
    prompts = "off" if settings.symbol_options & _NO_PROMPTS else "on"
    state = f"{mode} mode - symbol prompts {prompts}"
    usage = "!sym <noisy/quiet - prompts/prompts off> - "
    yield Text(value=state if word else usage + state)


def _frames(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    """Show which kind of symbols, and of which file, names each frame of the current stack."""
    system = ctx.system
    limit = ctx.session.settings.stack_limit
    for row in ctx.session.stack(system, system.scope_registers(), limit, ctx.cancel):
        module = system.modules.at(row.frame.lookup_pc)
        source = module.symbols if module is not None and row.symbols else None
        yield FrameSymbols(
            number=row.number,
            name=row.place.text,
            symbols=row.symbols,
            file=sanitise_line(source.path) if source is not None else "",
        )


def _why(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    name = cursor.string_or_word()
    if name == "*":
        from polydbg.commands.missing_files import missing_files

        with ctx.session.files.notices.quietly():  # the rows say it
            yield from missing_files(ctx)
        return
    if name:
        module = system.modules.named(name)
    else:
        module = system.modules.at(system.pc or 0)
    if module is None:
        raise CommandError(
            f"No module matches '{name}'" if name else "No module at the current instruction",
            identifier="module.not-found",
            hint="lm lists the modules",
        )
    with ctx.session.files.notices.quietly():  # the trails say it
        system.modules.symbols(module)
        image = system.modules.image(module)
    if module.symbol_trail is not None:
        yield symbol_search(module, module.symbol_trail)
    if module.image_trail is not None:
        is_amd64 = module.info.is_pe and system.machine == "amd64"
        lacks_unwind_data = image is None and is_amd64
        yield image_search(module, module.image_trail, lacks_unwind_data=lacks_unwind_data)


def symbol_search(module: Module, trail: Trail) -> SymbolSearch:
    """Return what was looked for and found for a module's symbols."""
    state, found = "none loaded", ""
    if module.state is SymbolState.LOADED and module.symbols is not None:
        found = sanitise_line(module.symbols.path)
        state = f"{module.status}, {found}"
        if module.mismatched:
            state += " (of another build)"
        elif module.is_unverified:
            state += " (unverified: the dump does not tell the build id)"
    return _search("Symbols", module, trail, state, found, trail.advice())


def image_search(module: Module, trail: Trail, *, lacks_unwind_data: bool) -> SymbolSearch:
    """Return what was looked for and found for a module's image. *lacks_unwind_data* says that
    x64 stacks through it are guesses: its tables are not in the dump either."""
    advice: list[str] = []
    found = sanitise_line(str(module.image_file)) if module.image_file else ""
    state = found
    if not found:
        state = "not found"
        advice = trail.advice()
        if lacks_unwind_data:
            advice.insert(0, _UNWIND_DATA)
    return _search("Image", module, trail, state, found, advice)


def _search(
    kind: str, module: Module, trail: Trail, state: str, found: str, advice: list[str]
) -> SymbolSearch:
    wanted = trail.wanted
    name = wanted.name if wanted else ""
    return SymbolSearch(
        module=module.name,
        kind=kind,
        state=state,
        wanted_name=sanitise_line(re.split(r"[\\/]", name)[-1]),
        wanted_id=sanitise_line(wanted.id_text if wanted and wanted.id_text else "id unknown"),
        wanted_key=sanitise_line(wanted.key or "" if wanted else ""),
        found=found,
        places=tuple(
            SearchPlace(
                place=sanitise_line(entry.place),
                outcome=entry.outcome.value,
                detail=sanitise_line(entry.brief),
                found_id=sanitise_line(entry.found_id),
            )
            for entry in trail.entries
        ),
        advice=tuple(advice),
    )


def _list(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_ids import list_ids

    return list_ids(ctx)


def _status(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_transfers import show_transfers

    return show_transfers(ctx)


def _wait(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_transfers import wait_for_transfers

    return wait_for_transfers(ctx)


def _path(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_transfers import check_path

    return check_path(ctx)


def _online(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_transfers import set_offline

    return set_offline(ctx, False)


def _offline(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.symbol_transfers import set_offline

    return set_offline(ctx, True)


_SUBCOMMANDS: dict[str, Callable[[CommandContext, Cursor], Iterator[Item]]] = {
    "why": _why,
    "list": _list,
    "frames": _frames,
    "path": _path,
    "status": _status,
    "wait": _wait,
    "online": _online,
    "offline": _offline,
}
"""What may follow ``!sym``, beside the modes."""
