"""``.dumpdebug`` and ``.dumpchk``: what a dump file holds, and whether it is whole."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator

from polydbg.base.errors import CommandError, DebuggerError, UnsupportedOperation
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.core_parts import describe_elf, describe_macho
from polydbg.commands.cursor import Cursor
from polydbg.commands.dump_streams import describe
from polydbg.commands.output import Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.target_info import description, times
from polydbg.engine import windows_process
from polydbg.engine.program import process_id
from polydbg.engine.session import System
from polydbg.formats.minidump.streams import Minidump
from polydbg.memory.ranges import MappedMemory
from polydbg.targets.dump_file import shown_path
from polydbg.targets.elf_core import ElfCoreTarget
from polydbg.targets.macho_core import MachoCoreTarget
from polydbg.targets.minidump import MinidumpTarget
from polydbg.targets.target import Target

_NO_DAMAGE = frozenset({"dump.unknown-stream"})
_LISTS = (
    "thread_details",
    "thread_names",
    "modules",
    "unloaded_modules",
    "exception",
    "system_info",
    "misc_info",
    "system_memory",
    "vm_counters",
    "memory_list",
    "memory64_list",
    "memory",
    "regions",
    "handles",
    "handle_operations",
    "tokens",
    "function_tables",
    "breakpad_info",
    "assertion",
    "crashpad_info",
    "dso_debug",
    "macos_crash_info",
)
"""What a minidump holds, by the names of :class:`Minidump`: each is decoded when asked for."""


class DumpSummary(ShownItem, frozen=True):
    """What the dump is of."""

    path: str
    kind: str
    process_id: Hex
    threads: int
    modules: int
    unloaded_modules: int
    memory_ranges: int
    memory_size: Hex


class DumpDamage(ShownItem, frozen=True):
    """A part of the file that is cut off, missing or makes no sense.

    *is_damage* is false of what is only unusual, such as streams of unknown types.
    """

    identifier: str
    message: str
    is_damage: bool


@command(
    ".dumpdebug",
    summary="Show the header of the dump file and every stream with what it holds; of cores the "
    "segments, the notes and what there is of each thread.",
    syntax=".dumpdebug",
    example=".dumpdebug",
    family="dumps",
)
def dump_debug(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    target = ctx.system.target
    parts = _parts(ctx, target)
    if parts is None:
        raise UnsupportedOperation(
            "only minidumps and cores have parts to be listed",
            hint=".dumpchk checks this file too",
        )
    yield from parts


def _parts(ctx: CommandContext, target: Target) -> Iterator[Item] | None:
    """Return what the file is made of, ``None`` for formats without parts."""
    if isinstance(target, MinidumpTarget):
        return describe(target.dump)
    if isinstance(target, ElfCoreTarget):
        return describe_elf(target, ctx.cancel.check)
    if isinstance(target, MachoCoreTarget):
        return describe_macho(target, ctx.cancel.check)
    return None


@command(
    ".dumpchk",
    summary="Check the dump file, or with * every open one: its streams, the system and the "
    "process it is of, and what is cut off or damaged. polydbg check FILE does the same.",
    syntax=".dumpchk [*]",
    example=".dumpchk",
    family="dumps",
)
def dump_check(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    current = ctx.system
    cursor.skip_blanks()
    damage = 0
    for system in list(ctx.session.systems) if cursor.take("*") else [current]:
        ctx.session.select_system(system.ordinal)
        try:
            damage += yield from _check(ctx, system)
        finally:
            ctx.session.select_system(current.ordinal)
    if damage:
        raise CommandError(
            f"parts that are damaged or missing: {damage}",
            identifier="dump.damaged",
            hint="the rest can be read: open the file as usual",
        )


def _check(ctx: CommandContext, system: System) -> Generator[Item, None, int]:
    """Yield what is in the current system's file; return how many parts of it are damaged."""
    target = system.target
    yield Text(value=f"Loading Dump File [{_path(system)}]")
    yield Text(value=target.kind_line)
    yield from _parts(ctx, target) or ()
    yield Text(value="")
    yield description(system)
    yield times(system, with_cpu=True)
    yield _summary(ctx, system)
    yield from _process_block(ctx, system)
    damage = 0
    for found in _damage(ctx, system):
        damage += found.is_damage
        yield found
    yield Text(value="\nFinished dump check")
    return damage


def _path(system: System) -> str:
    return sanitise_line(shown_path(system.target.path, system.target.member))


def _process_block(ctx: CommandContext, system: System) -> Iterator[Item]:
    """Yield what ``!peb`` shows, where the dump holds the process block or what stands for it."""
    if not windows_process.is_windows(system):
        with contextlib.suppress(DebuggerError):
            yield from ctx.run("!peb")
        return
    try:
        block = windows_process.peb(system)
    except DebuggerError:
        return
    if block.image_base is not None:
        yield from ctx.run("!peb")


def _summary(ctx: CommandContext, system: System) -> DumpSummary:
    target = system.target
    count = size = 0
    memory = target.memory
    if isinstance(memory, MappedMemory):
        for item in memory.ranges():
            if count % 0x1000 == 0:
                ctx.cancel.check()
            count += 1
            size += item.size
    threads, modules = len(system.threads), len(target.modules())
    unloaded = len(target.unloaded_modules())
    shown = (
        f"Process {process_id(system):x}: {threads} threads, {modules} modules,"
        f" {unloaded} unloaded modules, {size:#x} bytes of memory in {count} ranges"
    )
    return DumpSummary(
        path=_path(system),
        kind=target.kind_line,
        process_id=process_id(system),
        threads=threads,
        modules=modules,
        unloaded_modules=unloaded,
        memory_ranges=count,
        memory_size=size,
        shown=shown,
    )


def _damage(ctx: CommandContext, system: System) -> Iterator[DumpDamage]:
    """Read all that the file says and yield what was noticed."""
    target = system.target
    if isinstance(target, MinidumpTarget):
        for name in _LISTS:
            ctx.cancel.check()
            getattr(target.dump, name)
        yield from _overlaps(target.dump)
    for thread in system.threads:
        ctx.cancel.check()
        target.registers(thread)
    target.exception_registers()
    target.regions()
    target.handles()
    for warning in target.warnings():
        yield _noticed(warning.identifier, warning.message)


def _noticed(identifier: str, message: str) -> DumpDamage:
    is_damage = identifier not in _NO_DAMAGE
    message = sanitise_line(message)
    shown = f"{'Damage' if is_damage else 'Note'}: {message} ({identifier})"
    return DumpDamage(identifier=identifier, message=message, is_damage=is_damage, shown=shown)


def _overlaps(dump: Minidump) -> Iterator[DumpDamage]:
    """Yield the streams that share bytes with the one before them in the file."""
    placed = sorted((e for e in dump.directory if e.size), key=lambda e: (e.rva, e.index))
    for before, entry in itertools.pairwise(placed):
        if before.rva + before.size > entry.rva:
            names = f"{before.name} (entry {before.index}) and {entry.name} (entry {entry.index})"
            yield _noticed("dump.overlap", f"{names} share bytes at RVA {entry.rva:#x}")
