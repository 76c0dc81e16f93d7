"""Source lines to code: where the line tables of all units say that a line has code."""

from __future__ import annotations

from collections.abc import Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.line import LineTable
from polydbg.formats.dwarf.line_program import IS_STMT, Rows
from polydbg.formats.pdb.sources import last_component, path_matches
from polydbg.symbols.dwarf_units import CodeUnit, CodeUnits


def rvas_of_line(
    units: CodeUnits, base: int, path: str, line: int, cancel: CancelToken
) -> Sequence[int]:
    """Return the RVAs where the code of *line* begins, else of the next line that has code.

    Line tables list code inlined from a line under that line, wherever it was inlined.
    """
    best, found = 0, set[int]()
    for unit in units.all():
        cancel.check()
        try:
            files = _files(unit, path)
            table = unit.lines if files else None
        except FormatError:
            continue
        if table is None:
            continue
        here, addresses = _first_from(table, files, line, best)
        if here and here != best:
            best, found = here, set()
        found |= addresses
    return sorted(address - base for address in found if address >= base)


def _files(unit: CodeUnit, path: str) -> frozenset[int]:
    """Return the numbers of the files that *path* names."""
    header = unit.line_header
    if header is None:
        return frozenset()
    bare = last_component(path).lower()
    numbers = range(header.first_file, header.first_file + len(header.files))
    return frozenset(
        number
        for number, entry in zip(numbers, header.files, strict=True)
        if entry.name.lower().endswith(bare)
        and path_matches(header.path(number, unit.comp_dir), path)
    )


def _first_from(
    table: LineTable, files: frozenset[int], line: int, best: int
) -> tuple[int, set[int]]:
    """Return the first line of *files* from *line* up to *best* (0: any) with code, 0 for none,
    and where its code begins; rows that just continue one another count once."""
    best, starts = best or 1 << 32, set[int]()
    found = 0
    rows = table.table
    for first, last in table.rows():
        before = False
        for index in range(first, last):
            number = rows.lines[index]
            is_here = line <= number <= best and rows.files[index] in files
            if not is_here or not rows.flags[index] & IS_STMT:
                before = before and is_here and number == found
                continue
            if _is_replaced(rows, index, last):
                continue
            if number < best or not found:
                best, found, starts, before = number, number, set(), False
            if not before:
                starts.add(rows.addresses[index])
            before = True
    return found, starts


def _is_replaced(rows: Rows, index: int, last: int) -> bool:
    """Tell whether another line begins a statement at the same address: row *index* has no code."""
    address, line = rows.addresses[index], rows.lines[index]
    for other in range(index + 1, last):
        if rows.addresses[other] != address:
            return False
        if rows.flags[other] & IS_STMT and rows.lines[other] != line:
            return True
    return rows.addresses[last] == address
