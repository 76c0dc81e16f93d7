"""Lists of locations in every version and encoding; damaged ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.location_lists import expression_at
from polydbg.formats.dwarf.unit import Unit
from polydbg.testing.dwarf_builder import DwarfBuilder, Entry, uleb

BASE = 0x1000
SHAPES = [(big, size) for big in (False, True) for size in (4, 8)]
IDS = [f"{'big' if big else 'little'}-{size}" for big, size in SHAPES]


def unit_with(made: DwarfBuilder, *attributes: tuple[int, int, int | str | bytes]) -> Unit:
    code = Entry(c.TAG_COMPILE_UNIT, (c.AT_LOW_PC, c.FORM_ADDR, BASE), *attributes)
    made.unit(code)
    return next(iter(DwarfFile(made.debug_sections()).units()))


def old_entry(made: DwarfBuilder, start: int, end: int, expression: bytes) -> bytes:
    size = made.number(len(expression), 2)
    return made.address(start) + made.address(end) + size + expression


@pytest.mark.parametrize(("big", "size"), SHAPES, ids=IDS)
@pytest.mark.parametrize("version", [2, 3, 4])
def test_pairs(version: int, big: bool, size: int) -> None:
    made = DwarfBuilder(version, big=big, address_size=size)
    # Two views of gcc stand before the list, whose offset leads behind them.
    views = made.add(".debug_loc", b"\x01\x02\x00\x01")
    data = old_entry(made, 0, 0x10, b"\x50")
    data += old_entry(made, 0x10, 0x10, b"\x51")  # an empty range
    data += made.address(-1) + made.address(0x4000)
    data += old_entry(made, 8, 0x10, b"")
    data += old_entry(made, 0x10, 0x18, b"\x52") + made.address(0) + made.address(0)
    at = made.add(".debug_loc", data)
    unit = unit_with(made)
    assert (views, at) == (0, 4)
    form = c.FORM_SEC_OFFSET if version == 4 else c.FORM_DATA4
    found = {
        address: expression_at(unit, form, at, address)
        for address in (0xFFF, 0x1000, 0x100F, 0x1010, 0x4008, 0x4010, 0x4018)
    }
    assert found == {
        0xFFF: None,
        0x1000: b"\x50",
        0x100F: b"\x50",
        0x1010: None,
        0x4008: b"",
        0x4010: b"\x52",
        0x4018: None,
    }
    assert expression_at(unit, c.FORM_EXPRLOC, b"\x55", 0) == b"\x55"


def measured(expression: bytes) -> bytes:
    return uleb(len(expression)) + expression


ENTRIES: dict[str, Callable[[DwarfBuilder], bytes]] = {
    "offset-pair": lambda made: b"\x04" + uleb(0x10) + uleb(0x20) + measured(b"\x53"),
    "startx-endx": lambda made: b"\x02" + uleb(0) + uleb(1) + measured(b"\x53"),
    "startx-length": lambda made: b"\x03" + uleb(0) + uleb(0x10) + measured(b"\x53"),
    "basex": lambda made: b"\x01" + uleb(0) + b"\x04" + uleb(0) + uleb(16) + measured(b"\x53"),
    "base": lambda made: (
        b"\x06" + made.address(0x1010) + b"\x04" + uleb(0) + uleb(16) + measured(b"\x53")
    ),
    "start-end": lambda made: (
        b"\x07" + made.address(0x1010) + made.address(0x1020) + measured(b"\x53")
    ),
    "start-length": lambda made: b"\x08" + made.address(0x1010) + uleb(0x10) + measured(b"\x53"),
    "view": lambda made: (
        b"\x09" + uleb(1) + uleb(0) + b"\x04" + uleb(0x10) + uleb(0x20) + measured(b"\x53")
    ),
}


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("big", "size"), SHAPES, ids=IDS)
def test_kinds_of_version_5(kind: str, big: bool, size: int) -> None:
    made = DwarfBuilder(5, big=big, address_size=size)
    head = made.number(5, 2) + bytes([size, 0])
    made.add(".debug_addr", made.measured(head + made.address(0x1010) + made.address(0x1020)))
    table = made.number(1, 4) + made.offset(made.offset_size)  # one list, behind its own offset
    lists = b"\x05" + measured(b"\x5f") + ENTRIES[kind](made) + b"\0"
    made.add(".debug_loclists", made.measured(head + table + lists))
    unit = unit_with(
        made,
        (c.AT_ADDR_BASE, c.FORM_SEC_OFFSET, 8),
        (c.AT_LOCLISTS_BASE, c.FORM_SEC_OFFSET, 12),
    )
    for form, value in ((c.FORM_LOCLISTX, 0), (c.FORM_SEC_OFFSET, 16)):
        assert expression_at(unit, form, value, 0x1010) == b"\x53"
        assert expression_at(unit, form, value, 0x101F) == b"\x53"
        # Elsewhere the default holds.
        assert expression_at(unit, form, value, 0x1020) == b"\x5f"
        assert expression_at(unit, form, value, 0x100F) == b"\x5f"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x04", b"\x0a\0\0", b"\x07\0\0", b"\x05\xff\xff\xff\x7f", b"\x04\x01\x02", b"\x05\x00"],
    ids=lambda data: data.hex() or "nothing",
)
def test_damaged_list_of_version_5(data: bytes) -> None:
    made = DwarfBuilder(5)
    made.add(".debug_loclists", data)
    with pytest.raises(FormatError):
        expression_at(unit_with(made), c.FORM_SEC_OFFSET, 0, 0x1000)


def test_list_without_end() -> None:
    made = DwarfBuilder(5)
    made.add(".debug_loclists", b"\x04\0\0\0" * (1 << 17))
    with pytest.raises(FormatError, match="does not end"):
        expression_at(unit_with(made), c.FORM_SEC_OFFSET, 0, 0x1000)


@pytest.mark.parametrize("data", [b"", bytes(15), b"\1" * 20], ids=("none", "cut", "long"))
def test_damaged_pairs(data: bytes) -> None:
    made = DwarfBuilder(4)
    made.add(".debug_loc", data)
    with pytest.raises(FormatError):
        expression_at(unit_with(made), c.FORM_SEC_OFFSET, 0, 0x1000)
