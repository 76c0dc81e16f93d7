"""Base relocations of a PE image: what the loader adds when an image is not at its own base.

Layout: PE format specification, "The .reloc Section": blocks of {page RVA u32, size u32} and
entries of 4 bits type, 12 bits offset; types 3 (HIGHLOW, 4 bytes) and 10 (DIR64, 8 bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

_PAGE = 0x1000
_MAX_BLOCKS = 1 << 18
_SIZES = {3: 4, 10: 8}


def block_index(
    read: Callable[[int, int], bytes], rva: int, size: int
) -> dict[int, tuple[int, int]]:
    """Return page RVA -> (RVA of the block's entries, their count); stops at the first bad block.

    *read* returns the bytes at an RVA, short or empty where there are none.
    """
    found: dict[int, tuple[int, int]] = {}
    at, end = rva, rva + size
    while at + 8 <= end and len(found) < _MAX_BLOCKS:
        head = read(at, 8)
        if len(head) < 8:
            break
        page, block = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        if block < 8 or block % 4 or at + block > end:
            break
        found.setdefault(page, (at + 8, min((block - 8) // 2, 2 * _PAGE)))
        at += block
    return found


def relocations_in(
    read: Callable[[int, int], bytes],
    blocks: dict[int, tuple[int, int]],
    rva: int,
    size: int,
) -> Iterator[tuple[int, int]]:
    """Yield (RVA, size) of every relocated field that touches ``[rva, rva + size)``."""
    first = (rva - 8) & ~(_PAGE - 1)
    for page in range(max(0, first), rva + size, _PAGE):
        if page not in blocks:
            continue
        entries_at, count = blocks[page]
        data = read(entries_at, 2 * count)
        for i in range(0, len(data) - 1, 2):
            entry = data[i] | data[i + 1] << 8
            width = _SIZES.get(entry >> 12)
            field = page + (entry & 0xFFF)
            if width and field < rva + size and field + width > rva:
                yield field, width
