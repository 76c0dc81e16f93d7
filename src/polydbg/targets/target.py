"""What every debuggee looks like to the engine: threads, modules, memory, registers, one event.

Only data, no text beyond the words a format stores: commands do the wording. Units: addresses and
sizes in bytes, durations and CPU times in 100 ns ticks, wall-clock times in 100 ns ticks since
1601-01-01 UTC (``FILETIME``) unless a name says ``unix`` (whole seconds since 1970-01-01 UTC).
``None`` means that the target does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from polydbg.base.identifiers import CodeId, DebugId
from polydbg.base.warnings import Warning
from polydbg.memory.space import AddressSpace, ByteOrder

UNKNOWN_PROCESS_ID = 0xF0F0F0F0
"""What WinDbg shows for the process id where a dump has none (``process_id`` is ``None``)."""

TICKS_PER_SECOND = 10_000_000

BREAKPOINT_CODE = 0x80000003

PROCESSOR_NUMBERS = {"x86": 0, "arm": 5, "amd64": 9, "arm64": 12}
"""Windows' numbers of processors (``PROCESSOR_ARCHITECTURE_...`` of winnt.h)."""

UNKNOWN_NUMBER = 0xFFFF
"""Windows' number of what it does not know: a processor, here a platform too."""


class ThreadTimes(msgspec.Struct, frozen=True):
    """Creation and exit (FILETIME, exit 0 while alive), CPU times in 100 ns ticks.

    *create_time* is 0 where the target does not say.
    """

    create_time: int
    exit_time: int
    kernel_time: int
    user_time: int


class ThreadInfo(msgspec.Struct, frozen=True):
    """One thread. *ordinal* is its number in ``~``, *id* the system's; the rest where known.

    *teb* is the address of Windows' thread block, elsewhere the thread pointer.
    """

    ordinal: int
    id: int
    teb: int | None = None
    suspend_count: int = 0
    priority_class: int | None = None
    priority: int | None = None
    name: str | None = None
    start_address: int | None = None
    affinity: int | None = None
    times: ThreadTimes | None = None
    exit_status: int | None = None
    dump_flags: int | None = None  # MINIDUMP_THREAD_INFO flags: 2 writer, 4 exited, ...
    stack_base: int | None = None  # lowest address of the stack memory in the dump
    stack_size: int | None = None  # bytes of it, from stack_base on


class VersionRecord(msgspec.Struct, frozen=True):
    """``VS_FIXEDFILEINFO`` without signature: versions are four numbers, high to low."""

    file_version: tuple[int, int, int, int]
    product_version: tuple[int, int, int, int]
    flags_mask: int
    flags: int
    os: int
    file_type: int
    subtype: int
    date: int
    structure_version: int = 0x10000


class ModuleInfo(msgspec.Struct, frozen=True):
    """A loaded module.

    *name* is WinDbg's module name: the file name without its last extension, every character that
    no expression can hold replaced by ``_``; a second module of that name gets ``_`` and its base
    in hex. *timestamp* and *checksum* are those of the PE header, 0 when not known.
    *debug_id* and *pdb_path* come from the CodeView record *codeview_signature* (``RSDS``,
    ``NB10``, or ``BpEL`` with the raw *build_id* of an ELF file). *image_format* is ``pe``, ``elf``
    or ``macho``: Breakpad and Crashpad give all three the same record.
    """

    name: str
    image_path: str
    base: int
    size: int
    timestamp: int = 0
    checksum: int = 0
    debug_id: DebugId | None = None
    pdb_path: str | None = None
    codeview_signature: str | None = None
    codeview_offset: int | None = None  # where the dump file holds the record
    build_id: bytes = b""
    version: VersionRecord | None = None
    image_format: str = "pe"

    @property
    def end(self) -> int:
        """Return the first address past the module."""
        return self.base + self.size

    @property
    def is_pe(self) -> bool:
        """Tell whether the module is a Windows image, whose record names a PDB."""
        return self.image_format == "pe"

    @property
    def code_id(self) -> CodeId:
        """Return the store key of the image: PE timestamp and size."""
        return CodeId(self.timestamp, self.size)

    @property
    def file_name(self) -> str:
        """Return the last part of the image path (either slash)."""
        return self.image_path.replace("\\", "/").rsplit("/", 1)[-1]


class UnloadedModuleInfo(msgspec.Struct, frozen=True):
    """A module that was unloaded; its addresses print as ``<Unloaded_name>+offset``."""

    name: str
    base: int
    size: int
    timestamp: int = 0
    checksum: int = 0

    @property
    def end(self) -> int:
        """Return the first address past where the module was."""
        return self.base + self.size


class ExceptionRecord(msgspec.Struct, frozen=True):
    """``EXCEPTION_RECORD``: *record* is the address of a nested record or 0. *address* is ``None``
    for a signal that has none, and where the dump does not store it."""

    code: int
    flags: int
    record: int
    address: int | None
    parameters: tuple[int, ...]


class DumpEvent(msgspec.Struct, frozen=True):
    """Why the target stopped.

    *is_stored* is false for the break-in that is made up when there is no exception.
    """

    thread_id: int
    exception: ExceptionRecord
    is_stored: bool = True


class SystemInfo(msgspec.Struct, frozen=True):
    """The machine and the process, as ``vertarget``, ``.time`` and the banner need them.

    *platform* is ``windows``, ``linux``, ``macos``, ``ios``, ``android``, ``fuchsia``, ... or
    ``unknown``; *product_type* 1 workstation, 2 domain controller, 3 server, 0 not known;
    *service_pack* the CSD string (``uname``-like text outside Windows).
    """

    arch: str
    platform: str
    platform_id: int
    processor_architecture: int
    processor_level: int
    processor_revision: int
    processor_count: int
    product_type: int
    major: int
    minor: int
    build: int
    service_pack: str
    suite_mask: int
    cpu_vendor: str = ""
    cpu_version: int | None = None
    cpu_features: int | None = None
    cpu_extended_features: int | None = None
    build_string: str = ""
    debug_build_string: str = ""
    machine_name: str = ""
    dump_time_unix: int | None = None
    time_zone_bias_minutes: int | None = None  # UTC = local + bias
    system_uptime: int | None = None
    process_create_unix: int | None = None
    process_uptime: int | None = None
    process_kernel_time: int | None = None
    process_user_time: int | None = None
    integrity_level: int | None = None
    comments: tuple[str, ...] = ()
    dump_flags: int = 0


class RegionFile(msgspec.Struct, frozen=True):
    """What Linux's ``maps`` says of a region: *permissions* as in ``r-xp``, the mapped file with
    the region's *offset* in it, or the kernel's name in brackets (``[heap]``), or ``""``."""

    permissions: str
    path: str
    offset: int


class MemoryRegion(msgspec.Struct, frozen=True):
    """A region of ``VirtualQuery``, raw ``MEMORY_BASIC_INFORMATION`` numbers.

    *file* is there for regions of Linux, whose numbers are put into those of Windows.
    """

    base: int
    allocation_base: int
    allocation_protect: int
    size: int
    state: int
    protect: int
    type: int
    file: RegionFile | None = None

    @property
    def end(self) -> int:
        return self.base + self.size


class HandleInfo(msgspec.Struct, frozen=True):
    """An open handle as the dump's handle stream has it.

    *information* is what is known of the object itself, by name: ``event_type`` (0 manual, 1 auto
    reset) and ``event_state``; ``count``, ``limit``, ``abandoned``, ``owned_by_caller``,
    ``owner_process_id`` and ``owner_thread_id``; ``process_id``, ``parent_process_id``,
    ``thread_id``, ``exit_status``, ``priority``, ``base_priority``, ``teb``, ``peb``,
    ``affinity``; ``base``, ``attributes``, ``size`` of a section.
    """

    handle: int
    type_name: str
    object_name: str
    attributes: int
    granted_access: int
    handle_count: int
    pointer_count: int
    information: Mapping[str, int] = {}


class Target(Protocol):
    """A debuggee. Answers are stable for as long as the target does not run."""

    @property
    def kind_line(self) -> str:
        """Return the banner's words: ``User Mini Dump File: Only registers, ...``."""
        ...

    @property
    def kind_short(self) -> str:
        """Return the words of ``||``: ``User mini dump``, ``Full memory user mini dump``."""
        ...

    @property
    def path(self) -> str:
        """Return the path as the user gave it: of the archive, for a dump inside one."""
        ...

    @property
    def member(self) -> str:
        """Return the way to the dump inside the archive at :attr:`path`, ``""`` without one."""
        ...

    @property
    def arch(self) -> str:
        """Return ``amd64``, ``x86``, ``arm64``, ``arm``, ... or ``unknown``."""
        ...

    @property
    def memory(self) -> AddressSpace:
        """Return the process's memory; a :class:`~polydbg.memory.ranges.MappedMemory` when it
        lies in a file, so that searches may run over the file's bytes."""
        ...

    @property
    def pointer_size(self) -> int:
        """Return 8 or 4."""
        ...

    @property
    def process_id(self) -> int | None: ...

    def threads(self) -> Sequence[ThreadInfo]: ...

    def modules(self) -> Sequence[ModuleInfo]:
        """Return the loaded modules in the target's order; the first is the executable."""
        ...

    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]: ...

    def registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        """Return the registers of *thread* by lower-case name; those not known are absent."""
        ...

    def event(self) -> DumpEvent | None:
        """Return why the target stopped; ``None`` when it has no thread to stop."""
        ...

    def exception_registers(self) -> Mapping[str, int] | None:
        """Return the registers stored with the exception (``.ecxr``)."""
        ...

    def system(self) -> SystemInfo: ...

    def regions(self) -> Sequence[MemoryRegion]:
        """Return the memory map (``!address``, ``!vprot``), empty when not recorded."""
        ...

    def handles(self) -> Sequence[HandleInfo]:
        """Return the open handles (``!handle``), empty when not recorded."""
        ...

    def warnings(self) -> Sequence[Warning]:
        """Return what was noticed so far while reading, in order."""
        ...

    def close(self) -> None:
        """Give up files and mappings. No method may be called afterwards."""
        ...


@runtime_checkable
class HasByteOrder(Protocol):
    """What a target has that may be of a processor that is not little-endian."""

    @property
    def byte_order(self) -> ByteOrder: ...


def byte_order(target: Target) -> ByteOrder:
    """Return how numbers of several bytes lie in the target's memory."""
    return target.byte_order if isinstance(target, HasByteOrder) else "little"
