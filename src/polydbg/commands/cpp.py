"""``??``, ``r?`` and ``.fnret``: values by their C++ types."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.dt_display import Display
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.type_rows import FieldRow, RowOptions
from polydbg.commands.value_words import (
    address_words,
    known_words,
    text_at,
    value_number,
    viewed_words,
)
from polydbg.engine.cpp_scope import CppScope
from polydbg.expr.context import ExtraCharacterError
from polydbg.expr.cpp.conversions import to_bits
from polydbg.expr.cpp.evaluator import evaluate_prefix
from polydbg.types.model import ArrayType, CompoundType, FunctionType, PointerType
from polydbg.types.naming import spelled
from polydbg.types.place import PlaceKind, constant
from polydbg.types.strings import character_type
from polydbg.types.value import Value

_REGISTERS = 20


class CppValue(ShownItem, frozen=True):
    """The value of a C++ expression. *value* is in words as ``dv`` prints it; *number* as JSON has
    it, ``None`` for classes and arrays; *address* ``None`` where it is in no memory; *fields* are
    those of a class, or of what a pointer leads to."""

    expression: str
    type_name: str
    value: str
    number: Hex | float | bool | None
    address: Hex | None
    size: int | None
    fields: tuple[FieldRow, ...]


@command(
    "??",
    summary="Evaluate a C++ expression: a variable is its value.",
    syntax="?? expression",
    example="?? @rsp + 8    registers take an @; ?? order->items[1].price shows a member",
    family="evaluate",
)
def evaluate_cpp(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    start = cursor.position
    value, cursor.position = evaluate_prefix(
        cursor.text[: _end_of_expression(cursor)], start, CppScope(ctx.session)
    )
    yield shown_value(ctx, cursor.text[start : cursor.position].strip(), value)
    cursor.skip_blanks()
    if not cursor.at_end:
        raise ExtraCharacterError(cursor.position, 0)


def _end_of_expression(cursor: Cursor) -> int:
    """Return where the command ends: at a ``;`` outside of quotes."""
    quote = ""
    for at in range(cursor.position, len(cursor.text)):
        char = cursor.text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == ";":
            return at
    return len(cursor.text)


def shown_value(ctx: CommandContext, expression: str, value: Value) -> CppValue:
    """Return *value* as ``??`` shows it.

    :raises DebuggerError: it cannot be told.
    """
    type_ = value.type.bare
    name = sanitise_line(spelled(value.type))
    fields: tuple[FieldRow, ...] = ()
    words = ""
    below: list[str] = []
    display = Display(ctx, RowOptions())
    if isinstance(type_, CompoundType):
        fields = tuple(display.fields(value))
        words = viewed_words(value, ctx.session.presenter.present)
    elif isinstance(type_, PointerType):
        shown = viewed_words(value, ctx.session.presenter.present)
        words = f"{address_words(value.bits(), value)} {shown}".rstrip()
        fields, below = _behind(display, value, type_)
    elif isinstance(type_, ArrayType):
        words, fields, below = _of_array(display, value, type_)
    elif isinstance(type_, FunctionType):
        name, words = "<function> *", address_words(value.address or 0, value)
    else:
        words = _scalar(value, expression)
    first = f"{name} {words}".rstrip() if words else name
    return CppValue(
        expression=expression,
        type_name=name,
        value=words,
        number=value_number(value),
        address=value.address,
        size=value.type.size,
        fields=fields,
        shown="\n".join([first, *below, *(each.text() for each in fields)]),
    )


def _scalar(value: Value, expression: str) -> str:
    if value.place.kind is PlaceKind.NOWHERE:
        raise CommandError(
            f"{expression} has no value here: {value.place.reason}",
            identifier="value.unavailable",
            hint="an outer frame may still have it: .frame N, dv",
        )
    try:
        return known_words(value)
    except MemoryReadError as error:
        raise CommandError(
            f"Memory access error at '{expression}'",
            identifier="expression.memory",
            hint=f"the dump has no memory at {error.address:#x}",
        ) from error


def _behind(
    display: Display, value: Value, type_: PointerType
) -> tuple[tuple[FieldRow, ...], list[str]]:
    """Return what stands below a pointer: the fields of the class, or the text."""
    address = value.bits()
    character = None if type_.is_reference else character_type(type_.target)
    if character is not None:
        return (), [f" {text_at(address, character, value)}"] if address else []
    target = value.target()
    if not isinstance(target.type.bare, CompoundType):
        return (), []
    try:
        value.around.memory.read(address, 1)
    except MemoryReadError:
        return (), []
    return tuple(display.fields(target)), []


def _of_array(
    display: Display, value: Value, type_: ArrayType
) -> tuple[str, tuple[FieldRow, ...], list[str]]:
    """Return the address of an array, and its first element below."""
    words = address_words(value.address, value) if value.address is not None else ""
    if type_.count == 0 or not type_.element.size:
        return words, (), []
    first = value.element(0)
    if isinstance(first.type.bare, CompoundType):
        return words, tuple(display.fields(first)), []
    return words, (), [display.writer.words(first)]


@command(
    "r?",
    summary="Give a user variable a typed value: $t0 to $t19.",
    syntax="r? $tN = expression",
    example="r? $t1 = (int)5    @$t1 is an int in later C++ expressions",
    family="evaluate",
)
def set_typed(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    found = cursor.match(r"@?(\$t(\d+))[ \t]*=")
    if found is None or int(found[2]) >= _REGISTERS:
        raise cursor.error("Syntax error", hint="r? $t0 = EXPRESSION; $t0 to $t19 are there")
    name, number = found[1].lower(), int(found[2])
    value, cursor.position = evaluate_prefix(
        cursor.text[: _end_of_expression(cursor)], cursor.position, CppScope(ctx.session)
    )
    evaluator = ctx.session.evaluator
    evaluator.user_registers[number] = to_bits(value)
    evaluator.typed_registers[name] = value
    return
    yield  # a generator like every command


@command(
    ".fnret",
    summary="Show what a function returned, by its type.",
    syntax=".fnret [/s] address [value]",
    example=".fnret practice!find_price 0    what 0 means there: a null price *",
    family="evaluate",
)
def function_return(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    cursor.skip_blanks()
    keeps = cursor.match("/s") is not None
    address = ctx.expression(cursor)
    evaluator = ctx.session.evaluator
    number = evaluator.pseudo_register("$retreg") if cursor.at_end else ctx.expression(cursor)
    system = ctx.system
    name = system.modules.place(address).text
    module = system.modules.at(address)
    source = system.modules.symbols(module) if module is not None else None
    type_ = source.type_at(address - module.base) if source is not None and module else None
    if not isinstance(type_, FunctionType):
        raise CommandError(
            f"the symbols have no type of a function that starts at {name}",
            identifier="types.no-function",
            hint=".fnret wants the start of a function: .fnret module!function",
        )
    if number is None:
        raise CommandError("Bad register error at '@$retreg'")
    size = type_.result.size or 0
    around = system.types.around
    if not size:
        yield Text(value=f"{sanitise_line(name)} returns nothing")
        return
    if size > around.model.pointer_size:
        raise CommandError(
            f"{sanitise_line(name)} returns {size:#x} bytes, more than a register holds",
            identifier="value.unavailable",
            hint="the caller passed where to store them: dt TYPE ADDRESS",
        )
    data = (number & (1 << 8 * size) - 1).to_bytes(size, around.model.order)
    value = Value(type_.result, constant(data), around)
    if keeps:
        evaluator.typed_registers["$callret"] = value
    yield shown_value(ctx, name, value)
