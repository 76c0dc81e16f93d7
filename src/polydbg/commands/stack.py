"""``k`` and its letters, ``.frame``, ``.kframes``, ``.inline``: the call stack."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping

import msgspec

from polydbg.arch.registers import program_counter, stack_pointer
from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.commands.call_parameters import CallParameter, parameters_of, parameters_text
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.memory_text import hex_cell
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.stop_display import registers_and_instruction
from polydbg.commands.value_words import Present
from polydbg.engine.memory_view import read_pointer
from polydbg.engine.session import Scope, System
from polydbg.engine.stack import StackFrame, win_frame_at
from polydbg.targets.target import ThreadInfo
from polydbg.unwind.processors import is_unwound

_LETTERS = "bcpPvnfLMdD"
_LAST_CONTEXT = "  *** Stack trace for last set context - .thread/.cxr resets it"
_NO_UNWIND = "WARNING: Stack unwind information not available. Following frames may be wrong."
_NO_MODULE = "WARNING: Frame IP not in any known module. Following frames may be wrong."
_DASHES = "--------`--------"
_POSITIONS = {"amd64": ("rip", "rsp"), "x86": ("eip", "esp")}
_HAS_EBP_FRAME = re.compile(r"\$T0 \$ebp =")


class FrameRow(ShownItem, frozen=True):
    """A row of ``k``. *arguments* are the four home-space values (often stale), three words of the
    stack for x86, ``None`` absent.

    *frame_base* is what the first column of the stack of this processor shows: the stack pointer,
    for x86 ChildEBP. *memory* is the distance to the frame above in bytes; *trust* says how the
    frame was found; *layout* is what ``kv`` says of an x86 function's frame; *symbols* is the kind
    of symbols that the name comes from: ``pdb``, ``breakpad``, ``dwarf``, ``elf``, ``macho``,
    ``coff``, ``export``, ``""`` without a name. *is_unverified*: the module's file was taken for
    the one that ran, but the dump does not tell its build id. *parameters* are those of ``kp``,
    ``None`` where they were not asked for or are not known.
    """

    number: int
    child_sp: Hex
    frame_base: Hex
    return_address: Hex
    call_site: str
    displacement: Hex
    pc: Hex
    file: str
    line: int
    is_inline: bool
    trust: str
    is_guess: bool
    follows_guess: bool
    arguments: tuple[Hex | None, ...]
    memory: int | None
    layout: str
    symbols: str
    is_unverified: bool
    parameters: tuple[CallParameter, ...] | None


class Layout(msgspec.Struct, frozen=True):
    """Which columns the letters after ``k`` ask for, for the stacks of *machine*, whose addresses
    have *pointer_size* bytes."""

    letters: str
    lines: bool
    machine: str
    pointer_size: int
    present: Present | None = None  # what parameters of classes with views show
    thread: ThreadInfo | None = None  # whose stack it is, ``None`` for the current one's

    @classmethod
    def of(cls, ctx: CommandContext, letters: str = "", thread: ThreadInfo | None = None) -> Layout:
        """Return the layout for the effective machine."""
        system = ctx.system
        with_values = "p" in letters or "P" in letters
        present = ctx.session.presenter.present if with_values else None
        lines = ctx.session.settings.lines
        return cls(letters, lines, system.machine, system.pointer_size, present, thread)

    @property
    def names_only(self) -> bool:
        return "c" in self.letters

    @property
    def parameters(self) -> bool:
        return "p" in self.letters or "P" in self.letters

    @property
    def arguments(self) -> bool:
        return "b" in self.letters or "v" in self.letters

    @property
    def stack_pointer(self) -> bool:
        return "v" in self.letters or "b" not in self.letters or self.machine == "x86"

    @property
    def memory(self) -> bool:
        return "f" in self.letters

    @property
    def source(self) -> bool:
        return self.lines and "L" not in self.letters and "M" not in self.letters

    @property
    def heading(self) -> str:
        """Return today's heading, which always numbers the frames."""
        if self.machine == "x86":
            return self._x86_heading
        if self.pointer_size != 8:
            return self._narrow_heading
        if self.names_only:
            return " # Call Site"
        memory = "  Memory  " if self.memory else ""
        sp = "Child-SP          " if self.stack_pointer else ""
        if self.arguments:
            return f" # {memory}{sp}RetAddr               : {'Args to Child':71} : Call Site"
        return f" # {memory}{sp}RetAddr               Call Site"

    @property
    def _x86_heading(self) -> str:
        if self.names_only:
            return " # "
        memory = "  Memory  " if self.memory else ""
        arguments = f"{'Args to Child':27}" if self.arguments else ""
        return f" # {memory}ChildEBP RetAddr      {arguments}"

    @property
    def _narrow_heading(self) -> str:
        """Return the heading for other addresses of 8 digits."""
        if self.names_only:
            return " # "
        memory = "  Memory  " if self.memory else ""
        sp = "Child-SP " if self.stack_pointer else ""
        arguments = f": {'Args to Child':35} : " if self.arguments else ""
        return f" # {memory}{sp}RetAddr      {arguments}Call Site"


@command(
    "k",
    summary="Show the call stack of the current thread.",
    syntax="k[b|c|d|p|P|v][n][f][L][M] [count] | k = Sp [count] | k = Sp Ip [count] | "
    "k = Ebp [count] | k = Ebp Esp Eip [count]",
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
    if system.scope.context is not None and not counted:
        yield Heading(value=_LAST_CONTEXT)
    yield from stack_rows(ctx, system, registers, limit, Layout.of(ctx, letters))


def _start(
    ctx: CommandContext, cursor: Cursor, system: System
) -> tuple[Mapping[str, int], int, bool]:
    """Read ``= ...`` or a count; return registers to begin at, the limit, and whether one of
    them was given."""
    registers: Mapping[str, int] = system.scope_registers()
    limit, counted = ctx.session.settings.stack_limit, False
    cursor.skip_blanks()
    if cursor.take("="):
        counted = True
        given, count = _given_position(ctx, cursor, system.machine)
        registers = {**registers, **given}
        limit = limit if count is None else count
    elif not cursor.at_end:
        limit, counted = ctx.expression(cursor), True
    if limit > 0xFFFF:
        raise cursor.error("Range error", hint="a stack is at most 0xffff frames deep")
    return registers, limit, counted


def _given_position(
    ctx: CommandContext, cursor: Cursor, machine: str
) -> tuple[dict[str, int], int | None]:
    """Read ``sp [ip] [count]``, for x86 ``ebp [count]`` or ``ebp esp eip [count]``."""
    values: list[int] = []
    while not cursor.at_end and len(values) < (4 if machine == "x86" else 3):
        values.append(ctx.expression(cursor))
    if not values:
        raise CommandError("Numeric expression missing from '<EOL>'")
    pc, sp = _POSITIONS.get(machine, ("pc", "sp"))
    if machine == "x86" and len(values) < 3:
        given, rest = {"ebp": values[0], sp: values[0]}, values[1:]
    elif machine == "x86":
        given, rest = {"ebp": values[0], sp: values[1], pc: values[2]}, values[3:]
    elif len(values) == 1 or (len(values) == 2 and values[1] <= 0xFFFF):
        # "k = Sp Ip" and "k = Sp count" look alike; a count is at most 0xffff.
        given, rest = {sp: values[0]}, values[1:]
    else:
        given, rest = {sp: values[0], pc: values[1]}, values[2:]
    return given, rest[0] if rest else None


def stack_rows(
    ctx: CommandContext,
    system: System,
    registers: Mapping[str, int],
    limit: int,
    layout: Layout,
) -> Iterator[Item]:
    """Yield heading, rows and the warnings before doubtful ones."""
    if program_counter(registers) is None:
        if system.machine != system.target.arch:
            raise CommandError(
                f"the {system.machine} registers of this thread are not in the dump",
                identifier="stack.no-context",
                hint=f".effmach {system.target.arch}; k    shows its other stack",
            )
        raise CommandError(
            "the context has no program counter", identifier="stack.no-context", hint="see r"
        )
    if not is_unwound(system.machine):
        yield Notice(
            identifier="stack.architecture",
            value=f"stacks of {system.machine} are not unwound by this version; the top frame:",
        )
    yield Heading(value=layout.heading)
    previous: int | None = None
    warned = False
    last: StackFrame | None = None
    for row, doubtful in _with_doubt(ctx, system, registers, limit):
        if doubtful and not warned and not row.place.unloaded:
            warned = True
            outside = not row.place.module
            yield Notice(identifier="stack.guessed", value=_NO_MODULE if outside else _NO_UNWIND)
        yield frame_row(system, row, layout, previous)
        if not row.is_inline:
            previous = frame_base(system, row)
        last = row
    if last is not None and last.frame.note and last.number + 1 < limit:
        yield Notice(identifier="stack.ended", value=f"stack ends here: {last.frame.note}")


def _with_doubt(
    ctx: CommandContext, system: System, registers: Mapping[str, int], limit: int
) -> Iterator[tuple[StackFrame, bool]]:
    """Yield the rows, each with whether the warning belongs before it.

    What a row of x86 shows (ChildEBP, return address, arguments) all comes from finding its caller,
    so that the engine warns before the row whose caller is guessed; for others before the guess.
    """
    rows = ctx.session.stack(system, registers, limit + 1, ctx.cancel)
    if system.machine != "x86":
        yield from ((row, row.trust.is_guess) for row in itertools.islice(rows, limit))
        return
    waiting: StackFrame | None = None
    for row in rows:
        if waiting is not None:
            yield waiting, waiting.trust.is_guess or row.trust.is_guess
        waiting = row
    if waiting is not None and waiting.number < limit:
        # On Windows even the end of a stack is a guess; elsewhere tables say that nobody called.
        is_sure = system.target.system().platform != "windows"
        address = waiting.frame.return_address
        is_end = bool(address) or (is_sure and address == 0)
        yield waiting, waiting.trust.is_guess or not is_end


def frame_base(system: System, row: StackFrame) -> int:
    """Return what the first column shows: the stack pointer, for x86 ChildEBP.

    ChildEBP is where ebp points, or would point, when the function has made its frame: two words
    below the caller's stack pointer, so that the return address and the arguments lie above it.
    """
    frame = row.frame
    if system.machine != "x86":
        return frame.sp
    if frame.caller_sp is not None:
        return frame.caller_sp - 8
    pointer = frame.registers.get("ebp", 0)
    return pointer if pointer >= frame.sp else frame.sp


def frame_row(
    system: System, row: StackFrame, layout: Layout, previous: int | None = None
) -> FrameRow:
    """Return the item for one frame; *previous* is the frame base of the frame above."""
    arguments = _arguments(system, row) if layout.arguments else ()
    base = frame_base(system, row)
    memory = None if previous is None or row.is_inline else base - previous
    described = _frame_layout(system, row) if "v" in layout.letters else ""
    parameters = None
    if layout.parameters:
        parameters = parameters_of(system, row, layout.present, layout.thread)
    called = "" if parameters is None else parameters_text(parameters, "P" in layout.letters)
    return FrameRow(
        number=row.number,
        child_sp=row.frame.sp,
        frame_base=base,
        return_address=row.frame.return_address or 0,
        call_site=row.place.base_text,
        displacement=row.place.displacement,
        pc=row.frame.pc,
        file=row.file,
        line=row.line,
        is_inline=row.is_inline,
        trust=row.trust.name.lower(),
        is_guess=row.trust.is_guess,
        follows_guess=row.frame.follows_guess,
        arguments=arguments,
        memory=memory,
        layout=described,
        symbols=row.symbols,
        is_unverified=row.is_unverified,
        parameters=parameters,
        shown=_row_text(
            row, layout, arguments, (base, memory, described, called), system.pointer_size
        ),
    )


def _frame_layout(system: System, row: StackFrame) -> str:
    """Return ``(FPO: [2,0,4])``: parameters, locals and saved registers in words, as the debug
    file of an x86 function has them; ``""`` where it says nothing."""
    found = win_frame_at(system, row.frame.lookup_pc) if system.machine == "x86" else None
    if found is None or row.is_inline:
        return ""
    record = found[1]
    if _HAS_EBP_FRAME.match(record.program):
        return "(FPO: [Non-Fpo])"
    sizes = (record.parameters_size, record.locals_size, record.saved_size)
    uses_ebp = "[Uses EBP] " if record.uses_frame_pointer else ""
    return f"(FPO: {uses_ebp}[{','.join(str(size // 4) for size in sizes)}])"


def _row_text(
    row: StackFrame,
    layout: Layout,
    arguments: tuple[int | None, ...],
    details: tuple[int, int | None, str, str],
    size: int,
) -> str:
    """Return the text of a row; *details* are its frame base, its distance to the frame above, the
    words for its layout and its parameters."""
    base, memory, described, called = details
    is_x86 = layout.machine == "x86"
    number = f"{row.number:02x}"
    if layout.names_only:
        return f"{number} {_bare_name(row)}{called}"
    parts = [number]
    if layout.memory:
        parts.append(f"{'' if memory is None else f'{memory:x}':>9}")
    inline = row.is_inline
    dashes = _DASHES if size == 8 else "-" * 8
    return_address = dashes if inline else address_text(row.frame.return_address or 0, size)
    if layout.stack_pointer:
        word = "(Inline)" if is_x86 else "(Inline Function)"
        parts.append(word if inline else address_text(base, size))
    elif inline:
        return_address = "(Inline Function)"
    parts.append(return_address)
    name = row.place.base_text + called + row.place.displacement_text
    if layout.arguments:
        shown = [dashes] * len(arguments) if inline else [hex_cell(a, size) for a in arguments]
        parts[-1] += "    " if is_x86 else "     :"
        parts.append(" ".join(shown) if is_x86 else f"{' '.join(shown)} : ")
        if described:
            name += f" {described}"
        if inline and "v" in layout.letters:
            name += f" (Inline Function @ {address_text(row.frame.pc, size)})"
    else:
        parts[-1] += "    "
    line = " ".join(parts)
    source = f" [{row.file} @ {row.line}]" if layout.source and row.file else ""
    guess = " (guess)" if row.trust.is_guess else " (unverified)" if row.is_unverified else ""
    return f"{line.rstrip() if layout.arguments else line} {name}{source}{guess}"


def _bare_name(row: StackFrame) -> str:
    place = row.place
    if not (place.module or place.unloaded):
        return "0x0"
    return place.base_text


def _arguments(system: System, row: StackFrame) -> tuple[int | None, ...]:
    """Return the words above the return address: four of home space, for x86 three of the
    arguments; ``None`` where absent."""
    count, size = (3 if system.machine == "x86" else 4), system.pointer_size
    start = frame_base(system, row) + 8 if system.machine == "x86" else row.frame.caller_sp
    if row.is_inline or start is None:
        return (None,) * count
    order = system.byte_order
    return tuple(read_pointer(system.memory, start + size * i, size, order) for i in range(count))


def _raw_words(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    """``kd [words]``: the raw stack with symbols, as ``dps`` on the stack pointer."""
    count = 0x20 if cursor.at_end else ctx.expression(cursor)
    sp = stack_pointer(ctx.system.scope_registers())
    if sp is None:
        raise CommandError("Bad register error at '@rsp'")
    yield from ctx.run(f"dps {sp:#x} L{min(count, 0xFFFF):#x}")


@command(
    ".frame",
    summary="Show or choose the frame whose source and variables are meant; registers follow only "
    "with /c.",
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
            yield frame_row(system, current, Layout.of(ctx))
        return
    system.scope.frame = number
    yield frame_row(system, chosen, Layout.of(ctx))
    if set_context:
        _set_context(ctx, chosen)
    if show_registers or set_context:
        yield from registers_and_instruction(ctx, chosen.registers)


def _set_context(ctx: CommandContext, chosen: StackFrame) -> None:
    """Put the registers of *chosen* in force; of a frame's inlined calls it stays the chosen."""
    system = ctx.system
    context = dict(chosen.registers)
    system.scope = Scope(context, 0, chosen.frame)
    rows = ctx.session.stack(system, context, chosen.number + 1, ctx.cancel)
    system.scope.frame = next((row.number for row in rows if row.depth == chosen.depth), 0)


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
    example=".f+; .f-",
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
