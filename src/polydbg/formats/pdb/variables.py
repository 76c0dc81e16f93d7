"""Records of variables in a function's scope, with the ranges of code in which they are somewhere.

Sources: LLVM "CodeView Symbol Records", ``SymbolRecord.h``; microsoft-pdb ``cvinfo.h`` (MIT).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from typing import Final

import msgspec

from polydbg.formats.pdb.reading import constant, cstring, text, unpack

S_FRAMEPROC: Final = 0x1012
S_REGISTER: Final = 0x1106
S_CONSTANT: Final = 0x1107
S_BPREL32: Final = 0x110B
S_LDATA32, S_GDATA32 = 0x110C, 0x110D
S_REGREL32: Final = 0x1111
S_LTHREAD32, S_GTHREAD32 = 0x1112, 0x1113
S_LOCAL: Final = 0x113E
S_FILESTATIC: Final = 0x1153

_DEFRANGE, _SUBFIELD, _REGISTER = 0x113F, 0x1140, 0x1141
_FRAME_RELATIVE, _SUBFIELD_REGISTER, _FULL_SCOPE = 0x1142, 0x1143, 0x1144
_REGISTER_RELATIVE, _REGISTER_RELATIVE_INDIRECT = 0x1145, 0x1177
RANGES: Final = frozenset(
    (
        _DEFRANGE,
        _SUBFIELD,
        _REGISTER,
        _FRAME_RELATIVE,
        _SUBFIELD_REGISTER,
        _FULL_SCOPE,
        _REGISTER_RELATIVE,
        _REGISTER_RELATIVE_INDIRECT,
    )
)
_LOCAL = struct.Struct("<HHIH")
_FRAMEPROC = struct.Struct("<HHIIIIIHI")
_REGREL = struct.Struct("<HHiIH")
_BPREL = struct.Struct("<HHiI")
_IN_REGISTER = struct.Struct("<HHIH")
_STATIC = struct.Struct("<HHIIH")
_FILE_STATIC = struct.Struct("<HHIIH")
_TYPED = struct.Struct("<HHI")
_RANGE = struct.Struct("<IHH")
_GAP = struct.Struct("<HH")
_MAX_GAPS = 4096

FLAG_PARAMETER: Final = 1
FLAG_ARTIFICIAL: Final = 4
FLAG_OPTIMIZED_OUT: Final = 0x100


class SlotKind(Enum):
    """Where a slot is: see :class:`Slot`."""

    REGISTER = "register"
    RELATIVE = "relative"
    FRAME = "frame"
    INDIRECT = "indirect"


class Slot(msgspec.Struct, frozen=True):
    """Where a variable, or a part of it, is for a range of code.

    REGISTER: in register *register* (CodeView's number); RELATIVE: at that register plus *offset*;
    FRAME: at the frame's base plus *offset*; INDIRECT: at *within* bytes behind what the pointer at
    register plus *offset* leads to. *parent* is where the part lies in the variable, -1 for all of
    it. *start* and *size* are the range, *key* packed as in ``dbi``; a *size* of 0 is the function.
    *gaps* are (start, size) within the range. *is_uncertain*: on some way to the code the register
    holds something else.
    """

    kind: SlotKind
    register: int = 0
    offset: int = 0
    within: int = 0
    parent: int = -1
    key: int = 0
    size: int = 0
    gaps: tuple[tuple[int, int], ...] = ()
    is_uncertain: bool = False

    def covers(self, key: int) -> bool:
        """Tell whether the slot holds at a packed address."""
        if not self.size:
            return True
        distance = key - self.key
        if not 0 <= distance < self.size:
            return False
        return not any(start <= distance < start + size for start, size in self.gaps)


class LocalRecord(msgspec.Struct, frozen=True):
    """A variable: *kind* is its record's, *key* the packed address of static ones, *value* that of
    constants. *flags* are those of S_LOCAL."""

    kind: int
    name: str
    type_index: int
    flags: int = 0
    key: int = 0
    value: int | bytes = 0
    slots: tuple[Slot, ...] = ()

    @property
    def is_parameter(self) -> bool:
        return bool(self.flags & FLAG_PARAMETER)


class FrameRecord(msgspec.Struct, frozen=True):
    """What S_FRAMEPROC says: two bits each for the register that locals and parameters count from
    (see ``registers.frame_register``), and the bytes of the frame."""

    locals_base: int
    parameters_base: int
    size: int


def read_frame(data: bytes, position: int) -> FrameRecord:
    """Return the S_FRAMEPROC record at *position*."""
    fields = unpack(_FRAMEPROC, data, position)
    return FrameRecord(fields[8] >> 14 & 3, fields[8] >> 16 & 3, fields[2])


def read_variable(data: bytes, position: int, size: int) -> LocalRecord | None:
    """Return the variable whose record of *size* bytes is at *position*, without the ranges that
    follow; ``None`` for other records."""
    kind = data[position + 2] | data[position + 3] << 8
    reader = _READERS.get(kind)
    return reader(data, position, position + size, kind) if reader is not None else None


def _local(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, index, flags = unpack(_LOCAL, data, at)
    return LocalRecord(kind, text(cstring(data, at + _LOCAL.size, end)), index, flags)


def _file_static(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, index, _, flags = unpack(_FILE_STATIC, data, at)
    return LocalRecord(kind, text(cstring(data, at + _FILE_STATIC.size, end)), index, flags)


def _register_relative(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, offset, index, register = unpack(_REGREL, data, at)
    slot = Slot(SlotKind.RELATIVE, register, offset)
    name = text(cstring(data, at + _REGREL.size, end))
    return LocalRecord(kind, name, index, slots=(slot,))


def _base_relative(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, offset, index = unpack(_BPREL, data, at)
    slot = Slot(SlotKind.RELATIVE, 22, offset)  # ebp
    return LocalRecord(kind, text(cstring(data, at + _BPREL.size, end)), index, slots=(slot,))


def _in_register(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, index, register = unpack(_IN_REGISTER, data, at)
    slot = Slot(SlotKind.REGISTER, register)
    return LocalRecord(kind, text(cstring(data, at + _IN_REGISTER.size, end)), index, slots=(slot,))


def _static(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, index, offset, section = unpack(_STATIC, data, at)
    name = text(cstring(data, at + _STATIC.size, end))
    return LocalRecord(kind, name, index, key=section << 32 | offset)


def _constant(data: bytes, at: int, end: int, kind: int) -> LocalRecord:
    _, _, index = unpack(_TYPED, data, at)
    value, name_at = constant(data, at + _TYPED.size)
    return LocalRecord(kind, text(cstring(data, name_at, end)), index, value=value)


_READERS: Final[dict[int, Callable[[bytes, int, int, int], LocalRecord]]] = {
    S_LOCAL: _local,
    S_FILESTATIC: _file_static,
    S_REGREL32: _register_relative,
    S_BPREL32: _base_relative,
    S_REGISTER: _in_register,
    S_LDATA32: _static,
    S_GDATA32: _static,
    S_LTHREAD32: _static,
    S_GTHREAD32: _static,
    S_CONSTANT: _constant,
}

_TWO_HALVES = struct.Struct("<HH")
_OFFSET = struct.Struct("<i")
_RELATIVE = struct.Struct("<HHi")
_INDIRECT = struct.Struct("<HHii")
_PART = struct.Struct("<HHI")
_PARENT_BITS = 0xFFF


def read_slot(data: bytes, position: int, size: int) -> Slot | None:
    """Return what the range record at *position* says; ``None`` for those with a program, which no
    compiler writes, and for other records."""
    kind = data[position + 2] | data[position + 3] << 8
    at, end = position + 4, position + size
    if kind == _FULL_SCOPE:
        return Slot(SlotKind.FRAME, offset=unpack(_OFFSET, data, at)[0])
    if kind == _REGISTER:
        register, uncertain = unpack(_TWO_HALVES, data, at)
        slot = Slot(SlotKind.REGISTER, register, is_uncertain=bool(uncertain & 1))
        return _ranged(slot, data, at + 4, end)
    if kind == _SUBFIELD_REGISTER:
        register, uncertain, parent = unpack(_PART, data, at)
        slot = Slot(
            SlotKind.REGISTER,
            register,
            parent=parent & _PARENT_BITS,
            is_uncertain=bool(uncertain & 1),
        )
        return _ranged(slot, data, at + 8, end)
    if kind == _FRAME_RELATIVE:
        slot = Slot(SlotKind.FRAME, offset=unpack(_OFFSET, data, at)[0])
        return _ranged(slot, data, at + 4, end)
    if kind == _REGISTER_RELATIVE:
        register, flags, offset = unpack(_RELATIVE, data, at)
        parent = flags >> 4 if flags & 1 else -1
        slot = Slot(SlotKind.RELATIVE, register, offset, parent=parent)
        return _ranged(slot, data, at + 8, end)
    if kind == _REGISTER_RELATIVE_INDIRECT:
        register, flags, offset, within = unpack(_INDIRECT, data, at)
        parent = flags >> 4 if flags & 1 else -1
        slot = Slot(SlotKind.INDIRECT, register, offset, within, parent)
        return _ranged(slot, data, at + 12, end)
    return None


def _ranged(slot: Slot, data: bytes, at: int, end: int) -> Slot:
    """Return *slot* with the range and the gaps at *at*."""
    offset, section, size = unpack(_RANGE, data, at)
    at += _RANGE.size
    gaps: list[tuple[int, int]] = []
    while at + _GAP.size <= end and len(gaps) < _MAX_GAPS:
        start, width = unpack(_GAP, data, at)
        if width:  # what pads the record is no gap
            gaps.append((start, width))
        at += _GAP.size
    # A range of no bytes covers nothing, while 0 means the whole function here.
    return msgspec.structs.replace(
        slot, key=section << 32 | offset, size=size or -1, gaps=tuple(gaps)
    )
