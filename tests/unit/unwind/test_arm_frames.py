"""ARM64 and ARM callers without tables, and the rare operations of those with tables."""

from __future__ import annotations

import struct
from typing import Literal

import pytest

from polydbg.base.errors import FormatError, UnwindError
from polydbg.formats.pe import arm64_codes, thumb_codes
from polydbg.formats.pe.arm_unwind import ArmEpilog, ArmUnwindInfo
from polydbg.memory.space import BufferSpace
from polydbg.testing.minidump_builder import arm64_context
from polydbg.unwind.arm_calls import ends_with_arm_call
from polydbg.unwind.arm_rules import codes_at, undo
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import ARM64, Callee
from polydbg.unwind.walker import walk

STACK, CODE = 0x10000, 0x400000


class Context:
    """Code from CODE on, all of it calls; functions of 0x100 bytes where *functions*."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self, words: list[int], size: int, *, functions: bool = True, mask: int = 0):
        letter = "Q" if size == 8 else "I"
        self.memory = BufferSpace(struct.pack(f"<{len(words)}{letter}", *words), STACK)
        self.functions = functions
        self.address_mask = mask

    def image_at(self, address: int) -> None:
        return None

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + 0x10000

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> tuple[int, int] | None:
        return (address & ~0xFF, 0x100) if self.functions else None


def frames(context: Context, machine: str, **registers: int) -> list[Frame]:
    return list(walk(context, registers, 10, None, machine))


def pcs(context: Context, machine: str, **registers: int) -> list[tuple[int, FrameTrust]]:
    return [(frame.pc, frame.trust) for frame in frames(context, machine, **registers)]


RECORDS = [0, 0, STACK + 32, CODE + 0x304, 0, CODE + 0x504]


def test_lr_outside_of_the_function_is_the_return_address() -> None:
    found = pcs(Context(RECORDS, 8), "arm64", pc=CODE + 8, sp=STACK, fp=STACK + 16, lr=CODE + 0x204)
    assert found == [
        (CODE + 8, FrameTrust.CONTEXT),
        (CODE + 0x204, FrameTrust.LINK_REGISTER),
        (CODE + 0x304, FrameTrust.FRAME_POINTER),
        (CODE + 0x504, FrameTrust.FRAME_POINTER),
    ]
    assert found[1][1].is_guess


def test_lr_into_the_function_itself_is_stale() -> None:
    found = pcs(Context(RECORDS, 8), "arm64", pc=CODE + 8, sp=STACK, fp=STACK + 16, lr=CODE + 4)
    assert [pc for pc, _ in found] == [CODE + 8, CODE + 0x304, CODE + 0x504]


def test_without_functions_the_frame_record_goes_first() -> None:
    context = Context(RECORDS, 8, functions=False)
    found = pcs(context, "arm64", pc=CODE + 8, sp=STACK, fp=STACK + 16, lr=CODE + 0x204)
    assert [pc for pc, _ in found] == [CODE + 8, CODE + 0x304, CODE + 0x504]
    found = pcs(context, "arm64", pc=CODE + 8, sp=STACK, fp=0, lr=CODE + 0x204)
    assert found[1] == (CODE + 0x204, FrameTrust.LINK_REGISTER)


def test_pc_outside_of_code_returns_to_lr() -> None:
    found = pcs(Context(RECORDS, 8), "arm64", pc=0x10, sp=STACK, fp=STACK + 16, lr=CODE + 0x204)
    assert found[1] == (CODE + 0x204, FrameTrust.WILD_CALL)


@pytest.mark.parametrize(("mask", "code"), [(0, 0x3A << 48), (0xFFFFFFFFF, 0x7F << 40)])
def test_pointer_authentication_codes_are_taken_off(mask: int, code: int) -> None:
    words = [0, 0, 0, CODE + 0x304 | code]
    context = Context(words, 8, mask=mask)
    found = pcs(context, "arm64", pc=CODE + 8, sp=STACK, fp=STACK + 16, lr=CODE + 0x204 | code)
    assert [pc for pc, _ in found] == [CODE + 8, CODE + 0x204, CODE + 0x304]


@pytest.mark.parametrize(
    ("register", "pointer", "words"),
    [
        ("r11", 8, [0, 0, 0, CODE + 0x305]),
        ("r7", 8, [0, 0, 0, CODE + 0x305]),
        ("r11", 12, [0, 0, 0, CODE + 0x304]),  # GCC's A32 code
    ],
)
def test_frame_pointers_of_arm(register: str, pointer: int, words: list[int]) -> None:
    registers = {register: STACK + pointer, "pc": CODE + 8, "sp": STACK, "lr": 0, "r0": 0}
    found = pcs(Context(words, 4), "arm", **registers)
    assert found == [
        (CODE + 8, FrameTrust.CONTEXT),
        (CODE + 0x304, FrameTrust.FRAME_POINTER),  # without the Thumb bit
    ]


def test_stacks_of_unknown_processors_are_not_read_as_arm() -> None:
    assert frames(Context(RECORDS, 8), "ia64", pc=CODE, sp=STACK) == []


@pytest.mark.parametrize(
    ("code", "machine", "value", "expected"),
    [
        ("00000094", "arm64", 4, True),  # bl
        ("00013fd6", "arm64", 4, True),  # blr x8
        ("1f093fd6", "arm64", 4, True),  # blraaz x8
        ("00011fd6", "arm64", 4, False),  # br x8
        ("00f000f8", "arm", 5, True),  # bl, Thumb
        ("00bf9847", "arm", 5, True),  # blx r3, Thumb
        ("00bf00bf", "arm", 5, False),
        ("000000eb", "arm", 4, True),  # bl
        ("33ff2fe1", "arm", 4, True),  # blx r3
        ("000000fa", "arm", 4, True),  # blx to Thumb
        ("000000ea", "arm", 4, False),  # b
        ("47", "arm", 5, False),
    ],
)
def test_calls(code: str, machine: str, value: int, expected: bool) -> None:
    assert ends_with_arm_call(bytes.fromhex(code), machine, value) is expected


def undone(sequence: str, words: list[int], **registers: int) -> dict[str, int]:
    codes = arm64_codes.read_codes(bytes.fromhex(sequence), 0)
    memory = BufferSpace(struct.pack(f"<{len(words)}Q", *words), STACK)
    callee = Callee({"sp": STACK, "pc": CODE, "lr": 7} | registers, False, True, ARM64)
    return undo(codes, callee, memory).registers


def test_a_context_on_the_stack_is_the_caller() -> None:
    """Never seen on a real file."""
    context = arm64_context(x1=5, x20=6, fp=7, sp=8, pc=9)
    words = list(struct.unpack(f"<{len(context) // 8}Q", context))
    caller = undone("eae4", words)
    assert (caller["x1"], caller["x20"], caller["sp"], caller["pc"]) == (5, 6, 8, 9)


def test_a_machine_frame_holds_sp_and_pc() -> None:
    assert undone("e9e4", [STACK + 64, CODE + 4], x19=3) == {
        "x19": 3,
        "sp": STACK + 64,
        "pc": CODE + 4,
    }


def test_frames_that_cannot_be_undone_say_so() -> None:
    for sequence in ("e8e4", "df01e4"):
        with pytest.raises(UnwindError, match="cannot be unwound"):
            undone(sequence, [])
    with pytest.raises(UnwindError, match="fp"):
        undone("e1e4", [])


@pytest.mark.parametrize("sequence", ["", "01", "e6e4", "e0", "fde4", "e78000e4", "c900e6"])
def test_damaged_codes(sequence: str) -> None:
    with pytest.raises(FormatError):
        arm64_codes.read_codes(bytes.fromhex(sequence), 0)


@pytest.mark.parametrize("sequence", ["", "01", "cdff", "ee30ff", "f1ff", "80"])
def test_damaged_thumb_codes(sequence: str) -> None:
    with pytest.raises(FormatError):
        thumb_codes.read_codes(bytes.fromhex(sequence), 0)


def test_conditional_epilogs_hold_when_their_condition_does() -> None:
    sequence = bytes.fromhex("d4 01 fd 00".replace(" ", ""))  # pop {r4,lr}; add sp, #4; bx lr
    info = ArmUnwindInfo(
        machine="arm",
        begin=0,
        length=0x40,
        has_prolog=False,
        sequence=sequence,
        epilogs=(ArmEpilog(0x20, 0, 0),),  # eq
        word=0,
    )
    zero = 1 << 30
    assert len(codes_at(info, 0x22, zero)) == 2
    assert len(codes_at(info, 0x22, None)) == 2
    assert len(codes_at(info, 0x22, 0)) == 3
    assert len(codes_at(info, 0x10, zero)) == 3
