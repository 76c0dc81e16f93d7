"""``!address -summary``: the map added up by usage, type, state and protection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from polydbg.commands.address_text import (
    STATES,
    TYPES,
    map_address,
    protection_words,
    size_words,
)
from polydbg.commands.output import Heading, Hex, Item, ShownItem
from polydbg.engine.address_map import MEM_COMMIT, AddressMap, Region
from polydbg.engine.session import System

UNKNOWN = "<unknown>"


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


def summary_items(system: System, found: AddressMap) -> Iterator[Item]:
    """Yield the five tables."""
    wide = system.pointer_size
    regions = found.regions
    busy = [region for region in regions if not region.is_free]
    committed = [region for region in busy if region.state == MEM_COMMIT]
    tables: tuple[tuple[str, str, Iterable[Region], Callable[[Region], str]], ...] = (
        ("usage", "Usage Summary ----------------", regions, lambda r: r.usage.value),
        ("type", "Type Summary (for busy) ------", busy, lambda r: TYPES.get(r.type or 0, UNKNOWN)),
        ("state", "State Summary ----------------", regions, _state_name),
        ("protect", "Protect Summary (for commit) -", committed, _protect_name),
    )
    total = sum(region.size for region in regions)
    busy_total = sum(region.size for region in busy)
    for name, heading, chosen, key in tables:
        columns = "RgnCount ----------- Total Size -------- %ofBusy %ofTotal"
        yield Heading(value=f"\n--- {heading} {columns}")
        yield from _totals(name, chosen, key, busy_total, total, wide)
    columns = "Base Address -------- Region Size ----------"
    yield Heading(value=f"\n--- Largest Region by Usage ----------- {columns}")
    yield from _largest(regions, wide)


def _state_name(region: Region) -> str:
    return STATES.get(region.state or 0, UNKNOWN)


def _protect_name(region: Region) -> str:
    return protection_words(region.protect) or UNKNOWN


def _totals(
    table: str,
    regions: Iterable[Region],
    key: Callable[[Region], str],
    busy: int,
    total: int,
    pointer_size: int,
) -> Iterator[AddressTotal]:
    counts: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for region in regions:
        name = key(region)
        counts[name] = counts.get(name, 0) + 1
        sizes[name] = sizes.get(name, 0) + region.size
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)):
        size = sizes[name]
        of_total = 100 * size / total
        of_busy = None if name in ("Free", "MEM_FREE") else 100 * size / busy
        shown_busy = f"{of_busy:6.2f}%" if of_busy is not None else " " * 7
        yield AddressTotal(
            table=table,
            name=name,
            region_count=counts[name],
            size=size,
            busy_percent=None if of_busy is None else round(of_busy, 2),
            total_percent=round(of_total, 2),
            shown=f"{name:33} {counts[name]:9} {map_address(size, pointer_size):>17}"
            f" ({size_words(size)}) {shown_busy}  {of_total:6.2f}%",
        )


def _largest(regions: Iterable[Region], pointer_size: int) -> Iterator[LargestRegion]:
    """Yield the largest region of each usage, in the order of the usages' totals."""
    sizes: dict[str, int] = {}
    largest: dict[str, Region] = {}
    for region in regions:
        name = region.usage.value
        sizes[name] = sizes.get(name, 0) + region.size
        if name not in largest or region.size > largest[name].size:
            largest[name] = region
    for name in sorted(sizes, key=lambda each: (-sizes[each], each)):
        region = largest[name]
        base, size = (map_address(value, pointer_size) for value in (region.base, region.size))
        yield LargestRegion(
            usage=name,
            base=region.base,
            size=region.size,
            shown=f"{name:34} {base:>17} {size:>17} ({size_words(region.size)})",
        )
