"""``!handle``: the handles that the process had open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.access_rights import access_names
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.engine.session import System
from polydbg.engine.windows_process import is_windows
from polydbg.targets.target import HandleInfo

_TYPE, _BASIC, _NAME, _OBJECT = 1, 2, 4, 8
_LINK_TYPES = (
    ("socket:", "Socket"),
    ("pipe:", "Pipe"),
    ("anon_inode:[eventfd", "Eventfd"),
    ("anon_inode:[eventpoll", "Epoll"),
    ("anon_inode:[timerfd", "Timerfd"),
    ("anon_inode:[signalfd", "Signalfd"),
    ("anon_inode:", "Anonymous"),
    ("/memfd:", "Memfd"),
    ("/dev/", "Device"),
)


class HandleRow(ShownItem, frozen=True):
    """A handle. *information* is what is known of its object: see the text of ``!handle``."""

    handle: Hex
    type_name: str
    name: str
    attributes: Hex
    granted_access: Hex
    standard_access: tuple[str, ...]
    specific_access: tuple[str, ...]
    handle_count: int
    pointer_count: int
    information: dict[str, int]


class HandleTotal(ShownItem, frozen=True):
    """How many handles of a type there are; ``None`` counts those whose type is not known."""

    type_name: str
    count: int


@command(
    "!handle",
    summary="Show the handles that the process had open. Flags: 1 type, 2 attributes, access and "
    "counts, 4 name, 8 the object itself; 0 only how many of each type.",
    syntax="!handle [handle | 0 [flags [type]]]",
    example="!handle 0 f Event",
    family="process",
)
def handle_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    wanted = 0 if cursor.at_end else ctx.expression(cursor)
    flags = 1 if cursor.at_end else ctx.expression(cursor)
    kind = "" if cursor.at_end else cursor.rest().strip('"')
    system = ctx.system
    handles = system.target.handles()
    if not handles:
        raise CommandError(
            "Unable to read handle information",
            identifier="target.no-handles",
            hint=_absence(system),
        )
    digits = 2 * system.pointer_size
    if wanted and wanted & (1 << 4 * digits) - 1 != (1 << 4 * digits) - 1:
        yield _one(system, handles, wanted, flags)
        return
    counts: dict[str, int] = {}
    for info in handles:
        ctx.cancel.check()
        name = type_name(info)
        if kind and name.lower() != kind.lower():
            continue
        counts[name or "None"] = counts.get(name or "None", 0) + 1
        if flags:
            yield _row(system, info, flags)
    total = sum(counts.values())
    if kind:
        yield Text(value=f"{total} handles of type {sanitise_line(kind)}")
        return
    yield Heading(value=f"{total} Handles\n{'Type':15}\tCount")
    for name, count in counts.items():
        shown = f"{sanitise_line(name):15}\t{count}"
        yield HandleTotal(type_name=sanitise_line(name), count=count, shown=shown)


def _absence(system: System) -> str:
    if is_windows(system):
        return "the dump has no handle data (MiniDumpWithHandleData, .dump /mh)"
    return "only cores of FreeBSD and minidumps with handle data list open files"


def _one(system: System, handles: Sequence[HandleInfo], wanted: int, flags: int) -> HandleRow:
    for info in handles:
        if info.handle == wanted:
            return _row(system, info, flags)
    raise CommandError(
        f"no handle {wanted:x} was open", identifier="target.no-such-handle", hint="!handle lists"
    )


def type_name(info: HandleInfo) -> str:
    """Return the type; of descriptors without one, what the file they lead to says."""
    if info.type_name or not info.object_name:
        return info.type_name
    for start, name in _LINK_TYPES:
        if info.object_name.startswith(start):
            return name
    return "File" if info.object_name.startswith("/") else ""


def _row(system: System, info: HandleInfo, flags: int) -> HandleRow:
    kind, name = sanitise_line(type_name(info)), sanitise_line(info.object_name)
    standard, specific = access_names(kind, info.granted_access)
    lines = [f"Handle {info.handle:0{2 * system.pointer_size}x}"]
    if flags & _TYPE:
        lines.append(f"  Type         \t{kind}")
    if flags & _BASIC:
        lines += [
            f"  Attributes   \t{f'{info.attributes:#x}' if info.attributes else '0'}",
            f"  GrantedAccess\t{info.granted_access:#x}:",
            *(f"         {','.join(names) or 'None'}" for names in (standard, specific)),
            f"  HandleCount  \t{info.handle_count}",
            f"  PointerCount \t{info.pointer_count}",
        ]
    if flags & _NAME:
        lines.append(f"  Name         \t{name or '<none>'}")
    if flags & _OBJECT:
        known = object_lines(info.information)
        if known:
            lines.append("  Object specific information")
            lines += [f"    {line}" for line in known]
        else:
            lines.append("  No object specific information available")
    return HandleRow(
        handle=info.handle,
        type_name=kind,
        name=name,
        attributes=info.attributes,
        granted_access=info.granted_access,
        standard_access=standard,
        specific_access=specific,
        handle_count=info.handle_count,
        pointer_count=info.pointer_count,
        information=dict(info.information),
        shown="\n".join(lines),
    )


def object_lines(known: Mapping[str, int]) -> list[str]:
    """Return what is known of an object in WinDbg's words."""
    lines = []
    if "event_type" in known:
        lines.append(f"Event Type {'Auto' if known['event_type'] else 'Manual'} Reset")
        lines.append(f"Event is {'Set' if known['event_state'] else 'Waiting'}")
    if "limit" in known:
        lines += [f"Semaphore Count {known['count']}", f"Semaphore Limit {known['limit']}"]
    elif "count" in known:
        lines.append(f"Mutex is {'Free' if known['count'] > 0 else 'Owned'}")
        if known.get("abandoned"):
            lines.append("Mutex is abandoned")
    if known.get("owner_thread_id"):
        owner = f"{known['owner_process_id']:x}.{known['owner_thread_id']:x}"
        lines.append(f"Mutant Owner {owner}")
    if "thread_id" in known:
        lines.append(f"Thread Id   {known['process_id']:x}.{known['thread_id']:x}")
        lines.append(f"Priority    {known['priority']}")
        lines.append(f"Base Priority {known['base_priority']}")
    elif "parent_process_id" in known:
        lines.append(f"Process Id  {known['process_id']:x}")
        lines.append(f"Parent Process  {known['parent_process_id']:x}")
        lines.append(f"Base Priority {known['base_priority']}")
    if "size" in known:
        lines.append(f"Section base address {known['base']:#x}")
        lines.append(f"Section attributes {known['attributes']:#x}")
        lines.append(f"Section max size {known['size']:#x}")
    return lines
