"""Linux's memory map in the numbers of ``VirtualQuery``, so that one map serves every system.

Facts: ``proc(5)`` for ``maps``, winnt.h for the numbers. Linux reserves no memory and knows no
allocation: the mappings of one file that lie one behind another count as one allocation.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf

from polydbg.formats.elf.constants import PF_R, PF_W, PF_X, PT_LOAD
from polydbg.formats.elf.core_records import FileMapping
from polydbg.formats.elf.header import ProgramHeader
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

_Piece = tuple[int, int, str, FileMapping | None]


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


def core_mappings(
    segments: Sequence[ProgramHeader],
    files: Sequence[FileMapping],
    marks: MappingOf[int, str],
) -> Iterator[Mapping]:
    """Yield the memory map of an ELF core, ascending: its segments with the files of *files* in
    them, and those files that no segment covers, whose permissions are not known. Where the files
    have permissions the note is the whole map.

    *marks* gives what holds an address the kernel's name, ``[stack]``. Whether a mapping is
    shared is not in a core: permissions have three letters.
    """
    pieces: list[_Piece]
    if any(each.permissions for each in files):
        pieces = [(each.start, each.end, each.permissions, each) for each in files]
    else:
        pieces = list(_segment_pieces(segments, files))
    pieces.sort(key=lambda piece: piece[0])
    places = sorted(address for address in marks if address)
    for start, end, permissions, file in pieces:
        path, offset = ("", 0) if file is None else (file.path, file.offset + start - file.start)
        if not path:
            first = bisect_left(places, start)
            path = marks[places[first]] if first < len(places) and places[first] < end else ""
        yield Mapping(start, end, permissions, offset, "", 0, path)


def _segment_pieces(
    segments: Sequence[ProgramHeader], files: Sequence[FileMapping]
) -> Iterator[_Piece]:
    ordered = sorted(files, key=lambda each: each.start)
    starts = [each.start for each in ordered]
    loads = sorted(
        (each.vaddr, each.end, _letters(each)) for each in segments if each.type == PT_LOAD
    )
    for start, end, letters in loads:
        position = start
        index = max(bisect_right(starts, start) - 1, 0)
        while position < end:
            while index < len(ordered) and ordered[index].end <= position:
                index += 1
            file = ordered[index] if index < len(ordered) else None
            if file is None or file.start >= end:
                yield position, end, letters, None
                break
            if file.start > position:
                yield position, file.start, letters, None
                position = file.start
            yield position, min(file.end, end), letters, file
            position = min(file.end, end)
    load_starts = [start for start, _, _ in loads]
    for file in ordered:
        index = bisect_right(load_starts, file.start) - 1
        if index < 0 or loads[index][1] <= file.start:
            following = load_starts[index + 1] if index + 1 < len(loads) else file.end
            yield file.start, min(file.end, following), "", file


def _letters(segment: ProgramHeader) -> str:
    flags = segment.flags
    return "".join(
        letter if flags & bit else "-" for letter, bit in (("r", PF_R), ("w", PF_W), ("x", PF_X))
    )
