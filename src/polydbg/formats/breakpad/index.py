"""Where the records of one kind are, by the code they cover."""

from __future__ import annotations

import operator
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate, islice

_MAX_STEPS = 4096
_MAX_ALIASES = 256
_LAST = (1 << 64) - 1


class RecordIndex:
    """Records by start address: three arrays of equal length, ascending by start.

    *starts* and *sizes* are in bytes of code, *offsets* in bytes of the file. Ranges may overlap
    and nest. Of records with one start the widest comes first, so that going down from an address
    the innermost is met first; of equal ranges the one that the file has first.
    """

    def __init__(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Take (start, size, offset) in the order of the file; numbers of 64 bits at most."""
        self.starts = array("Q")
        self.sizes = array("Q")
        self.offsets = array("Q")
        for start, size, offset in rows:
            self.starts.append(start)
            self.sizes.append(size)
            self.offsets.append(offset)
        if not all(map(operator.lt, self.starts, islice(self.starts, 1, None))):
            self._sort()

    def _sort(self) -> None:
        starts, sizes, offsets = self.starts, self.sizes, self.offsets
        # Stable sorts, the last one counts most: tuples as keys take five times as long.
        order = sorted(range(len(starts) - 1, -1, -1), key=sizes.__getitem__, reverse=True)
        order.sort(key=starts.__getitem__)
        self.starts = array("Q", map(starts.__getitem__, order))
        self.sizes = array("Q", map(sizes.__getitem__, order))
        self.offsets = array("Q", map(offsets.__getitem__, order))

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def _reach(self) -> array[int]:
        """Return for each record the highest address that it or one before it covers, plus 1."""
        ends = map(operator.add, self.starts, self.sizes)
        return array("Q", (min(end, _LAST) for end in accumulate(ends, max)))

    def containing(self, address: int) -> int | None:
        """Return the innermost record whose range holds *address*."""
        index = bisect_right(self.starts, address) - 1
        if index < 0 or address < 0:
            return None
        if address - self.starts[index] < self.sizes[index]:
            return index
        for below in range(index - 1, max(-1, index - _MAX_STEPS), -1):
            if self._reach[below] <= address:
                return None
            if address - self.starts[below] < self.sizes[below]:
                return below
        return None

    def below(self, address: int) -> int | None:
        """Return the record with the highest start at or below *address*, the innermost one."""
        index = bisect_right(self.starts, address) - 1
        return index if index >= 0 else None

    def above(self, address: int) -> int | None:
        """Return the record with the lowest start above *address*, the innermost one."""
        index = bisect_right(self.starts, address)
        return self.below(self.starts[index]) if index < len(self.starts) else None

    def starting_at(self, address: int) -> Iterator[int]:
        """Yield the records that start at *address*, the innermost first, 256 at most."""
        end = bisect_right(self.starts, address)
        first = max(bisect_left(self.starts, address), end - _MAX_ALIASES)
        yield from range(end - 1, first - 1, -1)
