"""Unwind codes of ARM (Thumb-2) images, and the canonical functions that packed rows stand for.

Source: Microsoft, "ARM exception handling"; the machine and context frames (EE) as Wine's
``dlls/ntdll/unwind.c`` documents them.
"""

from __future__ import annotations

from polydbg.base.errors import FormatError
from polydbg.formats.pe.arm_operations import ArmCode, ArmOp

_LR_BIT = 14
_SIZES = {0xE8: 2, 0xE9: 2, 0xEA: 2, 0xEB: 2, 0xEC: 2, 0xED: 2, 0xEE: 2, 0xEF: 2, 0xF5: 2, 0xF6: 2}
_LONG_SIZES = {0xF7: 3, 0xF8: 4, 0xF9: 3, 0xFA: 4}
_NARROW_LONG = (0xF7, 0xF8)
_PLAIN = {
    0xFB: (ArmOp.NOP, 2),
    0xFC: (ArmOp.NOP, 4),
    0xFD: (ArmOp.END, 2),
    0xFE: (ArmOp.END, 4),
    0xFF: (ArmOp.END, 0),
}
_SYSTEM = {0: ArmOp.TRAP_FRAME, 1: ArmOp.MACHINE_FRAME, 2: ArmOp.CONTEXT}


def code_size(first: int) -> int:
    """Return the bytes of the code that starts with *first*."""
    if 0x80 <= first < 0xC0:
        return 2
    return _SIZES.get(first) or _LONG_SIZES.get(first, 1)


def read_codes(sequence: bytes, index: int) -> tuple[ArmCode, ...]:
    """Return the codes from *index* to the end, :attr:`ArmOp.END` included.

    :raises FormatError: an unknown code, or none that ends them.
    """
    codes: list[ArmCode] = []
    while index < len(sequence):
        data = sequence[index : index + code_size(sequence[index])]
        if len(data) < code_size(data[0]):
            break
        index += len(data)
        code = _decode(data)
        codes.append(code)
        if code.op is ArmOp.END:
            return tuple(codes)
    raise FormatError("ARM unwind codes without an end")


def _decode(data: bytes) -> ArmCode:
    first, number = data[0], int.from_bytes(data, "big")
    if first < 0x80:
        return ArmCode(ArmOp.ALLOC, (), first * 4, 2, data)
    if first < 0xC0:
        return _pop(number & 0x1FFF | (number >> 13 & 1) << _LR_BIT, 4, data)
    if first < 0xD0:
        register = first & 15
        if register in (13, 15):
            raise FormatError(f"ARM unwind code {first:#x} takes sp from itself or pc")
        return ArmCode(ArmOp.SET_SP, (_name(register),), 0, 2, data)
    if first < 0xE0:
        last, length = (first & 3) + (8 if first & 8 else 4), 4 if first & 8 else 2
        return _pop((2 << last) - 0x10 | (first >> 2 & 1) << _LR_BIT, length, data)
    if first < 0xE8:
        return _pop_floats(8, 8 + (first & 7), data)
    if first < 0xEC:
        return ArmCode(ArmOp.ALLOC, (), (number & 0x3FF) * 4, 4, data)
    if first < 0xEE:
        return _pop(number & 0xFF | (number >> 8 & 1) << _LR_BIT, 2, data)
    if first in _LONG_SIZES:
        size = (number & (1 << 8 * (len(data) - 1)) - 1) * 4
        return ArmCode(ArmOp.ALLOC, (), size, 2 if first in _NARROW_LONG else 4, data)
    if first in _PLAIN:
        op, length = _PLAIN[first]
        return ArmCode(op, (), 0, length, data)
    return _rare(first, data)


def _rare(first: int, data: bytes) -> ArmCode:
    if first == 0xEE and data[1] in _SYSTEM:
        return ArmCode(_SYSTEM[data[1]], (), 0, 2, data)
    if first == 0xEF and data[1] < 0x10:
        return ArmCode(ArmOp.POP, ("lr",), data[1] * 4, 4, data)
    if first in (0xF5, 0xF6):
        upper = 16 if first == 0xF6 else 0
        return _pop_floats(upper + (data[1] >> 4), upper + (data[1] & 15), data)
    raise FormatError(f"ARM unwind code {data.hex()} is unknown")


def _name(register: int) -> str:
    return "lr" if register == _LR_BIT else f"r{register}"


def _pop(mask: int, length: int, data: bytes) -> ArmCode:
    names = tuple(_name(i) for i in range(_LR_BIT + 1) if mask >> i & 1)
    return ArmCode(ArmOp.POP, names, len(names) * 4, length, data)


def _pop_floats(first: int, last: int, data: bytes) -> ArmCode:
    names = tuple(f"d{i}" for i in range(first, last + 1))
    return ArmCode(ArmOp.POP, names, len(names) * 8, 4, data)


# -- packed rows ---------------------------------------------------------------------------------

_END, _END_NARROW, _END_WIDE = b"\xff", b"\xfd", b"\xfe"
_FOLDED = 0x3F4  # from here on, the adjustment is part of the push or of the pop
_LR_MASK, _CHAIN_MASK = 1 << _LR_BIT, 1 << 11
_NO_EPILOG = 3


class _Packed:
    """The fields of a packed row's second word; see Microsoft's document for their names."""

    def __init__(self, word: int) -> None:
        self.ret = word >> 13 & 3
        self.homes = word >> 15 & 1
        self.reg = word >> 16 & 7
        self.floats = word >> 19 & 1
        self.lr = word >> 20 & 1
        self.chain = word >> 21 & 1
        adjust = word >> 22 & 0x3FF
        folded = adjust >= _FOLDED
        self.words = (adjust & 3) + 1 if folded else adjust
        self.prolog_folds = folded and bool(adjust & 4)
        self.epilog_folds = folded and bool(adjust & 8)

    def mask(self, folds: bool, with_lr: bool) -> int:
        """Return the integer registers that the push or pop names."""
        mask = sum(1 << i for i in range(4 - self.words, 4)) if folds else 0
        if not self.floats:
            mask |= (2 << 4 + self.reg) - 0x10
        return mask | _CHAIN_MASK * self.chain | _LR_MASK * with_lr

    def adjust(self) -> list[bytes]:
        """Return the code of an adjustment of its own."""
        if self.words < 0x80:
            return [bytes([self.words])]
        return [(0xE800 | self.words).to_bytes(2, "big")]

    def vector(self) -> list[bytes]:
        return [bytes([0xE0 | self.reg])] if self.floats and self.reg != 7 else []


def _push(mask: int, narrow: bool) -> bytes:
    if narrow:
        return (0xEC00 | mask & 0xFF | (mask >> _LR_BIT & 1) << 8).to_bytes(2, "big")
    return (0x8000 | mask & 0x1FFF | (mask >> _LR_BIT & 1) << 13).to_bytes(2, "big")


def _is_low(mask: int) -> bool:
    return not mask & ~(0xFF | _LR_MASK)


def expand_packed(word: int) -> tuple[bytes, bytes]:
    """Return the codes of prolog and epilog (``b""`` for none) that a packed row stands for.

    :raises FormatError: flags that contradict each other.
    """
    packed = _Packed(word)
    if (packed.chain and not packed.lr) or (packed.ret == 0 and not packed.lr):
        raise FormatError("packed ARM unwind data contradict themselves")
    steps = [b"\x04"] if packed.homes else []
    mask = packed.mask(packed.prolog_folds, bool(packed.lr))
    if mask:
        steps.append(_push(mask, _is_low(mask)))
    if packed.chain:
        # mov r11,sp where only r11 and lr were pushed, else add r11,sp,#n
        steps.append(b"\xfb" if packed.floats and not packed.prolog_folds else b"\xfc")
    steps += packed.vector()
    if packed.words and not packed.prolog_folds:
        steps += packed.adjust()
    prolog = b"".join(reversed(steps)) + _END
    return prolog, b"" if packed.ret == _NO_EPILOG else _epilog(packed)


def _epilog(packed: _Packed) -> bytes:
    steps = packed.adjust() if packed.words and not packed.epilog_folds else []
    steps += packed.vector()
    returns = packed.ret == 0
    # ldr pc,[sp],#0x14 takes lr and the homed parameters at once.
    early = packed.homes and returns
    mask = packed.mask(packed.epilog_folds, bool(packed.lr and not early))
    if mask:
        # A narrow pop can name pc, but not lr.
        steps.append(_push(mask, _is_low(mask) and (returns or not mask & _LR_MASK)))
    if early:
        steps.append(b"\xef\x05")
    elif packed.homes:
        steps.append(b"\x04")
    return b"".join(steps) + {1: _END_NARROW, 2: _END_WIDE}.get(packed.ret, _END)
