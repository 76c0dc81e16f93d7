"""A C++ context of tables: a few classes and variables in one block of memory."""

from __future__ import annotations

import struct

from polydbg.base.errors import CommandError, MemoryReadError
from polydbg.expr.cpp.arithmetic import arithmetic_types
from polydbg.types.data_model import DataModel, data_model
from polydbg.types.model import (
    ArrayType,
    BitField,
    CompoundParts,
    CompoundType,
    Enumerator,
    EnumType,
    FunctionType,
    Member,
    MemberKind,
    MemberPointerType,
    PointerKind,
    PointerType,
    Type,
    TypedefType,
    UnknownType,
)
from polydbg.types.place import OPTIMIZED_OUT, Place, PlaceKind, constant, in_memory, in_register
from polydbg.types.value import Surroundings, Value

WINDOWS = data_model("amd64", "windows", 8)
LINUX = data_model("amd64", "linux", 8)
LINUX32 = data_model("x86", "linux", 4)


class Block:
    """0x100 bytes at 0x1000 that can be written."""

    def __init__(self) -> None:
        self.data = bytearray(0x100)

    def read(self, address: int, size: int) -> bytes:
        at = address - 0x1000
        if at < 0 or at + size > len(self.data):
            raise MemoryReadError(address)
        return bytes(self.data[at : at + size])


def compound(name: str, size: int, *members: Member, keyword: str = "struct") -> CompoundType:
    return CompoundType(name, size, keyword, lambda: CompoundParts(members))


class TableContext:
    """Implements :class:`~polydbg.expr.cpp.context.CppContext`; *asked* are the names looked up."""

    def __init__(self, model: DataModel = WINDOWS, *, writable: bool = True) -> None:
        self.model = model
        self.block = Block()
        self.around = Surroundings(self.block, model, lambda origin: 0x1000)
        self.types: dict[str, Type] = {}
        self.variables: dict[str, Value] = {}
        self.registers = {"rax": 0x1234, "xmm0": 1 << 100}
        self.writable = writable
        self.asked: list[str] = []
        self._fill()

    # -- the protocol ----------------------------------------------------------------------

    def variable(self, name: str) -> Value | None:
        self.asked.append(name)
        return self.variables.get(name.removeprefix("app!").removeprefix("::"))

    def type_named(self, name: str) -> Type | None:
        return self.types.get(name.removeprefix("app!").removeprefix("::"))

    def is_type_name(self, name: str) -> bool:
        return name not in self.variables and self.type_named(name) is not None

    def register(self, name: str) -> int | None:
        return self.registers.get(name)

    def pseudo_register(self, name: str) -> Value | int | None:
        return {"$t0": 5, "$teb": self.variables["pp"]}.get(name)

    def evaluate_masm(self, text: str) -> int:
        return {"poi(rsp)": 77}[text]

    def write(self, value: Value, data: bytes) -> None:
        if not self.writable:
            raise CommandError("a dump is not written to", identifier="target.read-only")
        if value.place.kind is not PlaceKind.MEMORY:
            raise CommandError("the value is in no memory")
        self.around.memory.read(value.place.address, len(data))
        at = value.place.address - 0x1000
        self.block.data[at : at + len(data)] = data

    # -- what there is ---------------------------------------------------------------------

    def add(self, name: str, type_: Type, place: Place | int) -> None:
        where = in_memory(place) if isinstance(place, int) else place
        self.variables[name] = Value(type_, where, self.around)

    def put(self, address: int, layout: str, *numbers: float) -> None:
        data = struct.pack("<" + layout, *numbers)
        self.block.data[address - 0x1000 : address - 0x1000 + len(data)] = data

    def pointer(self, target: Type, kind: PointerKind = PointerKind.POINTER) -> PointerType:
        return PointerType(lambda: target, self.model.pointer_size, kind)

    def _fill(self) -> None:
        named = arithmetic_types(self.model).named
        int_, double, char = named("int"), named("double"), named("char")
        pointer = "Q" if self.model.pointer_size == 8 else "I"
        self.put(0x1000, "iIhbBfd", -7, 3_000_000_000, -2, 65, 200, 1.5, 2.25)
        for name, type_, address in (
            ("i", int_, 0x1000),
            ("u", named("unsigned int"), 0x1004),
            ("h", named("short"), 0x1008),
            ("c", char, 0x100A),
            ("b", named("unsigned char"), 0x100B),
            ("f", named("float"), 0x100C),
            ("d", double, 0x1010),
            ("absent", int_, 0x9000),
        ):
            self.add(name, type_, address)
        level = EnumType(
            "Level", lambda: int_, lambda: (Enumerator("Low", 1), Enumerator("High", 3))
        )
        self.types["Level"] = level
        self.put(0x1018, "i", 3)
        self.add("level", level, 0x1018)
        self.put(0x1020, "4i", 10, 20, 30, 40)
        self.add("array", ArrayType(lambda: int_, 4), 0x1020)
        self.put(0x1030, pointer, 0x1020)
        self.add("p", self.pointer(int_), 0x1030)
        self.add("r", self.pointer(int_, PointerKind.REFERENCE), 0x1030)
        self.add("null", self.pointer(int_), constant(bytes(self.model.pointer_size)))
        inner = compound("", 8, Member("left", int_), Member("right", int_, 4))
        point = compound(
            "geo::Point",
            24,
            Member("x", int_),
            Member("y", int_, 4),
            Member("", inner, 8),
            Member("low", int_, 16, bit_field=BitField(0, 5, 4)),
            Member("high", int_, 16, bit_field=BitField(5, 3, 4)),
            Member("count", int_, kind=MemberKind.STATIC, address=0),
            Member("most", int_, kind=MemberKind.STATIC, constant=99),
        )
        self.types["geo::Point"] = point
        wide = named("unsigned long long")
        half = Member("half", wide, bit_field=BitField(0, 32, 8))
        most = Member("most", wide, bit_field=BitField(0, 33, 8))
        self.add("bits", compound("Bits", 8, half, most), constant(b"\xff" * 8))
        self.types["Alias"] = TypedefType("Alias", lambda: point)
        self.put(0x1040, "iiiiI", 1, -2, 3, 4, 0b101_10001)
        self.add("point", point, 0x1040)
        self.put(0x1058, pointer, 0x1040)
        self.add("pp", self.pointer(point), 0x1058)
        first = compound("First", 8, Member("one", int_), Member("same", int_, 4))
        second = compound("Second", 8, Member("two", int_), Member("same", int_, 4))
        derived = compound(
            "Derived",
            24,
            Member("First", first, 0, MemberKind.BASE),
            Member("Second", second, 8, MemberKind.BASE),
            Member("own", int_, 16),
        )
        for type_ in (first, second, derived):
            self.types[type_.name] = type_
        self.put(0x1060, "5i", 1, 11, 2, 22, 5)
        self.add("object", derived, 0x1060)
        self.put(0x1078, pointer, 0x1068)
        self.add("base", self.pointer(second), 0x1078)
        self.add("main", FunctionType(lambda: int_, lambda: ()), 0x1090)
        self.add("gone", int_, OPTIMIZED_OUT)
        self.add("kept", int_, in_register("rcx", (6).to_bytes(8, "little")))
        self.add("untyped", UnknownType("", "no type information"), 0x1000)
        field = MemberPointerType(lambda: int_, lambda: point, self.model.pointer_size)
        self.put(0x1080, pointer, 4)
        self.add("field", field, 0x1080)
        template = compound("Box<int, 4>", 4, Member("value", int_))
        self.types["Box<int, 4>"] = template
        self.add("Box<int, 4>::total", int_, 0x1000)
        self.add("box", template, 0x1020)
