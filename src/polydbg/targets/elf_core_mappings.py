"""The memory map of an ELF core, as Linux's ``maps`` would say it: from the segments and the note
of mapped files (``NT_FILE`` and its like)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf

from polydbg.formats.elf.constants import PF_R, PF_W, PF_X, PT_LOAD
from polydbg.formats.elf.core_records import FileMapping
from polydbg.formats.elf.header import ProgramHeader
from polydbg.formats.procfs import Mapping

_Piece = tuple[int, int, str, FileMapping | None]


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
