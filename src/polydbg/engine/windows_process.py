"""What Windows keeps about a process and its threads: PEB, TEB, loader lists, environment.

Offsets are those that the public symbols of ntdll give (``dt ntdll!_TEB`` and so on): the same from
Windows Vista to 11 on every processor of a width, and in Wine. Dumps hold these blocks when they
have full memory or were written with ``MiniDumpWithProcessThreadData``; every field is ``None``
where it is absent. Texts are as the target has them: whoever prints them sanitises them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import TargetError
from polydbg.engine.structure import Field, StringField, Structure
from polydbg.targets.target import ThreadInfo

if TYPE_CHECKING:
    from polydbg.engine.session import System

MAX_LOADER_ENTRIES = 4096
MAX_MODULE_PATH = 0x2000  # bytes: damaged entries could all have the longest of strings
MAX_HEAPS = 4096
MAX_ENVIRONMENT = 1 << 20
TLS_SLOTS = 64
TLS_EXPANSION_SLOTS = 1024

_NORMALISED = 1  # RTL_USER_PROC_PARAMS_NORMALIZED: strings have addresses, not offsets
_WOW64_DISTANCE = 0x2000  # from the 64-bit TEB of a 32-bit thread up to its 32-bit one
_HAVE_BLOCKS = "dumps with full memory or MiniDumpWithProcessThreadData hold it"


class Teb(Structure):
    """The thread environment block."""

    exception_list = Field(0x00, 0x00)
    stack_base = Field(0x08, 0x04)
    stack_limit = Field(0x10, 0x08)
    sub_system_tib = Field(0x18, 0x0C)
    fiber_data = Field(0x20, 0x10)
    arbitrary_user_pointer = Field(0x28, 0x14)
    self_pointer = Field(0x30, 0x18)
    environment_pointer = Field(0x38, 0x1C)
    process_id = Field(0x40, 0x20)
    thread_id = Field(0x48, 0x24)
    active_rpc_handle = Field(0x50, 0x28)
    tls_pointer = Field(0x58, 0x2C)
    peb = Field(0x60, 0x30)
    last_error = Field(0x68, 0x34, 4)
    owned_critical_sections = Field(0x6C, 0x38, 4)
    current_locale = Field(0x108, 0xC4, 4)
    last_status = Field(0x1250, 0xBF4, 4)
    deallocation_stack = Field(0x1478, 0xE0C)
    first_tls_slot = Field(0x1480, 0xE10)
    hard_error_mode = Field(0x16B0, 0xF28, 4)
    sub_process_tag = Field(0x1720, 0xF60)
    guaranteed_stack_bytes = Field(0x1748, 0xF78, 4)
    tls_expansion_slots = Field(0x1780, 0xF94)
    wow_teb_offset = Field(0x180C, 0xFDC, 4, signed=True)  # Windows 10 and later

    def tls_slot(self, index: int) -> int | None:
        """Return what ``TlsGetValue(index)`` gives on the thread.

        :raises TargetError: no slot has that number.
        """
        size = self.pointer_size
        if 0 <= index < TLS_SLOTS:
            return self.number(Teb.first_tls_slot.offset(size) + index * size, size)
        if not TLS_SLOTS <= index < TLS_SLOTS + TLS_EXPANSION_SLOTS:
            raise TargetError(f"there is no TLS slot {index:#x}", identifier="process.no-tls-slot")
        slots = self.tls_expansion_slots
        if not slots:
            return slots  # 0: the thread never used one of these
        return Structure(self.memory, slots, size).number((index - TLS_SLOTS) * size, size)


class LoaderEntry(Structure):
    """``LDR_DATA_TABLE_ENTRY``: what the loader knows of one module."""

    dll_base = Field(0x30, 0x18)
    entry_point = Field(0x38, 0x1C)
    size_of_image = Field(0x40, 0x20, 4)
    full_name = StringField(0x48, 0x24, MAX_MODULE_PATH)
    base_name = StringField(0x58, 0x2C, MAX_MODULE_PATH)
    flags = Field(0x68, 0x34, 4)
    load_count = Field(0x6C, 0x38, 2)  # obsolete since Windows 8, but kept
    tls_index = Field(0x6E, 0x3A, 2)
    timestamp = Field(0x80, 0x44, 4)


class Loader(Structure):
    """``PEB_LDR_DATA``: the loader's three lists of modules."""

    initialized = Field(0x04, 0x04, 1)
    load_order_first = Field(0x10, 0x0C)
    load_order_last = Field(0x18, 0x10)
    memory_order_first = Field(0x20, 0x14)
    memory_order_last = Field(0x28, 0x18)
    init_order_first = Field(0x30, 0x1C)
    init_order_last = Field(0x38, 0x20)

    def entries(self, order: str = "load") -> Iterator[LoaderEntry]:
        """Yield the modules in ``load``, ``memory`` or ``init`` order.

        The list ends where it comes back to its head, to an entry seen before, or to absent memory,
        and after 4096 entries.
        """
        size = self.pointer_size
        first = {
            "load": Loader.load_order_first,
            "memory": Loader.memory_order_first,
            "init": Loader.init_order_first,
        }[order]
        head = self.address + first.offset(size)
        # Each entry begins with its links of the three lists, in this order.
        links = {"load": 0, "memory": 1, "init": 2}[order] * 2 * size
        seen = {head}
        at = self.number(first.offset(size), size)
        while at and at not in seen and len(seen) <= MAX_LOADER_ENTRIES:
            seen.add(at)
            entry = LoaderEntry(self.memory, at - links, size)
            if entry.dll_base is None:
                return
            yield entry
            at = entry.number(links, size)


class Environment(msgspec.Struct, frozen=True):
    """*variables* are ``NAME=value``, in the block's order; *is_complete* is false where the block
    is cut: memory that ends, or more than 1 MB of it."""

    address: int
    variables: tuple[str, ...]
    is_complete: bool

    def values(self, name: str) -> list[str]:
        """Return the values of a variable; Windows ignores case in names."""
        wanted = name.lower()
        pairs = (split_variable(text) for text in self.variables)
        return [value for key, value in pairs if key.lower() == wanted]


def split_variable(text: str) -> tuple[str, str]:
    """Split ``NAME=value``; names such as ``=C:`` may begin with the sign."""
    at = text.find("=", 1)
    return (text[:at], text[at + 1 :]) if at > 0 else (text, "")


class ProcessParameters(Structure):
    """``RTL_USER_PROCESS_PARAMETERS``: how the process was started."""

    flags = Field(0x08, 0x08, 4)
    environment_pointer = Field(0x80, 0x48)
    environment_size = Field(0x3F0, 0x290)

    @property
    def current_directory(self) -> str | None:
        return self._string(0x38, 0x24)

    @property
    def dll_path(self) -> str | None:
        return self._string(0x50, 0x30)

    @property
    def image_path(self) -> str | None:
        return self._string(0x60, 0x38)

    @property
    def command_line(self) -> str | None:
        return self._string(0x70, 0x40)

    @property
    def window_title(self) -> str | None:
        return self._string(0xB0, 0x70)

    def _string(self, wide: int, narrow: int) -> str | None:
        flags = self.flags
        base = self.address if flags is not None and not flags & _NORMALISED else 0
        return self.string(wide if self.pointer_size == 8 else narrow, base)

    @property
    def environment(self) -> Environment | None:
        """Return the environment block, ``None`` where its address or memory is absent."""
        address = self.environment_pointer
        if not address:
            return None
        size = self.environment_size or MAX_ENVIRONMENT
        data = self.memory.read_some(address, min(size, MAX_ENVIRONMENT))
        if len(data) < 2:
            return None
        text = data[: len(data) & ~1].decode("utf-16-le", "replace")
        body, end, _ = text.partition("\0\0")
        variables = [part for part in body.split("\0") if part]
        # A block may also fill its stated size to the last character.
        return Environment(address, tuple(variables), bool(end) or text.endswith("\0"))


class Peb(Structure):
    """The process environment block."""

    inherited_address_space = Field(0x00, 0x00, 1)
    read_image_file_options = Field(0x01, 0x01, 1)
    being_debugged = Field(0x02, 0x02, 1)
    image_base = Field(0x10, 0x08)
    ldr = Field(0x18, 0x0C)
    process_parameters = Field(0x20, 0x10)
    sub_system_data = Field(0x28, 0x14)
    process_heap = Field(0x30, 0x18)
    fast_peb_lock = Field(0x38, 0x1C)
    number_of_processors = Field(0xB8, 0x64, 4)
    nt_global_flag = Field(0xBC, 0x68, 4)
    number_of_heaps = Field(0xE8, 0x88, 4)
    process_heaps = Field(0xF0, 0x90)
    loader_lock = Field(0x110, 0xA0)
    os_major = Field(0x118, 0xA4, 4)
    os_minor = Field(0x11C, 0xA8, 4)
    os_build = Field(0x120, 0xAC, 2)
    session_id = Field(0x2C0, 0x1D4, 4)
    csd_version = StringField(0x2E8, 0x1F0)

    @property
    def loader(self) -> Loader | None:
        """Return the loader's lists, ``None`` where their address is not known."""
        return Loader(self.memory, ldr, self.pointer_size) if (ldr := self.ldr) else None

    @property
    def parameters(self) -> ProcessParameters | None:
        """Return the start parameters, ``None`` where their address is not known."""
        address = self.process_parameters
        return ProcessParameters(self.memory, address, self.pointer_size) if address else None

    def heaps(self) -> list[int]:
        """Return the addresses of the heaps, at most 4096 and those that are readable."""
        count, array = self.number_of_heaps, self.process_heaps
        if not count or not array:
            return []
        size = self.pointer_size
        data = self.memory.read_some(array, min(count, MAX_HEAPS) * size)
        whole = len(data) - len(data) % size
        return [int.from_bytes(data[i : i + size], "little") for i in range(0, whole, size)]


def teb(system: System, thread: ThreadInfo | None = None) -> Teb:
    """Return the block of *thread* (else the current one) for the machine in force.

    A 32-bit thread of a 64-bit process has two: with ``.effmach x86`` it is the 32-bit one.

    :raises TargetError: not Windows, or the dump does not say where the block lies.
    """
    _require_windows(system)
    thread = thread or system.thread
    if thread is None or not thread.teb:
        raise TargetError(
            "the dump does not say where the thread's block (TEB) lies", identifier="process.no-teb"
        )
    native = Teb(system.memory, thread.teb, system.target.pointer_size)
    if system.pointer_size == native.pointer_size:
        return native
    other = other_teb(native)
    if other is None:
        raise TargetError(
            f"the {8 * system.pointer_size}-bit block (TEB) of the thread was not found",
            hint=f"the one at {thread.teb:#x} leads to it; {_HAVE_BLOCKS}",
            identifier="process.no-teb",
        )
    return other


def other_teb(block: Teb) -> Teb | None:
    """Return a WOW64 thread's block of the other width, ``None`` where there is none.

    The 64-bit block has the address of the 32-bit one where its exception list would be, and since
    Windows 10 each has its distance to the other. What is found must point to itself and be of the
    same thread.
    """
    size = 12 - block.pointer_size
    distance = block.wow_teb_offset or (_WOW64_DISTANCE if size == 4 else -_WOW64_DISTANCE)
    candidates = [block.address + distance]
    if size == 4 and (stated := block.exception_list):
        candidates.insert(0, stated)
    for address in candidates:
        if 0 < address < 1 << 8 * block.pointer_size:
            other = Teb(block.memory, address, size)
            if other.self_pointer == address and other.thread_id == block.thread_id:
                return other
    return None


def peb(system: System) -> Peb:
    """Return the process's block for the machine in force, as the first readable TEB names it.

    :raises TargetError: not Windows, or no TEB in the dump tells where the PEB lies.
    """
    for block in _tebs(system):
        if address := block.peb:
            return Peb(system.memory, address, block.pointer_size)
    raise TargetError(
        "the address of the process's block (PEB) is not known: no thread's block (TEB), which "
        "names it, is in the dump",
        hint=_HAVE_BLOCKS + "; !peb ADDRESS takes one that is known otherwise",
        identifier="process.no-peb",
    )


def other_peb(system: System) -> Peb | None:
    """Return a WOW64 process's block of the other width, ``None`` where there is none."""
    for block in _tebs(system):
        other = other_teb(block)
        if other is not None and (address := other.peb):
            return Peb(system.memory, address, other.pointer_size)
    return None


def _tebs(system: System) -> Iterator[Teb]:
    """Yield the threads' blocks for the machine in force, the current thread's first."""
    _require_windows(system)
    threads = [system.thread] if system.thread else []
    for thread in [*threads, *system.threads]:
        if thread.teb:
            try:
                yield teb(system, thread)
            except TargetError:
                continue


def is_windows(system: System) -> bool:
    """Return whether the target says that it is Windows, or does not say what it is."""
    return system.target.system().platform in ("windows", "unknown")


def _require_windows(system: System) -> None:
    if not is_windows(system):
        platform = system.target.system().platform
        raise TargetError(
            f"a process of {platform} has no PEB and no TEB", identifier="process.not-windows"
        )
