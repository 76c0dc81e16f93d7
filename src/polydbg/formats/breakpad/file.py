"""A Breakpad symbol file: lazy indexes of its records, and records by their place in the file.

Files of browsers have hundreds of megabytes, so nothing is read that no question needs: the first
question about names makes one pass for ``FUNC`` and one for ``PUBLIC`` that keeps only addresses
and places; lines and inlined calls are read for one function at a time. Records that cannot be
read are left out and counted.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cached_property

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.warnings import Warning
from polydbg.formats.breakpad.index import RecordIndex
from polydbg.formats.breakpad.records import (
    Inline,
    ModuleRecord,
    Row,
    WinRecord,
    parse_inline,
    parse_module,
    parse_rules,
    parse_win,
    text,
)
from polydbg.memory.space import Buffer

_HEX = rb"[0-9a-fA-F]{1,16}"
_REST = rb"[^\r\n]{1,16384}"
_FUNC = rb"FUNC (?:m )?(?:(%s) +(%s) +[0-9a-fA-F]+ +(?=[^ \r\n]))?" % (_HEX, _HEX)
_PUBLIC = rb"PUBLIC (?:m )?(?:(%s) +[0-9a-fA-F]+ +(?=[^ \r\n]))?" % _HEX
_INIT = rb"STACK CFI INIT (?:(%s) +(%s) )?" % (_HEX, _HEX)
_WIN = rb"STACK WIN (?:([0-9a-fA-F]) +(%s) +(%s) )?" % (_HEX, _HEX)
_NUMBER = re.compile(rb"\n(?:FILE|INLINE_ORIGIN) ([0-9]{1,10}) ")
_FUNC_NAME = re.compile(rb"FUNC (?:m )?%s +%s +[0-9a-fA-F]+ +(%s)" % (_HEX, _HEX, _REST))
_PUBLIC_NAME = re.compile(rb"PUBLIC (?:m )?%s +[0-9a-fA-F]+ +(%s)" % (_HEX, _REST))
_FILE_NAME = re.compile(rb"FILE [0-9]+ +(%s)" % _REST)
_ORIGIN_NAME = re.compile(rb"INLINE_ORIGIN [0-9]+ +(%s)" % _REST)
_OLD_ORIGIN_NAME = re.compile(rb"INLINE_ORIGIN [0-9]+ +(-?[0-9]{1,10}) +(%s)" % _REST)
_INIT_RULES = re.compile(rb"STACK CFI INIT %s +%s +([^\r\n]*)\r?\n?" % (_HEX, _HEX))
_DELTA = re.compile(rb"STACK CFI (%s) +([^\r\n]*)\r?\n?" % _HEX)
_LINE = re.compile(rb"[^\r\n]{0,65536}")
_NEWLINE = re.compile(rb"\n")
_INLINE_LINE = re.compile(rb"\nINLINE [^\r\n]{1,65536}")
_CODE_ID = re.compile(rb"INFO +CODE_ID +([0-9A-Fa-f]{1,64})")
_BODY_END = re.compile(rb"\n(?:FUNC|PUBLIC|STACK|FILE|INFO|MODULE|INLINE_ORIGIN) ")
_BODY_LINE = re.compile(rb"[^\r\n]+")
_ROW = re.compile(rb"(%s) +(%s) +([0-9]{1,10}) +([0-9]{1,10}) *" % (_HEX, _HEX))
_LAST_ROW = re.compile(rb"\n(%s) +(%s) +([0-9]{1,10}) +[0-9]{1,10}\Z" % (_HEX, _HEX))
_ROW_HEAD_SIZE = 64
_KNOWN = re.compile(rb"(?:MODULE|INFO|FILE|FUNC|PUBLIC|INLINE_ORIGIN|STACK (?:CFI|WIN)) ")
_HIDDEN = frozenset((0xFEEFEE, 0xF00F00))
_MAX_INFO_LINES = 64
_MAX_PIECES = 256
_MAX_BODY = 2 << 20
_MAX_DELTAS = 20_000
_MAX_FILES_OF_A_NAME = 256
_PIECE = 1 << 20  # bytes that are searched between two polls: 25 ms at the slowest

Poll = Callable[[], None]


class Body(msgspec.Struct, frozen=True):
    """The lines of one function, ascending, and its inlined calls in the order of the file."""

    rows: tuple[Row, ...]
    inlines: tuple[Inline, ...]


class BreakpadFile:
    """The records of one symbol file in *data*. Nothing but its first lines is read at once."""

    def __init__(self, data: Buffer) -> None:
        """Read the header.

        A file without ``MODULE`` that begins with another record is a fragment, as some tools keep
        (only ``STACK CFI``, for instance): *module* is then ``None``.

        :raises FormatError: ``breakpad.not-a-symbol-file``.
        """
        self._data = data
        self._damaged = 0
        first = _match(_LINE, data, 0)
        self.module: ModuleRecord | None = parse_module(first)
        if self.module is None and not _KNOWN.match(first):
            raise FormatError(
                "not a Breakpad symbol file: it does not begin with a MODULE record",
                offset=0,
                identifier="breakpad.not-a-symbol-file",
            )
        self.code_id = _code_id(data)

    @property
    def warnings(self) -> tuple[Warning, ...]:
        """Return one warning that counts the records left out so far."""
        if not self._damaged:
            return ()
        words = "record is" if self._damaged == 1 else "records are"
        return (Warning("breakpad.records", f"{self._damaged} {words} damaged and left out"),)

    # -- indexes -------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> RecordIndex:
        """Return where the ``FUNC`` records are, by the code they cover."""
        return RecordIndex(
            (int(match[1], 16), int(match[2], 16), offset) for match, offset in self._scan(_FUNC)
        )

    @cached_property
    def publics(self) -> RecordIndex:
        """Return where the ``PUBLIC`` records are, by address; their sizes are 0."""
        return RecordIndex((int(match[1], 16), 0, offset) for match, offset in self._scan(_PUBLIC))

    @cached_property
    def _call_frames(self) -> RecordIndex:
        return RecordIndex(
            (int(match[1], 16), int(match[2], 16), offset) for match, offset in self._scan(_INIT)
        )

    @cached_property
    def _win_frames(self) -> dict[bytes, RecordIndex]:
        """Return where the ``STACK WIN`` records of types 4 and 0 are."""
        rows: dict[bytes, list[tuple[int, int, int]]] = {b"4": [], b"0": []}
        for match, offset in self._scan(_WIN):
            if match[1] in rows:
                rows[match[1]].append((int(match[2], 16), int(match[3], 16), offset))
        return {kind: RecordIndex(each) for kind, each in rows.items()}

    @cached_property
    def _files(self) -> array[int]:
        return array("Q", (match.start() for match in re.finditer(rb"\nFILE ", self._data)))

    @cached_property
    def _origins(self) -> array[int]:
        matches = re.finditer(rb"\nINLINE_ORIGIN ", self._data)
        return array("Q", (match.start() for match in matches))

    def _numbered(self, kind: bytes, number: int) -> int | None:
        """Return where the record *number* of *kind* (``FILE``, ``INLINE_ORIGIN``) is.

        Writers number them upwards, so that a few are read on the way; should the file not, all
        are read once.
        """
        offsets = self._files if kind == b"FILE" else self._origins
        index = bisect_left(offsets, number, key=self._number_at)
        if index < len(offsets) and self._number_at(offsets[index]) == number:
            return offsets[index] + 1
        if number >> 64:
            return None
        ordered = self._files_in_order if kind == b"FILE" else self._origins_in_order
        rank = next(ordered.starting_at(number), None)
        return ordered.offsets[rank] if rank is not None else None

    @cached_property
    def _files_in_order(self) -> RecordIndex:
        return self._in_order(self._files)

    @cached_property
    def _origins_in_order(self) -> RecordIndex:
        return self._in_order(self._origins)

    def _in_order(self, offsets: array[int]) -> RecordIndex:
        """Return the records at *offsets* by their numbers."""
        numbers = ((self._number_at(offset), offset) for offset in offsets)
        return RecordIndex((number, 0, offset + 1) for number, offset in numbers if number >= 0)

    def _number_at(self, offset: int) -> int:
        match = _NUMBER.match(self._data, offset)
        return int(match[1]) if match is not None else -1

    @cached_property
    def _is_old_dialect(self) -> bool:
        """Tell whether origins name the file of the function, and calls do not name theirs."""
        found = _INLINE_LINE.search(self._data)
        record = parse_inline(found[0]) if found else None
        return record is not None and record.call_file is None

    def _scan(self, record: bytes) -> Iterator[tuple[re.Match[bytes], int]]:
        """Yield the records of a kind and where they are; count the ones without their fields."""
        first = re.compile(record).match(self._data)
        if first is not None:
            yield from self._whole(first, 0)
        # A literal newline lets the search skip whole lines.
        for match in re.compile(rb"\n" + record).finditer(self._data):
            yield from self._whole(match, match.start() + 1)

    def _whole(self, match: re.Match[bytes], offset: int) -> Iterator[tuple[re.Match[bytes], int]]:
        if match[1] is None:
            self._damaged += 1
        else:
            yield match, offset

    # -- names ---------------------------------------------------------------------------------

    def name_at(self, offset: int) -> str:
        """Return the name in the ``FUNC`` or ``PUBLIC`` record at *offset*."""
        for pattern in (_FUNC_NAME, _PUBLIC_NAME):
            match = pattern.match(self._data, offset)
            if match is not None:
                return text(match[1]).rstrip()
        return ""

    def offsets_naming(self, kind: bytes, literal: bytes, poll: Poll) -> Iterator[int]:
        """Yield where records of *kind* (``FUNC``, ``PUBLIC``) have *literal*, in any case.

        *poll* is called every few milliseconds, as in all searches of the whole file.
        """
        pattern = rb"\n%s [^\n]*?%s" % (kind, re.escape(literal))
        for match in self._matches(re.compile(pattern, re.IGNORECASE), poll):
            yield match.start() + 1

    def _matches(self, pattern: re.Pattern[bytes], poll: Poll) -> Iterator[re.Match[bytes]]:
        """Yield the matches of *pattern*, which stays within a line and the end of the one before,
        searching piece by piece."""
        begin, size = 0, len(self._data)
        while begin < size:
            poll()
            newline = _NEWLINE.search(self._data, begin + _PIECE)
            end = newline.start() if newline is not None else size
            yield from pattern.finditer(self._data, begin, end)
            begin = end

    @cached_property
    def has_linker_names(self) -> bool:
        """Tell whether some names are still decorated, as linkers see them."""
        pattern = rb"\n(?:FUNC|PUBLIC) [m ]*(?:%s +){2,3}(?:\?|__?Z)" % _HEX
        return re.search(pattern, self._data) is not None

    def file_name(self, number: int) -> str:
        """Return the path in ``FILE number``, ``""`` when there is none."""
        offset = self._numbered(b"FILE", number)
        match = _FILE_NAME.match(self._data, offset) if offset is not None else None
        return text(match[1]).rstrip() if match is not None else ""

    def files_named(self, literal: bytes, poll: Poll) -> Iterator[tuple[int, str]]:
        """Yield the numbers and paths of files whose path has *literal*, whatever its case."""
        pattern = rb"\nFILE ([0-9]{1,10}) +([^\r\n]*?%s[^\r\n]*)" % re.escape(literal)
        for match in self._matches(re.compile(pattern, re.IGNORECASE), poll):
            yield int(match[1]), text(match[2]).rstrip()

    def origin(self, number: int) -> tuple[str, int | None]:
        """Return name and, in the old dialect, the file number of an inlined function."""
        offset = self._numbered(b"INLINE_ORIGIN", number)
        if offset is None:
            return "", None
        old = _OLD_ORIGIN_NAME.match(self._data, offset) if self._is_old_dialect else None
        if old is not None:
            return text(old[2]).rstrip(), int(old[1])
        match = _ORIGIN_NAME.match(self._data, offset)
        return text(match[1]).rstrip() if match is not None else "", None

    # -- lines ---------------------------------------------------------------------------------

    def body(self, offset: int) -> Body:
        """Return lines and inlined calls of the ``FUNC`` record at *offset*.

        Of a function that lies in pieces, writers put one record after the other and the lines of
        them all behind the last.
        """
        begin = self._end_of_line(offset)
        name = self.name_at(offset)
        for _ in range(_MAX_PIECES):
            if self._data[begin : begin + 6] != b"\nFUNC " or self.name_at(begin + 1) != name:
                break
            begin = self._end_of_line(begin + 1)
        return self._body_from(begin)

    def _end_of_line(self, offset: int) -> int:
        line = _LINE.match(self._data, offset)
        end = line.end() if line else offset
        return end + 1 if self._data[end : end + 1] == b"\r" else end

    def _body_from(self, begin: int) -> Body:
        limit = min(begin + _MAX_BODY, len(self._data))
        end = _BODY_END.search(self._data, begin, limit)
        if end is None and limit < len(self._data):
            self._damaged += 1  # no function has that many lines: the rest of them is left out
        rows: list[Row] = []
        inlines: list[Inline] = []
        for match in _BODY_LINE.finditer(self._data, begin, end.start() if end else limit):
            line = match[0]
            row = _ROW.fullmatch(line)
            if row is not None:
                rows.append(Row(int(row[1], 16), int(row[2], 16), int(row[3]), int(row[4])))
                continue
            inline = parse_inline(line) if line.startswith(b"INLINE ") else None
            if inline is not None:
                inlines.append(inline)
            elif line.strip():
                self._damaged += 1
        return Body(_visible(rows), tuple(inlines))

    def rows_of_files(
        self, numbers: frozenset[int], poll: Poll, line: int | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """Yield (start, size, line) of the line records of the files *numbers*: those of *line*,
        which is found faster, or all of them."""
        if not numbers:
            return
        wanted = b"" if line is None else b"%d " % line
        # The end of a record is searched for: few others end so.
        pattern = rb" %s(?:%s)(?=[\r\n]|\Z)" % (wanted, _choice(numbers))
        for match in self._matches(re.compile(pattern), poll):
            record = bytes(self._data[max(0, match.start() - _ROW_HEAD_SIZE) : match.end()])
            row = _LAST_ROW.search(record)
            if row is not None:
                yield int(row[1], 16), int(row[2], 16), int(row[3])

    def calls_of_files(self, numbers: frozenset[int], poll: Poll) -> Iterator[tuple[int, int]]:
        """Yield (start, line) of inlined calls from the files *numbers*; the old dialect does not
        say them."""
        if self._is_old_dialect or not numbers:
            return
        pattern = rb"\nINLINE [0-9]+ ([0-9]{1,10}) (?:%s) [0-9]+ (%s) %s"
        whole = re.compile(pattern % (_choice(numbers), _HEX, _HEX))
        for match in self._matches(whole, poll):
            yield int(match[2], 16), int(match[1])

    # -- frames --------------------------------------------------------------------------------

    def call_frame_rules(self, address: int) -> dict[str, str] | None:
        """Return the ``STACK CFI`` rules in force at *address*: those of the ``INIT`` record that
        covers it, changed by each later record up to the address."""
        index = self._call_frames.containing(address)
        if index is None:
            return None
        first = _INIT_RULES.match(self._data, self._call_frames.offsets[index])
        if first is None:
            return None
        changes: list[tuple[int, bytes]] = []
        position = first.end()
        for _ in range(_MAX_DELTAS):
            match = _DELTA.match(self._data, position)
            if match is None:
                break
            if int(match[1], 16) <= address:
                changes.append((int(match[1], 16), match[2]))
            position = match.end()
        rules = parse_rules(first[1])
        for _, change in sorted(changes, key=lambda each: each[0]):
            rules.update(parse_rules(change))
        return rules

    def win_frame(self, address: int) -> WinRecord | None:
        """Return the ``STACK WIN`` record for *address*: of type 4 (frame data), else 0 (FPO)."""
        for kind in (b"4", b"0"):
            index = self._win_frames[kind].containing(address)
            if index is None:
                continue
            record = parse_win(_match(_LINE, self._data, self._win_frames[kind].offsets[index]))
            if record is not None:
                return record
        return None


def _choice(numbers: frozenset[int]) -> bytes:
    """Return the alternatives of a pattern for some of *numbers*."""
    return b"|".join(b"%d" % number for number in sorted(numbers)[:_MAX_FILES_OF_A_NAME])


def _visible(rows: list[Row]) -> tuple[Row, ...]:
    """Return the rows in the order of their addresses. Rows that PDBs mark as made by the compiler
    become part of the row before them."""
    rows.sort(key=lambda row: row.start)
    seen: list[Row] = []
    for row in rows:
        if row.line not in _HIDDEN:
            seen.append(row)
        elif seen and seen[-1].start + seen[-1].size == row.start:
            last = seen.pop()
            seen.append(Row(last.start, last.size + row.size, last.line, last.file))
    return tuple(seen)


def _match(pattern: re.Pattern[bytes], data: Buffer, offset: int) -> bytes:
    match = pattern.match(data, offset)
    return match[0] if match else b""


def _code_id(data: Buffer) -> str:
    """Return the code id of ``INFO CODE_ID``, in upper case, from the lines after the first."""
    position = 0
    for _ in range(_MAX_INFO_LINES):
        line = _LINE.match(data, position)
        if line is None or not line[0].startswith((b"MODULE ", b"INFO ")):
            break
        found = _CODE_ID.match(line[0])
        if found is not None:
            return text(found[1]).upper()
        position = line.end()
        while bytes(data[position : position + 1]) in (b"\r", b"\n"):
            position += 1
    return ""
