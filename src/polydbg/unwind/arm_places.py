"""Where in an A32 or T32 function a place is: its frame is being made, is there, or is being taken
down. Tables that hold at calls alone say how the frame looks when it is there; the code, decoded,
says what of it is there elsewhere.
"""

from __future__ import annotations

import enum
from typing import Final

from polydbg.formats.pe.arm_operations import ArmCode, ArmOp
from polydbg.memory.space import AddressSpace
from polydbg.unwind.arm_code import Effect, Instruction, decode

_MAX_PROLOG: Final = 0x100
_MAX_EPILOG: Final = 0x40
"""Instructions that are decoded at most."""

_MAX_LOCALS: Final = 1 << 24

_PASSED: Final = frozenset(
    (Effect.SET_FRAME, Effect.ADJUST, Effect.MAY_RETURN, Effect.CALL, Effect.OTHER)
)
"""What a prolog may have besides what makes the frame: other work is done meanwhile."""


class Inside(enum.Enum):
    """Where a place is when not in the middle of making the frame."""

    BODY = "body"  # the frame is there
    UNKNOWN = "unknown"  # the code does not say


class Code:
    """The code of an image, by RVA."""

    def __init__(self, space: AddressSpace, is_thumb: bool) -> None:
        self._space = space
        self._is_thumb = is_thumb

    def at(self, rva: int) -> Instruction | None:
        """Return the instruction at *rva*, ``None`` where it is absent."""
        return decode(self._space.read_some(rva, 4), rva, is_thumb=self._is_thumb)


class _Frame:
    """The frame that codes describe: how many bytes it has below the address of the caller's, and
    from which register on, if not from sp; and how far down registers are saved."""

    def __init__(self, codes: tuple[ArmCode, ...]) -> None:
        self.register = ""
        self.size = 0
        self.deepest = 0
        for code in reversed(codes):
            if code.op is ArmOp.SET_SP:
                self.register = code.registers[0]
                break
            self.size += code.value
            if code.op is ArmOp.POP:
                self.deepest = max(self.deepest, self.size)
        self._is_set = not self.register

    def is_made(self, depth: int, done: Instruction | None) -> bool:
        """Tell whether it is there when *done*, the latest of its instructions, has left sp *depth*
        bytes down."""
        if not self.register:
            return depth == self.size
        if done is not None and done.effect is Effect.SET_FRAME:
            is_register = done.registers == (self.register,)
            self._is_set |= is_register and depth - done.value == self.size
        return self._is_set and depth >= self.deepest


def undoing_at(
    codes: tuple[ArmCode, ...], code: Code, start: int, rva: int
) -> tuple[ArmCode, ...] | Inside:
    """Return what undoes the part of a frame that is there at *rva*, before the frame is whole.

    The function begins at *start*; *codes* undo the whole frame. Its code must come to make exactly
    that frame, in one line, or nothing is known. Neither is it where a jump leads around that line
    to the place or before it: it may be without the frame.
    """
    frame = _Frame(codes)
    undone: list[ArmCode] = []
    depth, at, is_passed = 0, start, False
    part: tuple[ArmCode, ...] | None = None
    done: Instruction | None = None
    for _ in range(_MAX_PROLOG):
        if part is None and at >= rva:
            part = tuple(reversed(undone))
        if frame.is_made(depth, done):
            if part is not None and (at > rva or not frame.size):
                return part
            return Inside.UNKNOWN if is_passed else Inside.BODY
        done = code.at(at)
        if done is None or depth > frame.size + _MAX_LOCALS:
            break
        if done.effect is Effect.PUSH:
            depth += done.value
            undone.append(_code(ArmOp.POP, done.value, _plain(done.registers)))
        elif done.effect is Effect.MOVE_SP:
            depth -= done.value
            undone.append(_code(ArmOp.ALLOC, -done.value))
        elif done.effect is Effect.BRANCH:
            is_passed |= at < done.value <= rva
        elif done.effect not in _PASSED:
            break
        at += done.length
    return Inside.UNKNOWN


def undoing_epilog(code: Code, rva: int, start: int, end: int | None) -> tuple[ArmCode, ...] | None:
    """Return what undoes the rest of a frame where the code from *rva* on returns at once, ``None``
    where it does not. The function is the code from *start* to *end*."""
    undone: list[ArmCode] = []
    moved: dict[str, int | None] = {}  # how far registers are moved, if that is known
    at = rva
    for _ in range(_MAX_EPILOG):
        done = code.at(at)
        if done is None:
            return None
        if done.effect is Effect.RETURN:
            return tuple(undone)
        if done.effect is Effect.JUMP:
            leaves = done.registers or not start <= done.value < (end or done.value)
            restores = _restores_lr(undone) if undone else _is_behind_restore(code, rva)
            return tuple(undone) if leaves and restores else None
        if not _undo(done, undone, moved):
            return None
        if done.effect is Effect.POP and "pc" in done.registers:
            return tuple(undone)
        at += done.length
    return None


def _undo(done: Instruction, undone: list[ArmCode], moved: dict[str, int | None]) -> bool:
    """Add what *done* takes down; return whether it goes on behind it and is understood."""
    if done.effect is Effect.POP:
        undone.append(_code(ArmOp.POP, done.value, _plain(done.registers)))
        moved.update(dict.fromkeys(done.registers, 0))
    elif done.effect is Effect.MOVE_SP and done.value > 0:
        undone.append(_code(ArmOp.ALLOC, done.value))
    elif done.effect is Effect.SET_SP:
        by = moved.get(done.registers[0], 0)
        if by is None:
            return False
        undone.append(_code(ArmOp.SET_SP, -(done.value + by), done.registers))
    elif done.effect is Effect.ADJUST:
        by = moved.get(done.registers[0], 0)
        moved[done.registers[0]] = None if by is None else by + done.value
    elif done.effect in (Effect.OTHER, Effect.SET_FRAME):
        # What a function must keep it has not changed, or takes from the stack still.
        moved.update(dict.fromkeys(done.registers))
    else:
        return False
    return "lr" not in done.registers or done.effect is Effect.POP


def _restores_lr(undone: list[ArmCode]) -> bool:
    return any("lr" in each.registers for each in undone)


def _is_behind_restore(code: Code, rva: int) -> bool:
    """Tell whether the instruction before *rva* takes the return address off the stack: that of a
    jump to another function at the end of one has 4 bytes in T32 code too."""
    before = code.at(rva - 4) if rva >= 4 else None
    return (
        before is not None
        and before.length == 4
        and before.effect is Effect.POP
        and "lr" in before.registers
    )


def _plain(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return *names* with lr for pc: what is popped there is the return address."""
    return tuple("lr" if name == "pc" else name for name in names)


def _code(op: ArmOp, value: int, registers: tuple[str, ...] = ()) -> ArmCode:
    return ArmCode(op, registers, value, 0, b"")
