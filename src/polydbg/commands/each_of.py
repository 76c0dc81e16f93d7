"""``!for_each_frame``, ``_local``, ``_thread``, ``_process``, ``_register``, ``_function``.

Each runs a command for one thing after the other; in it ``@#NAME`` or ``${@#NAME}`` stands for what
is known of the thing. Names come from symbols, which nobody vouches for: see
:func:`~polydbg.engine.aliases.fit_for_commands`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.threads import thread_row
from polydbg.engine.aliases import fit_for_commands
from polydbg.engine.program import process_id
from polydbg.engine.session import Scope
from polydbg.engine.stack import StackFrame

_MAX_FUNCTIONS = 1 << 20


class EachFrame(ShownItem, frozen=True):
    """A frame as ``!for_each_frame`` heads its output: its number and what it is in."""

    number: int
    name: str
    pc: Hex


class EachLocal(ShownItem, frozen=True):
    """A variable in scope as ``!for_each_local`` without a command lists it."""

    name: str


class EachRegister(ShownItem, frozen=True):
    """A register as ``!for_each_register`` without a command lists it."""

    name: str
    value: Hex


def _command_string(cursor: Cursor) -> str:
    """Read ``"commands"`` with ``\\"`` for quotes inside, or the words up to a semicolon."""
    cursor.skip_blanks()
    cursor.match(r"-c:[ \t]*")
    quoted = cursor.command_string()
    return cursor.rest() if quoted is None else quoted


def _run(ctx: CommandContext, template: str, values: Mapping[str, str]) -> Iterator[Item]:
    """Run the commands, *values* standing for their names in them."""
    ctx.cancel.check()
    fit = {f"@#{name}": fit_for_commands(value) for name, value in values.items()}
    with ctx.session.aliases.variables(fit, is_foreign=True):
        yield from ctx.run(template)


@command(
    "!for_each_frame",
    summary="Run a command in each frame of the stack, which is chosen meanwhile as by .frame; "
    "@$frame is its number. Without a command the frames are listed.",
    syntax='!for_each_frame ["command"]',
    example="!for_each_frame dv",
    family="control",
)
def for_each_frame(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    template = _command_string(cursor)
    system = ctx.system
    kept = system.scope
    limit = ctx.session.settings.stack_limit
    rows = list(ctx.session.stack(system, system.scope_registers(), limit, ctx.cancel))
    try:
        for row in rows:
            ctx.cancel.check()
            yield _frame_row(row)
            if template:
                system.scope = Scope(kept.context, row.number, kept.origin)
                yield from _run(ctx, template, {})
    finally:
        system.scope = kept


def _frame_row(row: StackFrame) -> EachFrame:
    source = f" [{row.file} @ {row.line}]" if row.file else ""
    guess = " (guess)" if row.trust.is_guess else ""
    return EachFrame(
        number=row.number,
        name=row.place.text,
        pc=row.frame.pc,
        shown=f"{row.number:02x} {row.place.text}{source}{guess}",
    )


@command(
    "!for_each_local",
    summary="Run a command for each variable in scope in the current frame; @#Local is its name. "
    "Without a command the names are listed.",
    syntax='!for_each_local ["command"]',
    example="!for_each_local dv @#Local",
    family="control",
)
def for_each_local(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    from polydbg.commands.locals import no_locals
    from polydbg.engine.variables import variables_of

    template = _command_string(cursor)
    frame = ctx.session.current_frame(ctx.cancel)
    found = variables_of(ctx.system, frame) if frame is not None else None
    if found is None:
        yield Text(value="\n".join(no_locals(ctx.system, frame)))
        return
    for name in dict.fromkeys(each.name for each in found):
        if template:
            yield from _run(ctx, template, {"Local": name})
        else:
            yield EachLocal(name=name, shown=sanitise_line(name))


@command(
    "!for_each_thread",
    summary="Run a command in each thread, which is current meanwhile; @#Thread is its block (the "
    "TEB; of Linux its thread pointer), @#ThreadId its id, @#ThreadIndex its number. Without a "
    "command the threads are listed.",
    syntax='!for_each_thread ["command"]',
    example='!for_each_thread ".echo @#ThreadIndex @#ThreadId"',
    family="control",
)
def for_each_thread(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    template = _command_string(cursor)
    system = ctx.system
    kept, scope = system.thread, system.scope
    try:
        for thread in system.threads:
            if not template:
                yield thread_row(ctx, thread, current=kept)
                continue
            system.select_thread(thread)
            values = {
                "Thread": f"{thread.teb or 0:#x}",
                "ThreadId": f"{thread.id:#x}",
                "ThreadIndex": f"0n{thread.ordinal}",
            }
            yield from _run(ctx, template, values)
    finally:
        system.thread, system.scope = kept, scope


@command(
    "!for_each_process",
    summary="Run a command for each process: a dump of a process has one. @#Process is its block "
    "(the PEB; 0 where there is none), @#ProcessId its id.",
    syntax='!for_each_process ["command"]',
    example='!for_each_process ".echo @#ProcessId"',
    family="control",
)
def for_each_process(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    template = _command_string(cursor)
    if not template:
        yield from ctx.run("|")
        return
    block = ctx.session.evaluator.pseudo_register("$peb") or 0
    values = {"Process": f"{block:#x}", "ProcessId": f"{process_id(ctx.system):#x}"}
    yield from _run(ctx, template, values)


@command(
    "!for_each_register",
    summary="Run a command for each register of the context in force that is known; "
    "@#RegisterName and @#RegisterValue stand for it. Without a command they are listed.",
    syntax='!for_each_register -c:"command"',
    example="!for_each_register -c:.echo @#RegisterName @#RegisterValue",
    family="control",
)
def for_each_register(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    template = _command_string(cursor)
    size = ctx.system.pointer_size
    for name, value in list(ctx.system.scope_registers().items()):
        if template:
            yield from _run(ctx, template, {"RegisterName": name, "RegisterValue": f"{value:#x}"})
        else:
            shown = f"{name:>8}={address_text(value, size)}"
            yield EachRegister(name=name, value=value, shown=shown)


@command(
    "!for_each_function",
    summary="Run a command for each function of a module whose name matches a pattern; "
    "@#FunctionName and @#FunctionAddress stand for it, @#SymbolName for its name with the module. "
    "Without a command they are listed.",
    syntax="!for_each_function -m:module [-p:pattern] [-c:command]",
    example="!for_each_function -m:practice -p:m* -c:.echo @#SymbolName @#FunctionAddress",
    family="control",
)
def for_each_function(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    module_name, pattern = "", "*"
    while found := cursor.match(r"[ \t]*-([mp]):([^\s;]+)"):
        if found[1] == "m":
            module_name = found[2]
        else:
            pattern = found[2]
    template = _command_string(cursor)
    module = ctx.system.modules.named(module_name) if module_name else None
    if module is None:
        hint = "!for_each_function -m:MODULE [-p:PATTERN] [-c:COMMAND]; lm lists the modules"
        raise cursor.error("Couldn't resolve module error", hint=hint)
    source = ctx.system.modules.symbols(module)
    if source is None:
        return
    size = ctx.system.pointer_size
    for number, symbol in enumerate(source.symbols_matching(pattern, ctx.cancel)):
        if number >= _MAX_FUNCTIONS:
            break
        if not symbol.is_code:
            continue
        address = module.base + symbol.rva
        name = sanitise_line(symbol.name)
        values = {
            "FunctionName": name,
            "SymbolName": f"{module.name}!{name}",
            "ModuleName": module.name,
            "FunctionAddress": f"{address:#x}",
        }
        if template:
            yield from _run(ctx, template, values)
        else:
            shown = f"{address_text(address, size)} {module.name}!{name}"
            yield EachFunction(name=name, address=address, shown=shown)


class EachFunction(ShownItem, frozen=True):
    """A function as ``!for_each_function`` without a command lists it."""

    name: str
    address: Hex
