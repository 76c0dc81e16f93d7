"""The entries below one entry, in the order of the file. Source: DWARF 5 section 2.3."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.unit import Die, Unit

_MAX_ENTRIES = 1 << 18
_MAX_DEPTH = 256
_POLL_EVERY = 512
_FUNCTIONS = frozenset({c.TAG_SUBPROGRAM, c.TAG_INLINED_SUBROUTINE})


def entries_below(
    top: Die, enters: Callable[[Die], bool], poll: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Die]]:
    """Yield the entries below *top* with their depths: 1 for its children, 2 for those of children
    that *enters* lets in, and so on. *poll* is called every few milliseconds.

    :raises FormatError: where the entries stop making sense.
    """
    if not top.has_children:
        return
    unit, offset, depth = top.unit, top.after, 1
    end = unit.header.end
    barred = _MAX_DEPTH  # what is deeper than this lies below an entry that is not entered
    for count in range(_MAX_ENTRIES):
        if count % _POLL_EVERY == 0:
            poll()
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


def is_within_function(unit: Unit, offset: int, poll: Callable[[], None] = lambda: None) -> bool:
    """Tell whether the entry at *offset* lies in a function, or none begins there.

    :raises FormatError: where the entries before it stop making sense.
    """
    around = entries_around(unit, offset, poll)
    return around is None or any(die.tag in _FUNCTIONS for die in around)


def entries_around(
    unit: Unit, offset: int, poll: Callable[[], None] = lambda: None
) -> list[Die] | None:
    """Return the entries that the one at *offset* lies in, the unit's own left out, the innermost
    last; ``None`` where none begins there.

    :raises FormatError: where the entries before it stop making sense.
    """

    def leads_there(die: Die) -> bool:
        end = _sibling(die)
        return die.offset < offset and (not end or offset < end)

    opened: list[tuple[int, Die]] = []
    for depth, die in entries_below(unit.root, leads_there, poll):
        while opened and opened[-1][0] >= depth:
            opened.pop()
        if die.offset >= offset:
            return [each for _, each in opened] if die.offset == offset else None
        if die.has_children:
            opened.append((depth, die))
    return None
