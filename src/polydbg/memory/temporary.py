"""Expanded bytes in a file without a name, which the system removes when it is closed, even when
we are killed."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable

from polydbg.memory.space import Buffer


def unpacked(blocks: Iterable[bytes]) -> Buffer:
    """Write *blocks* to a nameless temporary file and return it mapped.

    :raises OSError: no room in the folder of temporary files, or it cannot be written.
    """
    with tempfile.TemporaryFile(prefix="polydbg-") as stream:
        for block in blocks:
            if block.count(0) == len(block):
                stream.seek(len(block), os.SEEK_CUR)  # a hole in the file
            else:
                stream.write(block)
        size = stream.tell()
        stream.truncate(size)
        stream.flush()
        if not size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
