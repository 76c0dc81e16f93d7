"""``x`` and ``ln``: symbols by name and by address."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text, sanitise_line
from polydbg.base.wildcards import compile_wildcard, is_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem
from polydbg.commands.registry import command
from polydbg.commands.value_words import value_words
from polydbg.engine.modules import Module, displacement_text
from polydbg.engine.session import System
from polydbg.engine.variables import (
    NamedValue,
    current_view,
    global_value,
    symbol_type,
    symbol_value,
    variables_of,
)
from polydbg.symbols.pdb import PdbSource
from polydbg.symbols.pdb_inlined import InlinedCaller
from polydbg.symbols.source import Symbol, SymbolKind, SymbolSource
from polydbg.types.model import UnknownType
from polydbg.types.naming import spelled
from polydbg.types.source import FrameView, Variable, VariableKind

_SWITCHES = "012tvqpfdaAnNzZD"
_ALPHABET = " " + " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NO_PARAMETERS = "(<no parameter info>)"


class SymbolRow(ShownItem, frozen=True):
    """A row of ``x``. *value* is what stands behind the name: a parameter list or ``= value``.

    *kind* is ``function``, ``data``, ``public``, ... or ``inline``; for what has no fixed address
    ``thread`` (a thread's own variable), ``constant``, ``local`` or ``param``. *address* is
    ``None`` for what is in no memory; *size* in bytes, 0 not known; *caller* names the place of an
    inlined call.
    """

    address: Hex | None
    module: str
    name: str
    kind: str
    size: int
    symbol_type: str
    value: str
    caller: str


class NearestSymbols(ShownItem, frozen=True):
    """What ``ln`` says: the line, the symbol at or below with the displacement, the one above."""

    address: Hex
    file: str
    line: int
    line_displacement: Hex
    name: str
    symbol_address: Hex
    displacement: Hex
    next_name: str
    next_address: Hex | None
    exact: tuple[str, ...]


class _Options(msgspec.Struct, frozen=True):
    """Letters after ``/``, and the size in bytes that ``/s`` asks for."""

    letters: frozenset[str]
    size: int | None

    def __contains__(self, letter: str) -> bool:
        return letter in self.letters

    @property
    def sort_key(self) -> Callable[[SymbolRow], tuple[object, ...]] | None:
        if {"a", "A"} & self.letters:
            return lambda row: (row.address or 0,)
        if {"n", "N"} & self.letters:
            return lambda row: (row.module.lower(), row.name.lower(), row.address or 0)
        if {"z", "Z"} & self.letters:
            return lambda row: (row.size, row.address or 0)
        return None

    @property
    def descending(self) -> bool:
        return bool({"A", "N", "Z"} & self.letters)

    def wants(self, row: SymbolRow, is_code: bool) -> bool:
        """Tell whether ``/f``, ``/d`` and ``/s`` let a symbol through."""
        if self.size is not None and row.size != self.size:
            return False
        if ("f" in self.letters) != ("d" in self.letters):
            return is_code == ("f" in self.letters)
        return True


class _Reporting(CancelToken):
    """Stands before the user's token; searches poll it, and each poll may report progress."""

    def __init__(self, ctx: CommandContext) -> None:
        super().__init__()
        self._ctx = ctx
        self._started = time.monotonic()
        self.what = ""
        self.found = 0
        self.done = 0
        self.total = 0

    def check(self) -> None:
        self._ctx.cancel.check()
        if time.monotonic() - self._started > 0.5:
            found = f", {self.found} found" if self.found else ""
            self._ctx.progress(f"searching {self.what}{found}", self.done, self.total)


@command(
    "x",
    summary="Find symbols by name; * and ? in module and name.",
    syntax="x [/0|/1|/2] [/tvqpfdD] [/s size] [/a|/A|/n|/N|/z|/Z] [module!]pattern",
    example="x practice!*order*    all symbols with 'order'; x /f /n practice!* functions by name",
    family="symbols",
)
def examine(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = _read_options(ctx, cursor)
    module_pattern, pattern, bang = _read_pattern(cursor)
    system = ctx.system
    rows: Iterator[Item]
    if bang is None:
        rows = _locals(ctx, system, pattern, options)
    else:
        modules = _modules(system, module_pattern, bang)
        rows = _search(ctx, system, modules, pattern, options)
    if "D" in options:
        yield Heading(value=f"{_ALPHABET}\n")
    if options.sort_key is None:
        yield from rows
        return
    notices: list[Item] = []
    found: list[SymbolRow] = []
    for row in rows:
        if isinstance(row, SymbolRow):
            found.append(row)
        else:
            notices.append(row)
    found.sort(key=options.sort_key, reverse=options.descending)
    yield from found
    yield from notices


def _read_options(ctx: CommandContext, cursor: Cursor) -> _Options:
    letters: set[str] = set()
    size: int | None = None
    while True:
        cursor.skip_blanks()
        if not cursor.take("/"):
            return _Options(frozenset(letters), size)
        start = cursor.position
        while (letter := cursor.peek()) and letter not in " \t;/":
            cursor.position += 1
            if letter == "s":
                size = _read_size(ctx, cursor)
                break
            if letter not in _SWITCHES:
                raise cursor.error(
                    "Syntax error",
                    hint="x has /0 /1 /2 /t /v /s N /q /p /f /d /a /A /n /N /z /Z /D",
                )
            letters.add(letter)
        if cursor.position == start:
            raise cursor.error("Syntax error")


def _read_size(ctx: CommandContext, cursor: Cursor) -> int:
    cursor.skip_blanks()
    word = cursor.match(r"[^\s;/]+")
    if word is None:
        raise CommandError("Numeric expression missing from '<EOL>'")
    return ctx.evaluate(word.group())


def _read_pattern(cursor: Cursor) -> tuple[str, str, int | None]:
    """Return the patterns of module and symbol, and where the ``!`` between them stands: nowhere
    in a pattern of local variables."""
    cursor.skip_blanks()
    start = cursor.position
    # Names as shown hold blanks (`x mod!*operator new*`), so the pattern goes up to a ";".
    text = cursor.rest()
    module, bang, pattern = text.partition("!")
    if not bang:
        return "", text.strip(), None
    if module.startswith('"') and pattern.endswith('"'):
        module, pattern = module[1:], pattern[:-1]
    return module.strip(), pattern.strip(), start + text.index("!")


def _modules(system: System, pattern: str, bang: int) -> list[Module]:
    """Return the modules whose names match, in order of address.

    :raises CommandError: a name without wildcards that no module has.
    """
    if not is_wildcard(pattern):
        found = system.modules.named(pattern)
        if found is None:
            raise CommandError(
                "Couldn't resolve",
                identifier="symbols.no-such-module",
                caret=bang,
                quote_end=bang,
                hint="lm lists the modules; * and ? are allowed in a module's name",
            )
        return [found]
    regex = compile_wildcard(pattern, symbols=False)
    return [m for m in system.modules.modules if regex.fullmatch(m.name)]


def _search(
    ctx: CommandContext,
    system: System,
    modules: Sequence[Module],
    pattern: str,
    options: _Options,
) -> Iterator[Item]:
    report = _Reporting(ctx)
    report.total = len(modules) if len(modules) > 1 else 0

    @functools.cache
    def view() -> FrameView | None:
        return current_view(ctx.session)

    for number, module in enumerate(modules):
        report.check()
        report.what = module.name
        report.done = number if report.total else 0
        source = system.modules.symbols(module)
        if source is None:
            continue
        try:
            for symbol in source.symbols_matching(pattern or "*", report):
                row = _row(system, module, source, symbol, options)
                if options.wants(row, symbol.is_code):
                    report.found += 1
                    yield row
            for variable in source.globals_without_address(pattern or "*", report):
                row = _without_address(system, module, variable, view(), options)
                if options.wants(row, is_code=False):
                    report.found += 1
                    yield row
            yield from _inlined(module, source, pattern or "*", options, report)
        except DebuggerError as error:
            yield Notice(
                identifier="symbols.damaged",
                value=f"*** ERROR: {sanitise_line(source.path)}: {error.message}",
            )


def _inlined(
    module: Module, source: SymbolSource, pattern: str, options: _Options, report: _Reporting
) -> Iterator[Item]:
    """Yield the inlined calls of functions that match; they come last, as finding them is slow."""
    if not isinstance(source, PdbSource) or ("d" in options and "f" not in options):
        return
    for call in source.inlined_matching(pattern, report):
        row = _inlined_row(module, call, options)
        if options.wants(row, is_code=True):
            report.found += 1
            yield row


def _row(
    system: System, module: Module, source: SymbolSource, symbol: Symbol, options: _Options
) -> SymbolRow:
    # Values cost reads of memory: only where they are shown.
    bare = {"0", "1", "2"} & options.letters
    value = "" if bare else value_of(system, module, source, symbol)
    named = "" if bare and "t" not in options else _type_words(system, module, symbol)
    scope = "func" if symbol.is_code else "global"
    private = symbol.kind not in (SymbolKind.PUBLIC, SymbolKind.EXPORT)
    return _make_row(
        options,
        address=module.base + symbol.rva,
        pointer_size=system.pointer_size,
        module=module.name,
        name=sanitise_line(symbol.name),
        kind=symbol.kind.value,
        words=f"{'prv' if private else 'pub'} {scope:6}",
        size=symbol.size,
        type_text=named or ("<function>" if symbol.is_code and private else "<NoType>"),
        value=value,
    )


def _type_words(system: System, module: Module, symbol: Symbol) -> str:
    """Return the type of a variable as ``/t`` prints it, ``""`` where it is not known."""
    if symbol.is_code:
        return ""
    type_ = symbol_type(system, module, symbol)
    return "" if isinstance(type_, UnknownType) else sanitise_line(spelled(type_))


def _locals(ctx: CommandContext, system: System, pattern: str, options: _Options) -> Iterator[Item]:
    """Yield the variables of the selected frame that match."""
    frame = ctx.session.current_frame(ctx.cancel)
    found = variables_of(system, frame) if frame is not None else None
    if found is None:
        raise CommandError(
            "the selected frame has no records of local variables",
            identifier="types.no-locals",
            hint=f"to search a module: x module!{pattern or '*'}; in all: x *!{pattern or '*'}",
        )
    regex = compile_wildcard(pattern or "*", symbols=True)
    for each in found:
        if regex.fullmatch(each.name):
            row = _variable_row(system, "", each, options)
            if options.wants(row, is_code=False):
                yield row


def _without_address(
    system: System, module: Module, variable: Variable, view: FrameView | None, options: _Options
) -> SymbolRow:
    """Return the row of a thread's own variable or a constant of *module*."""
    value = global_value(system, module, variable, view)
    return _variable_row(system, module.name, NamedValue(variable, value), options)


def _variable_row(system: System, module: str, named: NamedValue, options: _Options) -> SymbolRow:
    variable, value = named.variable, named.value
    local = variable.kind in (VariableKind.PARAMETER, VariableKind.LOCAL)
    bare = {"0", "1", "2"} & options.letters
    type_ = value.type
    return _make_row(
        options,
        address=value.address,
        pointer_size=system.pointer_size,
        module=module,
        name=sanitise_line(named.name),
        kind=variable.kind.value,
        words=f"prv {variable.kind.value if local else 'global':6}",
        size=type_.size or 0,
        type_text="<NoType>" if isinstance(type_, UnknownType) else sanitise_line(spelled(type_)),
        value="" if bare else f"= {value_words(value)}",
        place=named.place_words or variable.kind.value,
    )


def _inlined_row(module: Module, call: InlinedCaller, options: _Options) -> SymbolRow:
    displacement = call.rva - call.caller.rva
    caller = f"{module.name}!{sanitise_line(call.caller.name)}+{displacement:x}"
    return _make_row(
        options,
        address=module.base + call.rva,
        pointer_size=8,
        module=module.name,
        name=sanitise_line(call.name),
        kind="inline",
        words="prv inline",
        size=call.size,
        type_text="<function>",
        value=f"=  (inline caller) {caller}",
        caller=caller,
    )


def _make_row(
    options: _Options,
    *,
    address: int | None,
    pointer_size: int,
    module: str,
    name: str,
    kind: str,
    words: str,
    size: int,
    type_text: str,
    value: str,
    caller: str = "",
    place: str = "",
) -> SymbolRow:
    """Return a row; *place* stands in the column of addresses for what has none."""
    full = f"{module}!{name}" if module else name
    width = 17 if pointer_size == 8 else 8
    at = f"{place:{width}}" if address is None else address_text(address, pointer_size)
    if "0" in options:
        shown = f"{at} "
    elif "1" in options:
        shown = full
    elif "2" in options:
        shown = f"{at} {full}"
    else:
        kind_words = f"{words} " if "v" in options else ""
        size_text = f" {size:4x}" if "v" in options else ""
        type_words = f" {type_text}" if "t" in options else ""
        quoted = f'@!"{full}"' if "q" in options else full
        blank = "" if "p" in options and value.startswith("(") else " "
        shown = f"{kind_words}{at}{size_text}{type_words} {quoted}{blank}{value}"
    return SymbolRow(
        address=address,
        module=module,
        name=name,
        kind=kind,
        size=size,
        symbol_type="" if type_text == "<NoType>" else type_text,
        value=value,
        caller=caller,
        shown=shown,
    )


def value_of(system: System, module: Module, source: SymbolSource, symbol: Symbol) -> str:
    """Return a function's parameter list, or ``= value`` of a variable."""
    if not symbol.is_code:
        return f"= {value_words(symbol_value(system, module, symbol))}"
    try:
        signature = source.signature_of(symbol)
    except DebuggerError:
        signature = None
    return sanitise_line(signature) if signature is not None else _NO_PARAMETERS


# -- by address --------------------------------------------------------------------------------


@command(
    "ln",
    summary="Show the symbols nearest to an address, and the source line.",
    syntax="ln [/D] [address]",
    example="ln poi(@rsp)    whose code the word on top of the stack points into",
    family="symbols",
)
def list_nearest(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    cursor.match("/[Dd]")
    system = ctx.system
    if cursor.at_end:
        pc = system.scope_registers().get("rip")
        if pc is None:
            raise CommandError("no thread, so no current instruction", hint="ln address")
        address = pc
    else:
        address = ctx.expression(cursor)
    yield from nearest(system, address)


def nearest(system: System, address: int) -> Iterator[Item]:
    """Yield what is known of *address*; nothing outside of every module."""
    module = system.modules.at(address)
    if module is not None:
        yield _in_module(system, module, address)
    elif gone := system.modules.unloaded_at(address):
        name = f"<Unloaded_{sanitise_line(gone.name)}>"
        # The engine puts the address itself in front, not the base of what was unloaded.
        yield _nearest_row(system, address, (name, gone.base), shown_start=address)


def _in_module(system: System, module: Module, address: int) -> NearestSymbols:
    rva = address - module.base
    source = system.modules.symbols(module)
    below: Symbol | None = None
    above: Symbol | None = None
    exact: Sequence[Symbol] = ()
    if source is not None:
        try:
            below, above = source.neighbours(rva)
            exact = source.symbols_at(rva)
        except DebuggerError:
            below = above = None

    def named(symbol: Symbol) -> tuple[str, int]:
        return f"{module.name}!{sanitise_line(symbol.name)}", module.base + symbol.rva

    rows = tuple(
        f"{module.name}!{sanitise_line(each.name)} {value_of(system, module, source, each)}"
        for each in exact
        if source is not None
    )
    return _nearest_row(
        system,
        address,
        named(below) if below is not None else (module.name, module.base),
        named(above) if above is not None else None,
        rows,
    )


def _nearest_row(
    system: System,
    address: int,
    below: tuple[str, int],
    above: tuple[str, int] | None = None,
    exact: tuple[str, ...] = (),
    shown_start: int | None = None,
) -> NearestSymbols:
    size = system.pointer_size
    name, start = below
    displacement = address - start
    lines: list[str] = []
    entry = system.modules.line_at(address)
    file = sanitise_line(entry.file) if entry else ""
    module = system.modules.at(address)
    into = address - module.base - entry.rva if entry and module else 0
    if entry and file:
        plus = f"+{displacement_text(into)}" if into else ""
        lines.append(f"{file}({entry.line}){plus}")
    plus = f"+{displacement_text(displacement)}" if displacement else ""
    line = f"({address_text(start if shown_start is None else shown_start, size)})   {name}{plus}"
    if above is not None:
        line += f"   |  ({address_text(above[1], size)})   {above[0]}"
    lines.append(line)
    if exact:
        lines += ["Exact matches:", *(f"    {each}" for each in exact)]
    return NearestSymbols(
        address=address,
        file=file,
        line=entry.line if entry else 0,
        line_displacement=into,
        name=name,
        symbol_address=start,
        displacement=displacement,
        next_name=above[0] if above else "",
        next_address=above[1] if above else None,
        exact=exact,
        shown="\n".join(lines),
    )
