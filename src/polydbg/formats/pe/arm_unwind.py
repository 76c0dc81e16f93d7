"""The exception directory (``.pdata``) and ``.xdata`` of ARM64 and ARM images.

A row is 8 bytes: where the function begins (ARM: bit 0 says Thumb) and either a packed
description of a canonical function or the RVA of a record. Packed rows are expanded to the codes
they stand for, so readers see one form. Source: Microsoft, "ARM64 exception handling" and "ARM
exception handling".
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pe import arm64_codes, thumb_codes
from polydbg.formats.pe.arm_operations import ArmCode
from polydbg.formats.pe.header import DataDirectory
from polydbg.memory.space import AddressSpace

MAX_FUNCTIONS: Final = 0x800000
"""More functions than any image has."""

ALWAYS: Final = 14
"""The condition of an epilog that is always executed."""

_ROW = struct.Struct("<II")
_BLOCK_ROWS = 32
_PACKED, _PACKED_FRAGMENT = 1, 2


class ArmEpilog(msgspec.Struct, frozen=True):
    """An epilog: *start* in bytes from the function's, *index* of its codes, ARM's *condition*."""

    start: int
    index: int
    condition: int = ALWAYS


class ArmUnwindInfo(msgspec.Struct, frozen=True):
    """How to unwind the code of [begin, begin + length), an RVA and bytes.

    *sequence* are the bytes of all codes: those of the prolog first, which also hold in the body.
    *has_prolog* is false for a fragment that begins in the body. *record_rva* is where the record
    lies, ``None`` for a packed row, whose *word* says all.
    """

    machine: str
    begin: int
    length: int
    has_prolog: bool
    sequence: bytes
    epilogs: tuple[ArmEpilog, ...]
    word: int
    record_rva: int | None = None
    handler_rva: int | None = None

    @property
    def end(self) -> int:
        return self.begin + self.length

    def codes(self, index: int = 0) -> tuple[ArmCode, ...]:
        """Return the codes from *index* (bytes) to the end: 0 for prolog and body.

        :raises FormatError: an unknown code, or none that ends them.
        """
        return _codes_of(self.machine, self.sequence, index)


def _codes_of(machine: str, sequence: bytes, index: int) -> tuple[ArmCode, ...]:
    reader = arm64_codes.read_codes if machine == "arm64" else thumb_codes.read_codes
    return reader(sequence, index)


def find_info(
    space: AddressSpace, table: DataDirectory, machine: str, rva: int
) -> ArmUnwindInfo | None:
    """Return the unwind information of the code at *rva*, ``None`` for a leaf function.

    :raises FormatError: it is damaged.
    :raises MemoryReadError: a row or record is not there.
    """
    thumb = 0 if machine == "arm64" else 1
    low, high = 0, min(table.size // _ROW.size, MAX_FUNCTIONS)
    while high - low > _BLOCK_ROWS:
        middle = (low + high) // 2
        begin = int.from_bytes(space.read(table.rva + middle * _ROW.size, 4), "little")
        low, high = (middle, high) if begin & ~thumb <= rva else (low, middle)
    data = space.read(table.rva + low * _ROW.size, (high - low) * _ROW.size)
    found = None
    for begin, word in _ROW.iter_unpack(data):
        if begin & ~thumb > rva:
            break
        found = begin & ~thumb, word
    if found is None:
        return None
    info = read_info(space, machine, *found)
    return info if rva < info.end else None


def read_info(space: AddressSpace, machine: str, begin: int, word: int) -> ArmUnwindInfo:
    """Return what a row of ``.pdata`` says; *begin* is without the Thumb bit.

    :raises FormatError: it is damaged.
    :raises MemoryReadError: its record is not there.
    """
    flag = word & 3
    if flag == 0:
        return _read_record(space, machine, begin, word)
    if flag not in (_PACKED, _PACKED_FRAGMENT):
        raise FormatError("a packed unwind row of the reserved kind", offset=begin)
    expand = arm64_codes.expand_packed if machine == "arm64" else thumb_codes.expand_packed
    prolog, epilog = expand(word)
    length = (word >> 2 & 0x7FF) * (4 if machine == "arm64" else 2)
    epilogs: tuple[ArmEpilog, ...] = ()
    if flag == _PACKED and epilog:
        size = sum(code.length for code in _codes_of(machine, epilog, 0))
        epilogs = (ArmEpilog(length - size, len(prolog)),)
    return ArmUnwindInfo(
        machine=machine,
        begin=begin,
        length=length,
        has_prolog=flag == _PACKED,
        sequence=prolog + epilog,
        epilogs=epilogs,
        word=word,
    )


def _read_record(space: AddressSpace, machine: str, begin: int, rva: int) -> ArmUnwindInfo:
    header = int.from_bytes(space.read(rva, 4), "little")
    wide = machine == "arm64"
    unit, shift = (4, 22) if wide else (2, 23)
    if header >> 18 & 3:
        raise FormatError(f"{machine} unwind record of version {header >> 18 & 3}", offset=rva)
    count, words = header >> shift & 31, header >> shift + 5
    at = rva + 4
    if not count and not words:
        extension = int.from_bytes(space.read(at, 4), "little")
        count, words = extension & 0xFFFF, extension >> 16 & 0xFF
        at += 4
    length = (header & 0x3FFFF) * unit
    is_packed = bool(header >> 21 & 1)
    scopes = struct.unpack(f"<{count}I", space.read(at, 4 * count)) if not is_packed else ()
    at += 4 * len(scopes)
    sequence = space.read(at, 4 * words)
    if is_packed:
        # The one epilog ends the function; the field is the index of its codes.
        size = sum(code.length for code in _codes_of(machine, sequence, count))
        epilogs: tuple[ArmEpilog, ...] = (ArmEpilog(length - size, count),)
    elif wide:
        epilogs = tuple(ArmEpilog((s & 0x3FFFF) * 4, s >> 22) for s in scopes)
    else:
        epilogs = tuple(ArmEpilog((s & 0x3FFFF) * 2, s >> 24, s >> 20 & 15) for s in scopes)
    at += 4 * words
    # The handler is not needed to unwind: its page may be missing.
    handler = space.read_some(at, 4) if header >> 20 & 1 else b""
    return ArmUnwindInfo(
        machine=machine,
        begin=begin,
        length=length,
        has_prolog=wide or not header >> 22 & 1,
        sequence=sequence,
        epilogs=epilogs,
        word=rva,
        record_rva=rva,
        handler_rva=int.from_bytes(handler, "little") if len(handler) == 4 else None,
    )
