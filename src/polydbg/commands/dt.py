"""``dt`` and ``dtx``: types, and what lies in memory seen as one.

``dtx`` hands its type and address on to ``dx``.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.base.wildcards import is_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.dt_display import Display, ObjectRow
from polydbg.commands.dt_lists import follow_list
from polydbg.commands.dt_names import Meaning, meaning_of
from polydbg.commands.dt_patterns import matching_names
from polydbg.commands.dt_request import SWITCHES, Request, read_request
from polydbg.commands.output import Item, Notice, Text
from polydbg.commands.registry import command
from polydbg.commands.type_words import spelling, tight
from polydbg.engine.variables import NamedValue
from polydbg.types.place import PlaceKind, in_memory
from polydbg.types.value import Value

_SYNTAX = (
    f"dt [{SWITCHES}] [module!]name [field ...] [address] [-l link]    dt -h explains the switches"
)
_HELP = """\
  -r[n]    open nested and pointed-to structures, n levels deep (2 without n)
  -b       open nested structures, but follow no pointers
  -a[n]    each element of an array in a line of its own, n of them
  -l LINK  follow the list by that field (behind the name)
  -v       say more: sizes, kinds of fields; raw members instead of views
  -o -i -c leave out offsets; do not indent; print in one line
  -t       types only, no variables; so do struct, class, union, enum in front of the name
  -n -y    the next word is a name, whatever it looks like; names begin with the word
  -s N     of a pattern: only types of N bytes
  -d       of a pattern: the members of each type, not only its name
  -e       changes nothing: patterns list types anyway"""
_NO_ELEMENTS = 5
"""How many elements ``-a`` shows where there is no array."""


@command(
    "dt",
    summary="Show a type, or what lies in memory as that type; a variable by its type.",
    syntax=_SYNTAX,
    example="dt practice!order; dt practice!order @rsp -r1; dt practice!o*",
    family="variables",
)
def display_type(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    request = read_request(cursor)
    if "h" in request:
        yield Text(value=f"{_SYNTAX}\n{_HELP}")
        return
    if not request.name:
        raise cursor.error("Syntax error", hint="dt needs the name of a type or a variable")
    if request.is_pattern:
        yield from matching_names(ctx, request)
        return
    meaning = meaning_of(ctx, request.name, request.keyword, request.types_only)
    if meaning is None and is_wildcard(request.name):  # in the arguments of a template
        yield from matching_names(ctx, request)
        return
    if meaning is None:
        raise _not_found(request)
    address = _address(ctx, request)
    display = Display(ctx, request.rows())
    yield from _shown(ctx, display, request, meaning, address)
    yield from display.faults()


def _not_found(request: Request) -> CommandError:
    hint = "dt MODULE!* lists what a module has; lm which modules have symbols"
    if request.link:
        hint = f"-l stands behind the name: dt {request.link} ADDRESS -l {request.name}"
    return CommandError(
        f"Symbol {sanitise_line(request.name)} not found.",
        identifier="types.not-found",
        hint=sanitise_line(hint),
    )


def _address(ctx: CommandContext, request: Request) -> int | None:
    """Return the address that was given; 0 is none, as in the engine."""
    if not request.address:
        return None
    address = ctx.evaluate(request.address)
    return address & (1 << 8 * ctx.system.pointer_size) - 1 or None


def _shown(
    ctx: CommandContext, display: Display, request: Request, meaning: Meaning, address: int | None
) -> Iterator[Item]:
    value = _object(meaning, address, ctx)
    if meaning.local is not None and address is None:
        yield _local_head(meaning.local)
    elif meaning.local is not None:
        yield from _shadowing(ctx, request, meaning.local)
    elif meaning.module is not None and "!" not in request.name:
        name = sanitise_line(f"{meaning.module.name}!{meaning.type.name or request.name}")
        yield ObjectRow(name=name, type_name=spelling(meaning.type), kind="type", shown=name)
    if request.link:
        yield from follow_list(ctx, display, _first_of_list(value), request.link)
    elif value is None:
        yield from display.type(meaning.type, request.name.rpartition("!")[2])
    elif request.elements is not None and value.address is not None:
        count = request.elements or display.count(value) or _NO_ELEMENTS
        yield from display.elements(value, count)
    else:
        yield from display.value(value, request.name.rpartition("!")[2])


def _shadowing(ctx: CommandContext, request: Request, local: NamedValue) -> Iterator[Item]:
    """Yield a word of warning where a local variable stands before a type of its name: as in the
    engine it is the variable's type that the address is seen as."""
    if ctx.system.types.named(request.name, ctx.cancel) is not None:
        name = sanitise_line(request.name)
        yield Notice(
            identifier="types.local-shadows-type",
            value=f"({sanitise_line(local.name)} is a local variable of type "
            f"{tight(local.value.type)} here; the type: dt -t {name} ADDRESS)",
        )


def _object(meaning: Meaning, address: int | None, ctx: CommandContext) -> Value | None:
    """Return the object that is meant: at the address given, or the variable's own."""
    if address is not None:
        return Value(meaning.type, in_memory(address), ctx.system.types.around)
    return meaning.local.value if meaning.local is not None else meaning.value


def _local_head(local: NamedValue) -> ObjectRow:
    place = local.value.place
    words = f"<{place.kind.value}>"
    if place.kind is PlaceKind.MEMORY:
        words = f"{place.address:#x}"
    elif place.kind is PlaceKind.REGISTER:
        words = place.register
    elif place.kind is PlaceKind.NOWHERE:
        words = "<unavailable>"
    type_ = tight(local.value.type)
    return ObjectRow(
        name=sanitise_line(local.name),
        type_name=spelling(local.value.type),
        address=place.address if place.kind is PlaceKind.MEMORY else None,
        kind="local",
        shown=f"Local var @ {words} Type {type_}",
    )


def _first_of_list(value: Value | None) -> Value:
    """Return the first element of the list that ``-l`` follows.

    :raises CommandError: there is only a type.
    """
    if value is None:
        raise CommandError(
            "a list needs the address of its first element",
            identifier="types.no-address",
            hint="dt app!Node ADDRESS -l next",
        )
    return value


@command(
    "dtx",
    summary="Show an object by its type as dx does.",
    syntax="dtx [-rN] [module!]type address",
    example="dtx practice!order 0x11fc00; dtx -r2 practice!shop @rsp",
    family="variables",
)
def display_type_as_model(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    request = read_request(cursor)
    address = _address(ctx, request)
    if not request.name or address is None:
        raise cursor.error("Syntax error", hint="dtx TYPE ADDRESS")
    depth = f"-r{request.depth} " if request.depth else ""
    yield from ctx.run(f"dx {depth}(*(({request.name} *){address:#x}))")
