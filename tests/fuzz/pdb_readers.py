"""Fuzz targets of a PDB's types, and of the variables in scope in its functions."""

from __future__ import annotations

import struct
from array import array
from functools import cache
from importlib import resources
from typing import Literal

from probing import attempt

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError
from polydbg.formats.pdb.dbi import ModuleInfo
from polydbg.formats.pdb.msf import Stream
from polydbg.formats.pdb.tpi import TypeStream
from polydbg.memory.space import BufferSpace
from polydbg.symbols.pdb import PdbSource
from polydbg.symbols.pdb_file import Module, PdbFile
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    CompoundType,
    EnumType,
    FunctionType,
    MemberPointerType,
    PointerType,
    Type,
)
from polydbg.types.naming import spelled, spelled_for_model
from polydbg.types.place import ValueUnavailableError, in_memory
from polydbg.types.source import FrameView
from polydbg.types.value import Surroundings, Value

MEMORY = BufferSpace(bytes(range(256)) * 16, 0x1000)
_HEADER = struct.Struct("<IIIIIHHIIiIiIiI")
_FIRST = 0x1000
_MAX_TYPES = 96
_MAX_STEPS = 400
_MAX_PART = 1 << 14


@cache
def _practice() -> bytes:
    return (resources.files("polydbg") / "demo" / "practice.pdb").read_bytes()


def _stream(data: bytes) -> Stream:
    return Stream(data, max(len(data), 1), array("I", (0,)), len(data), 0)


# Types


def read_pdb_types(data: bytes) -> None:
    """Records of types, as many as there are, in place of those of the practice file."""
    source = PdbSource(_practice(), "x.pdb")
    types = source.file.types
    count = min(_count(data), _MAX_TYPES)
    head = _HEADER.pack(
        20040203, 56, _FIRST, _FIRST + count, len(data), *(0xFFFF, 0xFFFF), 4, 1, *[0] * 6
    )
    types._tpi = TypeStream(_OneStream(head + data), 2)  # type: ignore[arg-type]
    for index in range(_FIRST, _FIRST + count):
        attempt(lambda index=index: _explore(source.type_of_index(index)))
        attempt(lambda index=index: types.name(index), lambda index=index: types.size(index))
        attempt(lambda index=index: types.parameters(index))
    attempt(lambda: list(source.types_matching("*o*", CancelToken())))
    attempt(lambda: source.type_named("order"))


class _OneStream:
    """A file whose every stream is the same."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, index: int) -> Stream:
        return _stream(self._data)

    def size_of(self, index: int) -> int:
        return 0 if index == 0xFFFF else len(self._data)


def _count(data: bytes) -> int:
    position = count = 0
    while position + 4 <= len(data):
        position += int.from_bytes(data[position : position + 2], "little") + 2
        count += 1
    return count


def _explore(first: Type | None) -> None:
    """Ask types, and what they are made of, for everything."""
    todo = [first] if first is not None else []
    seen: set[int] = set()
    around = Surroundings(MEMORY, DataModel(), lambda origin: 0x1000)
    for _ in range(_MAX_STEPS):
        if not todo:
            return
        type_ = todo.pop()
        if id(type_) in seen:
            continue
        seen.add(id(type_))
        bare = type_.bare
        attempt(lambda type_=type_: (type_.size, spelled(type_), spelled_for_model(type_)))
        try:
            todo += _parts(bare)
        except DebuggerError:
            continue
        if isinstance(bare, CompoundType):
            value = Value(bare, in_memory(0x1100), around)
            for member in bare.members[:64]:
                attempt(lambda value=value, member=member: value.member(member).bits())


def _parts(bare: Type) -> list[Type]:
    if isinstance(bare, PointerType):
        return [bare.target]
    if isinstance(bare, MemberPointerType):
        return [bare.target, bare.owner]
    if isinstance(bare, ArrayType):
        return [bare.element]
    if isinstance(bare, EnumType):
        return [bare.underlying] if bare.enumerators else []
    if isinstance(bare, FunctionType):
        return [bare.result, *bare.parameters, *([bare.owner] if bare.owner else [])]
    if isinstance(bare, CompoundType):
        return [each.type for each in (*bare.parts.members, *bare.parts.methods)]
    return []


def pdb_types_seeds() -> list[bytes]:
    """Pieces of the practice file's types, and a class with all kinds of members."""
    stream = PdbSource(_practice(), "x").file.msf.stream(2)
    data = stream.read(56, stream.size - 56)
    starts = [0]
    while starts[-1] + 4 <= len(data):
        starts.append(starts[-1] + int.from_bytes(data[starts[-1] : starts[-1] + 2], "little") + 2)
    pieces = [
        data[starts[at] : starts[min(at + 60, len(starts) - 1)]] for at in range(0, len(starts), 60)
    ]
    return [*[piece for piece in pieces if piece][:6], _every_member()]


def _every_member() -> bytes:
    def record(leaf: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<HH", len(body) + 2, leaf) + body

    def member(leaf: int, body: bytes) -> bytes:
        each = struct.pack("<H", leaf) + body
        return each + bytes(0xF0 | left for left in range(-len(each) % 4, 0, -1))

    fields = (
        member(0x1409, struct.pack("<HI", 0, 0x1006))
        + member(0x1400, struct.pack("<HIH", 3, 0x1004, 8))
        + member(0x1401, struct.pack("<HIIHH", 3, 0x1004, 0x674, 8, 1))
        + member(0x150D, struct.pack("<HIH", 3, 0x1003, 16) + b"bits\0")
        + member(0x150D, struct.pack("<HIH", 3, 0x1002, 24) + b"list\0")
        + member(0x150E, struct.pack("<HI", 3, 0x74) + b"shared\0")
        + member(0x1511, struct.pack("<HII", 0x10, 0x1005, 0) + b"run\0")
        + member(0x150F, struct.pack("<HI", 2, 0x1007) + b"more\0")
        + member(0x1510, struct.pack("<HI", 0, 0x1004) + b"Inner\0")
        + member(0x1404, struct.pack("<HI", 0, 0x1001))
    )
    head = struct.pack("<HHIIIH", 10, 0, 0x1000, 0, 0, 64)
    return b"".join(
        (
            record(0x1203, fields),
            record(0x1203, member(0x1502, struct.pack("<HHi", 3, 0x8003, -1) + b"Last\0")),
            record(0x1503, struct.pack("<IIH", 0x1004, 0x23, 640) + b"\0"),
            record(0x1205, struct.pack("<IBB", 0x75, 7, 4)),
            record(0x1505, head + b"Every\0"),
            record(0x1009, struct.pack("<IIIBBHIi", 3, 0x1004, 0x674, 0, 0, 1, 0x1008, 0)),
            record(0x000A, struct.pack("<HB", 2, 0x55)),
            record(0x1206, struct.pack("<HHIHHII", 3, 0, 0x1005, 0x10, 0, 0x1005, 8)),
            record(0x1201, struct.pack("<II", 1, 0x74)),
        )
    )


# Variables


class _Frame:
    """A frame in which every register is known."""

    module_base = 0x10000

    def __init__(self, machine: str, rva: int) -> None:
        self.machine = machine
        self.memory = MEMORY
        self.rva = rva

    def register(self, name: str) -> int:
        return 0x1100

    def register_by_number(self, number: int) -> tuple[str, int]:
        return "rax", 0x1100

    def cfa(self) -> int:
        return 0x1200

    def virtual_frame(self) -> int:
        return 0x1180

    def caller(self) -> FrameView:
        raise ValueUnavailableError("there is none")

    def thread_local(self, module_base: int, offset: int) -> int:
        return 0x1300 + offset


def read_pdb_variables(data: bytes) -> None:
    """The symbols of an object file, in place of those of the practice file's."""
    source = PdbSource(_practice(), "x.pdb")
    file = source.file
    number, rvas = _functions()
    stream = _stream(data)
    info = file.dbi.modules[number]
    replaced = ModuleInfo(info.name, info.object_file, info.stream, stream.size, 0, 0)
    file.module(number)
    file._modules[number] = Module(replaced, stream)
    for rva in rvas:
        attempt(lambda rva=rva: _locate_all(source, rva))
        attempt(lambda rva=rva: source.global_near(rva, "g_first"))


def _locate_all(source: PdbSource, rva: int) -> None:
    machines: tuple[Literal["amd64", "x86", "arm64"], ...] = ("amd64", "x86", "arm64")
    for scope in source.scopes_at(rva):
        attempt(scope.function_type, scope.owner)
        for variable in scope.variables[:256]:
            attempt(lambda variable=variable: variable.type().size)
            attempt(lambda variable=variable: variable.locate(None))
            for machine in machines:
                frame = _Frame(machine, rva)
                attempt(
                    lambda variable=variable, frame=frame: variable.locate(frame),
                    lambda variable=variable, frame=frame: variable.place_words(frame),
                )


@cache
def _functions() -> tuple[int, tuple[int, ...]]:
    """Return the practice file's module with the most symbols, and addresses of its code."""
    file = PdbSource(_practice(), "x").file
    modules = file.dbi.modules
    number = max(range(len(modules)), key=lambda n: _with_code(file, n))
    module = file.module(number)
    assert module is not None
    rvas: list[int] = []
    for key in sorted({key for key, _ in module.symbols._code})[:6]:
        rva = file.rva_of_key(key)
        if rva is not None:
            rvas += [rva, rva + 24]
    return number, tuple(rvas)


def _with_code(file: PdbFile, number: int) -> int:
    module = file.module(number)
    return len(module.symbols._code) if module is not None else 0


def pdb_variables_seeds() -> list[bytes]:
    number, _ = _functions()
    module = PdbSource(_practice(), "x").file.module(number)
    assert module is not None
    data = module.stream.read(0, min(module.info.symbol_size, module.stream.size, _MAX_PART))
    return [data, _every_place(data)]


def _every_place(data: bytes) -> bytes:
    """Return the module's first function with a variable of each kind in its scope."""
    position = 4
    while int.from_bytes(data[position + 2 : position + 4], "little") not in (0x110F, 0x1110):
        position += int.from_bytes(data[position : position + 2], "little") + 2
    size = int.from_bytes(data[position : position + 2], "little") + 2
    head = bytearray(data[position : position + size])
    place = head[32:38]  # offset and section of its code
    live = bytes(place) + struct.pack("<H", 0x40)

    def record(kind: int, body: bytes) -> bytes:
        body += b"\0" * (-len(body) % 4)
        return struct.pack("<HH", len(body) + 2, kind) + body

    inside = b"".join(
        (
            record(0x1012, struct.pack("<IIIIIHI", 0x40, 0, 0, 8, 0, 0, 0x14000)),
            record(0x113E, struct.pack("<IH", 0x74, 1) + b"a\0"),
            record(0x1141, struct.pack("<HH", 330, 0) + live + struct.pack("<HH", 4, 2)),
            record(0x1144, struct.pack("<i", 16)),
            record(0x113E, struct.pack("<IH", 0x23, 0) + b"parts\0"),
            record(0x1143, struct.pack("<HHI", 166, 0, 0) + live),
            record(0x1145, struct.pack("<HHi", 335, 0x41, 8) + live),
            record(0x113E, struct.pack("<IH", 0x74, 0x100) + b"gone\0"),
            record(0x1142, struct.pack("<i", -8) + live),
            record(0x1103, struct.pack("<III", 0, 0, 0x30) + bytes(place) + b"\0"),
            record(0x1111, struct.pack("<iIH", 32, 0x74, 335) + b"r\0"),
            record(0x110B, struct.pack("<iI", -8, 0x74) + b"b\0"),
            record(0x1106, struct.pack("<IH", 0x41, 128) + b"x\0"),
            record(0x1107, struct.pack("<IHd", 0x41, 0x8006, 0.5) + b"half\0"),
            record(0x110C, struct.pack("<IIH", 0x74, 8, 2) + b"s\0"),
            record(0x1112, struct.pack("<IIH", 0x74, 8, 3) + b"t\0"),
            record(0x1153, struct.pack("<IIH", 0x74, 0, 0) + b"f\0"),
            record(0x0006, b""),
            record(0x114D, struct.pack("<III", 0, 0, 0x1002) + b"\x0c\x20\x00\x00"),
            record(0x113E, struct.pack("<IH", 0x74, 1) + b"i\0"),
            record(0x114E, b""),
        )
    )
    head[8:12] = (4 + size + len(inside)).to_bytes(4, "little")
    return data[:4] + bytes(head) + inside + record(0x0006, b"")
