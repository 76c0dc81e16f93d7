"""Where a thread has its own copy of a variable: the block of the variable's module, and in it.

The program's own block is where the processor's ABI puts it, at a fixed distance from the thread
pointer; the blocks of other modules stand in the thread's vector (the dtv), under the number that
the loader gave the module. glibc keeps that number in its list of what is loaded, and says in
``_thread_db_...`` constants where (they are there for debuggers); musl numbers modules in the order
of its list and never unloads one. Windows has a vector per thread, too, and each image says where
its number is. Facts: "ELF Handling For Thread-Local Storage", sections 3 and 4; ``nptl_db``'s
interface; Microsoft, "PE Format", section ".tls".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from polydbg.base.errors import DebuggerError
from polydbg.engine.elf_threads import POWER_OFFSET, Library, ThreadBlock, thread_block
from polydbg.engine.glibc_loader import GlibcLoader
from polydbg.engine.modules import Module
from polydbg.engine.session import System
from polydbg.engine.structure import Structure
from polydbg.engine.thread_storage import static_offsets, storage_blocks, storage_modules
from polydbg.formats.elf.header import ProgramHeader
from polydbg.images.pe import PeImage
from polydbg.targets.linker_list import linker_list
from polydbg.targets.target import ThreadInfo, byte_order
from polydbg.types.place import ValueUnavailableError

_TLS_DIRECTORY = 9
_MAX_BLOCKS = 1 << 16
_NOT_ALLOCATED = "the thread has no block of {}'s thread-local variables yet"
_BELOW_POINTER = ("amd64", "x86", "s390x", "s390")


def thread_local_address(
    system: System, thread: ThreadInfo | None, module: Module, offset: int
) -> int:
    """Return the address of what lies *offset* bytes into the block that *thread* has of *module*.

    :raises ValueUnavailableError: the thread has none yet, or it cannot be found.
    """
    if thread is None:
        raise ValueUnavailableError("which thread's variable is meant is not known")
    mask = (1 << 8 * system.pointer_size) - 1
    platform = system.target.system().platform
    if platform == "windows":
        return _windows_block(system, thread, module) + offset & mask
    if platform in ("macos", "ios"):
        raise ValueUnavailableError("thread-local variables of this system are not looked for")
    return _elf_address(system, thread, module, offset) & mask


# -- ELF -------------------------------------------------------------------------------------------


def _elf_address(system: System, thread: ThreadInfo, module: Module, offset: int) -> int:
    if not thread.teb:
        raise ValueUnavailableError("the thread pointer is not known")
    modules = storage_modules(system)
    rank = next((rank for rank, (each, _) in enumerate(modules) if each is module), None)
    if rank is None:
        raise ValueUnavailableError(f"{module.name} has no thread-local variables")
    segment = modules[rank][1]
    if offset >= segment.memory_size:
        # In split units gcc has the linker write the address in the file instead.
        offset -= segment.vaddr
    if not 0 <= offset < segment.memory_size:
        raise ValueUnavailableError("it does not lie in its module's block of the thread")
    return _elf_block(system, thread, modules, rank) + offset


def _elf_block(
    system: System,
    thread: ThreadInfo,
    modules: Sequence[tuple[Module, ProgramHeader]],
    rank: int,
) -> int:
    """Return where the block of the module of that *rank* in the loader's list is."""
    module, segment = modules[rank]
    if rank == 0 and _is_program(system, module):
        # The processor's ABI fixes the place of the program's own.
        return (thread.teb or 0) + static_offsets([segment], system)[0]
    block = thread_block(system, thread)
    if block is None or block.library is Library.UNKNOWN:
        raise ValueUnavailableError("the C library's thread structure was not recognised")
    if block.library is Library.MUSL:
        return _musl_block(system, block, module, rank + 1, len(modules))
    return _glibc_block(system, block, module)


def _is_program(system: System, module: Module) -> bool:
    first = system.target.modules()[:1]
    return bool(first) and system.modules.at(first[0].base) is module


def _glibc_block(system: System, block: ThreadBlock, module: Module) -> int:
    size, order = system.target.pointer_size, byte_order(system.target)
    loader = GlibcLoader(system.memory, size, order, partial(_symbol, system))
    entry = _loader_entry(system, module)
    number = loader.number_of(entry) if entry is not None else None
    if entry is None or number is None:
        return _glibc_block_by_order(system, block, module)
    if not block.dtv:
        raise ValueUnavailableError("the thread's vector of blocks is not known")
    vector = Structure(system.memory, block.dtv, size, order)
    length, age = vector.word(-2 * size), vector.word(0)
    since = loader.generation_of(number, entry)
    if length is not None and number > length:
        raise ValueUnavailableError(_NOT_ALLOCATED.format(module.name))
    if since is not None and age is not None and age < since:
        # What the vector has there is of a module that had the number before.
        raise ValueUnavailableError(_NOT_ALLOCATED.format(module.name))
    return _allocated(vector.word(2 * size * number), size, module)


def _allocated(address: int | None, size: int, module: Module) -> int:
    if address is None:
        raise ValueUnavailableError("the thread's vector of blocks is not in the dump")
    if address in (0, (1 << 8 * size) - 1):
        raise ValueUnavailableError(_NOT_ALLOCATED.format(module.name))
    return address


def _loader_entry(system: System, module: Module) -> int | None:
    """Return the address of the loader's entry of *module*."""
    for namespace in linker_list(system.target):
        for each in namespace.objects:
            if system.modules.at(each.dynamic) is module:
                return each.address
    return None


def _symbol(system: System, name: str, modules: tuple[str, ...]) -> int | None:
    """Return the address of a symbol of one of the modules whose names begin so."""
    for module in system.modules.modules:
        if not module.name.startswith(modules):
            continue
        source = system.modules.symbols(module)
        try:
            symbol = source.symbol_named(name) if source is not None else None
        except DebuggerError:
            continue
        if symbol is not None:
            return module.base + symbol.rva
    return None


def _glibc_block_by_order(system: System, block: ThreadBlock, module: Module) -> int:
    """Return the block by the order of the loader's list, which must agree with its arithmetic."""
    for each in storage_blocks(system, block):
        if each.module is module and each.address is not None and each.is_certain:
            return each.address
    raise ValueUnavailableError(f"which of the thread's blocks is that of {module.name} is unknown")


def _musl_block(system: System, block: ThreadBlock, module: Module, number: int, count: int) -> int:
    """Return the block of the module of that *number* of *count*. musl's vector begins with how
    many blocks it has; the last word of its thread structure leads there, where the thread pointer
    is behind that."""
    size = system.target.pointer_size
    order = byte_order(system.target)
    vector = block.dtv
    if vector is None and system.target.arch not in _BELOW_POINTER:
        bias = POWER_OFFSET if system.target.arch.startswith(("ppc", "mips")) else 0
        vector = Structure(system.memory, block.address - bias, size, order).word(-size)
    if not vector:
        raise ValueUnavailableError("the thread's vector of blocks is not known")
    words = Structure(system.memory, vector, size, order)
    length = words.word(0)
    if length is None or not 0 < length <= count:
        raise ValueUnavailableError("the thread's vector of blocks makes no sense")
    if number > length:
        raise ValueUnavailableError(_NOT_ALLOCATED.format(module.name))
    return _allocated(words.word(size * number), size, module) - _musl_bias(system.target.arch)


def _musl_bias(arch: str) -> int:
    """Return how far into a block its vector entry points."""
    if arch.startswith("riscv"):
        return 0x800
    return 0x8000 if arch.startswith(("ppc", "mips", "m68k")) else 0


# -- Windows ---------------------------------------------------------------------------------------


def _windows_block(system: System, thread: ThreadInfo, module: Module) -> int:
    from polydbg.engine.windows_process import teb

    try:
        vector = teb(system, thread).tls_pointer
    except DebuggerError as error:
        raise ValueUnavailableError(error.message) from error
    size = system.pointer_size
    if vector is None:
        raise ValueUnavailableError("the thread's block (TEB) is not in the dump")
    if not vector:
        raise ValueUnavailableError(_NOT_ALLOCATED.format(module.name))
    number = _windows_index(system, module)
    return _allocated(Structure(system.memory, vector, size).word(size * number), size, module)


def _windows_index(system: System, module: Module) -> int:
    """Return the module's number, which the loader stored where the image's directory says."""
    image = system.modules.image(module)
    if not isinstance(image, PeImage):
        raise ValueUnavailableError(f"the image of {module.name} is not at hand")
    size = 8 if image.header.is_64bit else 4
    try:
        directory = image.directories[_TLS_DIRECTORY]
        if not directory.rva:
            raise ValueUnavailableError(f"{module.name} has no thread-local variables")
        place = int.from_bytes(image.read(directory.rva + 2 * size, size), "little")
    except (DebuggerError, IndexError) as error:
        if isinstance(error, ValueUnavailableError):
            raise
        raise ValueUnavailableError("the image's thread-local directory cannot be read") from error
    for base in (image.preferred_base, module.base):  # headers in memory may be relocated
        if 0 <= place - base < image.size_of_image:
            index = Structure(system.memory, module.base + place - base, size).number(0, 4)
            if index is None:
                break
            if index < _MAX_BLOCKS:
                return index
    raise ValueUnavailableError(f"the number of {module.name}'s block is not in the dump")
