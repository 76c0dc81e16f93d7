"""Register blocks of ARM64 and ARM in the engine's layout."""

from __future__ import annotations

from polydbg.arch.registers import sub_register
from polydbg.commands.registers_text import integer_lines

# The block of the transcript of kernel/win10_arm64_mem.dmp, blanks and all.
ARM64_BLOCK = """\
 x0=0000000000000000   x1=fffff801be089000   x2=0000000000000000   x3=fffff801bce82120
 x4=fffff801bce820b0   x5=fffff801bce820c0   x6=fffff801bce820d0   x7=fffff801bce820e0
 x8=0000000000000000   x9=0000000000000001  x10=fffff801bce79624  x11=0000000000000003
x12=0000000000000000  x13=0000000000000001  x14=fffff801bce82128  x15=0000000000000009
x16=00002d8989e58456  x17=00002d8989e58456  x18=fffff801bb8f0000  x19=0000000000000002
x20=0000000000000000  x21=0000000000000001  x22=0000000000000000  x23=0000000000000000
x24=0000000000000000  x25=0000000000000000  x26=fffff800a0b17010  x27=fffff801bb8f0980
x28=000000009dffd000   fp=fffff801be087bf0   lr=0000000000000000   sp=fffff801be087be0
 pc=fffff801bcd52de8  psr=60000344 -ZC- EL1"""


def test_arm64_block_is_the_engines() -> None:
    cells = [cell.split("=") for cell in ARM64_BLOCK.replace(" -ZC- EL1", "").split()]
    registers = {name.replace("psr", "cpsr"): int(value, 16) for name, value in cells}
    assert "\n".join(integer_lines(registers, "arm64")) == ARM64_BLOCK


def test_arm64_block_of_a_caller_says_what_is_not_known() -> None:
    lines = integer_lines({"x19": 5, "sp": 6, "pc": 7}, "arm64")
    assert lines[0].startswith(f" x0={'?' * 16}   x1=")
    assert lines[4].endswith("x19=0000000000000005")
    assert lines[-1] == " pc=0000000000000007  psr=????????"


def test_arm_block() -> None:
    registers = {f"r{number}": number for number in range(13)}
    registers |= {"sp": 13, "lr": 14, "pc": 15, "cpsr": 0x60000030}
    assert integer_lines(registers, "arm") == [
        " r0=00000000  r1=00000001  r2=00000002  r3=00000003  r4=00000004  r5=00000005",
        " r6=00000006  r7=00000007  r8=00000008  r9=00000009 r10=0000000a r11=0000000b",
        "r12=0000000c  sp=0000000d  lr=0000000e  pc=0000000f psr=60000030 -ZC-- Thumb",
    ]
    registers["cpsr"] = 0x88000010
    assert integer_lines(registers, "arm")[-1].endswith("psr=88000010 N---Q ARM")


def test_parts_of_arm_registers() -> None:
    wide = {"pc": 0, "x3": 0x1_0000_0002, "fp": 7, "v9": 3 << 64 | 4}
    narrow = {"pc": 0, "r0": 0, "q4": 3 << 64 | 4, "sp": 9}
    for registers, name, value in (
        (wide, "w3", 2),
        (wide, "x29", 7),
        (wide, "d9", 4),
        (wide, "q9", 3 << 64 | 4),
        (narrow, "d9", 3),
        (narrow, "s16", 4),
        (narrow, "r13", 9),
    ):
        part = sub_register(name, registers)
        assert part is not None
        assert part.extract(registers[part.parent]) == value
