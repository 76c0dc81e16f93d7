"""The modules of an ELF core: the dynamic linker's list, the mapped files, the kernel's own image.

Facts: ``<link.h>`` (``r_debug``, ``link_map``), gABI chapter 5 for ``DT_DEBUG``, the MIPS
supplement for ``DT_MIPS_RLD_MAP``, ``getauxval(3)``, ``vdso(7)``. The list of the linker has the
names that programs use, the mapped files have absolute paths and are there for static programs.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import msgspec

from polydbg.base.errors import DebuggerError
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.core_records import FileMapping
from polydbg.formats.elf.dynamic import parse_dynamic
from polydbg.formats.elf.header import ElfHeader, ProgramHeader, parse_segments
from polydbg.images.elf import ElfImage
from polydbg.images.elf_spaces import image_base, image_size
from polydbg.memory.space import AddressSpace
from polydbg.targets.linker_list import LinkMap, Namespace, read_linker_list

AT_PHDR, AT_PHENT, AT_PHNUM, AT_BASE, AT_ENTRY = 3, 4, 5, 7, 9
AT_EXECFN, AT_SYSINFO_EHDR = 31, 33
_AT_EXECPATH, _AT_SUN_EXECNAME = 15, 2014  # of FreeBSD, of NetBSD
_DT_MIPS_RLD_MAP, _DT_MIPS_RLD_MAP_REL = 0x70000016, 0x70000035

_MAX_PATH = 4096
_MAX_DYNAMIC = 1 << 20
_MAX_HEADERS = 1 << 16
_PAGE = 0x1000
_SEARCHED_PAGES = 1 << 12
_ALL_SEARCHED_PAGES = 1 << 16
_VDSO_ROOM = 0x10000
_MAX_IMAGE = 1 << 30
_HEADER_SIZES = (0x34, 0x40)


class LoadedObject(msgspec.Struct, frozen=True):
    """An ELF image in memory: *base* is where its first page is, *size* is 0 where nothing tells;
    *build_id* is empty where the headers are not in the core."""

    path: str
    base: int
    size: int
    build_id: bytes = b""


class MappedFiles:
    """The files of the memory map, by address."""

    def __init__(self, mappings: Sequence[FileMapping]) -> None:
        self.entries = sorted((each for each in mappings if each.path), key=lambda m: m.start)
        self._starts = [each.start for each in self.entries]

    def index_at(self, address: int) -> int | None:
        """Return the index of the mapping that holds *address*."""
        index = bisect_right(self._starts, address) - 1
        return index if index >= 0 and address < self.entries[index].end else None

    def whole(self, address: int) -> FileMapping | None:
        """Return the mappings of one file around *address* as one: from its start to its end."""
        index = self.index_at(address)
        if index is None:
            return None
        first = last = index
        path = self.entries[index].path
        while first and self.entries[first - 1].path == path and self._continues(first):
            first -= 1
        count = len(self.entries)
        while last + 1 < count and self.entries[last + 1].path == path:
            if not self._continues(last + 1):
                break
            last += 1
        start = self.entries[first]
        return FileMapping(start.start, self.entries[last].end, start.offset, path)

    def _continues(self, index: int) -> bool:
        """Tell whether a mapping is a further part of its file: behind its start, or right behind
        another part (of a file of less than a page, every part is its start)."""
        entry = self.entries[index]
        return entry.offset != 0 or self.entries[index - 1].end == entry.start

    def wholes(self) -> Iterator[FileMapping]:
        """Yield every file that is mapped from its start on, as :meth:`whole` does."""
        position = 0
        for entry in self.entries:
            if entry.start < position or entry.offset:
                continue
            whole = self.whole(entry.start)
            if whole is not None:
                position = whole.end
                yield whole


class LoadedObjects:
    """What is loaded. *auxiliary* is the auxiliary vector, *segments* the core's program headers,
    *name* what the process is called."""

    def __init__(
        self,
        memory: AddressSpace,
        header: ElfHeader,
        auxiliary: Mapping[int, int],
        mappings: Sequence[FileMapping],
        segments: Sequence[ProgramHeader],
        *,
        system: str,
        name: str,
    ) -> None:
        self._memory = memory
        self._header = header
        self._auxiliary = auxiliary
        self._files = MappedFiles(mappings)
        self._segments_of_core = segments
        self._system = system
        self._name = name
        self._found: dict[int, LoadedObject] = {}
        self._bases: list[int] = []
        self._pages_left = _ALL_SEARCHED_PAGES

    def find(self) -> tuple[LoadedObject, ...]:
        """Return the objects: the program, the linker's list in its order, mapped images that are
        not in it, the kernel's image. An object is listed once."""
        self._add_program()
        for namespace in self.linker_list:
            for entry in namespace.objects:
                self._add_link(entry)
        vdso = self._auxiliary.get(AT_SYSINFO_EHDR, 0) if self._system == "linux" else 0
        for whole in self._files.wholes():
            if not self._is_known(whole.start) and self._is_image(whole):
                self._add(whole.start, whole.path)
        if vdso and vdso not in self._found:
            self._add(vdso, "")
        return tuple(self._found.values())

    def _is_known(self, address: int) -> bool:
        """Tell whether *address* is in an object found before."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return False
        nearest = self._found[self._bases[index]]
        return address - nearest.base < max(nearest.size, 1)

    # -- the program -----------------------------------------------------------------------

    def _number(self, address: int) -> int | None:
        """Return the word at *address*, ``None`` where it is absent."""
        word = self._header.word
        data = self._memory.read_some(address, word)
        return int.from_bytes(data, self._header.order) if len(data) == word else None

    def _text(self, address: int) -> str:
        """Return the string at *address*, ``""`` where it is absent."""
        data = self._memory.read_some(address, _MAX_PATH) if address else b""
        return data.split(b"\0", 1)[0].decode("utf-8", "replace")

    @cached_property
    def _segments(self) -> tuple[ProgramHeader, ...]:
        """The program's own program headers, where memory has them."""
        at = self._auxiliary.get(AT_PHDR, 0)
        size = self._auxiliary.get(AT_PHENT, 0)
        count = self._auxiliary.get(AT_PHNUM, 0)
        if not at or not size or size * count > _MAX_HEADERS:
            return ()
        header = msgspec.structs.replace(self._header, phentsize=size, phnum=count)
        for place in self._copies(at):
            try:
                found = parse_segments(self._memory, msgspec.structs.replace(header, phoff=place))
            except DebuggerError:
                continue
            if found:
                return found
        return ()

    def _copies(self, address: int) -> Iterator[int]:
        """Yield *address*, and where else the same bytes of its file are mapped: data of a small
        program shares the file's first page with its headers, and is always in a core."""
        yield address
        whole = self._files.whole(address)
        for entry in self._files.entries if whole is not None else ():
            if whole is not None and entry.path == whole.path and not entry.offset:
                yield entry.start + address - whole.start

    @cached_property
    def _bias(self) -> int | None:
        """What is added to the program's addresses as linked; ``None`` without its headers."""
        at = self._auxiliary.get(AT_PHDR, 0)
        if not self._segments:
            return None
        for segment in self._segments:
            if segment.type == elf.PT_PHDR:
                return self._wrapped(at - segment.vaddr)
        return self._wrapped((at & -_PAGE) - image_base(self._segments))

    def _wrapped(self, address: int) -> int:
        return address & (1 << 8 * self._header.word) - 1

    def _add_program(self) -> None:
        at = self._auxiliary.get(AT_PHDR) or self._auxiliary.get(AT_ENTRY, 0)
        whole = self._files.whole(at)
        if self._bias is not None:
            base = self._wrapped(self._bias + image_base(self._segments))
            self._add(base, self._program_path(whole), image_size(self._segments))
        elif whole is not None:
            self._add(whole.start, self._program_path(whole))
        elif at and at == self._auxiliary.get(AT_PHDR) and at % _PAGE in _HEADER_SIZES:
            # Program headers right behind a file header, which is where a page begins.
            self._add(at & -_PAGE, self._program_path(None))

    def _program_path(self, whole: FileMapping | None) -> str:
        if whole is not None:
            return whole.path
        kinds = {"freebsd": _AT_EXECPATH, "netbsd": _AT_SUN_EXECNAME}
        kind = kinds.get(self._system, AT_EXECFN)
        return self._text(self._auxiliary.get(kind, 0)) or self._name

    # -- the linker's list -----------------------------------------------------------------

    def _debug_address(self) -> int:
        """Return the address of ``r_debug``, 0 where the program has none."""
        word, mark = self._header.word, self._header.mark
        for segment in self._segments:
            if segment.type != elf.PT_DYNAMIC or self._bias is None:
                continue
            at = self._wrapped(self._bias + segment.vaddr)
            data = self._memory.read_some(at, min(segment.memory_size, _MAX_DYNAMIC))
            for index, (tag, value) in enumerate(parse_dynamic(data, mark, word)):
                if tag == elf.DT_DEBUG and value:
                    return value
                if tag == _DT_MIPS_RLD_MAP:
                    return self._number(value) or 0
                if tag == _DT_MIPS_RLD_MAP_REL:
                    return self._number(self._wrapped(at + 2 * word * index + value)) or 0
        return 0

    @cached_property
    def linker_list(self) -> tuple[Namespace, ...]:
        """Return the linker's lists, one for each namespace."""
        return read_linker_list(self._memory, self._header, self._debug_address())

    def _add_link(self, entry: LinkMap) -> None:
        if self._is_known(entry.dynamic):
            return
        whole = self._files.whole(entry.dynamic)
        base = whole.start if whole is not None else self._base_of(entry)
        if base is None or base in self._found:
            return
        path = entry.name
        if whole is not None and not path.startswith("/"):
            path = whole.path
        self._add(base, path)

    def _base_of(self, entry: LinkMap) -> int | None:
        """Return where an object begins whose file no note names: at its bias, unless it was linked
        for an address; then below its dynamic table, as far as one looks."""
        vdso = self._auxiliary.get(AT_SYSINFO_EHDR, 0)
        if vdso and 0 <= entry.dynamic - vdso < _VDSO_ROOM:
            return vdso
        if self._has_magic(entry.bias):
            return entry.bias
        page = entry.dynamic & -_PAGE
        for _ in range(min(_SEARCHED_PAGES, self._pages_left)):
            if page < 0:
                return None
            self._pages_left -= 1
            if self._has_magic(page):
                return page
            page -= _PAGE
        is_plausible = not entry.bias % _PAGE and 0 < entry.dynamic - entry.bias < _MAX_IMAGE
        return entry.bias if is_plausible else None

    # -- images ----------------------------------------------------------------------------

    @cached_property
    def _mapped(self) -> list[tuple[int, int]]:
        loads = (each for each in self._segments_of_core if each.type == elf.PT_LOAD)
        return sorted((each.vaddr, each.end) for each in loads)

    def _mapped_size(self, base: int) -> int:
        """Return how much is mapped in one piece from *base* on: at least that is the object's."""
        index = bisect_right(self._mapped, (base, 1 << 64)) - 1
        return max(self._mapped[index][1] - base, 0) if index >= 0 else 0

    def _has_magic(self, address: int) -> bool:
        return self._memory.read_some(address, 4) == elf.MAGIC

    def _is_image(self, whole: FileMapping) -> bool:
        """Tell whether a mapped file is loaded as an image: in pieces, with an ELF header; by its
        name where the header is not in the core."""
        if not self._is_split(whole):
            return False
        if self._memory.read_some(whole.start, 1):
            return self._has_magic(whole.start)
        return ".so" in whole.path.rsplit("/", 1)[-1]

    def _is_split(self, whole: FileMapping) -> bool:
        """Tell whether the file is mapped in pieces, as loaders do."""
        index = self._files.index_at(whole.start)
        return index is not None and self._files.entries[index].end < whole.end

    def _image(self, base: int, path: str) -> ElfImage | None:
        try:
            return ElfImage.from_memory(self._memory, base, name=path)
        except DebuggerError:
            return None

    def _add(self, base: int, path: str, size: int = 0) -> None:
        image = self._image(base, path)
        build_id = ""
        if image is not None:
            try:
                build_id = image.build_id or ""
                path = path or image.soname or ""
            except DebuggerError:
                build_id = ""
            size = image.size_of_image
        whole = self._files.whole(base)
        if whole is not None and not size:
            size = whole.end - base
        size = size or self._mapped_size(base)
        if not path:
            path = "[vdso]" if base == self._auxiliary.get(AT_SYSINFO_EHDR) else ""
        if base not in self._found:
            insort(self._bases, base)
        self._found[base] = LoadedObject(path, base, size, bytes.fromhex(build_id))
