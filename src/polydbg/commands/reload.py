"""``.reload``, ``ld``: look again for modules and their symbols, or load them now."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.base.wildcards import compile_wildcard, is_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.times import stamp_text
from polydbg.engine.arrivals import take_arrivals
from polydbg.engine.modules import Module, SymbolState
from polydbg.engine.reload import add, forget, module_info, reload_list, unload, unloaded_info
from polydbg.engine.session import System
from polydbg.engine.windows_process import is_windows
from polydbg.images.elf import ElfImage
from polydbg.images.pe import PeImage
from polydbg.symbols.store import Outcome
from polydbg.targets.target import ModuleInfo

_ELF_SYSTEMS = frozenset({"linux", "android", "freebsd", "netbsd", "openbsd"})
_WORDS = ("unl", "user")
_LETTERS = "dfilnosuvw"
_USAGE = """\
usage: .reload [options] [module[=address[,size[,timestamp]]]]
  /f     load symbols now instead of when they are first needed
  /i     accept symbols of another build (loads them now)
  /l     list the modules, reload nothing
  /u     unload the module
  /unl   take address, size and timestamp from the list of unloaded modules
  /v     trace the search, as !sym noisy does
  /w     the module is no wildcard
  /d /n /o /s /user   accepted; they make no difference to a user-mode dump
no blanks around = and ,"""
_NO_DRIVERS = f"""
{"*" * 76}

  The !drivers command is no longer supported.

  Please use the 'lm t n' command.
  Consult the debugger documentation for the supported 'lm' command options.

  The WinDbg "Modules" window can also be used to display timestamps.
  The "Modules" window supports sorting on name or timestamp values

{"*" * 76}"""
_DOTS = 64
_SPECIFICATION = re.compile(r'("[^"]*"|[^\s;="]+)(?:=([^\s;,]+)(?:,([^\s;,]+))?(?:,([^\s;,]+))?)?')


class ImageSummaryRow(ShownItem, frozen=True):
    """A row of ``.reload /l``."""

    base: Hex
    image: str
    timestamp: Hex


class SymbolLoad(ShownItem, frozen=True):
    """What came of loading a module's symbols now. *symbol_file* is ``""`` when there are none."""

    module: str
    status: str
    symbol_file: str


class _Request(msgspec.Struct, frozen=True):
    options: frozenset[str]
    name: str = ""
    address: int | None = None
    size: int = 0
    timestamp: int = 0

    @property
    def loads_now(self) -> bool:
        return bool(self.options & {"f", "i"})


@command(
    ".reload",
    summary="Look for modules and symbols anew.",
    syntax=".reload [/f] [/i] [/l] [/u] [/unl] [/v] [/w] [module[=address[,size[,timestamp]]]]",
    example=".reload /f app.exe    after .sympath; .reload /i app.exe accepts another build",
    family="symbols",
)
def reload_modules(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = _options(cursor)
    if "?" in options:
        yield Text(value=_USAGE)
        return
    system = ctx.system
    request = _request(ctx, cursor, options)
    settings = ctx.session.settings
    was_noisy = settings.noisy
    settings.noisy = was_noisy or "v" in options
    if request.loads_now:
        ctx.session.files.downloads.ask_again()
    try:
        if "l" in options:
            yield from _summary(system)
        elif "u" in options:
            yield from _unload(ctx, request)
        elif request.name:
            yield from _reload_named(ctx, request)
        else:
            yield from _reload_all(ctx, request)
    finally:
        settings.noisy = was_noisy


def _options(cursor: Cursor) -> frozenset[str]:
    """Read ``/f /unl -?``. :raises CommandError: an option that does not exist."""
    options: set[str] = set()
    while True:
        cursor.skip_blanks()
        found = cursor.match(r"[/-](\?|[A-Za-z]+)(?=[\s;]|$)")
        if found is None:
            break
        word = found[1].lower()
        if word == "?" or word in _WORDS:
            options.add(word)
            continue
        for letter in word:
            if letter not in _LETTERS:
                raise CommandError(
                    f"Reload: Unknown option '{letter}'",
                    identifier="reload.unknown-option",
                    hint=_USAGE.splitlines()[0] + "; .reload -? lists the options",
                )
            options.add(letter)
    return frozenset(options)


def _request(ctx: CommandContext, cursor: Cursor, options: frozenset[str]) -> _Request:
    cursor.skip_blanks()
    if cursor.at_end:
        if "u" in options or "unl" in options:
            raise cursor.error("Non-empty string required", hint="name the module")
        return _Request(options)
    found = cursor.match(_SPECIFICATION.pattern)
    if found is None:
        cursor.position += 1
        raise cursor.error("Syntax error", hint=_USAGE.splitlines()[0])
    name, address, size, timestamp = found.groups()
    return _Request(
        options,
        name.strip('"'),
        ctx.evaluate(address) if address else None,
        ctx.evaluate(size) if size else 0,
        ctx.evaluate(timestamp) if timestamp else 0,
    )


# -- all modules ---------------------------------------------------------------------------------


def _summary(system: System) -> Iterator[Item]:
    """``/l``: the target's list in its own order. Code and data sizes are never filled in."""
    yield Heading(value="System Image Summary")
    windows = is_windows(system)
    last = "Creation Time" if windows else "Build Id"
    yield Heading(
        value=f"Base                Code Size      Data Size      Image Name        {last}"
    )
    for info in system.target.modules():
        name = sanitise_line(info.file_name)
        made = stamp_text(info.timestamp) if windows else info.build_id.hex() or "unavailable"
        address = address_text(info.base, system.pointer_size)
        yield ImageSummaryRow(
            base=info.base,
            image=name,
            timestamp=info.timestamp,
            shown=f"{address}      0 (   0 k)     0 (  0 k) {name:>12}  {made}",
        )
    if windows:
        yield Notice(identifier="reload.no-drivers", value=_NO_DRIVERS)


def _reload_all(ctx: CommandContext, request: _Request) -> Iterator[Item]:
    system, files = ctx.system, ctx.session.files
    reload_list(system, files)
    modules = list(system.modules.modules)
    for start in range(0, len(modules), _DOTS):
        yield Text(value="." * len(modules[start : start + _DOTS]))
    unloaded = len(system.modules.unloaded)
    if unloaded:
        yield Text(value="Loading unloaded module list")
        for start in range(0, unloaded, _DOTS):
            yield Text(value="." * min(_DOTS, unloaded - start))
    if request.loads_now:
        yield from _load_now(ctx, modules, accept="i" in request.options)


def _load_now(ctx: CommandContext, modules: Sequence[Module], *, accept: bool) -> Iterator[Item]:
    """Load the symbols of *modules*, those of the current stack first, then list what failed.

    What servers have is waited for; Ctrl+C stops the waiting and the transfers.
    """
    system, downloads = ctx.system, ctx.session.files.downloads
    for done, module in enumerate(_stack_first(ctx, modules)):
        ctx.progress(f"loading symbols of {module.name}", done, len(modules))
        if accept:
            ctx.session.files.accept_mismatch(module.info)
        with downloads.not_waiting():
            system.modules.symbols(module)
    yield from wait_for_files(ctx)
    loaded = (system.modules.of(module.info) for module in modules)
    failed = [module for module in loaded if module is not None and not _has_pdb(module)]
    if failed:
        yield _errors(failed)


def _stack_first(ctx: CommandContext, modules: Sequence[Module]) -> list[Module]:
    """Return *modules*, those first that the stack of the current thread goes through."""
    downloads, system = ctx.session.files.downloads, ctx.system
    if len(modules) < 2 or not downloads.can_ask():
        return list(modules)
    with downloads.not_waiting():
        rows = list(ctx.session.stack(system, system.scope_registers(), _DOTS, ctx.cancel))
    through = {id(system.modules.at(row.frame.lookup_pc)) for row in rows}
    return sorted(modules, key=lambda module: id(module) not in through)


def wait_for_files(ctx: CommandContext) -> Iterator[Item]:
    """Wait, visibly, until nothing more comes from servers; yield what to say of it."""
    downloads = ctx.session.files.downloads
    # In this order: a job that ended a moment ago is there to be taken.
    while (downloads.running() and downloads.may_wait) or downloads.has_finished():
        downloads.wait_for_all()
        for arrival in take_arrivals(ctx.session):
            yield Notice(identifier=arrival.identifier, value=arrival.message)


def _has_pdb(module: Module) -> bool:
    return module.state is SymbolState.LOADED and not module.status.startswith("export")


def _errors(failed: Sequence[Module]) -> Notice:
    lines = [
        "",
        "************* Symbol Loading Error Summary **************",
        f"{'Module name':<23}Error",
    ]
    lines += [f"{module.name:<23}{_error_words(module)}" for module in failed]
    lines += [
        "",
        "You can troubleshoot most symbol related issues by turning on symbol loading diagnostics "
        "(!sym noisy) and repeating the command that caused symbols to be loaded.",
        "You should also verify that your symbol search path (.sympath) is correct.",
        f"!sym why {failed[0].name} lists each place that was looked at.",
    ]
    return Notice(identifier="symbols.error-summary", value="\n".join(lines))


def _error_words(module: Module) -> str:
    trail = module.symbol_trail
    if trail is None:
        return "No error - symbol load deferred"
    if trail.has(Outcome.WRONG_ID):
        return "A symbol file of another build was found"
    if trail.has(Outcome.DAMAGED):
        return "The symbol file is damaged"
    return "The system cannot find the file specified"


# -- one module ----------------------------------------------------------------------------------


def _matching(modules: Sequence[Module], name: str, *, literal: bool = False) -> list[Module]:
    """Return the modules of that name or file name; wildcards allowed."""
    if literal or not is_wildcard(name):
        folded = name.lower()
        return [m for m in modules if folded in (m.name.lower(), m.info.file_name.lower())]
    pattern = compile_wildcard(name, symbols=False)
    return [m for m in modules if pattern.fullmatch(m.name) or pattern.fullmatch(m.info.file_name)]


def _unload(ctx: CommandContext, request: _Request) -> Iterator[Item]:
    system = ctx.system
    found = _matching(system.modules.modules, request.name, literal="w" in request.options)
    if not found:
        raise CommandError(
            f"Unable to find module '{request.name}'",
            identifier="module.not-found",
            hint="lm lists the modules",
        )
    for module in found:
        unload(system, module, ctx.session.files)
        yield Text(value=f"Unloaded {module.name}")


def _reload_named(ctx: CommandContext, request: _Request) -> Iterator[Item]:
    system, files = ctx.system, ctx.session.files
    if "unl" in request.options:
        modules = _from_unloaded(ctx, request)
    elif request.address is not None:
        module = _added(ctx, request)
        modules = [module] if module is not None else []
    else:
        literal = "w" in request.options
        _bring_back(ctx, request.name, literal=literal)
        modules = _matching(system.modules.modules, request.name, literal=literal)
        modules = [forget(system.modules, module, files) for module in modules]
    if not modules:
        yield Text(value=_not_found(request, system))
        return
    if "i" in request.options:
        for module in modules:
            files.accept_mismatch(module.info)
    if request.loads_now:
        yield from _load_now(ctx, modules, accept="i" in request.options)
        return
    here = system.modules.at(system.pc or 0)
    if here is not None and any(module is here for module in modules):
        system.modules.symbols(here)


def _bring_back(ctx: CommandContext, name: str, *, literal: bool) -> None:
    """Put modules of the target's list that were unloaded back."""
    system = ctx.system
    present = {module.base for module in system.modules.modules}
    gone = [Module(info) for info in system.target.modules() if info.base not in present]
    for module in _matching(gone, name, literal=literal):
        add(system, module.info, ctx.session.files)


def _from_unloaded(ctx: CommandContext, request: _Request) -> list[Module]:
    system = ctx.system
    stem = request.name.lower()
    names = {stem, f"{stem}.dll", f"{stem}.exe"}
    return [
        add(system, unloaded_info(gone), ctx.session.files)
        for gone in list(system.modules.unloaded)
        if gone.name.replace("\\", "/").rsplit("/", 1)[-1].lower() in names
        and system.modules.at(gone.base) is None
    ]


def _added(ctx: CommandContext, request: _Request) -> Module | None:
    """Put a module at the address given; without a size its headers in memory must say it."""
    address = request.address or 0
    size, timestamp, checksum = request.size, request.timestamp, 0
    found = _elf_info(ctx.system, request, address)
    if found is not None:
        return add(ctx.system, _with_known(ctx.system, found), ctx.session.files)
    if not size:
        try:
            image = PeImage.from_memory(ctx.system.memory, address)
        except DebuggerError:
            return None
        size, checksum = image.size_of_image, image.checksum
        timestamp = timestamp or image.timestamp
    if address + size > 1 << 64 or size > 1 << 32:
        raise CommandError("Range error", identifier="expression.range")
    info = module_info(request.name, address, size, timestamp & 0xFFFFFFFF, checksum)
    return add(ctx.system, _with_known(ctx.system, info), ctx.session.files)


def _elf_info(system: System, request: _Request, address: int) -> ModuleInfo | None:
    """Return the module for an ELF image whose header is in memory; on systems that have no other
    images also for one that is not, of the size given."""
    build_id, size = b"", request.size
    try:
        image = ElfImage.from_memory(system.memory, address)
        build_id = bytes.fromhex(image.build_id or "")
        size = size or image.size_of_image
    except DebuggerError:
        if system.target.system().platform not in _ELF_SYSTEMS or not size:
            return None
    if address + size > 1 << 64 or size > 1 << 32:
        raise CommandError("Range error", identifier="expression.range")
    info = module_info(request.name, address, size)
    return msgspec.structs.replace(info, build_id=build_id, image_format="elf")


def _with_known(system: System, info: ModuleInfo) -> ModuleInfo:
    """Return *info*, or what the target says of the same image at the same place."""
    for known in system.target.modules():
        if known.base == info.base and known.file_name.lower() == info.file_name.lower():
            return known
    return info


def _not_found(request: _Request, system: System) -> str:
    name = request.name
    address = address_text(request.address or 0, system.pointer_size)
    windows = is_windows(system)
    example = "kernel32.dll" if windows else "libc.so.6"
    reason = "Win32 error 0n2" if windows else "no such file"
    return (
        f'\n"{name}" was not found in the image list.\n'
        f'Debugger will attempt to load "{name}" at given base {address}.\n\n'
        f"Please provide the full image name, including the extension (i.e. {example})\n"
        "for more reliable results.Base address and size overrides can be given as\n"
        ".reload <image.ext>=<base>,<size>.\n"
        f"Unable to load image {name}, {reason}\n"
        f"Unable to add module at {address}"
    )


@command(
    "ld",
    summary="Load the symbols of a module now.",
    syntax="ld module [/f]",
    example="ld *    every module's",
    family="symbols",
)
def load_symbols(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    name = cursor.string_or_word()
    if not name:
        raise cursor.error("Non-empty string required", hint="ld MODULE; wildcards work")
    again = cursor.match(r"\s*/f\b") is not None
    system = ctx.system
    modules = _matching(list(system.modules.modules), name)
    if not modules:
        raise cursor.error("Couldn't resolve module", hint="lm lists the modules")
    if again:
        ctx.session.files.downloads.ask_again()
        modules = [forget(system.modules, module, ctx.session.files) for module in modules]
    loaded_before = {id(m.info) for m in modules if m.state is SymbolState.LOADED}
    for done, info in enumerate([module.info for module in modules]):
        module = system.modules.of(info)
        if module is None:
            continue
        ctx.progress(f"loading symbols of {module.name}", done, len(modules))
        system.modules.symbols(module)
        yield from wait_for_files(ctx)
        module = system.modules.of(info) or module
        was_loaded, loaded = id(info) in loaded_before, module.state is SymbolState.LOADED
        words = "already loaded" if was_loaded else "loaded" if loaded else "could not be loaded"
        yield SymbolLoad(
            module=module.name,
            status=module.status,
            symbol_file=sanitise_line(module.symbols.path) if module.symbols else "",
            shown=f"Symbols {words} for {module.name}",
        )
