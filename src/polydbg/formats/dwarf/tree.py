"""The entries below one entry, in the order of the file. Source: DWARF 5 section 2.3."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.unit import Die

_MAX_ENTRIES = 1 << 18
_MAX_DEPTH = 256


def entries_below(top: Die, enters: Callable[[Die], bool]) -> Iterator[tuple[int, Die]]:
    """Yield the entries below *top* with their depths: 1 for its children, 2 for those of children
    that *enters* lets in, and so on.

    :raises FormatError: where the entries stop making sense.
    """
    if not top.has_children:
        return
    unit, offset, depth = top.unit, top.after, 1
    end = unit.header.end
    barred = _MAX_DEPTH  # what is deeper than this lies below an entry that is not entered
    for _ in range(_MAX_ENTRIES):
        if offset >= end or depth <= 0:
            return
        die = unit.die(offset)
        if die is None:
            depth -= 1
            offset += 1
            continue
        offset = die.after
        if depth <= barred:
            barred = _MAX_DEPTH
            yield depth, die
        if not die.has_children:
            continue
        if depth < barred and not enters(die):
            sibling = _sibling(die)
            if sibling:
                offset = sibling
                continue
            barred = depth
        depth += 1


def _sibling(die: Die) -> int:
    """Return where the entry behind *die* and all below it begins, 0 where that is not said."""
    found = die.attributes.get(c.AT_SIBLING)
    place = die.unit.reference(*found) if found is not None else None
    if place is None or place[0] is not die.unit:
        return 0
    return place[1] if place[1] > die.after else 0
