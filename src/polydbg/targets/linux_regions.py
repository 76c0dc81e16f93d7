"""Linux's memory map in the numbers of ``VirtualQuery``, so that one map serves every system.

Facts: ``proc(5)`` for ``maps``, winnt.h for the numbers. Linux reserves no memory and knows no
allocation: the mappings of one file that lie one behind another count as one allocation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from polydbg.formats.procfs import Mapping
from polydbg.targets.target import MemoryRegion, RegionFile

_COMMIT = 0x1000
_PRIVATE, _MAPPED, _IMAGE = 0x20000, 0x40000, 0x1000000
_PROTECTION = {
    "---": 0x01,
    "r--": 0x02,
    "rw-": 0x04,
    "-w-": 0x04,
    "--x": 0x10,
    "r-x": 0x20,
    "rwx": 0x40,
    "-wx": 0x40,
}
_DELETED = " (deleted)"


def linux_regions(
    mappings: Iterable[Mapping], image_paths: frozenset[str]
) -> Iterator[MemoryRegion]:
    """Yield *mappings* as regions; files in *image_paths* count as images.

    Overlapping ones, which no kernel writes, are left out.
    """
    end = 0
    allocation: MemoryRegion | None = None
    for mapping in mappings:
        if mapping.start < end:
            continue
        path = mapping.path.removesuffix(_DELETED)
        protect = _PROTECTION.get(mapping.permissions[:3], 0x01)
        continues = (
            allocation is not None
            and allocation.file is not None
            and bool(mapping.path)
            and allocation.file.path == mapping.path
            and mapping.start == end
        )
        first = allocation if continues and allocation is not None else None
        region = MemoryRegion(
            base=mapping.start,
            allocation_base=first.base if first else mapping.start,
            allocation_protect=first.protect if first else protect,
            size=mapping.end - mapping.start,
            state=_COMMIT,
            protect=protect,
            type=_kind(mapping, path in image_paths),
            file=RegionFile(mapping.permissions, mapping.path, mapping.offset),
        )
        if first is None:
            allocation = region
        end = mapping.end
        yield region


def _kind(mapping: Mapping, is_image: bool) -> int:
    if is_image:
        return _IMAGE
    is_file = bool(mapping.path) and not mapping.path.startswith("[")
    return _MAPPED if is_file or mapping.permissions.endswith("s") else _PRIVATE
