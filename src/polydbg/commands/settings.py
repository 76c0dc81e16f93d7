"""``.lines``, ``.asm``, ``l+``, ``l-``: what is loaded and shown."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Item
from polydbg.commands.registry import command
from polydbg.engine.settings import LOAD_LINES

ASSEMBLY_OPTIONS = ("ignore_output_width", "no_code_bytes", "source_line", "verbose")
_SOURCE_OPTIONS = {
    "t": (1, "Step/trace by source line"),
    "l": (2, "List source line at prompt"),
    "s": (4, "List source code at prompt"),
    "o": (8, "Only show source code at prompt"),
}


class LineSetting(Item, frozen=True):
    """Whether line numbers are in use."""

    enabled: bool

    def text(self) -> str:
        word = "" if self.enabled else "not "
        return f"Line number information will {word}be loaded"


class AssemblyOptions(Item, frozen=True):
    """The options of disassembly that are on."""

    names: tuple[str, ...]

    def text(self) -> str:
        return f"Assembly options: {' '.join(self.names) or '<default>'}"


class SourceOptions(Item, frozen=True):
    """The bits of ``l+``, and their letters."""

    value: int
    letters: tuple[str, ...]

    def text(self) -> str:
        rows = [
            f"     {bit}/{letter} - {words}"
            for letter, (bit, words) in _SOURCE_OPTIONS.items()
            if self.value & bit
        ]
        return "\n".join([f"Source options are {self.value:x}:", *rows])


@command(
    ".lines",
    summary="Switch line numbers on or off; without an option the other way round.",
    syntax=".lines [-e | -d | -t]",
    example=".lines -e",
    family="settings",
)
def lines(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    settings = ctx.session.settings
    enabled = not settings.lines
    if not cursor.at_end:
        word = cursor.word()
        if word not in ("-e", "-d", "-t"):
            raise cursor.error("Syntax error", hint=".lines -e enables, -d disables, -t toggles")
        enabled = {"-e": True, "-d": False, "-t": enabled}[word]
    settings.lines = enabled
    options = settings.symbol_options & ~LOAD_LINES
    settings.symbol_options = options | (LOAD_LINES if enabled else 0)
    yield LineSetting(enabled=enabled)


@command(
    ".asm",
    summary="Show, set or clear (-) options of disassembly.",
    syntax=".asm[-] [ignore_output_width | no_code_bytes | source_line | verbose ...]",
    example=".asm no_code_bytes",
    family="settings",
)
def assembly(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = ctx.session.settings.assembly_options
    clear = cursor.take("-")
    while not cursor.at_end:
        name = cursor.word().lower()
        if name not in ASSEMBLY_OPTIONS:
            raise cursor.error("Syntax error", hint=f"options: {', '.join(ASSEMBLY_OPTIONS)}")
        if clear:
            options.discard(name)
        else:
            options.add(name)
    yield AssemblyOptions(names=tuple(name for name in ASSEMBLY_OPTIONS if name in options))


@command(
    "l+",
    summary="Switch source options on: t step by line, l line, s source text, o only source.",
    syntax="l+{t|l|s|o|*} | l-{t|l|s|o|*}",
    example="l+t",
    family="settings",
)
def source_options_on(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield _change_source_options(ctx, cursor, on=True)


@command(
    "l-",
    summary="Switch source options off.",
    syntax="l-{t|l|s|o|*}",
    example="l-t",
    family="settings",
)
def source_options_off(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield _change_source_options(ctx, cursor, on=False)


def _change_source_options(ctx: CommandContext, cursor: Cursor, *, on: bool) -> SourceOptions:
    letter = cursor.peek().lower()
    cursor.position += 1
    if letter == "*":
        bits = 0xF
    elif letter in _SOURCE_OPTIONS:
        bits = _SOURCE_OPTIONS[letter][0]
    else:
        raise cursor.error("Syntax error", hint="one of t, l, s, o, *")
    settings = ctx.session.settings
    value = settings.source_options | bits if on else settings.source_options & ~bits
    settings.source_options = value
    letters = tuple(letter for letter, (bit, _) in _SOURCE_OPTIONS.items() if value & bit)
    return SourceOptions(value=value, letters=letters)
