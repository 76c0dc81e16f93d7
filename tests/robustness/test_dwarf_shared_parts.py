"""DWARF whose parts are used many times over, as no compiler does: the time it takes stays in
proportion to the file."""

from __future__ import annotations

import time

import pytest

from polydbg.base.errors import DebuggerError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.coverage import Coverage
from polydbg.formats.dwarf.functions import functions_of
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, uleb


@pytest.mark.parametrize("start", [0, 0x1000])
def test_functions_that_share_one_long_list_of_ranges(start: int) -> None:
    made = DwarfBuilder(4)
    pair = made.address(start) + made.address(-2)
    ranges = made.add(".debug_ranges", pair * 200_000 + made.address(0) * 2)
    parts = (c.AT_RANGES, c.FORM_SEC_OFFSET, ranges)
    functions = [
        Entry(c.TAG_SUBPROGRAM, (c.AT_NAME, c.FORM_STRING, f"f{index}"), parts)
        for index in range(200)
    ]
    made.unit(Entry(c.TAG_COMPILE_UNIT, parts, children=functions))
    started = time.process_time()
    functions_of(DwarfFile(made.debug_sections()).unit(0))
    assert time.process_time() - started < 5


def _units(made: DwarfBuilder, count: int, root: bytes, tables: list[int]) -> DwarfFile:
    for index in range(count):
        body = made.number(4, 2) + made.offset(tables[index]) + b"\x08"
        made.add(".debug_info", made.measured(body + uleb(index + 1) + root))
    return DwarfFile(made.debug_sections())


def test_units_that_share_one_long_list_of_ranges() -> None:
    made = DwarfBuilder(4)
    made.add(".debug_ranges", (made.address(1) + made.address(-2)) * 50_000 + made.address(0) * 2)
    code = b"\x11\0" + uleb(c.AT_RANGES) + uleb(c.FORM_SEC_OFFSET) + b"\0\0"
    made.add(".debug_abbrev", b"".join(uleb(each) + code for each in range(1, 2001)) + b"\0")
    file = _units(made, 2000, made.number(0, 4), [0] * 2000)
    started = time.process_time()
    assert list(Coverage(file, 1).units_at(0x1000))
    assert time.process_time() - started < 5


def test_tables_of_abbreviations_that_overlap() -> None:
    """Each begins within the one before, and has the unit's abbreviation at its end."""
    made = DwarfBuilder(4)
    count = 4000
    rows = [uleb(count + 1 - each) + b"\x11\0\x03\x08\0\0" for each in range(1, count + 1)]
    made.add(".debug_abbrev", b"".join(rows) + b"\0")
    starts = [sum(map(len, rows[:each])) for each in range(0, count, 2)]
    for start in starts:
        body = made.number(4, 2) + made.offset(start) + b"\x08\x01a\0"
        made.add(".debug_info", made.measured(body))
    file = DwarfFile(made.debug_sections())
    started = time.process_time()
    damaged = 0
    for unit in file.units():
        try:
            assert unit.root.tag == c.TAG_COMPILE_UNIT
        except DebuggerError:
            damaged += 1
    assert damaged
    assert time.process_time() - started < 5
