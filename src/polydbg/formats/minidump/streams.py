"""A minidump as a whole: finds each stream and decodes it when it is asked for, once.

A stream that is absent gives ``None`` or an empty answer. So does one whose fixed part is damaged,
with a warning; one that is cut gives what fits. Nothing but the header and the directory is read
on opening.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeVar

from polydbg.base.errors import FormatError
from polydbg.base.warnings import Warning
from polydbg.formats.minidump import foreign, process, system
from polydbg.formats.minidump import handles as handle_data
from polydbg.formats.minidump import memory as memory_data
from polydbg.formats.minidump.contexts import guess_architecture, parse_context
from polydbg.formats.minidump.header import (
    STREAM_NAMES,
    DirectoryEntry,
    parse_directory,
    parse_header,
)
from polydbg.formats.minidump.lists import Stream
from polydbg.formats.minidump.view import View, ansi_text, utf16_text
from polydbg.memory.ranges import Layer, RangeMap
from polydbg.memory.space import Buffer

T = TypeVar("T")

MAX_CONTEXT = 0x10000
MAX_COMMENT = 0x100000
_WIDE = frozenset({"amd64", "arm64", "ia64", "ppc64", "mips64", "riscv64"})


class Minidump:
    """The streams of one minidump in *buffer*.

    :raises FormatError: no minidump, of another version, or a header that makes no sense; see
        :func:`~polydbg.formats.minidump.header.parse_header`.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.view = View(buffer)
        self.header = parse_header(self.view)
        self.directory = parse_directory(self.view, self.header)
        self._first: dict[int, DirectoryEntry] = {}
        for entry in self.directory:
            self._first.setdefault(entry.stream_type, entry)
            if entry.stream_type not in STREAM_NAMES and entry.stream_type < 0x10000:
                self.view.warn(
                    "dump.unknown-stream",
                    f"Minidump contains unknown stream type {entry.stream_type:#x}",
                )

    @property
    def warnings(self) -> list[Warning]:
        """Return what was noticed so far, in order."""
        return self.view.warnings

    def stream(self, stream_type: int) -> Stream | None:
        """Return the first stream of a type, cut at the end of the file, or ``None``.

        A stream of which no byte is in the file counts as absent.
        """
        entry = self._first.get(stream_type)
        return self.locate(entry) if entry is not None else None

    def locate(self, entry: DirectoryEntry) -> Stream | None:
        """Return where the stream of a directory entry lies, as :meth:`stream` does."""
        size = max(0, min(entry.size, self.view.size - entry.rva))
        if size < entry.size:
            self.view.warn(
                "dump.truncated",
                f"{entry.name} (entry {entry.index}): needs {entry.rva + entry.size:#x} bytes,"
                f" the file has {self.view.size:#x}",
            )
            if not size:
                return None
        return Stream(entry.name, entry.rva, size, entry.size)

    def raw(self, stream_type: int) -> bytes | None:
        """Return the bytes of the first stream of a type, whatever they mean."""
        stream = self.stream(stream_type)
        return self.view.clipped(stream.rva, stream.size) if stream is not None else None

    def text(self, stream_type: int) -> str | None:
        """Return a stream that is text (/proc copies and the like); NULs stay in it."""
        data = self.raw(stream_type)
        return data.decode("utf-8", "replace") if data is not None else None

    def _parse(self, stream_type: int, parse: Callable[[View, Stream], T]) -> T | None:
        stream = self.stream(stream_type)
        if stream is None:
            return None
        try:
            return parse(self.view, stream)
        except FormatError as error:
            self.view.warn(error.identifier, error.message)
            return None

    # Threads, exception, modules

    @cached_property
    def threads(self) -> tuple[process.Thread, ...]:
        """Return ThreadListStream, or ThreadExListStream where there is only that."""
        found = self._parse(3, process.parse_threads)
        if found is None:
            found = self._parse(8, process.parse_threads_ex)
        return found or ()

    @cached_property
    def thread_details(self) -> Mapping[int, process.ThreadDetails]:
        """Return ThreadInfoListStream by thread id."""
        found: dict[int, process.ThreadDetails] = {}
        for item in self._parse(17, process.parse_thread_details) or ():
            found.setdefault(item.thread_id, item)
        return found

    @cached_property
    def thread_names(self) -> Mapping[int, str]:
        return self._parse(24, process.parse_thread_names) or {}

    @cached_property
    def exception(self) -> process.ExceptionInfo | None:
        return self._parse(6, process.parse_exception)

    @cached_property
    def modules(self) -> tuple[process.Module, ...]:
        return self._parse(4, process.parse_modules) or ()

    @cached_property
    def unloaded_modules(self) -> tuple[process.UnloadedModule, ...]:
        return self._parse(14, process.parse_unloaded_modules) or ()

    def codeview(self, module: process.Module) -> process.CodeView | None:
        """Return the CodeView record of a module, or ``None``."""
        return process.parse_codeview(self.view, module.codeview)

    def misc_record(self, module: process.Module) -> str | None:
        """Return the name of the ``.dbg`` file of a module, or ``None``."""
        return process.parse_misc_record(self.view, module.misc)

    # Contexts

    def context_bytes(self, location: process.Location) -> bytes:
        """Return a context record, cut at the end of the file and at 64 KiB."""
        if not location.rva:
            return b""
        data = self.view.clipped(location.rva, min(location.size, MAX_CONTEXT))
        if len(data) < min(location.size, MAX_CONTEXT):
            self.view.warn("dump.truncated", f"context at {location.rva:#x}: {len(data)} bytes")
        return data

    def registers(self, location: process.Location, arch: str | None = None) -> dict[str, int]:
        """Return the registers in a context record; ``{}`` when it is absent or of no kind."""
        data = self.context_bytes(location)
        if not data:
            return {}
        xstate = self.misc_info.xstate if self.misc_info is not None else None
        registers = parse_context(data, arch or self.arch, xstate)
        if not registers:
            self.view.warn(
                "dump.bad-context",
                f"context at {location.rva:#x} has no registers of {arch or self.arch}",
            )
        return registers

    # System

    @cached_property
    def system_info(self) -> system.SystemInfoRecord | None:
        return self._parse(7, system.parse_system_info)

    @cached_property
    def arch(self) -> str:
        """Return the architecture: SystemInfo's, else what the contexts look like."""
        if self.system_info is not None and self.system_info.arch != "unknown":
            return self.system_info.arch
        places = [thread.context for thread in self.threads[:16]]
        if self.exception is not None:
            places.insert(0, self.exception.context)
        for place in places:
            guess = guess_architecture(self.context_bytes(place))
            if guess is not None:
                return guess
        return "unknown"

    @property
    def pointer_size(self) -> int:
        return 8 if self.arch in _WIDE else 4

    @cached_property
    def misc_info(self) -> system.MiscInfo | None:
        return self._parse(15, system.parse_misc_info)

    @cached_property
    def system_memory(self) -> system.SystemMemoryInfo | None:
        return self._parse(21, system.parse_system_memory)

    @cached_property
    def vm_counters(self) -> system.ProcessVmCounters | None:
        return self._parse(22, system.parse_vm_counters)

    @cached_property
    def comments(self) -> tuple[str, ...]:
        """Return the comment streams' texts in directory order (first of each kind)."""
        kinds = [e.stream_type for e in self.directory if self._first[e.stream_type] is e]
        texts = [self.comment(kind) for kind in kinds if kind in (10, 11)]
        return tuple(text for text in texts if text)

    def comment(self, stream_type: int) -> str:
        """Return the text of CommentStreamA (10) or CommentStreamW (11), ``""`` without one."""
        data = (self.raw(stream_type) or b"")[:MAX_COMMENT]
        return ansi_text(data) if stream_type == 10 else utf16_text(data)

    # Memory

    @cached_property
    def memory_list(self) -> Layer:
        """Return MemoryListStream's (address, size, RVA) as the file has them."""
        return self._parse(5, memory_data.parse_memory_list) or Layer()

    @cached_property
    def memory64_list(self) -> memory_data.Memory64 | None:
        return self._parse(9, memory_data.parse_memory64_list)

    @cached_property
    def memory(self) -> RangeMap:
        """Return all memory in the dump: MemoryList, then Memory64List, then stacks, first wins."""
        return memory_data.build_map(self.view, self.memory_list, self.memory64_list, self.threads)

    @cached_property
    def regions(self) -> tuple[memory_data.Region, ...]:
        return self._parse(16, memory_data.parse_regions) or ()

    # Handles, tokens, unwind tables

    @cached_property
    def handles(self) -> tuple[handle_data.Handle, ...]:
        return self._parse(12, handle_data.parse_handles) or ()

    def object_information(
        self, handle: handle_data.Handle
    ) -> tuple[handle_data.ObjectInformation, ...]:
        """Return what is known of a handle's object beyond its names."""
        return handle_data.parse_object_information(self.view, handle)

    @cached_property
    def handle_operations(self) -> tuple[handle_data.HandleOperation, ...]:
        return self._parse(18, handle_data.parse_handle_operations) or ()

    @cached_property
    def tokens(self) -> tuple[handle_data.Token, ...]:
        return self._parse(19, handle_data.parse_tokens) or ()

    @cached_property
    def function_tables(self) -> tuple[handle_data.FunctionTable, ...]:
        return self._parse(13, handle_data.parse_function_tables) or ()

    # Other writers

    @cached_property
    def breakpad_info(self) -> foreign.BreakpadInfo | None:
        return self._parse(0x47670001, foreign.parse_breakpad_info)

    @cached_property
    def assertion(self) -> foreign.BreakpadAssertion | None:
        return self._parse(0x47670002, foreign.parse_assertion)

    @cached_property
    def crashpad_info(self) -> foreign.CrashpadInfo | None:
        return self._parse(0x43500001, foreign.parse_crashpad_info)

    @cached_property
    def dso_debug(self) -> foreign.DsoDebug | None:
        size = self.pointer_size
        return self._parse(0x4767000A, lambda v, s: foreign.parse_dso_debug(v, s, size))

    @cached_property
    def macos_crash_info(self) -> tuple[foreign.MacosCrashRecord, ...]:
        return self._parse(0x4D7A0001, foreign.parse_macos_crash_info) or ()

    @cached_property
    def boot_arguments(self) -> str | None:
        return self._parse(0x4D7A0002, foreign.parse_boot_arguments)

    @property
    def soft_errors(self) -> str | None:
        """Return what Mozilla's writer could not do, as JSON."""
        return self.text(0x4D7A0004)
