"""``dt`` with wildcards: the types, variables and functions whose names match."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.dt_display import Display
from polydbg.commands.dt_request import Request
from polydbg.commands.output import Hex, Item, Notice, ShownItem
from polydbg.engine.modules import Module
from polydbg.symbols.source import SymbolKind

_INDENT = " " * 10
_PRIVATE = (SymbolKind.FUNCTION, SymbolKind.DATA)


class MatchingName(ShownItem, frozen=True):
    """A name that matches: of a type (*address* ``None``, *size* in bytes where known), or of a
    variable or function."""

    module: str
    name: str
    kind: str
    address: Hex | None = None
    size: int | None = None


def matching_names(ctx: CommandContext, request: Request) -> Iterator[Item]:
    """Yield what matches the pattern: types, with their members for ``-d``, then variables and
    functions unless only types or those of a size are asked for."""
    system = ctx.system
    display = Display(ctx, request.rows())
    size = ctx.evaluate(request.size) if request.size else None
    for module, type_ in system.types.matching(request.name, ctx.cancel):
        ctx.cancel.check()
        if size is not None and type_.size != size:
            continue
        name = sanitise_line(f"{module.name}!{type_.name}")
        yield MatchingName(
            module=module.name,
            name=sanitise_line(type_.name),
            kind="type",
            size=type_.size,
            shown=_INDENT + name,
        )
        if "d" in request:
            yield from display.type(type_, type_.name)
    if request.types_only or size is not None:
        return
    pattern = request.name.rpartition("!")[2]
    for module in system.types.modules_matching(request.name):
        yield from _symbols(ctx, module, pattern)


def _symbols(ctx: CommandContext, module: Module, pattern: str) -> Iterator[Item]:
    source = ctx.system.modules.symbols(module)
    if source is None:
        return
    digits = 2 * ctx.system.pointer_size
    try:
        for symbol in source.symbols_matching(pattern, ctx.cancel):
            ctx.cancel.check()
            if symbol.kind not in _PRIVATE:
                continue
            address = module.base + symbol.rva
            name = sanitise_line(f"{module.name}!{symbol.name}")
            yield MatchingName(
                module=module.name,
                name=sanitise_line(symbol.name),
                kind=symbol.kind.value,
                address=address,
                size=symbol.size or None,
                shown=f"{address:0{digits}x}  {name}",
            )
    except DebuggerError as error:
        yield Notice(
            identifier="symbols.damaged",
            value=f"*** ERROR: {sanitise_line(source.path)}: {error.message}",
        )
