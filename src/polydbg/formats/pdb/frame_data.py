"""Frames of x86 code: FPO records (debug stream 0) and frame data (debug stream 9, C13 part F5).

Sources: Windows SDK ``FPO_DATA``, microsoft-pdb ``cvinfo.h`` (``FRAMEDATA``, MIT), LLVM
``DebugFrameDataSubsection``. RVAs are those of the image as it was linked. Records of one function
nest: each instruction of its prolog can begin one that reaches to the function's end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, Protocol

import msgspec

from polydbg.formats.pdb.reading import unpack

_FPO = struct.Struct("<IIIHH")
_FRAME_DATA = struct.Struct("<IIIIIIHHI")
_START = struct.Struct("<I")
_SUBSECTION = struct.Struct("<II")
_SUBSECTION_FRAME_DATA = 0xF5
_MAX_NESTING = 64
"""How many records that ended before an address may stand between it and the one around it."""
_SAMPLE = 256
_FPO_USES_EBP = 0x1000

FRAME_FPO: Final = 0
FRAME_EBP: Final = 3


class FrameRecord(msgspec.Struct, frozen=True):
    """``FPO_DATA`` or ``FRAMEDATA``, sizes in bytes.

    *program* is an offset in ``/names``, ``None`` for FPO. *kind* is one of the ``FRAME_`` numbers
    (frame data: ``FRAME_FPO``); *uses_ebp* says that ebp was saved and serves as any register.
    """

    rva: int
    code_size: int
    prolog_size: int
    parameters_size: int
    saved_size: int
    locals_size: int
    max_stack_size: int
    program: int | None
    uses_ebp: bool
    kind: int


class Records(Protocol):
    """Bytes with random access: a stream, or a part of one in memory."""

    @property
    def size(self) -> int: ...

    def read(self, offset: int, size: int) -> bytes: ...


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


class FrameTable:
    """Records searched in place: a large PDB has a million of them."""

    def __init__(
        self,
        records: Records,
        layout: struct.Struct,
        decode: Callable[[tuple[Any, ...], int], FrameRecord],
        offset: int = 0,
        bias: int = 0,
    ) -> None:
        self._records, self._layout, self._decode = records, layout, decode
        self._offset, self._bias = offset, bias
        self._count = max(records.size - offset, 0) // layout.size
        self._order: list[int] | None = None  # set when the file is not in order
        self._checked = False

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rank: int) -> FrameRecord:
        """Return a record by its rank in address order."""
        offset = self._position(rank)
        fields = unpack(self._layout, self._records.read(offset, self._layout.size), 0)
        return self._decode(fields, self._bias)

    def at(self, rva: int) -> FrameRecord | None:
        """Return the innermost record that covers *rva*.

        :raises FormatError: the table lies outside the file.
        """
        if not self._checked:
            self._checked = True
            self._sort()
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._start(middle) <= rva:
                low = middle + 1
            else:
                high = middle
        for rank in range(low - 1, max(low - 1 - _MAX_NESTING, -1), -1):
            found = self[rank]
            if found.rva <= rva < found.rva + found.code_size:
                return found
        return None

    def _position(self, rank: int) -> int:
        index = rank if self._order is None else self._order[rank]
        return self._offset + index * self._layout.size

    def _start(self, rank: int) -> int:
        start = unpack(_START, self._records.read(self._position(rank), 4), 0)[0]
        return int(start) + self._bias & 0xFFFFFFFF

    def _sort(self) -> None:
        """Sort the ranks if the file is out of order, which a sample tells: linkers sort."""
        step = max(self._count // _SAMPLE, 1)
        sample = [self._start(rank) for rank in range(0, self._count, step)]
        if all(before <= after for before, after in pairwise(sample)):
            return
        size = self._layout.size
        data = self._records.read(self._offset, self._count * size)
        starts = [start for (start,) in struct.iter_unpack(f"<I{size - 4}x", data)]
        self._order = sorted(range(self._count), key=starts.__getitem__)


def fpo_table(stream: Records) -> FrameTable:
    """Return the records of debug stream 0."""
    return FrameTable(stream, _FPO, _fpo)


def frame_data_table(stream: Records) -> FrameTable:
    """Return the records of debug stream 9; one that was copied from an object file begins with
    an RVA that its records count from."""
    if stream.size % _FRAME_DATA.size == _START.size:
        bias = unpack(_START, stream.read(0, _START.size), 0)[0]
        return FrameTable(stream, _FRAME_DATA, _frame_data, _START.size, bias)
    return FrameTable(stream, _FRAME_DATA, _frame_data)


def frame_data_of_module(lines: bytes) -> list[FrameTable]:
    """Return the tables among the C13 parts of a module's stream: *lines* is all of these."""
    tables = []
    position = 0
    while position + _SUBSECTION.size <= len(lines):
        kind, size = _SUBSECTION.unpack_from(lines, position)
        start = position + _SUBSECTION.size
        if start + size > len(lines):
            break  # what stands before is still good
        if kind == _SUBSECTION_FRAME_DATA:
            tables.append(frame_data_table(_Bytes(lines[start : start + size])))
        position = start + ((size + 3) & ~3)
    return tables


def _fpo(fields: tuple[Any, ...], bias: int) -> FrameRecord:
    start, size, local_words, parameter_words, bits = fields
    return FrameRecord(
        rva=start + bias & 0xFFFFFFFF,
        code_size=size,
        prolog_size=bits & 0xFF,
        parameters_size=parameter_words * 4,
        saved_size=(bits >> 8 & 7) * 4,
        locals_size=local_words * 4 & 0xFFFFFFFF,
        max_stack_size=0,
        program=None,
        uses_ebp=bool(bits & _FPO_USES_EBP),
        kind=bits >> 14,
    )


def _frame_data(fields: tuple[Any, ...], bias: int) -> FrameRecord:
    start, size, locals_size, parameters, max_stack, program, prolog, saved, _ = fields
    return FrameRecord(
        rva=start + bias & 0xFFFFFFFF,
        code_size=size,
        prolog_size=prolog,
        parameters_size=parameters,
        saved_size=saved,
        locals_size=locals_size,
        max_stack_size=max_stack,
        program=program,
        uses_ebp=False,
        kind=FRAME_FPO,
    )
