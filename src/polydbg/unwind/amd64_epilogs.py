"""Epilogs of x64 code, recognised by decoding instructions.

An epilog is ``add rsp, n`` or ``lea rsp, [frame register + n]``, pops, and ``ret`` or a jump that
leaves the function. Version 1 of the unwind information does not say where epilogs are, so one is
recognised when everything from pc on fits (Microsoft, "x64 exception handling", "Unwind
procedure"); version 2 says where they are, the bytes say what they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from polydbg.unwind.amd64_rules import Place, Rule, Step

MAX_BYTES: Final = 64
"""More than the longest epilog: lea (8), sixteen pops (24), jump (7)."""

_MAX_INSTRUCTIONS = 24
_VZEROUPPER = b"\xc5\xf8\x77"


class EpilogSite(msgspec.Struct, frozen=True):
    """What decoding needs: *code* at *rva*, the frame register (0 none), and *leaves*, which says
    whether a jump to an RVA leaves the function."""

    code: bytes
    rva: int
    frame_register: int
    leaves: Callable[[int], bool]


def epilog_rule(site: EpilogSite) -> Rule | None:
    """Return the rule for the rest of an epilog, ``None`` when the code at hand is none."""
    steps: list[tuple[Step, int, int]] = []
    offset = _release(site, steps)
    for _ in range(_MAX_INSTRUCTIONS):
        rest = site.code[offset : offset + 8]
        register, length = _pop(rest)
        if length:
            steps.append((Step.POP, register, 0))
            offset += length
        elif rest.startswith(_VZEROUPPER):
            offset += len(_VZEROUPPER)  # clang puts it between pops and ret
        elif _is_return(rest) or _is_tail_jump(rest, site, offset):
            return Rule(Place.EPILOG, tuple(steps))
        else:
            return None
    return None


def _release(site: EpilogSite, steps: list[tuple[Step, int, int]]) -> int:
    """Decode what gives back the fixed frame; return its length in bytes, 0 for none."""
    code = site.code
    if code[:3] == b"\x48\x83\xc4" and len(code) >= 4:  # add rsp, imm8
        steps.append((Step.ADD, _signed(code[3:4]), 0))
        return 4
    if code[:3] == b"\x48\x81\xc4" and len(code) >= 7:  # add rsp, imm32
        steps.append((Step.ADD, _signed(code[3:7]), 0))
        return 7
    # lea rsp, [register + disp]: REX.W with B for r8-r15, 8D, modrm with reg = rsp.
    if len(code) < 3 or code[0] & 0xFE != 0x48 or code[1] != 0x8D or code[2] & 0x38 != 0x20:
        return 0
    register = (code[2] & 7) | (code[0] & 1) << 3
    # r12 would need a SIB byte; rm 4 is never a plain register.
    if register != site.frame_register or code[2] & 7 == 4:
        return 0
    mode = code[2] >> 6
    width = {0: 0, 1: 1, 2: 4}.get(mode)
    if width is None or (mode == 0 and code[2] & 7 == 5) or len(code) < 3 + width:
        return 0
    steps.append((Step.SP_FROM_REGISTER, register, _signed(code[3 : 3 + width])))
    return 3 + width


def _pop(rest: bytes) -> tuple[int, int]:
    """Return register number and length of a pop, length 0 for anything else."""
    if rest[:1] and rest[0] & 0xF8 == 0x58:
        return rest[0] & 7, 1
    if len(rest) >= 2 and rest[0] in (0x41, 0x49) and rest[1] & 0xF8 == 0x58:
        return (rest[1] & 7) + 8, 2
    if len(rest) >= 2 and rest[0] in (0x40, 0x48) and rest[1] & 0xF8 == 0x58:
        return rest[1] & 7, 2  # a REX prefix without need
    return 0, 0


def _is_return(rest: bytes) -> bool:
    return rest[:1] == b"\xc3" or rest[:2] in (b"\xf3\xc3", b"\xf2\xc3")  # ret, rep ret, bnd ret


def _is_tail_jump(rest: bytes, site: EpilogSite, offset: int) -> bool:
    if rest[:1] == b"\xf2":  # bnd
        return _is_tail_jump(rest[1:], site, offset + 1)
    if rest[:1] == b"\xeb" and len(rest) >= 2:
        return site.leaves(site.rva + offset + 2 + _signed(rest[1:2]))
    if rest[:1] == b"\xe9" and len(rest) >= 5:
        return site.leaves(site.rva + offset + 5 + _signed(rest[1:5]))
    if rest[:2] == b"\xff\x25":  # jmp [rip + n]: an import
        return True
    # jmp through register or memory ends a function only with REX.W; without, it is a jump table.
    return len(rest) >= 3 and rest[0] & 0xF8 == 0x48 and rest[1] == 0xFF and rest[2] & 0x38 == 0x20


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)
