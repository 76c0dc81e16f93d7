"""``dv``: the variables of the selected frame with their values."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise_line
from polydbg.base.wildcards import compile_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.value_words import type_problem, value_number, value_words
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame
from polydbg.engine.variables import NamedValue, variables_of
from polydbg.types.naming import spelled
from polydbg.types.place import PlaceKind
from polydbg.types.source import VariableKind

_SWITCHES = "irtvVaAnNzZ"
_NAME_WIDTH = 15
_PLACE_WIDTH = 17
NO_LOCALS = (
    "Unable to enumerate locals, Win32 error 0n318",
    "Private symbols (symbols.pri) are required for locals.",
    'Type ".hh dbgerr005" for details.',
)
_GUESSED = "WARNING: this frame is a guess, or follows one: its variables may hold other things."
_NO_RECORD = ("Unable to enumerate locals, Win32 error 0n87", *NO_LOCALS[1:])


class LocalRow(ShownItem, frozen=True):
    """A variable of a frame: *value* as ``dv`` prints it, ``<value unavailable>`` with the *reason*
    where it cannot be told. *kind* is ``param``, ``local``, ``static``, ...; *address* ``None`` for
    what is in no memory, *place* is ``@rsp+0x0070``, ``@r10`` or ``""``; *size* in bytes. *number*
    is the value as JSON has it, ``None`` for classes, arrays and what is lost; ``dx`` opens these,
    *name* is the expression to give it."""

    name: str
    type_name: str
    value: str
    number: Hex | float | bool | None
    kind: str
    address: Hex | None
    place: str
    size: int | None
    reason: str


class _Options(msgspec.Struct, frozen=True):
    letters: frozenset[str]
    frame: int | None
    pattern: str


@command(
    "dv",
    summary="Show the variables of the selected frame: parameters, locals, statics.",
    syntax="dv [/f address] [/i] [/r] [/t] [/v | /V] [/a|/A|/n|/N|/z|/Z] [pattern]",
    example="dv /t /V    with types and places; dv or* those whose names begin with 'or'",
    family="variables",
)
def display_variables(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = _read_options(ctx, cursor)
    frame = _frame(ctx, options)
    found = variables_of(ctx.system, frame) if frame is not None else None
    if frame is None or found is None:
        yield from (Text(value=line) for line in no_locals(ctx.system, frame))
        return
    if frame.trust.is_guess or frame.frame.follows_guess:
        yield Notice(identifier="stack.guessed", value=_GUESSED)
    if options.pattern:
        regex = compile_wildcard(options.pattern, symbols=True)
        found = [each for each in found if regex.fullmatch(each.name)]
    for each in _sorted(found, options.letters):
        ctx.cancel.check()
        yield local_row(ctx, each, options.letters)


def _read_options(ctx: CommandContext, cursor: Cursor) -> _Options:
    letters: set[str] = set()
    frame: int | None = None
    while True:
        cursor.skip_blanks()
        if not cursor.take("/"):
            break
        if cursor.take("f"):
            frame = ctx.expression(cursor)
            continue
        found = cursor.match(f"[{_SWITCHES}]+")
        if found is None:
            raise cursor.error(
                "Syntax error", hint="dv has /f ADDRESS /i /r /t /v /V /a /A /n /N /z /Z"
            )
        letters |= set(found.group())
    word = cursor.match(r"[^;]+")
    return _Options(frozenset(letters), frame, word.group().strip() if word else "")


def _frame(ctx: CommandContext, options: _Options) -> StackFrame | None:
    """Return the selected frame, or the one whose function ``/f`` names.

    :raises CommandError: no frame of the stack is in that function.
    """
    if options.frame is None:
        return ctx.session.current_frame(ctx.cancel)
    system = ctx.system
    wanted = system.modules.place(options.frame)
    limit = ctx.session.settings.stack_limit
    for row in ctx.session.stack(system, system.scope_registers(), limit, ctx.cancel):
        same = row.place.module == wanted.module and row.place.symbol == wanted.symbol
        if same and wanted.symbol:
            return row
    raise CommandError(
        f"no frame of this stack is in {wanted.base_text}",
        identifier="stack.no-such-frame",
        hint="k lists the frames; .frame N chooses one",
    )


def no_locals(system: System, frame: StackFrame | None) -> tuple[str, ...]:
    """Return the engine's three lines; its number tells whether there are symbols at all."""
    lookup = frame.frame.lookup_pc if frame is not None else 0
    module = system.modules.at(lookup)
    source = system.modules.symbols(module) if module is not None else None
    has_private = source is not None and source.status.startswith("private")
    return _NO_RECORD if has_private else NO_LOCALS


def _sorted(found: list[NamedValue], letters: frozenset[str]) -> list[NamedValue]:
    if {"a", "A"} & letters:
        found = sorted(found, key=lambda each: each.value.address or 0)
    elif {"n", "N"} & letters:
        found = sorted(found, key=lambda each: each.name.lower())
    elif {"z", "Z"} & letters:
        found = sorted(found, key=lambda each: each.value.type.size or 0)
    return found[::-1] if {"A", "N", "Z"} & letters else found


def local_row(
    ctx: CommandContext, named: NamedValue, letters: frozenset[str] = frozenset()
) -> LocalRow:
    """Return the row of one variable, with what *letters* of ``dv`` ask for."""
    value, place = named.value, named.value.place
    type_text = sanitise_line(spelled(value.type))
    name = sanitise_line(named.name)
    words = value_words(value, ctx.session.presenter.present)
    missing = type_problem(value)
    line = f"{type_text} {name} = {words}" if "t" in letters else f"{name:>{_NAME_WIDTH}} = {words}"
    if {"v", "V"} & letters:
        line = f"{_places(ctx.system, named, 'V' in letters)} {line}"
    if "i" in letters:
        kind = "param" if named.is_parameter else "local"
        line = f"prv {kind}  {line}"
    return LocalRow(
        name=name,
        type_name=type_text,
        value=words,
        number=value_number(value),
        kind=named.variable.kind.value,
        address=value.address,
        place=named.place_words,
        size=value.type.size,
        reason=place.reason if place.kind is PlaceKind.NOWHERE else "",
        shown=f"Type information missing error for {name}" if missing else line,
    )


def _places(system: System, named: NamedValue, both: bool) -> str:
    """Return the columns of ``/v`` and ``/V``: the address or register, and how it is found."""
    value, words = named.value, named.place_words
    if value.address is not None:
        first = address_text(value.address, system.pointer_size)
        second = words if named.variable.kind is not VariableKind.STATIC else first
    elif value.place.kind is PlaceKind.NOWHERE:
        first = second = "<unavailable>"
    else:
        first = second = words or f"<{value.place.kind.value}>"
    width = 17 if system.pointer_size == 8 else 8
    shown = f"{first:{width}}"
    return f"{shown} {second or first:{_PLACE_WIDTH}}" if both else shown
