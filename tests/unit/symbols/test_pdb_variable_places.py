"""Where variables of PDBs are: each kind of record, in ranges, parts and registers, built by hand.

The records are those of LLVM "CodeView Symbol Records"; the function is 0x100 bytes at RVA 0x1010.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest
from pdb_builder import Module, PdbParts, inline_site, procedure, record, types

from polydbg.memory.space import BufferSpace
from polydbg.symbols.pdb import PdbSource
from polydbg.types.place import Place, PlaceKind, ValueUnavailableError
from polydbg.types.source import FrameView, Variable, VariableKind

START, OFFSET, SIZE = 0x1010, 0x10, 0x100
INT, LONG_LONG, FLOAT, DOUBLE, EIGHTY_BITS = 0x74, 0x76, 0x40, 0x41, 0x42
RCX, RSP, EDX, XMM1_LANE_0, XMM1_HIGH, ST0 = 330, 335, 19, 166, 203, 128
RSP_RBP = 1 << 14 | 2 << 16  # locals count from rsp, parameters from rbp


class Frame:
    """A frame that keeps some registers."""

    def __init__(self, rva: int, registers: Mapping[str, int], machine: str = "amd64") -> None:
        self.rva = rva
        self.machine = machine
        self.module_base = 0x400000
        self.memory = BufferSpace(bytes(range(256)), 0x7000)
        self._registers = registers

    def register(self, name: str) -> int:
        if name not in self._registers:
            raise ValueUnavailableError(f"register {name} was not kept in this frame")
        return self._registers[name]

    def register_by_number(self, number: int) -> tuple[str, int]:
        raise ValueUnavailableError("no number of DWARF stands in a PDB")

    def cfa(self) -> int:
        raise ValueUnavailableError("no PDB counts from it")

    def virtual_frame(self) -> int:
        return self.register("$T0")

    def caller(self) -> FrameView:
        raise ValueUnavailableError("there is none")

    def thread_local(self, module_base: int, offset: int) -> int:
        return 0x9000 + offset


ALL = {
    "rcx": 0x1122334455667788,
    "rsp": 0x7000,
    "rbp": 0x7080,
    "edx": 0xABCD,
    "xmm1": 0x0F0E0D0C_0B0A0908_07060504_03020100,
    "st0": 0x4000_C000_0000_0000_0000,
}


def local(name: str, type_: int = INT, flags: int = 0) -> bytes:
    return record(0x113E, struct.pack("<IH", type_, flags) + name.encode() + b"\0")


def live(start: int, size: int, *gaps: tuple[int, int]) -> bytes:
    pairs = b"".join(struct.pack("<HH", *gap) for gap in gaps)
    return struct.pack("<IHH", OFFSET + start, 1, size) + pairs


def in_register(number: int, where: bytes, attributes: int = 0) -> bytes:
    return record(0x1141, struct.pack("<HH", number, attributes) + where)


def part_in_register(number: int, part: int, where: bytes) -> bytes:
    return record(0x1143, struct.pack("<HHI", number, 0, part) + where)


def from_frame(offset: int, where: bytes) -> bytes:
    return record(0x1142, struct.pack("<i", offset) + where)


def always(offset: int) -> bytes:
    return record(0x1144, struct.pack("<i", offset))


def relative(number: int, offset: int, where: bytes, part: int | None = None) -> bytes:
    flags = 0 if part is None else 1 | part << 4
    return record(0x1145, struct.pack("<HHi", number, flags, offset) + where)


def old_relative(name: str, number: int, offset: int, type_: int = INT) -> bytes:
    return record(0x1111, struct.pack("<iIH", offset, type_, number) + name.encode() + b"\0")


def frame_record(flags: int = RSP_RBP, size: int = 0x40) -> bytes:
    return record(0x1012, struct.pack("<IIIIIHI", size, 0, 0, 0, 0, 0, flags))


def block(start: int, size: int, inside: bytes) -> bytes:
    head = struct.pack("<IIIIH", 0, 0, size, OFFSET + start, 1) + b"\0"
    return record(0x1103, head) + inside + record(0x0006, b"")


def source_of(scope: bytes, *, debug: tuple[int, int] = (0, 0), flags: int = 0) -> PdbSource:
    """A PDB of one function with these records in its scope."""
    function = bytearray(procedure("f", 1, OFFSET, SIZE, scope, at=4))
    function[20:28] = struct.pack("<II", *debug)
    function[38] = flags
    parts = PdbParts(
        modules=[Module("f.obj", bytes(function))],
        contributions=[(1, OFFSET, SIZE, 0)],
        tpi=types([record(0x1201, struct.pack("<I", 0))]),
        ipi=types([record(0x1601, struct.pack("<II", 0, 0) + b"inner\0")]),
    )
    return PdbSource(parts.build(), "f.pdb")


def variables_at(source: PdbSource, at: int) -> dict[str, Variable]:
    (scope, *_) = source.scopes_at(START + at)
    return {each.name: each for each in scope.variables}


def place(
    source: PdbSource, name: str, at: int = 0x20, registers: Mapping[str, int] = ALL
) -> Place:
    variable = variables_at(source, at)[name]
    return variable.locate(Frame(START + at, registers))


def words(source: PdbSource, name: str, at: int = 0x20) -> str:
    return variables_at(source, at)[name].place_words(Frame(START + at, ALL))


# -- ranges ------------------------------------------------------------------------------------


def test_a_register_within_its_range_and_outside_of_its_gaps() -> None:
    source = source_of(local("a", LONG_LONG) + in_register(RCX, live(0x10, 0x20, (4, 8))))
    expected = (ALL["rcx"]).to_bytes(8, "little")
    assert place(source, "a", 0x10).data == place(source, "a", 0x1C).data == expected
    assert words(source, "a", 0x10) == "@rcx"
    for outside in (0xF, 0x14, 0x1B, 0x30):
        assert place(source, "a", outside).kind is PlaceKind.NOWHERE
        assert words(source, "a", outside) == ""


def test_parts_of_registers_have_their_own_names() -> None:
    source = source_of(local("a") + in_register(EDX, live(0, SIZE)))
    found = place(source, "a")
    assert (found.register, found.data) == ("edx", b"\xcd\xab\0\0")
    assert words(source, "a") == "@edx"


def test_a_register_that_was_not_kept() -> None:
    source = source_of(local("a") + in_register(EDX, live(0, SIZE)))
    found = place(source, "a", registers={})
    assert found.kind is PlaceKind.NOWHERE
    assert "edx" in found.reason


@pytest.mark.parametrize(
    ("number", "data"),
    [(XMM1_LANE_0, bytes(range(4))), (XMM1_LANE_0 + 2, bytes(range(8, 12)))],
    ids=["first", "third"],
)
def test_lanes_of_vector_registers(number: int, data: bytes) -> None:
    source = source_of(local("f", FLOAT) + in_register(number, live(0, SIZE)))
    assert place(source, "f").data == data


def test_halves_of_vector_registers() -> None:
    source = source_of(local("d", DOUBLE) + in_register(XMM1_HIGH, live(0, SIZE)))
    assert place(source, "d").data == bytes(range(8, 16))


def test_x87_registers_hold_no_double() -> None:
    source = source_of(local("d", DOUBLE) + in_register(ST0, live(0, SIZE)))
    assert place(source, "d").kind is PlaceKind.NOWHERE
    source = source_of(local("d", EIGHTY_BITS) + in_register(ST0, live(0, SIZE)))
    assert place(source, "d").data == ALL["st0"].to_bytes(10, "little")


def test_what_a_register_holds_on_some_ways_only_is_not_told() -> None:
    uncertain = in_register(RCX, live(0, SIZE), attributes=1)
    assert place(source_of(local("a") + uncertain), "a").kind is PlaceKind.NOWHERE
    # A place that is always there may be older; one with a range of its own is good.
    old = source_of(frame_record() + local("a") + uncertain + always(8))
    assert place(old, "a").kind is PlaceKind.NOWHERE
    good = source_of(frame_record() + local("a") + uncertain + from_frame(8, live(0, SIZE)))
    assert place(good, "a").address == 0x7008


def test_optimized_out() -> None:
    source = source_of(local("a", flags=0x100))
    assert place(source, "a").reason == "optimized out"


# -- frames ------------------------------------------------------------------------------------


def test_locals_and_parameters_count_from_their_own_bases() -> None:
    scope = frame_record() + local("p", flags=1) + from_frame(0x10, live(0, SIZE))
    source = source_of(scope + local("l") + from_frame(-4, live(0, SIZE)))
    assert place(source, "p").address == 0x7090
    assert words(source, "p") == "@rbp+0x0010"
    assert place(source, "l").address == 0x6FFC
    assert words(source, "l") == "@rsp-0x0004"
    kinds = [each.kind for each in variables_at(source, 0).values()]
    assert kinds == [VariableKind.PARAMETER, VariableKind.LOCAL]


def test_no_base_is_no_place() -> None:
    source = source_of(frame_record(0) + local("l") + from_frame(-4, live(0, SIZE)))
    assert place(source, "l").kind is PlaceKind.NOWHERE
    assert words(source, "l") == ""


def test_the_virtual_frame_of_x86() -> None:
    source = source_of(frame_record(1 << 14) + local("l") + from_frame(-8, live(0, SIZE)))
    variable = variables_at(source, 0)["l"]
    frame = Frame(START, {"$T0": 0x5000}, "x86")
    assert variable.locate(frame).address == 0x4FF8
    assert variable.locate(Frame(START, {}, "x86")).kind is PlaceKind.NOWHERE


def test_old_records_hold_once_the_frame_is_made() -> None:
    source = source_of(frame_record() + old_relative("a", RSP, 0x20), debug=(8, 0xF0))
    assert place(source, "a", 7).kind is PlaceKind.NOWHERE
    assert place(source, "a", 8).address == 0x7020
    assert place(source, "a", 0xF0).address == 0x7020
    assert place(source, "a", 0xF1).kind is PlaceKind.NOWHERE


def test_old_records_beside_ranges_are_left_out() -> None:
    scope = frame_record() + local("a", LONG_LONG) + in_register(RCX, live(0, 4))
    source = source_of(scope + old_relative("a", RSP, 0x20) + old_relative("b", RSP, 0x28))
    (scope_,) = source.scopes_at(START + 0x20)
    assert [each.name for each in scope_.variables] == ["a", "b"]
    assert place(source, "a").kind is PlaceKind.NOWHERE


def test_old_records_of_optimised_code_tell_no_place() -> None:
    source = source_of(frame_record() + old_relative("a", RSP, 0), flags=0x80)
    assert place(source, "a").reason == "optimized out"
    assert words(source, "a") == ""


def test_the_home_of_a_parameter_that_came_in_a_register() -> None:
    entry = in_register(RCX, live(0, 0x10))
    source = source_of(frame_record() + local("p", LONG_LONG, 1) + entry + always(0x48))
    assert place(source, "p", 0x8).register == "rcx"
    assert place(source, "p").kind is PlaceKind.NOWHERE
    # One that came on the stack is where it came, and a local has a place of its own.
    later = in_register(RCX, live(8, 0x10))
    source = source_of(frame_record() + local("p", LONG_LONG, 1) + later + always(0x48))
    assert place(source, "p").address == 0x70C8
    source = source_of(frame_record() + local("l", LONG_LONG) + entry + always(0x48))
    assert place(source, "l").address == 0x7048


def test_parameters_of_old_records_lie_above_the_frame() -> None:
    scope = frame_record(size=0x40) + old_relative("p", RSP, 0x48) + old_relative("l", RSP, 0x20)
    found = variables_at(source_of(scope), 0)
    assert found["p"].kind is VariableKind.PARAMETER
    assert found["l"].kind is VariableKind.LOCAL


# -- parts -------------------------------------------------------------------------------------


def test_a_variable_in_parts() -> None:
    scope = local("pair", LONG_LONG) + part_in_register(EDX, 0, live(0, SIZE))
    source = source_of(scope + relative(RSP, 0x10, live(0, SIZE), part=4))
    found = place(source, "pair")
    assert found.kind is PlaceKind.PIECES
    assert [(each.place.kind, each.bit_size) for each in found.pieces] == [
        (PlaceKind.REGISTER, 32),
        (PlaceKind.MEMORY, 32),
    ]
    assert found.pieces[1].place.address == 0x7010


def test_a_part_that_is_missing_does_not_hide_the_others() -> None:
    source = source_of(local("pair", LONG_LONG) + part_in_register(EDX, 4, live(0, SIZE)))
    found = place(source, "pair")
    assert [each.place.kind for each in found.pieces] == [PlaceKind.NOWHERE, PlaceKind.REGISTER]
    lost = place(source, "pair", registers={})
    assert [each.place.kind for each in lost.pieces] == [PlaceKind.NOWHERE, PlaceKind.NOWHERE]


# -- scopes ------------------------------------------------------------------------------------


def test_blocks_innermost_first_and_statics_last() -> None:
    static = record(0x110C, struct.pack("<IIH", INT, 8, 2) + b"s\0")
    inner = block(0x20, 0x10, local("i") + in_register(EDX, live(0, SIZE)))
    source = source_of(static + local("a") + block(0x10, 0x40, local("o") + inner) + local("b"))

    def names(at: int) -> list[str]:
        return list(variables_at(source, at))

    assert names(0x20) == ["i", "o", "a", "b", "s"]
    assert names(0x30) == names(0x10) == ["o", "a", "b", "s"]
    assert names(0x50) == names(0xF) == ["a", "b", "s"]
    found = variables_at(source, 0)["s"]
    assert (found.kind, found.rva) == (VariableKind.STATIC, 0x2008)
    assert found.locate(Frame(START, {})).address == 0x402008


def test_inlined_calls_are_scopes_of_their_own() -> None:
    call = inline_site(0x1000, b"\x0c\x10\x20")  # 0x10 bytes from 0x20 on
    inside = local("i") + in_register(EDX, live(0, SIZE)) + record(0x114E, b"")
    source = source_of(local("a") + call + inside)
    outer, inner = source.scopes_at(START + 0x28)
    assert (outer.name, inner.name) == ("f", "inner")
    assert [each.name for each in outer.variables] == ["a"]
    assert [each.name for each in inner.variables] == ["i"]
    assert len(source.scopes_at(START + 0x30)) == 1


def test_threads_have_their_own() -> None:
    source = source_of(record(0x1112, struct.pack("<IIH", INT, 0x18, 3) + b"t\0"))
    found = variables_at(source, 0)["t"]
    assert found.kind is VariableKind.THREAD
    assert found.locate(Frame(START, {})).address == 0x9018
    assert found.locate(None).kind is PlaceKind.NOWHERE


def test_statics_that_are_in_registers_for_a_while() -> None:
    static = record(0x1153, struct.pack("<IIH", INT, 0, 0) + b"s\0")
    source = source_of(static + in_register(EDX, live(0, 0x10)))
    found = variables_at(source, 4)["s"]
    assert found.kind is VariableKind.STATIC
    assert found.locate(Frame(START + 4, ALL)).register == "edx"


def test_no_function_no_scope() -> None:
    source = source_of(local("a"))
    assert not source.scopes_at(START + SIZE)
    assert not source.scopes_at(0x2000)
    assert not source.scopes_at(1 << 40)


@pytest.mark.parametrize(
    ("machine", "register"), [("x86", "ebp"), ("amd64", "rbp")], ids=["x86", "amd64"]
)
def test_records_that_count_from_the_frame_pointer(machine: str, register: str) -> None:
    source = source_of(record(0x110B, struct.pack("<iI", -8, INT) + b"l\0"))
    variable = variables_at(source, 0)["l"]
    frame = Frame(START, {register: 0x5000}, machine)
    assert variable.locate(frame).address == 0x4FF8
    assert variable.place_words(frame) == f"@{register}-0x0008"
