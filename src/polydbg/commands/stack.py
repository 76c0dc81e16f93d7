"""``k`` and its letters, ``.frame``, ``.kframes``, ``.inline``: the call stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory_text import hex_cell
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.stop_display import registers_and_instruction
from polydbg.engine.session import System
from polydbg.engine.stack import StackFrame

_LETTERS = "bcpPvnfLMdD"
_LAST_CONTEXT = "  *** Stack trace for last set context - .thread/.cxr resets it"
_NO_UNWIND = "WARNING: Stack unwind information not available. Following frames may be wrong."
_NO_MODULE = "WARNING: Frame IP not in any known module. Following frames may be wrong."
_DASHES = "--------`--------"
_UNWOUND = ("amd64", "x86")


class FrameRow(ShownItem, frozen=True):
    """A row of ``k``. *arguments* are the four home-space values (often stale), ``None`` absent.

    *memory* is the distance to the frame above in bytes; *trust* says how the frame was found.
    """

    number: int
    child_sp: Hex
    return_address: Hex
    call_site: str
    displacement: Hex
    pc: Hex
    file: str
    line: int
    is_inline: bool
    trust: str
    is_guess: bool
    arguments: tuple[Hex | None, ...]
    memory: int | None


class Layout(msgspec.Struct, frozen=True):
    """Which columns the letters after ``k`` ask for."""

    letters: str
    lines: bool = True

    @property
    def names_only(self) -> bool:
        return "c" in self.letters

    @property
    def arguments(self) -> bool:
        return "b" in self.letters or "v" in self.letters

    @property
    def stack_pointer(self) -> bool:
        return "v" in self.letters or "b" not in self.letters

    @property
    def memory(self) -> bool:
        return "f" in self.letters

    @property
    def source(self) -> bool:
        return self.lines and "L" not in self.letters and "M" not in self.letters

    @property
    def heading(self) -> str:
        """Return today's heading, which always numbers the frames."""
        if self.names_only:
            return " # Call Site"
        memory = "  Memory  " if self.memory else ""
        sp = "Child-SP          " if self.stack_pointer else ""
        if self.arguments:
            return f" # {memory}{sp}RetAddr               : {'Args to Child':71} : Call Site"
        return f" # {memory}{sp}RetAddr               Call Site"

    @property
    def narrow_heading(self) -> str:
        """Return the heading for addresses of 8 digits."""
        if self.names_only:
            return " # "
        memory = "  Memory  " if self.memory else ""
        sp = "Child-SP " if self.stack_pointer else ""
        arguments = f": {'Args to Child':35} : " if self.arguments else ""
        return f" # {memory}{sp}RetAddr      {arguments}Call Site"


@command(
    "k",
    summary="Show the call stack of the current thread.",
    syntax="k[b|c|d|p|P|v][n][f][L][M] [count] | k = BaseSp [count] | k = BaseSp Ip [count]",
    example="k 10    the innermost 0x10 frames; kb adds arguments, kf sizes, kL hides source lines",
    family="stack",
)
def stack(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    found = cursor.match(f"[{_LETTERS}]*")
    letters = found.group() if found else ""
    if cursor.peek() and not cursor.match(r"(?=[\s;=0-9@(.-])"):
        cursor.position += 1
        raise cursor.error("Syntax error")
    if "d" in letters:
        yield from _raw_words(ctx, cursor)
        return
    system = ctx.system
    registers, limit, counted = _start(ctx, cursor, system)
    if "p" in letters or "P" in letters:
        yield Notice(
            identifier="types.unavailable",
            value="parameters come with types, which this version does not read; "
            "the stack as k prints it:",
        )
    if system.scope.context is not None and not counted:
        yield Heading(value=_LAST_CONTEXT)
    yield from stack_rows(
        ctx, system, registers, limit, Layout(letters, ctx.session.settings.lines)
    )


def _start(
    ctx: CommandContext, cursor: Cursor, system: System
) -> tuple[Mapping[str, int], int, bool]:
    """Read ``= sp [ip] [count]`` or a count; return registers to begin at, and the limit."""
    registers = dict(system.scope_registers())
    limit, counted = ctx.session.settings.stack_limit, False
    cursor.skip_blanks()
    if cursor.take("="):
        counted = True
        values: list[int] = []
        while not cursor.at_end and len(values) < 3:
            values.append(ctx.expression(cursor))
        if not values:
            raise CommandError("Numeric expression missing from '<EOL>'")
        pc, sp = ("rip", "rsp") if system.pointer_size == 8 else ("eip", "esp")
        registers[sp] = values[0]
        if len(values) == 2:
            # "k = Sp Ip" and "k = Sp count" look alike; a count is at most 0xffff.
            if values[1] > 0xFFFF:
                registers[pc] = values[1]
            else:
                limit = values[1]
        elif len(values) == 3:
            registers[pc], limit = values[1], values[2]
    elif not cursor.at_end:
        limit, counted = ctx.expression(cursor), True
    if limit > 0xFFFF:
        raise cursor.error("Range error", hint="a stack is at most 0xffff frames deep")
    return registers, limit, counted


def stack_rows(
    ctx: CommandContext,
    system: System,
    registers: Mapping[str, int],
    limit: int,
    layout: Layout,
) -> Iterator[Item]:
    """Yield heading, rows and the warnings before doubtful ones."""
    if program_counter(registers) is None:
        raise CommandError(
            "the context has no program counter", identifier="stack.no-context", hint="see r"
        )
    if system.machine not in _UNWOUND:
        yield Notice(
            identifier="stack.architecture",
            value=f"stacks of {system.machine} are not unwound by this version; the top frame:",
        )
    yield Heading(value=layout.heading if system.pointer_size == 8 else layout.narrow_heading)
    previous: int | None = None
    warned = False
    last: StackFrame | None = None
    for row in ctx.session.stack(system, registers, limit, ctx.cancel):
        frame = row.frame
        if frame.trust.is_guess and not warned and not row.place.unloaded:
            warned = True
            outside = not row.place.module
            yield Notice(identifier="stack.guessed", value=_NO_MODULE if outside else _NO_UNWIND)
        yield frame_row(system, row, layout, previous)
        if not row.is_inline:
            previous = frame.sp
        last = row
    if last is not None and last.frame.note and last.number + 1 < limit:
        yield Notice(identifier="stack.ended", value=f"stack ends here: {last.frame.note}")


def frame_row(
    system: System, row: StackFrame, layout: Layout, previous: int | None = None
) -> FrameRow:
    """Return the item for one frame; *previous* is the stack pointer of the frame above."""
    arguments = _arguments(system, row) if layout.arguments else ()
    memory = None if previous is None or row.is_inline else row.frame.sp - previous
    return FrameRow(
        number=row.number,
        child_sp=row.frame.sp,
        return_address=row.frame.return_address or 0,
        call_site=row.place.base_text,
        displacement=row.place.displacement,
        pc=row.frame.pc,
        file=row.file,
        line=row.line,
        is_inline=row.is_inline,
        trust=row.trust.name.lower(),
        is_guess=row.trust.is_guess,
        arguments=arguments,
        memory=memory,
        shown=_row_text(row, layout, arguments, memory, system.pointer_size),
    )


def _row_text(
    row: StackFrame,
    layout: Layout,
    arguments: tuple[int | None, ...],
    memory: int | None,
    size: int,
) -> str:
    number = f"{row.number:02x}"
    if layout.names_only:
        return f"{number} {_bare_name(row)}"
    parts = [number]
    if layout.memory:
        parts.append(f"{'' if memory is None else f'{memory:x}':>9}")
    inline = row.is_inline
    dashes = _DASHES if size == 8 else "-" * 8
    return_address = dashes if inline else address_text(row.frame.return_address or 0, size)
    if layout.stack_pointer:
        parts.append("(Inline Function)" if inline else address_text(row.frame.sp, size))
    elif inline:
        return_address = "(Inline Function)"
    parts.append(return_address)
    name = row.place.text
    if layout.arguments:
        shown = [dashes] * 4 if inline else [hex_cell(a, size) for a in arguments]
        parts[-1] += "     :"
        parts.append(f"{' '.join(shown)} : ")
        if inline and "v" in layout.letters:
            name += f" (Inline Function @ {address_text(row.frame.pc, size)})"
    else:
        parts[-1] += "    "
    line = " ".join(parts)
    source = f" [{row.file} @ {row.line}]" if layout.source and row.file else ""
    guess = " (guess)" if row.trust.is_guess else ""
    return f"{line.rstrip() if layout.arguments else line} {name}{source}{guess}"


def _bare_name(row: StackFrame) -> str:
    place = row.place
    if not (place.module or place.unloaded):
        return "0x0"
    return place.base_text


def _arguments(system: System, row: StackFrame) -> tuple[int | None, ...]:
    """Return the four words of home space above the return address; ``None`` where absent."""
    if row.is_inline or row.frame.caller_sp is None:
        return (None,) * 4
    values: list[int | None] = []
    for i in range(4):
        try:
            size = system.pointer_size
            data = system.memory.read(row.frame.caller_sp + size * i, size)
            values.append(int.from_bytes(data, "little"))
        except DebuggerError:
            values.append(None)
    return tuple(values)


def _raw_words(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    """``kd [words]``: the raw stack with symbols, as ``dqs`` on the stack pointer."""
    count = 0x20 if cursor.at_end else ctx.expression(cursor)
    sp = stack_pointer(ctx.system.scope_registers())
    if sp is None:
        raise CommandError("Bad register error at '@rsp'")
    yield from ctx.run(f"dqs {sp:#x} L{min(count, 0xFFFF):#x}")


@command(
    ".frame",
    summary="Show or choose the frame whose source is meant; registers follow only with /c.",
    syntax=".frame [/c] [/r] [number]",
    example=".frame /r 2    choose frame 2 and show its registers",
    family="stack",
)
def frame(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    set_context = show_registers = False
    while True:
        cursor.skip_blanks()
        if cursor.match(r"/c\b"):
            set_context = True
        elif cursor.match(r"/r\b"):
            show_registers = True
        else:
            break
    system = ctx.system
    number = system.scope.frame if cursor.at_end else ctx.expression(cursor)
    yield from _choose(ctx, number, set_context, show_registers)


def _choose(
    ctx: CommandContext, number: int, set_context: bool = False, show_registers: bool = False
) -> Iterator[Item]:
    system = ctx.system
    chosen = ctx.session.frame(system, number, ctx.cancel)
    if chosen is None:
        current = ctx.session.current_frame(ctx.cancel)
        yield Notice(
            identifier="stack.no-such-frame",
            value=f"Cannot find frame {number:#x}, previous scope unchanged",
        )
        if current is not None:
            yield frame_row(system, current, Layout("", ctx.session.settings.lines))
        return
    system.scope.frame = number
    yield frame_row(system, chosen, Layout("", ctx.session.settings.lines))
    if set_context:
        system.scope.context = dict(chosen.registers)
        system.scope.frame = 0
    if show_registers or set_context:
        yield from registers_and_instruction(ctx, chosen.registers)


@command(
    ".f+",
    summary="Choose the caller of the current frame.",
    syntax=".f+",
    example=".f+",
    family="stack",
)
def frame_up(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield from _choose(ctx, ctx.system.scope.frame + 1)


@command(
    ".f-",
    summary="Choose the callee of the current frame.",
    syntax=".f-",
    example=".f-",
    family="stack",
)
def frame_down(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    number = ctx.system.scope.frame
    if number == 0:
        raise CommandError("already at the innermost frame", identifier="stack.innermost")
    yield from _choose(ctx, number - 1)


@command(
    ".kframes",
    summary="Show or set how many frames k prints without a count.",
    syntax=".kframes [count]",
    example=".kframes 20    hex, like every count",
    family="stack",
)
def kframes(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if not cursor.at_end:
        count = ctx.expression(cursor)
        if not 0 < count <= 0xFFFF:
            raise cursor.error("Range error")
        ctx.session.settings.stack_limit = count
    yield Text(value=f"Default stack trace depth is 0n{ctx.session.settings.stack_limit} frames")


@command(
    ".inline",
    summary="Show or set whether inlined calls are rows of the stack.",
    syntax=".inline [0|1]",
    example=".inline 0",
    family="stack",
)
def inline(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if not cursor.at_end:
        ctx.session.settings.inline = bool(ctx.expression(cursor))
    word = "enabled" if ctx.session.settings.inline else "disabled"
    yield Text(value=f'Include inline function queries is "{word}".')
