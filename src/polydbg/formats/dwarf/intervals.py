"""Ranges of addresses that may overlap, as arrays: which of them cover an address."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

ADDRESS_LIMIT = 1 << 64


class Intervals:
    """(start, end, value) triples sorted by start; 32 bytes each.

    *ends* are the last addresses, *reaches* the highest of the ends so far.
    """

    __slots__ = ("ends", "reaches", "starts", "values")

    def __init__(self, triples: Iterable[tuple[int, int, int]]) -> None:
        """Keep the triples whose ends are addresses; *end* is the first byte behind."""
        ordered = sorted(each for each in triples if each[0] < each[1] <= ADDRESS_LIMIT)
        self.starts: Sequence[int] = array("Q", (start for start, _, _ in ordered))
        self.ends: Sequence[int] = array("Q", (end - 1 for _, end, _ in ordered))
        self.values: Sequence[int] = array("Q", (value for _, _, value in ordered))
        # How far anything up to here reaches: where a search may stop.
        self.reaches: Sequence[int] = array("Q", accumulate(self.ends, max))

    @classmethod
    def of(
        cls,
        starts: Sequence[int],
        ends: Sequence[int],
        values: Sequence[int],
        reaches: Sequence[int],
    ) -> Intervals:
        """Return the intervals that have these columns, as long as each other. Columns that are not
        sorted give wrong answers, nothing worse."""
        made = cls(())
        made.starts, made.ends, made.values, made.reaches = starts, ends, values, reaches
        return made

    def __len__(self) -> int:
        return len(self.starts)

    def covering(self, address: int) -> Iterator[int]:
        """Yield the ranks of the ranges that cover *address*, the one that begins last first."""
        rank = bisect_right(self.starts, address) - 1
        while rank >= 0 and self.reaches[rank] >= address:
            if self.ends[rank] >= address:
                yield rank
            rank -= 1

    def starting_at(self, address: int) -> range:
        """Return the ranks of the ranges that begin at *address*."""
        return range(bisect_left(self.starts, address), bisect_right(self.starts, address))

    def above(self, address: int) -> int | None:
        """Return the rank of the first range that begins above *address*."""
        rank = bisect_right(self.starts, address)
        return rank if rank < len(self.starts) else None
