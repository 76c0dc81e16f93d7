"""``!address`` and ``!vprot``: the map of the process's addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from polydbg.base.errors import CommandError
from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.address_summary import summary_items
from polydbg.commands.address_text import (
    ABSENT,
    PROTECTIONS,
    STATES,
    TYPES,
    protection_words,
    region_comment,
    size_words,
    table_heading,
    table_row,
)
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem
from polydbg.commands.registry import command
from polydbg.engine.address_map import MEM_MAPPED, AddressMap, Region
from polydbg.engine.address_usage import Usage
from polydbg.engine.session import System
from polydbg.memory.ranges import MappedMemory

_USAGE_FILTERS = {usage.value.lower(): (usage,) for usage in Usage} | {
    "var": (Usage.UNKNOWN, Usage.ANONYMOUS),
    "stack": (Usage.STACK, Usage.STACK32),
    "teb": (Usage.TEB, Usage.TEB32),
    "peb": (Usage.PEB, Usage.PEB32),
}
_NAMED_FILTERS = {
    "csr": "Read Only Shared Memory",
    "actx": "Activation Context Data",
    "nls": "NLS Tables",
}
_FORMATS = ("csv", "tsv", "1")
_COLUMNS = ("BaseAddress", "EndAddress+1", "RegionSize", "Type", "State", "Protect", "Usage")
_PARTIAL = (
    "the dump has no list of memory regions (MiniDumpWithFullMemoryInfo): this map is partial, made"
    " of the memory in the dump, modules, stacks and thread blocks; what it lacks is not known"
)
_CHUNK = 1 << 17
_POLL_EVERY = 0x1000


class AddressRow(ShownItem, frozen=True):
    """A region: *memory_type*, *state* and *protect* are MEM_* and PAGE_* words, ``""`` if not
    known.

    *comment* is what the region belongs to; *source* says where its facts come from.
    """

    base: Hex
    end: Hex
    size: Hex
    memory_type: str
    state: str
    protect: str
    usage: str
    comment: str
    source: str
    starts_allocation: bool


class AddressDetails(ShownItem, frozen=True):
    """One region with its allocation, what it belongs to, and whether its bytes are at hand.

    *content_source* is ``target``, ``mapped`` (an image file) or ``invalid``; *content_length*
    counts bytes from *address* on.
    """

    address: Hex
    base: Hex
    end: Hex
    size: Hex
    usage: str
    state: Hex | None
    protect: Hex | None
    memory_type: Hex | None
    allocation_base: Hex | None
    allocation_protect: Hex | None
    module: str
    image_path: str
    permissions: str
    more_info: tuple[str, ...]
    content_source: str
    content_length: Hex
    source: str


class Protection(ShownItem, frozen=True):
    """What ``VirtualQuery`` would say of an address; ``null`` where the dump does not."""

    base: Hex
    allocation_base: Hex | None
    allocation_protect: Hex | None
    size: Hex
    state: Hex | None
    protect: Hex | None
    memory_type: Hex | None
    permissions: str


class _Filter(msgspec.Struct):
    """Words of ``-f``: of one kind any may hold, of every kind given one must."""

    usages: list[Usage] = msgspec.field(default_factory=list)
    names: list[str] = msgspec.field(default_factory=list)
    types: list[int] = msgspec.field(default_factory=list)
    states: list[int] = msgspec.field(default_factory=list)
    protects: list[int] = msgspec.field(default_factory=list)

    def holds(self, region: Region) -> bool:
        used = self.usages or self.names
        if used and region.usage not in self.usages and region.what not in self.names:
            return False
        if self.types and region.type not in self.types:
            return False
        if self.states and region.state not in self.states:
            return False
        protect = region.protect or 0
        return not self.protects or any(protect & bit for bit in self.protects)


class _Options(msgspec.Struct):
    filter: _Filter | None = None
    format: str = ""
    command: str = ""
    summary: bool = False
    address: int | None = None


@command(
    "!address",
    summary="Show what the addresses of the process are used for. Without arguments the whole map; "
    "-summary adds it up; -f: takes Free, Image, Stack, Teb, Peb, Heap, VAR, Other, FileMap, NLS, "
    "Actx, CSR, of Linux TLS, vdso, vvar, Anon, MEM_* and PAGE_* words (any of a kind, one of each "
    "kind given); -c: runs a command "
    "for each region with %1 base, %2 end+1, %3 size, %4 type, %5 state, %6 protect, %7 usage.",
    syntax='!address [address | -summary | [-f:filter[,...]] [-o:csv|tsv|1] [-c:"command"]]',
    example='!address -f:Heap,MEM_COMMIT -c:"s -a %1 L?%3 password"',
    family="address",
)
def address_command(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    options = _options(ctx, cursor)
    found = ctx.system.address_map(ctx.cancel)
    if options.address is not None:
        yield _details(ctx, found, options.address)
        return
    if not found.is_whole:
        yield Notice(identifier="address.partial-map", value=_PARTIAL)
    if options.summary:
        yield from summary_items(ctx, found)
        return
    kept = (r for r in found.regions if options.filter is None or options.filter.holds(r))
    if options.command:
        for region in kept:
            yield from ctx.run(_filled(options.command, region))
    elif options.format:
        yield from _formatted(ctx.system, kept, options.format)
    else:
        marks = options.filter is None
        yield Heading(value=table_heading(ctx.system.pointer_size, marks=marks))
        for region in kept:
            yield _row(ctx.system, region, marks=marks)


def _options(ctx: CommandContext, cursor: Cursor) -> _Options:
    """Read the arguments. :raises CommandError: an unknown switch, filter or format."""
    options = _Options()
    while not cursor.at_end:
        if found := cursor.match(r"-summary\b"):
            options.summary = True
        elif found := cursor.match(r"-f:([^\s;]+)"):
            options.filter = options.filter or _Filter()
            for word in found.group(1).split(","):
                _add_filter(options.filter, word, cursor)
        elif found := cursor.match(r"-o:(\w+)"):
            options.format = found.group(1).lower()
            if options.format not in _FORMATS:
                raise cursor.error("Invalid output format", hint="-o: takes csv, tsv or 1")
        elif found := cursor.match(r'-c:"((?:[^"\\]|\\.)*)"'):
            options.command = found.group(1).replace('\\"', '"')
        elif found := cursor.match(r"-c:([^;]+)"):
            options.command = found.group(1).strip()
        elif cursor.match(r"-[A-Za-z?]"):
            raise cursor.error("Invalid option", hint="!address takes -summary, -f:, -o: and -c:")
        else:
            options.address = ctx.expression(cursor)
            break
    return options


def _add_filter(into: _Filter, word: str, cursor: Cursor) -> None:
    lower = word.lower()
    for table, kept in (
        (TYPES, into.types),
        (STATES, into.states),
        (PROTECTIONS, into.protects),
    ):
        for value, name in table.items():
            if name.lower() == lower:
                kept.append(value)
                return
    if lower in _USAGE_FILTERS:
        into.usages += _USAGE_FILTERS[lower]
    elif lower in _NAMED_FILTERS:
        into.names.append(_NAMED_FILTERS[lower])
    elif lower == "filemap":
        into.types.append(MEM_MAPPED)
    else:
        raise cursor.error(
            f"Invalid filter {sanitise_line(word)}", hint=".help !address lists the filters"
        )


def _row(system: System, region: Region, *, marks: bool) -> AddressRow:
    comment = region_comment(system, region)
    return AddressRow(
        base=region.base,
        end=region.end,
        size=region.size,
        memory_type=TYPES.get(region.type or 0, ""),
        state=STATES.get(region.state or 0, ""),
        protect=protection_words(region.protect),
        usage=region.usage.value,
        comment=comment,
        source=region.source.value,
        starts_allocation=region.starts_allocation,
        shown=table_row(region, comment, system.pointer_size, marks=marks),
    )


def _values(region: Region) -> tuple[str, ...]:
    """Return the values of the columns, which are those of %1 to %7 too."""
    return (
        f"{region.base:#x}",
        f"{region.end:#x}",
        f"{region.size:#x}",
        TYPES.get(region.type or 0, ""),
        STATES.get(region.state or 0, ""),
        protection_words(region.protect),
        region.usage.value,
    )


def _filled(template: str, region: Region) -> str:
    values = _values(region)
    return re.sub(r"%([1-7])", lambda m: values[int(m.group(1)) - 1], template)


def _formatted(system: System, regions: Iterator[Region], style: str) -> Iterator[Item]:
    """Yield rows for programs: all columns, or with ``1`` only where each region begins."""
    separator = "\t" if style == "tsv" else ","
    if style != "1":
        yield Heading(value=separator.join(f'"{name}"' for name in (*_COLUMNS, "Comment")))
    for region in regions:
        row = _row(system, region, marks=False)
        shown = f"{region.base:#x}"
        if style != "1":
            cells = (*_values(region), row.comment.replace('"', '""'))
            shown = separator.join(f'"{cell}"' for cell in cells)
        yield msgspec.structs.replace(row, shown=shown)


def _details(ctx: CommandContext, found: AddressMap, address: int) -> AddressDetails:
    """Return the block of one region.

    :raises CommandError: the map says nothing of the address.
    """
    system = ctx.system
    region = _region_at(found, address)
    wide = system.pointer_size
    module = region.module
    source, length = _content(ctx, region, address)
    more = _more_info(region, address)
    lines = [
        "",
        _line("Usage", region.usage.value),
        _line("Base Address", address_text(region.base, wide)),
        _line("End Address", address_text(region.end, wide)),
        _line("Region Size", f"{address_text(region.size, wide)} ({size_words(region.size)})"),
        _coded_line("State", region.state, STATES.get(region.state or 0, "")),
        _coded_line("Protect", region.protect, protection_words(region.protect)),
        _coded_line("Type", region.type, TYPES.get(region.type or 0, "")),
    ]
    if not region.is_free:
        base = region.allocation_base
        shown = ABSENT if base is None else address_text(base, wide)
        words = protection_words(region.allocation_protect)
        lines.append(_line("Allocation Base", shown))
        lines.append(_coded_line("Allocation Protect", region.allocation_protect, words))
    if region.file is not None:
        lines.append(_line("Permissions", _permissions(region)))
    if region.usage is Usage.MAPPED_FILE:
        lines.append(_line("Mapped file name", sanitise_line(region.what)))
    if module is not None:
        lines.append(_line("Image Path", sanitise_line(module.info.image_path)))
        lines.append(_line("Module Name", module.name))
        lines.append(_line("Loaded Image Name", ""))
        lines.append(_line("Mapped Image Name", sanitise_line(str(module.image_file or ""))))
    lines += [_line("More info", each) for each in more]
    number = {"target": 1, "mapped": 2}.get(source, 0)
    lines += ["", "", f"Content source: {number} ({source}), length: {length:x}"]
    return AddressDetails(
        address=address,
        base=region.base,
        end=region.end,
        size=region.size,
        usage=region.usage.value,
        state=region.state,
        protect=region.protect,
        memory_type=region.type,
        allocation_base=region.allocation_base,
        allocation_protect=region.allocation_protect,
        module=module.name if module else "",
        image_path=sanitise_line(module.info.image_path) if module else "",
        permissions=_permissions(region),
        more_info=more,
        content_source=source,
        content_length=length,
        source=region.source.value,
        shown="\n".join(lines),
    )


def _permissions(region: Region) -> str:
    """Return Linux's own words, ``r-xp``; ``""`` elsewhere."""
    return sanitise_line(region.file.permissions) if region.file is not None else ""


def _line(label: str, value: str) -> str:
    return f"{label + ':':23} {value}"


def _coded_line(label: str, value: int | None, words: str) -> str:
    return _line(label, ABSENT if value is None else f"{value:08x}          {words}".rstrip())


def _region_at(found: AddressMap, address: int) -> Region:
    region = found.at(address)
    if region is None:
        hint = "!address -summary says what the dump knows" if found.is_whole else _PARTIAL
        raise CommandError(
            f"no region is known to hold {address:#x}", identifier="address.unknown", hint=hint
        )
    return region


def _more_info(region: Region, address: int) -> tuple[str, ...]:
    """Return commands that say more about what lies at *address*."""
    if region.module is not None:
        name, base = region.module.name, region.module.base
        return (f"lmv m {name}", f"!lmi {name}", f"ln {address:#x}", f"!dh {base:#x}")
    if region.thread is not None and region.usage.is_stack:
        return (f"~{region.thread.ordinal}k",)
    if region.usage in (Usage.TEB, Usage.TEB32):
        return (f"!teb {region.base:#x}",)
    if region.usage in (Usage.PEB, Usage.PEB32):
        return (f"!peb {region.base:#x}",)
    return ()


def _content(ctx: CommandContext, region: Region, address: int) -> tuple[str, int]:
    """Return where the bytes at *address* come from, and how many follow in the region."""
    memory = ctx.system.target.memory
    if isinstance(memory, MappedMemory):
        at = address
        for count, item in enumerate(memory.ranges(address)):
            if count % _POLL_EVERY == 0:
                ctx.cancel.check()
            if item.start > at:
                break
            at = min(item.end, region.end)
            if at == region.end:
                break
        if at > address:
            return "target", at - address
    at = address
    while at < region.end:
        ctx.cancel.check()
        data = ctx.system.memory.read_some(at, min(_CHUNK, region.end - at))
        if not data:
            break
        at += len(data)
    return ("mapped", at - address) if at > address else ("invalid", region.end - address)


@command(
    "!vprot",
    summary="Show the protection of the memory at an address.",
    syntax="!vprot [address]",
    example="!vprot @rsp",
    family="address",
)
def virtual_protection(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    address = ctx.system.pc or 0
    if not cursor.at_end:
        address = ctx.expression(cursor)
    region = _region_at(ctx.system.address_map(ctx.cancel), address)
    digits = 2 * ctx.system.pointer_size

    def number(value: int | None) -> str:
        return ABSENT if value is None else f"{value:0{digits}x}"

    def coded(value: int | None, words: str) -> str:
        return ABSENT if value is None else f"{value:08x}  {words}".rstrip()

    free = 0 if region.is_free else None
    base = region.allocation_base if region.allocation_base is not None else free
    first = region.allocation_protect if region.allocation_protect is not None else free
    rows = (
        ("BaseAddress", number(region.base)),
        ("AllocationBase", number(base)),
        ("AllocationProtect", coded(first, protection_words(first))),
        ("RegionSize", number(region.size)),
        ("State", coded(region.state, STATES.get(region.state or 0, ""))),
        ("Protect", coded(region.protect, protection_words(region.protect))),
        ("Type", coded(region.type, TYPES.get(region.type or 0, ""))),
        *((("Permissions", permissions),) if (permissions := _permissions(region)) else ()),
    )
    yield Protection(
        base=region.base,
        allocation_base=base,
        allocation_protect=first,
        size=region.size,
        state=region.state,
        protect=region.protect,
        memory_type=region.type,
        permissions=permissions,
        shown="\n".join(f"{label + ':':18} {value}" for label, value in rows),
    )
