"""Callers by the exception tables of 32-bit ARM, and the code that says where they hold."""

from __future__ import annotations

import struct
from typing import Literal

import pytest

from polydbg.images.arm_exidx import exception_index_of
from polydbg.images.elf import ElfImage
from polydbg.memory.space import BufferSpace
from polydbg.testing.elf_builder import EXEC, NOBITS, ElfBuilder
from polydbg.unwind.arm_code import Effect, decode
from polydbg.unwind.arm_places import Code, undoing_epilog
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.walker import walk

BASE, TEXT, INDEX, EXTAB, STACK = 0x400000, 0x1000, 0x2000, 0x3000, 0x70000
THUMB = 0x20
NOP = 0xE1A00000


def built(
    words: list[int], rows: list[tuple[int, int]], *extab: int, segment: bool = True
) -> ElfBuilder:
    """Return a library with A32 code, an index of *rows*, each an address and a second word, and
    *extab* behind it."""
    made = ElfBuilder(is_64=False, machine=40)
    made.section(".text", struct.pack(f"<{len(words)}I", *words), address=TEXT, flags=EXEC)
    table = b"".join(
        struct.pack("<II", start - INDEX - 8 * number & 0x7FFFFFFF, second)
        for number, (start, second) in enumerate(rows)
    )
    made.section(".ARM.exidx", table, address=INDEX, type=0x70000001)
    if extab:
        data = struct.pack(f"<{len(extab)}I", *extab)
        made.section(".ARM.extab", data, address=EXTAB)
    return made.segment(0x70000001, ".ARM.exidx") if segment else made


class Context:
    """The library, moved by BASE, and a stack; *functions* are those that symbols know: sizes by
    addresses as linked."""

    byte_order: Literal["little", "big"] = "little"
    address_mask = 0

    def __init__(
        self, made: ElfBuilder, stack: list[int], functions: dict[int, int] | None = None
    ) -> None:
        self.image = ElfImage.from_buffer(made.build(), "lib.so")
        self.memory = BufferSpace(struct.pack(f"<{len(stack)}I", *stack), STACK)
        self.functions = functions or {}

    def image_at(self, address: int) -> tuple[int, ElfImage] | None:
        return (BASE + TEXT, self.image) if 0 <= address - BASE - TEXT < 0x3000 else None

    def is_code(self, address: int) -> bool:
        return self.image_at(address) is not None and self.image.is_code(address - BASE - TEXT)

    def is_data(self, address: int) -> bool:
        return False

    def cfi_at(self, address: int) -> None:
        return None

    def call_frames_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> tuple[int, int] | None:
        for start, size in self.functions.items():
            if start <= address - BASE < start + size:
                return BASE + start, size
        return None


def frames(context: Context, rva: int, **registers: int) -> list[Frame]:
    known = {"sp": STACK, "cpsr": 0, **registers, "pc": BASE + rva}
    return list(walk(context, known, 10, None, "arm"))


def found(context: Context, rva: int, **registers: int) -> list[tuple[int, int, FrameTrust]]:
    return [
        (each.pc - BASE, each.sp - STACK, each.trust)
        for each in frames(context, rva, **registers)[1:]
    ]


# outer: push {r4, lr}; sub sp, #8; bl inner; add sp, #8; pop {r4, pc}
# inner: push {r11, lr}; mov r11, sp; sub sp, #16; nop; mov sp, r11; pop {r11, pc}
OUTER, INNER, AFTER_CALL = TEXT, TEXT + 20, TEXT + 12
CODE = [
    0xE92D4010, 0xE24DD008, 0xEB000001, 0xE28DD008, 0xE8BD8010,
    0xE92D4800, 0xE1A0B00D, 0xE24DD010, NOP, 0xE1A0D00B, 0xE8BD8800,
]  # fmt: skip
ROWS = [(OUTER, 0x8001A8B0), (INNER, EXTAB - INDEX - 12), (TEXT + 0x100, 1)]
WHOLE = [1, 2, 3, 4, 0x1111, BASE + AFTER_CALL, 5, 6, 0x4444, 0]


def library() -> ElfBuilder:
    return built(CODE, ROWS, 0x81019B84, 0x80B0B0B0)  # vsp = r11; pop {r11, lr}


@pytest.mark.parametrize(
    ("rva", "sp", "trust"),
    [
        (INNER, 24, FrameTrust.INSTRUCTIONS),
        (INNER + 4, 16, FrameTrust.INSTRUCTIONS),
        (INNER + 8, 16, FrameTrust.UNWIND_INFO),
        (INNER + 12, 0, FrameTrust.INSTRUCTIONS),  # straight to the return
        (INNER + 20, 16, FrameTrust.INSTRUCTIONS),
    ],
)
def test_a_first_frame_is_undone_as_far_as_it_is_made(rva: int, sp: int, trust: FrameTrust) -> None:
    r11 = STACK + 16 if INNER + 4 < rva < INNER + 20 else 0x1111
    context = Context(library(), WHOLE)
    registers = {"sp": STACK + sp, "r11": r11, "lr": BASE + AFTER_CALL, "r4": 7, "r8": 8}
    assert found(context, rva, **registers) == [(AFTER_CALL, 24, trust)]
    caller = frames(context, rva, **registers)[-1]
    assert caller.registers["r4"] == 7
    assert caller.registers["r11"] == 0x1111
    assert caller.registers["r8"] == 8
    assert (caller.return_address, caller.caller_sp, caller.note) == (0, STACK + 40, "")


def test_without_the_state_of_the_processor_only_calls_are_sure() -> None:
    context = Context(library(), WHOLE)
    known = {"pc": BASE + INNER + 12, "sp": STACK, "r11": STACK + 16, "lr": 0}
    _, first = walk(context, known, 10, None, "arm")
    assert (first.pc, first.trust) == (BASE + AFTER_CALL, FrameTrust.CALL_SITE)
    assert first.trust.is_guess


# cmp r0, #0; beq out; push {r4, lr}; bl; pop {r4, lr}; b elsewhere; out: nop; b elsewhere
WRAPPED = [
    0xE3500000, 0x0A000003, 0xE92D4010, 0xEB000010, 0xE8BD4010, 0xEA000010, NOP, 0xEA000010,
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "lr", "expected"),
    [
        (1, AFTER_CALL, [(AFTER_CALL, 0, FrameTrust.INSTRUCTIONS)]),
        (3, TEXT + 16, [(AFTER_CALL, 8, FrameTrust.UNWIND_INFO)]),
        (4, TEXT + 16, [(AFTER_CALL, 8, FrameTrust.INSTRUCTIONS)]),
        (5, AFTER_CALL, [(AFTER_CALL, 0, FrameTrust.INSTRUCTIONS)]),
        (6, AFTER_CALL, [(AFTER_CALL, 0, FrameTrust.LINK_REGISTER)]),
        (6, TEXT + 16, [(AFTER_CALL, 8, FrameTrust.CALL_SITE)]),
    ],
)
def test_code_that_a_jump_leads_to_around_the_frame_is_not_sure(
    number: int, lr: int, expected: list[tuple[int, int, FrameTrust]]
) -> None:
    start = TEXT + 0x20
    words = [NOP, NOP, 0xEB000000, NOP, NOP, NOP, NOP, NOP, *WRAPPED, *[NOP] * 16]
    made = built(words, [(TEXT, 1), (start, 0x80A8B0B0), (start + 32, 1)])
    context = Context(made, [4, BASE + AFTER_CALL], {TEXT: 32, start: 32})
    link = lr if lr == AFTER_CALL else start + 16
    callers = found(context, start + 4 * number, lr=BASE + link)
    assert callers[:1] == expected


@pytest.mark.parametrize(
    ("sizes", "trust"),
    [
        ({TEXT: 12, TEXT + 12: 12}, FrameTrust.CALL_SITE),
        ({TEXT: 24}, FrameTrust.UNWIND_INFO),
        ({}, FrameTrust.UNWIND_INFO),
    ],
)
def test_a_row_is_not_believed_for_a_later_function_that_begins_otherwise(
    sizes: dict[int, int], trust: FrameTrust
) -> None:
    # push {r4, lr}; bl; pop {r4, pc}; str lr, [sp, #-4]!; bl; ldr pc, [sp], #4; bx lr
    words = [0xE92D4010, 0xEB000000, 0xE8BD8010, 0xE52DE004, 0xEB000000, 0xE49DF004, 0xE12FFF1E]
    made = built(words, [(TEXT, 0x80A8B0B0), (TEXT + 24, 0x80B0B0B0)])
    context = Context(made, [4, BASE + TEXT + 8, 0, 0], sizes)
    callers = found(context, TEXT + 24, lr=BASE + TEXT + 20)
    assert callers[0] == (TEXT + 20, 0, FrameTrust.INSTRUCTIONS)
    assert callers[1] == (TEXT + 8, 8, trust)


def test_a_row_is_shared_by_functions_that_begin_alike() -> None:
    words = [0xE92D4010, 0xEB000000, 0xE8BD8010] * 2 + [0xE12FFF1E]
    made = built(words, [(TEXT, 0x80A8B0B0), (TEXT + 24, 0x80B0B0B0)])
    context = Context(made, [4, BASE + TEXT + 8, 0, 0], {TEXT: 12, TEXT + 12: 12})
    callers = found(context, TEXT + 24, lr=BASE + TEXT + 20)
    assert callers[1] == (TEXT + 8, 8, FrameTrust.UNWIND_INFO)


@pytest.mark.parametrize(
    ("behind", "ends"),
    [([0xE3A07001, 0xEF000000], True), ([0x0701F04F, 0xBF00DF00], True), ([NOP, NOP], False)],
)
def test_code_that_cannot_be_unwound_ends_the_stack_where_it_ends_the_thread(
    behind: list[int], ends: bool
) -> None:
    # clone: blx r12; exit. Its thread: push {r4, lr}; nop; pop {r4, pc}
    words = [0xE12FFF3C, *behind, NOP, 0xE92D4010, NOP, 0xE3A00000, 0xE8BD8010]
    made = built(words, [(TEXT, 1), (TEXT + 16, 0x80A8B0B0)])
    context = Context(made, [4, BASE + TEXT + 4, 5, BASE + TEXT + 4], {})
    walked = frames(context, TEXT + 20)
    assert (walked[1].pc, walked[1].sp) == (BASE + TEXT + 4, STACK + 8)
    assert (walked[1].return_address == 0 and len(walked) == 2) is ends
    if not ends:
        assert walked[2].trust is FrameTrust.SCAN


@pytest.mark.parametrize(
    "second", [0x8080B0B0 & 0x80FFFFFF, 0x80B6B0B0, 0x81A8B0B0, 0x7FFFFFF0, 0x00100000]
)
def test_damage_is_noted_and_guesses_go_on(second: int) -> None:
    made = built([0xE92D4010, NOP, NOP, 0xEB000000, NOP], [(TEXT, second)])
    context = Context(made, [0, 0, 0, 0], {TEXT: 20})
    first, *_ = frames(context, TEXT + 8)
    assert first.return_address is None
    assert first.note


def test_a_register_that_is_not_known_is_said() -> None:
    context = Context(library(), [0, 0])
    first, *_ = frames(context, INNER + 8, lr=0)
    assert first.note == "unwinding needs r11, which is not known"


# -- images ----------------------------------------------------------------------------------


def test_the_index_is_found_by_its_segment_and_by_its_section() -> None:
    for segment in (True, False):
        image = ElfImage.from_buffer(built(CODE, ROWS, segment=segment).build(), "a")
        index = exception_index_of(image)
        assert index is not None
        assert [index.row(number).start + TEXT for number in range(3)] == [row for row, _ in ROWS]


def test_the_index_is_read_from_memory() -> None:
    file = ElfImage.from_buffer(library().build(), "a")
    mapped = b"".join(
        file.space.read_some(page, 0x1000).ljust(0x1000, b"\0") for page in range(0, 0x3000, 0x1000)
    )
    loaded = ElfImage(file.header, file.segments, BufferSpace(mapped), BufferSpace(b""), "a")
    index = exception_index_of(loaded)
    assert index is not None
    row = index.row_at(INNER - TEXT + 8)
    assert row is not None
    assert [each.value for each in index.codes(row)] == [0, 8]


def test_other_processors_and_debug_files_have_no_index() -> None:
    other = ElfBuilder(is_64=False, machine=8)
    other.section(".ARM.exidx", bytes(8), address=INDEX, type=0x70000001)
    debug = ElfBuilder(is_64=False, machine=40)
    debug.section(".ARM.exidx", address=INDEX, type=NOBITS, size=8)
    debug.segment(0x70000001, ".ARM.exidx")
    none = ElfBuilder(is_64=False, machine=40)
    for made in (other, debug, none):
        assert exception_index_of(ElfImage.from_buffer(made.build(), "a")) is None


# -- instructions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "effect", "value", "registers"),
    [
        ("e92d4ff0", Effect.PUSH, 36, "r4 r5 r6 r7 r8 r9 r10 r11 lr"),
        ("e52de004", Effect.PUSH, 4, "lr"),
        ("e52de008", Effect.PUSH, 8, "lr"),
        ("e16d40f8", Effect.PUSH, 8, "r4 r5"),
        ("ed2d8b04", Effect.PUSH, 16, "d8 d9"),
        ("ed6d0b04", Effect.PUSH, 16, "d16 d17"),
        ("e24ddd41", Effect.MOVE_SP, -4160, ""),
        ("e28dd008", Effect.MOVE_SP, 8, ""),
        ("e28db004", Effect.SET_FRAME, 4, "r11"),
        ("e1a0700d", Effect.SET_FRAME, 0, "r7"),
        ("e24bd018", Effect.SET_SP, -24, "r11"),
        ("e1a0d00b", Effect.SET_SP, 0, "r11"),
        ("e28bb008", Effect.ADJUST, 8, "r11"),
        ("e8bd8010", Effect.POP, 8, "r4 pc"),
        ("e49df004", Effect.POP, 4, "pc"),
        ("ecbd8b02", Effect.POP, 8, "d8"),
        ("e12fff1e", Effect.RETURN, 0, ""),
        ("e1a0f00e", Effect.RETURN, 0, ""),
        ("012fff1e", Effect.MAY_RETURN, 0, ""),
        ("08bd8010", Effect.MAY_RETURN, 0, ""),
        ("092d4010", Effect.STOP, 0, ""),
        ("eafffffe", Effect.JUMP, TEXT, ""),
        ("0a000000", Effect.BRANCH, TEXT + 8, ""),
        ("e12fff13", Effect.JUMP, 0, "r3"),
        ("ebfffffe", Effect.CALL, 0, ""),
        ("fafffffe", Effect.CALL, 0, ""),
        ("e12fff33", Effect.CALL, 0, ""),
        ("e0010392", Effect.OTHER, 0, "r1 r0"),
        ("e1c420d0", Effect.OTHER, 0, "r2 r3"),
        ("e3001234", Effect.OTHER, 0, "r1"),
        ("e5910000", Effect.OTHER, 0, "r0"),
        ("e891000c", Effect.OTHER, 0, "r2 r3"),
        ("e591f000", Effect.STOP, 0, ""),
        ("e04dd000", Effect.STOP, 0, ""),
        ("e3cdd00f", Effect.STOP, 0, ""),
        ("e89da800", Effect.STOP, 0, ""),
    ],
)
def test_a32(code: str, effect: Effect, value: int, registers: str) -> None:
    _check(bytes.fromhex(code)[::-1], effect, value, registers, is_thumb=False)


@pytest.mark.parametrize(
    ("code", "effect", "value", "registers"),
    [
        ("b5f0", Effect.PUSH, 20, "r4 r5 r6 r7 lr"),
        ("e92d 4ff0", Effect.PUSH, 36, "r4 r5 r6 r7 r8 r9 r10 r11 lr"),
        ("f84d ed04", Effect.PUSH, 4, "lr"),
        ("e96d 4502", Effect.PUSH, 8, "r4 r5"),
        ("ed2d 8b02", Effect.PUSH, 8, "d8"),
        ("b082", Effect.MOVE_SP, -8, ""),
        ("b002", Effect.MOVE_SP, 8, ""),
        ("f5ad 5d80", Effect.MOVE_SP, -4096, ""),
        ("f6ad 7dff", Effect.MOVE_SP, -4095, ""),
        ("f10d 0d10", Effect.MOVE_SP, 16, ""),
        ("af03", Effect.SET_FRAME, 12, "r7"),
        ("f10d 0b1c", Effect.SET_FRAME, 28, "r11"),
        ("46bd", Effect.SET_SP, 0, "r7"),
        ("f1a7 0d10", Effect.SET_SP, -16, "r7"),
        ("3710", Effect.ADJUST, 16, "r7"),
        ("f107 072c", Effect.ADJUST, 44, "r7"),
        ("bdf0", Effect.POP, 20, "r4 r5 r6 r7 pc"),
        ("e8bd 8ff0", Effect.POP, 36, "r4 r5 r6 r7 r8 r9 r10 r11 pc"),
        ("f85d fb04", Effect.POP, 4, "pc"),
        ("4770", Effect.RETURN, 0, ""),
        ("4718", Effect.JUMP, 0, "r3"),
        ("4798", Effect.CALL, 0, ""),
        ("f7ff fffe", Effect.CALL, 0, ""),
        ("e7fe", Effect.JUMP, TEXT, ""),
        ("f7ff bffe", Effect.JUMP, TEXT, ""),
        ("d0fe", Effect.BRANCH, TEXT, ""),
        ("b100", Effect.BRANCH, TEXT + 4, ""),
        ("f43f affe", Effect.BRANCH, TEXT, ""),
        ("bf08", Effect.STOP, 0, ""),
        ("4485", Effect.STOP, 0, ""),
        ("ebad 0d04", Effect.STOP, 0, ""),
        ("e8df f000", Effect.STOP, 0, ""),
        ("6808", Effect.OTHER, 0, "r0"),
        ("c90c", Effect.OTHER, 0, "r2 r3"),
        ("6008", Effect.OTHER, 0, ""),
        ("e9d2 2300", Effect.OTHER, 0, "r2 r3"),
        ("f8d1 0004", Effect.OTHER, 0, "r0"),
        ("fba1 2304", Effect.OTHER, 0, "r2 r3"),
        ("f3bf 8f5b", Effect.OTHER, 0, ""),
    ],
)
def test_t32(code: str, effect: Effect, value: int, registers: str) -> None:
    data = b"".join(bytes.fromhex(half)[::-1] for half in code.split())
    _check(data, effect, value, registers, is_thumb=True)


def _check(data: bytes, effect: Effect, value: int, registers: str, *, is_thumb: bool) -> None:
    done = decode(data, TEXT, is_thumb=is_thumb)
    assert done is not None
    assert (done.effect, done.value, " ".join(done.registers)) == (effect, value, registers)
    assert done.length == len(data)
    assert decode(data[:-1], TEXT, is_thumb=is_thumb) is None or len(data) == 4


def test_code_that_does_not_end_is_no_epilog() -> None:
    assert undoing_epilog(Code(BufferSpace(bytes(0x10000)), True), 0, 0, None) is None
    assert undoing_epilog(Code(BufferSpace(b""), False), 0, 0, None) is None
