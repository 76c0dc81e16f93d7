"""A sorted index from packed addresses to the offsets of records: one integer an entry."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

_LOW = 0xFFFFFFFF


class Places:
    """Record offsets (32 bits) by packed (section, offset) address.

    Records of one address keep the order of their offsets, so that the first is a stable choice.
    """

    def __init__(self, items: Iterable[int]) -> None:
        """Take ``address << 32 | offset`` in any order."""
        self._items = sorted(items)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, rank: int) -> tuple[int, int]:
        """Return (address, offset) of the entry of a rank."""
        item = self._items[rank]
        return item >> 32, item & _LOW

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield (address, offset) of every entry, by address."""
        return ((item >> 32, item & _LOW) for item in self._items)

    def rank_above(self, key: int) -> int:
        """Return the rank of the first entry above *key*."""
        return bisect_left(self._items, (key + 1) << 32)

    def below(self, key: int) -> tuple[int, int] | None:
        """Return (address, offset) of the first record at the nearest address at or below *key*."""
        rank = self.rank_above(key) - 1
        if rank < 0:
            return None
        found = self._items[rank] >> 32
        return self[bisect_left(self._items, found << 32)]

    def above(self, key: int) -> tuple[int, int] | None:
        """Return (address, offset) of the first record at the nearest address above *key*."""
        rank = self.rank_above(key)
        return self[rank] if rank < len(self._items) else None

    def starting_at(self, key: int) -> list[int]:
        """Return the offsets of the records at *key*."""
        first = bisect_left(self._items, key << 32)
        return [item & _LOW for item in self._items[first : self.rank_above(key)]]
