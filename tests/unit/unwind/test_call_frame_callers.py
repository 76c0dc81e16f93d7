"""Callers by call frame information: rules on every processor, signal frames, ends of stacks."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec
import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf.cfi_rules import (
    SAME,
    UNDEFINED,
    CfaRule,
    FrameRules,
    RegisterRule,
    RuleKind,
)
from polydbg.images.elf import ElfImage
from polydbg.memory.space import AddressSpace, BufferSpace
from polydbg.unwind.frames import Frame, FrameTrust
from polydbg.unwind.method import Convention
from polydbg.unwind.processors import convention_of, processor
from polydbg.unwind.signal_frames import trampolines
from polydbg.unwind.walker import walk

CODE, STACK, SIZE = 0x10000, 0x50000, 0x1000
LEAF, CALLER = CODE + 0x100, CODE + 0x208
MACHINES = [
    "amd64", "x86", "arm64", "arm", "riscv64", "riscv32", "ppc", "ppc64", "s390", "s390x", "mips",
    "mips64", "loongarch64", "sparc", "sparc64", "m68k", "alpha",
]  # fmt: skip


def offset(value: int) -> RegisterRule:
    return RegisterRule(RuleKind.OFFSET, value)


def rules(
    cfa: CfaRule,
    registers: dict[int, RegisterRule],
    column: int,
    *,
    is_signal_frame: bool = False,
    entry_register: int = 0,
    size: int = 8,
) -> FrameRules:
    return FrameRules(
        start=0,
        end=SIZE,
        cfa=cfa,
        registers=registers,
        return_register=column,
        is_signal_frame=is_signal_frame,
        ra_signed=False,
        uses_key_b=False,
        address_size=size,
        entry_register=entry_register,
    )


class Context:
    """A module of SIZE bytes at CODE, whose rules are given by RVA."""

    address_mask = 0

    def __init__(
        self,
        table: dict[int, FrameRules | Exception],
        stack: bytes,
        order: Literal["little", "big"] = "little",
        code: bytes = b"",
    ) -> None:
        self.table = table
        self.byte_order: Literal["little", "big"] = order
        self.code = code
        self.memory: AddressSpace = BufferSpace(stack, STACK)

    def rules_at(self, rva: int) -> FrameRules | None:
        for start in sorted(self.table, reverse=True):
            if start <= rva < start + 0x80:
                found = self.table[start]
                if isinstance(found, Exception):
                    raise found
                return found
        return None

    def call_frames_at(self, address: int) -> tuple[int, Context] | None:
        return (CODE, self) if CODE <= address < CODE + SIZE else None

    def image_at(self, address: int) -> tuple[int, ElfImage] | None:
        return None

    def is_code(self, address: int) -> bool:
        return CODE <= address < CODE + SIZE

    def is_data(self, address: int) -> bool:
        return True  # no guess is believed

    def cfi_at(self, address: int) -> None:
        return None

    def win_frame_at(self, address: int) -> None:
        return None

    def function_at(self, address: int) -> None:
        return None


class CodeSpace:
    """The stack, and code at one address."""

    def __init__(self, stack: BufferSpace, code: bytes, at: int) -> None:
        self.parts = [stack, BufferSpace(code, at)]

    def read(self, address: int, size: int) -> bytes:
        for part in self.parts:
            if part.read_some(address, 1):
                return part.read(address, size)
        return self.parts[0].read(address, size)

    def read_some(self, address: int, size: int) -> bytes:
        return self.parts[0].read_some(address, size) or self.parts[1].read_some(address, size)

    def next_readable(self, address: int) -> int | None:
        return None


def convention(machine: str) -> Convention:
    order: Literal["little", "big"] = (
        "big" if machine in ("ppc", "s390", "s390x", "sparc", "sparc64", "m68k") else "little"
    )
    names = {"amd64": ("rip", "rsp"), "x86": ("eip", "esp"), "ppc": ("pc", "r1")}
    names |= {"ppc64": ("pc", "r1"), "s390": ("pc", "r15"), "s390x": ("pc", "r15")}
    found = convention_of(dict.fromkeys(names.get(machine, ("pc", "sp")), 0), machine, order)
    assert found is not None
    return found


def number_of(machine: str, name: str) -> int:
    return next(number for number, each in processor(machine).names.items() if each == name)


def frames(context: Context, machine: str, **registers: int) -> list[Frame]:
    return list(walk(context, registers, 10, None, machine))


@pytest.mark.parametrize("machine", MACHINES)
def test_a_caller_on_every_processor(machine: str) -> None:
    names, known = convention(machine), processor(machine)
    size = names.size
    sp = number_of(machine, names.sp)
    column = number_of(machine, names.lr or names.pc)
    saved = next(
        number
        for number, name in sorted(known.names.items())
        if name in known.preserved and name not in known.wide and name != names.sp
    )
    bias = known.sp_bias
    frame = 64
    table = {
        0x100: rules(
            CfaRule(sp, frame + bias),
            {column: offset(-size), saved: offset(-2 * size)},
            column,
            size=size,
        ),
        0x200: rules(CfaRule(sp, bias), {column: UNDEFINED}, column, size=size),
    }
    stack = bytearray(0x1000)
    value = CALLER - known.return_offset
    place = frame + bias
    stack[place - size : place] = value.to_bytes(size, names.order)
    stack[place - 2 * size : place - size] = (0x1234).to_bytes(size, names.order)
    context = Context(dict(table), bytes(stack), names.order)
    registers = {names.pc: LEAF + 8, names.sp: STACK, known.names[saved]: 1}
    found = frames(context, machine, **registers)
    assert [(each.pc, each.sp, each.trust) for each in found] == [
        (LEAF + 8, STACK, FrameTrust.CONTEXT),
        (CALLER, STACK + frame, FrameTrust.CFI),
    ]
    assert found[1].registers[known.names[saved]] == 0x1234
    assert found[1].return_address == 0
    assert not found[1].note


def test_return_addresses_without_what_is_no_address() -> None:
    stack = bytes(0x1000)
    column = 14
    leaf = {0x100: rules(CfaRule(15, 96), {}, column, size=4)}
    found = frames(Context(leaf, stack, "big"), "s390", pc=LEAF, r15=STACK, r14=0x80000000 | CALLER)
    assert found[1].pc == CALLER
    thumb = {0x100: rules(CfaRule(13, 0), {}, 14, size=4)}
    found = frames(Context(thumb, stack), "arm", pc=LEAF, sp=STACK, lr=CALLER | 1, r0=0)
    assert found[1].pc == CALLER
    plain = rules(CfaRule(31, 0), {}, 30)
    signed = {0x100: msgspec.structs.replace(plain, ra_signed=True)}
    found = frames(Context(signed, stack), "arm64", pc=LEAF, sp=STACK, lr=0x5A << 48 | CALLER)
    assert found[1].pc == CALLER
    # What nobody signed was overwritten: nothing of it is hidden.
    found = frames(
        Context({0x100: plain}, stack), "arm64", pc=LEAF, sp=STACK, lr=0x4141414141414141
    )
    assert (found[1].pc, found[1].trust) == (0x4141414141414141, FrameTrust.NO_MODULE)


def test_rules_of_every_kind() -> None:
    stack = struct.pack("<8Q", 0x11, 0x22, CALLER, 0x44, 0, 0, 0, 0)
    given = {
        16: RegisterRule(RuleKind.EXPRESSION, 0, bytes.fromhex("38 1c")),  # [CFA - 8]
        3: RegisterRule(RuleKind.VAL_OFFSET, 4),
        6: RegisterRule(RuleKind.REGISTER, 0),
        12: RegisterRule(RuleKind.VAL_EXPRESSION, 0, bytes.fromhex("7710 06")),  # [rsp + 16]
        13: UNDEFINED,
        0: SAME,
        14: offset(-0x10000),  # not in memory
    }
    context = Context({0x100: rules(CfaRule(0, 0, bytes.fromhex("7718")), given, 16)}, stack)
    values = dict.fromkeys(("rax", "rbx", "rbp", "r12", "r13", "r14", "r15", "rcx"), 7)
    found = frames(context, "amd64", rip=LEAF, rsp=STACK, **values)[1]
    assert dict(found.registers) == {
        "rip": CALLER,
        "rsp": STACK + 24,
        "rbx": STACK + 28,
        "rbp": 7,
        "r12": CALLER,
        "rax": 7,
        "r15": 7,
    }


def test_the_stack_pointer_may_have_a_rule() -> None:
    given = {16: offset(-8), 7: RegisterRule(RuleKind.REGISTER, 0)}
    context = Context({0x100: rules(CfaRule(7, 8), given, 16)}, struct.pack("<Q", CALLER))
    found = frames(context, "amd64", rip=LEAF, rsp=STACK, rax=STACK + 0x40)
    assert found[1].sp == STACK + 0x40


def test_darwin_numbers_of_x86() -> None:
    given = {8: offset(-4), 4: offset(-8)}
    table = {0x100: rules(CfaRule(5, 8), given, 8, entry_register=5, size=4)}
    stack = struct.pack("<II", 0x77, CALLER)
    found = frames(Context(dict(table), stack), "x86", eip=LEAF, esp=STACK, ebp=1)
    assert (found[1].pc, found[1].sp, found[1].registers["ebp"]) == (CALLER, STACK + 8, 0x77)


def test_what_is_missing_is_named() -> None:
    lost = {0x100: rules(CfaRule(3, 8), {16: offset(-8)}, 16)}
    assert "rbx" in frames(Context(dict(lost), bytes(64)), "amd64", rip=LEAF, rsp=STACK)[0].note
    damaged: dict[int, FrameRules | Exception] = {0x100: FormatError("broken")}
    assert "broken" in frames(Context(damaged, bytes(64)), "amd64", rip=LEAF, rsp=STACK)[0].note
    none = {0x100: rules(CfaRule(7, 8), {}, 16)}
    note = frames(Context(dict(none), bytes(64)), "amd64", rip=LEAF, rsp=STACK)[0].note
    assert "no rule for the return address" in note
    short = {0x100: rules(CfaRule(7, 8), {16: offset(-8)}, 16)}
    found = frames(Context(dict(short), b"1234"), "amd64", rip=LEAF, rsp=STACK)
    assert "is not in the dump" in found[0].note


def test_a_call_that_does_not_return_may_be_the_last_of_the_code() -> None:
    end = CODE + SIZE
    table = {
        0x100: rules(CfaRule(7, 8), {16: offset(-8)}, 16),
        SIZE - 0x10: rules(CfaRule(7, 8), {16: UNDEFINED}, 16),
    }
    found = frames(Context(dict(table), struct.pack("<2Q", end, 0)), "amd64", rip=LEAF, rsp=STACK)
    assert [(each.pc, each.trust) for each in found] == [
        (LEAF, FrameTrust.CONTEXT),
        (end, FrameTrust.CFI),
    ]


def test_signal_frames_by_call_frame_information() -> None:
    """Where the trampoline's code is not known, its augmentation tells; pc is exact then."""
    interrupted = CODE + 0x300
    table = {
        0x100: rules(CfaRule(7, 8), {16: offset(-8)}, 16),
        0x207: rules(CfaRule(7, 32), {16: offset(-8), 0: offset(-16)}, 16, is_signal_frame=True),
        0x300: rules(CfaRule(7, 8), {16: UNDEFINED}, 16),
    }
    stack = struct.pack("<6Q", CALLER, 0, 0, 0x99, interrupted, 0)
    found = frames(Context(dict(table), stack), "amd64", rip=LEAF, rsp=STACK)
    assert [(each.pc, each.is_return_address, each.machine_frame) for each in found] == [
        (LEAF, False, False),
        (CALLER, False, True),
        (interrupted, False, False),
    ]
    assert found[2].registers["rax"] == 0x99


@pytest.mark.parametrize("machine", [m for m in MACHINES if trampolines(convention(m))])
def test_signal_frames_by_their_code(machine: str) -> None:
    names = convention(machine)
    for trampoline in trampolines(names):
        stack = bytearray(0x1000)
        at = trampoline.offset
        if trampoline.pointer is not None:
            place = trampoline.pointer
            stack[place : place + names.size] = (STACK + 0x800).to_bytes(names.size, names.order)
            at += 0x800
        for number, field in enumerate(trampoline.fields):
            value = {"pc": CALLER, "rip": CALLER, "eip": CALLER, "pswa": CALLER}.get(
                field.name, number
            )
            value = STACK + 0xF00 if field.name == names.sp else value
            start = at + field.offset
            stack[start : start + field.size] = value.to_bytes(field.size, names.order)
        context = Context({}, bytes(stack), names.order)
        pc = 0x90000
        context.memory = CodeSpace(BufferSpace(bytes(stack), STACK), trampoline.code, pc)
        for step, raised in ((0, 0), *trampoline.steps):
            registers = {names.pc: pc + step, names.sp: STACK + raised}
            registers |= {trampoline.base: STACK} if trampoline.base else {}
            found = frames(context, machine, **registers)
            assert len(found) > 1, (trampoline.code.hex(), step)
            assert (found[1].pc, found[1].sp) == (CALLER, STACK + 0xF00)
            assert found[1].trust is FrameTrust.SIGNAL_FRAME
            assert not found[1].is_return_address
            stored = {field.name: number for number, field in enumerate(trampoline.fields)}
            for name in ("rbx", "edi", "x19", "r4", "s1", "r14", "r6"):
                if name in stored:
                    assert found[1].registers[name] == stored[name]


def test_a_signal_may_interrupt_a_call_to_nowhere() -> None:
    names = convention("amd64")
    trampoline = trampolines(names)[0]
    stack = bytearray(0x400)
    for field in trampoline.fields:
        if field.name == "rsp":
            start = trampoline.offset + field.offset
            stack[start : start + 8] = (STACK + 0x300).to_bytes(8, "little")
    stack[0x300:0x308] = CALLER.to_bytes(8, "little")
    context = Context({}, bytes(stack))
    context.is_data = lambda address: False  # type: ignore[method-assign]
    context.memory = CodeSpace(BufferSpace(bytes(stack), STACK), trampoline.code, 0x90000)
    found = frames(context, "amd64", rip=0x90000, rsp=STACK)
    assert [(each.pc, each.trust) for each in found] == [
        (0x90000, FrameTrust.CONTEXT),
        (0, FrameTrust.SIGNAL_FRAME),
        (CALLER, FrameTrust.WILD_CALL),
    ]


def test_orders_are_conventions_of_their_own() -> None:
    registers = {"pc": 0, "r1": 0}
    little, big = (convention_of(registers, "ppc64", order) for order in ("little", "big"))  # type: ignore[arg-type]
    assert little is not None
    assert big == msgspec.structs.replace(little, order="big")
    assert convention_of({"pc": 0, "sp": 0, "a4": 0}, "mips", "little") == convention("mips64")
    assert convention_of(registers, "vax", "little") is None
