"""Prologs and epilogs of x86 code, decoded: how far the stack is from the return address.

Frame data says little about the instructions that set a frame up and nothing about those that take
it down. These are few and simple (pushes, ``mov ebp, esp``, ``sub esp, n``; ``add esp, n``,
``leave``, pops, ``ret``), and a straight run of them has one outcome. Source of the encodings:
Intel, "Software Developer's Manual", volume 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

REGISTERS: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
"""Registers by their number in instructions."""

PRESERVED: Final = frozenset(("ebx", "ebp", "esi", "edi"))
"""What a function must give back unchanged."""

MAX_PROLOG: Final = 96
MAX_EPILOG: Final = 64
_VOLATILE = 3  # eax, ecx, edx have the numbers below this


class Prolog(msgspec.Struct, frozen=True):
    """What a run of instructions from a function's start has done. Depths count bytes down from
    the return address.

    *depth* is that of esp; *saved* holds registers and the depths they were pushed to;
    *frame_depth* is that of ebp, ``None`` when it is not the frame pointer yet. *is_whole* says
    that every instruction was understood, so that *depth* and *saved* are all there is.
    """

    depth: int
    saved: tuple[tuple[str, int], ...]
    frame_depth: int | None
    is_whole: bool

    @property
    def is_standard(self) -> bool:
        """Return whether it set up the usual frame: the caller's ebp, below the return address."""
        return self.frame_depth == 4 and ("ebp", 4) in self.saved


def decode_prolog(code: bytes) -> Prolog:
    """Return what *code*, from a function's start, does until its end or the first instruction
    that belongs to no prolog."""
    depth, frame_depth = 0, None
    saved: dict[str, int] = {}
    at = 0
    while at < len(code):
        rest = code[at : at + 8]
        length, change = _step_down(rest)
        if length == 0 or at + length > len(code):
            break
        depth += change
        if 0x50 <= rest[0] <= 0x57 and REGISTERS[rest[0] & 7] in PRESERVED:
            saved.setdefault(REGISTERS[rest[0] & 7], depth)
        elif rest[:2] in (b"\x8b\xec", b"\x89\xe5"):  # mov ebp, esp
            frame_depth = depth
        elif rest[:3] in (b"\x8d\x6c\x24", b"\x8d\xac\x24"):  # lea ebp, [esp + n]
            frame_depth = depth - _signed(rest[3:length])
        at += length
    return Prolog(depth, tuple(saved.items()), frame_depth, at == len(code))


_NO_PUSH = frozenset(
    # mov edi, edi (room for a patch); mov ebp, esp; xor eax, ebp: two encodings of each
    bytes.fromhex(code)
    for code in ("8bff", "89ff", "8bec", "89e5", "33c5", "31e8")
)


def _step_down(rest: bytes) -> tuple[int, int]:
    """Return length and change of the depth of an instruction in a prolog, length 0 for others."""
    rest = rest.ljust(8, b"\0")  # a length beyond the end stops the caller
    first, second = rest[0], rest[1:2]
    if 0x50 <= first <= 0x57:  # push register
        return 1, 4
    if first == 0x6A:  # push imm8
        return 2, 4
    if first == 0x68:  # push imm32
        return 5, 4
    if rest[:2] in _NO_PUSH:
        return 2, 0
    if first == 0xFF and 0x70 <= rest[1] <= 0x77 and rest[1] != 0x74:  # push [register + disp8]
        return 3, 4
    if rest[:3] == b"\x8d\x6c\x24":  # lea ebp, [esp + disp8]
        return 4, 0
    if rest[:3] == b"\x8d\xac\x24":  # lea ebp, [esp + disp32]
        return 7, 0
    if rest[:2] == b"\x83\xec" and rest[2] < 0x80:  # sub esp, imm8
        return 3, rest[2]
    if rest[:2] == b"\x81\xec" and rest[5] < 0x80:  # sub esp, imm32
        return 6, int.from_bytes(rest[2:6], "little")
    if first in (0xA1, 0xB8):  # mov eax, [address] or imm32
        return 5, 0
    if rest[:2] == b"\x64\xa1":  # mov eax, fs:[address]
        return 6, 0
    if first == 0x89 and second in (b"\x45", b"\x4d", b"\x55"):  # mov [ebp - n], eax, ecx, edx
        return 3, 0
    return 0, 0


class Epilog(msgspec.Struct, frozen=True):
    """How the rest of a function ends: the return address lies at *offset* from the register
    *base* (esp or ebp); *restored* holds registers and where their values lie, in the same terms.
    *arguments_size* is how many bytes above the return address ``ret n`` takes off. *is_jump*
    says that a jump ends it, *is_jump_only*
    says that nothing but a jump is left, which may as well go to another part of the function.
    """

    base: str
    offset: int
    restored: tuple[tuple[str, str, int], ...]
    arguments_size: int
    is_jump: bool
    is_jump_only: bool


def decode_epilog(code: bytes, leaves: Callable[[int], bool]) -> Epilog | None:
    """Return what *code*, from the next instruction, will do when it is the end of a function.

    *leaves* says whether a jump, by its distance from the start of *code*, leaves the function.
    """
    base, offset = "esp", 0
    restored: dict[str, tuple[str, int]] = {}
    at, released = 0, False
    while at < len(code):
        rest = code[at : at + 8]
        if "ebp" in restored and _takes_esp_from_ebp(rest):
            return None
        is_return = _is_return(rest)
        if is_return or ((released or at == 0) and _is_tail_jump(rest, at, leaves)):
            places = ((name, *place) for name, place in restored.items())
            popped = int.from_bytes(rest[1:3], "little") if rest[:1] == b"\xc2" else 0
            return Epilog(
                base, offset, tuple(places), popped, not is_return, not is_return and not released
            )
        moved = _moved_stack(rest)
        if moved is not None:
            length, base, offset = moved
            released = True
        elif 0x58 <= rest[0] <= 0x5F and rest[0] != 0x5C:  # pop register
            restored[REGISTERS[rest[0] & 7]] = base, offset
            length, offset, released = 1, offset + 4, True
        elif rest[:1] == b"\xc9":  # leave
            restored["ebp"] = "ebp", 0
            base, length, offset, released = "ebp", 1, 4, True
        else:
            length, change = _released(rest)
            offset += change
            released = released or change != 0
        if length == 0:
            return None
        at += length
    return None


def _takes_esp_from_ebp(rest: bytes) -> bool:
    """Return whether an instruction would take esp from an ebp that is the caller's by then."""
    return rest[:1] == b"\xc9" or _moved_stack(rest) is not None


def _moved_stack(rest: bytes) -> tuple[int, str, int] | None:
    """Return length, base and offset where an instruction takes esp from ebp."""
    if rest[:2] in (b"\x8b\xe5", b"\x89\xec"):  # mov esp, ebp
        return 2, "ebp", 0
    if rest[:2] == b"\x8d\x65" and len(rest) >= 3:  # lea esp, [ebp + disp8]
        return 3, "ebp", _signed(rest[2:3])
    if rest[:2] == b"\x8d\xa5" and len(rest) >= 6:  # lea esp, [ebp + disp32]
        return 6, "ebp", _signed(rest[2:6])
    return None


def _released(rest: bytes) -> tuple[int, int]:
    """Return length and change of esp of what else stands in epilogs, length 0 for others."""
    if rest[:2] == b"\x83\xc4" and len(rest) >= 3:  # add esp, imm8
        return 3, _signed(rest[2:3])
    if rest[:2] == b"\x81\xc4" and len(rest) >= 6:  # add esp, imm32
        return 6, _signed(rest[2:6])
    if rest[:2] in (b"\x33\xc0", b"\x31\xc0"):  # xor eax, eax
        return 2, 0
    if 0xB8 <= rest[0] < 0xB8 + _VOLATILE:  # mov eax, ecx or edx, imm32
        return 5, 0
    if rest[:1] == b"\x8b" and len(rest) >= 2 and rest[1] >> 3 & 7 < _VOLATILE:
        return _length_of_ebp_operand(rest), 0  # mov eax, ecx or edx, register or [ebp + disp]
    if rest[:3] == b"\x64\x89\x0d":  # mov fs:[0], ecx: the handler is taken off
        return 7, 0
    return 0, 0


def _length_of_ebp_operand(rest: bytes) -> int:
    mode, rm = rest[1] >> 6, rest[1] & 7
    if mode == 3:
        return 2
    if rm != 5 or mode == 0:
        return 0
    return 3 if mode == 1 else 6


def _is_return(rest: bytes) -> bool:
    return rest[:1] in (b"\xc3", b"\xc2") or rest[:2] in (b"\xf3\xc3", b"\xf2\xc3")


def _is_tail_jump(rest: bytes, at: int, leaves: Callable[[int], bool]) -> bool:
    if rest[:1] == b"\xeb" and len(rest) >= 2:
        return leaves(at + 2 + _signed(rest[1:2]))
    if rest[:1] == b"\xe9" and len(rest) >= 5:
        return leaves(at + 5 + _signed(rest[1:5]))
    # jmp [address] is an import; jmp register, [register] or [register + n]: behind an epilog.
    return rest[:1] == b"\xff" and len(rest) >= 2 and _is_plain_jump_operand(rest[1])


def _is_plain_jump_operand(modrm: int) -> bool:
    mode, extension, rm = modrm >> 6, modrm >> 3 & 7, modrm & 7
    return extension == 4 and (mode == 3 or rm != 4)


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
