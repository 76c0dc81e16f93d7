"""What the instructions of A32 and T32 code that make and take down frames do to the stack.

Encodings: Arm Architecture Reference Manual (ARMv7-A and ARMv7-R). Only the forms that compilers
use are known; whatever else might change sp is a :attr:`Effect.STOP`.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec

_SP, _LR, _PC = 13, 14, 15
_NAMES: Final = (*(f"r{number}" for number in range(13)), "sp", "lr", "pc")
_ALWAYS = 14


class Effect(enum.Enum):
    """What an instruction does; *value* and *registers* are those of :class:`Instruction`."""

    PUSH = "push"  # sp -= value, then the registers from [sp] on
    POP = "pop"  # the registers from [sp] on, then sp += value
    MOVE_SP = "move sp"  # sp += value
    SET_FRAME = "set frame"  # the one register = sp + value
    SET_SP = "set sp"  # sp = the one register + value
    ADJUST = "adjust"  # the one register += value
    RETURN = "return"  # to the address in lr
    MAY_RETURN = "may return"  # on a condition
    JUMP = "jump"  # to value, or to where the one register says
    BRANCH = "branch"  # may jump to value
    CALL = "call"
    OTHER = "other"  # leaves sp alone, changes the registers, and goes on
    STOP = "stop"  # what is behind it need not follow, or sp is not known any more


class Instruction(msgspec.Struct, frozen=True):
    """One instruction of *length* bytes. *registers* are named as in contexts; what is pushed and
    popped lies one behind the other, ``r4`` and the like in 4 bytes, ``d8`` and the like in 8."""

    effect: Effect
    length: int
    value: int = 0
    registers: tuple[str, ...] = ()


def decode(code: bytes, address: int, *, is_thumb: bool) -> Instruction | None:
    """Return the instruction that *code* begins with, at *address*; ``None``: it is cut short."""
    if not is_thumb:
        return _a32(int.from_bytes(code[:4], "little"), address) if len(code) >= 4 else None
    if len(code) < 2:
        return None
    half = int.from_bytes(code[:2], "little")
    if half >> 11 < 0x1D:
        return _t16(half, address)
    if len(code) < 4:
        return None
    return _t32(half << 16 | int.from_bytes(code[2:4], "little"), address)


# -- A32 -------------------------------------------------------------------------------------


def _a32(word: int, address: int) -> Instruction:
    condition = word >> 28
    found = _a32_stack(word) or _a32_jump(word, address) or _a32_data(word)
    if condition == _ALWAYS:
        return found
    if condition == 15:  # other instructions: BLX, SIMD, hints
        return Instruction(Effect.CALL if word >> 25 & 7 == 5 else Effect.OTHER, 4)
    if found.effect is Effect.JUMP:
        return Instruction(Effect.BRANCH, 4, found.value)
    if found.effect is Effect.RETURN or "pc" in found.registers:
        return Instruction(Effect.MAY_RETURN, 4)
    return found if found.effect in (Effect.OTHER, Effect.CALL) else Instruction(Effect.STOP, 4)


def _a32_stack(word: int) -> Instruction | None:
    """Return what loads, stores and moves of sp do."""
    high, count = word & 0x0FFF0000, word & 0xFFF
    one = (word >> 12 & 15,)
    pair = (one[0], one[0] + 1)
    if high == 0x092D0000:  # stmdb sp!
        return _listed(Effect.PUSH, 4, word & 0xFFFF)
    if high == 0x08BD0000:  # ldm sp!
        return _listed(Effect.POP, 4, word & 0xFFFF)
    if high == 0x052D0000:  # str r, [sp, #-n]!
        return _numbered(Effect.PUSH, 4, one, count)
    if high == 0x049D0000:  # ldr r, [sp], #n
        return _numbered(Effect.POP, 4, one, count)
    if word & 0x0FBF0F00 in (0x0D2D0B00, 0x0CBD0B00):
        return _vectors(word)
    if word & 0x0FFF00F0 in (0x016D00F0, 0x00CD00D0) and one[0] < _SP:
        effect = Effect.PUSH if high == 0x016D0000 else Effect.POP  # strd, ldrd
        return _numbered(effect, 4, pair, word >> 4 & 0xF0 | word & 15)
    if word & 0x0FFF0FFF == 0x01A0000D:  # mov r, sp
        return Instruction(Effect.SET_FRAME, 4, 0, (_NAMES[one[0]],))
    if word & 0x0FFFFFF0 == 0x01A0D000:  # mov sp, r
        return Instruction(Effect.SET_SP, 4, 0, (_NAMES[word & 15],))
    kind = word & 0x0FE00000
    if kind in (0x02400000, 0x02800000):  # sub, add r, r, #n
        value = _a32_constant(word)
        return _sum(4, one[0], word >> 16 & 15, value if kind == 0x02800000 else -value)
    return None


def _a32_jump(word: int, address: int) -> Instruction | None:
    if word & 0x0FFFFFFF in (0x012FFF1E, 0x01A0F00E):  # bx lr, mov pc, lr
        return Instruction(Effect.RETURN, 4)
    if word & 0x0F000000 == 0x0A000000:
        offset = (word & 0xFFFFFF) - (word >> 23 & 1) * (1 << 24)
        return Instruction(Effect.JUMP, 4, address + 8 + 4 * offset & 0xFFFFFFFF)
    if word & 0x0FFFFFF0 == 0x012FFF30 or word & 0x0F000000 == 0x0B000000:  # blx r, bl
        return Instruction(Effect.CALL, 4)
    if word & 0x0FFFFFF0 == 0x012FFF10:  # bx r
        return Instruction(Effect.JUMP, 4, 0, (_NAMES[word & 15],))
    return None


def _a32_data(word: int) -> Instruction:
    kind, register = word >> 25 & 7, word >> 12 & 15
    base, is_load = word >> 16 & 15, bool(word >> 20 & 1)
    writes_back = base == _SP and bool(word >> 21 & 1 or not word >> 24 & 1)
    if kind == 0 and word & 0x90 == 0x90:  # products, halves and pairs
        if not word & 0x60:
            return _changes(4, base, register)
        writes_back &= word & 0x60 != 0
        return _stop() if writes_back else _changes(4, register, register + 1 & 15)
    if kind < 2:
        # Compares; without flags they are moves to system registers, or of 16 bits.
        is_wide_move = kind == 1 and word >> 20 & 0xFB == 0x30
        if word >> 23 & 3 == 2 and not is_wide_move:
            return _changes(4)
        return _changes(4, register)
    if kind == 2 or (kind == 3 and not word & 0x10):  # ldr, str
        if writes_back:
            return _stop()
        return _changes(4, register) if is_load else _changes(4)
    if kind == 4:  # ldm, stm
        listed = [number for number in range(16) if word >> number & 1] if is_load else []
        return _stop() if base == _SP and word >> 21 & 1 else _changes(4, *listed)
    if kind == 6 and base == _SP and word >> 21 & 1:  # vector loads and stores
        return _stop()
    return _changes(4)


def _a32_constant(word: int) -> int:
    value, turn = word & 0xFF, (word >> 8 & 15) * 2
    return (value >> turn | value << 32 - turn) & 0xFFFFFFFF


# -- T32 -------------------------------------------------------------------------------------


def _t16(half: int, address: int) -> Instruction:
    low = half & 7
    if half & 0xFE00 == 0xB400:
        return _listed(Effect.PUSH, 2, half & 0xFF | (half >> 8 & 1) << _LR)
    if half & 0xFE00 == 0xBC00:
        return _listed(Effect.POP, 2, half & 0xFF | (half >> 8 & 1) << _PC)
    if half & 0xFF00 == 0xB000:  # add, sub sp, #n
        value = (half & 0x7F) * 4
        return Instruction(Effect.MOVE_SP, 2, -value if half & 0x80 else value)
    if half & 0xF800 == 0xA800:
        return Instruction(Effect.SET_FRAME, 2, (half & 0xFF) * 4, (_NAMES[half >> 8 & 7],))
    if half & 0xFF00 == 0x4600:
        return _t16_move(low | half >> 4 & 8, half >> 3 & 15)
    if half & 0xFC00 == 0x4400:
        return _t16_high(half)
    if half & 0xF800 == 0xE000:
        offset = (half & 0x7FF) - (half >> 10 & 1) * 0x800
        return Instruction(Effect.JUMP, 2, address + 4 + 2 * offset & 0xFFFFFFFF)
    if half & 0xF500 == 0xB100:  # cbz, cbnz
        offset = half >> 3 & 0x40 | half >> 2 & 0x3E
        return Instruction(Effect.BRANCH, 2, address + 4 + offset & 0xFFFFFFFF)
    if half >> 12 == 0xD and (half >> 8 & 15) < 14:  # b<c>
        offset = (half & 0xFF) - (half >> 7 & 1) * 0x100
        return Instruction(Effect.BRANCH, 2, address + 4 + 2 * offset & 0xFFFFFFFF)
    if half & 0xFF00 == 0xBF00 and half & 15:  # if-then
        return Instruction(Effect.STOP, 2)
    if half & 0xF000 == 0x3000:  # add, sub r, #n
        value = half & 0xFF
        return _adjust(2, half >> 8 & 7, -value if half & 0x800 else value)
    if half < 0x4400:
        return _changes(2, half >> 8 & 7 if 0x2000 <= half < 0x4000 else low)
    return _t16_load(half)


def _t16_load(half: int) -> Instruction:
    """Return what loads and stores change, and extensions; the rest changes no register."""
    top = half >> 11
    if top in (0x09, 0x13, 0x14):  # from pc, from sp; an address from pc
        return _changes(2, half >> 8 & 7)
    if top == 0x19:  # ldm
        return _changes(2, *(number for number in range(8) if half >> number & 1))
    is_load = top in (0x0D, 0x0F, 0x11) or (top in (0x0A, 0x0B) and (half >> 9 & 7) >= 3)
    is_extension = half & 0xFF00 == 0xB200 or half & 0xFF00 == 0xBA00
    return _changes(2, half & 7) if is_load or is_extension else _changes(2)


def _t16_move(target: int, source: int) -> Instruction:
    if (target, source) == (_PC, _LR):
        return Instruction(Effect.RETURN, 2)
    if target == _SP:
        return Instruction(Effect.SET_SP, 2, 0, (_NAMES[source],))
    if source == _SP:
        return Instruction(Effect.SET_FRAME, 2, 0, (_NAMES[target],))
    return _changes(2, target)


def _t16_high(half: int) -> Instruction:
    """Return what the adds and compares of high registers, and jumps to registers do."""
    if half & 0xFF00 == 0x4500:  # cmp
        return _changes(2)
    if half & 0xFF00 == 0x4400:
        return _changes(2, half & 7 | half >> 4 & 8)
    if half & 0x80:  # blx r
        return Instruction(Effect.CALL, 2)
    if half == 0x4770:  # bx lr
        return Instruction(Effect.RETURN, 2)
    return Instruction(Effect.JUMP, 2, 0, (_NAMES[half >> 3 & 15],))


def _t32(word: int, address: int) -> Instruction:
    return _t32_stack(word) or _t32_jump(word, address) or _t32_data(word)


def _t32_stack(word: int) -> Instruction | None:
    high, one = word & 0xFFFF0000, (word >> 12 & 15,)
    pair, four = (one[0], word >> 8 & 15), (word & 0xFF) * 4
    if high == 0xE92D0000:
        return _listed(Effect.PUSH, 4, word & 0xFFFF)
    if high == 0xE8BD0000:
        return _listed(Effect.POP, 4, word & 0xFFFF)
    if word & 0xFFFF0F00 == 0xF84D0D00:  # str r, [sp, #-n]!
        return _numbered(Effect.PUSH, 4, one, word & 0xFF)
    if word & 0xFFFF0F00 == 0xF85D0B00:  # ldr r, [sp], #n
        return _numbered(Effect.POP, 4, one, word & 0xFF)
    if high == 0xE96D0000:  # strd r, r, [sp, #-n]!
        return _numbered(Effect.PUSH, 4, pair, four)
    if high == 0xE8FD0000:  # ldrd r, r, [sp], #n
        return _numbered(Effect.POP, 4, pair, four)
    if word & 0xFFBF0F00 in (0xED2D0B00, 0xECBD0B00):
        return _vectors(word)
    kind = word & 0xFBF08000
    target, base = word >> 8 & 15, word >> 16 & 15
    value = word >> 15 & 0x800 | word >> 4 & 0x700 | word & 0xFF
    if word & 0xFBE08000 in (0xF1000000, 0xF1A00000):
        value = _t32_constant(value)
        return _sum(4, target, base, value if word & 0xFBE08000 == 0xF1000000 else -value)
    if kind & 0xFBF00000 in (0xF2000000, 0xF2A00000):
        return _sum(4, target, base, value if kind & 0xFBF00000 == 0xF2000000 else -value)
    return None


def _t32_jump(word: int, address: int) -> Instruction | None:
    if word & 0xF8008000 != 0xF0008000:
        return None
    if word & 0x4000:  # bl, blx
        return Instruction(Effect.CALL, 4)
    sign = word >> 26 & 1
    if word & 0x1000:  # b.w
        first, second = word >> 13 & 1 ^ sign ^ 1, word >> 11 & 1 ^ sign ^ 1
        offset = (word >> 16 & 0x3FF) << 12 | (word & 0x7FF) << 1
        offset |= first << 23 | second << 22
        return Instruction(Effect.JUMP, 4, address + 4 + offset - (sign << 24) & 0xFFFFFFFF)
    if (word >> 22 & 15) >= 14:  # a hint, a barrier or a system register
        return _changes(4)
    offset = (word >> 16 & 0x3F) << 12 | (word & 0x7FF) << 1
    offset |= (word >> 13 & 1) << 18 | (word >> 11 & 1) << 19
    return Instruction(Effect.BRANCH, 4, address + 4 + offset - (sign << 20) & 0xFFFFFFFF)


def _t32_data(word: int) -> Instruction:
    group, register = word >> 25 & 0x7F, word >> 8 & 15
    base, source, is_load = word >> 16 & 15, word >> 12 & 15, bool(word >> 20 & 1)
    if group == 0x75 or word >> 27 == 0x1E:  # data processing
        return _changes(4) if register == _PC else _changes(4, register)  # else a compare
    if group == 0x7D:  # shifts, extensions, products
        both = (source, register) if word >> 23 & 7 == 7 else (register,)
        return _changes(4, *both)
    if group == 0x74:
        return _t32_several(word)
    if group == 0x7C:  # one register
        if base == _SP and word & 0x900 == 0x900 and not word >> 23 & 1:
            return _stop()
        is_hint = source == _PC and word >> 21 & 3 != 2
        return _changes(4, source) if is_load and not is_hint else _changes(4)
    if group in (0x76, 0x7E) and base == _SP and word >> 21 & 1:  # vector loads and stores
        return _stop()
    return _changes(4)


def _t32_several(word: int) -> Instruction:
    """Return what loads and stores of several registers change; jumps by tables are here too."""
    base, is_load = word >> 16 & 15, bool(word >> 20 & 1)
    if not word >> 22 & 1:  # ldm, stm
        listed = [number for number in range(16) if word >> number & 1] if is_load else []
        return _stop() if base == _SP and word >> 21 & 1 else _changes(4, *listed)
    if word & 0xFFF000E0 == 0xE8D00000 or (base == _SP and word >> 21 & 1):  # tbb, tbh
        return _stop()
    return _changes(4, word >> 12 & 15, *((word >> 8 & 15,) if word >> 8 & 15 != _PC else ()))


def _t32_constant(value: int) -> int:
    """Return the constant of 12 bits that T32 data processing stands for."""
    low = value & 0xFF
    if value >> 10:
        turn, low = value >> 7, low & 0x7F | 0x80
        return (low >> turn | low << 32 - turn) & 0xFFFFFFFF
    return low * (1, 0x00010001, 0x01000100, 0x01010101)[value >> 8]


# -- both ------------------------------------------------------------------------------------


def _sum(length: int, target: int, base: int, value: int) -> Instruction:
    if base == _SP == target:
        return Instruction(Effect.MOVE_SP, length, value)
    if base == _SP and target != _PC:
        return Instruction(Effect.SET_FRAME, length, value, (_NAMES[target],))
    if target == _SP and base != _PC:
        return Instruction(Effect.SET_SP, length, value, (_NAMES[base],))
    return _adjust(length, target, value) if base == target else _changes(length, target)


def _adjust(length: int, register: int, value: int) -> Instruction:
    if register == _PC:
        return _stop(length)
    return Instruction(Effect.ADJUST, length, value, (_NAMES[register],))


def _changes(length: int, *registers: int) -> Instruction:
    """Return the instruction that changes *registers* in no way that is known."""
    if _SP in registers or _PC in registers:
        return _stop(length)
    names = tuple(_NAMES[number] for number in registers)
    return Instruction(Effect.OTHER, length, 0, names)


def _stop(length: int = 4) -> Instruction:
    return Instruction(Effect.STOP, length)


def _listed(effect: Effect, length: int, mask: int) -> Instruction:
    numbers = tuple(number for number in range(16) if mask >> number & 1)
    return _numbered(effect, length, numbers, 4 * len(numbers))


def _numbered(effect: Effect, length: int, numbers: tuple[int, ...], value: int) -> Instruction:
    if not numbers or _SP in numbers or value < 4 * len(numbers):
        return Instruction(Effect.STOP, length)
    return Instruction(effect, length, value, tuple(_NAMES[number] for number in numbers))


def _vectors(word: int) -> Instruction:
    """Return VPUSH and VPOP of registers of 8 bytes, the same in A32 and T32."""
    first, count = word >> 18 & 16 | word >> 12 & 15, (word & 0xFF) // 2
    if not 0 < count <= 32 - first:
        return Instruction(Effect.STOP, 4)
    names = tuple(f"d{number}" for number in range(first, first + count))
    effect = Effect.POP if word & 0x00800000 else Effect.PUSH
    return Instruction(effect, 4, (word & 0xFF) * 4, names)
