"""What a bad pointer says about itself: null, a heap's fill pattern, text, not canonical.

Fill patterns are those that Microsoft documents for the debug heap of the C run-time library, for
Windows' own heap under a debugger and for its page heap, and the defaults of jemalloc and
AddressSanitizer.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

NULL_SIZE: Final = 0x10000
"""Nothing is mapped below: the first 64 KB of Windows processes, and by default elsewhere."""


class Fill(enum.Enum):
    """What memory is that holds a fill pattern."""

    FRESH = "uninitialised"
    FREED = "freed"
    FILLED = "filled"


_BYTE_PATTERNS = {
    0xCD: (Fill.FRESH, "fresh memory of the debug heap, never written"),
    0xCC: (Fill.FRESH, "a local variable of a debug build, never written"),
    0xDD: (Fill.FREED, "freed memory of the debug heap"),
    0xFD: (Fill.FILLED, "the guard bytes around a block of the debug heap"),
    0xAB: (Fill.FILLED, "the guard bytes behind a block of the heap"),
    0xA5: (Fill.FILLED, "memory that a debugging allocator filled"),
    0x5A: (Fill.FREED, "memory that a debugging allocator freed"),
    0xE5: (Fill.FREED, "memory that jemalloc freed"),
    0xBE: (Fill.FRESH, "fresh memory under AddressSanitizer"),
}
_WORD_PATTERNS = {
    0xFEEEFEEE: (Fill.FREED, "freed memory of the heap"),
    0xBAADF00D: (Fill.FRESH, "fresh memory of the heap, never written"),
    0xDEADBEEF: (Fill.FILLED, "a marker that programs write into what must not be used"),
    0xF0DE7FFF: (Fill.FREED, "freed memory of the page heap"),
    0xC0C0C0C0: (Fill.FRESH, "fresh memory of the page heap"),
    0xF0F0F0F0: (Fill.FREED, "freed memory of the page heap"),
    0xD0D0D0D0: (Fill.FILLED, "the fill behind a block of the page heap"),
}
_BELOW_NULL: Final = 0x1000
_SLACK: Final = 0x10000


class FillPattern(msgspec.Struct, frozen=True):
    """*word* repeated is what somebody fills memory with: *meaning* says who and when."""

    word: int
    state: Fill
    meaning: str


_PATTERNS = (
    *(FillPattern(word, *what) for word, what in _WORD_PATTERNS.items()),
    *(FillPattern(byte * 0x01010101, *what) for byte, what in _BYTE_PATTERNS.items()),
)


def fill_pattern(value: int, size: int) -> FillPattern | None:
    """Return the pattern that a pointer of *size* bytes holds; an offset of up to 64 KB may have
    been added to its low end, so *value* may be that of an address."""
    low, high = value & 0xFFFFFFFF, value >> 32
    for pattern in _PATTERNS:
        if 0 <= low - pattern.word < _SLACK and (size == 4 or high == pattern.word):
            return pattern
    return None


def is_null(address: int) -> bool:
    """Tell whether *address* is what a null pointer with the offset of a field looks like."""
    return address < NULL_SIZE


def below_null(address: int, size: int) -> int | None:
    """Return how far *address* lies below 0 when it wrapped around, ``None`` when it did not."""
    distance = (1 << 8 * size) - address
    return distance if 0 < distance <= _BELOW_NULL else None


def is_canonical(address: int, arch: str) -> bool:
    """Tell whether the processor accepts *address*: on x64 bits 63 to 47 are alike (48-bit paging;
    with five levels, bits 63 to 56)."""
    if arch != "amd64":
        return True
    top = address >> 47
    return top in (0, 0x1FFFF)


def text_in(value: int, size: int) -> str:
    """Return the text that a pointer's bytes spell, ``""`` unless every one of them is printable,
    or for UTF-16 every second one with 0 between."""
    data = value.to_bytes(size, "little")
    if all(0x20 <= byte < 0x7F for byte in data):
        return data.decode("ascii")
    if size == 8 and not any(data[1::2]) and all(0x20 <= byte < 0x7F for byte in data[::2]):
        return data[::2].decode("ascii")
    return ""


def is_of_system(address: int, machine: str, platform: str) -> bool:
    """Tell whether *address* lies where programs have nothing: in the kernel's part. On ARM64 bit
    55 tells; the byte above may be a tag of the program's own (top byte ignore)."""
    if machine == "arm64":
        return bool(address >> 55 & 1)
    if "64" in machine:
        return address >> 63 == 1
    return platform == "windows" and address >= 0xC0000000
