"""``.if``, ``.for``, ``.while``, ``.do``, ``.foreach``, ``.block``, ``.catch``, ``j``, ``z``."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

from polydbg.base.errors import CommandError
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.flow import BreakLoop, ContinueLoop, LeaveCatch, ProgramFailed
from polydbg.commands.host_files import host_text
from polydbg.commands.output import Item, Text, gathered
from polydbg.commands.registry import command

MAX_TOKENS = 1 << 20
"""Most rounds of ``.foreach``."""
_MAX_FILE = 16 << 20
_MAX_OUTPUT = 64 << 20
_CONDITION_HINT = "a condition stands in parentheses: .if (@$t0 > 5) { k }"
_BLOCK_HINT = "commands stand in braces: .if (1) { k }"


def _condition(ctx: CommandContext, text: str) -> bool:
    return ctx.evaluate(text) != 0


def _parenthesised(cursor: Cursor) -> str:
    cursor.skip_blanks()
    return cursor.enclosed("(", ")", hint=_CONDITION_HINT)


def _block(cursor: Cursor) -> str:
    cursor.skip_blanks()
    return cursor.enclosed("{", "}", hint=_BLOCK_HINT)


@command(
    ".if",
    summary="Run commands where a condition is true, others where it is not.",
    syntax=".if (condition) { commands } [.elsif (condition) { commands }] [.else { commands }]",
    example='.if (@$t0 > 5) { .echo "many" } .else { .echo "few" }',
    family="control",
)
def if_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    chosen: str | None = None
    condition, block = _parenthesised(cursor), _block(cursor)
    if _condition(ctx, condition):
        chosen = block
    while True:
        if cursor.match(r"[ \t]*\.elsif(?![A-Za-z])"):
            condition, block = _parenthesised(cursor), _block(cursor)
            if chosen is None and _condition(ctx, condition):
                chosen = block
        elif cursor.match(r"[ \t]*\.else(?![A-Za-z])"):
            block = _block(cursor)
            chosen = block if chosen is None else chosen
            break
        else:
            break
    cursor.is_after_block = True
    if chosen is not None:
        yield from ctx.block(chosen)


@command(
    ".else",
    summary="The other commands of .if.",
    syntax=".if (condition) { commands } .else { commands }",
    example=".if (0) { .echo yes } .else { .echo no }",
    family="control",
    aliases=(".elsif",),
)
def stray_else(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    raise cursor.error("Syntax error", hint="it follows the block of .if, without a ; before it")
    yield  # a generator like every command


@command(
    ".for",
    summary="Run commands in a loop with a counter.",
    syntax=".for (first; condition; step [; step]) { commands }",
    example='.for (r $t0 = 0; @$t0 < 3; r $t0 = @$t0 + 1) { .printf "%d\\n", @$t0 }',
    family="control",
)
def for_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    parts = _split(_parenthesised(cursor))
    block = _block(cursor)
    cursor.is_after_block = True
    if len(parts) < 3:
        raise CommandError("Syntax error", hint=".for (first; condition; step) { commands }")
    first, condition, steps = parts[0], parts[1].strip(), ";".join(parts[2:])
    yield from ctx.block(first)
    while not condition or _condition(ctx, condition):
        ctx.cancel.check()
        if (yield from _round(ctx, block)):
            break
        yield from ctx.block(steps)


@command(
    ".while",
    summary="Run commands as long as a condition is true.",
    syntax=".while (condition) { commands }",
    example='.while (@$t0) { .printf "%d\\n", @$t0; r $t0 = @$t0 - 1 }',
    family="control",
)
def while_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    condition, block = _parenthesised(cursor), _block(cursor)
    cursor.is_after_block = True
    while _condition(ctx, condition):
        ctx.cancel.check()
        if (yield from _round(ctx, block)):
            break


@command(
    ".do",
    summary="Run commands, again as long as a condition is true.",
    syntax=".do { commands } (condition)",
    example='.do { .printf "%d\\n", @$t0; r $t0 = @$t0 + 1 } (@$t0 < 2)',
    family="control",
)
def do(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    block, condition = _block(cursor), _parenthesised(cursor)
    cursor.is_after_block = True
    while True:
        ctx.cancel.check()
        if (yield from _round(ctx, block)) or not _condition(ctx, condition):
            break


def _round(ctx: CommandContext, block: str) -> Generator[Item, None, bool]:
    """Run the commands of a loop once; its value tells whether the loop was left."""
    ctx.flow.loops += 1
    try:
        yield from ctx.block(block)
    except ContinueLoop:
        return False
    except BreakLoop:
        return True
    finally:
        ctx.flow.loops -= 1
    return False


@command(
    ".break",
    summary="Leave a loop.",
    syntax=".break",
    example=".while (1) { .if (@$t0 > 5) { .break }; r $t0 = @$t0 + 1 }",
    family="control",
)
def break_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    _require(ctx.flow.loops, cursor, ".break outside of scope error")
    raise BreakLoop
    yield  # a generator like every command


@command(
    ".continue",
    summary="Go on with the next round of a loop.",
    syntax=".continue",
    example=".for (r $t0=0; @$t0<9; r $t0=@$t0+1) { .if (@$t0 % 2) { .continue }; ? @$t0 }",
    family="control",
)
def continue_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    _require(ctx.flow.loops, cursor, ".continue outside of scope error")
    raise ContinueLoop
    yield  # a generator like every command


@command(
    ".catch",
    summary="Run commands; one that fails ends these alone.",
    syntax=".catch { commands }",
    example=".catch { ? nosuch }; .echo goes on",
    family="control",
)
def catch(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    block = _block(cursor)
    cursor.is_after_block = True
    ctx.flow.catches += 1
    try:
        yield from ctx.block(block)
    except (LeaveCatch, ProgramFailed):
        return
    finally:
        ctx.flow.catches -= 1


@command(
    ".leave",
    summary="Leave a .catch block.",
    syntax=".leave",
    example=".catch { .if (@$t0) { .leave }; k }",
    family="control",
)
def leave(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    _require(ctx.flow.catches, cursor, ".leave outside of .catch error")
    raise LeaveCatch
    yield  # a generator like every command


def _require(depth: int, cursor: Cursor, message: str) -> None:
    if not depth:
        raise cursor.error(message)


@command(
    ".block",
    summary="Run commands, their aliases replaced anew.",
    syntax=".block { commands }",
    example="aS /x v 5+1; .block { .echo v }",
    family="control",
)
def block_(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    block = _block(cursor)
    cursor.is_after_block = True
    yield from ctx.block(block)


@command(
    ".foreach",
    summary="Run commands for each word of other commands' output, of a text or of a file.",
    syntax='.foreach [/pS n] [/ps n] (name { commands }) { commands }, with /s (name "text"), '
    'with /f (name "file")',
    example='.foreach /s (place "40001550 40001580") { ln place }',
    family="control",
)
def foreach(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    skips, source = {"S": 0, "s": 0}, ""
    while found := cursor.match(r"[ \t]*/(?:p([sS])[ \t]+|([sf])(?=[ \t(]))"):
        if found[1]:
            skips[found[1]] = min(ctx.evaluate(cursor.word()), MAX_TOKENS)
        else:
            source = found[2]
    inside = Cursor(_parenthesised(cursor))
    name = inside.word()
    if not name:
        raise cursor.error("Syntax error", hint=".foreach (name { commands }) { commands }")
    if source:
        text = inside.string_or_word()
        words = (host_text(text, _MAX_FILE) if source == "f" else text).split()
    else:
        words = gathered(ctx.block(_block(inside)), _MAX_OUTPUT).split()
    block = _block(cursor)
    cursor.is_after_block = True
    for word in words[skips["S"] : MAX_TOKENS : skips["s"] + 1]:
        ctx.cancel.check()
        # A file may be a log: its words are not the user's either.
        with ctx.session.aliases.variables({name: word}, is_foreign=source != "s"):
            if (yield from _round(ctx, block)):
                break


@command(
    "j",
    summary="Run one command or another, by a condition.",
    syntax="j condition command ; command, or with quotes: j condition 'commands' ; 'commands'",
    example="j (@$t0 > 5) 'k; r' ; '.echo few'",
    family="control",
    rest_of_line=True,
)
def judge(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    value = ctx.expression(cursor)
    first = _branch(cursor)
    cursor.match(r"[ \t]*;?")
    second = _branch(cursor)
    chosen = first if value else second
    cursor.rest_of_line()
    if chosen:
        yield from ctx.run(chosen)


def _branch(cursor: Cursor) -> str:
    cursor.skip_blanks()
    if found := cursor.match(r"'([^']*)'"):
        return found[1]
    if (quoted := cursor.command_string()) is not None:
        return quoted
    found = cursor.match(r"[^;]*")
    return found.group().strip() if found else ""


@command(
    "z",
    summary="Run what stands before it again, as long as a condition is true.",
    syntax="commands ; z(condition)",
    example="r $t0 = @$t0 + 1; z(@$t0 < 3)",
    family="control",
)
def repeat_line(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    before = cursor.text[: cursor.position - 1].rstrip().rstrip(";")
    condition = _parenthesised(cursor)
    count = 0
    while _condition(ctx, condition):
        ctx.cancel.check()
        count += 1
        yield Text(value=f"redo [{count}] {cursor.text}")
        yield from ctx.block(before)


def _split(text: str) -> list[str]:
    """Split at the ``;`` that stand in no parentheses, braces or quotes."""
    parts, depth, start = [], 0, 0
    for found in re.finditer(r'"[^"]*"|[()\[\]{};]', text):
        token = found.group()
        if token in "([{":
            depth += 1
        elif token in ")]}":
            depth -= 1
        elif token == ";" and not depth:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]
