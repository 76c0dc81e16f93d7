"""Skips runs of entries (DIEs) in large units by regular expressions made from the abbreviations.

An entry is its code and a length that the abbreviation tells, all but the lengths of blocks, text
and padded numbers; a run of entries is a repetition of such alternatives. The expressions never
take back what they matched (possessive repetition), so that a run needs no memory, and each
alternative begins with codes of its own, so that a run needs time in proportion to its length.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import abbrev
from polydbg.formats.dwarf.forms import step_over
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.dwarf.unit import Unit

#: Smaller units are passed over sooner than an expression is made.
_LARGE_UNIT = 256 << 10
#: Before this version, possessive repetitions of alternatives could match wrongly (gh-106052).
_IS_RELIABLE = sys.version_info >= (3, 11, 5)
_SAMPLE = 3000
_MAX_CODE = 0x3FFF
_MAX_ALTERNATIVES = 1024
_MAX_STEPS = 32
_MAX_BLOCK = 16
_BLOCK = b"(?:" + b"|".join(b"\\x%02x.{%d}" % (n, n) for n in range(_MAX_BLOCK + 1)) + b")"
_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_PIECES = {
    abbrev.STEP_LEB: _LEB,
    abbrev.STEP_BLOCK: _BLOCK,
    abbrev.STEP_STRING: rb"[^\x00]*+\x00",
}

Pattern = re.Pattern[bytes]


def run_of_entries(unit: Unit, stops: Iterable[int]) -> Pattern | None:
    """Return an expression that matches as many entries as follow one another, up to one whose
    abbreviation code is in *stops* or whose size is unusual; ``None`` where it is not worth it."""
    if not is_large(unit):
        return None
    codes = unit.layout.sizes.keys() - set(stops)
    return _compiled(b"|".join(_alternatives(unit, codes, _frequencies(unit))))


def run_of_subtrees(unit: Unit) -> Pattern | None:
    """Return an expression that matches entries without children, and those with children whose
    own have none that have any, each whole; ``None`` where it is not worth it."""
    if not is_large(unit):
        return None
    children, frequencies = unit.layout.children, _frequencies(unit)
    leaves = b"|".join(_alternatives(unit, [x for x, n in children.items() if not n], frequencies))
    parents = b"|".join(_alternatives(unit, [x for x, n in children.items() if n > 0], frequencies))
    inner = leaves
    for _ in range(2):
        inner = leaves + b"|(?:" + parents + b")(?:" + inner + rb")*+\x00"
    return _compiled(inner) if leaves and parents else None


def is_large(unit: Unit) -> bool:
    """Tell whether *unit* is one that the expressions are made for."""
    return _IS_RELIABLE and unit.header.end - unit.header.offset >= _LARGE_UNIT


def _compiled(alternatives: bytes) -> Pattern | None:
    return re.compile(b"(?s)(?:" + alternatives + b")*+") if alternatives else None


def _frequencies(unit: Unit) -> Counter[int]:
    """Return how often each code occurs among the first entries."""
    found: Counter[int] = Counter()
    data, layout, order = unit.data, unit.layout, unit.section.order
    position = unit.header.root - unit.header.offset
    try:
        for _ in range(_SAMPLE):
            code, position = uleb128(data, position)
            found[code] += 1
            size = layout.sizes[code]
            if size < 0:
                position = step_over(data, position, layout.steps[code], unit.encoding, order)
            else:
                position += size
    except (FormatError, KeyError):
        pass  # the unit ends, or is damaged here
    return found


def _alternatives(unit: Unit, codes: Iterable[int], frequencies: Counter[int]) -> list[bytes]:
    """Return the expressions for entries with these *codes*, the frequent ones first."""
    layout = unit.layout
    groups: dict[tuple[bytes, int], list[int]] = {}
    for code in codes:
        size = layout.sizes[code]
        rest = _expression((size,) if size >= 0 else layout.steps[code])
        if rest is not None and code <= _MAX_CODE:
            groups.setdefault((rest, code >> 7), []).append(code)
    ordered = sorted(groups.items(), key=lambda each: -sum(frequencies[x] for x in each[1]))
    return [
        _code_expression(members, high) + rest
        for (rest, high), members in ordered[:_MAX_ALTERNATIVES]
    ]


def _code_expression(codes: list[int], high: int) -> bytes:
    """Return the expression for codes of one byte, or of two bytes with this second one."""
    first = b"".join(b"\\x%02x" % (code & 0x7F | (0x80 if high else 0)) for code in codes)
    return b"[" + first + b"]" + (b"\\x%02x" % high if high else b"")


def _expression(steps: tuple[int, ...]) -> bytes | None:
    """Return the expression for what *steps* lead over, ``None`` where it would be too long."""
    if len(steps) > _MAX_STEPS:
        return None
    found = b""
    for step in steps:
        piece = b".{%d}" % step if step >= 0 else _PIECES.get(step)
        if piece is None:
            return None
        found += piece
    return found
