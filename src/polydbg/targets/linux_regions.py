"""Linux's memory map in the numbers of ``VirtualQuery``, so that one map serves every system.

Facts: ``proc(5)`` for ``maps``, winnt.h for the numbers. Linux reserves no memory and knows no
allocation: the mappings of one file that lie one behind another count as one allocation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from polydbg.formats.procfs import Mapping
from polydbg.symbols.store.root_paths import DELETED
from polydbg.targets.target import MemoryRegion, RegionFile

_COMMIT = 0x1000
_PRIVATE, _MAPPED, _IMAGE = 0x20000, 0x40000, 0x1000000
_PROTECTION = {
    "": 0,  # not known
    "---": 0x01,
    "r--": 0x02,
    "rw-": 0x04,
    "-w-": 0x04,
    "--x": 0x10,
    "r-x": 0x20,
    "rwx": 0x40,
    "-wx": 0x40,
}


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
        path = mapping.path.removesuffix(DELETED)
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


def image_ends(mappings: Iterable[Mapping], recorded: dict[int, int]) -> dict[int, int]:
    """Return the true ends of images whose *recorded* end (by base) takes in none of their code:
    the mappings of the file go on behind the base without a gap, at offsets no further than the
    addresses.

    lldb's minidumps give the size of the first segment, which has only headers; other writers add
    up mappings.
    """
    ends: dict[int, int] = {}
    first: Mapping | None = None
    for mapping in mappings:
        if mapping.start in recorded:
            first = mapping if mapping.path else None
        elif first is None or not _is_of_image(mapping, first, ends[first.start]):
            first = None
        if first is None:
            continue
        if "x" in mapping.permissions and mapping.start < recorded[first.start]:
            ends.pop(first.start, None)
            first = None
        else:
            ends[first.start] = mapping.end
    return ends


def _is_of_image(mapping: Mapping, first: Mapping, end: int) -> bool:
    """Tell whether *mapping* continues the image that begins with *first* and reached to *end*.

    An archive holds one library behind another: the next one's offset is past its address.
    """
    at = mapping.offset - first.offset
    return (mapping.path, mapping.start) == (first.path, end) and (
        0 <= at <= mapping.start - first.start
    )


def _kind(mapping: Mapping, is_image: bool) -> int:
    if is_image:
        return _IMAGE
    is_file = bool(mapping.path) and not mapping.path.startswith("[")
    return _MAPPED if is_file or mapping.permissions.endswith("s") else _PRIVATE
