"""x86 callers: layouts, programs, searches for the return address, and what is marked a guess."""

from __future__ import annotations

from typing import Literal

import pytest

from polydbg.base.errors import MemoryReadError, UnwindError
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.symbols.frame_info import CfiRules, WinFrame
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import X86, Callee
from polydbg.unwind.walker import callers_of, walk
from polydbg.unwind.x86_frames import virtual_frame

STACK = 0x20000
CODE = 0x401000
FUNCTION = CODE + 0x20  # 0x40 bytes
INNER = CODE + 0x60  # called by FUNCTION
CALLER = CODE + 0x100
EBP_FRAME = "$T0 $ebp = $eip $T0 4 + ^ = $ebp $T0 ^ = $esp $T0 8 + ="
BY_ESP = "$T0 .raSearch = $eip $T0 ^ = $esp $T0 4 + ="


class Context:
    """Code and a stack in one space; symbols as told."""

    byte_order: Literal["little", "big"] = "little"

    def __init__(self, words: list[int]) -> None:
        stack = b"".join(word.to_bytes(4, "little") for word in words)
        self.stack = BufferSpace(stack, STACK)
        self.code = bytearray(b"\x90" * 0x200)
        # CALLER: call FUNCTION; a nop. CALLER + 0x10: call [eax]; CALLER + 0x20: call elsewhere.
        self.put(CALLER, b"\xe8" + (FUNCTION - CALLER - 5).to_bytes(4, "little", signed=True))
        self.put(CALLER + 0x10, b"\xff\x10")
        self.put(CALLER + 0x20, b"\xe8\x20\0\0\0")
        self.layout: WinFrame | None = None
        self.rules: CfiRules | None = None
        self.has_function = True
        self.memory = self
        self.address_mask = 0

    def put(self, address: int, code: bytes) -> None:
        self.code[address - CODE : address - CODE + len(code)] = code

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) < size:
            raise MemoryReadError(address + len(data))
        return data

    def read_some(self, address: int, size: int) -> bytes:
        if CODE <= address < CODE + len(self.code):
            return bytes(self.code[address - CODE : address - CODE + size])
        return self.stack.read_some(address, size)

    def next_readable(self, address: int) -> int | None:
        return address

    def image_at(self, address: int) -> tuple[int, PeImage] | None:
        return None

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + len(self.code)

    def is_data(self, address: int) -> bool:
        return False

    def function_at(self, address: int) -> tuple[int, int] | None:
        if address == INNER:
            return INNER, 0x10
        inside = self.has_function and FUNCTION <= address < FUNCTION + 0x40
        return (FUNCTION, 0x40) if inside else None

    def cfi_at(self, address: int) -> CfiRules | None:
        return self.rules if FUNCTION <= address < FUNCTION + 0x40 else None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> tuple[int, WinFrame] | None:
        if self.layout is None or not FUNCTION <= address < FUNCTION + 0x40:
            return None
        return CODE, self.layout


def layout(program: str = "", **sizes: int) -> WinFrame:
    defaults = {"prolog_size": 0, "parameters_size": 0, "saved_size": 0, "locals_size": 0}
    return WinFrame(
        rva=FUNCTION - CODE,
        code_size=0x40,
        max_stack_size=0,
        program=program,
        uses_frame_pointer=bool(sizes.pop("uses_ebp", 0)),
        **{**defaults, **sizes},
    )


def frames(context: Context, eip: int = FUNCTION + 0x20, **registers: int) -> list[Frame]:
    start = {"eip": eip, "esp": STACK, "ebp": STACK + 8, "ebx": 1, "esi": 2, "edi": 3}
    return list(walk(context, start | registers, 4))


def test_a_program_by_ebp() -> None:
    context = Context([9, 9, STACK + 40, CALLER + 5, 9])
    context.layout = layout(EBP_FRAME + " $20 $T0 8 - ^ =", prolog_size=3)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.sp, caller.trust) == (CALLER + 5, STACK + 16, FrameTrust.FRAME_DATA)
    assert caller.registers["ebp"] == STACK + 40
    assert caller.registers["ebx"] == 9
    assert caller.registers["esi"] == 2


def test_a_program_by_esp_counts_locals_and_saved_registers() -> None:
    context = Context([9, 9, 77, CALLER + 5, 9])
    context.layout = layout(BY_ESP + " $ebx $T0 4 - ^ =", locals_size=8, saved_size=4)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.sp, caller.trust) == (CALLER + 5, STACK + 16, FrameTrust.FRAME_DATA)
    assert caller.registers["ebx"] == 77


def test_pushed_arguments_make_the_frame_a_guess() -> None:
    context = Context([9, 9, 9, CALLER + 5, 9])
    context.layout = layout(BY_ESP)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.trust) == (CALLER + 5, FrameTrust.SCAN)


def test_a_call_elsewhere_in_the_slot_is_doubted() -> None:
    context = Context([CALLER + 0x25, 9, CALLER + 5, 9])
    context.layout = layout(BY_ESP)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.trust) == (CALLER + 5, FrameTrust.SCAN)
    context = Context([CALLER + 0x25, 9, 9, 9])
    context.layout = layout(BY_ESP)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.trust) == (CALLER + 0x25, FrameTrust.SCAN)
    context = Context([CALLER + 0x12, 9, 9, 9])  # an indirect call may well lead here
    context.layout = layout(BY_ESP)
    assert frames(context)[1].trust is FrameTrust.FRAME_DATA


def test_a_word_into_a_module_of_which_nothing_is_known_is_a_guess() -> None:
    context = Context([0x600000, 9])
    context.layout = layout(BY_ESP)
    is_code = context.is_code
    context.is_code = lambda at: 0x5FFFF0 <= at <= 0x600000 or is_code(at)  # type: ignore[method-assign]
    assert frames(context)[1].trust is FrameTrust.SCAN
    context.function_at = lambda address: (0x5FFFF0, 0x20)  # type: ignore[method-assign]
    assert frames(context)[1].trust is FrameTrust.FRAME_DATA
    context.function_at = lambda address: (0x600000, 0x20)  # type: ignore[method-assign]
    assert frames(context)[1].trust is FrameTrust.SCAN


def test_no_return_address_is_said() -> None:
    context = Context([9] * 6)
    context.layout = layout(EBP_FRAME)
    (frame,) = frames(context, ebp=STACK + 4)
    assert "00000009, which is no return address" in frame.note


def test_arguments_of_the_callee_are_not_counted_by_the_caller() -> None:
    context = Context([FUNCTION + 0x10, 5, 6, 9, CALLER + 5, 9])
    context.put(FUNCTION + 0x0B, b"\xe8" + (INNER - FUNCTION - 0x10).to_bytes(4, "little"))
    outer = layout(BY_ESP, locals_size=4)
    leaf = layout(BY_ESP, parameters_size=8)

    def win_frame_at(address: int) -> tuple[int, WinFrame] | None:
        if address == INNER:
            return CODE, leaf
        return (CODE, outer) if FUNCTION <= address < FUNCTION + 0x40 else None

    context.win_frame_at = win_frame_at  # type: ignore[method-assign]
    found = frames(context, eip=INNER)
    assert [(f.pc, f.trust) for f in found[1:3]] == [
        (FUNCTION + 0x10, FrameTrust.FRAME_DATA),
        (CALLER + 5, FrameTrust.FRAME_DATA),
    ]


def test_an_epilog_that_cannot_be_seen_makes_the_frame_a_guess() -> None:
    # On top lies what looks like a return address: ebp may be the caller's already.
    context = Context([CALLER + 5, 9, STACK + 40, CALLER + 0x12, 9])
    context.layout = layout(EBP_FRAME)
    assert frames(context)[1].trust is FrameTrust.FRAME_DATA  # the code says that it is no epilog
    context.code = bytearray()
    context.is_code = lambda address: CODE <= address < CODE + 0x200  # type: ignore[method-assign]
    assert frames(context)[1].trust is FrameTrust.SCAN


def test_an_overwritten_frame_pointer_leaves_the_stack_to_be_searched() -> None:
    context = Context([9, 9, 9, CALLER + 5, 9])
    context.layout = layout(EBP_FRAME)
    first, caller = frames(context, ebp=0x41414141)[:2]
    assert first.note == "stack memory at 41414145 is not in the dump"
    assert (caller.pc, caller.trust) == (CALLER + 5, FrameTrust.SCAN)
    (cut,) = frames(context, ebp=STACK + 0x100)  # the rest of this stack is not in the dump
    assert cut.note == "stack memory at 00020104 is not in the dump"


def test_a_plain_record_counts_words() -> None:
    context = Context([3, STACK + 80, 2, 9, CALLER + 5, 9])
    context.layout = layout(saved_size=12, locals_size=4, uses_ebp=1)
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.sp, caller.trust) == (CALLER + 5, STACK + 20, FrameTrust.FRAME_DATA)
    assert caller.registers["ebp"] == STACK + 80  # pushed second
    assert "ebx" not in caller.registers  # saved, but who knows where
    context = Context([3, 55, 2, 9, CALLER + 5, 9])
    context.layout = layout(saved_size=12, locals_size=4, uses_ebp=1)
    assert "ebp" not in frames(context)[1].registers  # no frame pointer, so it may be another


def test_a_plain_record_without_saved_registers_keeps_them() -> None:
    context = Context([CALLER + 5, 9])
    context.layout = layout()
    assert frames(context)[1].registers["ebx"] == 1


@pytest.mark.parametrize(("offset", "slot"), [(0, 0), (1, 1), (3, 1), (4, 2)])
def test_a_prolog_is_undone_as_far_as_it_ran(offset: int, slot: int) -> None:
    words = [9] * 4
    words[slot] = CALLER + 5
    if slot:
        words[slot - 1] = 0x1234  # the caller's ebp
    context = Context(words)
    context.put(FUNCTION, bytes.fromhex("55 8bec 53 83ec10"))
    context.layout = layout(EBP_FRAME, prolog_size=7)
    ebp = STACK + (slot - 1) * 4 if offset >= 3 else 0x1234
    _, caller = frames(context, eip=FUNCTION + offset, ebp=ebp)[:2]
    assert (caller.pc, caller.sp) == (CALLER + 5, STACK + slot * 4 + 4)
    assert caller.registers["ebp"] == 0x1234
    assert caller.trust is FrameTrust.FRAME_DATA


def test_an_epilog_is_finished_even_without_symbols() -> None:
    context = Context([0x1234, CALLER + 5, 9])
    context.has_function = False
    context.put(FUNCTION + 0x20, bytes.fromhex("5d c20800"))
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.sp) == (CALLER + 5, STACK + 8)
    assert caller.trust is FrameTrust.INSTRUCTIONS
    assert caller.registers["ebp"] == 0x1234


def test_the_usual_frame_is_recognised_where_no_layout_is() -> None:
    context = Context([9, 9, STACK + 40, CALLER + 5, 9])
    context.put(FUNCTION, bytes.fromhex("55 89e5 56 b801000000"))
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.trust) == (CALLER + 5, FrameTrust.INSTRUCTIONS)
    assert caller.registers["esi"] == 9
    assert "ebx" not in caller.registers  # it may have been changed since
    context.has_function = False
    assert frames(context)[1].trust is FrameTrust.FRAME_POINTER


def test_call_frame_rules() -> None:
    context = Context([9, 77, CALLER + 5, 9])
    context.rules = CfiRules(
        {".cfa": "$esp 12 +", ".ra": ".cfa 4 - ^", "$ebx": ".cfa 8 - ^", "$esi": ".undef"}
    )
    _, caller = frames(context)[:2]
    assert (caller.pc, caller.sp, caller.trust) == (CALLER + 5, STACK + 12, FrameTrust.CFI)
    assert caller.registers["ebx"] == 77
    assert "esi" not in caller.registers
    assert caller.registers["edi"] == 3


@pytest.mark.parametrize(
    ("machine", "names", "rules"),
    [
        ("arm64", ("x19", "fp", "lr"), {".ra": "x30", "x29": ".cfa -16 + ^"}),
        ("arm", ("r4", "r11", "lr"), {".ra": "lr", "fp": ".cfa -16 + ^"}),
    ],
)
def test_call_frame_rules_of_arm(
    machine: str, names: tuple[str, str, str], rules: dict[str, str]
) -> None:
    context = Context([9, 9, 9, 9, STACK + 64, 0, 9, 9, 9, 9])
    context.rules = CfiRules({".cfa": "sp 32 +", **rules})
    kept, fp, lr = names
    registers = {"pc": FUNCTION + 0x20, "sp": STACK, kept: 7, fp: 0, lr: CALLER + 5, "x0": 1}
    _, caller = list(walk(context, registers, 2, machine=machine))[:2]
    assert (caller.pc & ~1, caller.sp) == (CALLER + 5 & ~1, STACK + 32)
    assert caller.trust is FrameTrust.CFI
    assert (caller.registers[kept], caller.registers[fp]) == (7, STACK + 64)
    assert "x0" not in caller.registers


@pytest.mark.parametrize("rules", [{}, {".ra": ".undef"}])
def test_an_undefined_return_address_ends_the_stack(rules: dict[str, str]) -> None:
    context = Context([9, 77, CALLER + 5, 9])
    context.rules = CfiRules({".cfa": "$esp 12 +", **rules})
    (frame,) = frames(context)
    assert (frame.return_address, frame.note) == (0, "")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({".ra": "1"}, "lack .cfa"),
        ({".cfa": "$r99 4 +", ".ra": "1"}, "needs $r99"),
        ({".cfa": "4 +", ".ra": "1"}, "lacks an operand"),
    ],
)
def test_rules_without_sense_are_named(rules: dict[str, str], words: str) -> None:
    context = Context([9, 9])
    context.rules = CfiRules(rules)
    assert words in frames(context, ebp=0)[0].note


def test_a_wild_call_left_its_return_address_on_top() -> None:
    found = frames(Context([CALLER + 5, 9, 9]), eip=0)
    assert (found[1].pc, found[1].sp) == (CALLER + 5, STACK + 4)
    assert found[1].trust is FrameTrust.WILD_CALL
    assert found[1].registers["ebp"] == STACK + 8


def test_an_indirect_call_with_another_return_address_behind_is_a_guess() -> None:
    """What a frameless function pushed may be the address of code, too."""
    context = Context([CALLER + 0x12, 9, CALLER + 5, 9])
    context.layout = layout(BY_ESP)
    _, caller = frames(context)[:2]
    assert caller.pc == CALLER + 5 or caller.trust is FrameTrust.SCAN
    context = Context([CALLER + 0x12, 9, CALLER + 0x12, 9])
    context.layout = layout(BY_ESP)
    _, caller = frames(context)[:2]
    assert caller.trust is FrameTrust.SCAN


def virtual(context: Context, eip: int = FUNCTION + 0x20) -> int:
    registers = {"eip": eip, "esp": STACK, "ebp": STACK + 8, "ebx": 1, "esi": 2, "edi": 3}
    return virtual_frame(Callee(registers, False, True, X86), context)


def test_virtual_frames() -> None:
    context = Context([9, 9, STACK + 40, CALLER + 5, 9])
    context.layout = layout(EBP_FRAME, prolog_size=3)
    assert virtual(context) == STACK + 8
    context.layout = layout(BY_ESP, locals_size=8, saved_size=4)
    assert virtual(context) == STACK + 12
    context.layout = layout("", locals_size=8, saved_size=4)
    assert virtual(context) == STACK + 12


def test_virtual_frames_that_are_not_sure() -> None:
    context = Context([9, 9, CALLER + 0x25, CALLER + 5, 9])
    with pytest.raises(UnwindError, match="no frame layout"):
        virtual(context)
    context.layout = layout(BY_ESP, locals_size=4)
    with pytest.raises(UnwindError, match="not sure"):
        virtual(context)
    context.layout = layout("$eip 4 + =", locals_size=4)
    with pytest.raises(UnwindError):
        virtual(context)
    context.put(FUNCTION, b"\x55\x8b\xec\x83\xec\x08")
    context.layout = layout(EBP_FRAME, prolog_size=6)
    with pytest.raises(UnwindError, match="prolog is not done"):
        virtual(context, FUNCTION + 1)


def test_a_walk_goes_on_from_a_frame() -> None:
    context = Context([9, 9, STACK + 40, CALLER + 5, 9])
    context.layout = layout(EBP_FRAME, prolog_size=3)
    whole = frames(context)
    assert list(callers_of(context, whole[0], 3, "x86")) == whole[1:4]
    assert list(callers_of(context, whole[0], 1, "x86")) == whole[1:2]
    assert not list(callers_of(context, whole[-1], 0, "x86"))
