"""The exception tables of 32-bit ARM: ``.ARM.exidx``, and what of ``.ARM.extab`` undoes frames.

The index has a row of two words for each function, by address: where the function begins, and how
its frame is undone, in the word itself or in an entry that it leads to. The rows hold at calls
alone, not inside prologs and epilogs. Source: Arm, "Exception Handling ABI for the Arm
Architecture" (EHABI32); the words behind the address of a personality routine are those that GCC
and Clang write for every routine but the EHABI's own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.reading import uleb128
from polydbg.formats.pe.arm_operations import ArmCode, ArmOp
from polydbg.memory.space import AddressSpace, ByteOrder

PT_ARM_EXIDX: Final = 0x70000001

_ROW = 8
_CANNOT_UNWIND = 1
_COMPACT = 0x80000000
_INLINE_MODEL = 0x80
_SP, _LR, _PC = 13, 14, 15
_NAMES = (*(f"r{number}" for number in range(13)), "sp", "lr", "lr")
"""What is popped into pc is the return address, as what is popped into lr."""


class IndexRow(msgspec.Struct, frozen=True):
    """A row of the index: it is for the code from *start* to *end* (``None``: it is the last),
    both RVAs. *word* is its second word, at *place*."""

    start: int
    end: int | None
    word: int
    place: int

    @property
    def cannot_unwind(self) -> bool:
        """Return whether the row says that nobody may unwind from here: code without tables,
        as compilers write C, or the end of the stack."""
        return self.word == _CANNOT_UNWIND


class ExceptionIndex:
    """The index of one image, read in place; addresses are RVAs. What is absent from memory raises
    :class:`~polydbg.base.errors.MemoryReadError`."""

    def __init__(self, space: AddressSpace, rva: int, size: int, order: ByteOrder) -> None:
        """See the *size* bytes at *rva* of the image *space*."""
        self._space = space
        self._rva = rva
        self._order = order
        self._count = size // _ROW

    def __len__(self) -> int:
        return self._count

    def row_at(self, rva: int) -> IndexRow | None:
        """Return the row for the code at *rva*: the last that does not begin behind it."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._start(middle) <= rva:
                low = middle + 1
            else:
                high = middle
        return self.row(low - 1) if low else None

    def row(self, number: int) -> IndexRow:
        """Return row *number* of the index, counted from 0."""
        place = self._rva + number * _ROW + 4
        end = self._start(number + 1) if number + 1 < self._count else None
        return IndexRow(self._start(number), end, self._word(place), place)

    def codes(self, row: IndexRow) -> tuple[ArmCode, ...]:
        """Return what undoes the frames of *row*, in that order; none where it cannot be.

        :raises FormatError: damaged, of an unknown kind, or a code says that nobody may unwind.
        """
        return () if row.cannot_unwind else parse_codes(self._program(row))

    def _start(self, number: int) -> int:
        return self._address(self._rva + number * _ROW)

    def _program(self, row: IndexRow) -> bytes:
        """Return the byte codes of *row*."""
        if row.word & _COMPACT:
            if row.word >> 24 != _INLINE_MODEL:
                raise FormatError(f"unknown row {row.word:#x} of .ARM.exidx", offset=row.place)
            return row.word.to_bytes(4, "big")[1:]
        place = self._address(row.place)
        word = self._word(place)
        if word & _COMPACT:
            model = word >> 24 & 0x7F
            if model == 0:
                return word.to_bytes(4, "big")[1:]
            if model > 2:
                raise FormatError(f"unknown entry {word:#x} of .ARM.extab", offset=place)
            count, first = word >> 16 & 0xFF, word.to_bytes(4, "big")[2:]
        else:
            # A personality routine of a language, and its descriptor.
            place += 4
            word = self._word(place)
            count, first = word >> 24, word.to_bytes(4, "big")[1:]
        return first + b"".join(
            self._word(place + 4 * number).to_bytes(4, "big") for number in range(1, count + 1)
        )

    def _word(self, rva: int) -> int:
        return int.from_bytes(self._space.read(rva, 4), self._order)

    def _address(self, rva: int) -> int:
        """Return where the word at *rva* leads: 31 signed bits from the word itself."""
        value = self._word(rva) & 0x7FFFFFFF
        return rva + value - (value >> 30 << 31) & 0xFFFFFFFF


def parse_codes(program: bytes) -> tuple[ArmCode, ...]:
    """Return what the byte codes *program* do; what lies behind their end is not read.

    :raises FormatError: cut short, spare codes, or the one that says that nobody may unwind.
    """
    found: list[ArmCode] = []
    at = 0
    while at < len(program):
        first = program[at]
        if first == 0xB0:
            break
        size = 2 if first >> 4 == 8 or first in _LONG else 1
        if at + size > len(program):
            raise FormatError("ARM unwind codes are cut short", offset=at)
        if first == 0xB2:
            value, end = uleb128(program, at + 1)
            size = end - at
            found.append(_code(program[at:end], ArmOp.ALLOC, 0x204 + (value << 2)))
        else:
            found += _parse(program[at : at + size])
        at += size
    return tuple(found)


_LONG = frozenset((0xB1, 0xB3, 0xC6, 0xC7, 0xC8, 0xC9))
"""Codes of two bytes, besides 0x80 to 0x8F."""


def _parse(data: bytes) -> list[ArmCode]:
    """Return what a code does that is neither the end nor as long as it says itself."""
    first = data[0]
    low = first & 7
    if first < 0x80:
        value = ((first & 0x3F) << 2) + 4
        return [_code(data, ArmOp.ALLOC, value if first < 0x40 else -value)]
    if first < 0x90:
        return _pop_mask(data, ((first & 15) << 8 | data[1]) << 4)
    if first < 0xA0:
        if first & 15 in (_SP, _PC):
            raise _spare(data)
        return [_code(data, ArmOp.SET_SP, 0, (_NAMES[first & 15],))]
    if first < 0xB0:
        return _pop_mask(data, (1 << low + 1) - 1 << 4 | (first >> 3 & 1) << _LR)
    if first == 0xB1 and data[1] and data[1] < 16:
        return _pop_mask(data, data[1])
    if first == 0xB3:
        return [_pop_vectors(data, data[1] >> 4, data[1] & 15, 4)]
    if first == 0xB4:  # the authentication code of the return address
        return [_code(data, ArmOp.ALLOC, 4)]
    if first == 0xB5:
        return [_code(data, ArmOp.NOP)]
    if 0xB8 <= first < 0xC0:
        return [_pop_vectors(data, 8, low, 4)]
    if first in (0xC8, 0xC9):
        return [_pop_vectors(data, (data[1] >> 4) + (16 if first == 0xC8 else 0), data[1] & 15, 0)]
    if 0xD0 <= first < 0xD8:
        return [_pop_vectors(data, 8, low, 0)]
    if 0xC0 <= first < 0xC8:
        return [_code(data, ArmOp.ALLOC, _wireless_size(data))]
    raise _spare(data)


def _wireless_size(data: bytes) -> int:
    """Return the bytes of the Wireless MMX registers that a code pops, which no core has."""
    if data[0] < 0xC6:
        return 8 * ((data[0] & 7) + 1)
    if data[0] == 0xC6:
        return 8 * ((data[1] & 15) + 1)
    if not 0 < data[1] < 16:
        raise _spare(data)
    return 4 * data[1].bit_count()


def _pop_mask(data: bytes, mask: int) -> list[ArmCode]:
    if not mask:
        raise FormatError("the tables say that this frame cannot be unwound")
    names = tuple(_NAMES[number] for number in range(16) if mask >> number & 1)
    pop = _code(data, ArmOp.POP, 4 * len(names), names)
    # What is popped into sp is where the stack goes on.
    return [pop, _code(data, ArmOp.SET_SP, 0, ("sp",))] if mask >> _SP & 1 else [pop]


def _pop_vectors(data: bytes, first: int, count: int, extra: int) -> ArmCode:
    """Return the pop of d*first* and *count* more; FSTMX stores *extra* bytes behind them."""
    if first + count > 31:
        raise _spare(data)
    names = tuple(f"d{number}" for number in range(first, first + count + 1))
    return _code(data, ArmOp.POP, 8 * len(names) + extra, names)


def _code(data: bytes, op: ArmOp, value: int = 0, registers: tuple[str, ...] = ()) -> ArmCode:
    return ArmCode(op, registers, value, 0, data)


def _spare(data: bytes) -> FormatError:
    return FormatError(f"unknown ARM unwind code {data.hex()}")
