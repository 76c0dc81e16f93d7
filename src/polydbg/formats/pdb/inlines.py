"""Binary annotations of inline sites: which code an inlined call became, and its lines.

Source: microsoft-pdb ``cvinfo.h`` (MIT), LLVM ``CodeViewDebug`` and ``MCCodeView`` as writers.
An operation that moves the code offset begins a range; the range ends at the length that a later
operation gives, else where the next one begins, else at the end of the enclosing code.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.module import S_INLINESITE, S_INLINESITE2, records_within
from polydbg.formats.pdb.reading import unpack

_SITE = struct.Struct("<HHIII")  # annotations at 16; with a call count (2) at 20
_MAX_RANGES = 65536


class InlineRange(msgspec.Struct, frozen=True):
    """Code of an inline site: offsets from the start of the function, in bytes.

    *file* is an offset in the checksum table, -1 for the inlined function's own file; *line* is
    counted from the inlined function's first line.
    """

    start: int
    end: int
    file: int
    line: int


class Site(msgspec.Struct, frozen=True):
    """An inlined call: the id of the inlined function, its code, and the calls inlined in it."""

    function_id: int
    ranges: tuple[InlineRange, ...]
    children: tuple[Site, ...]

    def range_at(self, offset: int) -> InlineRange | None:
        """Return the range that covers *offset*."""
        for piece in self.ranges:
            if piece.start <= offset < piece.end:
                return piece
        return None

    @property
    def start(self) -> int:
        """Return the lowest offset of the site's code, that of its children included."""
        own = min((piece.start for piece in self.ranges), default=1 << 32)
        return min(own, min((child.start for child in self.children), default=1 << 32))


class _Annotations:
    """A reader of compressed numbers; 0 (end of list) past the end."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data, self._position, self._end = data, position, end

    def number(self) -> int:
        data, position = self._data, self._position
        if position >= self._end:
            return 0
        first = data[position]
        size = 1 if first < 0x80 else 2 if first < 0xC0 else 4 if first < 0xE0 else 0
        if not size or position + size > self._end:
            raise FormatError("an annotation of an inlined call is damaged", offset=position)
        self._position = position + size
        value = int.from_bytes(data[position : position + size], "big")
        return value & (0x7F, 0x3FFF, 0, 0x1FFFFFFF)[size - 1]

    def signed(self) -> int:
        number = self.number()
        return -(number >> 1) if number & 1 else number >> 1


class _Ranges:
    """Collects ranges as annotations are carried out."""

    def __init__(self) -> None:
        self.offset = 0
        self.file = -1
        self.line = 0
        self.statement = True
        self._open: tuple[int, int, int] | None = None
        self.ranges: list[InlineRange] = []

    def begin(self) -> None:
        """Begin a range here; one without a length so far ends here."""
        if self._open is not None:
            self.end(self.offset - self._open[0])
        self._open = (self.offset, self.file, self.line)

    def end(self, length: int) -> None:
        """Give the open range its length."""
        if self._open is not None and length > 0:
            start, file, line = self._open
            if len(self.ranges) < _MAX_RANGES:
                self.ranges.append(InlineRange(start, start + length, file, line))
        self._open = None

    def finish(self, end: int) -> tuple[InlineRange, ...]:
        if self._open is not None:
            self.end(end - self._open[0])
        return tuple(self.ranges)


def decode_annotations(
    data: bytes, position: int, end: int, code_end: int
) -> tuple[InlineRange, ...]:
    """Return the ranges that the annotations in *data* describe.

    *code_end* is where the enclosing code ends, an offset from the start of the function.
    """
    reader, ranges = _Annotations(data, position, end), _Ranges()
    while True:
        operation = reader.number()
        if operation == 0:
            return ranges.finish(code_end)
        if operation == 1:  # code offset
            ranges.offset = reader.number()
        elif operation == 2:  # base of code offsets: another segment, which nobody writes
            reader.number()
        elif operation == 3:  # code offset delta
            ranges.offset += reader.number()
            ranges.begin()
        elif operation == 4:  # length of the range; the next delta counts from its end
            length = reader.number()
            ranges.end(length)
            ranges.offset += length
        elif operation == 5:
            ranges.file = reader.number()
        elif operation == 6:  # line delta
            ranges.line += reader.signed()
        elif operation in (7, 8, 9):  # line end delta, kind of range, column
            reader.number()
        elif operation == 10:  # column end delta
            reader.signed()
        elif operation == 11:  # line delta and code offset delta in one
            packed = reader.number()
            delta = packed >> 4
            ranges.line += -(delta >> 1) if delta & 1 else delta >> 1
            ranges.offset += packed & 15
            ranges.begin()
        elif operation == 12:  # length of the new range, code offset delta
            length = reader.number()
            ranges.offset += reader.number()
            ranges.begin()
            ranges.end(length)
        elif operation == 13:
            reader.number()
        else:
            return ranges.finish(code_end)


def sites_of(scope: bytes, code_size: int) -> tuple[Site, ...]:
    """Return the calls inlined in a function, outermost level first, nested ones as children.

    *scope* is the function's record with those of its scope; *code_size* is in bytes.
    """
    root: list[Site] = []
    # Sites whose end has not come yet: depth, id, ranges, finished children.
    stack: list[tuple[int, int, tuple[InlineRange, ...], list[Site]]] = []

    def close(depth: int) -> None:
        while stack and stack[-1][0] >= depth:
            _, number, ranges, children = stack.pop()
            parent = stack[-1][3] if stack else root
            parent.append(Site(number, ranges, tuple(children)))

    for position, kind, size, depth in records_within(scope, 0, len(scope)):
        close(depth)
        if kind not in (S_INLINESITE, S_INLINESITE2):
            continue
        number = unpack(_SITE, scope, position)[4]
        start = position + (16 if kind == S_INLINESITE else 20)
        ranges = decode_annotations(scope, start, position + size, code_size)
        stack.append((depth, number, ranges, []))
    close(0)
    return tuple(root)
