"""Fuzz target of ``dt``: its arguments, and rows of types that refer to each other as they come."""

from __future__ import annotations

from typing import Any

from probing import attempt

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, MemoryReadError
from polydbg.commands.cursor import Cursor
from polydbg.commands.dt_request import Request, read_request
from polydbg.commands.dt_values import ValueWriter
from polydbg.commands.type_rows import TypeRows, compacted
from polydbg.engine.modules import Place
from polydbg.types.data_model import DataModel
from polydbg.types.model import (
    ArrayType,
    BitField,
    CompoundParts,
    CompoundType,
    Encoding,
    Enumerator,
    EnumType,
    FunctionType,
    Member,
    MemberKind,
    MemberPointerType,
    Method,
    NestedType,
    PointerType,
    QualifiedType,
    ScalarType,
    Type,
    TypedefType,
    UnknownType,
    Variant,
    VariantPart,
    VoidType,
)
from polydbg.types.place import in_memory, in_register, nowhere
from polydbg.types.value import Surroundings, Value

_WORDS = (
    " ", "-", "-r", "-b", "-v", "-c", "-o", "-i", "-a", "-l ", "-y ", "-n ", "-s ", "-t ", "9", "f",
    "m0", "m1.", "m2[3]", "m3->m1", "m4..", "*", "?", "<", ">", "(", ")", "[", "]", '"', "x!", "::",
    "struct ", "@@(", "poi(", "unsigned ", "int ", "&", ".", "\\", "é", "\x00", ";", "0n", "`",
)  # fmt: skip
_SCALARS = tuple(Encoding)
_SIZES = (0, 1, 2, 4, 8, 10, 12, 16, 3, 1 << 40)
_NODES = 12
_MAX_POLLS = 1000
_MAX_WORDS = 60
_PATTERN = bytes(each * 5 & 0xFF for each in range(256))


class _Memory:
    def read(self, address: int, size: int) -> bytes:
        if address % 7 == 3 or address >= 1 << 40:
            raise MemoryReadError(address)
        start = address * 5 & 0xFF
        return (_PATTERN * (size // 256 + 2))[start : start + size]


class _Modules:
    def place(self, address: int) -> Place:
        return Place(address, "m", "f\x1b", address & 0xFFF)


class _System:
    modules = _Modules()


class _Polled(CancelToken):
    """Stops what polls it for long."""

    def __init__(self) -> None:
        super().__init__()
        self._left = _MAX_POLLS

    def check(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Cancelled


class _Graph:
    """Types made of bytes: each takes some, and names others by number, itself among them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.types: list[Type] = []
        while len(self.types) < _NODES:
            self.types.append(self._made())

    def byte(self) -> int:
        self._at += 1
        return self._data[(self._at - 1) % len(self._data)] if self._data else 0

    def _other(self) -> Any:
        number = self.byte() % _NODES
        return lambda: self.types[number]

    def _size(self) -> int:
        return _SIZES[self.byte() % len(_SIZES)]

    def _made(self) -> Type:
        kind = self.byte() % 12
        if kind == 0:
            return ScalarType("s", self._size(), _SCALARS[self.byte() % len(_SCALARS)])
        if kind == 1:
            return PointerType(self._other(), 8)
        if kind == 2:
            count = (None, 0, 1, 3, 1 << 62)[self.byte() % 5]
            return ArrayType(self._other(), count)
        if kind == 3:
            names = (Enumerator("A", 0), Enumerator("B\x1b[", -1))
            return EnumType("e", self._other(), lambda: names, size=4)
        if kind == 4:
            return TypedefType("t", self._other())
        if kind == 5:
            return QualifiedType(self._other(), ("const",))
        if kind == 6:
            parameter = self._other()
            return FunctionType(self._other(), lambda: (parameter(),) * 3)
        if kind == 7:
            return MemberPointerType(self._other(), self._other(), 8)
        if kind == 8:
            return UnknownType("", "damaged") if self.byte() % 2 else VoidType()
        return self._compound()

    def _compound(self) -> CompoundType:
        name = ("c", "", "_LIST_ENTRY", "_GUID")[self.byte() % 4]
        made = [(self._other(), self.byte(), self.byte()) for _ in range(self.byte() % 5)]
        options = self.byte()
        kinds = tuple(MemberKind)

        def load() -> CompoundParts:
            members = tuple(
                Member(
                    f"m{number}" if first % 3 else "",
                    other(),
                    second - 8,
                    kinds[first % len(kinds)] if first & 64 else MemberKind.FIELD,
                    BitField(second % 40, first % 40, 4) if first & 32 else None,
                    address=first,
                )
                for number, (other, first, second) in enumerate(made)
            )
            part = None
            if options & 1 and members:
                ranges = ((0, second % 300),) if (second := options) & 2 else ()
                part = VariantPart(members[0], (Variant(ranges, members),))
            method = Method("f", FunctionType(VoidType, tuple))
            nested = NestedType("n", lambda: self.types[options % _NODES])
            return CompoundParts(members, (method,), variant_part=part, nested=(nested,))

        return CompoundType(name, self._size(), "struct", load, is_declaration=options & 4 > 0)


def read_dt(data: bytes) -> None:
    """Read arguments out of the first bytes, and show types out of the others."""
    words, rest = data[:_MAX_WORDS], data[_MAX_WORDS // 2 :]
    request = Request()

    def read() -> None:
        nonlocal request
        request = read_request(Cursor("".join(_WORDS[each % len(_WORDS)] for each in words)))

    attempt(read, lambda: request.is_pattern)
    graph = _Graph(rest)
    around = Surroundings(_Memory(), DataModel(), lambda origin: 0x4000)  # type: ignore[arg-type]
    options = request.rows()
    for type_ in graph.types:
        for place in (None, in_memory(0x1000), in_register("rax", bytes(8)), nowhere("lost")):
            writer = ValueWriter(_System(), None, verbose=options.verbose, brief=options.embedded)  # type: ignore[arg-type]
            rows = TypeRows(options, writer, _Polled(), lambda each: each, around)
            value = Value(type_, place, around) if place is not None else None

            def show(
                rows: TypeRows = rows, type_: Type = type_, value: Value | None = value
            ) -> None:
                found = rows.members(type_, value)
                try:
                    for row in compacted(found) if options.compact else found:
                        row.text()
                except Cancelled:
                    pass

            attempt(show)
            if value is not None:
                attempt(lambda writer=writer, value=value: writer.words(value))  # type: ignore[misc]


def dt_seeds() -> list[bytes]:
    return [bytes(range(256)), bytes(range(255, -1, -1)), bytes([9, 1, 3, 40, 8, 60, 70, 2] * 32)]
