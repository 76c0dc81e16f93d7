"""``.debug_aranges``: which unit covers an address. Source: DWARF 5 section 6.1.2."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.reading import initial_length
from polydbg.formats.section import Section

_MAX_SETS = 1 << 22


def read_aranges(section: Section) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield for each set the offset of its unit in ``.debug_info`` and (start, end) of its code.

    Stops at the first set that is damaged: units without a set are asked themselves.
    """
    offset = 0
    for _ in range(_MAX_SETS):
        if offset >= section.size:
            return
        try:
            length, offset_size, header = initial_length(section.rest(offset, 12), 0, section.order)
            end = offset + header + length
            found = _read_set(section.window(offset, end - offset), header, offset_size)
        except FormatError:
            return
        if found is not None:
            yield found
        offset = end


def _read_set(
    section: Section, position: int, offset_size: int
) -> tuple[int, list[tuple[int, int]]] | None:
    version = section.number(position, 2)
    unit = section.number(position + 2, offset_size)
    position += 2 + offset_size
    address_size, segment_size = section.numbers(position, 2, 1)
    if version != 2 or segment_size or address_size not in (2, 4, 8):
        return None
    position += 2
    # Tuples are aligned to their size, counted from the start of the set.
    position += -position % (2 * address_size)
    count = max(section.size - position, 0) // (2 * address_size)
    numbers = section.numbers(position, 2 * count, address_size)
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return unit, [(start, start + size) for start, size in pairs if size]
