"""``.dumpdebug`` of cores: headers, segments and notes of ELF cores, load commands of Mach-O's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.elf_headers_text import access_words, segment_type
from polydbg.commands.output import Heading, Hex, Item, ShownItem, Text
from polydbg.formats.elf.note_names import core_note_name
from polydbg.formats.macho import header as macho
from polydbg.targets.elf_core import ElfCoreTarget
from polydbg.targets.macho_core import MachoCoreTarget

_POLL_EVERY = 256
_COMMANDS = {
    macho.LC_SEGMENT: "LC_SEGMENT",
    macho.LC_SEGMENT_64: "LC_SEGMENT_64",
    macho.LC_THREAD: "LC_THREAD",
    macho.LC_NOTE: "LC_NOTE",
    macho.LC_UUID: "LC_UUID",
}
_NOTE_OWNER = slice(8, 24)
_PROTECTIONS = ((1, "r"), (2, "w"), (4, "x"))


class CoreHeader(ShownItem, frozen=True):
    """The header of a core: *machine* and *system* by name, how many parts it has."""

    format: str
    machine: str
    system: str
    parts: int


class CoreSegment(ShownItem, frozen=True):
    """A segment of an ELF core or of a Mach-O one: *size* bytes of memory at *address*, of which
    *stored* are at *offset* of the file and *present* were not cut off. *segment_type* is ``LOAD``
    or the like, of Mach-O the segment's name; *flags* as stored."""

    number: int
    segment_type: str
    offset: Hex
    address: Hex
    stored: Hex
    present: Hex
    size: Hex
    flags: Hex


class CoreNote(ShownItem, frozen=True):
    """A note: its *owner*, number and name, where its bytes are in the file."""

    number: int
    owner: str
    note_type: Hex
    name: str
    size: Hex
    offset: Hex


class CoreThreadNotes(ShownItem, frozen=True):
    """Which sets of registers a core has of a thread, and the signal that it was stopped by."""

    ordinal: int
    id: Hex
    signal: int
    sets: tuple[str, ...]


def describe_elf(target: ElfCoreTarget, poll: Callable[[], None]) -> Iterator[Item]:
    """Yield the header, the program headers, the notes and what is there of each thread."""
    header = target.header
    wide = target.pointer_size
    lines = [
        "----- ELF User Core Analysis",
        "",
        "ELF_HEADER:",
        f"Machine         {header.machine:X} ({header.machine_name})",
        f"Class           {8 * header.word} bit, {header.order}-endian",
        f"OsAbi           {header.os_abi:X}",
        f"Flags           {header.flags:X}",
        f"ProgramHeaders  {len(target.segments)}",
        f"System          {target.platform}",
        "",
    ]
    yield CoreHeader(
        format="elf",
        machine=header.machine_name,
        system=target.platform,
        parts=len(target.segments),
        shown="\n".join(lines),
    )
    pad = 2 * wide + (wide == 8)
    yield Heading(
        value=f"Program headers:\n  segment#  Type       Offset    {'Address':{pad}} "
        f"{'Stored':>9} {'Size':>9} Access"
    )
    total = 0
    for number, each in enumerate(target.segments):
        if number % _POLL_EVERY == 0:
            poll()
        present = min(each.file_size, max(target.file_size - each.offset, 0))
        total += present
        kind = segment_type(each.type, header)
        cut = "" if present == each.file_size else f"  only {present:X} bytes are in the file"
        yield CoreSegment(
            number=number,
            segment_type=kind,
            offset=each.offset,
            address=each.vaddr,
            stored=each.file_size,
            present=present,
            size=each.memory_size,
            flags=each.flags,
            shown=f"  {number:8}  {kind:8} {each.offset:8X}    {address_text(each.vaddr, wide)} "
            f"{each.file_size:9X} {each.memory_size:9X} {access_words(each.flags)}{cut}",
        )
    yield Text(value=f"  Total in the file: {total}\n\nNotes:")
    yield from _notes(target, poll)
    yield Text(value="\nThreads:")
    yield from _threads(target, poll)


def _notes(target: ElfCoreTarget, poll: Callable[[], None]) -> Iterator[Item]:
    for number, note in enumerate(target.file_notes()):
        if number % _POLL_EVERY == 0:
            poll()
        name = core_note_name(note.owner, note.type)
        size = len(note.descriptor)
        owner = sanitise_line(note.owner)
        yield CoreNote(
            number=number,
            owner=owner,
            note_type=note.type,
            name=name,
            size=size,
            offset=note.offset,
            shown=f"Note {number}: {owner} {name or 'type'} ({note.type:x}), size {size:08X}, "
            f"offset {note.offset:08X}",
        )


def _threads(target: ElfCoreTarget, poll: Callable[[], None]) -> Iterator[Item]:
    for ordinal, thread in enumerate(target.notes.threads):
        if ordinal % _POLL_EVERY == 0:
            poll()
        sets = tuple(thread.sets)
        signal = f", signal {thread.signal}" if thread.signal else ""
        info = ", siginfo" if thread.signal_info is not None else ""
        yield CoreThreadNotes(
            ordinal=ordinal,
            id=thread.id,
            signal=thread.signal,
            sets=sets,
            shown=f"  {ordinal:4}  ID {thread.id:X}{signal}{info}: registers {', '.join(sets)}",
        )


def describe_macho(target: MachoCoreTarget, poll: Callable[[], None]) -> Iterator[Item]:
    """Yield the header and the load commands: segments, threads, notes."""
    core = target.core
    lines = [
        "----- Mach-O Core Analysis",
        "",
        "MACH_HEADER:",
        f"Machine         {core.header.arch}",
        f"LoadCommands    {core.header.command_count}",
        f"SizeOfCommands  {core.header.command_bytes:X}",
        f"Threads         {len(core.threads)}",
        "",
        "Load commands:",
    ]
    yield CoreHeader(
        format="macho",
        machine=core.header.arch,
        system=target.system().platform,
        parts=core.header.command_count,
        shown="\n".join(lines),
    )
    segment_number = 0
    for number, command in enumerate(target.load_commands()):
        if number % _POLL_EVERY == 0:
            poll()
        name = _COMMANDS.get(command.kind, f"{command.kind:X}")
        head = f"Command {number}: {name}, size {len(command.data):X}"
        segment = None
        if command.kind in (macho.LC_SEGMENT, macho.LC_SEGMENT_64):
            segment = macho.parse_segment(command)
        if segment is None:
            if command.kind == macho.LC_NOTE:
                owner = command.data[_NOTE_OWNER].split(b"\0", 1)[0].decode("utf-8", "replace")
                head += f", of {sanitise_line(owner)}"
            yield Text(value=head)
            continue
        letters = "".join(
            letter if segment.protection & bit else "-" for bit, letter in _PROTECTIONS
        )
        present = min(segment.file_size, max(target.file_size - segment.offset, 0))
        cut = "" if present == segment.file_size else f", only {present:X} are in the file"
        yield CoreSegment(
            number=segment_number,
            segment_type=sanitise_line(segment.name),
            offset=segment.offset,
            address=segment.address,
            stored=segment.file_size,
            present=present,
            size=segment.size,
            flags=segment.protection,
            shown=f"{head}\n  {letters} {address_text(segment.address, target.pointer_size)} size "
            f"{segment.size:X}, {segment.file_size:X} bytes at offset {segment.offset:X}{cut}",
        )
        segment_number += 1
