"""The minidump header, its directory of streams, and the names of flags and stream types.

Facts: MINIDUMP_HEADER, MINIDUMP_TYPE and MINIDUMP_STREAM_TYPE of Microsoft's documentation of
minidumpapiset.h; Breakpad's minidump_format.h, Crashpad's minidump_extensions.h and Mozilla's
minidump-common for the streams of their own.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.view import View

SIGNATURE = b"MDMP"
VERSION = 0xA793
HEADER_SIZE = 0x20
DIRECTORY_ENTRY_SIZE = 12
MAX_STREAMS = 65536

_HEADER = struct.Struct("<4s5IQ")
_ENTRY = struct.Struct("<III")

STREAM_NAMES: dict[int, str] = {
    0: "UnusedStream",
    1: "ReservedStream0",
    2: "ReservedStream1",
    3: "ThreadListStream",
    4: "ModuleListStream",
    5: "MemoryListStream",
    6: "ExceptionStream",
    7: "SystemInfoStream",
    8: "ThreadExListStream",
    9: "Memory64ListStream",
    10: "CommentStreamA",
    11: "CommentStreamW",
    12: "HandleDataStream",
    13: "FunctionTableStream",
    14: "UnloadedModuleListStream",
    15: "MiscInfoStream",
    16: "MemoryInfoListStream",
    17: "ThreadInfoListStream",
    18: "HandleOperationListStream",
    19: "TokenInformationStream",
    20: "JavaScriptDataStream",
    21: "SystemMemoryInfoStream",
    22: "ProcessVmCountersStream",
    23: "IptTraceStream",
    24: "ThreadNamesStream",
    0x8000: "ceStreamNull",
    0x8001: "ceStreamSystemInfo",
    0x8002: "ceStreamException",
    0x8003: "ceStreamModuleList",
    0x8004: "ceStreamProcessList",
    0x8005: "ceStreamThreadList",
    0x8006: "ceStreamThreadContextList",
    0x8007: "ceStreamThreadCallStackList",
    0x8008: "ceStreamMemoryVirtualList",
    0x8009: "ceStreamMemoryPhysicalList",
    0x800A: "ceStreamBucketParameters",
    0x800B: "ceStreamProcessModuleMap",
    0x800C: "ceStreamDiagnosisList",
    0xFFFF: "LastReservedStream",
    0x43500001: "CrashpadInfoStream",
    0x47670001: "BreakpadInfoStream",
    0x47670002: "BreakpadAssertionInfoStream",
    0x47670003: "LinuxCpuInfoStream",
    0x47670004: "LinuxProcStatusStream",
    0x47670005: "LinuxLsbReleaseStream",
    0x47670006: "LinuxCmdLineStream",
    0x47670007: "LinuxEnvironStream",
    0x47670008: "LinuxAuxvStream",
    0x47670009: "LinuxMapsStream",
    0x4767000A: "LinuxDsoDebugStream",
    0x4B6B0002: "ChromiumStabilityReportStream",
    0x4C4C4442: "LldbGeneratedStream",
    0x4D7A0001: "MozMacosCrashInfoStream",
    0x4D7A0002: "MozMacosBootargsStream",
    0x4D7A0003: "MozLinuxLimitsStream",
    0x4D7A0004: "MozSoftErrorsStream",
}

TYPE_FLAGS: dict[int, str] = {
    0x00000001: "MiniDumpWithDataSegs",
    0x00000002: "MiniDumpWithFullMemory",
    0x00000004: "MiniDumpWithHandleData",
    0x00000008: "MiniDumpFilterMemory",
    0x00000010: "MiniDumpScanMemory",
    0x00000020: "MiniDumpWithUnloadedModules",
    0x00000040: "MiniDumpWithIndirectlyReferencedMemory",
    0x00000080: "MiniDumpFilterModulePaths",
    0x00000100: "MiniDumpWithProcessThreadData",
    0x00000200: "MiniDumpWithPrivateReadWriteMemory",
    0x00000400: "MiniDumpWithoutOptionalData",
    0x00000800: "MiniDumpWithFullMemoryInfo",
    0x00001000: "MiniDumpWithThreadInfo",
    0x00002000: "MiniDumpWithCodeSegs",
    0x00004000: "MiniDumpWithoutAuxiliaryState",
    0x00008000: "MiniDumpWithFullAuxiliaryState",
    0x00010000: "MiniDumpWithPrivateWriteCopyMemory",
    0x00020000: "MiniDumpIgnoreInaccessibleMemory",
    0x00040000: "MiniDumpWithTokenInformation",
    0x00080000: "MiniDumpWithModuleHeaders",
    0x00100000: "MiniDumpFilterTriage",
    0x00200000: "MiniDumpWithAvxXStateContext",
    0x00400000: "MiniDumpWithIptTrace",
    0x00800000: "MiniDumpScanInaccessiblePartialPages",
    0x01000000: "MiniDumpFilterWriteCombinedMemory",
}

WITH_FULL_MEMORY = 0x2


class Header(msgspec.Struct, frozen=True):
    """*version* is the low word (0xA793), *writer_version* the high one; *timestamp* Unix s."""

    version: int
    writer_version: int
    stream_count: int
    directory_rva: int
    checksum: int
    timestamp: int
    flags: int

    @property
    def flag_names(self) -> tuple[str, ...]:
        """Return the MINIDUMP_TYPE names of the flags set, lowest bit first."""
        return tuple(name for bit, name in TYPE_FLAGS.items() if self.flags & bit)


class DirectoryEntry(msgspec.Struct, frozen=True):
    """One stream: *size* bytes at *rva*, as the file says (they may pass its end)."""

    index: int
    stream_type: int
    size: int
    rva: int

    @property
    def name(self) -> str:
        """Return the type's name, ``UnknownStream`` when it has none."""
        return STREAM_NAMES.get(self.stream_type, "UnknownStream")


def parse_header(view: View) -> Header:
    """Return the header.

    :raises FormatError: too short, or another signature (``dump.unknown-format``) or version
        (``dump.bad-version``).
    """
    if bytes(view.buffer[:4]) != SIGNATURE:
        raise FormatError("no MDMP signature", offset=0, identifier="dump.unknown-format")
    if view.size < HEADER_SIZE:
        raise FormatError(
            f"the header needs {HEADER_SIZE} bytes, the file has {view.size}",
            offset=0,
            identifier="dump.truncated",
            hint="the file was cut while it was written or copied",
        )
    fields = _HEADER.unpack(view.slice(0, HEADER_SIZE))
    _, version, count, directory, checksum, timestamp, flags = fields
    if version & 0xFFFF != VERSION:
        raise FormatError(
            f"minidump version is {version & 0xFFFF:#06x}, expected {VERSION:#06x}",
            offset=4,
            identifier="dump.bad-version",
            hint="the header is damaged, or the file only looks like a minidump",
        )
    return Header(version & 0xFFFF, version >> 16, count, directory, checksum, timestamp, flags)


def parse_directory(view: View, header: Header) -> tuple[DirectoryEntry, ...]:
    """Return the entries that lie in the file, with a warning when some do not.

    :raises FormatError: more than 65536 streams are claimed.
    """
    count = header.stream_count
    if count > MAX_STREAMS:
        raise FormatError(
            f"{count} streams are claimed, more than {MAX_STREAMS}",
            offset=8,
            identifier="dump.truncated",
            hint="the header is damaged",
        )
    data = view.clipped(header.directory_rva, count * DIRECTORY_ENTRY_SIZE)
    present = len(data) // DIRECTORY_ENTRY_SIZE
    if present < count:
        end = header.directory_rva + count * DIRECTORY_ENTRY_SIZE
        view.warn(
            "dump.truncated",
            f"directory: {present} of {count} entries are in the file"
            f" (needs {end:#x} bytes, has {view.size:#x})",
        )
    entries = _ENTRY.iter_unpack(data[: present * DIRECTORY_ENTRY_SIZE])
    return tuple(DirectoryEntry(i, kind, size, rva) for i, (kind, size, rva) in enumerate(entries))
