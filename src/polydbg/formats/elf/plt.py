"""Which function each entry of a procedure linkage table calls: by the slot its code jumps through.

The entries are decoded, not counted, since linkers lay tables out in many ways (``.plt.sec``,
branch targets, Thumb prefixes). Sources: the processor supplements of x86-64, i386, AArch64 and ARM
("Procedure Linkage Table"), Intel's CET for ``.plt.sec``, and the instruction sets' manuals.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterator

import msgspec

from polydbg.formats.elf import constants as elf

_MAX_TABLE = 16 << 20
_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF


class PltEntry(msgspec.Struct, frozen=True):
    """An entry at *address* of *size* bytes that jumps through the slot at *slot*; addresses are
    virtual as linked."""

    address: int
    size: int
    slot: int


class Relocation(msgspec.Struct, frozen=True):
    """A relocation of the word at *offset*, by symbol number *symbol* (0 none)."""

    offset: int
    type: int
    symbol: int
    addend: int


def parse_relocations(
    data: bytes, mark: str, is_64: bool, has_addends: bool, wanted: Container[int]
) -> Iterator[Relocation]:
    """Yield the relocations of a table whose offsets are *wanted*. (64-bit MIPS lays them out
    otherwise: not for it.)"""
    if is_64:
        layout = struct.Struct(mark + ("QQq" if has_addends else "QQ"))
        shift, mask = 32, _MASK32
    else:
        layout = struct.Struct(mark + ("IIi" if has_addends else "II"))
        shift, mask = 8, 0xFF
    for offset, info, *rest in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
        if offset in wanted:
            yield Relocation(offset, info & mask, info >> shift, rest[0] if rest else 0)


def parse_plt(
    machine: int, data: bytes, address: int, *, big: bool = False, got: int = 0
) -> list[PltEntry]:
    """Return the entries in *data*, a section of such code at *address*.

    *got* is what ebx holds in position-independent i386 code: the value of ``DT_PLTGOT``. Other
    processors than the four that are known have no entries.
    """
    decoder = _DECODERS.get(machine)
    if decoder is None or (big and machine not in (elf.EM_ARM, elf.EM_AARCH64)):
        return []
    jumps = list(decoder(data[:_MAX_TABLE], address, got))
    found: list[PltEntry] = []
    for number, (start, slot) in enumerate(jumps):
        behind = jumps[number + 1][0] if number + 1 < len(jumps) else address + len(data)
        # Entries of one table are alike: the last one is as long as those before it.
        size = min(behind - start, found[-1].size if found else 32)
        found.append(PltEntry(start, size, slot))
    return found


_Jumps = Iterator[tuple[int, int]]
"""Address of an entry, address of its slot."""


def _x86(data: bytes, address: int, got: int, *, is_64: bool) -> _Jumps:
    """``jmp *slot`` (FF 25, or FF A3 with ebx): first in its entry, or behind ENDBR and BND."""
    position = 0
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 6 > len(data):
            return
        kind = data[position + 1]
        start = position - (position > 0 and data[position - 1] == 0xF2)
        if data[max(start - 4, 0) : start] in (b"\xf3\x0f\x1e\xfa", b"\xf3\x0f\x1e\xfb"):
            start -= 4
        # The head of the table pushes before it jumps; an entry begins on an even boundary.
        is_jump = kind == 0x25 or (kind == 0xA3 and not is_64)
        if not is_jump or (address + start) % 8:
            position += 1
            continue
        (move,) = struct.unpack_from("<i", data, position + 2)
        position += 6
        if is_64:
            yield address + start, (address + position + move) & _MASK64
        else:
            yield address + start, (move + (got if kind == 0xA3 else 0)) & _MASK32


def _amd64(data: bytes, address: int, got: int) -> _Jumps:
    return _x86(data, address, got, is_64=True)


def _i386(data: bytes, address: int, got: int) -> _Jumps:
    return _x86(data, address, got, is_64=False)


def _arm64(data: bytes, address: int, got: int) -> _Jumps:
    """``adrp x16; ldr x17, [x16, #n]``, perhaps behind ``bti c``; the head pushes first."""
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    for index in range(len(words) - 1):
        page, load = words[index], words[index + 1]
        if page & 0x9F00001F != 0x90000010 or load & 0xFFC003FF != 0xF9400211:
            continue
        before = words[index - 1] if index else 0
        if before == 0xA9BF7BF0:  # stp x16, x30, [sp, #-16]!
            continue
        move = (page >> 5 & 0x7FFFF) << 2 | page >> 29 & 3
        move -= (move & 0x100000) << 1
        here = address + 4 * index
        slot = (here & ~0xFFF) + (move << 12) + ((load >> 10 & 0xFFF) << 3)
        yield here - 4 * (before == 0xD503245F), slot & _MASK64


def _arm(data: bytes, address: int, got: int) -> _Jumps:
    """``add ip, pc, #n; add ip, ip, #n; [add ip, ip, #n;] ldr pc, [ip, #n]!``, perhaps behind
    ``bx pc; nop`` for callers in Thumb."""
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    index = 0
    while index < len(words):
        start, place = index, 0
        index += 1
        if words[start] & 0xFFFFF000 != 0xE28FC000:
            continue
        place = address + 4 * start + 8 + _rotated(words[start])
        while index < len(words) and words[index] & 0xFFFFF000 == 0xE28CC000:
            place += _rotated(words[index])
            index += 1
        if index < len(words) and words[index] & 0xFFFFF000 == 0xE5BCF000:
            has_prefix = start and words[start - 1] == 0x46C04778  # bx pc; nop (in Thumb)
            yield address + 4 * (start - bool(has_prefix)), place + (words[index] & 0xFFF) & _MASK32
            index += 1


def _rotated(word: int) -> int:
    """Return the constant of a data-processing instruction: eight bits, rotated right."""
    value, turn = word & 0xFF, 2 * (word >> 8 & 15)
    return (value >> turn | value << (32 - turn)) & _MASK32


_DECODERS: dict[int, Callable[[bytes, int, int], _Jumps]] = {
    elf.EM_X86_64: _amd64,
    elf.EM_386: _i386,
    elf.EM_AARCH64: _arm64,
    elf.EM_ARM: _arm,
}
