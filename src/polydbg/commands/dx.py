"""``dx``: expressions of the data model, and what they lead to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from polydbg.base.errors import CommandError, DebuggerError, ExpressionError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.dx_grid import grid
from polydbg.commands.dx_rows import MAX_SHOWN, ModelRows, RowOptions, method_row
from polydbg.commands.output import Item, Text, joined
from polydbg.commands.registry import command
from polydbg.engine.model.context import ModelContext
from polydbg.engine.model.evaluator import evaluate, methods_of
from polydbg.engine.model.objects import DataObject, Method, error_words
from polydbg.expr.cpp.nodes import (
    AssignmentNode,
    BinaryNode,
    CastNode,
    ConditionalNode,
    Node,
    UnaryNode,
)
from polydbg.expr.dx.nodes import LambdaNode
from polydbg.expr.dx.specifiers import Specifiers, read_specifiers

_SYNTAX = (
    "dx [-g | -gc WIDTH] [-c SKIP] [-n] [-v] [-s] [-r[LEVELS]] expression[,format]    "
    "-h [expression] shows help"
)
_COMPOUND = (AssignmentNode, BinaryNode, CastNode, ConditionalNode, UnaryNode, LambdaNode)
_MAX_COUNT = 1 << 32


class _Request(msgspec.Struct):
    """What stands between ``dx`` and the expression."""

    levels: int = 1
    skip: int = 0
    width: int | None = None
    is_grid: bool = False
    is_raw: bool = False
    is_silent: bool = False
    is_verbose: bool = False
    is_help: bool = False


@command(
    "dx",
    summary="Evaluate an expression of the data model: C++, objects of the debugger, queries.",
    syntax=_SYNTAX,
    example="dx @$curprocess.Threads.Select(t => t.Stack.Frames.First())    the top frame of each",
    family="variables",
)
def display_expression(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    request = _read_request(cursor)
    text = _read_expression(cursor)
    if not text:
        yield Text(value=_SYNTAX)
        return
    context = ModelContext(
        ctx.session, ctx.cancel, lambda line: _lines(ctx, line), use_views=not request.is_raw
    )
    try:
        object_, node, end = evaluate(text, context)
        how = _specifiers(context, text, end)
        if request.is_silent:
            return
        yield from _shown(ctx, context, request, object_, _Place(text, _path(text, node, end), how))
    except CommandError:
        raise
    except DebuggerError as error:
        raise _failure(error) from error


class _Place(msgspec.Struct, frozen=True):
    """What was asked for: as it was typed, as the beginning of a longer path, and in what form."""

    name: str
    path: str
    how: Specifiers


def _shown(
    ctx: CommandContext,
    context: ModelContext,
    request: _Request,
    object_: DataObject,
    place: _Place,
) -> Iterator[Item]:
    if request.is_help:
        yield from _help(context, object_, place)
    elif request.is_grid:
        yield from grid(
            object_, place.path, place.how, skip=request.skip, limit=MAX_SHOWN,
            width=request.width, cancel=ctx.cancel,
        )  # fmt: skip
    elif isinstance(object_, Method):
        yield method_row(object_, place.name, place.path, 0)
    else:
        options = RowOptions(request.levels, request.skip, request.is_verbose)
        yield from ModelRows(context, options, ctx.cancel).rows(
            object_, place.name, place.path, place.how
        )


def _help(context: ModelContext, object_: DataObject, place: _Place) -> Iterator[Item]:
    """Show what an object has: the names of its parts, and its methods with what they do."""
    if isinstance(object_, Method):
        yield method_row(object_, place.name, place.path, 0)
        return
    yield Text(value=place.name)
    for part in object_.properties():
        yield Text(value=f"    {part.name}")
    for name, method in methods_of(context, object_).items():
        yield method_row(method, name, f"{place.path}.{name}", 1)


# -- reading -----------------------------------------------------------------------------------


def _read_request(cursor: Cursor) -> _Request:
    request = _Request()
    while True:
        cursor.skip_blanks()
        found = cursor.match(
            r"-(?:(?P<recurse>r)(?P<levels>\d{1,4})?|(?P<count>gc|c)\s+(?P<number>0x[\da-f]+|\d+)"
            r"|(?P<flag>[gvnsh?]))(?=\s|$)"
        )
        if found is None:
            return request
        if found["recurse"]:
            request.levels = int(found["levels"] or 1)
        elif found["count"]:
            number = min(int(found["number"], 0), _MAX_COUNT)
            if found["count"] == "c":
                request.skip = number
            else:
                request.is_grid, request.width = True, number
        else:
            _set_flag(request, found["flag"])


def _set_flag(request: _Request, flag: str) -> None:
    request.is_grid |= flag == "g"
    request.is_verbose |= flag == "v"
    request.is_raw |= flag == "n"
    request.is_silent |= flag == "s"
    request.is_help |= flag in "h?"


def _read_expression(cursor: Cursor) -> str:
    """Read up to a ``;`` outside quotes, parentheses and braces."""
    start = cursor.position
    depth, quote, text = 0, "", cursor.text
    while cursor.position < len(text):
        char = text[cursor.position]
        if quote:
            if char == "\\":
                cursor.position += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == ";" and depth <= 0:
            break
        cursor.position += 1
    cursor.position = min(cursor.position, len(text))
    return text[start : cursor.position].strip()


def _specifiers(context: ModelContext, text: str, end: int) -> Specifiers:
    """Return the format specifiers behind the expression, a count that is an expression as its
    number.

    :raises ExpressionError: they are none.
    """
    try:
        found = read_specifiers(text, end)
    except ExpressionError as error:
        rest = text[end:] or "<EOL>"
        raise ExpressionError(
            f"Unexpected token at '{rest}'", hint=error.hint, identifier=error.identifier
        ) from error
    if found.count_expression:
        counted, _, _ = evaluate(found.count_expression, context)
        number = max(0, min(context.integer(counted), _MAX_COUNT))
        return msgspec.structs.replace(found, count=number, count_expression="")
    return found


def _path(text: str, node: Node, end: int) -> str:
    """Return the expression as the beginning of a longer one."""
    bare = text[:end].rstrip()
    is_whole = node.start == 0 and node.end == len(bare)
    if isinstance(node, _COMPOUND) and is_whole:
        return f"({bare})"
    return bare


def _lines(ctx: CommandContext, line: str) -> list[str]:
    """Return what a command line prints, for ``ExecuteCommand``."""
    return joined(ctx.run(line)).splitlines()


def _failure(error: DebuggerError) -> CommandError:
    return CommandError(
        f"Error: {error_words(error)}", hint=error.hint, identifier=error.identifier
    )
