"""``!dlls`` and ``!envvar``: the loader's lists of modules, and the environment."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.base.wildcards import compile_wildcard
from polydbg.commands import elf_process
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.process_blocks import NO_LOADER_LIST, UNAVAILABLE, clean
from polydbg.commands.registry import command
from polydbg.engine import windows_process
from polydbg.engine.session import System
from polydbg.engine.windows_process import LoaderEntry, split_variable

_ORDERS = {"l": "load", "m": "memory", "i": "init"}
_FLAGS = {  # those that mean the same in every version; Windows 8 gave many bits new meanings
    0x4: "LDRP_IMAGE_DLL",
    0x1000: "LDRP_LOAD_IN_PROGRESS",
    0x4000: "LDRP_ENTRY_PROCESSED",
    0x40000: "LDRP_DONT_CALL_FOR_THREADS",
    0x80000: "LDRP_PROCESS_ATTACH_CALLED",
    0x400000: "LDRP_COR_IMAGE",
}


class LoaderEntryItem(ShownItem, frozen=True):
    """An entry of the loader's list at *address*; what the dump lacks is ``None``."""

    address: Hex
    path: str | None
    base: Hex | None
    entry_point: Hex | None
    size: Hex | None
    flags: Hex | None
    flag_names: tuple[str, ...]
    load_count: int | None
    tls_index: int | None


class EnvironmentVariable(ShownItem, frozen=True):
    """One variable of the process's environment."""

    name: str
    value: str


@command(
    "!dlls",
    summary="Show what the loader knows of each module, in the order of one of its lists; of "
    "Linux and the BSDs the dynamic linker's list.",
    syntax="!dlls [-l|-m|-i] [-f] [-s] [-a] [-v] [-c address] [entry]",
    example="!dlls -i    in the order they were initialised; -c ADDRESS the one that holds it",
    family="process",
)
def loader_entries(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    letters, holding = _options(ctx, cursor)
    if not windows_process.is_windows(system):
        cursor.expect_end()
        yield from elf_process.link_map_items(ctx, letters, holding)
        return
    if not cursor.at_end:
        entry = LoaderEntry(system.memory, ctx.expression(cursor), system.pointer_size)
        yield from _entry(ctx, entry, letters)
        return
    loader = windows_process.peb(system).loader
    order = next((_ORDERS[letter] for letter in letters if letter in _ORDERS), "load")
    count = 0
    for entry in loader.entries(order) if loader else ():
        ctx.cancel.check()
        count += 1
        if holding is None:
            yield from _entry(ctx, entry, letters)
        elif 0 <= holding - (entry.dll_base or 0) < (entry.size_of_image or 0):
            yield Text(value=f"Dump dll containing 0x{holding:0{2 * system.pointer_size}x}:\n")
            yield from _entry(ctx, entry, letters)
            return
    if not count:
        raise CommandError(NO_LOADER_LIST, identifier="process.no-loader-list")
    if holding is not None:
        raise CommandError(
            f"no module of the loader's list holds {holding:#x}",
            identifier="module.unknown",
            hint=f"!address {holding:#x} says what lies there",
        )


def _options(ctx: CommandContext, cursor: Cursor) -> tuple[str, int | None]:
    """Read the letters; return them and the address after ``-c``."""
    letters, holding = "", None
    while not cursor.at_end and cursor.peek() == "-":
        found = cursor.match(r"-([lmifsavc])(?=[\s;]|$)")
        if found is None:
            cursor.position += 1
            raise cursor.error("Syntax error")
        if found.group(1) == "c":
            holding = ctx.expression(cursor)
        letters += found.group(1)
    return letters, holding


def _entry(ctx: CommandContext, entry: LoaderEntry, letters: str) -> Iterator[Item]:
    yield _entry_item(entry)
    base = entry.dll_base
    if base is None:
        return
    headers = "".join(h for h in "fs" if h in letters or "a" in letters)
    for header in headers:
        yield from ctx.run(f"!dh -{header} {base:#x}")
    if "v" in letters:
        yield from ctx.run(f"lmva {base:#x}")


def _entry_item(entry: LoaderEntry) -> LoaderEntryItem:
    def number(value: int | None, digits: int = 8) -> str:
        text = UNAVAILABLE if value is None else f"0x{value:0{digits}x}"
        return f"{text:<10}"

    flags = entry.flags
    names = tuple(n for bit, n in _FLAGS.items() if flags is not None and flags & bit)
    path = clean(entry.full_name)
    lines = [
        f"{number(entry.address).rstrip()}: {UNAVAILABLE if path is None else path}",
        f"      Base   {number(entry.dll_base)}  EntryPoint  {number(entry.entry_point)}  "
        f"Size        {number(entry.size_of_image)}".rstrip(),
        f"      Flags  {number(flags)}  LoadCount   {number(entry.load_count)}  "
        f"TlsIndex    {number(entry.tls_index)}".rstrip(),
        *(f"             {name}" for name in names),
        "",
    ]
    return LoaderEntryItem(
        address=entry.address,
        path=path,
        base=entry.dll_base,
        entry_point=entry.entry_point,
        size=entry.size_of_image,
        flags=flags,
        flag_names=names,
        load_count=entry.load_count,
        tls_index=entry.tls_index,
        shown="\n".join(lines),
    )


@command(
    "!envvar",
    summary="Show variables of the process's environment.",
    syntax="!envvar name",
    example="!envvar PATH    or !envvar PROC* for all that begin so",
    family="process",
)
def environment_variable(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    name = cursor.string_or_word()
    if not name:
        raise CommandError("Non-empty string required in '!envvar'", hint="!peb lists them all")
    variables, is_complete = _environment(ctx.system)
    pattern = compile_wildcard(name, symbols=False)
    found = 0
    for text in variables:
        key, value = split_variable(text)
        if pattern.fullmatch(key):
            found += 1
            key, value = sanitise_line(key), sanitise_line(value)
            yield EnvironmentVariable(name=key, value=value, shown=f"  {key} = {value}")
    if not is_complete:
        yield Notice(
            identifier="process.environment-cut",
            value="the rest of the environment is not in the dump",
        )
    if not found:
        raise CommandError(
            f"the process has no environment variable {sanitise_line(name)}",
            identifier="process.no-such-variable",
            hint="!peb lists them all",
        )


def _environment(system: System) -> tuple[tuple[str, ...], bool]:
    """Return the variables and whether they are all; of Linux those at the process's start."""
    from polydbg.targets.process_files import process_files

    files = process_files(system.target)
    if files is not None and files.environment:
        return files.environment, True
    parameters = None
    if windows_process.is_windows(system):
        parameters = windows_process.peb(system).parameters
    environment = parameters.environment if parameters else None
    if environment is None:
        raise CommandError(
            "the process's environment is not in the dump",
            identifier="process.no-environment",
            hint="dumps with full memory hold it; !peb shows what is there of the process block",
        )
    return environment.variables, environment.is_complete
