"""Legacy full user dumps, ``USERDUMP`` and ``USERDU64``: what Dr. Watson, userdump.exe and
``.dump /f`` wrote before minidumps.

Layout, settled on a 64-bit file of DbgEng and the sizes it implies: a header of u32 (signature,
major, minor, machine, counts of threads, modules and regions), then file offsets, as wide as
pointers, of thread contexts, modules, memory, region table, debug event, thread states and version
strings. Contexts are CONTEXT records one after the other; the bytes of the regions follow each
other in the order of the table. No 32-bit file was at hand: its records are those of the 64-bit one
with pointers of 32 bits, MEMORY_BASIC_INFORMATION32 and EXCEPTION_RECORD32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.contexts import LAYOUTS, parse_context
from polydbg.formats.minidump.memory import Region
from polydbg.formats.minidump.view import View, ansi_text
from polydbg.formats.pe.header import MACHINE_NAMES
from polydbg.memory.ranges import Layer, RangeMap, clipped
from polydbg.memory.space import Buffer

MAX_THREADS = 100_000
MAX_MODULES = 50_000
MAX_REGIONS = 5_000_000
MAX_NAME = 0x8000
MAX_VERSION_TEXT = 0x1000
MAX_PARAMETERS = 15

EXCEPTION_EVENT = 1

_COUNTS = struct.Struct("<IIIIII")  # from 0x08
_OFFSETS_AT = 0x20


class UserThread(msgspec.Struct, frozen=True):
    """A thread state record, and the file offset of the thread's context."""

    id: int
    suspend_count: int
    priority_class: int
    priority: int
    teb: int
    context: int


class UserModule(msgspec.Struct, frozen=True):
    """A module record: where an image is loaded, and its path."""

    base: int
    size: int
    name: str


class UserEvent(msgspec.Struct, frozen=True):
    """DEBUG_EVENT; the exception is that of :data:`EXCEPTION_EVENT`, else all 0."""

    kind: int
    process_id: int
    thread_id: int
    code: int
    flags: int
    record: int
    address: int
    parameters: tuple[int, ...]
    is_first_chance: bool


class _Layout(msgspec.Struct, frozen=True):
    """The records of one width."""

    offsets: struct.Struct
    region: struct.Struct
    region_fields: tuple[
        int, ...
    ]  # base, allocation base, its protection, size, state, protect, type
    module: struct.Struct
    thread: struct.Struct
    event: struct.Struct
    exception: struct.Struct


_WIDE = _Layout(
    offsets=struct.Struct("<7Q"),
    region=struct.Struct("<QQIIQIIII"),
    region_fields=(0, 1, 2, 4, 5, 6, 7),
    module=struct.Struct("<QII"),
    thread=struct.Struct("<IIIIQ56x"),
    event=struct.Struct("<IIIxxxx"),
    exception=struct.Struct("<IIQQIxxxx15QI"),
)
_NARROW = _Layout(
    offsets=struct.Struct("<7I"),
    region=struct.Struct("<7I"),
    region_fields=(0, 1, 2, 3, 4, 5, 6),
    module=struct.Struct("<III"),
    thread=struct.Struct("<IIIII28x"),
    event=struct.Struct("<III"),
    exception=struct.Struct("<IIIII15II"),
)


class UserDump:
    """A legacy user dump in a buffer; each part is read when it is first asked for.

    :raises FormatError: no such dump, or its header is cut.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.view = View(buffer)
        magic = bytes(buffer[:8])
        if magic not in (b"USERDUMP", b"USERDU64"):
            raise FormatError("not a user dump", offset=0, identifier="dump.unknown-format")
        self.is_wide = magic == b"USERDU64"
        self._layout = _WIDE if self.is_wide else _NARROW
        counts = _COUNTS.unpack(self.view.slice(8, _COUNTS.size))
        self.major, self.minor, self.machine = counts[:3]
        self._thread_count, self._module_count, self._region_count = counts[3:]
        offsets = self._layout.offsets
        fields = offsets.unpack(self.view.slice(_OFFSETS_AT, offsets.size))
        self._contexts_at, self._modules_at, self._memory_at, self._regions_at = fields[:4]
        self._event_at, self._threads_at, self._version_at = fields[4:]

    @property
    def arch(self) -> str:
        """Return ``amd64``, ``x86``, ... or ``unknown``."""
        return MACHINE_NAMES.get(self.machine, "unknown")

    @cached_property
    def threads(self) -> tuple[UserThread, ...]:
        """Return the threads, none of a processor that is not known; those without a state record
        have 0 as id."""
        record = self._layout.thread
        layouts = LAYOUTS.get(self.arch)
        if not layouts:
            return ()
        context = layouts[0].size
        room = max(0, self.view.size - self._contexts_at) // context
        count = min(self._thread_count, room)
        self._note_kept("threads", count, self._thread_count)
        if count > MAX_THREADS:
            self.view.warn(
                "dump.threads-left-out", f"only the first {MAX_THREADS} of {count} threads are read"
            )
            count = MAX_THREADS
        threads = []
        for index in range(count):
            data = self.view.clipped(self._threads_at + index * record.size, record.size)
            # Without its record a thread is still shown, by its registers.
            data = data.ljust(record.size, b"\0")
            ident, suspended, level, priority, teb = record.unpack(data)
            at = self._contexts_at + index * context
            threads.append(UserThread(ident, suspended, level, priority, teb, at))
        return tuple(threads)

    def registers(self, thread: UserThread, arch: str) -> dict[str, int]:
        """Return the registers of *thread*; ``{}`` when its context is of another kind."""
        layouts = LAYOUTS.get(arch)
        data = self.view.clipped(thread.context, layouts[0].size) if layouts else b""
        registers = parse_context(data, arch)
        if not registers:
            self.view.warn("dump.bad-context", f"no context of {arch} at {thread.context:#x}")
        return registers

    @cached_property
    def modules(self) -> tuple[UserModule, ...]:
        return tuple(self._read_modules())

    def _read_modules(self) -> Iterator[UserModule]:
        at = self._modules_at
        record = self._layout.module
        for index in range(min(self._module_count, MAX_MODULES)):
            try:
                base, size, length = record.unpack(self.view.slice(at, record.size))
                name = self.view.slice(at + record.size, min(length, MAX_NAME))
                self.view.charge(len(name))
            except FormatError as error:
                self.view.warn(error.identifier, f"module {index}: {error.message}")
                break
            yield UserModule(base, size, ansi_text(name))
            at += record.size + length
        else:
            index = min(self._module_count, MAX_MODULES)
            self._note_kept("modules", index, self._module_count)

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """Return the regions of the table, as VirtualQuery gave them."""
        chosen = self._layout.region_fields
        return tuple(Region(*(row[i] for i in chosen)) for row in self._region_rows())

    def _region_rows(self) -> Iterator[tuple[int, ...]]:
        record = self._layout.region
        room = max(0, self.view.size - self._regions_at) // record.size
        count = min(self._region_count, MAX_REGIONS, room)
        self._note_kept("regions", count, self._region_count)
        return record.iter_unpack(self.view.clipped(self._regions_at, count * record.size))

    @cached_property
    def memory(self) -> RangeMap:
        """Return the memory: what passes the end of the file is left out, with a warning."""
        base_at, _, _, size_at, *_ = self._layout.region_fields
        layer = Layer()
        offset, promised = self._memory_at, 0
        for row in self._region_rows():
            base, size = row[base_at], row[size_at]
            promised += size
            if size and offset < self.view.size:  # offsets past it may be no 64-bit numbers
                layer.append(base, size, offset)
            offset += size
        kept, _ = clipped(layer, self.view.size)
        have = sum(kept.sizes)
        if have < promised:
            self.view.warn(
                "dump.truncated", f"{promised - have:#x} bytes of memory pass the end of the file"
            )
        return RangeMap(self.view.buffer, [kept])

    @cached_property
    def event(self) -> UserEvent | None:
        """Return why the debuggee had stopped, ``None`` when the record is not in the file."""
        layout = self._layout
        data = self.view.clipped(self._event_at, layout.event.size + layout.exception.size)
        if not self._event_at or len(data) < layout.event.size + layout.exception.size:
            self.view.warn("dump.truncated", "the debug event is not in the file")
            return None
        kind, process, thread = layout.event.unpack_from(data)
        if kind != EXCEPTION_EVENT:
            return UserEvent(kind, process, thread, 0, 0, 0, 0, (), False)
        fields = layout.exception.unpack_from(data, layout.event.size)
        code, flags, record, address, count = fields[:5]
        parameters = fields[5 : 5 + min(count, MAX_PARAMETERS)]
        return UserEvent(
            kind, process, thread, code, flags, record, address, parameters, bool(fields[20])
        )

    @cached_property
    def version_text(self) -> dict[str, str]:
        """Return the named strings behind the memory: ``OS SP``, ``Hotfixes``."""
        data = self.view.clipped(self._version_at, MAX_VERSION_TEXT) if self._version_at else b""
        parts = data[: len(data) & ~1].decode("utf-16-le", "replace").split("\0\0")[0].split("\0")
        return {k.removeprefix("CRASH: "): v for k, v in zip(parts[::2], parts[1::2])}

    def _note_kept(self, what: str, kept: int, count: int) -> None:
        if kept < count:
            self.view.warn("dump.count-clamped", f"{kept} of {count} {what} are read")
