"""Guesses on processors besides x86 and ARM: what a call looks like, chains of frames."""

from __future__ import annotations

from typing import Literal

import pytest

from polydbg.images.elf import ElfImage
from polydbg.memory.space import BufferSpace
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.other_calls import ends_with_other_call
from polydbg.unwind.walker import walk

CODE, STACK = 0x10000, 0x50000
Order = Literal["little", "big"]


@pytest.mark.parametrize(
    ("machine", "order", "code", "expected"),
    [
        ("riscv64", "little", "8297", True),  # c.jalr a5
        ("riscv64", "little", "ef000010", True),  # jal ra
        ("riscv64", "little", "e7800700", True),  # jalr ra, a5
        ("riscv64", "little", "8287", False),  # c.jr a5
        ("riscv64", "little", "0290", False),  # c.ebreak
        ("riscv32", "little", "0122", True),  # c.jal
        ("riscv64", "little", "0122", False),
        ("ppc64", "big", "48000101", True),  # bl
        ("ppc64", "big", "4e800421", True),  # bctrl
        ("ppc", "big", "4e800021", True),  # blrl
        ("ppc64", "big", "4e800420", False),  # bctr
        ("ppc64", "little", "01010048", True),
        ("mips", "big", "0c00004000000000", True),  # jal
        ("mips", "big", "0320f80900000000", True),  # jalr
        ("mips64", "big", "0411004000000000", True),  # bal
        ("mips", "big", "03e0000800000000", False),  # jr
        ("mips", "little", "4000000c00000000", True),
        ("loongarch64", "little", "00000154", True),  # bl
        ("loongarch64", "little", "8101004c", True),  # jirl ra
        ("loongarch64", "little", "8001004c", False),  # jr
        ("sparc64", "big", "4000000001000000", True),  # call
        ("sparc", "big", "9fc0400001000000", True),  # call %g1
        ("sparc64", "big", "81c3e00801000000", False),  # retl
        ("s390x", "big", "c0e500000080", True),  # brasl
        ("s390x", "big", "a7e50080", True),  # bras
        ("s390", "big", "0de1", True),  # basr
        ("s390x", "big", "07fe", False),  # br
        ("m68k", "big", "4e90", True),  # jsr (a0)
        ("m68k", "big", "4eb912345678", True),
        ("m68k", "big", "61000100", True),
        ("m68k", "big", "6110", True),
        ("m68k", "big", "4e71", False),
        ("alpha", "little", "000040d3", True),  # bsr
        ("alpha", "little", "00405b6b", True),  # jsr
        ("alpha", "little", "0180fa6b", False),  # ret
        ("parisc", "big", "e840000000000000", False),  # not known here
    ],
)
def test_calls_before_a_return_address(
    machine: str, order: Order, code: str, expected: bool
) -> None:
    whole = bytes.fromhex(code).rjust(8, b"\0")
    assert ends_with_other_call(whole, machine, order) is expected
    assert not ends_with_other_call(bytes.fromhex(code)[-2:], machine, order)


class Context:
    """Code without tables that is not at hand, and a stack."""

    address_mask = 0

    def __init__(self, words: list[int], size: int, order: Order) -> None:
        self.byte_order: Order = order
        data = b"".join(word.to_bytes(size, order) for word in words)
        self.memory = BufferSpace(data.ljust(0x800, b"\0"), STACK)

    def image_at(self, address: int) -> tuple[int, ElfImage] | None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + 0x1000

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> tuple[int, int]:
        return address & ~0xFF, 0x100


def frames(context: Context, machine: str, **registers: int) -> list[Frame]:
    return list(walk(context, registers, 4, None, machine))


@pytest.mark.parametrize(
    ("machine", "size", "sp", "slot"),
    [("ppc", 4, "r1", 1), ("ppc64", 8, "r1", 2), ("s390", 4, "r15", 14), ("s390x", 8, "r15", 14)],
)
def test_back_chains(machine: str, size: int, sp: str, slot: int) -> None:
    outer = 20
    words = [0] * 64
    words[0] = STACK + outer * size
    words[outer + slot] = CODE + 0x200
    context = Context(words, size, "big")
    registers = {"pc": CODE + 0x110, sp: STACK, "lr": CODE + 0x120, "r14": CODE + 0x120}
    found = frames(context, machine, **registers)
    assert [(each.pc, each.sp, each.trust) for each in found[:2]] == [
        (CODE + 0x110, STACK, FrameTrust.CONTEXT),
        (CODE + 0x200, STACK + outer * size, FrameTrust.FRAME_POINTER),
    ]


@pytest.mark.parametrize(("machine", "size"), [("riscv64", 8), ("riscv32", 4), ("loongarch64", 8)])
def test_frame_pointers(machine: str, size: int) -> None:
    words = [0] * 64
    words[8:10] = [STACK + 0x100, CODE + 0x200]
    context = Context(words, size, "little")
    pointer = STACK + 10 * size
    found = frames(context, machine, pc=CODE + 0x110, sp=STACK, fp=pointer, ra=CODE + 0x120)
    assert [(each.pc, each.sp, each.trust) for each in found[:2]] == [
        (CODE + 0x110, STACK, FrameTrust.CONTEXT),
        (CODE + 0x200, pointer, FrameTrust.FRAME_POINTER),
    ]
    assert found[1].registers["fp"] == STACK + 0x100


def test_register_windows() -> None:
    words = [0] * 64
    words[16:32] = range(100, 116)
    context = Context(words, 8, "big")
    registers = {f"i{number}": number for number in range(6)}
    registers |= {"i7": CODE + 0x200, "fp": STACK + 128 - 2047, "sp": STACK - 2047}
    found = frames(context, "sparc64", pc=CODE + 0x110, o7=CODE + 0x120, **registers)
    assert (found[1].pc, found[1].sp) == (CODE + 0x208, STACK + 128 - 2047)
    assert found[1].trust is FrameTrust.FRAME_POINTER
    assert found[1].registers["o3"] == 3
    assert (found[1].registers["l0"], found[1].registers["fp"]) == (100, 114)


def test_the_link_register_of_a_leaf() -> None:
    context = Context([0] * 8, 8, "little")
    found = frames(context, "riscv64", pc=CODE + 0x110, sp=STACK, ra=CODE + 0x300, s1=5)
    assert (found[1].pc, found[1].trust) == (CODE + 0x300, FrameTrust.LINK_REGISTER)
    assert found[1].registers["s1"] == 5


def test_stacks_are_searched_in_the_order_of_their_bytes() -> None:
    context = Context([0, 5, CODE + 0x200], 8, "big")
    found = frames(context, "ppc64", pc=CODE + 0x110, r1=STACK)
    assert (found[1].pc, found[1].trust) == (CODE + 0x200, FrameTrust.SCAN)
