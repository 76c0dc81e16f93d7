"""``?``, ``.formats``, ``n``: values of expressions."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.expr.formats import formats_lines, value_line
from polydbg.expr.numbers import to_signed


class Evaluation(ShownItem, frozen=True):
    """The value of an expression, 64 bits unsigned and as the signed decimal."""

    expression: str
    value: Hex
    signed: Hex


@command(
    "?",
    summary="Evaluate a MASM expression: symbols are addresses, numbers hex.",
    syntax="? expression",
    example="? poi(@rsp)+10    the word on top of the stack, plus 16",
    family="evaluate",
)
def evaluate_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end:
        yield from ctx.run(".help")
        return
    text = cursor.rest()
    value = ctx.evaluate(text)
    ctx.session.evaluator.last_value = value
    yield Evaluation(
        expression=text,
        value=value,
        signed=to_signed(value),
        shown=value_line(value, ctx.session.evaluator.pointer_size),
    )


@command(
    ".formats",
    summary="Show a value in every number format.",
    syntax=".formats expression",
    example=".formats 0n600",
    family="evaluate",
)
def formats(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'")
    text = cursor.rest()
    value = ctx.evaluate(text)
    lines = formats_lines(value, ctx.session.evaluator.pointer_size)
    yield Evaluation(
        expression=text,
        value=value,
        signed=to_signed(value),
        shown="\n".join(["Evaluate expression:", *lines]),
    )


@command(
    "n",
    summary="Show or set the radix of numbers: 8, 10 or 16.",
    syntax="n [8 | 10 | 16]",
    example="n 10    numbers are decimal from here on; 0x1f and 0n31 keep their meaning",
    family="evaluate",
)
def radix(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if not cursor.at_end:
        if not cursor.peek().isdigit():
            raise cursor.error("Syntax error")
        word = cursor.word()
        if word not in ("8", "10", "16"):
            raise cursor.error("Syntax error", hint="the radix is 8, 10 or 16")
        ctx.session.settings.radix = int(word)
    yield Text(value=f"base is {ctx.session.settings.radix}")
