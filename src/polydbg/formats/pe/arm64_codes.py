"""Unwind codes of ARM64 images, and the canonical functions that packed rows stand for.

Source: Microsoft, "ARM64 exception handling"; ``save_any_reg`` and the scalable forms as LLVM's
assembler writes them.
"""

from __future__ import annotations

from typing import Final

from polydbg.base.errors import FormatError
from polydbg.formats.pe.arm_operations import ArmCode, ArmOp

INSTRUCTION: Final = 4
_LAST_PAIR = 27  # x27 and x28 are the last integer pair; d8 follows
_MAX_NEXT = 16

_PLAIN: dict[int, ArmOp] = {
    0xE3: ArmOp.NOP,
    0xE4: ArmOp.END,
    0xE5: ArmOp.END_SCOPE,
    0xE8: ArmOp.TRAP_FRAME,
    0xE9: ArmOp.MACHINE_FRAME,
    0xEA: ArmOp.CONTEXT,
    0xEB: ArmOp.EC_CONTEXT,
    0xEC: ArmOp.CLEAR_UNWOUND,
    0xFC: ArmOp.SIGN_LR,
}
_SAVE_NEXT = 0xE6

# First byte of the two-byte saves without their operand bits: registers, first one's name, operand
# bits of the offset, and whether sp was lowered (pre-indexed).
_SAVES: tuple[tuple[int, int, str, int, bool], ...] = (
    (0xC8, 2, "x", 6, False),
    (0xCC, 2, "x", 6, True),
    (0xD0, 1, "x", 6, False),
    (0xD4, 1, "x", 5, True),
    (0xD8, 2, "d", 6, False),
    (0xDA, 2, "d", 6, True),
    (0xDC, 1, "d", 6, False),
    (0xDE, 1, "d", 5, True),
)


def code_size(first: int) -> int:
    """Return the bytes of the code that starts with *first*."""
    if first < 0xC0 or first >= 0xE8 or first in (0xE1, 0xE3, 0xE4, 0xE5, 0xE6):
        return 1
    return {0xE0: 4, 0xE7: 3}.get(first, 2)


def read_codes(sequence: bytes, index: int) -> tuple[ArmCode, ...]:
    """Return the codes from *index* to the end, :attr:`ArmOp.END` included.

    :raises FormatError: an unknown code, or none that ends them.
    """
    codes: list[ArmCode] = []
    nexts: list[int] = []  # places of save_next codes that wait for the pair they follow
    while index < len(sequence):
        data = sequence[index : index + code_size(sequence[index])]
        index += len(data)
        if len(data) < code_size(data[0]):
            break
        if data[0] == _SAVE_NEXT:
            nexts.append(len(codes))
            codes.append(ArmCode(ArmOp.NOP, (), 0, INSTRUCTION, data))
            continue
        code = _decode(data)
        codes.append(code)
        if nexts:
            _resolve(codes, nexts, code)
            nexts = []
        if code.op is ArmOp.END:
            return tuple(codes)
    raise FormatError("ARM64 unwind codes without an end")


def _resolve(codes: list[ArmCode], nexts: list[int], base: ArmCode) -> None:
    """Replace ``save_next`` codes: each saved the pair after that of the code behind it."""
    if len(base.registers) != 2 or len(nexts) > _MAX_NEXT:
        raise FormatError("save_next does not follow the save of a pair")
    kind, number = base.registers[0][0], base.registers[0][1:]
    if not number.isdecimal():
        raise FormatError("save_next does not follow the save of a numbered pair")
    first, offset = int(number), 0 if base.op is ArmOp.POP else base.value
    for place in reversed(nexts):
        first += 2
        offset += 32 if kind == "v" else 16
        if kind == "x" and first > _LAST_PAIR:
            kind, first = "d", 8
        names = (_name(kind, first), _name(kind, first + 1))
        codes[place] = ArmCode(ArmOp.RESTORE, names, offset, INSTRUCTION, codes[place].data)


def _name(kind: str, number: int) -> str:
    if number > (30 if kind == "x" else 31):
        raise FormatError(f"ARM64 unwind code for register {kind}{number}")
    if kind == "x" and number >= 29:
        return "fp" if number == 29 else "lr"
    return f"{kind}{number}"


def _names(kind: str, number: int, count: int) -> tuple[str, ...]:
    return tuple(_name(kind, number + i) for i in range(count))


def _decode(data: bytes) -> ArmCode:
    op, registers, value = _meaning(data)
    return ArmCode(op, registers, value, INSTRUCTION, data)


def _meaning(data: bytes) -> tuple[ArmOp, tuple[str, ...], int]:
    first, number = data[0], int.from_bytes(data, "big")
    if first < 0x20:
        return ArmOp.ALLOC, (), first * 16
    if first < 0x40:
        return ArmOp.POP, ("x19", "x20"), (first & 31) * 8
    if first < 0x80:
        return ArmOp.RESTORE, ("fp", "lr"), (first & 63) * 8
    if first < 0xC0:
        return ArmOp.POP, ("fp", "lr"), (first & 63) * 8 + 8
    if first < 0xC8:
        return ArmOp.ALLOC, (), (number & 0x7FF) * 16
    if first in _PLAIN:
        return _PLAIN[first], (), 0
    match first:
        case 0xE0:
            return ArmOp.ALLOC, (), (number & 0xFFFFFF) * 16
        case 0xE1:
            return ArmOp.SET_SP, ("fp",), 0
        case 0xE2:
            return ArmOp.SET_SP, ("fp",), data[1] * 8
        case 0xE7:
            return _any_register(data)
        case 0xDF:
            return ArmOp.SCALABLE, (), data[1]
        case 0xD6 | 0xD7:
            pair = (_name("x", 19 + 2 * (number >> 6 & 7)), "lr")
            return ArmOp.RESTORE, pair, (number & 63) * 8
        case _:
            return _save(first, number)


def _save(first: int, number: int) -> tuple[ArmOp, tuple[str, ...], int]:
    if not 0xC8 <= first <= 0xDE:
        raise FormatError(f"ARM64 unwind code {first:#x} is unknown")
    base, count, kind, bits, lowered = next(row for row in reversed(_SAVES) if row[0] <= first)
    register = (number - (base << 8)) >> bits
    names = _names(kind, (19 if kind == "x" else 8) + register, count)
    offset = (number & (1 << bits) - 1) * 8
    return (ArmOp.POP, names, offset + 8) if lowered else (ArmOp.RESTORE, names, offset)


def _any_register(data: bytes) -> tuple[ArmOp, tuple[str, ...], int]:
    """Decode ``save_any_reg``: 0pxrrrrr ffoooooo, p pair, x pre-indexed, f the register file."""
    kind = "xdv"[data[2] >> 6 : (data[2] >> 6) + 1]
    if data[1] & 0x80:
        raise FormatError("save_any_reg with its reserved bit set")
    if not kind:
        return ArmOp.SCALABLE, (), data[2] & 63  # save_zreg, save_preg
    pair, lowered, offset = data[1] >> 6 & 1, data[1] >> 5 & 1, data[2] & 63
    names = _names(kind, data[1] & 31, 1 + pair)
    if lowered:
        return ArmOp.POP, names, (offset + 1) * 16
    return ArmOp.RESTORE, names, offset * (16 if pair or kind == "v" else 8)


# -- packed rows ---------------------------------------------------------------------------------

_END, _SET_FP, _NOP, _SIGN = b"\xe4", b"\xe1", b"\xe3", b"\xfc"
_HOME_SIZE = 64
_LARGEST_STEP = 4080  # bytes that one sub instruction of a canonical prolog takes off sp


def _alloc(size: int) -> bytes:
    return bytes([size // 16]) if size < 512 else (0xC000 | size // 16).to_bytes(2, "big")


def _pair(base: int, register: int, offset: int) -> bytes:
    """Encode a save with six bits of offset; *register* counts from x19 or d8."""
    return ((base << 8) + (register << 6) + offset // 8).to_bytes(2, "big")


def _single_x(base: int, register: int, size: int) -> bytes:
    return ((base << 8) + (register << 5) + size // 8 - 1).to_bytes(2, "big")


def expand_packed(word: int) -> tuple[bytes, bytes]:
    """Return the codes of prolog and epilog that a packed row's second word stands for.

    Each ends with its own end code. Homing stores of parameters are no-operations.

    :raises FormatError: sizes that contradict each other.
    """
    floats = word >> 13 & 7
    integers, homes, chain = word >> 16 & 15, word >> 20 & 1, word >> 21 & 3
    integer_size = (integers + (chain == 1)) * 8
    float_size = (floats + 1) * 8 if floats else 0
    saved = integer_size + float_size + homes * _HOME_SIZE + 15 & ~15
    local = (word >> 23 & 0x1FF) * 16 - saved
    if integers > 10 or local < (16 if chain >= 2 else 0):
        raise FormatError("packed ARM64 unwind data contradict themselves")
    steps = [_SIGN] if chain == 2 else []
    steps += _integer_steps(integers, chain == 1, saved)
    steps += _float_steps(floats, integer_size, saved)
    if homes:
        # Without anything else to save, the first of the four stores lowers sp.
        steps += [_NOP if integer_size or floats else _alloc(saved), _NOP, _NOP, _NOP]
    steps += _local_steps(local, chain >= 2)
    prolog = b"".join(reversed(steps)) + _END
    undone = [step for step in reversed(steps) if step not in (_NOP, _SET_FP)]
    return prolog, b"".join(undone) + _END


def _integer_steps(count: int, with_lr: bool, saved: int) -> list[bytes]:
    if count == 0:
        return [_single_x(0xD4, 11, saved)] if with_lr else []
    if count == 1:
        if with_lr:  # there is no code for a pre-indexed pair with lr
            return [_alloc(saved), b"\xd6\x00"]
        return [_single_x(0xD4, 0, saved)]
    steps = [_pair(0xCC, 0, saved - 8)]
    steps += [_pair(0xC8, i, i * 8) for i in range(2, count - 1, 2)]
    last = count - 1
    if count % 2:
        steps.append(_pair(0xD6, last // 2, last * 8) if with_lr else _pair(0xD0, last, last * 8))
    elif with_lr:
        steps.append(_pair(0xD0, 11, count * 8))
    return steps


def _float_steps(floats: int, offset: int, saved: int) -> list[bytes]:
    if not floats:
        return []
    count = floats + 1
    steps = [
        _pair(0xD8, i, offset + i * 8) if i or offset else _pair(0xDA, 0, saved - 8)
        for i in range(0, count - 1, 2)
    ]
    if count % 2:
        steps.append(_pair(0xDC, count - 1, offset + (count - 1) * 8))
    return steps


def _local_steps(size: int, chained: bool) -> list[bytes]:
    if chained and size <= 512:
        return [bytes([0x80 | size // 8 - 1]), _SET_FP]
    steps = [_alloc(min(size, _LARGEST_STEP))] if size else []
    if size > _LARGEST_STEP:
        steps.append(_alloc(size - _LARGEST_STEP))
    return [*steps, b"\x40", _SET_FP] if chained else steps
