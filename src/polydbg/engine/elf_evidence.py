"""Whether an ELF file can be the one that a process has mapped, where no build id tells.

What is compared: the processor; the program headers and the dynamic table, where memory has them;
where the program was entered; how the system's map lays out the file (gABI chapter 5: a ``PT_LOAD``
segment maps the file at a constant distance); the first code that memory holds. All of it only
speaks against a file: nothing proves that it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.formats.elf.constants import DT_DEBUG, ET_EXEC
from polydbg.formats.elf.dynamic import parse_dynamic
from polydbg.images.elf import ElfImage
from polydbg.images.elf_spaces import loaded
from polydbg.memory.space import AddressSpace
from polydbg.targets.process_files import process_files
from polydbg.targets.target import MemoryRegion, ModuleInfo, Target

COMPARED = 64 << 10
"""Bytes of code that are compared."""
_LARGEST_PAGE = 1 << 16
_STEP = 1 << 12
_MAX_REGIONS = 1024
_MAX_SEGMENTS = 256
_AT_ENTRY = 9
_WRITTEN = (DT_DEBUG, 0x70000016)  # and DT_MIPS_RLD_MAP


class _Mapped(msgspec.Struct, frozen=True):
    """A mapped part of the module's file."""

    start: int
    end: int
    offset: int


class ElfEvidence:
    """What *target* holds of the module *info*: memory as the dump has it, and its map."""

    def __init__(self, info: ModuleInfo, target: Target, poll: Callable[[], None]) -> None:
        self._info = info
        self._arch = target.arch
        self._memory: AddressSpace = target.memory
        self._poll = poll
        self._regions: Sequence[MemoryRegion] = target.regions()
        files = (r.file for r in self._regions if r.base == info.base)
        # The BSDs' maps name no files.
        self._file = next((file for file in files if file is not None and file.path), None)
        process = process_files(target)
        vector = process.auxiliary_vector if process is not None else ()
        self._entry = next((each.value for each in vector if each.kind == _AT_ENTRY), 0)

    @property
    def mapped_path(self) -> str:
        """Return the path of the file that is mapped at the module's base, ``""`` if none is."""
        return self._file.path if self._file is not None else ""

    def difference(self, image: ElfImage) -> str:
        """Return in words what shows that the file *image* is another one, ``""`` for nothing."""
        if image.machine not in (self._arch, "x32") and self._arch != "unknown":
            return f"it is for {image.machine}"
        if not self._info.size and not self.mapped_path:  # nothing but where it is is known
            is_there = image.header.type == ET_EXEC and image.image_base == self._info.base
            return "" if is_there else "only the address of the module is known, it has another"
        return (
            self._headers(image)
            or self._layout(image)
            or self._start(image)
            or self._dynamic(image)
            or self._code(image)
        )

    def _headers(self, image: ElfImage) -> str:
        info = self._info
        try:
            there = ElfImage.from_memory(self._memory, info.base, info.size or None)
        except DebuggerError:
            return ""
        if loaded(there.segments) != loaded(image.segments):
            return "its segments differ from those in memory"
        return ""

    def _layout(self, image: ElfImage) -> str:
        segments = [each for each in loaded(image.segments) if each.file_size][:_MAX_SEGMENTS]
        bias = self._info.base - image.image_base
        parts = list(self._mapped())
        if not parts:
            fits = image.size_of_image >= self._info.size
            return "" if fits else f"it takes {image.size_of_image:#x} bytes in memory"
        for part in parts:
            if not any(
                part.start - part.offset == bias + each.vaddr - each.offset
                and part.start < bias + each.vaddr + each.file_size
                and bias + each.vaddr < part.end + _LARGEST_PAGE
                for each in segments
            ):
                return f"no segment of it is mapped at {part.start:#x} from {part.offset:#x} on"
        for each in segments:
            start = bias + each.vaddr
            if not any(part.start <= start < part.end for part in parts):
                return f"nothing is mapped where its segment at {each.vaddr:#x} would be"
        return ""

    def _mapped(self) -> Iterator[_Mapped]:
        """Yield the parts of the file at the base, up to where it is mapped another time."""
        if self._file is None:
            return
        count = end = 0
        for region in self._regions:
            file = region.file
            if region.base < self._info.base or file is None or file.path != self._file.path:
                continue
            # Data of a file of less than a page is mapped from its start too, behind its code.
            is_another = count and not file.offset and region.base != end
            if is_another or count >= _MAX_REGIONS:
                return
            count, end = count + 1, region.end
            if file.permissions[:3] == "---":
                continue  # what the loader keeps free between segments
            yield _Mapped(region.base, region.end, file.offset)

    def _start(self, image: ElfImage) -> str:
        base, entry = self._info.base, image.entry_point
        if entry is None or not base <= self._entry < base + image.size_of_image:
            return ""
        is_it = self._entry == base + entry
        return "" if is_it else f"it would be entered at {base + entry:#x}, not {self._entry:#x}"

    def _dynamic(self, image: ElfImage) -> str:
        """Compare the dynamic tables: a linker writes addresses over some values of the one in
        memory, and its own into ``DT_DEBUG``."""
        if image.dynamic_extent is None:
            return ""
        rva, _ = image.dynamic_extent
        header, word = image.header, image.header.word
        bias = self._info.base - image.image_base
        table = self._memory.read_some(self._info.base + rva, 2 * word * len(image.dynamic.entries))
        there = parse_dynamic(table, header.mark, word)
        for (tag, value), (other, found) in zip(image.dynamic.entries, there, strict=False):
            if tag != other or (
                found not in (value, value + bias & (1 << 8 * word) - 1) and tag not in _WRITTEN
            ):
                return f"its dynamic table differs at tag {tag:#x}"
        return ""

    def _code(self, image: ElfImage) -> str:
        if not image.constant_parts():
            return ""  # the loader patches code too
        left = COMPARED
        for segment in loaded(image.segments):
            if not segment.is_executable or segment.is_writable:
                continue
            at = self._info.base + segment.vaddr - image.image_base
            end = at + segment.file_size
            while at < end and left > 0:
                self._poll()
                there = self._memory.read_some(at, min(_STEP, left, end - at))
                if not there:
                    following = self._memory.next_readable(at)
                    at = end if following is None else following
                    continue
                rva = at - self._info.base
                if image.space.read_some(rva, len(there)) != there:
                    return f"its code differs from memory at {at:#x}"
                at += len(there)
                left -= len(there)
        return ""
