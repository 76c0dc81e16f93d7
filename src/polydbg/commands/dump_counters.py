"""The two streams of counters as ``.dumpdebug`` lists them: labels, groups, hex or decimal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from polydbg.formats.minidump.system import VM_COUNTERS, ProcessVmCounters, SystemMemoryInfo

_HEX = frozenset(
    {
        "flags",
        "page_size",
        "lowest_physical_page_number",
        "highest_physical_page_number",
        "allocation_granularity",
        "minimum_user_mode_address",
        "maximum_user_mode_address",
        "active_processors_affinity_mask",
        "minimum_working_set",
        "maximum_working_set",
    }
)
_PROCESS, _JOB = VM_COUNTERS[:13], VM_COUNTERS[13:]


def counter_lines(found: SystemMemoryInfo) -> Iterator[str]:
    """Yield the lines of a SystemMemoryInfoStream."""
    yield _line("revision", found.revision, 2)
    yield _line("flags", found.flags, 2)
    performance = list(found.performance_counters.items())
    repeated = [pair for pair in performance if pair[0] == "commit_limit"]
    performance[11:11] = repeated  # the engine lists the limit behind the peak once more
    groups: tuple[tuple[str, Iterable[tuple[str, int]]], ...] = (
        ("BasicInfo", found.basic.items()),
        ("FileCacheInfo", found.file_cache.items()),
        ("BasicPerfInfo", found.basic_performance.items()),
        ("PerfInfo", performance),
    )
    for heading, pairs in groups:
        yield f"  {heading}"
        for name, value in pairs:
            yield _line(name, value, 4)


def vm_counter_lines(found: ProcessVmCounters) -> Iterator[str]:
    """Yield the lines of a ProcessVmCountersStream; counters of revision 2 that it says it does
    not have are 0."""
    yield _line("revision", found.revision, 2)
    yield "  Process Counters"
    yield _line("page_fault_count", found.page_fault_count, 4)
    yield from _sizes(found.counters, _PROCESS, found.revision)
    if found.revision >= 2:
        yield "  Job Counters"
        yield from _sizes(found.counters, _JOB, found.revision)


def _sizes(counters: Mapping[str, int], names: Iterable[str], revision: int) -> Iterator[str]:
    for name in names:
        if revision >= 2 or name in counters:
            yield _line(name, counters.get(name, 0), 4, is_hex=True)


def _line(name: str, value: int, indent: int, *, is_hex: bool = False) -> str:
    label = "".join(part.capitalize() for part in name.split("_")).replace("Repurpose", "RePurpose")
    shown = f"{value:#x}" if value and (is_hex or name in _HEX) else f"{value:,}"
    return f"{' ' * indent}{label:{44 - indent}}:{shown:>33}"
