"""Walking stacks: order of methods, how sure frames are, and where walks end."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled
from polydbg.images.pe import PeImage
from polydbg.memory.space import AddressSpace, BufferSpace
from polydbg.testing.pe_builder import TEXT_RVA, PeBuilder, code, unwind_info
from polydbg.unwind.calls import ends_with_call
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.walker import MAX_FRAMES, NOTHING_FOUND, walk

BASE = 0x140000000
STACK = 0x20000
PC = BASE + TEXT_RVA
# Two functions, each `sub rsp, 28h; call ...; nop`; return addresses are at +9.
CALLER = bytes.fromhex("4883ec28 e800000000 90").ljust(0x20, b"\xcc")
INFO = unwind_info(code(4, 2, 4), prolog=4)


class Context:
    """One image, one other module without image, and a stack."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self, image: PeImage | None, memory: AddressSpace) -> None:
        self.image = image
        self.memory = memory

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        if self.image and BASE <= address < BASE + self.image.size_of_image:
            return BASE, self.image
        return None

    def is_code(self, address: int) -> bool:
        if 0x500000 <= address < 0x600000:
            return True  # a module whose image is not at hand
        return self.image is not None and (
            self.image_at(address) is not None and self.image.is_code(address - BASE)
        )

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None

    def is_data(self, address: int) -> bool:
        return 0x580000 <= address < 0x590000  # what the symbols of that module say


def image(info: bytes = INFO) -> PeImage:
    builder = PeBuilder(text=CALLER * 3)
    for index in range(2):
        begin = TEXT_RVA + index * 0x20
        builder.function(begin, begin + 0x20, info)
    return PeImage.from_buffer(builder.build(), "x.dll")


def stack(*quads: int) -> BufferSpace:
    return BufferSpace(b"".join(quad.to_bytes(8, "little") for quad in quads), STACK)


def frames(context: Context, limit: int = 100, **registers: int) -> list[Frame]:
    return list(walk(context, {"rsp": STACK, **registers}, limit))


PADDING = (0, 0, 0, 0, 0)


def test_a_walk_to_the_end() -> None:
    memory = stack(*PADDING, PC + 0x29, *PADDING, 0)
    found = frames(Context(image(), memory), rip=PC + 9, rax=1, rbx=2)
    assert [(f.pc, f.sp, f.return_address) for f in found] == [
        (PC + 9, STACK, PC + 0x29),
        (PC + 0x29, STACK + 48, 0),
    ]
    first, second = found
    assert (first.trust, second.trust) == (FrameTrust.CONTEXT, FrameTrust.UNWIND_INFO)
    assert (first.is_return_address, second.is_return_address) == (False, True)
    assert (first.lookup_pc, second.lookup_pc) == (PC + 9, PC + 0x28)
    assert (first.caller_sp, second.caller_sp) == (STACK + 48, STACK + 96)
    assert first.registers["rax"] == 1
    assert second.registers == {"rbx": 2, "rip": PC + 0x29, "rsp": STACK + 48}
    assert not first.note
    assert not second.note


def test_limit() -> None:
    memory = stack(*PADDING, PC + 0x29, *PADDING, 0)
    assert len(frames(Context(image(), memory), limit=1, rip=PC + 9)) == 1
    assert frames(Context(image(), memory), limit=0, rip=PC + 9) == []


def test_leaf() -> None:
    found = frames(Context(image(), stack(PC + 9, *PADDING, 0)), rip=PC + 0x40)
    assert [(f.return_address, f.trust) for f in found] == [
        (PC + 9, FrameTrust.CONTEXT),
        (0, FrameTrust.LEAF),
    ]


@pytest.mark.parametrize("wild", [0, 0x123456789ABC])
def test_call_to_nowhere(wild: int) -> None:
    found = frames(Context(image(), stack(PC + 9, *PADDING, 0)), rip=wild)
    assert [(f.pc, f.return_address) for f in found] == [(wild, PC + 9), (PC + 9, 0)]
    assert found[1].trust is FrameTrust.WILD_CALL
    assert found[1].trust.is_guess


def test_missing_stack_is_named() -> None:
    found = frames(Context(image(), stack(*PADDING)), rip=PC + 9)
    assert len(found) == 1
    assert found[0].return_address is None
    assert found[0].caller_sp is None
    assert found[0].note == "stack memory at 00000000`00020028 is not in the dump"
    nothing = frames(Context(None, stack()), rip=0x500000)
    assert nothing[0].note == "stack memory at 00000000`00020000 is not in the dump"


def test_scan_without_unwind_data() -> None:
    memory = stack(1, PC + 3, 0x5000, PC + 9, *PADDING, 0)
    found = frames(Context(image(), memory), rip=0x500010)
    assert [(f.pc, f.sp, f.trust) for f in found] == [
        (0x500010, STACK, FrameTrust.CONTEXT),
        (PC + 9, STACK + 32, FrameTrust.SCAN),
    ]
    assert set(found[1].registers) == {"rip", "rsp"}
    assert found[1].return_address == 0


def test_scan_takes_unproven_words_only_when_nothing_better_comes() -> None:
    found = frames(Context(image(), stack(0x500020, 7, PC + 9, *PADDING, 0)), rip=0x500010)
    assert found[1].pc == PC + 9
    found = frames(Context(image(), stack(7, 0x500020, 7, 8)), rip=0x500010)
    assert [f.pc for f in found] == [0x500010, 0x500020]


def test_32_bit_code_of_a_64_bit_process_is_not_guessed_through() -> None:
    x86 = PeImage.from_buffer(
        PeBuilder(machine="x86", image_base=0x400000, text=CALLER * 3).build(), "x.dll"
    )
    memory = stack(PC + 9, 0x500020, STACK + 40, PC + 9, 0, 0, 0)
    (frame,) = frames(Context(x86, memory), rip=PC + 9, rbp=STACK + 16)
    assert frame.return_address is None
    assert "WOW64" in frame.note


def test_a_guess_is_no_address_of_data() -> None:
    """Without the image its sections are not known, but the symbols know their data."""
    found = frames(Context(image(), stack(0x580000, 0x500020, 7, 8)), rip=0x500010)
    assert [f.pc for f in found] == [0x500010, 0x500020]
    chain = stack(0, 0, STACK + 40, 0x580000, 0, 0, 0, 0)
    assert len(frames(Context(image(), chain), rip=0x500010, rbp=STACK + 16)) == 1
    assert found[-1].note == NOTHING_FOUND


def test_frame_pointer() -> None:
    memory = stack(9, 9, STACK + 80, PC + 9, *PADDING, 0)
    found = frames(Context(image(), memory), rip=0x500010, rbp=STACK + 16)
    assert [(f.pc, f.sp, f.trust) for f in found[1:]] == [
        (PC + 9, STACK + 32, FrameTrust.FRAME_POINTER)
    ]
    assert found[1].registers["rbp"] == STACK + 80


def test_frame_pointers_of_32_bits() -> None:
    words = [1, 2, STACK + 24, BASE & 0xFFFFFFFF, 3, 4, 0, 0]
    memory = BufferSpace(b"".join(word.to_bytes(4, "little") for word in words), STACK)
    found = list(walk(Context(None, memory), {"eip": 1, "esp": STACK, "ebp": STACK + 8}, 9))
    assert [(f.pc, f.return_address, f.note) for f in found] == [(1, None, NOTHING_FOUND)]


def test_damaged_information_is_noted_and_got_over() -> None:
    memory = stack(3, PC + 9, *PADDING, 0)
    found = frames(Context(image(unwind_info(version=4)), memory), rip=PC + 9)
    assert "version 4" in found[0].note
    assert found[1].trust is FrameTrust.SCAN


def test_circles_end() -> None:
    # SET_FPREG with a register that points below: the same frame for ever.
    info = unwind_info(code(4, 3, 0), prolog=4, frame=(5, 0))
    memory = stack(PC + 9, PC + 9, PC + 9, PC + 9)
    found = frames(Context(image(info), memory), rip=PC + 9, rbp=STACK)
    assert found[-1].note in ("the stack repeats itself", "the stack pointer does not rise")
    assert len(found) == 2


def test_endless_stacks_are_cut() -> None:
    memory = stack(*([*PADDING, PC + 9] * (MAX_FRAMES + 10)))
    assert len(frames(Context(image(), memory), limit=10**9, rip=PC + 9)) == MAX_FRAMES


def test_interrupted_frames_are_exact() -> None:
    """Never seen on a real file but Wine's own dispatcher."""
    builder = PeBuilder(text=CALLER * 3)
    builder.function(TEXT_RVA, TEXT_RVA + 0x20, unwind_info(code(0, 10, 0)))
    builder.function(TEXT_RVA + 0x20, TEXT_RVA + 0x40, INFO)
    built = PeImage.from_buffer(builder.build(), "x")
    memory = stack(PC + 0x20, 0x33, 0x202, STACK + 40, 0x2B, 0)
    found = frames(Context(built, memory), rip=PC + 9)
    assert found[0].machine_frame
    assert not found[1].is_return_address
    assert found[1].lookup_pc == PC + 0x20  # the very start: nothing is pushed yet
    assert (found[1].return_address, found[1].caller_sp) == (0, STACK + 48)


def test_no_registers_no_frames() -> None:
    assert list(walk(Context(None, stack()), {"rax": 1}, 10)) == []


def test_cancelled() -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(walk(Context(image(), stack()), {"rip": PC, "rsp": STACK}, 10, token))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e800000000", True),
        ("ffd0", True),
        ("41ffd2", True),
        ("ff1500000000", True),
        ("ff10", True),
        ("ff5008", True),
        ("ff542408", True),
        ("ff9000010000", True),
        ("ff942400010000", True),
        ("ff142500000000", True),
        ("ffe0", False),
        ("9090909090", False),
        ("", False),
        ("ff", False),
    ],
)
def test_calls_before_a_return_address(text: str, expected: bool) -> None:
    assert ends_with_call(bytes.fromhex(text)) is expected


def test_nothing_returns_to_where_the_code_begins() -> None:
    """A word there is a pointer to a function: no call can be before it."""
    found = frames(Context(None, stack(0x500000, 9, 0x500001, 0)), rip=0x500010)
    assert [f.pc for f in found] == [0x500010, 0x500001]


def test_tables_that_lead_from_a_guess_out_of_all_code_are_passed_over() -> None:
    memory = stack(PC + 9, *PADDING, 0x1234, 9, PC + 0x29, *PADDING, 0)
    found = frames(Context(image(), memory), rip=0x500010)
    assert [(f.pc, f.trust) for f in found] == [
        (0x500010, FrameTrust.CONTEXT),
        (PC + 9, FrameTrust.SCAN),
        (PC + 0x29, FrameTrust.SCAN),
    ]
    # Without a guess before, it is what the function returns to: somebody may have written over it.
    found = frames(Context(image(), stack(*PADDING, 0x1234, 9, PC + 0x29)), rip=PC + 9)
    assert [(f.pc, f.trust) for f in found][:2] == [
        (PC + 9, FrameTrust.CONTEXT),
        (0x1234, FrameTrust.UNWIND_INFO),
    ]


def test_a_stack_that_begins_with_a_found_frame_says_what_that_is() -> None:
    """``.frame /c`` chose a caller: its pc is a return address, and a guess stays one."""
    context = Context(image(), stack(*PADDING, PC + 0x29, *PADDING, PC + 9, *PADDING, 0))
    _, caller, _ = frames(context, rip=PC + 9)
    again = next(walk(context, caller.registers, 10, origin=caller))
    assert (again.lookup_pc, again.trust) == (caller.pc - 1, caller.trust)
    guess = msgspec.structs.replace(caller, trust=FrameTrust.SCAN)
    first, second = walk(context, caller.registers, 10, origin=guess)
    assert (first.trust, second.follows_guess) == (FrameTrust.SCAN, True)
