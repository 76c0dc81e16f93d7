"""An ELF core of a process as a target: notes for threads, segments for memory.

Linux's kernel and gdb's ``gcore`` write these, as do FreeBSD, NetBSD and OpenBSD. The first thread
is the one that took the signal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from polydbg.arch.registers import thread_pointer
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.base.identifiers import DebugId
from polydbg.base.warnings import Warning
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.core_notes import parse_core_notes
from polydbg.formats.elf.core_records import CoreNotes, SignalInfo
from polydbg.formats.elf.core_registers import thread_registers
from polydbg.formats.elf.header import ElfHeader, ProgramHeader, parse_header, parse_segments
from polydbg.formats.elf.notes import Note, iterate_notes
from polydbg.formats.procfs import Mapping as ProcessMapping
from polydbg.formats.procfs import parse_auxiliary
from polydbg.images.elf import ElfImage
from polydbg.memory.ranges import Layer, RangeMap, clipped
from polydbg.memory.space import BufferSpace, ByteOrder
from polydbg.symbols.store.root_paths import DELETED
from polydbg.targets.dump_file import DumpFile, FileTarget, opened, refused_kernel
from polydbg.targets.elf_core_mappings import core_mappings
from polydbg.targets.elf_core_modules import (
    AT_EXECFN,
    AT_SYSINFO_EHDR,
    LoadedObject,
    LoadedObjects,
    MappedFiles,
)
from polydbg.targets.elf_core_process import StartStrings
from polydbg.targets.linker_list import Namespace
from polydbg.targets.linux_regions import linux_regions
from polydbg.targets.module_names import unique_name
from polydbg.targets.process_files import ProcessFiles
from polydbg.targets.target import (
    PROCESSOR_NUMBERS,
    UNKNOWN_NUMBER,
    DumpEvent,
    ExceptionRecord,
    HandleInfo,
    MemoryRegion,
    ModuleInfo,
    SystemInfo,
    ThreadInfo,
    ThreadTimes,
    UnloadedModuleInfo,
)
from polydbg.targets.thread_state import break_in, stack_of

_AT_RANDOM = 25
_AT_OSRELDATE, _AT_NCPUS = 18, 19  # of FreeBSD
_VSYSCALL = 0xFFFFFFFFFF600000
_MAX_NOTE_BYTES = 512 << 20
_MAX_NAMED = 8
_POINTER_SETS = frozenset({"general", "tls", "segment-bases"})
_PLATFORM_NUMBERS = {"linux": 0x8201}
_STANDALONE = 255  # ELFOSABI_STANDALONE: what runs without a system
_SYSTEMS_BY_ABI = {2: "netbsd", 3: "linux", 9: "freebsd", 12: "openbsd"}


class ElfCoreTarget(FileTarget):
    """A core of a process. Build it with :func:`open_elf_core`."""

    def __init__(self, file: DumpFile) -> None:
        """Take the core in *file*, which belongs to the target from here on.

        :raises FormatError: not an ELF core, or its header is cut.
        :raises TargetError: a core of a kernel.
        """
        super().__init__(file)
        self._space = BufferSpace(file.buffer)
        self.header: ElfHeader = parse_header(self._space)
        if self.header.type != elf.ET_CORE:
            raise FormatError("not an ELF core", identifier="dump.unknown-format")
        self.segments: tuple[ProgramHeader, ...] = parse_segments(self._space, self.header)
        self.notes: CoreNotes = parse_core_notes(self.file_notes(), self.header)
        self._refuse_kernels()

    def file_notes(self) -> Iterator[Note]:
        """Yield the notes as the file has them; their offsets are those of the file. Of segments
        that overlap no more is read than the file has bytes."""
        room = min(_MAX_NOTE_BYTES, len(self._file.buffer))
        big = self.header.is_big
        for segment in self.segments:
            if segment.type == elf.PT_NOTE and room > 0:
                start = segment.offset
                raw = self._space.read_some(start, min(segment.file_size, room))
                room -= len(raw)
                yield from iterate_notes(raw, big=big, align=segment.align, start=start)

    def _refuse_kernels(self) -> None:
        kernel = self.notes.kernel
        if not kernel and self.header.os_abi == _STANDALONE:
            kernel = "FreeBSD"
        if kernel:
            raise refused_kernel("an ELF", kernel)

    # -- what it is ------------------------------------------------------------------------

    @property
    def kind_line(self) -> str:
        """Return the banner's line for the kind of dump, in the words of minidumps."""
        if not len(self.memory):
            return "ELF User Core: Only registers are available"
        if self.has_full_memory:
            return "ELF User Core with Full Memory: Only application data is available"
        return "ELF User Core: Only registers, stack and portions of memory are available"

    @property
    def kind_short(self) -> str:
        """Return the words of ``||``."""
        return "Full memory ELF user core" if self.has_full_memory else "ELF user core"

    @cached_property
    def has_full_memory(self) -> bool:
        """Tell whether the core holds every byte of every mapping."""
        loads = [each for each in self.segments if each.type == elf.PT_LOAD]
        if not loads or self._is_cut or any(each.file_size < each.memory_size for each in loads):
            return False
        if any(each.stack_base is None for each in self.threads()[:1]):
            return False
        # gcore leaves out what files hold: no segment tells of it.
        return all(each.permissions for each in self._mappings)

    @property
    def arch(self) -> str:
        """Return the processor's name; x32 processes run the instructions of ``amd64``."""
        name = self.header.machine_name
        return "amd64" if name == "x32" else name

    @property
    def platform(self) -> str:
        """Return ``linux``, ``freebsd``, ``netbsd``, ``openbsd`` or ``unknown``."""
        if self.notes.system != "unknown":
            return self.notes.system
        return _SYSTEMS_BY_ABI.get(self.header.os_abi, "unknown")

    @property
    def pointer_size(self) -> int:
        return self.header.word

    @property
    def byte_order(self) -> ByteOrder:
        return self.header.order

    @property
    def process_id(self) -> int | None:
        process = self.notes.process
        if process is not None and process.id:
            return process.id
        threads = self.notes.threads
        return threads[0].id if len(threads) == 1 and self.platform == "linux" else None

    # -- memory ----------------------------------------------------------------------------

    @cached_property
    def memory(self) -> RangeMap:
        """Return the memory that the file holds; what its end cuts off is absent."""
        wanted = Layer.of(
            (each.vaddr, min(each.file_size, each.memory_size), each.offset)
            for each in self.segments
            if each.type == elf.PT_LOAD
        )
        return RangeMap(self._file.buffer, [clipped(wanted, len(self._file.buffer))[0]])

    @cached_property
    def _needed(self) -> int:
        """How long the file should be, by its program headers."""
        return max((each.offset + each.file_size for each in self.segments), default=0)

    @property
    def _is_cut(self) -> bool:
        return self._needed > len(self._file.buffer)

    # -- threads ---------------------------------------------------------------------------

    def threads(self) -> Sequence[ThreadInfo]:
        return self._threads

    @cached_property
    def _threads(self) -> tuple[ThreadInfo, ...]:
        return tuple(self._thread(ordinal) for ordinal in range(len(self.notes.threads)))

    def _thread(self, ordinal: int) -> ThreadInfo:
        thread = self.notes.threads[ordinal]
        name = thread.name
        process = self.notes.process
        if not name and process is not None and process.id == thread.id:
            name = process.name  # Linux names the process by its first thread
        # There may be many threads: their vectors are left alone until somebody asks.
        few = {each: data for each, data in thread.sets.items() if each in _POINTER_SETS}
        general = msgspec.structs.replace(thread, sets=few)
        registers = thread_registers(general, self.header, self.platform, {})
        stack = stack_of(self.memory, registers)
        return ThreadInfo(
            ordinal=ordinal,
            id=thread.id,
            teb=thread_pointer(registers, self.arch),
            name=name or None,
            times=self._times[ordinal] if self._times else None,
            stack_base=stack.start if stack is not None else None,
            stack_size=stack.size if stack is not None else None,
        )

    @cached_property
    def _times(self) -> tuple[ThreadTimes | None, ...]:
        """The processor times of the threads, nothing where none ran for a microsecond: gdb's
        ``gcore`` writes no times.

        Of the first thread Linux gives those of the whole process: the other threads' are taken
        away, what threads used that had ended stays.
        """
        found = [each.times for each in self.notes.threads]
        known = [each for each in found if each is not None]
        if not any(user or kernel for user, kernel in known):
            return ()
        process = self.process_id
        rest = [0, 0]
        for thread, times in zip(self.notes.threads, found, strict=True):
            if times is not None and thread.id != process:
                rest = [rest[0] + times[0], rest[1] + times[1]]
        rows = []
        for thread, times in zip(self.notes.threads, found, strict=True):
            if times is not None and thread.id == process:
                times = max(times[0] - rest[0], 0), max(times[1] - rest[1], 0)
            ticks = None if times is None else ThreadTimes(0, 0, 10 * times[1], 10 * times[0])
            rows.append(ticks)
        return tuple(rows)

    def registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        return self._registers_of(thread.ordinal)

    def _registers_of(self, ordinal: int) -> Mapping[str, int]:
        cached = self._registers.get(ordinal)
        if cached is None:
            if not 0 <= ordinal < len(self.notes.threads):
                return {}
            notes = self.notes
            cached = thread_registers(
                notes.threads[ordinal], self.header, self.platform, notes.xsave_layout
            )
            self._registers[ordinal] = cached
        return cached

    @cached_property
    def _registers(self) -> dict[int, Mapping[str, int]]:
        return {}

    def event(self) -> DumpEvent | None:
        return self._event

    @cached_property
    def _event(self) -> DumpEvent | None:
        """The first thread's signal, else a made-up breakpoint: a core of a process that ran on."""
        if not self.notes.threads:
            return None
        thread = self.notes.threads[0]
        info = thread.signal_info
        if info is None and thread.signal:
            info = SignalInfo(thread.signal)
        if info is None:
            return break_in(self.threads()[0], self._registers_of(0))
        record = ExceptionRecord(
            info.number, info.code & 0xFFFFFFFF, 0, info.address, info.parameters
        )
        return DumpEvent(thread.id, record)

    def exception_registers(self) -> Mapping[str, int] | None:
        """Return the first thread's own registers: it was stopped where the signal came."""
        event = self.event()
        return self._registers_of(0) or None if event is not None and event.is_stored else None

    # -- modules ---------------------------------------------------------------------------

    def modules(self) -> Sequence[ModuleInfo]:
        return self._modules

    @cached_property
    def _objects(self) -> LoadedObjects:
        process = self.notes.process
        return LoadedObjects(
            self.memory,
            self.header,
            self._auxiliary,
            self.notes.mappings,
            self.segments,
            system=self.platform,
            name=process.name if process is not None else "",
        )

    @cached_property
    def _modules(self) -> tuple[ModuleInfo, ...]:
        taken: set[str] = set()
        return tuple(self._module(each, taken) for each in self._objects.find())

    @property
    def linker_list(self) -> tuple[Namespace, ...]:
        """Return the dynamic linker's lists of objects, one for each namespace."""
        return self._objects.linker_list

    def _module(self, found: LoadedObject, taken: set[str]) -> ModuleInfo:
        path = found.path.removesuffix(DELETED)
        debug_id = DebugId.from_guid_bytes(found.build_id[:16].ljust(16, b"\0"), 0)
        return ModuleInfo(
            name=unique_name(path, found.base, taken, self.pointer_size),
            image_path=path,
            base=found.base,
            size=found.size,
            debug_id=None if debug_id.is_null else debug_id,
            codeview_signature="BpEL" if found.build_id else None,
            build_id=found.build_id,
            image_format="elf",
        )

    @cached_property
    def _auxiliary(self) -> dict[int, int]:
        raw = self.notes.auxiliary
        entries = parse_auxiliary(raw, self.pointer_size, big=self.header.is_big)
        return {entry.kind: entry.value for entry in reversed(entries)}

    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]:
        return ()

    # -- process and system ----------------------------------------------------------------

    @cached_property
    def process_files(self) -> ProcessFiles:
        """Return what the core holds of what Linux's files say about the process; of the BSDs the
        auxiliary vector, the arguments and the environment."""
        return ProcessFiles(
            self._process_file,
            self.pointer_size,
            big=self.header.is_big,
            system=self.platform,
        )

    def _process_file(self, name: str) -> bytes | None:
        if name == "auxv":
            return self.notes.auxiliary or None
        if name == "environ":
            return self._strings[1]
        if name == "cmdline":
            process = self.notes.process
            if self._strings[0] is None and process is not None and process.arguments:
                return process.arguments.replace(" ", "\0").encode()
            return self._strings[0]
        return None

    @cached_property
    def _strings(self) -> tuple[bytes | None, bytes | None]:
        strings = StartStrings(self.memory, self.header)
        if self.platform == "freebsd":
            return strings.of_freebsd(self.notes.strings)
        name = self._auxiliary.get(AT_EXECFN, 0)
        marker = self._auxiliary.get(_AT_RANDOM, 0) or name
        return strings.of_linux(self.notes.auxiliary, marker, name)

    @cached_property
    def _system(self) -> SystemInfo:
        major, minor, build = self._version
        kernel = user = None
        if self._times:
            kernel = sum(each.times.kernel_time for each in self.threads() if each.times)
            user = sum(each.times.user_time for each in self.threads() if each.times)
        return SystemInfo(
            arch=self.arch,
            platform=self.platform,
            platform_id=_PLATFORM_NUMBERS.get(self.platform, UNKNOWN_NUMBER),
            processor_architecture=PROCESSOR_NUMBERS.get(self.arch, UNKNOWN_NUMBER),
            processor_level=0,
            processor_revision=0,
            processor_count=self._auxiliary.get(_AT_NCPUS, 0) if self.platform == "freebsd" else 0,
            product_type=0,
            major=major,
            minor=minor,
            build=build,
            service_pack="",
            suite_mask=0,
            process_kernel_time=kernel,
            process_user_time=user,
        )

    @cached_property
    def _version(self) -> tuple[int, int, int]:
        """The system's version, zeros where it is not known: Linux's from the note that the kernel
        puts into its own image, FreeBSD's from the auxiliary vector (``__FreeBSD_version``)."""
        if self.platform == "freebsd":
            number = self._auxiliary.get(_AT_OSRELDATE, 0)
            return number // 100_000, number // 1000 % 100, 0
        at = self._auxiliary.get(AT_SYSINFO_EHDR, 0)
        if self.platform != "linux" or not at:
            return 0, 0, 0
        try:
            for note in ElfImage.from_memory(self.memory, at).notes():
                if (note.owner, note.type, len(note.descriptor)) == ("Linux", 0, 4):
                    code = int.from_bytes(note.descriptor, self.header.order)
                    return code >> 16, code >> 8 & 0xFF, code & 0xFF
        except DebuggerError:
            pass
        return 0, 0, 0

    def system(self) -> SystemInfo:
        return self._system

    def regions(self) -> Sequence[MemoryRegion]:
        return self._regions

    @cached_property
    def _regions(self) -> tuple[MemoryRegion, ...]:
        images = {module.image_path for module in self.modules()}
        files = MappedFiles(self.notes.mappings)
        for module in self.modules():
            whole = files.whole(module.base)
            if whole is not None:
                images.add(whole.path)
        return tuple(linux_regions(self._mappings, frozenset(images)))

    @cached_property
    def _mappings(self) -> tuple[ProcessMapping, ...]:
        marks = {}
        if self.platform == "linux":
            marks[self._auxiliary.get(AT_SYSINFO_EHDR, 0)] = "[vdso]"
            marks[self._auxiliary.get(AT_EXECFN, 0)] = "[stack]"
            if self.arch == "amd64":
                marks[_VSYSCALL] = "[vsyscall]"
        return tuple(core_mappings(self.segments, self.notes.mappings, marks))

    def handles(self) -> Sequence[HandleInfo]:
        """Return the open files, which FreeBSD's cores list; counts that they lack are 0."""
        return tuple(
            HandleInfo(each.descriptor, each.kind, each.path, 0, 0, 0, each.references)
            for each in self.notes.open_files
            if each.descriptor >= 0
        )

    def warnings(self) -> Sequence[Warning]:
        return (*self._file.warnings, *self._warnings)

    @cached_property
    def _warnings(self) -> tuple[Warning, ...]:
        if not self._is_cut:
            return ()
        size, needed = len(self._file.buffer), self._needed
        text = f"truncated at {size:#x} of {needed:#x} bytes"
        without = [str(thread.id) for thread in self.threads() if thread.stack_base is None]
        if without:
            more = ", ..." if len(without) > _MAX_NAMED else ""
            text += f"; no stack of {len(without)} threads: {', '.join(without[:_MAX_NAMED])}{more}"
        elif not self.threads():
            text += "; no threads"
        return (Warning("dump.truncated", text),)


def open_elf_core(file: DumpFile) -> ElfCoreTarget:
    """Open the ELF core in *file*, which is closed when that fails.

    :raises TargetError: ``dump.unknown-format``, ``dump.truncated`` (no header), ``dump.damaged``,
        ``dump.unsupported-format`` (of a kernel).
    """
    return opened(file, lambda: ElfCoreTarget(file))
