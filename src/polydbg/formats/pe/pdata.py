"""The exception directory (``.pdata``) and UNWIND_INFO of x64 images, versions 1 and 2.

Layout: Microsoft, "x64 exception handling"; version 2's epilog codes as in LLVM
(``llvm/lib/MC/MCWin64EH.cpp``) and Wine (``dlls/ntdll/unwind.c``).
"""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.pe.header import DataDirectory
from polydbg.memory.space import AddressSpace

MAX_FUNCTIONS: Final = 0x800000
"""More x64 functions than any image has (Chromium has about 400 thousand)."""

MAX_CHAIN: Final = 32
"""Hops of chained or indirect entries; Windows itself gives up at 32."""

FLAG_EXCEPTION_HANDLER: Final = 1
FLAG_TERMINATION_HANDLER: Final = 2
FLAG_CHAINED: Final = 4

_ENTRY = struct.Struct("<III")
_BLOCK_ENTRIES = 32


class UnwindOp(enum.IntEnum):
    """Operations of unwind codes. In version 1, 6 and 7 were the old XMM forms."""

    PUSH_NONVOL = 0
    ALLOC_LARGE = 1
    ALLOC_SMALL = 2
    SET_FPREG = 3
    SAVE_NONVOL = 4
    SAVE_NONVOL_FAR = 5
    EPILOG = 6
    SPARE = 7
    SAVE_XMM128 = 8
    SAVE_XMM128_FAR = 9
    PUSH_MACHFRAME = 10
    SET_FPREG_LARGE = 11


_SLOTS = {
    UnwindOp.PUSH_NONVOL: 1,
    UnwindOp.ALLOC_SMALL: 1,
    UnwindOp.SET_FPREG: 1,
    UnwindOp.SAVE_NONVOL: 2,
    UnwindOp.SAVE_NONVOL_FAR: 3,
    UnwindOp.EPILOG: 2,
    UnwindOp.SPARE: 3,
    UnwindOp.SAVE_XMM128: 2,
    UnwindOp.SAVE_XMM128_FAR: 3,
    UnwindOp.PUSH_MACHFRAME: 1,
    UnwindOp.SET_FPREG_LARGE: 3,
}


class RuntimeFunction(msgspec.Struct, frozen=True):
    """A row of ``.pdata``: code of [begin, end) and where its unwind information lies. RVAs."""

    begin: int
    end: int
    unwind_rva: int

    @property
    def is_indirect(self) -> bool:
        """Return whether *unwind_rva* points to another row instead (bit 0)."""
        return bool(self.unwind_rva & 1)


class UnwindCode(msgspec.Struct, frozen=True):
    """One operation: *prolog_offset* is the end of the instruction that it describes, in bytes
    from the function's start; *value* is a size, an offset (bytes) or 0."""

    prolog_offset: int
    op: UnwindOp
    info: int
    value: int

    @property
    def slots(self) -> int:
        """Return how many 16-bit slots the operation takes."""
        if self.op is UnwindOp.ALLOC_LARGE:
            return 2 + (self.info != 0)
        return _SLOTS[self.op]


class UnwindInfo(msgspec.Struct, frozen=True):
    """UNWIND_INFO of one function or fragment.

    *codes* are in file order: the last of the prolog first. *frame_offset* is in bytes.
    *epilogs* are the starts of version 2's epilogs, in bytes before the function's end, of
    *epilog_size* bytes each.
    """

    version: int
    flags: int
    prolog_size: int
    frame_register: int
    frame_offset: int
    codes: tuple[UnwindCode, ...]
    epilog_size: int
    epilogs: tuple[int, ...]
    handler_rva: int | None
    chained: RuntimeFunction | None


def find_function(space: AddressSpace, table: DataDirectory, rva: int) -> RuntimeFunction | None:
    """Return the row of ``.pdata`` that covers *rva*: a binary search in place.

    :raises MemoryReadError: a row that the search needs is not there.
    """
    low, high = 0, min(table.size // _ENTRY.size, MAX_FUNCTIONS)
    while high - low > _BLOCK_ENTRIES:
        middle = (low + high) // 2
        begin = int.from_bytes(space.read(table.rva + middle * _ENTRY.size, 4), "little")
        if begin <= rva:
            low = middle
        else:
            high = middle
    data = space.read(table.rva + low * _ENTRY.size, (high - low) * _ENTRY.size)
    found = None
    for begin, end, unwind in _ENTRY.iter_unpack(data):
        if begin > rva:
            break
        found = (begin, end, unwind)
    if found is None or rva >= found[1]:
        return None
    return RuntimeFunction(*found)


def read_function(space: AddressSpace, rva: int) -> RuntimeFunction:
    """Return the row of ``.pdata`` at *rva*.

    :raises MemoryReadError: it is not there.
    """
    return RuntimeFunction(*_ENTRY.unpack(space.read(rva, _ENTRY.size)))


def resolve_indirect(space: AddressSpace, function: RuntimeFunction) -> RuntimeFunction:
    """Follow rows that point to other rows (bit 0 of the unwind RVA).

    :raises FormatError: the rows point in a circle.
    """
    for _ in range(MAX_CHAIN):
        if not function.is_indirect:
            return function
        function = read_function(space, function.unwind_rva & ~1)
    raise FormatError("unwind entries point to each other without end", offset=function.begin)


def read_unwind_info(space: AddressSpace, rva: int) -> UnwindInfo:
    """Return the UNWIND_INFO at *rva*.

    :raises FormatError: unknown version or operation, codes cut short.
    :raises MemoryReadError: it is not there.
    """
    first, prolog_size, count, frame = space.read(rva, 4)
    version, flags = first & 7, first >> 3
    if version not in (1, 2):
        raise FormatError(f"unwind information of version {version}", offset=rva)
    slots = struct.unpack(f"<{count}H", space.read(rva + 4, count * 2))
    start, epilog_size, epilogs = _epilogs(slots) if version == 2 else (0, 0, ())
    tail = rva + 4 + (count + 1 & ~1) * 2
    handler, chained = None, None
    if flags & FLAG_CHAINED:
        chained = read_function(space, tail)
    elif flags & (FLAG_EXCEPTION_HANDLER | FLAG_TERMINATION_HANDLER):
        handler = _handler(space, tail)
    return UnwindInfo(
        version=version,
        flags=flags,
        prolog_size=prolog_size,
        frame_register=frame & 15,
        frame_offset=(frame >> 4) * 16,
        codes=_codes(slots, start, rva),
        epilog_size=epilog_size,
        epilogs=epilogs,
        handler_rva=handler,
        chained=chained,
    )


def chain_of(space: AddressSpace, function: RuntimeFunction) -> tuple[UnwindInfo, ...]:
    """Return the unwind information of *function*, then of what it is chained to.

    :raises FormatError: damaged, or chained in a circle.
    :raises MemoryReadError: a part of it is not there.
    """
    infos: list[UnwindInfo] = []
    row: RuntimeFunction | None = function
    while row is not None:
        if len(infos) >= MAX_CHAIN:
            raise FormatError("unwind information is chained without end", offset=function.begin)
        infos.append(read_unwind_info(space, resolve_indirect(space, row).unwind_rva))
        row = infos[-1].chained
    return tuple(infos)


def primary_of(space: AddressSpace, function: RuntimeFunction) -> RuntimeFunction:
    """Return the row that *function* is a fragment of, itself when it is whole.

    :raises FormatError: damaged, or chained in a circle.
    :raises MemoryReadError: a part of it is not there.
    """
    row = resolve_indirect(space, function)
    for _ in range(MAX_CHAIN):
        info = read_unwind_info(space, row.unwind_rva)
        if info.chained is None:
            return row
        row = resolve_indirect(space, info.chained)
    raise FormatError("unwind information is chained without end", offset=function.begin)


def _handler(space: AddressSpace, rva: int) -> int | None:
    # Unwinding does not need it: do not fail when only the handler's page is missing.
    try:
        return int.from_bytes(space.read(rva, 4), "little")
    except MemoryReadError:
        return None


def _epilogs(slots: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """Return the index of the first prolog code, the epilog size, and the epilogs' starts."""
    if not slots or slots[0] >> 8 & 15 != UnwindOp.EPILOG:
        return 0, 0, ()
    size, at_end = slots[0] & 0xFF, slots[0] >> 12 & 1
    starts = [size] if at_end else []
    index = 1
    # Entries stand in pairs; a zero offset pads the last pair. The second of a pair belongs to
    # it whatever its operation says.
    while index < len(slots) and (index % 2 or slots[index] >> 8 & 15 == UnwindOp.EPILOG):
        distance = (slots[index] & 0xFF) | (slots[index] >> 12) << 8
        if distance:
            starts.append(distance)
        index += 1
    return index, size, tuple(starts)


def _codes(slots: tuple[int, ...], start: int, rva: int) -> tuple[UnwindCode, ...]:
    codes: list[UnwindCode] = []
    index = start
    while index < len(slots):
        slot = slots[index]
        try:
            op = UnwindOp(slot >> 8 & 15)
        except ValueError:
            raise FormatError(f"unwind operation {slot >> 8 & 15} is unknown", offset=rva) from None
        info = slot >> 12
        used = 2 + (info != 0) if op is UnwindOp.ALLOC_LARGE else _SLOTS[op]
        if index + used > len(slots):
            raise FormatError("unwind codes are cut short", offset=rva)
        codes.append(UnwindCode(slot & 0xFF, op, info, _value(slots, index, op, info)))
        index += used
    return tuple(codes)


def _value(slots: tuple[int, ...], index: int, op: UnwindOp, info: int) -> int:
    def far() -> int:
        return slots[index + 1] | slots[index + 2] << 16

    match op:
        case UnwindOp.ALLOC_SMALL:
            return info * 8 + 8
        case UnwindOp.ALLOC_LARGE:
            return slots[index + 1] * 8 if info == 0 else far()
        case UnwindOp.SAVE_NONVOL:
            return slots[index + 1] * 8
        case UnwindOp.SAVE_XMM128:
            return slots[index + 1] * 16
        case UnwindOp.SAVE_NONVOL_FAR | UnwindOp.SAVE_XMM128_FAR | UnwindOp.SET_FPREG_LARGE:
            return far()
        case _:
            return 0
