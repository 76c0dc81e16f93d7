"""``.exr``, ``.ecxr``, ``.cxr``, ``.lastevent``, ``.eventlog``: why the target stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.stop_display import registers_and_instruction
from polydbg.commands.times import session_time_text
from polydbg.engine.exceptions.naming import describe_exception, exception_title
from polydbg.engine.program import process_id
from polydbg.engine.session import Scope, System
from polydbg.engine.stack import innermost_place
from polydbg.targets.target import ExceptionRecord

_CONTEXT_SIZES = {"amd64": 0x4D0, "x86": 0x2CC, "arm64": 0x390, "arm": 0x1A0}
_MAX_PARAMETERS = 15


class ExceptionItem(ShownItem, frozen=True):
    """An exception record. *address* is ``null`` where the dump has none. *name* is ``""`` for a
    code without a name; *flags_name* is that of ``si_code`` or of the kernel's code, which signals
    and Mach exceptions have as their flags."""

    address: Hex | None
    symbol: str
    code: Hex
    name: str
    flags: Hex
    flags_name: str
    parameters: tuple[Hex, ...]
    meaning: str


class EventItem(ShownItem, frozen=True):
    """The last event of the target: who, and the exception in words."""

    process_id: Hex
    thread_id: Hex
    code: Hex
    words: str


def event_words(system: System) -> str | None:
    """Return the words of the event line, ``None`` when the target has no event."""
    event = system.target.event()
    return exception_title(event, system) if event is not None else None


def exception_item(system: System, record: ExceptionRecord) -> ExceptionItem:
    """Return the item and the text of ``.exr`` for *record*."""
    wide = 2 * system.pointer_size
    at, symbol = "<unavailable>", ""
    if record.address is not None:
        at = f"{record.address:0{wide}x}"
        place = innermost_place(system, record.address)
        if place.module or place.unloaded:
            symbol = place.base_text
            if place.displacement:
                symbol += f"+0x{place.displacement:0{wide}x}"
    words = describe_exception(record, system.target.system(), system.pointer_size)
    where = f" ({symbol})" if symbol else ""
    name = f" ({words.name})" if words.name else ""
    flags_name = f" ({words.flags_name})" if words.flags_name else ""
    lines = [
        f"ExceptionAddress: {at}{where}",
        f"   ExceptionCode: {record.code:08x}{name}",
        f"  ExceptionFlags: {record.flags:08x}{flags_name}",
        f"NumberParameters: {len(record.parameters)}",
    ]
    lines += [f"   Parameter[{i}]: {p:0{wide}x}" for i, p in enumerate(record.parameters)]
    if words.meaning:
        lines.append(words.meaning)
    return ExceptionItem(
        address=record.address,
        symbol=symbol,
        code=record.code,
        name=words.name,
        flags=record.flags,
        flags_name=words.flags_name,
        parameters=record.parameters,
        meaning=words.meaning,
        shown="\n".join(lines),
    )


@command(
    ".exr",
    summary="Show an exception record: the event's, or one in memory.",
    syntax=".exr -1 | .exr address",
    example=".exr -1",
    family="events",
)
def exception_record(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    cursor.skip_blanks()
    if cursor.match(r"-1\s*(?=;|$)"):
        event = system.target.event()
        if event is None or not event.is_stored:
            yield Text(value="Last event was not an exception")
            return
        yield exception_item(system, event.exception)
        return
    yield exception_item(system, _record_in_memory(system, ctx.expression(cursor)))


def _record_in_memory(system: System, address: int) -> ExceptionRecord:
    """Return an EXCEPTION_RECORD (winnt.h) of the target's pointer size.

    :raises MemoryReadError: it is not in the dump.
    """
    size = system.pointer_size
    count_at = 8 + 2 * size  # behind code, flags, two pointers
    parameters_at = count_at + size  # the count is padded to a pointer
    data = system.memory.read(address, parameters_at + _MAX_PARAMETERS * size)

    def number(offset: int, width: int) -> int:
        return int.from_bytes(data[offset : offset + width], "little")

    count = min(number(count_at, 4), _MAX_PARAMETERS)
    return ExceptionRecord(
        code=number(0, 4),
        flags=number(4, 4),
        record=number(8, size),
        address=number(8 + size, size),
        parameters=tuple(number(parameters_at + size * i, size) for i in range(count)),
    )


@command(
    ".ecxr",
    summary="Use the registers stored with the exception, until .cxr or ~Ns.",
    syntax=".ecxr",
    example=".ecxr; k    the crash stack",
    family="events",
    aliases=(".excr",),
)
def exception_context(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    registers = ctx.system.select_exception()
    if registers is None:
        raise CommandError(
            "Minidump doesn't have an exception context\n"
            "Unable to get exception context, HRESULT 0x80004002",
            identifier="event.no-context",
            hint="~ lists the threads; ~Ns chooses one, k shows its stack",
        )
    yield from registers_and_instruction(ctx, registers)


@command(
    ".cxr",
    summary="Use a CONTEXT record in memory; without an address go back to the thread's own.",
    syntax=".cxr [address]",
    example=".cxr    drop what .ecxr or .cxr set",
    family="events",
)
def context_record(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    if cursor.at_end:
        system.scope = Scope()
        yield Text(value="Resetting default scope")
        return
    cursor.skip_blanks()
    if cursor.match(r"-1\s*(?=;|$)"):
        yield from exception_context(ctx, cursor)
        return
    from polydbg.formats.minidump.contexts import has_context, parse_context

    address = ctx.expression(cursor)
    machine = system.machine
    data = system.memory.read(address, _CONTEXT_SIZES.get(machine, 0x4D0))
    if not has_context(data, machine):
        raise CommandError(
            f"no {machine} CONTEXT record at {address_text(address, system.pointer_size)}: "
            "its flags do not name the processor",
            identifier="context.not-one",
            hint=".ecxr uses the one stored with the exception; .exptr ADDRESS finds both records",
        )
    registers = parse_context(data, machine)
    system.scope = Scope(registers)
    yield from registers_and_instruction(ctx, registers)


@command(
    ".lastevent",
    summary="Show why the target stopped.",
    syntax=".lastevent",
    example=".lastevent",
    family="events",
)
def last_event(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    event = system.target.event()
    words = event_words(system)
    if event is None or words is None:
        raise CommandError("the target has no event", identifier="event.none")
    now = session_time_text(time.time(), None)
    yield EventItem(
        process_id=process_id(system),
        thread_id=event.thread_id,
        code=event.exception.code,
        words=words,
        shown=f"Last event: {process_id(system):x}.{event.thread_id:x}: {words}\n"
        f"  debugger time: {now}",
    )


@command(
    ".eventlog",
    summary="Show recent events; a dump has only its last.",
    syntax=".eventlog",
    example=".eventlog",
    family="events",
)
def event_log(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    yield Text(value="Event log is empty")
    if words := event_words(ctx.system):
        yield Text(value=f"Last event: {words}")


@command(
    ".exptr",
    summary="Show the records behind an EXCEPTION_POINTERS structure.",
    syntax=".exptr address",
    example=".exptr 11f2b0",
    family="events",
)
def exception_pointers(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'")
    address = ctx.expression(cursor)
    size = ctx.system.pointer_size
    data = ctx.system.memory.read(address, 2 * size)
    record, context = (int.from_bytes(data[i : i + size], "little") for i in (0, size))
    yield Text(value=f"----- Exception record at {address_text(record, size)}:")
    yield from ctx.run(f".exr {record:#x}")
    yield Text(value=f"----- Context record at {address_text(context, size)}:")
    yield from ctx.run(f".cxr {context:#x}")
