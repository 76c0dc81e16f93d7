"""Endless recursion: the cycle of calls that a stack repeats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from polydbg.engine.analysis.model import Recursion
from polydbg.engine.stack import StackFrame

_LONGEST_CYCLE: Final = 32
_ENTRY: Final = 24
"""Frames above the cycle: what the deepest call did last, handlers of the fault."""
_MIN_REPEATS: Final = 5


def find_recursion(frames: Sequence[StackFrame], is_cut: bool) -> Recursion | None:
    """Return the shortest cycle that begins near the top and repeats, ``None`` without one.

    *is_cut*: the stack goes on.
    """
    names = [_name(row) for row in frames]
    for start in range(min(_ENTRY, len(names))):
        for length in range(1, min(_LONGEST_CYCLE, (len(names) - start) // _MIN_REPEATS) + 1):
            end = start + length
            while end < len(names) and names[end] == names[end - length]:
                end += 1
            repeats = (end - start) // length
            if repeats >= _MIN_REPEATS:
                cycle = tuple(names[start : start + length])
                return Recursion(cycle, repeats, end - start, is_cut and end == len(names))
    return None


def _name(row: StackFrame) -> str:
    """Return the function, else the place of the call: it is the same each time round."""
    return row.place.base_text if row.place.symbol else row.place.text
