"""Tables of registers."""

from __future__ import annotations

from polydbg.arch.registers import (
    AMD64_PARTS,
    FLAGS,
    flag_words,
)


def test_flag_words_of_x64_name_parity_the_other_way_round() -> None:
    assert flag_words(0x10246, "amd64") == "nv up ei pl zr na po nc"
    assert flag_words(0x10212, "amd64") == "nv up ei pl nz ac pe nc"
    assert flag_words(0xFFFFF, "amd64") == "ov dn ei ng zr ac po cy"
    assert flag_words(0, "amd64") == "nv up di pl nz na pe nc"


def test_flag_words_of_x86() -> None:
    assert flag_words(0x10246, "x86") == "nv up ei pl zr na pe nc"
    assert flag_words(0x10202, "x86") == "nv up ei pl nz na po nc"


def test_parts() -> None:
    value = 0x1122334455667788
    assert AMD64_PARTS["eax"].extract(value) == 0x55667788
    assert AMD64_PARTS["ah"].extract(value) == 0x77
    assert AMD64_PARTS["ah"].insert(value, 0x1FF) == 0x112233445566FF88
    assert AMD64_PARTS["r8d"].parent == "r8"
    assert AMD64_PARTS["eip"].parent == "rip"
    assert FLAGS["zf"].shift == 6
