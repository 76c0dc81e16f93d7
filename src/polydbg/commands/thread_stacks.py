"""``!uniqstack`` and ``!findstack``: the stacks of all threads, folded or searched."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polydbg.arch.registers import program_counter
from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.base.wildcards import compile_wildcard, is_wildcard
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.stack import Layout, stack_rows
from polydbg.commands.threads import thread_row
from polydbg.engine.stack import StackFrame, walk_stack
from polydbg.targets.target import ThreadInfo


class SameStack(ShownItem, frozen=True):
    """Stands below a stack that several threads have: their numbers, the shown one first."""

    threads: tuple[int, ...]


class StackSummary(ShownItem, frozen=True):
    """Ends ``!uniqstack``: how many threads there are, and those whose stacks were left out."""

    total_threads: int
    duplicates: tuple[int, ...]


class StackMatchRow(Item, frozen=True):
    """A frame of such a stack; *matches* says whether it holds what was sought."""

    number: int
    child_sp: Hex
    return_address: Hex
    name: str
    matches: bool
    is_guess: bool
    pointer_size: int

    def text(self) -> str:
        addresses = " ".join(
            address_text(value, self.pointer_size) for value in (self.child_sp, self.return_address)
        )
        guess = " (guess)" if self.is_guess else ""
        mark = "*" if self.matches else " "
        return f"        {mark} {self.number:02d} {addresses} {self.name}{guess}"


class StackMatches(ShownItem, frozen=True):
    """A thread whose stack holds what was sought; *frames* are the numbers of those frames, *rows*
    the frames that were asked for."""

    thread: int
    frames: tuple[int, ...]
    rows: tuple[StackMatchRow, ...]


@command(
    "!uniqstack",
    summary="Show the stacks of all threads, the same ones only once.",
    syntax="!uniqstack [-b|-v|-p] [-n]",
    example="!uniqstack    below each stack stand the threads that share it",
    family="threads",
)
def unique_stacks(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    letters = ""
    while not cursor.at_end:
        found = cursor.match(r"-?([bvpn]+)(?=[\s;]|$)")
        if found is None:
            cursor.position += 1
            raise cursor.error("Syntax error")
        letters += found.group(1)
    threads = ctx.system.threads
    yield Text(value=f"Processing {len(threads)} threads, please wait")
    groups: dict[tuple[int, ...], list[ThreadInfo]] = {}
    for index, thread in enumerate(threads):
        ctx.progress("threads", index, len(threads))
        groups.setdefault(_signature(ctx, thread), []).append(thread)
    for same in groups.values():
        yield from _stack(ctx, same, letters)
    others = sorted(t.ordinal for same in groups.values() for t in same[1:])
    text = f"\nTotal threads: {len(threads)}"
    if others:
        text += f"\nDuplicate callstacks: {len(others)} (windbg thread #s follow):\n"
        text += ", ".join(map(str, others))
    yield StackSummary(total_threads=len(threads), duplicates=tuple(others), shown=text)


def _signature(ctx: CommandContext, thread: ThreadInfo) -> tuple[int, ...]:
    """Return what makes a stack: the addresses of its frames."""
    system = ctx.system
    registers = system.thread_registers(thread)
    if program_counter(registers) is None:
        return (-1 - thread.ordinal,)  # without a context nothing is known: like no other
    limit = ctx.session.settings.stack_limit
    rows = walk_stack(system, registers, limit, ctx.cancel, inline=False)
    return tuple(row.frame.pc for row in rows)


def _stack(ctx: CommandContext, same: list[ThreadInfo], letters: str) -> Iterator[Item]:
    system, settings = ctx.system, ctx.session.settings
    thread = same[0]
    yield Text(value="")
    yield thread_row(ctx, thread, detailed=True, current=thread)
    registers = system.thread_registers(thread)
    if program_counter(registers) is None:
        yield Text(value="the dump has no registers of this thread")
        return
    layout = Layout.of(ctx, "".join(sorted(set(letters) & {"b", "v", "p"})), thread)
    yield from stack_rows(ctx, system, registers, settings.stack_limit, layout)
    if len(same) > 1:
        numbers = tuple(t.ordinal for t in same)
        shown = f"{len(same)} threads have this stack: {', '.join(map(str, numbers))}"
        yield SameStack(threads=numbers, shown=shown)


@command(
    "!findstack",
    summary="Find the threads whose stacks hold a symbol or module.",
    syntax="!findstack symbol [0|1|2]",
    example="!findstack ntdll!*Critical* 2    0 names threads, 1 shows the frames, 2 whole stacks",
    family="threads",
)
def find_stack(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    wanted = cursor.string_or_word()
    if not wanted:
        raise CommandError(
            "Non-empty string required in '!findstack'", hint="!findstack SYMBOL [0|1|2]"
        )
    level = 1 if cursor.at_end else ctx.expression(cursor)
    if level > 2:
        raise cursor.error("Range error", hint="0 threads, 1 frames, 2 whole stacks")
    system, settings = ctx.system, ctx.session.settings
    found = 0
    for index, thread in enumerate(system.threads):
        ctx.progress("threads", index, len(system.threads))
        registers = system.thread_registers(thread)
        if program_counter(registers) is None:
            continue
        rows = list(ctx.session.stack(system, registers, settings.stack_limit, ctx.cancel))
        matching = [row for row in rows if _holds(row, wanted)]
        if matching:
            found += 1
            yield _matches(thread, rows, matching, level, system.pointer_size)
    if not found:
        yield Text(value=f"No stack holds {wanted}")


def _holds(row: StackFrame, wanted: str) -> bool:
    """Return whether the frame's name begins with *wanted*, or matches it if it has wildcards.

    Without ``!`` it may be the module's whole name, or the symbol.
    """
    place = row.place
    module, bang, symbol = wanted.partition("!")
    if not bang:
        return _fits(place.symbol, wanted, begins=True) or _fits(place.module, wanted, begins=False)
    return _fits(place.module, module, begins=False) and _fits(place.symbol, symbol, begins=True)


def _fits(name: str, pattern: str, *, begins: bool) -> bool:
    if not name:
        return False
    if is_wildcard(pattern):
        return compile_wildcard(pattern).fullmatch(name) is not None
    flags = re.IGNORECASE
    expression = re.escape(pattern)
    if begins:
        return re.match(expression, name, flags) is not None
    return re.fullmatch(expression, name, flags) is not None


def _matches(
    thread: ThreadInfo, rows: list[StackFrame], matching: list[StackFrame], level: int, size: int
) -> StackMatches:
    numbers = {row.number for row in matching}
    asked = tuple(
        StackMatchRow(
            number=row.number,
            child_sp=row.frame.sp,
            return_address=row.frame.return_address or 0,
            name=row.place.text,
            matches=row.number in numbers,
            is_guess=row.trust.is_guess,
            pointer_size=size,
        )
        for row in (rows if level == 2 else matching if level else [])
    )
    lines = [f"Thread {thread.ordinal:03d}, {len(matching)} frame(s) match"]
    lines += [row.text() for row in asked]
    if level:
        lines.append("")
    return StackMatches(
        thread=thread.ordinal,
        frames=tuple(sorted(numbers)),
        rows=asked,
        shown="\n".join(lines),
    )
