"""``?``, ``.formats``, ``n``, ``.expr``: values of expressions, and how these are read."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.engine.settings import EVALUATORS
from polydbg.expr.formats import formats_lines, value_line
from polydbg.expr.numbers import to_signed


class Evaluation(ShownItem, frozen=True):
    """The value of an expression, 64 bits unsigned and as the signed decimal."""

    expression: str
    value: Hex
    signed: Hex


@command(
    "?",
    summary="Evaluate a MASM expression: symbols are addresses, numbers hex (.expr changes it).",
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


class ExpressionEvaluator(ShownItem, frozen=True):
    """What reads the expressions of commands: *current* is ``masm`` or ``c++``, one of
    *available*."""

    current: str
    available: tuple[str, ...]


@command(
    ".expr",
    summary="Show or choose what reads the expressions of commands: MASM or C++.",
    syntax=".expr [/s masm | /s c++ | /q]",
    example=".expr /s c++    ? and addresses are C++ from here on; ?? always is",
    family="evaluate",
)
def expression_evaluator(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    lines: list[str] = []
    cursor.skip_blanks()
    switch = cursor.match(r"[/-]([sqSQ])(?!\w)")
    if switch is not None and switch[1].lower() == "q":
        lines = ["Available expression evaluators:", *EVALUATORS.values()]
    elif switch is not None:
        name = cursor.word()
        if name.lower() in EVALUATORS:
            settings.evaluator = name.lower()
        else:
            lines = [f"No evaluator named '{sanitise_line(name)}'"]
    cursor.expect_end()
    lines.append(f"Current expression evaluator: {EVALUATORS[settings.evaluator]}")
    yield ExpressionEvaluator(
        current=settings.evaluator, available=tuple(EVALUATORS), shown="\n".join(lines)
    )
