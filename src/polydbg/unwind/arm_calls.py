"""Whether a word can be a return address: the ARM64, ARM and Thumb calls before it.

Encodings: Arm Architecture Reference Manual (BL, BLR with and without pointer authentication;
BL, BLX of A32 and T32).
"""

from __future__ import annotations


def ends_with_arm_call(code: bytes, machine: str, value: int) -> bool:
    """Return whether *code*, which ends at the return address *value*, ends with a call of
    *machine*; bit 0 of *value* says Thumb where that is ``arm``."""
    if machine == "arm64":
        return len(code) >= 4 and _is_arm64_call(_word(code))
    if value & 1:
        return _ends_with_thumb_call(code)
    return len(code) >= 4 and _is_a32_call(_word(code))


def _word(code: bytes) -> int:
    return int.from_bytes(code[-4:], "little")


def _is_arm64_call(word: int) -> bool:
    return (
        word & 0xFC000000 == 0x94000000  # bl
        or word & 0xFFFFFC1F == 0xD63F0000  # blr
        or word & 0xFEFFF800 == 0xD63F0800  # blraa, blrab, blraaz, blrabz
    )


def _is_a32_call(word: int) -> bool:
    if word >> 28 == 15:
        return word & 0xFE000000 == 0xFA000000  # blx to Thumb code
    return word & 0x0F000000 == 0x0B000000 or word & 0x0FFFFFF0 == 0x012FFF30  # bl, blx register


def _ends_with_thumb_call(code: bytes) -> bool:
    last = int.from_bytes(code[-2:], "little")
    if len(code) >= 2 and last & 0xFF87 == 0x4780:  # blx register
        return True
    if len(code) < 4:
        return False
    first = int.from_bytes(code[-4:-2], "little")
    return first & 0xF800 == 0xF000 and last & 0xC000 == 0xC000  # bl, blx


def arm64_call_target(code: bytes, address: int) -> int | None:
    """Return where the direct call before *address* goes, ``None`` for anything else."""
    word = _word(code)
    if len(code) < 4 or word & 0xFC000000 != 0x94000000:
        return None
    offset = word & 0x03FFFFFF
    return address - 4 + (offset - (offset >> 25 << 26)) * 4
