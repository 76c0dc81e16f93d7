"""Thread-local storage of ELF programs: which module's block of a thread is where, and ``errno``.

A module's number in the vector of blocks (the dtv) is not recorded in public: loaders number the
modules with a ``PT_TLS`` segment in the order of their list. Of blocks set up at the start of a
thread the loader's arithmetic tells the distance to the thread pointer, which must agree with the
vector. Facts: "ELF Handling For Thread-Local Storage", sections 3 and 4; glibc's
``_dl_determine_tlsoffset`` as its manual of porting describes the two variants.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.engine.elf_threads import POWER_OFFSET, Library, ThreadBlock
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.engine.structure import Structure
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.header import ProgramHeader
from polydbg.formats.elf.symbol_table import ElfSymbol, SymbolTable
from polydbg.images.elf import ElfImage
from polydbg.targets.linker_list import linker_list
from polydbg.targets.target import byte_order

_MAX_MODULES = 1024
_ERRNO = ("errno", "__libc_errno")


class StorageBlock(msgspec.Struct, frozen=True):
    """The block of *module* in a thread: *address* is ``None`` where the thread has none yet.

    *is_certain* tells whether the vector and the loader's arithmetic agree.
    """

    number: int
    module: Module
    address: int | None
    size: int
    is_certain: bool


class Errno(msgspec.Struct, frozen=True):
    """Where a thread's ``errno`` is; *value* is ``None`` where the dump has no memory of it.
    *source* says how the place is known."""

    address: int
    value: int | None
    source: str


def storage_modules(system: System) -> list[tuple[Module, ProgramHeader]]:
    """Return the modules with thread-local storage and their segments of it, in the order of the
    loader's list; without a list only the program can be one."""
    modules: list[Module] = []
    for namespace in linker_list(system.target)[:1]:
        for each in namespace.objects[:_MAX_MODULES]:
            module = system.modules.at(each.dynamic)
            if module is not None and module not in modules:
                modules.append(module)
    if not modules and (first := system.target.modules()):
        module = system.modules.at(first[0].base)
        modules = [module] if module is not None else []
    found = []
    for module in modules:
        segment = _segment(system, module)
        if segment is not None:
            found.append((module, segment))
    return found


def _segment(system: System, module: Module) -> ProgramHeader | None:
    image = system.modules.elf_image(module)
    segment = image.segment_of(elf.PT_TLS) if image is not None else None
    return segment if segment is not None and segment.memory_size else None


def storage_blocks(system: System, block: ThreadBlock) -> list[StorageBlock]:
    """Return the blocks of thread-local storage of glibc's thread *block*."""
    if block.library is not Library.GLIBC or not block.dtv:
        return []
    size = system.target.pointer_size
    vector = Structure(system.target.memory, block.dtv, size, byte_order(system.target))
    modules = storage_modules(system)
    offsets = static_offsets([segment for _, segment in modules], system)
    unset = (1 << 8 * size) - 1
    found = []
    for number, (module, segment) in enumerate(modules, 1):
        address = vector.word(2 * size * number)
        if address in (None, unset):
            address = None
        distance = offsets[number - 1]
        certain = address is not None and address == block.address + distance
        found.append(StorageBlock(number, module, address, segment.memory_size, certain))
    return found


def static_offsets(segments: Sequence[ProgramHeader], system: System) -> list[int]:
    """Return the distances of the blocks from the thread pointer for modules loaded at the start:
    below it where the thread block is at the pointer, else above, on ARM behind a head of two
    words."""
    arch = system.target.arch
    if arch in ("amd64", "x86", "s390x", "s390"):
        return _offsets_below(segments)
    head = 2 * system.target.pointer_size if arch in ("arm64", "arm") else 0
    shift = POWER_OFFSET if arch.startswith(("ppc", "mips")) else 0
    return [place - shift for place in _offsets_above(segments, head)]


def _offsets_below(segments: Sequence[ProgramHeader]) -> list[int]:
    offset = top = bottom = 0
    found = []
    for each in segments:
        align = max(each.align, 1)
        first = -(each.vaddr & align - 1) & align - 1
        if bottom - top >= each.memory_size:  # room that an alignment left
            place = _rounded(top + each.memory_size - first, align) + first
            if place <= bottom:
                top = place
                found.append(-place)
                continue
        place = _rounded(offset + each.memory_size - first, align) + first
        if place > offset + each.memory_size + (bottom - top):
            top, bottom = offset, place - each.memory_size
        offset = place
        found.append(-place)
    return found


def _offsets_above(segments: Sequence[ProgramHeader], head: int) -> list[int]:
    """Return the distances where blocks follow each other; room between them is not filled again,
    which for the usual alignments never happens."""
    offset = head
    found = []
    for each in segments:
        align = max(each.align, 1)
        first = -(each.vaddr & align - 1) & align - 1
        place = _rounded(offset, align)
        if place - offset < first:
            place += align
        found.append(place - first)
        offset = place + each.memory_size - first
    return found


def _rounded(value: int, align: int) -> int:
    return -(-value // align) * align


def thread_errno(
    system: System, block: ThreadBlock, cancel: CancelToken | None = None
) -> Errno | None:
    """Return the thread's ``errno``, ``None`` where nothing proves its place."""
    order = byte_order(system.target)
    memory = Structure(system.target.memory, 0, system.target.pointer_size, order)
    if block.errno_address is not None:
        value = memory.number(block.errno_address, 4, signed=True)
        return Errno(block.errno_address, value, "a field of musl's thread")
    for each in storage_blocks(system, block):
        if not each.is_certain or each.address is None:
            continue
        image = system.modules.elf_image(each.module)
        symbol = _errno_symbol(each.module, image, cancel)
        if symbol is not None and symbol.value < each.size:
            address = each.address + symbol.value
            value = memory.number(address, 4, signed=True)
            return Errno(address, value, f"{each.module.name}!{symbol.name}")
    return None


def _errno_symbol(
    module: Module, image: ElfImage | None, cancel: CancelToken | None
) -> ElfSymbol | None:
    """Return the thread-local variable: in the C library's dynamic symbols, of a static program in
    its own."""
    files = [file for file in (image, module.debug_file) if file is not None]
    for file in files:
        try:
            tables: list[SymbolTable | None] = [file.dynamic_symbols]
            if file.is_static or file is module.debug_file:
                tables.append(file.symbols)
            for table in tables:
                if table is not None and (found := _thread_local(table, cancel)) is not None:
                    return found
        except DebuggerError:
            continue
    return None


def _thread_local(table: SymbolTable, cancel: CancelToken | None) -> ElfSymbol | None:
    wanted = [name.encode() for name in _ERRNO]
    for chunk in table.chunks():
        if cancel is not None:
            cancel.check()
        for index, info in enumerate(chunk.infos):
            if info & 0xF != elf.STT_TLS or not chunk.sections[index]:
                continue
            if table.raw_name_at(chunk.names[index]).split(b"\0", 1)[0] in wanted:
                return table.symbol(chunk.first + index)
    return None
