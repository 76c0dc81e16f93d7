"""What ``!teb``, ``!peb``, ``!gle``, ``!tls`` and ``!dlls`` show of a process that is not Windows'.

The thread control block stands for the TEB, what the process was started with and the dynamic
linker's list for the PEB, ``errno`` for the last error. A field that the dump lacks is
``<unavailable>``; so is one whose place nothing proves.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.error_codes_errno import errno_meaning
from polydbg.base.errors import CommandError
from polydbg.base.text import sanitise_line
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Heading, Hex, Item, Notice, ShownItem, Text
from polydbg.engine.elf_threads import Library, ThreadBlock, thread_block
from polydbg.engine.session import System
from polydbg.engine.system_names import system_name
from polydbg.engine.thread_storage import Errno, StorageBlock, storage_blocks, thread_errno
from polydbg.targets.linker_list import LinkMap, Namespace, linker_list
from polydbg.targets.process_files import process_files
from polydbg.targets.target import ThreadInfo

UNAVAILABLE = "<unavailable>"
_WIDTH = 21
_STATES = {0: "consistent", 1: "adding", 2: "removing"}


class ThreadControlBlock(ShownItem, frozen=True):
    """The block that the thread pointer leads to; what is not known is ``None``. *library* is
    ``glibc``, ``musl`` or ``unknown``, *evidence* what confirms that; *stack_base* is the highest
    address of the stack, *stack_limit* the lowest."""

    address: Hex
    library: str
    evidence: str
    thread: int | None
    descriptor: Hex | None
    thread_id: int | None
    stack_base: Hex | None
    stack_limit: Hex | None
    dtv: Hex | None
    stack_guard: Hex | None
    pointer_guard: Hex | None
    robust_list: Hex | None
    errno_address: Hex | None
    errno: int | None
    errno_name: str


class StorageBlockRow(ShownItem, frozen=True):
    """A module's block of thread-local storage; *address* is ``None`` where the thread has none."""

    number: int
    module: str
    address: Hex | None
    size: Hex
    is_certain: bool


class ErrnoItem(ShownItem, frozen=True):
    """``errno`` of a thread; ``None`` where its place or its memory is not known. *source* says how
    the place is known."""

    thread: int
    address: Hex | None
    value: int | None
    name: str
    source: str


class LinkMapItem(ShownItem, frozen=True):
    """An object of the dynamic linker's list. *bias* is what its addresses are moved by, *dynamic*
    the address of its dynamic section; *namespace* counts from 0; *address* is that of the entry
    itself, ``None`` in copies of the list. *needed* are the libraries it asks for."""

    address: Hex | None
    bias: Hex
    name: str
    dynamic: Hex
    namespace: int
    module: str
    base: Hex | None
    soname: str
    needed: tuple[str, ...]


def system_words(system: System) -> str:
    """Return the name of the system of the process: ``Linux``, ``FreeBSD``."""
    return system_name(system.target.system()).split(" ", 1)[0]


def _number(value: int | None, system: System) -> str:
    digits = 2 * system.target.pointer_size
    return UNAVAILABLE if value is None else f"{value:0{digits}x}"


# -- !teb --------------------------------------------------------------------------------------


def thread_block_items(ctx: CommandContext, address: int | None) -> Iterator[Item]:
    """Show the block of the current thread, or the one at *address*."""
    system = ctx.system
    thread = system.thread
    if address is not None:
        thread = next((each for each in system.threads if each.teb == address), None)
    block = thread_block(system, thread, address)
    if block is None:
        raise CommandError(
            _absence(system, thread, address),
            identifier="process.no-teb",
            hint="r shows the registers, ~ the threads, !address -f:Stack the stacks",
        )
    errno = thread_errno(system, block, ctx.cancel)
    yield _block_item(ctx, block, errno)
    for each in storage_blocks(system, block):
        yield _storage_row(system, each)


def _absence(system: System, thread: ThreadInfo | None, address: int | None) -> str:
    at = address if address is not None else (thread.teb if thread is not None else None)
    if at:
        return f"the thread control block at {_number(at, system)} is not in the dump"
    return (
        f"a thread of {system_words(system)} has no TEB; its thread pointer, which leads to what "
        "stands for it, is not in the dump"
    )


def stack_bounds(ctx: CommandContext, thread: ThreadInfo | None) -> tuple[int, int] | None:
    """Return the lowest address of a thread's stack and the one past its highest."""
    from polydbg.arch.registers import stack_pointer

    if thread is None:
        return None
    pointer = stack_pointer(ctx.system.thread_registers(thread))
    region = None if pointer is None else ctx.system.address_map(ctx.cancel).at(pointer)
    if region is not None and region.usage.is_stack:
        return region.base, region.end
    return None


def _block_item(ctx: CommandContext, block: ThreadBlock, errno: Errno | None) -> ThreadControlBlock:
    system = ctx.system
    process = system.target.process_id
    bounds = stack_bounds(ctx, block.thread)
    limit, base = bounds if bounds is not None else (None, None)
    ident = block.thread_id if block.thread is None else block.thread.id
    name, words = _errno_words(system, errno)
    rows = [
        ("Layout", f"{block.library.value} ({block.evidence})"),
        ("StackBase", _number(base, system)),
        ("StackLimit", _number(limit, system)),
        ("Self", _number(block.self_pointer, system)),
        ("ClientId", f"{_number(process, system)} . {_number(ident, system)}"),
        ("Descriptor", _number(block.descriptor, system)),
        ("Dtv", _number(block.dtv, system)),
        ("StackGuard", _number(block.stack_guard, system)),
        ("PointerGuard", _number(block.pointer_guard, system)),
        ("RobustList", _number(block.robust_list, system)),
        ("Errno", words if errno is None else f"{_number(errno.address, system)}  {words}"),
    ]
    if block.thread_id is not None and block.thread_id != ident:
        rows.insert(5, ("Id in the block", f"{block.thread_id:x}"))
    lines = [f"TCB at {_number(block.address, system)}"]
    lines += [f"    {label + ':':<{_WIDTH}} {value}" for label, value in rows]
    return ThreadControlBlock(
        address=block.address,
        library=block.library.value,
        evidence=block.evidence,
        thread=block.thread.ordinal if block.thread is not None else None,
        descriptor=block.descriptor,
        thread_id=block.thread_id,
        stack_base=base,
        stack_limit=limit,
        dtv=block.dtv,
        stack_guard=block.stack_guard,
        pointer_guard=block.pointer_guard,
        robust_list=block.robust_list,
        errno_address=errno.address if errno is not None else None,
        errno=errno.value if errno is not None else None,
        errno_name=name,
        shown="\n".join(lines),
    )


def _storage_row(system: System, block: StorageBlock) -> StorageBlockRow:
    if block.address is None:
        note = " (not allocated)"
    else:
        note = "" if block.is_certain else " (the loader's order is a guess)"
    shown = f"    {f'Tls {block.number}:':<{_WIDTH}} {_number(block.address, system)}"
    return StorageBlockRow(
        number=block.number,
        module=block.module.name,
        address=block.address,
        size=block.size,
        is_certain=block.is_certain,
        shown=f"{shown}  {block.size:x} bytes of {block.module.name}{note}",
    )


# -- !tls --------------------------------------------------------------------------------------


def storage_items(ctx: CommandContext, number: int | None) -> Iterator[Item]:
    """Show the blocks of thread-local storage of the current thread, or the one of *number*."""
    system, thread = ctx.system, ctx.system.thread
    block = thread_block(system, thread)
    if block is None:
        raise CommandError(_absence(system, thread, None), identifier="process.no-teb")
    blocks = storage_blocks(system, block)
    if number is not None:
        blocks = [each for each in blocks if each.number == number]
    if not blocks:
        raise CommandError(
            "no block of thread-local storage is known"
            if number is None
            else f"no module has the block {number:#x} of thread-local storage",
            identifier="process.no-tls-slot",
            hint="the layout must be glibc's, and the modules' headers be in the dump or found: "
            "!teb shows what is known",
        )
    ident = thread.id if thread is not None else 0
    yield Text(value=f"TLS blocks of thread: {system.target.process_id or 0:x}.{ident:x}")
    for each in blocks:
        yield _storage_row(system, each)


# -- !gle --------------------------------------------------------------------------------------


def _errno_words(system: System, errno: Errno | None) -> tuple[str, str]:
    """Return the name of the value, and what is said of it."""
    if errno is None or errno.value is None:
        return "", UNAVAILABLE
    value = errno.value
    if not value:
        return "", "0x0 (0)"
    name, text = errno_meaning(value, system.target.arch)
    return name, f"{value & 0xFFFFFFFF:#x} ({value})" + (f" {name} - {text}" if name else "")


def errno_items(ctx: CommandContext, *, every: bool) -> Iterator[Item]:
    """Show ``errno`` of the current thread, or of *every* one."""
    system = ctx.system
    threads = list(system.threads) if every else [system.thread] if system.thread else []
    for index, thread in enumerate(threads):
        ctx.cancel.check()
        ctx.progress("threads", index, len(threads))
        block = thread_block(system, thread)
        errno = thread_errno(system, block, ctx.cancel) if block is not None else None
        head = f"Last error for thread {thread.ordinal:x}:\n" if every else ""
        name, words = _errno_words(system, errno)
        lines = [f"{head}errno: {words}"]
        if errno is None and not every:
            raise CommandError(
                _no_errno(system, block, thread),
                identifier="process.no-errno",
                hint="the C library's file names the variable: .exepath+ DIR, then .reload"
                if block is not None
                else "!teb shows what is known of the thread",
            )
        yield ErrnoItem(
            thread=thread.ordinal,
            address=errno.address if errno is not None else None,
            value=errno.value if errno is not None else None,
            name=name,
            source=errno.source if errno is not None else "",
            shown="\n".join(lines),
        )
        if every:
            yield Text(value="")


def _no_errno(system: System, block: ThreadBlock | None, thread: ThreadInfo) -> str:
    if block is None:
        return _absence(system, thread, None)
    if block.library is Library.GLIBC:
        return "the place of errno in the thread's storage is not known: no symbol names it"
    return f"the place of errno is not known: {block.evidence}"


# -- !peb --------------------------------------------------------------------------------------


def process_items(ctx: CommandContext) -> Iterator[Item]:
    """Show how the process was started and what the dynamic linker loaded."""
    system = ctx.system
    files = process_files(system.target)
    names = [n for n in ("cmdline", "auxv", "environ") if files is not None and files.raw(n)]
    if linker_list(system.target):
        names.insert(min(len(names), 2), "dso")
    if not names:
        raise CommandError(
            f"a process of {system_words(system)} has no PEB, and how it was started is not in the "
            "dump",
            identifier="process.not-windows",
            hint="lm, ~ and !address show what the dump says of the process",
        )
    yield Notice(
        identifier="process.not-windows",
        value=f"a {system_words(system)} process has no PEB; this is what the dump says of how it "
        "was started:",
    )
    for name in names:
        yield from ctx.run(f"!linux {name}")


# -- !dlls -------------------------------------------------------------------------------------


def link_map_items(ctx: CommandContext, letters: str, holding: int | None) -> Iterator[Item]:
    """Show the dynamic linker's list; of all objects, or of the one that holds an address."""
    system = ctx.system
    namespaces = linker_list(system.target)
    if not namespaces:
        raise CommandError(
            "the dynamic linker's list is not in the dump, or the program is static; lm lists the "
            "modules that are known",
            identifier="process.no-loader-list",
        )
    found = False
    for number, namespace in enumerate(namespaces):
        if holding is None:
            yield Heading(value=namespace_line(system, number, namespace))
        for entry in namespace.objects:
            ctx.cancel.check()
            item = _link_map_item(system, number, entry)
            if holding is not None and not _holds(system, item, holding):
                continue
            found = True
            yield item
            yield from _headers(ctx, item, letters)
    if not found:
        raise CommandError(
            f"no object of the linker's list holds {holding or 0:#x}",
            identifier="module.unknown",
            hint=f"!address {holding or 0:#x} says what lies there",
        )


def _holds(system: System, item: LinkMapItem, address: int) -> bool:
    module = system.modules.at(address)
    return module is not None and module.base == item.base


def namespace_line(system: System, number: int, namespace: Namespace) -> str:
    """Return what the linker says of a namespace."""
    parts = [f"r_debug version {namespace.version}"]
    if namespace.address is not None:
        parts[0] = f"r_debug at {_number(namespace.address, system)}, version {namespace.version}"
    parts.append(f"r_brk {_number(namespace.breakpoint, system)}")
    if namespace.state is not None:
        parts.append(f"state {_STATES.get(namespace.state, namespace.state)}")
    parts.append(f"linker at {_number(namespace.linker_base, system)}")
    head = f"Namespace {number}: " if number else ""
    return head + ", ".join(parts)


def _link_map_item(system: System, number: int, entry: LinkMap) -> LinkMapItem:
    module = system.modules.at(entry.dynamic)
    image = system.modules.elf_image(module) if module is not None else None
    name = sanitise_line(entry.name)
    soname = sanitise_line(image.soname or "") if image is not None else ""
    needed = tuple(map(sanitise_line, image.dynamic.needed)) if image is not None else ()
    base = module.base if module is not None else None
    size = f"{module.end - module.base:x}" if module is not None else UNAVAILABLE
    shown_name = name or "(the program)"
    at = _number(entry.address, system) if entry.address is not None else "link_map"
    lines = [
        f"{at}: {shown_name}",
        f"      Base   {_number(base, system)}  l_addr  {_number(entry.bias, system)}  "
        f"l_ld  {_number(entry.dynamic, system)}  Size  {size}",
    ]
    if module is not None:
        lines.append(f"      Module {module.name}" + (f"  Soname {soname}" if soname else ""))
    if needed:
        lines.append(f"      Needed {', '.join(needed)}")
    lines.append("")
    return LinkMapItem(
        address=entry.address,
        bias=entry.bias,
        name=name,
        dynamic=entry.dynamic,
        namespace=number,
        module=module.name if module is not None else "",
        base=base,
        soname=soname,
        needed=needed,
        shown="\n".join(lines),
    )


def _headers(ctx: CommandContext, item: LinkMapItem, letters: str) -> Iterator[Item]:
    if item.base is None:
        return
    for letter in "fs":
        if letter in letters or "a" in letters:
            yield from ctx.run(f"!dh -{letter} {item.base:#x}")
    if "v" in letters:
        yield from ctx.run(f"lmva {item.base:#x}")
