"""A legacy full user dump as a target. What its records lack stands in the memory it has all of:
PE headers, and the page that Windows shares with every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from polydbg.base.errors import DebuggerError, TargetError
from polydbg.base.warnings import Warning
from polydbg.formats.userdump import EXCEPTION_EVENT, UserDump, UserModule
from polydbg.images.pe import PeImage
from polydbg.memory.ranges import RangeMap
from polydbg.targets.dump_file import DumpFile, FileTarget, opened
from polydbg.targets.minidump import USER_SHARED_DATA, memory_region
from polydbg.targets.module_names import unique_name
from polydbg.targets.target import (
    PROCESSOR_NUMBERS,
    TICKS_PER_SECOND,
    UNKNOWN_NUMBER,
    DumpEvent,
    ExceptionRecord,
    HandleInfo,
    MemoryRegion,
    ModuleInfo,
    SystemInfo,
    ThreadInfo,
    UnloadedModuleInfo,
)
from polydbg.targets.thread_state import break_in

# KUSER_SHARED_DATA of ntddk.h, offsets and sizes in bytes.
_INTERRUPT_TIME, _SYSTEM_TIME, _TIME_ZONE_BIAS = (0x08, 8), (0x14, 8), (0x20, 8)
_PRODUCT_TYPE, _SUITE_MASK, _PROCESSORS = (0x264, 4), (0x2D0, 4), (0x3C0, 4)

_UNIX_EPOCH = 11_644_473_600  # seconds from 1601 to 1970
_WINDOWS_7 = (6, 1)


class UserDumpTarget(FileTarget):
    """A ``USERDUMP`` or ``USERDU64`` file. Build it with :func:`open_userdump`."""

    def __init__(self, file: DumpFile) -> None:
        """Take the dump in *file*, which belongs to the target from here on.

        :raises FormatError: not a user dump, or its header is cut.
        :raises TargetError: of a processor that is not known.
        """
        super().__init__(file)
        self.dump = UserDump(file.buffer)
        if self.dump.arch == "unknown":
            raise TargetError(
                f"a user dump of a processor that is not known ({self.dump.machine:#x})",
                identifier="dump.unsupported-format",
            )

    @property
    def kind_line(self) -> str:
        """Return the banner's line for the kind of dump, with WinDbg's words."""
        return "User Dump File: Only application data is available"

    @property
    def kind_short(self) -> str:
        """Return the words of ``||``."""
        return "User dump"

    @property
    def arch(self) -> str:
        return self.dump.arch

    @property
    def pointer_size(self) -> int:
        return 8 if self.dump.is_wide else 4

    @property
    def memory(self) -> RangeMap:
        return self.dump.memory

    @property
    def process_id(self) -> int | None:
        event = self.dump.event
        return event.process_id if event is not None else None

    def threads(self) -> Sequence[ThreadInfo]:
        return self._threads

    @cached_property
    def _threads(self) -> tuple[ThreadInfo, ...]:
        return tuple(
            ThreadInfo(
                ordinal=ordinal,
                id=thread.id,
                teb=thread.teb or None,
                suspend_count=thread.suspend_count,
                priority_class=thread.priority_class,
                priority=thread.priority,
            )
            for ordinal, thread in enumerate(self.dump.threads)
        )

    def modules(self) -> Sequence[ModuleInfo]:
        return self._modules

    @cached_property
    def _modules(self) -> tuple[ModuleInfo, ...]:
        taken: set[str] = set()
        return tuple(
            self._module(module, unique_name(module.name, module.base, taken, self.pointer_size))
            for module in self.dump.modules
        )

    def _module(self, module: UserModule, name: str) -> ModuleInfo:
        """Return a module, with what the headers in the dump's memory say of it."""
        plain = ModuleInfo(name=name, image_path=module.name, base=module.base, size=module.size)
        try:
            image = PeImage.from_memory(self.memory, module.base, name)
        except DebuggerError:
            return plain
        try:
            codeview = image.codeview()
        except DebuggerError:
            codeview = None
        return ModuleInfo(
            name=name,
            image_path=module.name,
            base=module.base,
            size=module.size,
            timestamp=image.timestamp,
            checksum=image.checksum,
            debug_id=codeview.debug_id if codeview else None,
            pdb_path=codeview.path or None if codeview else None,
            codeview_signature=codeview.signature if codeview else None,
        )

    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]:
        return ()

    def registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        cached = self._registers.get(thread.ordinal)
        if cached is None:
            threads = self.dump.threads
            if not 0 <= thread.ordinal < len(threads):
                return {}
            cached = self.dump.registers(threads[thread.ordinal], self.arch)
            self._registers[thread.ordinal] = cached
        return cached

    @cached_property
    def _registers(self) -> dict[int, Mapping[str, int]]:
        return {}

    def event(self) -> DumpEvent | None:
        """Return the exception at which the debugger stood, else a made-up breakpoint."""
        event = self.dump.event
        if event is not None and event.kind == EXCEPTION_EVENT:
            record = ExceptionRecord(
                event.code, event.flags, event.record, event.address, event.parameters
            )
            return DumpEvent(event.thread_id, record)
        threads = self.threads()
        if not threads:
            return None
        return break_in(threads[0], self.registers(threads[0]))

    def exception_registers(self) -> Mapping[str, int] | None:
        """Return the event thread's own registers: it had been stopped at the exception."""
        event = self.event()
        if event is None or not event.is_stored:
            return None
        for thread in self.threads():
            if thread.id == event.thread_id:
                return self.registers(thread) or None
        return None

    def system(self) -> SystemInfo:
        return self._system

    @cached_property
    def _system(self) -> SystemInfo:
        dump = self.dump
        minor, build = dump.minor & 0xFFFF, dump.minor >> 16
        is_recent = (dump.major, minor) >= _WINDOWS_7
        now = self._shared(_SYSTEM_TIME)
        bias = self._shared(_TIME_ZONE_BIAS)
        return SystemInfo(
            arch=self.arch,
            platform="windows",
            platform_id=2,
            processor_architecture=PROCESSOR_NUMBERS.get(self.arch, UNKNOWN_NUMBER),
            processor_level=0,
            processor_revision=0,
            processor_count=(self._shared(_PROCESSORS) or 0) if is_recent else 0,
            product_type=self._shared(_PRODUCT_TYPE) or 0,
            major=dump.major,
            minor=minor,
            build=build,
            service_pack=self._service_pack(),
            suite_mask=self._shared(_SUITE_MASK) or 0,
            dump_time_unix=now // TICKS_PER_SECOND - _UNIX_EPOCH if now else None,
            time_zone_bias_minutes=_minutes(bias) if bias is not None else None,
            system_uptime=self._shared(_INTERRUPT_TIME) or None,
        )

    def _service_pack(self) -> str:
        text = self.dump.version_text.get("OS SP", "")
        return "" if text == "none" else text

    def _shared(self, field: tuple[int, int]) -> int | None:
        """Return a field of the shared user page, ``None`` when the dump does not have it."""
        offset, size = field
        data = self.memory.read_some(USER_SHARED_DATA + offset, size)
        return int.from_bytes(data, "little") if len(data) == size else None

    def regions(self) -> Sequence[MemoryRegion]:
        return self._regions

    @cached_property
    def _regions(self) -> tuple[MemoryRegion, ...]:
        return tuple(memory_region(item) for item in self.dump.regions)

    def handles(self) -> Sequence[HandleInfo]:
        return ()

    def warnings(self) -> Sequence[Warning]:
        return (*self._file.warnings, *self.dump.view.warnings)


def _minutes(ticks: int) -> int:
    """Return a signed 64-bit time in ticks as whole minutes."""
    if ticks >= 1 << 63:
        ticks -= 1 << 64
    return round(ticks / (60 * TICKS_PER_SECOND))


def open_userdump(file: DumpFile) -> UserDumpTarget:
    """Open the legacy user dump in *file*, which is closed when that fails.

    :raises TargetError: ``dump.unknown-format``, ``dump.truncated``, ``dump.unsupported-format``.
    """
    return opened(file, lambda: UserDumpTarget(file))
