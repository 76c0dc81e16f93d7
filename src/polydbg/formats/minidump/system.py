"""System and process facts: SystemInfo, MiscInfo 1 to 5, memory and counter streams.

Facts: MINIDUMP_SYSTEM_INFO, MINIDUMP_MISC_INFO_1..5, MINIDUMP_SYSTEM_MEMORY_INFO_1 and
MINIDUMP_PROCESS_VM_COUNTERS_1/2 of minidumpapiset.h; Breakpad's and rust-minidump's constants for
processors and platforms that Microsoft does not have.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.lists import Stream
from polydbg.formats.minidump.view import View, utf16_text

ARCHITECTURES: dict[int, str] = {
    0: "x86",
    1: "mips",
    3: "ppc",
    5: "arm",
    6: "ia64",
    9: "amd64",
    10: "x86",
    12: "arm64",
    13: "arm",
    0x8001: "sparc",
    0x8002: "ppc64",
    0x8003: "arm64",
    0x8004: "mips64",
    0x8005: "riscv32",
    0x8006: "riscv64",
}

PLATFORMS: dict[int, str] = {
    0: "windows",
    1: "windows",
    2: "windows",
    3: "windows-ce",
    0x8000: "unix",
    0x8101: "macos",
    0x8102: "ios",
    0x8201: "linux",
    0x8202: "solaris",
    0x8203: "android",
    0x8204: "ps3",
    0x8205: "nacl",
    0x8206: "fuchsia",
}

MISC_PROCESS_ID = 0x1
MISC_PROCESS_TIMES = 0x2
MISC_PROCESSOR_POWER = 0x4
MISC_INTEGRITY = 0x10
MISC_EXECUTE_FLAGS = 0x20
MISC_TIME_ZONE = 0x40
MISC_PROTECTED = 0x80
MISC_BUILD_STRING = 0x100
MISC_COOKIE = 0x200

_SYSTEM = struct.Struct("<HHHBBIIIIIHH24s")
_TIME_ZONE = struct.Struct("<i64s16si64s16si")
_BASIC = struct.Struct("<6I3QI")
_FILE_CACHE = struct.Struct("<QQIQQQQII")
_XSTATE_FEATURES = 64


class SystemInfoRecord(msgspec.Struct, frozen=True):
    """MINIDUMP_SYSTEM_INFO. The CPU fields are ``None`` where the processor has no CPUID."""

    processor_architecture: int
    processor_level: int
    processor_revision: int
    processor_count: int
    product_type: int
    major: int
    minor: int
    build: int
    platform_id: int
    csd_version: str
    suite_mask: int
    cpu: bytes

    @property
    def arch(self) -> str:
        """Return ``amd64``, ``x86``, ``arm64``, ... or ``unknown``."""
        return ARCHITECTURES.get(self.processor_architecture, "unknown")

    @property
    def platform(self) -> str:
        """Return ``windows``, ``linux``, ``macos``, ... or ``unknown``."""
        return PLATFORMS.get(self.platform_id, "unknown")

    @property
    def has_cpuid(self) -> bool:
        return self.arch in ("x86", "amd64")

    @property
    def cpu_vendor(self) -> str:
        """Return the CPUID vendor string (registers EBX, EDX, ECX as stored), or ``""``."""
        if not self.has_cpuid:
            return ""
        text = self.cpu[:12].split(b"\0", 1)[0].decode("latin-1")
        return text if text.isprintable() else ""

    @property
    def cpuid(self) -> tuple[int, int, int] | None:
        """Return CPUID.1 EAX, CPUID.1 EDX, and the AMD extended features."""
        if not self.has_cpuid:
            return None
        version, features, extended = struct.unpack_from("<III", self.cpu, 12)
        return version, features, extended


class SystemTime(msgspec.Struct, frozen=True):
    """SYSTEMTIME as a time-zone rule: *day* is the week of the month when *year* is 0."""

    year: int
    month: int
    day_of_week: int
    day: int
    hour: int
    minute: int
    second: int
    milliseconds: int


class TimeZone(msgspec.Struct, frozen=True):
    """TIME_ZONE_INFORMATION: UTC = local time + bias, in minutes. *ident* 1 standard, 2 summer."""

    ident: int
    bias: int
    standard_name: str
    standard_date: SystemTime
    standard_bias: int
    daylight_name: str
    daylight_date: SystemTime
    daylight_bias: int

    @property
    def current_bias(self) -> int:
        """Return the bias in force, minutes."""
        extra = {1: self.standard_bias, 2: self.daylight_bias}
        return self.bias + extra.get(self.ident, 0)


class ProcessorPower(msgspec.Struct, frozen=True):
    """Clock rates in MHz, and idle states."""

    max_mhz: int
    current_mhz: int
    limit_mhz: int
    max_idle_state: int
    current_idle_state: int


class XStateConfig(msgspec.Struct, frozen=True):
    """XSTATE_CONFIG_FEATURE_MSC_INFO: (offset, size) of each component in the XSAVE area."""

    context_size: int
    enabled: int
    features: tuple[tuple[int, int], ...]


class MiscInfo(msgspec.Struct, frozen=True):
    """MINIDUMP_MISC_INFO: fields that flags or size leave out are ``None``. Times are seconds."""

    size: int
    flags: int
    process_id: int | None = None
    create_time: int | None = None
    user_time: int | None = None
    kernel_time: int | None = None
    power: ProcessorPower | None = None
    integrity_level: int | None = None
    execute_flags: int | None = None
    protected_process: int | None = None
    time_zone: TimeZone | None = None
    build_string: str | None = None
    debug_build_string: str | None = None
    xstate: XStateConfig | None = None
    process_cookie: int | None = None


class SystemMemoryInfo(msgspec.Struct, frozen=True):
    """MINIDUMP_SYSTEM_MEMORY_INFO: *basic*, *file_cache* and *basic_performance* by name.

    *performance* is SYSTEM_PERFORMANCE_INFORMATION as stored (0x158 or 0x178 bytes).
    """

    revision: int
    flags: int
    basic: dict[str, int]
    file_cache: dict[str, int]
    basic_performance: dict[str, int]
    performance: bytes

    @property
    def performance_counters(self) -> dict[str, int]:
        """Return the counters in *performance* by name, none where it is cut short."""
        if len(self.performance) < _PERFORMANCE.size:
            return {}
        return dict(zip(_PERFORMANCE_NAMES, _PERFORMANCE.unpack_from(self.performance)))


class ProcessVmCounters(msgspec.Struct, frozen=True):
    """MINIDUMP_PROCESS_VM_COUNTERS: bytes by name; what the revision or flags lack is absent."""

    revision: int
    flags: int
    page_fault_count: int
    counters: dict[str, int]


def parse_system_info(view: View, stream: Stream) -> SystemInfoRecord:
    """Return the system information; the CPU part may be cut off.

    :raises FormatError: cut before the platform id.
    """
    data = view.clipped(stream.rva, min(stream.size, _SYSTEM.size))
    if len(data) < 0x18:
        raise FormatError(
            f"{stream.name}: {len(data)} of {_SYSTEM.size} bytes",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    fields = _SYSTEM.unpack(data.ljust(_SYSTEM.size, b"\0"))
    arch, level, revision, count, product, major, minor, build, platform, csd, suite, _, cpu = (
        fields
    )
    text = view.name_at(csd, "service pack")
    return SystemInfoRecord(
        arch, level, revision, count, product, major, minor, build, platform, text, suite, cpu
    )


def parse_misc_info(view: View, stream: Stream) -> MiscInfo:
    """Return the miscellaneous information of whatever version is there.

    :raises FormatError: below the 24 bytes of version 1.
    """
    data = view.clipped(stream.rva, stream.size)[:0x10000]
    if len(data) < 24:
        raise FormatError(f"{stream.name}: {len(data)} bytes, needs 24", offset=stream.rva)
    size, flags = struct.unpack_from("<II", data)
    if 24 <= size < len(data):
        data = data[:size]
    reader = _Fields(data, flags)
    times = reader.ints(MISC_PROCESS_TIMES, 0x0C, 3)
    power = reader.ints(MISC_PROCESSOR_POWER, 0x18, 5)
    return MiscInfo(
        size=len(data),
        flags=flags,
        process_id=reader.u32(MISC_PROCESS_ID, 0x08),
        create_time=times[0] if times else None,
        user_time=times[1] if times else None,
        kernel_time=times[2] if times else None,
        power=ProcessorPower(*power) if power else None,
        integrity_level=reader.u32(MISC_INTEGRITY, 0x2C),
        execute_flags=reader.u32(MISC_EXECUTE_FLAGS, 0x30),
        protected_process=reader.u32(MISC_PROTECTED, 0x34),
        time_zone=_time_zone(reader),
        build_string=reader.text(MISC_BUILD_STRING, 0xE8, 520),
        debug_build_string=reader.text(MISC_BUILD_STRING, 0x2F0, 80),
        xstate=_xstate(data),
        process_cookie=reader.u32(MISC_COOKIE, 0x550),
    )


class _Fields:
    """Fields at fixed offsets that are there if a flag says so and the record is long enough."""

    def __init__(self, data: bytes, flags: int) -> None:
        self.data = data
        self.flags = flags

    def raw(self, flag: int, offset: int, size: int) -> bytes | None:
        if not self.flags & flag or offset + size > len(self.data):
            return None
        return self.data[offset : offset + size]

    def ints(self, flag: int, offset: int, count: int) -> tuple[int, ...] | None:
        raw = self.raw(flag, offset, count * 4)
        return struct.unpack(f"<{count}I", raw) if raw is not None else None

    def u32(self, flag: int, offset: int) -> int | None:
        values = self.ints(flag, offset, 1)
        return values[0] if values else None

    def text(self, flag: int, offset: int, size: int) -> str | None:
        raw = self.raw(flag, offset, size)
        return utf16_text(raw) if raw is not None else None


def _time_zone(reader: _Fields) -> TimeZone | None:
    ident = reader.u32(MISC_TIME_ZONE, 0x38)
    raw = reader.raw(MISC_TIME_ZONE, 0x3C, _TIME_ZONE.size)
    if ident is None or raw is None:
        return None
    bias, standard, standard_date, standard_bias, daylight, daylight_date, daylight_bias = (
        _TIME_ZONE.unpack(raw)
    )
    return TimeZone(
        ident,
        bias,
        utf16_text(standard),
        SystemTime(*struct.unpack("<8H", standard_date)),
        standard_bias,
        utf16_text(daylight),
        SystemTime(*struct.unpack("<8H", daylight_date)),
        daylight_bias,
    )


def _xstate(data: bytes) -> XStateConfig | None:
    """Return XSTATE_CONFIG of version 5, which has no flag of its own: its size says."""
    at = 0x340
    if len(data) < at + 16 + _XSTATE_FEATURES * 8:
        return None
    size, context_size, enabled = struct.unpack_from("<IIQ", data, at)
    if size < 16 or not enabled:
        return None
    values = struct.unpack_from(f"<{2 * _XSTATE_FEATURES}I", data, at + 16)
    return XStateConfig(context_size, enabled, tuple(zip(values[::2], values[1::2])))


_BASIC_NAMES = (
    "timer_resolution",
    "page_size",
    "number_of_physical_pages",
    "lowest_physical_page_number",
    "highest_physical_page_number",
    "allocation_granularity",
    "minimum_user_mode_address",
    "maximum_user_mode_address",
    "active_processors_affinity_mask",
    "number_of_processors",
)
_FILE_CACHE_NAMES = (
    "current_size",
    "peak_size",
    "page_fault_count",
    "minimum_working_set",
    "maximum_working_set",
    "current_size_including_transition_in_pages",
    "peak_size_including_transition_in_pages",
    "transition_repurpose_count",
    "flags",
)
_BASIC_PERFORMANCE_NAMES = ("available_pages", "committed_pages", "commit_limit", "peak_commitment")


_PERFORMANCE_32 = (
    "page_fault_count copy_on_write_count transition_count cache_transition_count "
    "demand_zero_count page_read_count page_read_io_count cache_read_count cache_io_count "
    "dirty_pages_write_count dirty_write_io_count mapped_pages_write_count mapped_write_io_count "
    "paged_pool_pages non_paged_pool_pages paged_pool_allocs paged_pool_frees "
    "non_paged_pool_allocs non_paged_pool_frees free_system_ptes resident_system_code_page "
    "total_system_driver_pages total_system_code_pages non_paged_pool_lookaside_hits "
    "paged_pool_lookaside_hits available_paged_pool_pages resident_system_cache_page "
    "resident_paged_pool_page resident_system_driver_page cc_fast_read_no_wait cc_fast_read_wait "
    "cc_fast_read_resource_miss cc_fast_read_not_possible cc_fast_mdl_read_no_wait "
    "cc_fast_mdl_read_wait cc_fast_mdl_read_resource_miss cc_fast_mdl_read_not_possible "
    "cc_map_data_no_wait cc_map_data_wait cc_map_data_no_wait_miss cc_map_data_wait_miss "
    "cc_pin_mapped_data_count cc_pin_read_no_wait cc_pin_read_wait cc_pin_read_no_wait_miss "
    "cc_pin_read_wait_miss cc_copy_read_no_wait cc_copy_read_wait cc_copy_read_no_wait_miss "
    "cc_copy_read_wait_miss cc_mdl_read_no_wait cc_mdl_read_wait cc_mdl_read_no_wait_miss "
    "cc_mdl_read_wait_miss cc_read_ahead_ios cc_lazy_write_ios cc_lazy_write_pages "
    "cc_data_flushes cc_data_pages context_switches first_level_tb_fills second_level_tb_fills "
    "system_calls"
)
_PERFORMANCE_NAMES = (
    "idle_process_time",
    "io_read_transfer_count",
    "io_write_transfer_count",
    "io_other_transfer_count",
    "io_read_operation_count",
    "io_write_operation_count",
    "io_other_operation_count",
    "available_pages",
    "committed_pages",
    "commit_limit",
    "peak_commitment",
    *_PERFORMANCE_32.split(),
    "cc_total_dirty_pages",
    "cc_dirty_page_threshold",
    "resident_available_pages",
    "shared_committed_pages",
)
_PERFORMANCE = struct.Struct(f"<4Q7I{len(_PERFORMANCE_32.split())}I2QqQ")


def parse_system_memory(view: View, stream: Stream) -> SystemMemoryInfo:
    """Return the system's memory figures (0x1EC bytes, or 0x20C in revision 2).

    :raises FormatError: cut before the performance figures.
    """
    data = view.clipped(stream.rva, min(stream.size, 0x20C))
    if len(data) < 0x94:
        raise FormatError(f"{stream.name}: {len(data)} bytes, needs 0x94", offset=stream.rva)
    revision, flags = struct.unpack_from("<HH", data)
    return SystemMemoryInfo(
        revision,
        flags,
        dict(zip(_BASIC_NAMES, _BASIC.unpack_from(data, 4))),
        dict(zip(_FILE_CACHE_NAMES, _FILE_CACHE.unpack_from(data, 0x38))),
        dict(zip(_BASIC_PERFORMANCE_NAMES, struct.unpack_from("<4Q", data, 0x74))),
        data[0x94:],
    )


_COUNTERS_1 = (
    "peak_working_set_size",
    "working_set_size",
    "quota_peak_paged_pool_usage",
    "quota_paged_pool_usage",
    "quota_peak_non_paged_pool_usage",
    "quota_non_paged_pool_usage",
    "pagefile_usage",
    "peak_pagefile_usage",
    "private_usage",
)
VM_COUNTERS = (
    *_COUNTERS_1[:8],
    "peak_virtual_size",
    "virtual_size",
    "private_usage",
    "private_working_set_size",
    "shared_commit_usage",
    "job_shared_commit_usage",
    "job_private_commit_usage",
    "job_peak_private_commit_usage",
    "job_private_commit_limit",
    "job_total_commit_limit",
)
"""The counters of revision 2 in their order: 13 of the process, then those of its job."""
_COUNTER_FLAGS = {8: 0x2, 9: 0x2, 10: 0x4, 11: 0x8, 12: 0x8} | dict.fromkeys(range(13, 18), 0x10)


def parse_vm_counters(view: View, stream: Stream) -> ProcessVmCounters:
    """Return the process's counters of revision 1 (0x50 bytes) or 2 (0x98).

    :raises FormatError: shorter than its revision.
    """
    data = view.clipped(stream.rva, min(stream.size, 0x98))
    if len(data) < 0x50:
        raise FormatError(f"{stream.name}: {len(data)} bytes, needs 0x50", offset=stream.rva)
    revision, flags, faults = struct.unpack_from("<HHI", data)
    if revision < 2:
        values = struct.unpack_from("<9Q", data, 8)
        return ProcessVmCounters(revision, 0, faults, dict(zip(_COUNTERS_1, values)))
    count = (len(data) - 8) // 8
    values = struct.unpack_from(f"<{count}Q", data, 8)
    counters = {
        name: value
        for index, (name, value) in enumerate(zip(VM_COUNTERS, values))
        if not (need := _COUNTER_FLAGS.get(index, 0)) or flags & need
    }
    return ProcessVmCounters(revision, flags, faults, counters)
