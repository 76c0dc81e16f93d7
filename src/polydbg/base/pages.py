"""Memory of files that are mapped: giving it back after a pass over much of one."""

from __future__ import annotations

import mmap


def give_back(buffer: object, start: int, end: int) -> None:
    """Let go of the pages of a mapped file between two positions, so that a pass over a large file
    does not fill the memory.

    They stay in the system's cache of files and are read again when needed. Nothing happens where
    the host cannot do that, or *buffer* is no mapped file.
    """
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None or not isinstance(buffer, mmap.mmap):
        return
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    if first < end:
        buffer.madvise(advice, first, end - first)
