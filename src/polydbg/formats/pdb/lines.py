"""C13 line information of one module: rows by address, files, first lines of inlined functions.

Source: LLVM "CodeView line tables", microsoft-pdb ``cvinfo.h`` (MIT). Blocks stay unparsed until
an address hits them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.places import Places
from polydbg.formats.pdb.reading import u32, unpack

_SUBSECTION = struct.Struct("<II")
_LINES_HEADER = struct.Struct("<IHHI")
_TABLE = struct.Struct("<IIIHHI")  # both headers
_PLACE = struct.Struct("<IH")
_BLOCK = struct.Struct("<III")
_ROW = struct.Struct("<II")
_COLUMN = struct.Struct("<HH")
_CHECKSUM = struct.Struct("<IBB")
_INLINEE = struct.Struct("<III")
_LINES = 0xF2
_CHECKSUMS = 0xF4
_INLINEES = 0xF6
_IMPORTS = 0xF7
_EXPORTS = 0xF8
_FLAG_COLUMNS = 1
#: Line numbers that mean "do not stop here": compiler-made code.
_HIDDEN = frozenset((0xFEEFEE, 0xF00F00))


class Row(msgspec.Struct, frozen=True):
    """A row: code from *key*, *size* bytes; *file* is an offset in the checksum table."""

    key: int
    size: int
    file: int
    line: int
    column: int


class _Table(msgspec.Struct, frozen=True):
    """The lines of one function (or contribution), rows unparsed."""

    key: int
    size: int
    flags: int
    position: int
    end: int


class ModuleLines:
    """The line information of one module, from the C13 part of its stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        tables: list[int] = []
        self._checksums = (0, 0)
        self._inlinee_parts: list[tuple[int, int]] = []
        self._inlinees: dict[int, tuple[int, int]] | None = None
        self._import_parts: list[tuple[int, int]] = []
        self._export_parts: list[tuple[int, int]] = []
        self._rows: dict[int, list[Row]] = {}
        position, end = 0, len(data)
        while position + 8 <= end:
            kind, size = _SUBSECTION.unpack_from(data, position)
            start = position + 8
            if start + size > end:
                break  # what stands before is still good
            if kind == _LINES:
                if size >= _LINES_HEADER.size:
                    offset, section = _PLACE.unpack_from(data, start)
                    tables.append(section << 64 | offset << 32 | position)
            elif kind == _CHECKSUMS:
                self._checksums = (start, start + size)
            elif kind == _INLINEES:
                self._inlinee_parts.append((start, start + size))
            elif kind == _IMPORTS:
                self._import_parts.append((start, start + size))
            elif kind == _EXPORTS:
                self._export_parts.append((start, start + size))
            position = start + ((size + 3) & ~3)
        self._tables = Places(tables)

    def row_at(self, key: int) -> Row | None:
        """Return the row that covers *key*."""
        index = self._tables.rank_above(key) - 1
        steps = 8  # folded functions have several tables at one address, some shorter
        while index >= 0 and steps:
            table = self._table(index)
            if key < table.key + table.size:
                break
            index -= 1
            steps -= 1
        if index < 0 or not steps:
            return None
        rows = self.rows(index)
        rank = bisect_right(rows, key, key=lambda row: row.key) - 1
        while rank >= 0 and rows[rank].line in _HIDDEN:
            rank -= 1
        return rows[rank] if rank >= 0 else None

    def rows(self, index: int) -> list[Row]:
        """Return the rows of the *index*-th table in address order (hidden lines are there)."""
        known = self._rows.get(index)
        if known is None:
            if len(self._rows) >= 256:
                self._rows.clear()
            known = self._rows[index] = self._parse(self._table(index))
        return known

    def _table(self, index: int) -> _Table:
        key, position = self._tables[index]
        _, size, _, _, flags, length = _TABLE.unpack_from(self._data, position)
        return _Table(key, length, flags, position + 20, position + 8 + size)

    def __len__(self) -> int:
        return len(self._tables)

    def _blocks(self, table: _Table) -> Iterator[tuple[int, int, int]]:
        """Yield (file, rows, position of the rows) of a table's blocks."""
        position = table.position
        while position + _BLOCK.size <= table.end:
            file, count, size = unpack(_BLOCK, self._data, position)
            width = 12 if table.flags & _FLAG_COLUMNS else 8
            if size < _BLOCK.size or count * width > size - _BLOCK.size:
                return
            if position + size > table.end:
                return
            yield file, count, position + _BLOCK.size
            position += size

    def _parse(self, table: _Table) -> list[Row]:
        data = self._data
        starts: list[tuple[int, int, int, int]] = []
        for file, count, position in self._blocks(table):
            columns = position + count * 8
            for number in range(count):
                offset, word = _ROW.unpack_from(data, position + number * 8)
                column = 0
                if table.flags & _FLAG_COLUMNS:
                    column = _COLUMN.unpack_from(data, columns + number * 4)[0]
                starts.append((offset, file, word & 0xFFFFFF, column))
        starts.sort(key=lambda start: start[0])
        rows = []
        for number, (offset, file, line, column) in enumerate(starts):
            after = starts[number + 1][0] if number + 1 < len(starts) else table.size
            rows.append(Row(table.key + offset, max(after - offset, 0), file, line, column))
        return rows

    def keys_of_line(self, files: frozenset[int], line: int) -> tuple[int, list[int]]:
        """Return the line nearest to *line* (not before it) that has code, and its addresses.

        *files* are offsets in the checksum table. Of a line that goes on in the next row only
        the first row counts. The line is 0 when there is none.
        """
        best, keys = 0, list[int]()
        for index in range(len(self._tables)):
            if not self._may_have(self._table(index), files, line, best):
                continue
            before = (0, 0)
            for row in self.rows(index):
                here = (row.file, row.line)
                if row.file in files and row.line >= line and row.line not in _HIDDEN:
                    if best == 0 or row.line < best:
                        best, keys = row.line, []
                    if row.line == best and here != before:
                        keys.append(row.key)
                before = here
        return best, keys

    def _may_have(self, table: _Table, files: frozenset[int], line: int, best: int) -> bool:
        """Tell whether a table has a line of the files from *line* up to *best* (0: any)."""
        for file, count, position in self._blocks(table):
            if file in files:
                words = struct.unpack_from(f"<{count * 2}I", self._data, position)
                if any(line <= word & 0xFFFFFF <= (best or 0xFFFFFF) for word in words[1::2]):
                    return True
        return False

    def file_name(self, file: int) -> int | None:
        """Return where the name of a file stands in ``/names``, by its checksum offset."""
        start, end = self._checksums
        if file < 0 or start + file + _CHECKSUM.size > end:
            return None
        return int(_CHECKSUM.unpack_from(self._data, start + file)[0])

    def checksum(self, file: int) -> tuple[int, bytes]:
        """Return the kind of a file's checksum and its bytes: 1 MD5, 2 SHA-1, 3 SHA-256, else 0."""
        start, end = self._checksums
        at = start + file
        if file < 0 or at + _CHECKSUM.size > end:
            return 0, b""
        _, size, kind = _CHECKSUM.unpack_from(self._data, at)
        value = self._data[at + _CHECKSUM.size : min(at + _CHECKSUM.size + size, end)]
        return (kind, value) if len(value) == size else (0, b"")

    def files(self) -> Iterator[tuple[int, int]]:
        """Yield (checksum offset, offset of the name in ``/names``) of every file."""
        start, end = self._checksums
        position = start
        while position + _CHECKSUM.size <= end:
            name, size, _ = _CHECKSUM.unpack_from(self._data, position)
            yield position - start, name
            position += (_CHECKSUM.size + size + 3) & ~3

    def inlinee(self, function_id: int) -> tuple[int, int] | None:
        """Return (checksum offset of the file, line) where an inlined function begins."""
        return self._all_inlinees().get(function_id)

    def inlinees_before(
        self, files: frozenset[int], line: int, count: int
    ) -> Iterator[tuple[int, ...]]:
        """Yield the ids of the inlined functions of *files* that begin at or before *line*:
        those of one first line together, the nearest first, *count* times at most."""
        ids: dict[int, list[int]] = {}
        for number, (file, begin) in self._all_inlinees().items():
            if file in files and begin <= line:
                ids.setdefault(begin, []).append(number)
        for begin in sorted(ids, reverse=True)[:count]:
            yield tuple(ids[begin])

    def _all_inlinees(self) -> dict[int, tuple[int, int]]:
        if self._inlinees is None:
            self._inlinees = {}
            for start, end in self._inlinee_parts:
                self._read_inlinees(start, end, self._inlinees)
        return self._inlinees

    def _read_inlinees(self, start: int, end: int, into: dict[int, tuple[int, int]]) -> None:
        if end - start < 4:
            return
        extended = int.from_bytes(self._data[start : start + 4], "little")
        if extended not in (0, 1):
            raise FormatError(f"inlinee lines have the unknown signature {extended}")
        position = start + 4
        while position + _INLINEE.size <= end:
            number, file, line = _INLINEE.unpack_from(self._data, position)
            into.setdefault(number, (file, line))
            position += _INLINEE.size
            if extended:
                if position + 4 > end:
                    return
                count = int.from_bytes(self._data[position : position + 4], "little")
                position += 4 + count * 4

    def imported(self, function_id: int) -> tuple[int, int] | None:
        """Return (name of the module in ``/names``, its local id) of an id from another module.

        Such ids have bit 31; then 11 bits are the module's place in the table of imports, 20 bits
        the place in its list (code that the linker generated: inlined across modules).
        """
        module, place = function_id >> 20 & 0x7FF, function_id & 0xFFFFF
        for position, end in self._import_parts:
            while position + 8 <= end:
                name, count = _SUBSECTION.unpack_from(self._data, position)
                if module == 0:
                    if place >= count or position + 12 + place * 4 > end:
                        return None
                    return name, u32(self._data, position + 8 + place * 4)
                module -= 1
                position += 8 + count * 4
        return None

    def exported(self, local_id: int) -> int | None:
        """Return the id in the id stream that this module exports as *local_id*."""
        for start, end in self._export_parts:
            for position in range(start, end - 7, 8):
                local, number = _SUBSECTION.unpack_from(self._data, position)
                if local == local_id:
                    return int(number)
        return None
