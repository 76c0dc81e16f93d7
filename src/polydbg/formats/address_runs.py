"""Symbols of a table by address: sorted runs, a chunk of the table each, that look-ups bisect.

A table is sorted in chunks, so that sorting needs little memory however long the table is.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class AddressRuns:
    """The symbols of a table by address; each run is (sorted addresses, index of each)."""

    def __init__(self, runs: Iterable[tuple[array[int], array[int]]]) -> None:
        self._runs = [run for run in runs if run[0]]

    def __len__(self) -> int:
        return sum(len(values) for values, _ in self._runs)

    def at(self, address: int) -> list[int]:
        """Return the indexes of the symbols exactly at *address*, in the order of the table."""
        found: list[int] = []
        for values, indexes in self._runs:
            start = bisect_left(values, address)
            found += indexes[start : bisect_right(values, address, start)]
        return found

    def at_or_below(self, address: int) -> int | None:
        """Return the highest address of a symbol that is not above *address*."""
        best = None
        for values, _ in self._runs:
            place = bisect_right(values, address)
            if place and (best is None or values[place - 1] > best):
                best = values[place - 1]
        return best

    def above(self, address: int) -> int | None:
        """Return the lowest address of a symbol above *address*."""
        best = None
        for values, _ in self._runs:
            place = bisect_right(values, address)
            if place < len(values) and (best is None or values[place] < best):
                best = values[place]
        return best
