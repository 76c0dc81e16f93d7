"""``!peb``, ``!teb``, ``!gle``, ``!tls``: what the system keeps about a process and its threads.

The texts are those of the debugger's documentation of these extensions; in them addresses have no
grave mark. A field that the dump lacks is ``<unavailable>``.
"""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.error_codes import ntstatus_meaning, win32_meaning
from polydbg.base.errors import CommandError, DebuggerError
from polydbg.base.text import sanitise_line
from polydbg.commands import elf_process
from polydbg.commands.context import CommandContext
from polydbg.commands.cursor import Cursor
from polydbg.commands.output import Hex, Item, Notice, ShownItem, Text
from polydbg.commands.registry import command
from polydbg.commands.times import stamp_text
from polydbg.engine import windows_process
from polydbg.engine.windows_process import Environment, Loader, Peb, ProcessParameters, Teb

UNAVAILABLE = "<unavailable>"
NO_LOADER_LIST = "the loader's list is not in the dump; lm lists the modules that the dump names"

_HINT = "dumps with full memory or MiniDumpWithProcessThreadData hold it"

_TEB_ROWS = (
    ("ExceptionList", "exception_list"),
    ("StackBase", "stack_base"),
    ("StackLimit", "stack_limit"),
    ("SubSystemTib", "sub_system_tib"),
    ("FiberData", "fiber_data"),
    ("ArbitraryUserPointer", "arbitrary_user_pointer"),
    ("Self", "self_pointer"),
    ("EnvironmentPointer", "environment_pointer"),
    ("ClientId", "process_id"),
    ("RpcHandle", "active_rpc_handle"),
    ("Tls Storage", "tls_pointer"),
    ("PEB Address", "peb"),
    ("LastErrorValue", "last_error"),
    ("LastStatusValue", "last_status"),
    ("Count Owned Locks", "owned_critical_sections"),
    ("HardErrorMode", "hard_error_mode"),
)
_MAX_TLS = windows_process.TLS_SLOTS + windows_process.TLS_EXPANSION_SLOTS


class ThreadBlock(ShownItem, frozen=True):
    """A TEB; what the dump lacks is ``None``. *deallocation_stack* is the lowest address reserved
    for the stack, *stack_limit* the lowest committed one."""

    address: Hex
    stack_base: Hex | None
    stack_limit: Hex | None
    deallocation_stack: Hex | None
    guaranteed_stack_bytes: int | None
    process_id: Hex | None
    thread_id: Hex | None
    tls_pointer: Hex | None
    peb: Hex | None
    last_error: int | None
    last_status: Hex | None
    owned_critical_sections: int | None
    current_locale: Hex | None
    sub_process_tag: Hex | None


class LoadedModule(ShownItem, frozen=True):
    """A row of the loader's list in ``!peb``."""

    base: Hex | None
    timestamp: Hex | None
    path: str | None


class ProcessBlock(ShownItem, frozen=True):
    """A PEB with the start parameters; what the dump lacks is ``None``."""

    address: Hex
    being_debugged: bool | None
    image_base: Hex | None
    nt_global_flag: Hex | None
    ldr: Hex | None
    process_heap: Hex | None
    heaps: tuple[Hex, ...]
    session_id: int | None
    os_version: str | None
    fast_peb_lock: Hex | None
    loader_lock: Hex | None
    current_directory: str | None
    window_title: str | None
    image_path: str | None
    command_line: str | None
    dll_path: str | None
    modules: tuple[LoadedModule, ...]
    environment: tuple[str, ...]


class LastError(ShownItem, frozen=True):
    """The last error of a thread as both tables have it; ``None`` where the dump has no TEB."""

    thread: int
    last_error: int | None
    last_error_name: str
    last_status: Hex | None
    last_status_name: str


class TlsSlot(ShownItem, frozen=True):
    """What a thread keeps in one slot."""

    slot: int
    value: Hex | None


def plain_hex(value: int | None, pointer_size: int) -> str:
    """Return an address in all its digits, or that it is not available."""
    return UNAVAILABLE if value is None else f"{value:0{2 * pointer_size}x}"


def yes_or_no(value: int | None) -> str:
    return UNAVAILABLE if value is None else "Yes" if value else "No"


def quoted(text: str | None) -> str:
    return UNAVAILABLE if text is None else f"'{sanitise_line(text)}'"


def clean(text: str | None) -> str | None:
    return None if text is None else sanitise_line(text)


@command(
    "!teb",
    summary="Show the block of the current thread: stack limits, client id, last error. Of Linux "
    "the thread control block, errno and the blocks of thread-local storage.",
    syntax="!teb [address]",
    example="~1s; !teb",
    family="process",
)
def thread_block(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    if not windows_process.is_windows(system):
        address = None if cursor.at_end else ctx.expression(cursor)
        yield from elf_process.thread_block_items(ctx, address)
        return
    if not cursor.at_end:
        block = Teb(system.memory, ctx.expression(cursor), system.pointer_size)
        _require_present(block)
        yield _teb_item(block, "TEB")
        return
    block = windows_process.teb(system)
    _require_present(block)
    other = windows_process.other_teb(block)
    if other is not None and other.peb:
        narrow, wide = (block, other) if block.pointer_size == 4 else (other, block)
        yield _teb_item(narrow, "Wow64 TEB32")
        yield Text(value="")
        yield _teb_item(wide, "Wow64 TEB")
        return
    yield _teb_item(block, "TEB")


def _require_present(block: Teb) -> None:
    """:raises CommandError: neither the block's first page nor its second is in the dump."""
    if (block.self_pointer, block.last_error, block.last_status) == (None, None, None):
        raise CommandError(
            f"the thread's block (TEB) at {plain_hex(block.address, block.pointer_size)} is not in "
            "the dump",
            hint=_HINT,
            identifier="process.no-teb",
        )


def _teb_item(block: Teb, heading: str) -> ThreadBlock:
    lines = [f"{heading} at {plain_hex(block.address, block.pointer_size)}"]
    lines += [f"    {label + ':':<21} {_teb_value(block, name)}" for label, name in _TEB_ROWS]
    return ThreadBlock(
        address=block.address,
        stack_base=block.stack_base,
        stack_limit=block.stack_limit,
        deallocation_stack=block.deallocation_stack,
        guaranteed_stack_bytes=block.guaranteed_stack_bytes,
        process_id=block.process_id,
        thread_id=block.thread_id,
        tls_pointer=block.tls_pointer,
        peb=block.peb,
        last_error=block.last_error,
        last_status=block.last_status,
        owned_critical_sections=block.owned_critical_sections,
        current_locale=block.current_locale,
        sub_process_tag=block.sub_process_tag,
        shown="\n".join(lines),
    )


def _teb_value(block: Teb, name: str) -> str:
    value: int | None = getattr(block, name)
    size = block.pointer_size
    if name == "process_id":
        return f"{plain_hex(value, size)} . {plain_hex(block.thread_id, size)}"
    if value is not None and name in ("last_error", "owned_critical_sections"):
        return str(value)
    if value is not None and name in ("last_status", "hard_error_mode"):
        return f"{value:x}"
    return plain_hex(value, size)


@command(
    "!peb",
    summary="Show the block of the process: modules, heaps, command line, environment. Of Linux "
    "and the BSDs the auxiliary vector and the dynamic linker's list.",
    syntax="!peb [address]",
    example="!peb",
    family="process",
)
def process_block(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    if not windows_process.is_windows(system):
        cursor.expect_end()
        yield from elf_process.process_items(ctx)
        return
    if not cursor.at_end:
        yield _peb_item(ctx, Peb(system.memory, ctx.expression(cursor), system.pointer_size), "PEB")
        return
    block, other = windows_process.peb(system), windows_process.other_peb(system)
    if other is None or other.being_debugged is None:
        yield _peb_item(ctx, block, "PEB")
        return
    narrow, wide = (block, other) if block.pointer_size == 4 else (other, block)
    yield _peb_item(ctx, narrow, "Wow64 PEB32")
    yield Text(value="")
    yield _peb_item(ctx, wide, "Wow64 PEB")


def _peb_item(ctx: CommandContext, block: Peb, heading: str) -> ProcessBlock:
    if block.being_debugged is None:
        raise CommandError(
            f"the process's block (PEB) at {plain_hex(block.address, block.pointer_size)} is not "
            "in the dump",
            hint=_HINT,
            identifier="process.no-peb",
        )
    parameters = block.parameters
    modules = tuple(_loaded_modules(ctx, block.loader))
    environment = parameters.environment if parameters else None
    version = None
    if block.os_major is not None and block.os_build is not None:
        version = f"{block.os_major}.{block.os_minor}.{block.os_build}"
    lines = [
        f"{heading} at {plain_hex(block.address, block.pointer_size)}",
        *_head_lines(block),
        *_module_lines(block, modules),
        *_parameter_lines(block, parameters),
        *_environment_lines(block, parameters, environment),
    ]
    return ProcessBlock(
        address=block.address,
        being_debugged=None if block.being_debugged is None else bool(block.being_debugged),
        image_base=block.image_base,
        nt_global_flag=block.nt_global_flag,
        ldr=block.ldr,
        process_heap=block.process_heap,
        heaps=tuple(block.heaps()),
        session_id=block.session_id,
        os_version=version,
        fast_peb_lock=block.fast_peb_lock,
        loader_lock=block.loader_lock,
        current_directory=clean(parameters.current_directory) if parameters else None,
        window_title=clean(parameters.window_title) if parameters else None,
        image_path=clean(parameters.image_path) if parameters else None,
        command_line=clean(parameters.command_line) if parameters else None,
        dll_path=clean(parameters.dll_path) if parameters else None,
        modules=modules,
        environment=tuple(map(sanitise_line, environment.variables)) if environment else (),
        shown="\n".join(lines),
    )


def _head_lines(block: Peb) -> list[str]:
    size = block.pointer_size
    flag = block.nt_global_flag
    return [
        f"    InheritedAddressSpace:    {yes_or_no(block.inherited_address_space)}",
        f"    ReadImageFileExecOptions: {yes_or_no(block.read_image_file_options)}",
        f"    BeingDebugged:            {yes_or_no(block.being_debugged)}",
        f"    ImageBaseAddress:         {plain_hex(block.image_base, size)}",
        f"    NtGlobalFlag:             {UNAVAILABLE if flag is None else f'{flag:x}'}",
        f"    Ldr                       {plain_hex(block.ldr, size)}",
    ]


def _module_lines(block: Peb, modules: tuple[LoadedModule, ...]) -> list[str]:
    size = block.pointer_size
    loader = block.loader
    if loader is None:
        return []

    def ends(first: int | None, last: int | None) -> str:
        return f"{plain_hex(first, size)} . {plain_hex(last, size)}"

    lines = [
        f"    Ldr.Initialized:          {yes_or_no(loader.initialized)}",
        "    Ldr.InInitializationOrderModuleList: "
        + ends(loader.init_order_first, loader.init_order_last),
        "    Ldr.InLoadOrderModuleList:           "
        + ends(loader.load_order_first, loader.load_order_last),
        "    Ldr.InMemoryOrderModuleList:         "
        + ends(loader.memory_order_first, loader.memory_order_last),
    ]
    if not modules:
        return [*lines, f"        {NO_LOADER_LIST}"]
    width = 2 * size + 8
    lines.append(f"{'Base':>{width}} {'TimeStamp':<29} Module")
    return [*lines, *(row.shown for row in modules)]


def _loaded_modules(ctx: CommandContext, loader: Loader | None) -> Iterator[LoadedModule]:
    if loader is None:
        return
    width = 2 * loader.pointer_size + 8
    for entry in loader.entries("load"):
        ctx.cancel.check()
        base, stamp, path = entry.dll_base, entry.timestamp, clean(entry.full_name)
        shown_base = UNAVAILABLE if base is None else f"{base:x}"
        if stamp is None:
            when = UNAVAILABLE
        else:
            when = f"{stamp:08x} {stamp_text(stamp).partition(' ')[2]}"
        yield LoadedModule(
            base=base,
            timestamp=stamp,
            path=path,
            shown=f"{shown_base:>{width}} {when} {UNAVAILABLE if path is None else path}",
        )


def _parameter_lines(block: Peb, parameters: ProcessParameters | None) -> list[str]:
    size = block.pointer_size
    lines = [
        f"    SubSystemData:     {plain_hex(block.sub_system_data, size)}",
        f"    ProcessHeap:       {plain_hex(block.process_heap, size)}",
        f"    ProcessParameters: {plain_hex(block.process_parameters, size)}",
    ]
    if parameters is None:
        return lines
    return [
        *lines,
        f"    CurrentDirectory:  {quoted(parameters.current_directory)}",
        f"    WindowTitle:  {quoted(parameters.window_title)}",
        f"    ImageFile:    {quoted(parameters.image_path)}",
        f"    CommandLine:  {quoted(parameters.command_line)}",
        f"    DllPath:      {quoted(parameters.dll_path)}",
    ]


def _environment_lines(
    block: Peb, parameters: ProcessParameters | None, environment: Environment | None
) -> list[str]:
    if parameters is None:
        return []
    address = plain_hex(parameters.environment_pointer, block.pointer_size)
    lines = [f"    Environment:  {address}"]
    if environment is None:
        return [*lines, f"        {UNAVAILABLE}"]
    lines += [f"        {sanitise_line(text)}" for text in environment.variables]
    if not environment.is_complete:
        lines.append("        <the rest is not in the dump>")
    return lines


@command(
    "!gle",
    summary="Show the last Win32 error and NTSTATUS of the current thread, or of all; of Linux "
    "errno.",
    syntax="!gle [-all]",
    example="!gle -all",
    family="process",
)
def last_error(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    cursor.skip_blanks()
    every = cursor.match(r"-all\b") is not None
    cursor.expect_end()
    if not windows_process.is_windows(system):
        yield from elf_process.errno_items(ctx, every=every)
        return
    if not every:
        thread = system.thread
        block = windows_process.teb(system)  # says what is missing where there is no thread
        _require_present(block)
        yield _last_error_item(block, thread.ordinal if thread else 0, "")
        return
    for index, thread in enumerate(system.threads):
        ctx.progress("threads", index, len(system.threads))
        head = f"Last error for thread {thread.ordinal:x}:\n"
        try:
            block = windows_process.teb(system, thread)
            _require_present(block)
            yield _last_error_item(block, thread.ordinal, head)
        except DebuggerError as error:
            yield Notice(identifier=error.identifier, value=f"{head}{error.message}")
        yield Text(value="")


def _last_error_item(block: Teb, ordinal: int, head: str) -> LastError:
    error, status = block.last_error, block.last_status
    win32 = None if error is None else win32_meaning(error)
    nt = None if status is None else ntstatus_meaning(status)
    lines = [
        "LastErrorValue: "
        + (UNAVAILABLE if win32 is None else f"(Win32) {_bare(error)} ({error}) - {win32.text}"),
        "LastStatusValue: "
        + (UNAVAILABLE if nt is None else f"(NTSTATUS) {_bare(status)} - {nt.text or nt.name}"),
    ]
    return LastError(
        thread=ordinal,
        last_error=error,
        last_error_name=win32.name if win32 else "",
        last_status=status,
        last_status_name=nt.name if nt else "",
        shown=head + "\n".join(lines),
    )


def _bare(value: int | None) -> str:
    """Return C's ``%#x``: 0 has no prefix."""
    return f"{value:#x}" if value else "0"


@command(
    "!tls",
    summary="Show what a thread keeps in a slot of thread-local storage, or in all.",
    syntax="!tls slot|-1 [teb]",
    example="!tls -1    every slot that is used",
    family="process",
)
def tls(ctx: CommandContext, cursor: Cursor) -> Iterator[Item]:
    system = ctx.system
    if cursor.at_end:
        raise CommandError("Numeric expression missing from '<EOL>'", hint="!tls -1 shows all")
    cursor.skip_blanks()
    every = cursor.match(r"-1(?=[\s;]|$)") is not None
    slot = -1 if every else ctx.expression(cursor)
    if not windows_process.is_windows(system):
        yield from elf_process.storage_items(ctx, None if every else slot)
        return
    if cursor.at_end:
        block = windows_process.teb(system)
    else:
        block = Teb(system.memory, ctx.expression(cursor), system.pointer_size)
    _require_present(block)
    size = block.pointer_size
    if not every:
        yield _tls_item(slot, block.tls_slot(slot), f"{_ids(block)}: ", size)
        return
    yield Text(value=f"TLS slots on thread: {_ids(block)}")
    for index in range(_MAX_TLS):
        value = block.tls_slot(index)
        if value is None:
            yield Notice(identifier="memory.absent", value=f"{index:#06x} : and on: {UNAVAILABLE}")
            return
        if value:
            yield _tls_item(index, value, "", size)


def _ids(block: Teb) -> str:
    process, thread = block.process_id, block.thread_id
    if process is None or thread is None:
        return UNAVAILABLE
    return f"{process:x}.{thread:x}"


def _tls_item(slot: int, value: int | None, head: str, size: int) -> TlsSlot:
    return TlsSlot(slot=slot, value=value, shown=f"{head}{slot:#06x} : {plain_hex(value, size)}")
