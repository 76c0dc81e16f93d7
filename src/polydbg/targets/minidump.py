"""A minidump as a target: what :class:`~polydbg.targets.target.Target` asks, from its streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PureWindowsPath

from polydbg.base.errors import TargetError
from polydbg.base.warnings import Warning
from polydbg.formats.minidump.handles import Handle
from polydbg.formats.minidump.header import WITH_FULL_MEMORY
from polydbg.formats.minidump.memory import Region
from polydbg.formats.minidump.process import CodeView, FixedFileInfo, Module, Thread
from polydbg.formats.minidump.streams import Minidump
from polydbg.formats.minidump.system import SystemInfoRecord
from polydbg.formats.procfs import MAX_MAPPINGS
from polydbg.memory.ranges import RangeMap
from polydbg.memory.space import Buffer
from polydbg.targets.crash_report import CrashReport
from polydbg.targets.dump_file import DumpFile, FileTarget, map_file, opened
from polydbg.targets.linux_regions import image_ends, linux_regions
from polydbg.targets.module_names import unique_name
from polydbg.targets.process_files import ProcessFiles
from polydbg.targets.target import (
    TICKS_PER_SECOND,
    DumpEvent,
    ExceptionRecord,
    HandleInfo,
    MemoryRegion,
    ModuleInfo,
    SystemInfo,
    ThreadInfo,
    ThreadTimes,
    UnloadedModuleInfo,
    VersionRecord,
)
from polydbg.targets.thread_state import break_in

USER_SHARED_DATA = 0x7FFE0000
"""Where Windows maps KUSER_SHARED_DATA in every process; +8 is the interrupt time in ticks."""

_FILE_STREAMS = {
    "cpuinfo": 0x47670003,
    "status": 0x47670004,
    "lsb-release": 0x47670005,
    "cmdline": 0x47670006,
    "environ": 0x47670007,
    "auxv": 0x47670008,
    "maps": 0x47670009,
    "limits": 0x4D7A0003,
}
_IMAGE_FORMATS = {
    "macos": "macho",
    "ios": "macho",
    **dict.fromkeys(("linux", "android", "fuchsia", "solaris", "nacl", "unix"), "elf"),
}


class MinidumpTarget(FileTarget):
    """A user-mode minidump. Build it with :func:`open_minidump`, or over a buffer in tests."""

    def __init__(
        self,
        buffer: Buffer,
        path: str = "",
        *,
        arch: str | None = None,
        file: DumpFile | None = None,
    ) -> None:
        """Take a minidump in *buffer*; *arch* is believed over what the file says. *file* owns the
        buffer, where it is not the caller's.

        :raises FormatError: not a minidump, or a damaged header.
        :raises TargetError: no SystemInfo stream and nothing else tells the architecture.
        """
        super().__init__(file or DumpFile(path, buffer))
        self.dump = Minidump(buffer)
        self._arch = arch or self._known_arch()

    def _known_arch(self) -> str:
        dump = self.dump
        if dump.system_info is None:
            if dump.arch == "unknown":
                raise TargetError(
                    "the minidump has no system information, and no context tells its processor",
                    identifier="dump.no-system-info",
                    hint="name the processor (-arch amd64) to open it all the same",
                )
            dump.view.warn(
                "dump.no-system-info", f"no system information: taken for {dump.arch} by a context"
            )
        return dump.arch

    @property
    def kind_line(self) -> str:
        """Return the banner's line for the kind of dump, with WinDbg's words."""
        if self.has_full_memory:
            return "User Mini Dump File with Full Memory: Only application data is available"
        return "User Mini Dump File: Only registers, stack and portions of memory are available"

    @property
    def kind_short(self) -> str:
        """Return the words of ``||``."""
        return "Full memory user mini dump" if self.has_full_memory else "User mini dump"

    @property
    def has_full_memory(self) -> bool:
        """Tell whether the writer says that all memory is in the dump."""
        return bool(self.dump.header.flags & WITH_FULL_MEMORY)

    @property
    def arch(self) -> str:
        return self._arch

    @property
    def pointer_size(self) -> int:
        return 8 if "64" in self._arch else 4

    @property
    def memory(self) -> RangeMap:
        return self.dump.memory

    @property
    def process_id(self) -> int | None:
        misc = self.dump.misc_info
        if misc is not None and misc.process_id is not None:
            return misc.process_id
        return self.process_files.process_id

    @cached_property
    def process_files(self) -> ProcessFiles:
        """Return the copies of Linux's files about the process."""
        return ProcessFiles(lambda name: self.dump.raw(_FILE_STREAMS[name]), self.pointer_size)

    @property
    def crash_report(self) -> CrashReport:
        """Return what Breakpad, Crashpad or Mozilla's writer added."""
        return self.dump

    def threads(self) -> Sequence[ThreadInfo]:
        return self._threads

    @cached_property
    def _threads(self) -> tuple[ThreadInfo, ...]:
        return tuple(self._thread(i, thread) for i, thread in enumerate(self.dump.threads))

    def _thread(self, ordinal: int, thread: Thread) -> ThreadInfo:
        details = self.dump.thread_details.get(thread.id)
        valid = details is not None and not details.dump_flags & 0x9  # error, invalid info
        times = None
        if details is not None and valid:
            times = ThreadTimes(
                details.create_time, details.exit_time, details.kernel_time, details.user_time
            )
        return ThreadInfo(
            ordinal=ordinal,
            id=thread.id,
            teb=self._pointer(thread.teb) or None,
            suspend_count=thread.suspend_count,
            priority_class=thread.priority_class,
            priority=thread.priority,
            name=self.dump.thread_names.get(thread.id) or None,
            start_address=self._pointer(details.start_address) if details and valid else None,
            affinity=details.affinity if details and valid else None,
            times=times,
            exit_status=details.exit_status if details and valid else None,
            dump_flags=details.dump_flags if details else None,
            stack_base=thread.stack.start or None,
            stack_size=thread.stack.size or None,
        )

    def _pointer(self, value: int) -> int:
        """Return an address as wide as the target's pointers: writers may sign-extend."""
        return value if self.pointer_size == 8 else value & 0xFFFFFFFF

    def modules(self) -> Sequence[ModuleInfo]:
        return self._modules

    @cached_property
    def _modules(self) -> tuple[ModuleInfo, ...]:
        taken: set[str] = set()
        starts = {self._pointer(module.base): module.size for module in self.dump.modules}
        recorded = {base: base + size for base, size in starts.items()}
        ends = image_ends(self.process_files.maps, recorded)
        modules = []
        for module in self.dump.modules:
            base = self._pointer(module.base)
            name = unique_name(module.name, base, taken, self.pointer_size)
            size = max(module.size, ends.get(base, base) - base)
            modules.append(self._module(module, name, base, size))
        return tuple(modules)

    def _module(self, module: Module, name: str, base: int, size: int) -> ModuleInfo:
        codeview = self.dump.codeview(module)
        return ModuleInfo(
            name=name,
            image_path=module.name,
            base=base,
            size=size,
            timestamp=module.timestamp,
            checksum=module.checksum,
            debug_id=codeview.debug_id if codeview else None,
            pdb_path=codeview.path or None if codeview else None,
            codeview_signature=codeview.signature if codeview else None,
            codeview_offset=module.codeview.rva if codeview else None,
            build_id=codeview.build_id if codeview else b"",
            version=_version(module.version),
            image_format=self._image_format(codeview),
        )

    def _image_format(self, codeview: CodeView | None) -> str:
        """Return the format of a module: the system's, unless the record is of another."""
        if codeview is not None and codeview.signature == "BpEL":
            return "elf"
        platform = self.dump.system_info.platform if self.dump.system_info else "unknown"
        return _IMAGE_FORMATS.get(platform, "pe")

    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]:
        return self._unloaded_modules

    @cached_property
    def _unloaded_modules(self) -> tuple[UnloadedModuleInfo, ...]:
        return tuple(
            UnloadedModuleInfo(
                PureWindowsPath(item.name).name,
                self._pointer(item.base),
                item.size,
                item.timestamp,
                item.checksum,
            )
            for item in self.dump.unloaded_modules
        )

    def registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        """Return the registers of the thread's own context (not the exception's)."""
        cached = self._registers.get(thread.ordinal)
        if cached is None:
            threads = self.dump.threads
            if not 0 <= thread.ordinal < len(threads):
                return {}
            cached = self.dump.registers(threads[thread.ordinal].context, self._arch)
            self._registers[thread.ordinal] = cached
        return cached

    @cached_property
    def _registers(self) -> dict[int, Mapping[str, int]]:
        return {}

    def event(self) -> DumpEvent | None:
        return self._event

    @cached_property
    def _event(self) -> DumpEvent | None:
        """The stored exception, else a made-up breakpoint: on the thread that asked
        Breakpad for the dump, mostly on the first."""
        stored = self.dump.exception
        if stored is not None:
            record = ExceptionRecord(
                stored.code,
                stored.flags,
                self._pointer(stored.record),
                self._pointer(stored.address),
                tuple(self._pointer(value) for value in stored.parameters),
            )
            return DumpEvent(stored.thread_id, record)
        threads = self.threads()
        if not threads:
            return None
        breakpad = self.dump.breakpad_info
        asked = breakpad.requesting_thread_id if breakpad is not None else None
        thread = next((thread for thread in threads if thread.id == asked), threads[0])
        return break_in(thread, self.registers(thread))

    def exception_registers(self) -> Mapping[str, int] | None:
        stored = self.dump.exception
        if stored is None or not stored.context.rva:
            return None
        return self._exception_registers or None

    @cached_property
    def _exception_registers(self) -> Mapping[str, int]:
        stored = self.dump.exception
        return self.dump.registers(stored.context, self._arch) if stored is not None else {}

    def system(self) -> SystemInfo:
        return self._system

    @cached_property
    def _system(self) -> SystemInfo:
        record = self.dump.system_info or SystemInfoRecord(
            0xFFFF, 0, 0, 0, 0, 0, 0, 0, 0xFFFFFFFF, "", 0, bytes(24)
        )
        misc = self.dump.misc_info
        cpuid = record.cpuid
        dump_time = self.dump.header.timestamp or None
        created = misc.create_time if misc else None
        zone = misc.time_zone if misc else None
        return SystemInfo(
            arch=self._arch,
            platform=record.platform,
            platform_id=record.platform_id,
            processor_architecture=record.processor_architecture,
            processor_level=record.processor_level,
            processor_revision=record.processor_revision,
            processor_count=record.processor_count,
            product_type=record.product_type,
            major=record.major,
            minor=record.minor,
            build=record.build,
            service_pack=record.csd_version,
            suite_mask=record.suite_mask,
            cpu_vendor=record.cpu_vendor,
            cpu_version=cpuid[0] if cpuid else None,
            cpu_features=cpuid[1] if cpuid else None,
            cpu_extended_features=cpuid[2] if cpuid else None,
            build_string=misc.build_string or "" if misc else "",
            debug_build_string=misc.debug_build_string or "" if misc else "",
            dump_time_unix=dump_time,
            time_zone_bias_minutes=zone.current_bias if zone else None,
            system_uptime=self._system_uptime(),
            process_create_unix=created,
            process_uptime=_uptime(created, dump_time),
            process_kernel_time=_ticks(misc.kernel_time if misc else None),
            process_user_time=_ticks(misc.user_time if misc else None),
            integrity_level=misc.integrity_level if misc else None,
            comments=self.dump.comments,
            dump_flags=self.dump.header.flags,
        )

    def _system_uptime(self) -> int | None:
        """Return the time since boot: only a dump with the shared user page knows it."""
        system_info = self.dump.system_info
        if system_info is None or system_info.platform_id != 2:
            return None
        data = self.memory.read_some(USER_SHARED_DATA + 8, 8)
        return int.from_bytes(data, "little") or None if len(data) == 8 else None

    def regions(self) -> Sequence[MemoryRegion]:
        return self._regions

    @cached_property
    def _regions(self) -> tuple[MemoryRegion, ...]:
        if maps := self.process_files.maps:  # they say more than a MemoryInfoList made of them
            if len(maps) == MAX_MAPPINGS:
                self.dump.view.warn(
                    "dump.count-clamped", f"LinuxMapsStream: the first {len(maps)} mappings"
                )
            images = frozenset(module.image_path for module in self.modules())
            return tuple(linux_regions(maps, images))
        return tuple(memory_region(item) for item in self.dump.regions)

    def handles(self) -> Sequence[HandleInfo]:
        return self._handles

    @cached_property
    def _handles(self) -> tuple[HandleInfo, ...]:
        return tuple(
            HandleInfo(
                item.handle,
                item.type_name,
                item.object_name,
                item.attributes,
                item.granted_access,
                item.handle_count,
                item.pointer_count,
                self._object_information(item),
            )
            for item in self.dump.handles
        )

    def _object_information(self, handle: Handle) -> Mapping[str, int]:
        fields: dict[str, int] = {}
        if handle.object_info_rva:
            for item in self.dump.object_information(handle):
                fields |= item.fields()
        return fields

    def warnings(self) -> Sequence[Warning]:
        return (*self._file.warnings, *self.dump.warnings)


def _version(info: FixedFileInfo | None) -> VersionRecord | None:
    if info is None:
        return None
    return VersionRecord(
        info.file_version,
        info.product_version,
        info.flags_mask,
        info.flags,
        info.os,
        info.file_type,
        info.subtype,
        info.date,
        info.structure_version,
    )


def memory_region(item: Region) -> MemoryRegion:
    """Return a region of a dump's list with the numbers that VirtualQuery gave."""
    return MemoryRegion(
        item.base,
        item.allocation_base,
        item.allocation_protect,
        item.size,
        item.state,
        item.protect,
        item.type,
    )


def _ticks(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * TICKS_PER_SECOND


def _uptime(created: int | None, dumped: int | None) -> int | None:
    """Return the age of the process in ticks; below a second counts as not known, as in WinDbg."""
    if not created or not dumped or dumped <= created:
        return None
    return (dumped - created) * TICKS_PER_SECOND


def open_minidump(source: str | DumpFile, *, arch: str | None = None) -> MinidumpTarget:
    """Open the minidump at a path, or in a file opened before, without reading more of it than its
    header and directory.

    *arch* overrides the architecture that the file states.

    :raises TargetError: ``dump.not-found``, ``dump.access``, ``dump.unknown-format``,
        ``dump.unsupported-format`` (a dump or archive of a kind that is not opened),
        ``dump.bad-version``, ``dump.truncated`` (no header), ``dump.no-system-info``.
    """
    file = map_file(source) if isinstance(source, str) else source
    return opened(file, lambda: MinidumpTarget(file.buffer, file.path, arch=arch, file=file))
