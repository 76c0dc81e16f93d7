"""Registers out of context records, written by the builder's own code."""

from __future__ import annotations

import pytest

from polydbg.formats.minidump.contexts import guess_architecture, parse_context
from polydbg.formats.minidump.system import XStateConfig
from polydbg.testing import minidump_builder as build

WORDS = str.split
AMD64_INTEGERS = WORDS(
    "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip dr0 dr1 dr2 dr3 dr6 dr7"
)


def test_every_amd64_register_is_where_it_belongs() -> None:
    values = {name: 0x1111_2222_0000_0000 + at for at, name in enumerate(AMD64_INTEGERS)}
    values |= {"efl": 0x246, "mxcsr": 0x1FA0, "fpcw": 0x37F, "fpsw": 0x3800, "fptw": 0x80}
    values |= {name: 0x10 + at for at, name in enumerate(WORDS("cs ds es fs gs ss"))}
    values |= {f"xmm{index}": (index + 1) << 120 | index for index in range(16)}
    values |= {f"st{index}": 0x3FFF << 64 | index for index in range(8)}
    assert parse_context(build.amd64_context(**values), "amd64") == values


@pytest.mark.parametrize(
    ("part", "present", "absent"),
    [
        (1, {"rip", "rsp", "efl", "cs", "ss"}, {"rax", "ds", "xmm0", "dr7"}),
        (2, {"rax", "rbp", "r15"}, {"rip", "rsp", "efl"}),
        (4, {"ds", "es", "fs", "gs"}, {"cs", "ss"}),
        (8, {"xmm15", "mxcsr", "st7", "fptw"}, {"rax"}),
        (0x10, {"dr0", "dr6", "dr7"}, {"rip"}),
    ],
)
def test_context_flags_decide_what_is_there(part: int, present: set[str], absent: set[str]) -> None:
    found = set(parse_context(build.amd64_context(0x100000 | part), "amd64"))
    assert present <= found
    assert not absent & found


def test_flags_without_parts_mean_all_but_debug() -> None:
    found = parse_context(build.amd64_context(0x100000, rip=5), "amd64")
    assert found["rip"] == 5
    assert "xmm0" in found
    assert "dr0" not in found


def test_exception_bits_of_flags_do_not_matter() -> None:
    assert parse_context(build.amd64_context(0xC010001F, rip=7), "amd64")["rip"] == 7


def test_short_record_gives_what_lies_in_it() -> None:
    found = parse_context(build.amd64_context(rax=1)[:0x80], "amd64")
    assert found["rax"] == 1
    assert "rcx" not in found
    assert parse_context(b"\0\0", "amd64") == {}


def test_no_registers_without_the_architecture_flag() -> None:
    assert parse_context(build.amd64_context(0x1F), "amd64") == {}
    assert parse_context(build.amd64_context(), "unknown") == {}


@pytest.mark.parametrize("compacted", [False, True])
def test_ymm_registers(compacted: bool) -> None:
    highs = [index << 100 | 9 for index in range(16)]
    data = build.amd64_context_with_ymm(highs, compacted=compacted, xmm3=0x1234)
    found = parse_context(data, "amd64")
    assert found["ymm3"] == highs[3] << 128 | 0x1234
    assert found["ymm15"] == highs[15] << 128


def test_ymm_in_initial_state_is_zero_extended() -> None:
    data = build.amd64_context_with_ymm([1] * 16, in_use=False, xmm0=77)
    assert parse_context(data, "amd64")["ymm0"] == 77


def test_offsets_come_from_the_dump() -> None:
    data = build.amd64_context_with_ymm([0] * 4 + [5] * 16)
    features = [(0, 0)] * 64
    features[2] = (576 + 64, 256)
    found = parse_context(data, "amd64", XStateConfig(0, 7, tuple(features)))
    assert found["ymm0"] == 5 << 128
    assert "ymm0" not in parse_context(data, "amd64", XStateConfig(0, 3, tuple(features)))


def test_cut_xstate_has_no_ymm() -> None:
    data = build.amd64_context_with_ymm([1] * 16)
    for size in range(0x4D0, len(data)):
        found = parse_context(data[:size], "amd64")
        assert "ymm0" not in found
        assert "xmm0" in found


def test_x86() -> None:
    names = "eax ebx ecx edx esi edi ebp esp eip efl dr0 dr7 cs ss ds es fs gs"
    values = {name: 0x80000000 + at for at, name in enumerate(names.split())}
    values |= {"xmm7": 1 << 127, "st7": 0x4000 << 64, "mxcsr": 0x1F80, "fpcw": 0x27F}
    found = parse_context(build.x86_context(**values), "x86")
    assert values.items() <= found.items()
    assert "xmm0" not in parse_context(build.x86_context(0x1001F), "x86")


def test_arm64() -> None:
    found = parse_context(
        build.arm64_context(x0=1, x28=2, fp=3, lr=4, sp=5, pc=6, cpsr=7, v31=1 << 127, fpsr=8),
        "arm64",
    )
    assert [found[name] for name in WORDS("x0 x28 fp lr sp pc cpsr fpsr")] == [*range(1, 9)]
    assert found["v31"] == 1 << 127


def test_arm() -> None:
    found = parse_context(build.arm_context(r0=1, r12=2, sp=3, lr=4, pc=5, cpsr=6, q15=7), "arm")
    assert [found[name] for name in WORDS("r0 r12 sp lr pc cpsr q15")] == [*range(1, 8)]


def test_guess_of_the_architecture() -> None:
    assert guess_architecture(build.amd64_context()) == "amd64"
    assert guess_architecture(build.x86_context()) == "x86"
    assert guess_architecture(build.arm64_context()) == "arm64"
    assert guess_architecture(build.arm_context()) == "arm"
    assert guess_architecture(bytes(0x4D0)) is None
