"""The calls that were inlined in a function. Source: DWARF 5 section 3.3.8."""

from __future__ import annotations

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.forms import step_over
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Die, Unit

_MAX_CALLS = 1 << 17


class InlinedCall(msgspec.Struct, frozen=True):
    """An inlined call: its entry at *offset*, how deep that lies, its code as (start, end).

    *call_file* is a number of the line table's files, *call_line* and *call_column* count from 1;
    0 is not known.
    """

    offset: int
    depth: int
    ranges: tuple[tuple[int, int], ...]
    call_file: int
    call_line: int
    call_column: int

    @property
    def start(self) -> int:
        """Return the lowest address of the inlined code."""
        return min(start for start, _ in self.ranges)


class InlinedCalls:
    """The calls inlined in one function, in the order of the file: those inlined in others follow
    these."""

    __slots__ = ("_code", "calls")

    def __init__(self, calls: list[InlinedCall]) -> None:
        self.calls = calls
        self._code = Intervals(
            (start, end, index) for index, call in enumerate(calls) for start, end in call.ranges
        )

    def chain_at(self, address: int) -> list[InlinedCall]:
        """Return the calls that cover *address*, outermost first."""
        found = sorted({self._code.values[rank] for rank in self._code.covering(address)})
        chain: list[InlinedCall] = []
        for index in found:
            call = self.calls[index]
            while chain and chain[-1].depth >= call.depth:
                chain.pop()
            chain.append(call)
        return chain


def inlined_calls(unit: Unit, function: int) -> list[InlinedCall]:
    """Return the calls inlined in the function whose entry is at offset *function*.

    :raises FormatError: where the entries stop making sense.
    """
    top = unit.die(function)
    if top is None or not top.has_children:
        return []
    data, start = unit.data, unit.header.offset
    children, sizes, steps = unit.layout.children, unit.layout.sizes, unit.layout.steps
    order = unit.section.order
    tags = {code: each.tag for code, each in unit.abbreviations.items()}
    found: list[InlinedCall] = []
    position, depth, end = top.after - start, 1, unit.header.end - start
    nested = 1 << 62  # deeper than this lies a function of its own
    try:
        while depth > 0 and position < end and len(found) < _MAX_CALLS:
            at = position
            code = data[position]
            position += 1
            if code >= 0x80:
                second = data[position]
                position += 1
                code = code & 0x7F | second << 7
                if second >= 0x80:
                    code, position = uleb128(data, at)
            if depth <= nested:
                nested = 1 << 62
                tag = tags[code] if code else 0
                if tag == c.TAG_INLINED_SUBROUTINE:
                    die = unit.die(start + at)
                    if die is not None:
                        found.extend(_call(die, depth))
                elif tag == c.TAG_SUBPROGRAM:
                    nested = depth
            depth += children[code]
            size = sizes[code]
            if size >= 0:
                position += size
            else:
                position = step_over(data, position, steps[code], unit.encoding, order)
    except (KeyError, IndexError):
        raise FormatError("unknown DWARF abbreviation", offset=start + position) from None
    return found


def _call(die: Die, depth: int) -> list[InlinedCall]:
    """Return the call that *die* stands for, none where it has no code left."""
    try:
        ranges = tuple(die.ranges())
    except FormatError:
        return []
    if not ranges:
        return []
    numbers = (die.number(name) or 0 for name in (c.AT_CALL_FILE, c.AT_CALL_LINE, c.AT_CALL_COLUMN))
    return [InlinedCall(die.offset, depth, ranges, *numbers)]
