"""Writes minidumps for tests, from a description of a few lines.

Shares no layout with the reader: what is written here follows the documentation a second time, so
that a mistake in one of the two shows. Everything is little-endian and packed to 4 bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SYSTEM_ARCH = {"x86": 0, "arm": 5, "amd64": 9, "arm64": 12}

AMD64_FULL = 0x10001F
AMD64_WITH_XSTATE = AMD64_FULL | 0x40


def u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def u32(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def u64(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little") for value in values)


def fxsave(registers: Mapping[str, int]) -> bytes:
    """Return an FXSAVE image of 512 bytes with the x87 and xmm registers given."""
    get = registers.get
    out = u16(get("fpcw", 0x27F), get("fpsw", 0)) + bytes([get("fptw", 0), 0]) + u16(0)
    out += u64(0, 0) + u32(get("mxcsr", 0x1F80), 0xFFFF)
    for index in range(8):
        out += get(f"st{index}", 0).to_bytes(10, "little") + bytes(6)
    for index in range(16):
        out += get(f"xmm{index}", 0).to_bytes(16, "little")
    return out.ljust(512, b"\0")


def amd64_context(flags: int = AMD64_FULL, **registers: int) -> bytes:
    """Return a CONTEXT of 0x4D0 bytes with the registers given by their lower-case names."""
    get = registers.get
    out = bytes(0x30) + u32(flags, get("mxcsr", 0x1F80))
    out += u16(get("cs", 0x33), get("ds", 0x2B), get("es", 0x2B))
    out += u16(get("fs", 0x53), get("gs", 0x2B), get("ss", 0x2B)) + u32(get("efl", 0x202))
    for name in ("dr0", "dr1", "dr2", "dr3", "dr6", "dr7", "rax", "rcx", "rdx", "rbx"):
        out += u64(get(name, 0))
    for name in ("rsp", "rbp", "rsi", "rdi"):
        out += u64(get(name, 0))
    for index in range(8, 16):
        out += u64(get(f"r{index}", 0))
    out += u64(get("rip", 0)) + fxsave(registers)
    return out.ljust(0x4D0, b"\0")


def amd64_context_with_ymm(
    high_halves: Sequence[int], *, compacted: bool = False, in_use: bool = True, **registers: int
) -> bytes:
    """Return a CONTEXT followed by CONTEXT_EX and an XSAVE area with the upper ymm halves."""
    context = amd64_context(AMD64_WITH_XSTATE, **registers)
    state = u64(0x7 if in_use else 0x3, (1 << 63 | 0x7) if compacted else 0).ljust(64, b"\0")
    for value in high_halves:
        state += value.to_bytes(16, "little")
    header = 0x20  # CONTEXT_EX of 24 bytes, padded
    chunks = u32(-0x4D0, 0x4D0 + header + len(state), -0x4D0, 0x4D0, header, len(state))
    return context + chunks.ljust(header, b"\0") + state


def x86_context(flags: int = 0x1003F, **registers: int) -> bytes:
    """Return an x86 CONTEXT of 0x2CC bytes."""
    get = registers.get
    out = u32(flags) + u32(*(get(f"dr{index}", 0) for index in (0, 1, 2, 3, 6, 7)))
    out += u32(get("fpcw", 0x27F), get("fpsw", 0), get("fptw", 0xFFFF), 0, 0, 0, 0)
    for index in range(8):
        out += get(f"st{index}", 0).to_bytes(10, "little")
    out += u32(0)
    names = "gs fs es ds edi esi ebx edx ecx eax ebp eip cs efl esp ss"
    out += u32(*(get(name, 0) for name in names.split()))
    return (out + fxsave(registers)).ljust(0x2CC, b"\0")


def arm64_context(flags: int = 0x400007, **registers: int) -> bytes:
    """Return an ARM64 CONTEXT of 0x390 bytes as Windows has it."""
    get = registers.get
    out = u32(flags, get("cpsr", 0))
    out += u64(*(get(f"x{index}", 0) for index in range(29)))
    out += u64(get("fp", 0), get("lr", 0), get("sp", 0), get("pc", 0))
    for index in range(32):
        out += get(f"v{index}", 0).to_bytes(16, "little")
    return (out + u32(get("fpcr", 0), get("fpsr", 0))).ljust(0x390, b"\0")


def arm_context(flags: int = 0x200007, **registers: int) -> bytes:
    """Return an ARM CONTEXT of 0x1A0 bytes as Windows has it."""
    get = registers.get
    out = u32(flags, *(get(f"r{index}", 0) for index in range(13)))
    out += u32(*(get(name, 0) for name in ("sp", "lr", "pc", "cpsr", "fpscr")), 0)
    for index in range(16):
        out += get(f"q{index}", 0).to_bytes(16, "little")
    return out.ljust(0x1A0, b"\0")


def rsds(guid: str, age: int, path: str) -> bytes:
    """Return a CodeView record of a PDB 7.0."""
    return b"RSDS" + uuid.UUID(guid).bytes_le + u32(age) + path.encode() + b"\0"


@dataclass
class _Thread:
    ident: int
    context: bytes
    teb: int
    stack: tuple[int, bytes] | None
    suspend: int
    priority_class: int
    priority: int


@dataclass
class _Module:
    base: int
    size: int
    name: str
    timestamp: int
    checksum: int
    codeview: bytes
    version: Sequence[int] | None


@dataclass
class MinidumpBuilder:
    """Collects what a dump holds; :meth:`build` returns the file.

    *padded_counts* puts 4 bytes after the counts of lists, as some writers do. *order* moves the
    streams of those types to the front of the directory.
    """

    arch: str = "amd64"
    flags: int = 0
    timestamp: int = 0x65000000
    version: int = 0xA0D7A793
    padded_counts: bool = False
    with_system_info: bool = True
    order: Sequence[int] = ()
    streams: list[tuple[int, bytes]] = field(default_factory=list)
    _file: bytearray = field(default_factory=lambda: bytearray(0x20))
    _threads: list[_Thread] = field(default_factory=list)
    _modules: list[_Module] = field(default_factory=list)
    _memory: list[tuple[int, bytes]] = field(default_factory=list)
    _memory64: list[tuple[int, bytes]] = field(default_factory=list)
    _names: list[tuple[int, str]] = field(default_factory=list)
    _unloaded: list[tuple[int, int, str, int, int]] = field(default_factory=list)
    _thread_info: list[bytes] = field(default_factory=list)
    _regions: list[bytes] = field(default_factory=list)
    _handles: list[bytes] = field(default_factory=list)
    _system: bytes | None = None

    # Pieces of the file

    def blob(self, data: bytes) -> int:
        """Put *data* into the file; return its RVA."""
        while len(self._file) % 4:
            self._file.append(0)
        rva = len(self._file)
        self._file += data
        return rva

    def string(self, text: str) -> int:
        """Put a MINIDUMP_STRING into the file; return its RVA."""
        data = text.encode("utf-16-le")
        return self.blob(u32(len(data)) + data + b"\0\0")

    def utf8(self, text: str) -> int:
        """Put a Crashpad string into the file; return its RVA."""
        data = text.encode()
        return self.blob(u32(len(data)) + data + b"\0")

    # What the dump holds

    def stream(self, stream_type: int, data: bytes) -> MinidumpBuilder:
        """Add a stream as it stands."""
        self.streams.append((stream_type, data))
        return self

    def system(
        self,
        *,
        major: int = 10,
        minor: int = 0,
        build: int = 19045,
        platform: int = 2,
        service_pack: str = "",
        processors: int = 4,
        product: int = 1,
        suite: int = 0x100,
        vendor: bytes = b"GenuineIntel",
    ) -> MinidumpBuilder:
        """Say what SystemInfo holds."""
        out = u16(SYSTEM_ARCH[self.arch], 6, 0x9E0A) + bytes([processors, product])
        out += u32(major, minor, build, platform, self.string(service_pack)) + u16(suite, 0)
        self._system = out + vendor.ljust(12, b"\0") + u32(0x906EA, 0xBFEBFBFF, 0)
        return self

    def thread(
        self,
        ident: int,
        context: bytes = b"",
        *,
        teb: int = 0,
        stack: tuple[int, bytes] | None = None,
        suspend: int = 0,
        priority_class: int = 0x20,
        priority: int = 0,
    ) -> MinidumpBuilder:
        """Add a thread; *stack* is (lowest address, bytes)."""
        self._threads.append(_Thread(ident, context, teb, stack, suspend, priority_class, priority))
        return self

    def thread_info(
        self,
        ident: int,
        *,
        flags: int = 0,
        exit_status: int = 0x103,
        times: tuple[int, int, int, int] = (0, 0, 0, 0),
        start: int = 0,
        affinity: int = 0xF,
        extra: bytes = b"",
    ) -> MinidumpBuilder:
        """Add a ThreadInfoList entry; all entries must have the same *extra* length."""
        entry = u32(ident, flags, 0, exit_status) + u64(*times, start, affinity) + extra
        self._thread_info.append(entry)
        return self

    def thread_name(self, ident: int, name: str) -> MinidumpBuilder:
        self._names.append((ident, name))
        return self

    def module(
        self,
        base: int,
        size: int,
        name: str,
        *,
        timestamp: int = 0,
        checksum: int = 0,
        codeview: bytes = b"",
        version: Sequence[int] | None = None,
    ) -> MinidumpBuilder:
        """Add a module; *version* is four numbers, *codeview* a record such as :func:`rsds`'s."""
        self._modules.append(_Module(base, size, name, timestamp, checksum, codeview, version))
        return self

    def unloaded(
        self, base: int, size: int, name: str, *, timestamp: int = 0, checksum: int = 0
    ) -> MinidumpBuilder:
        self._unloaded.append((base, size, name, timestamp, checksum))
        return self

    def memory(self, address: int, data: bytes) -> MinidumpBuilder:
        """Add a range to MemoryList."""
        self._memory.append((address, data))
        return self

    def memory64(self, address: int, data: bytes) -> MinidumpBuilder:
        """Add a range to Memory64List."""
        self._memory64.append((address, data))
        return self

    def region(
        self,
        base: int,
        size: int,
        *,
        state: int = 0x1000,
        protect: int = 4,
        kind: int = 0x20000,
        allocation: int | None = None,
    ) -> MinidumpBuilder:
        """Add a MemoryInfoList entry; *allocation* is the base of its allocation if not its own."""
        self._regions.append(
            u64(base, base if allocation is None else allocation)
            + u32(protect, 0)
            + u64(size)
            + u32(state, protect, kind, 0)
        )
        return self

    def handle(self, value: int, kind: str, name: str = "", *, info: int = 0) -> MinidumpBuilder:
        """Add a handle; *info* is the RVA of its object information."""
        names = u32(self.string(kind) if kind else 0, self.string(name) if name else 0)
        self._handles.append(u64(value) + names + u32(0, 0x1F0003, 2, 32769, info, 0))
        return self

    def exception(
        self,
        thread: int,
        code: int,
        address: int,
        parameters: Sequence[int] = (),
        *,
        context: bytes = b"",
        flags: int = 0,
        count: int | None = None,
    ) -> MinidumpBuilder:
        """Add the exception; *count* overrides the number of parameters stated."""
        values = [*parameters, *([0] * (15 - len(parameters)))]
        out = u32(thread, 0, code, flags) + u64(0, address)
        out += u32(len(parameters) if count is None else count, 0) + u64(*values)
        rva = self.blob(context) if context else 0
        return self.stream(6, out + u32(len(context), rva))

    def misc(
        self,
        *,
        process_id: int | None = None,
        create_time: int | None = None,
        user_time: int = 0,
        kernel_time: int = 0,
        build_string: str | None = None,
        time_zone: tuple[int, int, int, int] | None = None,
        xstate: Mapping[int, tuple[int, int]] | None = None,
    ) -> MinidumpBuilder:
        """Add MiscInfo as short as its contents allow.

        *time_zone* is (id, bias, standard bias, daylight bias); *xstate* maps a component to its
        offset and size.
        """
        flags = (process_id is not None) | (create_time is not None) << 1
        out = u32(process_id or 0, create_time or 0, user_time, kernel_time)
        size = 24
        if time_zone or build_string is not None or xstate:
            ident, bias, standard, daylight = time_zone or (0, 0, 0, 0)
            flags |= 0x40 if time_zone else 0
            out += bytes(0x38 - 0x18) + u32(ident, bias) + bytes(80) + u32(standard)
            out += bytes(80) + u32(daylight)
            size = 232
        if build_string is not None or xstate:
            flags |= 0x100 if build_string is not None else 0
            out += (build_string or "").encode("utf-16-le").ljust(520, b"\0") + bytes(80)
            size = 832
        if xstate:
            enabled = sum(1 << index for index in xstate) | 3
            out += u32(528, 0x340) + u64(enabled)
            for index in range(64):
                out += u32(*xstate.get(index, (0, 0)))
            out += u32(0)
            size = 1364
        return self.stream(15, u32(size, flags) + out)

    def comment(self, text: str, *, wide: bool = True) -> MinidumpBuilder:
        data = (text + "\0").encode("utf-16-le" if wide else "latin-1")
        return self.stream(11 if wide else 10, data)

    # The file

    def counted(self, entries: Sequence[bytes]) -> bytes:
        """Return a counted list."""
        return u32(len(entries)) + bytes(4 * self.padded_counts) + b"".join(entries)

    def extended(self, entries: Sequence[bytes], *, wide: bool = False, header: int = 0) -> bytes:
        """Return an "Ex" list; *header* is its header's size when it is not the usual one."""
        size = header or (16 if wide else 12)
        count = u64(len(entries)) if wide else u32(len(entries))
        head = u32(size, len(entries[0]) if entries else 0) + count
        return head.ljust(size, b"\0") + b"".join(entries)

    def build(self) -> bytes:
        """Return the file."""
        streams = list(self.streams)
        if self.with_system_info:
            if self._system is None:
                self.system()
            streams.append((7, self._system or b""))
        streams += self._lists()
        if self.order:
            streams.sort(key=lambda item: item[0] not in self.order)
        directory = b""
        for kind, data in streams:
            directory += u32(kind, len(data), self.blob(data))
        at = self.blob(directory)
        header = b"MDMP" + u32(self.version, len(streams), at, 0, self.timestamp) + u64(self.flags)
        self._file[:0x20] = header
        return bytes(self._file)

    def _lists(self) -> list[tuple[int, bytes]]:
        lists: list[tuple[int, bytes]] = []
        if self._threads:
            lists.append((3, self.counted([self._thread_entry(item) for item in self._threads])))
        if self._modules:
            lists.append((4, self.counted([self._module_entry(item) for item in self._modules])))
        if self._memory:
            entries = [
                u64(address) + u32(len(data), self.blob(data)) for address, data in self._memory
            ]
            lists.append((5, self.counted(entries)))
        if self._memory64:
            base = self.blob(b"".join(data for _, data in self._memory64))
            pairs = b"".join(u64(address, len(data)) for address, data in self._memory64)
            lists.append((9, u64(len(self._memory64), base) + pairs))
        if self._names:
            entries = [u32(ident) + u64(self.string(name)) for ident, name in self._names]
            lists.append((24, self.counted(entries)))
        if self._unloaded:
            entries = [
                u64(base) + u32(size, checksum, stamp, self.string(name))
                for base, size, name, stamp, checksum in self._unloaded
            ]
            lists.append((14, self.extended(entries)))
        if self._thread_info:
            lists.append((17, self.extended(self._thread_info)))
        if self._regions:
            lists.append((16, self.extended(self._regions, wide=True)))
        if self._handles:
            lists.append((12, self.extended(self._handles, header=16)))
        return lists

    def _thread_entry(self, item: _Thread) -> bytes:
        start, data = item.stack or (0, b"")
        stack = u32(len(data), self.blob(data)) if data else u32(0, 0)
        context = u32(len(item.context), self.blob(item.context)) if item.context else u32(0, 0)
        head = u32(item.ident, item.suspend, item.priority_class, item.priority)
        return head + u64(item.teb, start) + stack + context

    def _module_entry(self, item: _Module) -> bytes:
        out = u64(item.base) + u32(item.size, item.checksum, item.timestamp)
        out += u32(self.string(item.name))
        if item.version is None:
            out += bytes(52)
        else:
            high, low = (item.version[at] << 16 | item.version[at + 1] for at in (0, 2))
            out += u32(0xFEEF04BD, 0x10000, high, low, high, low, 0x3F, 0, 0x40004, 2, 0, 0, 0)
        codeview = u32(len(item.codeview), self.blob(item.codeview)) if item.codeview else u32(0, 0)
        return out + codeview + u32(0, 0) + u64(0, 0)
