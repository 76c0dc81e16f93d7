"""OMAP: address translation for images that a tool rearranged after the link (BBT).

A table is sorted pairs (RVA, RVA in the other image); 0 as the target means "not there".
"""

from __future__ import annotations

from bisect import bisect_right

from polydbg.formats.pdb.msf import Stream


class Omap:
    """One direction of the translation."""

    def __init__(self, stream: Stream) -> None:
        pairs = stream.u32_array(0, stream.size // 8 * 2)
        self._from, self._to = pairs[0::2], pairs[1::2]

    def translate(self, rva: int, *, nearest: bool) -> int | None:
        """Return the RVA in the other image.

        *nearest* takes code without a counterpart as a continuation of what lies before it, as
        the debugger does (SYMOPT_OMAP_FIND_NEAREST); else there is no answer for it.
        """
        index = bisect_right(self._from, rva) - 1
        if nearest:
            while index >= 0 and self._to[index] == 0:
                index -= 1
        if index < 0 or self._to[index] == 0:
            return None
        return (self._to[index] + rva - self._from[index]) & 0xFFFFFFFF
