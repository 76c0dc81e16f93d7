"""Rules of x64 code: found from built images, executed on built stacks."""

from __future__ import annotations

import pytest

from polydbg.base.errors import FormatError, UnwindError
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.testing.pe_builder import TEXT_RVA, PeBuilder, code, u32, unwind_info
from polydbg.unwind.amd64_epilogs import EpilogSite, epilog_rule
from polydbg.unwind.amd64_rules import PRESERVED, Place, Rule, Step, execute
from polydbg.unwind.pe_amd64 import find_rule

STACK = 0x10000


def stack(*quads: int) -> BufferSpace:
    return BufferSpace(b"".join(quad.to_bytes(8, "little") for quad in quads), STACK)


def image(text: bytes, info: bytes, *, end: int | None = None) -> PeImage:
    builder = PeBuilder(text=text)
    builder.function(TEXT_RVA, TEXT_RVA + (end or len(text)), info)
    return PeImage.from_buffer(builder.build(), "x.dll")


PROLOG = unwind_info(code(5, 2, 3), code(1, 0, 3), prolog=5)  # push rbx; sub rsp, 20h
PROLOG_CODE = bytes.fromhex("53 4883ec20")


def test_rule_grows_along_the_prolog() -> None:
    built = image(PROLOG_CODE + b"\x90" * 8 + bytes.fromhex("4883c420 5b c3"), PROLOG)
    rules = [find_rule(built, TEXT_RVA + offset) for offset in range(14)]
    pop, add = (Step.POP, 3, 0), (Step.ADD, 0x20, 0)
    base = (Step.BASE_FROM_SP, 0, 0)
    assert rules[0].steps == (base,)
    assert rules[1].steps == (base, pop)
    assert rules[4].place is Place.PROLOG
    assert rules[5] == Rule(Place.BODY, (base, add, pop))
    assert find_rule(built, TEXT_RVA + 13).steps == (add, pop)  # at add rsp, 20h
    assert find_rule(built, TEXT_RVA + 17) == Rule(Place.EPILOG, (pop,))
    assert find_rule(built, TEXT_RVA + 18) == Rule(Place.EPILOG, ())
    assert find_rule(built, TEXT_RVA + 0x100).place is Place.LEAF


def test_rule_says_what_it_does() -> None:
    built = image(PROLOG_CODE + b"\x90", PROLOG)
    assert find_rule(built, TEXT_RVA + 5).describe() == [
        "base = rsp",
        "rsp += 20h",
        "rbx = [rsp], rsp += 8",
        "rip = [rsp], rsp += 8",
    ]


def test_execution_keeps_only_what_functions_preserve() -> None:
    rule = Rule(Place.BODY, ((Step.ADD, 8, 0), (Step.POP, 3, 0), (Step.POP, 0, 0)))
    registers = {
        "rax": 1,
        "rcx": 2,
        "rbx": 3,
        "rsi": 4,
        "rsp": STACK,
        "rip": 9,
        "xmm6": 7,
        "xmm0": 8,
    }
    result = execute(rule, registers, stack(0, 0xB, 0xA, 0x1234))
    assert result == {"rbx": 0xB, "rsi": 4, "xmm6": 7, "rip": 0x1234, "rsp": STACK + 32}


def test_saved_registers_and_frame_register() -> None:
    info = unwind_info(
        code(16, 8, 6, 1),
        code(12, 4, 7, 1),
        code(8, 3, 0),
        code(4, 2, 5),
        code(1, 0, 5),
        prolog=16,
        frame=(5, 1),
    )
    rule = find_rule(image(b"\x90" * 0x20, info), TEXT_RVA + 0x18)
    memory = stack(0, 0x71, 0x66, 0x67, 0, 0, 0xBBBB, 0x1234)
    registers = {"rbp": STACK + 16, "rsp": STACK - 0x800, "rip": 0}
    assert execute(rule, registers, memory) == {
        "rdi": 0x71,
        "xmm6": 0x67 << 64 | 0x66,
        "rbp": 0xBBBB,
        "rip": 0x1234,
        "rsp": STACK + 64,
    }
    with pytest.raises(UnwindError, match="rbp"):
        execute(rule, {"rsp": STACK, "rip": 0}, memory)


def test_frame_register_is_not_set_yet_in_the_prolog() -> None:
    info = unwind_info(code(8, 3, 0), code(4, 2, 0), code(1, 0, 5), prolog=8, frame=(5, 0))
    built = image(b"\x90" * 0x20, info)
    registers = {"rbp": 0xDEAD, "rsp": STACK, "rip": 0}
    result = execute(find_rule(built, TEXT_RVA + 4), registers, stack(0, 0xBB, 0x1234))
    assert (result["rbp"], result["rip"], result["rsp"]) == (0xBB, 0x1234, STACK + 24)


@pytest.mark.parametrize("error_code", [0, 1])
def test_machine_frame(error_code: int) -> None:
    """Never seen on a real file but Wine's own dispatcher."""
    info = unwind_info(code(2, 0, 0), code(0, 10, error_code), prolog=2)
    rule = find_rule(image(b"\x90" * 16, info), TEXT_RVA + 8)
    quads = [0xA] + [0xE] * error_code + [0x1234, 0x33, 0x202, 0x7000, 0x2B]
    result = execute(rule, {"rsp": STACK, "rip": 0, "rbx": 5, "rcx": 6}, stack(*quads))
    # What it saved of volatile registers is known: nobody called it.
    assert result == {"rax": 0xA, "rbx": 5, "rip": 0x1234, "rsp": 0x7000}
    assert rule.has_machine_frame
    assert "rip = [rsp" in rule.describe()[-1]


def test_epilogs_of_version_2_are_where_they_say() -> None:
    """Never seen on a real file."""
    info = unwind_info(code(2, 6, 1), [0], code(5, 2, 3), code(1, 0, 3), version=2, prolog=5)
    # In the middle, code that looks like an epilog but is none.
    text = PROLOG_CODE + bytes.fromhex("5b c3 90 4883c420 5b c3")
    built = image(text, info)
    assert find_rule(built, TEXT_RVA + 5).place is Place.BODY
    assert find_rule(built, TEXT_RVA + 8).place is Place.BODY  # add rsp: same by the body's rule
    assert find_rule(built, TEXT_RVA + 12) == Rule(Place.EPILOG, ((Step.POP, 3, 0),))
    assert find_rule(built, TEXT_RVA + 13) == Rule(Place.EPILOG, ())


def test_return_addresses_are_looked_up_inside_the_call() -> None:
    built = image(PROLOG_CODE + bytes.fromhex("e800000000"), PROLOG)
    after = TEXT_RVA + 10  # a call that never returns was the last instruction
    assert find_rule(built, after).place is Place.LEAF
    assert find_rule(built, after, is_return_address=True).place is Place.BODY


def test_a_return_address_is_never_in_an_epilog() -> None:
    built = image(PROLOG_CODE + bytes.fromhex("e800000000 5b c3"), PROLOG)
    assert find_rule(built, TEXT_RVA + 10).place is Place.EPILOG
    assert find_rule(built, TEXT_RVA + 10, is_return_address=True).place is Place.BODY


def test_chained_fragments_undo_the_whole_head() -> None:
    builder = PeBuilder(text=b"\x90" * 0x100)
    head = builder.function(TEXT_RVA, TEXT_RVA + 0x40, PROLOG)
    row = u32(TEXT_RVA, TEXT_RVA + 0x40, head)
    more = unwind_info(code(5, 4, 6, 2), prolog=5, flags=4, tail=row)
    builder.function(TEXT_RVA + 0x80, TEXT_RVA + 0xA0, more)
    builder.functions.append((TEXT_RVA + 0xC0, TEXT_RVA + 0xD0, builder.add(row) | 1))
    built = PeImage.from_buffer(builder.build(), "x")
    whole = [(Step.BASE_FROM_SP, 0, 0), (Step.ADD, 0x20, 0), (Step.POP, 3, 0)]
    begin = find_rule(built, TEXT_RVA + 0x80)
    assert (begin.place, list(begin.steps[1:])) == (Place.PROLOG, whole)
    inside = find_rule(built, TEXT_RVA + 0x90)
    assert list(inside.steps[1:]) == [(Step.LOAD, 6, 16), *whole]
    assert list(find_rule(built, TEXT_RVA + 0xC0).steps) == whole


def test_damaged_information_is_a_format_error() -> None:
    with pytest.raises(FormatError):
        find_rule(image(b"\x90" * 16, unwind_info(version=5)), TEXT_RVA)


def epilog(text: str, frame_register: int = 0, leaves: bool = True) -> Rule | None:
    site = EpilogSite(bytes.fromhex(text), 0x1000, frame_register, lambda target: leaves)
    return epilog_rule(site)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("c3", ()),
        ("f3c3", ()),
        ("f2c3", ()),
        ("c5f877 c3", ()),
        ("4883c428 c3", ((Step.ADD, 0x28, 0),)),
        ("4881c400010000 5f 415e c3", ((Step.ADD, 0x100, 0), (Step.POP, 7, 0), (Step.POP, 14, 0))),
        ("5d e900010000", ((Step.POP, 5, 0),)),
        ("5d f2e900010000", ((Step.POP, 5, 0),)),
        ("eb70", ()),
        ("ff2500000000", ()),
        ("48ff2500000000", ()),
        ("48ffe0", ()),
        ("49ffe3", ()),
    ],
)
def test_epilogs_by_their_bytes(text: str, steps: tuple[tuple[Step, int, int], ...]) -> None:
    assert epilog(text) == Rule(Place.EPILOG, steps)


def test_epilogs_with_a_frame_register() -> None:
    leave = (Step.SP_FROM_REGISTER, 5, 0x10)
    assert epilog("488d6510 5d c3", 5) == Rule(Place.EPILOG, (leave, (Step.POP, 5, 0)))
    assert epilog("488da500010000 c3", 5) == Rule(
        Place.EPILOG, ((Step.SP_FROM_REGISTER, 5, 0x100),)
    )
    assert epilog("498d65f0 c3", 13) == Rule(Place.EPILOG, ((Step.SP_FROM_REGISTER, 13, -0x10),))
    assert epilog("488d6510 5d c3", 3) is None  # another register than the frame's


@pytest.mark.parametrize(
    "text",
    [
        "",
        "90",
        "5b",
        "5b 90 c3",
        "ffe0",  # a jump table
        "ff20",
        "e9000000",
        "eb",
        "4883c4",
        "488d64241090c3",  # lea rsp, [rsp+10h] is no epilog
        "5b" * 40,
    ],
)
def test_what_is_no_epilog(text: str) -> None:
    assert epilog(text) is None


def test_jumps_inside_the_function_are_no_epilogs() -> None:
    assert epilog("5d eb10", leaves=False) is None


def tail_jump(target: int) -> bytes:
    """Return a jump at TEXT_RVA + 5."""
    return b"\xe9" + u32(target - (TEXT_RVA + 10))


@pytest.mark.parametrize(
    ("target", "place"),
    [
        (TEXT_RVA, Place.EPILOG),  # recursion
        (TEXT_RVA + 6, Place.BODY),
        (TEXT_RVA + 0x100, Place.EPILOG),  # another function's start
        (TEXT_RVA + 0x104, Place.BODY),  # its middle
        (TEXT_RVA + 0x140, Place.BODY),  # a fragment of this function
        (TEXT_RVA + 0x180, Place.BODY),  # GCC's cold part: codes, no prolog
        (TEXT_RVA + 0x1C0, Place.EPILOG),  # a leaf
    ],
)
def test_where_a_jump_must_go_to_be_a_tail_call(target: int, place: Place) -> None:
    builder = PeBuilder(text=PROLOG_CODE + tail_jump(target) + b"\x90" * 0x1F0)
    head = builder.function(TEXT_RVA, TEXT_RVA + 0x40, PROLOG)
    builder.function(TEXT_RVA + 0x100, TEXT_RVA + 0x120, PROLOG)
    row = u32(TEXT_RVA, TEXT_RVA + 0x40, head)
    builder.function(TEXT_RVA + 0x140, TEXT_RVA + 0x150, unwind_info(flags=4, tail=row))
    builder.function(TEXT_RVA + 0x180, TEXT_RVA + 0x190, unwind_info(code(0, 2, 3), prolog=0))
    built = PeImage.from_buffer(builder.build(), "x")
    assert find_rule(built, TEXT_RVA + 5).place is place


def test_preserved_registers() -> None:
    assert len(PRESERVED) == 18
