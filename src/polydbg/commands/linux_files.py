"""``!linux``: the copies of /proc and of the dynamic linker's list that a Linux dump holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.elf_process import namespace_line
from polydbg.commands.output import Heading, Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.engine.session import System
from polydbg.formats.procfs import AuxiliaryEntry, Mapping, ResourceLimit
from polydbg.targets.linker_list import linker_list
from polydbg.targets.process_files import ProcessFiles, process_files

_POLL_EVERY = 256
_MAX_TEXT = 256
_POINTS_TO_TEXT = frozenset(
    {"AT_PLATFORM", "AT_BASE_PLATFORM", "AT_EXECFN", "AT_EXECPATH", "AT_SUN_EXECNAME"}
)
_POINTS_TO_CODE = frozenset({"AT_ENTRY", "AT_BASE", "AT_PHDR", "AT_SYSINFO", "AT_SYSINFO_EHDR"})
_OVERVIEW = {
    "Name": "Name",
    "State": "State",
    "PPid": "Parent process id",
    "TracerPid": "Tracer process id",
    "Uid": "User ids",
    "Gid": "Group ids",
    "Threads": "Threads",
    "VmPeak": "Peak virtual size",
    "VmSize": "Virtual size",
    "VmHWM": "Peak resident size",
    "VmRSS": "Resident size",
    "VmSwap": "Swapped out",
}


class LinuxField(ShownItem, frozen=True):
    """A named fact of a process or system file, as the file words it. Of four user or group ids
    the first is the real one, then come the effective, the saved and the file system's."""

    file: str
    name: str
    value: str


class MappingRow(ShownItem, frozen=True):
    """A line of ``maps``; *path* is ``""`` for anonymous memory. Cores have no devices (``""``) and
    no inodes (``None``), and the first three letters of *permissions* at most."""

    start: Hex
    end: Hex
    permissions: str
    offset: Hex
    device: str
    inode: int | None
    path: str


class AuxiliaryRow(ShownItem, frozen=True):
    """An entry of the auxiliary vector. *meaning* is the string or the name that *value* is the
    address of, where the dump tells."""

    name: str
    kind: int
    value: Hex
    meaning: str


class SharedObjectRow(ShownItem, frozen=True):
    """An entry of the dynamic linker's list. *base* is what its addresses are moved by, *dynamic*
    the address of its dynamic section; the program itself has no name."""

    base: Hex
    dynamic: Hex
    name: str


class LimitRow(ShownItem, frozen=True):
    """A resource limit; ``None`` is unlimited."""

    name: str
    soft: int | None
    hard: int | None
    unit: str


@command(
    "!linux",
    summary="Show what a Linux dump holds of /proc and of the dynamic linker's list.",
    syntax="!linux [maps | cmdline | environ | auxv | status | lsb | cpuinfo | dso | limits]",
    example="!linux maps    the memory map; without a word: the process in short",
    family="target_info",
)
def linux(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    word = cursor.word().lower()
    if word and word not in _PARTS:
        raise cursor.error(f"Unknown part '{word}'", hint=f"one of {', '.join(_PARTS)}")
    cursor.expect_end()
    files = process_files(ctx.system.target)
    show = _PARTS[word] if word else _overview
    found = False
    if files is not None:
        for count, item in enumerate(show(ctx.system, files)):
            if count % _POLL_EVERY == 0:
                ctx.cancel.check()
            found = True
            yield item
    if not found:
        what = f"no copy of {word}" if word else "no files of a Linux process"
        raise CommandError(
            f"the dump holds {what}",
            identifier="target.no-process-files",
            hint="Breakpad, Crashpad and the like write them; .dumpdebug lists the dump's streams",
        )


def _field(file: str, name: str, value: str, width: int = 0) -> LinuxField:
    name, value = sanitise_line(name), sanitise_line(value)
    shown = f"{name + ':':{width}} {value}".rstrip()
    return LinuxField(file=file, name=name, value=value, shown=shown)


def _overview(system: System, files: ProcessFiles) -> Iterator[Item]:
    status = files.status
    facts = [("status", label, status[key]) for key, label in _OVERVIEW.items() if key in status]
    if files.process_id is not None:
        facts.insert(1, ("status", "Process id", f"0n{files.process_id} ({files.process_id:x})"))
    if files.command_line:
        facts.append(("cmdline", "Command line", " ".join(files.command_line)))
    if files.distribution:
        facts.append(("lsb-release", "Distribution", files.distribution))
    names = [block["model name"] for block in files.processors if "model name" in block]
    if names:
        count = sum("processor" in block for block in files.processors)
        facts.append(("cpuinfo", "Processors", f"{count} x {names[0]}"))
    if files.maps:
        facts.append(("maps", "Mappings", str(len(files.maps))))
    width = max((len(label) for _, label, _ in facts), default=0) + 1
    for file, label, value in facts:
        yield _field(file, label, value, width)


def _maps(system: System, files: ProcessFiles) -> Iterator[Item]:
    """Yield the copy of ``maps``; without one what the dump's own list of regions says in its
    form, where devices and inodes are not known."""
    is_copy = bool(files.maps)
    rows = files.maps or [
        Mapping(r.base, r.end, r.file.permissions, r.file.offset, "", 0, r.file.path)
        for r in system.target.regions()
        if r.file is not None
    ]
    size = system.pointer_size
    if rows:
        wide = 17 if size == 8 else 8
        yield Heading(value=f"{'start':{wide}} {'end':{wide}} perm offset   device inode path")
    for mapping in rows:
        path = sanitise_line(mapping.path)
        row = f"{address_text(mapping.start, size)} {address_text(mapping.end, size)} "
        row += f"{mapping.permissions or '???':4} {mapping.offset:08x} "
        row += f"{mapping.device:6} {mapping.inode} " if is_copy else f"{'?':6} ? "
        yield MappingRow(
            start=mapping.start,
            end=mapping.end,
            permissions=mapping.permissions,
            offset=mapping.offset,
            device=mapping.device,
            inode=mapping.inode if is_copy else None,
            path=path,
            shown=f"{row}{path}".rstrip(),
        )


def _command_line(system: System, files: ProcessFiles) -> Iterator[Item]:
    for index, argument in enumerate(files.command_line):
        yield _field("cmdline", f"Argument {index}", argument)


def _environment(system: System, files: ProcessFiles) -> Iterator[Item]:
    for entry in files.environment:
        name, _, value = entry.partition("=")
        yield LinuxField(
            file="environ",
            name=sanitise_line(name),
            value=sanitise_line(value),
            shown=sanitise_line(entry),
        )


def _auxiliary(system: System, files: ProcessFiles) -> Iterator[Item]:
    for entry in files.auxiliary_vector:
        name = entry.name or f"0n{entry.kind}"
        meaning = _auxiliary_meaning(system, entry)
        row = f"{name:22} {entry.value:0{2 * system.pointer_size}x} {meaning}"
        yield AuxiliaryRow(
            name=entry.name,
            kind=entry.kind,
            value=entry.value,
            meaning=meaning,
            shown=row.rstrip(),
        )


def _auxiliary_meaning(system: System, entry: AuxiliaryEntry) -> str:
    if entry.name in _POINTS_TO_TEXT:
        data = system.memory.read_some(entry.value, _MAX_TEXT)
        text, ended, _ = data.partition(b"\0")
        return sanitise_line(text.decode("utf-8", "replace")) if ended else "<unavailable>"
    if entry.name in _POINTS_TO_CODE:
        place = system.modules.place(entry.value)
        return place.text if place.module else ""
    return ""


def _status(system: System, files: ProcessFiles) -> Iterator[Item]:
    for name, value in files.status.items():
        yield _field("status", name, value)


def _release(system: System, files: ProcessFiles) -> Iterator[Item]:
    for name, value in files.release.items():
        yield _field("lsb-release", name, value)


def _processors(system: System, files: ProcessFiles) -> Iterator[Item]:
    for index, block in enumerate(files.processors):
        if index:
            yield Text(value="")
        for name, value in block.items():
            yield _field("cpuinfo", name, value)


def _shared_objects(system: System, files: ProcessFiles) -> Iterator[Item]:
    size = system.pointer_size
    wide = 17 if size == 8 else 8
    for number, namespace in enumerate(linker_list(system.target)):
        yield Text(value=namespace_line(system, number, namespace))
        yield Heading(value=f"{'base':{wide}} {'dynamic':{wide}} name")
        for entry in namespace.objects:
            name = sanitise_line(entry.name)
            row = f"{address_text(entry.bias, size)} {address_text(entry.dynamic, size)} {name}"
            yield SharedObjectRow(
                base=entry.bias, dynamic=entry.dynamic, name=name, shown=row.rstrip()
            )


def _limits(system: System, files: ProcessFiles) -> Iterator[Item]:
    if files.limits:
        yield Heading(value=f"{'limit':26} {'soft':>20} {'hard':>20} unit")
    for limit in files.limits:
        yield _limit_row(limit)


def _limit_row(limit: ResourceLimit) -> LimitRow:
    name, unit = sanitise_line(limit.name), sanitise_line(limit.unit)
    soft, hard = (
        "unlimited" if value is None else str(value) for value in (limit.soft, limit.hard)
    )
    return LimitRow(
        name=name,
        soft=limit.soft,
        hard=limit.hard,
        unit=unit,
        shown=f"{name:26} {soft:>20} {hard:>20} {unit}".rstrip(),
    )


_PARTS: dict[str, Callable[[System, ProcessFiles], Iterator[Item]]] = {
    "maps": _maps,
    "cmdline": _command_line,
    "environ": _environment,
    "auxv": _auxiliary,
    "status": _status,
    "lsb": _release,
    "cpuinfo": _processors,
    "dso": _shared_objects,
    "limits": _limits,
}
