"""A Mach-O core of a process as a target: ``LC_THREAD`` for threads, segments for memory.

Modules come from notes, else from the dynamic linker's list in memory, else from the headers that
memory holds. Facts: Apple's ``<mach-o/loader.h>`` and ``<mach-o/dyld_images.h>``, Intel's manual
volume 3 chapter 6 (trap numbers), ARM's architecture manual (exception syndrome), xnu's
``<mach/exception_types.h>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from polydbg.arch.registers import program_counter
from polydbg.base.errors import DebuggerError
from polydbg.base.identifiers import DebugId
from polydbg.base.warnings import Warning
from polydbg.formats.macho import header as macho
from polydbg.formats.macho.core import MachCore, parse_core
from polydbg.formats.procfs import Mapping as ProcessMapping
from polydbg.images.macho import MachoImage
from polydbg.memory.ranges import Layer, RangeMap, clipped
from polydbg.memory.space import BufferSpace
from polydbg.targets.dump_file import DumpFile, FileTarget, opened, refused_kernel
from polydbg.targets.linux_regions import linux_regions
from polydbg.targets.module_names import unique_name
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
    UnloadedModuleInfo,
)
from polydbg.targets.thread_state import break_in, stack_of

_MACOS = 0x8101
_MAX_IMAGES = 1 << 16
_MAX_PATH = 4096

_BAD_ACCESS, _BAD_INSTRUCTION, _ARITHMETIC, _BREAKPOINT = 1, 2, 3, 6
#: Mach exceptions that xnu raises for x86's traps, and their codes (``mach/i386/exception.h``); of
#: page faults the code is what the pager answered, which is not in the core.
_X86_TRAPS = {
    0: (_ARITHMETIC, 1),
    1: (_BREAKPOINT, 1),
    3: (_BREAKPOINT, 2),
    4: (_ARITHMETIC, 2),
    6: (_BAD_INSTRUCTION, 1),
    12: (_BAD_ACCESS, 12),
    13: (_BAD_ACCESS, 13),
    14: (_BAD_ACCESS, 0),
    16: (_ARITHMETIC, 5),
    19: (_ARITHMETIC, 8),
}
_PAGE_FAULT = 14
_NO_TRAP = -1
#: The same by the exception class of ARM64's syndrome.
_ARM64_CLASSES = {
    0x00: _BAD_INSTRUCTION,
    0x20: _BAD_ACCESS,
    0x22: _BAD_ACCESS,
    0x24: _BAD_ACCESS,
    0x26: _BAD_ACCESS,
    0x2C: _ARITHMETIC,
    0x3C: _BREAKPOINT,
}


class _Image(msgspec.Struct, frozen=True):
    """An image: *size* is how far its segments reach without a gap; without a header in memory that
    of the segment at its base, 0 if there is none."""

    path: str
    base: int
    size: int
    uuid: bytes


class MachoCoreTarget(FileTarget):
    """A core of a process of Apple's systems. Build it with :func:`open_macho_core`."""

    def __init__(self, file: DumpFile) -> None:
        """Take the core in *file*, which belongs to the target from here on.

        :raises FormatError: not a Mach-O core, or its header is cut.
        :raises TargetError: a core of a kernel.
        """
        super().__init__(file)
        self.core: MachCore = parse_core(BufferSpace(file.buffer))
        if self.core.kernel:
            raise refused_kernel("a Mach-O", self.core.kernel)

    def load_commands(self) -> Iterator[macho.Command]:
        """Yield the load commands as the file has them."""
        yield from macho.load_commands(BufferSpace(self._file.buffer), self.core.header)

    @property
    def kind_line(self) -> str:
        """Return the banner's line for the kind of dump, in the words of minidumps."""
        if self.has_full_memory:
            return "Mach-O Core with Full Memory: Only application data is available"
        return "Mach-O Core: Only registers, stack and portions of memory are available"

    @property
    def kind_short(self) -> str:
        """Return the words of ``||``."""
        return "Full memory Mach-O core" if self.has_full_memory else "Mach-O core"

    @cached_property
    def has_full_memory(self) -> bool:
        """Tell whether the program and the thread's stack are in the core, and nothing is cut."""
        whole = all(each.file_size >= each.size for each in self.core.segments)
        known = [each.stack_base is not None for each in self.threads()[:1]]
        program = any(each.image_path for each in self.modules()[:1])
        return whole and all(known) and bool(known) and program and not self._is_cut

    @property
    def arch(self) -> str:
        return self.core.header.arch

    @property
    def pointer_size(self) -> int:
        return self.core.header.word

    @property
    def process_id(self) -> int | None:
        return None

    # -- memory ----------------------------------------------------------------------------

    @cached_property
    def memory(self) -> RangeMap:
        wanted = Layer.of(
            (each.address, min(each.file_size, each.size), each.offset)
            for each in self.core.segments
        )
        return RangeMap(self._file.buffer, [clipped(wanted, len(self._file.buffer))[0]])

    @property
    def _is_cut(self) -> bool:
        return self.core.needed > len(self._file.buffer)

    # -- threads ---------------------------------------------------------------------------

    def threads(self) -> Sequence[ThreadInfo]:
        return self._threads

    @cached_property
    def _threads(self) -> tuple[ThreadInfo, ...]:
        return tuple(self._thread(ordinal) for ordinal in range(len(self.core.threads)))

    def _thread(self, ordinal: int) -> ThreadInfo:
        ids = self.core.thread_ids
        # Cores without the note give no ids: the number of the thread stands for it, as in lldb.
        ident = ids[ordinal] if ordinal < len(ids) else ordinal
        stack = stack_of(self.memory, self._registers_of(ordinal))
        if stack is None:
            return ThreadInfo(ordinal=ordinal, id=ident)
        return ThreadInfo(ordinal=ordinal, id=ident, stack_base=stack.start, stack_size=stack.size)

    def registers(self, thread: ThreadInfo) -> Mapping[str, int]:
        return self._registers_of(thread.ordinal)

    def _registers_of(self, ordinal: int) -> Mapping[str, int]:
        if not 0 <= ordinal < len(self.core.threads):
            return {}
        registers = self.core.threads[ordinal].registers
        bits = self.core.code_bits
        if bits and self.arch == "arm64":
            mask = (1 << 64) - (1 << bits)
            return {**registers, "pac_data_mask": mask, "pac_code_mask": mask}
        return registers

    def event(self) -> DumpEvent | None:
        return self._event

    @cached_property
    def _event(self) -> DumpEvent | None:
        """The trap of the first thread that had one, else a made-up breakpoint."""
        threads = self.threads()
        for thread in threads:
            if (record := self._trap(thread)) is not None:
                return DumpEvent(thread.id, record)
        if not threads:
            return None
        return break_in(threads[0], self._registers_of(0))

    def _trap(self, thread: ThreadInfo) -> ExceptionRecord | None:
        """Return the Mach exception for a thread's trap; a system call is none."""
        trap = self.core.threads[thread.ordinal].trap
        address = program_counter(self._registers_of(thread.ordinal))
        if not trap or address is None:
            return None
        flags = 0
        if self.arch == "arm64":
            number = trap.get("syndrome", 0)
            code = _ARM64_CLASSES.get(number >> 26 & 0x3E)
        else:
            number = trap.get("trap", _NO_TRAP)
            code, flags = _X86_TRAPS.get(number, (None, 0))
        # Where nothing is stored all are 0, which would be a division.
        if code is None or not (number or (address and self.arch != "arm64")):
            return None
        fault: int | None = address
        if code == _BAD_ACCESS:
            is_told = self.arch == "arm64" or number == _PAGE_FAULT
            fault = trap.get("fault") if is_told else None
        return ExceptionRecord(code, flags, 0, fault, ())

    def exception_registers(self) -> Mapping[str, int] | None:
        """Return the event thread's own registers."""
        event = self.event()
        if event is None or not event.is_stored:
            return None
        found = (each for each in self.threads() if each.id == event.thread_id)
        thread = next(found, None)
        return None if thread is None else self.registers(thread) or None

    # -- modules ---------------------------------------------------------------------------

    def modules(self) -> Sequence[ModuleInfo]:
        return self._modules

    @cached_property
    def _modules(self) -> tuple[ModuleInfo, ...]:
        taken: set[str] = set()
        return tuple(self._module(image, taken) for image in self._images())

    def _module(self, image: _Image, taken: set[str]) -> ModuleInfo:
        debug_id = DebugId(image.uuid.hex().upper(), 0) if image.uuid else None
        return ModuleInfo(
            name=unique_name(image.path, image.base, taken, self.pointer_size),
            image_path=image.path,
            base=image.base,
            size=image.size,
            debug_id=debug_id,
            pdb_path=image.path.rsplit("/", 1)[-1] or None if debug_id else None,
            codeview_signature="RSDS" if debug_id else None,
            image_format="macho",
        )

    def _images(self) -> Iterator[_Image]:
        """Yield the images: of the notes, else of the linker's list, else those in memory."""
        listed = [(each.path, each.address, each.uuid) for each in self.core.images]
        scanned = [] if listed else list(self._scan())
        if not listed:
            listed = list(self._linker_list(scanned))
        seen: set[int] = set()
        # A segment that begins with an image is the least that is the image's.
        starts = {each.address: each.size for each in self.core.segments}
        for path, address, uuid in listed or [(i.path, i.base, i.uuid) for i in scanned]:
            if address in seen:
                continue
            seen.add(address)
            found = self._image_at(address)
            if found is None:
                yield _Image(path, address, starts.get(address, 0), uuid)
            else:
                yield _Image(path or found.path, address, found.size, uuid or found.uuid)
        for image in scanned:  # the linker itself is not in its list
            if image.base not in seen:
                seen.add(image.base)
                yield image

    def _scan(self) -> Iterator[_Image]:
        """Yield the images whose header begins a segment of the core, programs first."""
        found = []
        for segment in self.core.segments[:_MAX_IMAGES]:
            image = self._image_at(segment.address)
            if image is not None:
                kind = macho.parse_header(self.memory, segment.address).file_type
                found.append((kind != macho.MH_EXECUTE, image))
        yield from (image for _, image in sorted(found, key=lambda pair: pair[0]))

    def _image_at(self, base: int) -> _Image | None:
        try:
            image = MachoImage.from_memory(self.memory, base)
        except DebuggerError:
            return None
        if image.header.file_type not in (macho.MH_EXECUTE, macho.MH_DYLIB, macho.MH_DYLINKER):
            return None
        return _Image(image.own_path, base, image.size_of_image, image.uuid or b"")

    def _linker_list(self, images: Sequence[_Image]) -> Iterator[tuple[str, int, bytes]]:
        """Yield path, address and no UUID of what ``dyld_all_image_infos`` lists: version, count,
        and the address of rows of three words (header, path, modification time)."""
        word = self.pointer_size
        for image in images:
            at = self._infos_address(image)
            head = self.memory.read_some(at, 8 + word) if at else b""
            if len(head) < 8 + word:
                continue
            count = min(int.from_bytes(head[4:8], "little"), _MAX_IMAGES)
            table = self.memory.read_some(
                int.from_bytes(head[8 : 8 + word], "little"), count * 3 * word
            )
            for start in range(0, len(table) - 3 * word + 1, 3 * word):
                address = int.from_bytes(table[start : start + word], "little")
                name = int.from_bytes(table[start + word : start + 2 * word], "little")
                text = self.memory.read_some(name, _MAX_PATH).split(b"\0", 1)[0]
                yield text.decode("utf-8", "replace"), address, b""

    def _infos_address(self, image: _Image) -> int | None:
        """Return the address of section ``__all_image_info`` of the dynamic linker at *image*."""
        header = macho.parse_header(self.memory, image.base)
        if header.file_type != macho.MH_DYLINKER:
            return None
        slide = 0
        for command in macho.load_commands(self.memory, header, image.base):
            if command.kind not in (macho.LC_SEGMENT, macho.LC_SEGMENT_64):
                continue
            segment = macho.parse_segment(command)
            if segment is None:
                continue
            if segment.name == "__TEXT":
                slide = image.base - segment.address
            found = macho.section_address(segment, "__all_image_info", is_64=header.is_64)
            if found is not None:
                return found + slide & (1 << 8 * header.word) - 1
        return None

    def unloaded_modules(self) -> Sequence[UnloadedModuleInfo]:
        return ()

    # -- the rest --------------------------------------------------------------------------

    def system(self) -> SystemInfo:
        return SystemInfo(
            arch=self.arch,
            platform="macos",
            platform_id=_MACOS,
            processor_architecture=PROCESSOR_NUMBERS.get(self.arch, UNKNOWN_NUMBER),
            processor_level=0,
            processor_revision=0,
            processor_count=0,
            product_type=0,
            major=0,
            minor=0,
            build=0,
            service_pack="",
            suite_mask=0,
        )

    def regions(self) -> Sequence[MemoryRegion]:
        return self._regions

    @cached_property
    def _regions(self) -> tuple[MemoryRegion, ...]:
        images = {each.base: each.image_path for each in self.modules()}
        mappings = [
            ProcessMapping(
                each.address,
                each.end,
                "".join(
                    letter if each.protection >> bit & 1 else "-"
                    for bit, letter in enumerate("rwx")
                ),
                0,
                "",
                0,
                images.get(each.address, ""),
            )
            for each in sorted(self.core.segments, key=lambda each: each.address)
            if each.size
        ]
        return tuple(linux_regions(mappings, frozenset(filter(None, images.values()))))

    def handles(self) -> Sequence[HandleInfo]:
        return ()

    def warnings(self) -> Sequence[Warning]:
        if not self._is_cut:
            return self._file.warnings
        text = f"truncated at {len(self._file.buffer):#x} of {self.core.needed:#x} bytes"
        without = sum(each.stack_base is None for each in self.threads())
        if without:
            text += f"; no stack of {without} threads"
        return (*self._file.warnings, Warning("dump.truncated", text))


def open_macho_core(file: DumpFile) -> MachoCoreTarget:
    """Open the Mach-O core in *file*, which is closed when that fails.

    :raises TargetError: ``dump.unknown-format``, ``dump.truncated`` (no header),
        ``dump.unsupported-format`` (of a kernel).
    """
    return opened(file, lambda: MachoCoreTarget(file))
