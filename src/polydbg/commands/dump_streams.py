"""A minidump described: its header and each stream with what it holds.

The one description behind ``.dumpdebug`` and ``polydbg check``. A stream is an item of its own, and
each thread, module and range in it another, so that a dump with millions of ranges streams. The
words are those of the engine; names of streams that it does not know are Breakpad's and others'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.base.text import address_text, sanitise_line
from polydbg.commands.dump_counters import counter_lines, vm_counter_lines
from polydbg.commands.output import Hex, Item, ShownItem
from polydbg.commands.target_info import PRODUCTS, SUITES
from polydbg.formats.minidump.header import STREAM_NAMES, TYPE_FLAGS, DirectoryEntry
from polydbg.formats.minidump.lists import Stream, counted, extended
from polydbg.formats.minidump.process import MAX_MODULES, MAX_THREADS, Module, UnloadedModule
from polydbg.formats.minidump.streams import Minidump

_PROCESSORS = {0: "INTEL", 1: "MIPS", 2: "ALPHA", 3: "PPC", 5: "ARM", 6: "IA64"} | {
    9: "AMD64",
    10: "IA32_ON_WIN64",
    12: "ARM64",
}
_PLATFORMS = {0: "VER_PLATFORM_WIN32s", 1: "VER_PLATFORM_WIN32_WINDOWS"} | {
    2: "VER_PLATFORM_WIN32_NT",
    3: "VER_PLATFORM_WIN32_CE",
}
_THREAD_SIZE, _THREAD_EX_SIZE, _MODULE_SIZE, _RESERVED = 0x30, 0x40, 0x6C, 0x5C


class DumpHeader(ShownItem, frozen=True):
    """The minidump's header; *flag_names* are the MINIDUMP_TYPE names of *flags*."""

    version: Hex
    writer_version: Hex
    stream_count: int
    directory_rva: Hex
    checksum: Hex
    timestamp: int
    flags: Hex
    flag_names: tuple[str, ...]


class DumpStream(ShownItem, frozen=True):
    """A stream of the directory. *present* counts its bytes in the file, at most *size*;
    *item_count* what it holds, ``null`` where it is no list; *facts* are its numbers by name."""

    index: int
    stream_type: int
    name: str
    size: Hex
    rva: Hex
    present: Hex
    item_count: int | None
    facts: dict[str, Hex]


class DumpThread(ShownItem, frozen=True):
    """A thread in the stream *stream*; its record lies at *rva*. *teb* only in thread lists."""

    stream: int
    rva: Hex
    id: Hex
    teb: Hex | None


class DumpModule(ShownItem, frozen=True):
    """A module, loaded or unloaded, in the stream *stream*."""

    stream: int
    rva: Hex
    base: Hex
    end: Hex
    path: str


class DumpRange(ShownItem, frozen=True):
    """*size* bytes of memory at *address* whose bytes begin at *rva* of the file."""

    stream: int
    number: int
    rva: Hex
    address: Hex
    size: Hex


class DumpHandle(ShownItem, frozen=True):
    """A handle in the stream *stream*."""

    stream: int
    handle: Hex
    type_name: str
    name: str


class DumpText(ShownItem, frozen=True):
    """A further line about the stream *stream*."""

    stream: int


def describe(dump: Minidump) -> Iterator[Item]:
    """Yield the header and every stream of the directory with its items."""
    yield _header(dump)
    seen: set[int] = set()
    for entry in dump.directory:
        yield from _Description(dump, entry, is_first=entry.stream_type not in seen).items()
        seen.add(entry.stream_type)


def _header(dump: Minidump) -> DumpHeader:
    header = dump.header
    bits = [(bit, name) for bit, name in TYPE_FLAGS.items() if header.flags & bit]
    lines = [
        "----- User Mini Dump Analysis",
        "",
        "MINIDUMP_HEADER:",
        f"Version         {header.version:04X} ({header.writer_version:X})",
        f"NumberOfStreams {header.stream_count}",
        f"Flags           {header.flags:X}",
        *(f"                {bit:04X} {name}" for bit, name in bits or [(0, "MiniDumpNormal")]),
        "",
        "Streams:",
    ]
    return DumpHeader(
        version=header.version,
        writer_version=header.writer_version,
        stream_count=header.stream_count,
        directory_rva=header.directory_rva,
        checksum=header.checksum,
        timestamp=header.timestamp,
        flags=header.flags,
        flag_names=header.flag_names,
        shown="\n".join(lines),
    )


class _Description:
    """One stream's items. Only the first stream of a type is read, as by the engine."""

    def __init__(self, dump: Minidump, entry: DirectoryEntry, *, is_first: bool) -> None:
        self.dump = dump
        self.is_first = is_first
        self.entry = entry
        self.index = entry.index
        self.located = dump.locate(entry) if entry.size else None
        self.pointer_size = dump.pointer_size

    def items(self) -> Iterator[Item]:
        kind = self.entry.stream_type
        describers: dict[int, Callable[[Stream], Iterator[Item]]] = {
            3: self._threads,
            4: self._modules,
            5: self._memory,
            6: self._exception,
            7: self._system,
            8: self._threads,
            9: self._memory64,
            10: self._comment,
            11: self._comment,
            12: self._handles,
            13: self._function_tables,
            14: self._unloaded,
            16: self._regions,
            17: self._thread_details,
            18: self._operations,
            19: self._tokens,
            21: self._system_memory,
            22: self._vm_counters,
            24: self._thread_names,
        }
        describe = describers.get(kind)
        if describe is None or self.located is None or not self.is_first:
            yield self._stream()
            if kind not in STREAM_NAMES and kind < 0x10000:
                text = f"Dir entry {self.index}, ??? stream has unknown stream type {kind}"
                yield self._line(text)
            return
        yield from describe(self.located)

    def _stream(
        self, *lines: str, count: int | None = None, facts: dict[str, int] | None = None
    ) -> DumpStream:
        entry = self.entry
        name = STREAM_NAMES.get(entry.stream_type, "???")
        heading = (
            f"Stream {entry.index}: type {name} ({entry.stream_type}),"
            f" size {entry.size:08X}, RVA {entry.rva:08X}"
        )
        return DumpStream(
            index=entry.index,
            stream_type=entry.stream_type,
            name=name,
            size=entry.size,
            rva=entry.rva,
            present=self.located.size if self.located is not None else 0,
            item_count=count,
            facts=facts or {},
            shown="\n".join([heading, *lines]),
        )

    def _line(self, text: str) -> DumpText:
        return DumpText(stream=self.index, shown=text)

    def _address(self, value: int) -> str:
        return address_text(value, self.pointer_size)

    def _threads(self, stream: Stream) -> Iterator[Item]:
        threads = self.dump.threads
        yield self._stream(f"  {len(threads)} threads", count=len(threads))
        size = _THREAD_SIZE if self.entry.stream_type == 3 else _THREAD_EX_SIZE
        entries = counted(self.dump.view, stream, size, MAX_THREADS)
        for at, thread in zip(entries.offsets(), threads):
            text = f"  RVA {at:08X}, ID {thread.id:X}, Teb:{thread.teb:016X}"
            yield DumpThread(stream=self.index, rva=at, id=thread.id, teb=thread.teb, shown=text)

    def _thread_details(self, stream: Stream) -> Iterator[Item]:
        details = self.dump.thread_details
        yield self._stream(count=len(details))
        if not details:
            return
        entries = extended(
            self.dump.view, stream, least_entry=0x40, wide_count=False, limit=MAX_THREADS
        )
        for at in entries.offsets():
            ident = self.dump.view.u32(at)
            text = f"  RVA {at:08X}, ID {ident:X}"
            yield DumpThread(stream=self.index, rva=at, id=ident, teb=None, shown=text)

    def _thread_names(self, stream: Stream) -> Iterator[Item]:
        names = self.dump.thread_names
        yield self._stream(f"  {len(names)} thread names", count=len(names))
        for ident, name in names.items():
            yield self._line(f"  ID {ident:X}, '{sanitise_line(name)}'")

    def _modules(self, stream: Stream) -> Iterator[Item]:
        modules = self.dump.modules
        yield self._stream(f"  {len(modules)} modules", count=len(modules))
        entries = counted(self.dump.view, stream, _MODULE_SIZE, MAX_MODULES)
        for at, module in zip(entries.offsets(), modules):
            reserved = self.dump.view.u32(at + _RESERVED)
            yield self._module(at, module, f", {reserved:x}")

    def _unloaded(self, stream: Stream) -> Iterator[Item]:
        modules = self.dump.unloaded_modules
        yield self._stream(f"  {len(modules)} unloaded modules", count=len(modules))
        entries = extended(
            self.dump.view, stream, least_entry=0x18, wide_count=False, limit=MAX_MODULES
        )
        for at, module in zip(entries.offsets(), modules):
            yield self._module(at, module, "")

    def _module(self, at: int, module: Module | UnloadedModule, tail: str) -> DumpModule:
        path, end = sanitise_line(module.name), module.base + module.size
        where = f"{self._address(module.base)} - {self._address(end)}"
        return DumpModule(
            stream=self.index,
            rva=at,
            base=module.base,
            end=end,
            path=path,
            shown=f"  RVA {at:08X}, {where}: '{path}'{tail}",
        )

    def _memory(self, stream: Stream) -> Iterator[Item]:
        ranges = self.dump.memory_list
        yield self._stream(
            f"  {len(ranges)} memory ranges", self._range_heading(), count=len(ranges)
        )
        yield from self._ranges(iter(ranges))
        yield self._line(f"  Total memory: {sum(ranges.sizes):x}")

    def _memory64(self, stream: Stream) -> Iterator[Item]:
        found = self.dump.memory64_list
        if found is None:
            yield self._stream()
            return
        yield self._stream(
            f"  {len(found)} memory ranges",
            f"  RVA 0x{found.base_rva:X} BaseRva",
            self._range_heading(),
            count=len(found),
            facts={"base_rva": found.base_rva},
        )

        def running() -> Iterator[tuple[int, int, int]]:
            at = found.base_rva
            for start, size in zip(found.starts, found.sizes):
                yield start, size, at
                at += size

        yield from self._ranges(running())
        yield self._line(f"  Total memory: {sum(found.sizes):x}")

    def _range_heading(self) -> str:
        gap = " " * (13 if self.pointer_size == 8 else 6)
        return f"  range#    RVA      Address{gap}Size"

    def _ranges(self, ranges: Iterator[tuple[int, int, int]]) -> Iterator[Item]:
        for number, (start, size, rva) in enumerate(ranges):
            text = f"{number:8} {rva:08X}    {self._address(start)}   {self._address(size)}"
            yield DumpRange(
                stream=self.index, number=number, rva=rva, address=start, size=size, shown=text
            )

    def _regions(self, stream: Stream) -> Iterator[Item]:
        yield self._stream(count=len(self.dump.regions))

    def _exception(self, stream: Stream) -> Iterator[Item]:
        found = self.dump.exception
        if found is None:
            yield self._stream()
            return
        yield self._stream(
            f"  ThreadID {found.thread_id}",
            f"  ExceptionCode {found.code:X}",
            f"  ExceptionRecord {found.record:x}",
            f"  ExceptionAddress {found.address:x}",
            f"  Context record RVA {found.context.rva:x}, size {found.context.size:x}",
            facts={
                "thread_id": found.thread_id,
                "code": found.code,
                "record": found.record,
                "address": found.address,
                "context_rva": found.context.rva,
                "context_size": found.context.size,
            },
        )

    def _system(self, stream: Stream) -> Iterator[Item]:
        found = self.dump.system_info
        if found is None:
            yield self._stream()
            return
        processor = f"PROCESSOR_ARCHITECTURE_{_PROCESSORS.get(found.processor_architecture, '???')}"
        platform = _PLATFORMS.get(found.platform_id, "UNKNOWN")
        text_rva = int.from_bytes(self.dump.view.clipped(stream.rva + 0x18, 4), "little")
        length = int.from_bytes(self.dump.view.clipped(text_rva, 4), "little") if text_rva else 0
        suites = " ".join(name for bit, name in SUITES.items() if found.suite_mask & bit)
        product = PRODUCTS.get(found.product_type, f"unknown <{found.product_type}>")
        rows = [
            ("ProcessorArchitecture", f"{found.processor_architecture:04X} ({processor})"),
            ("ProcessorLevel", f"{found.processor_level:04X}"),
            ("ProcessorRevision", f"{found.processor_revision:04X}"),
            ("NumberOfProcessors", f"{found.processor_count:02X}"),
            ("MajorVersion", f"{found.major:08X}"),
            ("MinorVersion", f"{found.minor:08X}"),
            ("BuildNumber", f"{found.build:08X} ({found.build})"),
            ("PlatformId", f"{found.platform_id:08X} ({platform})"),
            ("CSDVersionRva", f"{text_rva:08X}"),
        ]
        lines = [f"  {label:23} {value}" for label, value in rows]
        lines.append(f"{'':28}Length: {length}")
        if length:
            lines.append(f"{'':28}Buffer: {{'{sanitise_line(found.csd_version)}'}}")
        lines.append(f"  Product: {product}, suite: {suites or '<none>'}")
        yield self._stream(
            *lines,
            facts={
                "processor_architecture": found.processor_architecture,
                "processor_count": found.processor_count,
                "major": found.major,
                "minor": found.minor,
                "build": found.build,
                "platform_id": found.platform_id,
                "product_type": found.product_type,
                "suite_mask": found.suite_mask,
            },
        )

    def _comment(self, stream: Stream) -> Iterator[Item]:
        text = self.dump.comment(self.entry.stream_type)
        yield self._stream(f"  '{sanitise_line(text)}'")

    def _handles(self, stream: Stream) -> Iterator[Item]:
        view = self.dump.view
        header, entry = (
            int.from_bytes(view.clipped(stream.rva + at, 4), "little") for at in (0, 4)
        )
        handles = self.dump.handles
        yield self._stream(
            f"  {len(handles)} descriptors, header size is {header}, descriptor size is {entry}",
            count=len(handles),
        )
        for item in handles:
            kind, name = sanitise_line(item.type_name), sanitise_line(item.object_name)
            yield DumpHandle(
                stream=self.index,
                handle=item.handle,
                type_name=kind,
                name=name,
                shown=f'    Handle({item.handle:016X},"{kind}","{name}")',
            )

    def _function_tables(self, stream: Stream) -> Iterator[Item]:
        count = len(self.dump.function_tables)
        yield self._stream(f"  {count} function tables", count=count)

    def _operations(self, stream: Stream) -> Iterator[Item]:
        yield self._stream(count=len(self.dump.handle_operations))

    def _tokens(self, stream: Stream) -> Iterator[Item]:
        tokens = self.dump.tokens
        yield self._stream(f"  {len(tokens)} Tokens", count=len(tokens))
        for token in tokens:
            yield self._line(f"    Token {token.handle:x} for {token.token_id}")

    def _system_memory(self, stream: Stream) -> Iterator[Item]:
        found = self.dump.system_memory
        yield self._stream(*(counter_lines(found) if found is not None else ()))

    def _vm_counters(self, stream: Stream) -> Iterator[Item]:
        found = self.dump.vm_counters
        facts = dict(found.counters) if found is not None else {}
        yield self._stream(*(vm_counter_lines(found) if found is not None else ()), facts=facts)
