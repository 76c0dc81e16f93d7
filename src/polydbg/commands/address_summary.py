"""``!address -summary``: the map added up by usage, type, state and protection."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.commands.address_text import (
    STATES,
    TYPES,
    map_address,
    protection_words,
    size_words,
)
from polydbg.commands.context import CommandContext
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.engine.address_map import MEM_COMMIT, MEM_FREE, AddressMap, Region

UNKNOWN = "<unknown>"
_POLL_EVERY = 0x1000
_Kind = tuple[str, int | None, int | None, int | None]
"""Usage, type, state and protection of a region."""
_TABLES = (
    ("usage", "Usage Summary ----------------"),
    ("type", "Type Summary (for busy) ------"),
    ("state", "State Summary ----------------"),
    ("protect", "Protect Summary (for commit) -"),
)


class AddressTotal(ShownItem, frozen=True):
    """A row of a summary. *table* is ``usage``, ``type``, ``state`` or ``protect``.

    *busy_percent* is of what is not free, ``null`` for what is free; *total_percent* of the map.
    """

    table: str
    name: str
    region_count: int
    size: Hex
    busy_percent: float | None
    total_percent: float


class LargestRegion(ShownItem, frozen=True):
    """The largest region of a usage."""

    usage: str
    base: Hex
    size: Hex


class _Sums:
    """Regions added up in one pass: there may be millions, but only few kinds of them."""

    def __init__(self) -> None:
        self._kinds: dict[_Kind, tuple[int, int]] = {}
        self.largest: dict[str, Region] = {}
        self.total = self.busy = 0

    def add(self, region: Region) -> None:
        usage, size = region.usage.value, region.size
        known = self.largest.get(usage)
        if known is None or size > known.size:
            self.largest[usage] = region
        self.total += size
        if not region.is_free:
            self.busy += size
        kind = (usage, region.type, region.state, region.protect)
        count, sizes = self._kinds.get(kind, (0, 0))
        self._kinds[kind] = count + 1, sizes + size

    def rows(self, table: str) -> list[tuple[str, int, int]]:
        """Return name, count and size of each row of a table, the largest first."""
        found: dict[str, tuple[int, int]] = {}
        for kind, (count, size) in self._kinds.items():
            name = _row_name(table, kind)
            if name:
                counts, sizes = found.get(name, (0, 0))
                found[name] = counts + count, sizes + size
        rows = [(name, count, size) for name, (count, size) in found.items()]
        return sorted(rows, key=lambda row: (-row[2], row[0]))


def _row_name(table: str, kind: _Kind) -> str:
    """Return where a table counts regions of a kind, ``""`` where it does not."""
    usage, of_type, state, protect = kind
    if table == "usage":
        return usage
    if table == "state":
        return STATES.get(state or 0, UNKNOWN)
    if table == "type":
        return "" if state == MEM_FREE else TYPES.get(of_type or 0, UNKNOWN)
    return (protection_words(protect) or UNKNOWN) if state == MEM_COMMIT else ""


def summary_items(ctx: CommandContext, found: AddressMap) -> Iterator[Item]:
    """Yield the five tables."""
    size = ctx.system.pointer_size
    sums = _Sums()
    for count, region in enumerate(found.regions):
        if count % _POLL_EVERY == 0:
            ctx.cancel.check()
        sums.add(region)
    columns = "RgnCount ----------- Total Size -------- %ofBusy %ofTotal"
    for table, heading in _TABLES:
        yield Heading(value=f"\n--- {heading} {columns}")
        yield from _totals(table, sums, size)
    columns = "Base Address -------- Region Size ----------"
    yield Heading(value=f"\n--- Largest Region by Usage ----------- {columns}")
    yield from _largest(sums, size)


def _totals(table: str, sums: _Sums, pointer_size: int) -> Iterator[AddressTotal]:
    for name, count, size in sums.rows(table):
        of_total = 100 * size / sums.total
        of_busy = None if name in ("Free", "MEM_FREE") else 100 * size / sums.busy
        shown_busy = f"{of_busy:6.2f}%" if of_busy is not None else " " * 7
        yield AddressTotal(
            table=table,
            name=name,
            region_count=count,
            size=size,
            busy_percent=None if of_busy is None else round(of_busy, 2),
            total_percent=round(of_total, 2),
            shown=f"{name:33} {count:9} {map_address(size, pointer_size):>17}"
            f" ({size_words(size)}) {shown_busy}  {of_total:6.2f}%",
        )


def _largest(sums: _Sums, pointer_size: int) -> Iterator[LargestRegion]:
    """Yield the largest region of each usage, in the order of the usages' totals."""
    for name, _, _ in sums.rows("usage"):
        region = sums.largest[name]
        base, size = (map_address(value, pointer_size) for value in (region.base, region.size))
        yield LargestRegion(
            usage=name,
            base=region.base,
            size=region.size,
            shown=f"{name:34} {base:>17} {size:>17} ({size_words(region.size)})",
        )
