"""``!for_each_module``: runs a command for every module, with what is known of it filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.modules import symbol_file
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.aliases import fit_for_commands
from polydbg.engine.modules import Module, SymbolState

_ALIAS = re.compile(r"\$\{@#(\w+)\}|@#(\w+)")
_NAMES = ("ModuleName", "ImageName", "LoadedImageName", "MappedImageName", "SymbolFileName")


class EachModule(ShownItem, frozen=True):
    """A module as ``!for_each_module`` without a command lists it."""

    index: int
    base: Hex
    end: Hex
    name: str
    image: str


@command(
    "!for_each_module",
    summary="Run a command for each module. In it @#NAME (or ${@#NAME}) stands for: ModuleIndex, "
    "Base, End, Size, TimeDateStamp, Checksum, Flags, SymbolType (numbers, hex), ModuleName, "
    "ImageName, LoadedImageName, MappedImageName, SymbolFileName, each of these with Size behind "
    "(its length and one), FileVersion, ProductVersion. Characters of a name that would begin "
    'another command (; " $) become _. Without a command the modules are listed.',
    syntax='!for_each_module ["command"]',
    example='!for_each_module ".echo @#ModuleName @#FileVersion"',
    family="modules",
)
def for_each_module(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    quoted = cursor.match(r'"([^"]*)"')
    template = quoted.group(1) if quoted else cursor.rest()
    for index, module in enumerate(list(ctx.system.modules.modules)):
        ctx.cancel.check()
        if template:
            with ctx.flow.in_foreign_text():
                yield from ctx.run(filled(template, index, module))
        else:
            yield _row(index, module, ctx.system.pointer_size)


def _row(index: int, module: Module, pointer_size: int) -> EachModule:
    image = sanitise_line(module.info.image_path)
    base, end = (address_text(value, pointer_size) for value in (module.base, module.end))
    return EachModule(
        index=index,
        base=module.base,
        end=module.end,
        name=module.name,
        image=image,
        shown=f"{index:02}: {base} {end} {module.name:20} {image}",
    )


def filled(template: str, index: int, module: Module) -> str:
    """Return *template* with the aliases filled in; names that are none stay as they are.

    Names come from the dump, which nobody vouches for: none may end the command it stands in.
    """

    def value(match: re.Match[str]) -> str:
        found = _value((match.group(1) or match.group(2)).lower(), index, module)
        return match.group() if found is None else fit_for_commands(found)

    return _ALIAS.sub(value, template)


def _value(alias: str, index: int, module: Module) -> str | None:
    for name in _NAMES:
        if alias == name.lower():
            return _name(alias, module)
        if alias == name.lower() + "size":
            return f"{len(_name(name.lower(), module)) + 1:#x}"
    info = module.info
    version = info.version
    values: dict[str, Callable[[], str]] = {
        "moduleindex": lambda: f"{index:#x}",
        "base": lambda: f"{module.base:#x}",
        "end": lambda: f"{module.end:#x}",
        "size": lambda: f"{info.size:#x}",
        "timedatestamp": lambda: f"{info.timestamp:#x}",
        "checksum": lambda: f"{info.checksum:#x}",
        "flags": lambda: "0x0",  # loaded, in user mode
        "symboltype": lambda: f"{_symbol_type(module):#x}",
        "fileversion": lambda: ".".join(map(str, version.file_version)) if version else "",
        "productversion": lambda: ".".join(map(str, version.product_version)) if version else "",
    }
    return values[alias]() if alias in values else None


def _name(alias: str, module: Module) -> str:
    if alias == "modulename":
        return module.name
    if alias == "mappedimagename":
        return str(module.image_file or "")
    if alias == "symbolfilename":
        return symbol_file(module) or module.info.image_path
    return module.info.image_path


def _symbol_type(module: Module) -> int:
    """Return DEBUG_SYMTYPE_* of dbgeng.h: 0 none, 3 PDB, 4 exports, 5 deferred."""
    if module.state is SymbolState.DEFERRED:
        return 5
    if module.symbols is None:
        return 0
    return 4 if module.symbols.status.startswith("export") else 3
