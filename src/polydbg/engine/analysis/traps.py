"""Traps that compilers put into code: which failed check an instruction stands for.

Facts: what clang 19 makes for ``-fsanitize-trap``: ``ud1 eax,[eax+N]`` on x86 and x64 and ``brk
#0x5500+N`` on ARM64, N the number of the check; ``__builtin_trap`` is ``ud2`` on x86, on ARM64
``brk #1`` of clang and ``brk #1000`` of GCC; pointer authentication that fails is ``brk #0xc470``
to ``#0xc473``.
"""

from __future__ import annotations

from typing import Final

import msgspec

_CHECKS: Final = {
    0: "an addition of integers overflowed",
    1: "code was reached that was declared unreachable",
    2: "a call or a cast failed a check of control flow integrity",
    3: "an integer was divided by zero, or the quotient does not fit",
    4: "an object has not the type that it was used as",
    5: "a floating-point number does not fit the integer it was converted to",
    6: "a function was called through a pointer of another type",
    7: "an implicit conversion lost a part of the value",
    8: "a builtin function got an argument that it must not get",
    10: "a bool or an enumeration holds a value that it cannot have",
    11: "a function ended without returning a value",
    12: "a multiplication of integers overflowed",
    13: "a negation overflowed",
    14: "null was passed where it was declared not to be",
    15: "null was returned where it was declared not to be",
    16: "null was passed where it was declared not to be",
    17: "null was returned where it was declared not to be",
    18: "an index was out of the bounds of its array",
    19: "an addition to a pointer overflowed, or was to null",
    20: "a shift was by too many bits, or of a negative number",
    21: "a subtraction of integers overflowed",
    22: "a pointer was null, crooked, or to too little memory",
    23: "a pointer is not aligned as was promised",
    24: "the length of an array is not positive",
}
LONGEST: Final = 5
"""How many bytes the longest trap has."""
_BRK_MASK, _BRK = 0xFFE0001F, 0xD4200000
_BRK_CHECKS: Final = 0x5500
_BRK_WORDS: Final = {
    1: "a trap that the compiler put into the code was reached: a failed check, or code that must "
    "not be reached",
    1000: "a trap that the compiler put into the code was reached: a failed check, or code that "
    "must not be reached",
    **dict.fromkeys(range(0xC470, 0xC474), "a signed pointer failed its authentication"),
}


class Trap(msgspec.Struct, frozen=True):
    """What reached a trap means: *problem_class* and *words*."""

    problem_class: str
    words: str


def trap_of(data: bytes, machine: str) -> Trap | None:
    """Return what the trap at the start of *data* stands for, ``None`` where there is no such."""
    if machine in ("amd64", "x86"):
        number = _ud1_number(data, machine)
        return _check(number) if number is not None else None
    if machine == "arm64" and len(data) >= 4:
        word = int.from_bytes(data[:4], "little")
        if word & _BRK_MASK == _BRK:
            code = word >> 5 & 0xFFFF
            if code in _BRK_WORDS:
                is_pointer = code >= _BRK_CHECKS
                problem = "POINTER_AUTHENTICATION" if is_pointer else "ILLEGAL_INSTRUCTION"
                return Trap(problem, _BRK_WORDS[code])
            return _check(code - _BRK_CHECKS)
    return None


def _ud1_number(data: bytes, machine: str) -> int | None:
    """Return N of ``ud1 eax,[eax+N]``, on x64 with the prefix for addresses of 32 bits."""
    code = data.removeprefix(b"\x67") if machine == "amd64" else data
    if code[:3] == b"\x0f\xb9\x00":
        return 0
    return code[3] if code[:3] == b"\x0f\xb9\x40" and len(code) > 3 else None


def _check(number: int) -> Trap | None:
    words = _CHECKS.get(number)
    if words is None:
        return None
    return Trap("UNDEFINED_BEHAVIOR", f"a check that clang put into the code failed: {words}")
