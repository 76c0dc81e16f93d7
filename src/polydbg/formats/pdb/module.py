"""One module's symbol stream: its functions, thunks, labels and static data by address.

Only the top level of the stream is walked. A function's record holds the offset of its end, so
bodies are skipped; inlined calls are read when an address lies in their function.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

import msgspec

from polydbg.formats.pdb.dbi import key_of
from polydbg.formats.pdb.places import Places
from polydbg.formats.pdb.reading import cstring, text, unpack

S_END = 0x0006
S_THUNK32 = 0x1102
S_BLOCK32 = 0x1103
S_LABEL32 = 0x1105
S_LDATA32 = 0x110C
S_GDATA32 = 0x110D
S_LPROC32 = 0x110F
S_GPROC32 = 0x1110
S_LTHREAD32 = 0x1112
S_GTHREAD32 = 0x1113
S_PROCREF = 0x1125
S_LPROCREF = 0x1127
S_TRAMPOLINE = 0x112C
S_SEPCODE = 0x1132
S_LPROC32_ID = 0x1146
S_GPROC32_ID = 0x1147
S_LOCAL = 0x113E
S_INLINESITE = 0x114D
S_INLINESITE_END = 0x114E
S_PROC_ID_END = 0x114F
S_LPROC32_DPC = 0x1155
S_LPROC32_DPC_ID = 0x1156
S_INLINESITE2 = 0x115D

PROCEDURES = frozenset(
    (S_LPROC32, S_GPROC32, S_LPROC32_ID, S_GPROC32_ID, S_LPROC32_DPC, S_LPROC32_DPC_ID)
)
ID_PROCEDURES = frozenset((S_LPROC32_ID, S_GPROC32_ID, S_LPROC32_DPC_ID))
DATA = frozenset((S_LDATA32, S_GDATA32))
THREAD_DATA = frozenset((S_LTHREAD32, S_GTHREAD32))
_GLOBAL = frozenset((S_GPROC32, S_GPROC32_ID, S_GDATA32, S_GTHREAD32))
_SCOPES = PROCEDURES | {S_THUNK32, S_BLOCK32, S_INLINESITE, S_INLINESITE2, S_SEPCODE}
_ENDS = frozenset((S_END, S_PROC_ID_END, S_INLINESITE_END))

_HEAD = struct.Struct("<HH")
_PROCEDURE = struct.Struct("<HHIIIIIIIIHB")  # name at 39
_PROCEDURE_PLACE = struct.Struct("<8xI20xIH")  # end of scope, offset, section
_END_OF_SCOPE = struct.Struct("<HHII")
_THUNK = struct.Struct("<HHIIIIHHB")  # name at 25
_LABEL = struct.Struct("<HHIHB")  # name at 11
_DATA = struct.Struct("<HHIIH")  # name at 14
_LOCAL = struct.Struct("<HHIH")  # name at 10
_LOCAL_PARAMETER = 1
_SEPCODE = struct.Struct("<HHIIIIIIHH")
_TRAMPOLINE = struct.Struct("<HHHHIIHH")
_MAX_DEPTH = 256
_OPTIMISED = 0x80  # of a function's flags


class CodeViewSymbol(msgspec.Struct, frozen=True):
    """A record that names an address: packed *key*, *size* in bytes (0: not in the record).

    *position* is the offset of the record in the module's stream, *end* that of the record that
    ends its scope, 0 when it has none.
    """

    kind: int
    name: str
    key: int
    size: int
    type_index: int
    position: int
    end: int = 0

    @property
    def is_procedure(self) -> bool:
        return self.kind in PROCEDURES

    @property
    def is_global(self) -> bool:
        return self.kind in _GLOBAL

    @property
    def has_id_type(self) -> bool:
        """Tell whether *type_index* is an id (IPI) rather than a type."""
        return self.kind in ID_PROCEDURES


class SeparatedCode(msgspec.Struct, frozen=True):
    """A part of a function that the optimiser moved away: its range and its function's key."""

    key: int
    size: int
    parent: int


class Trampoline(msgspec.Struct, frozen=True):
    """A jump that the linker made, and where it goes. *incremental*: for incremental linking."""

    key: int
    size: int
    target: int
    incremental: bool


def _key(part: SeparatedCode | Trampoline) -> int:
    return part.key


def read_symbol(data: bytes, offset: int, position: int) -> CodeViewSymbol | None:
    """Return the symbol whose record is at *offset* of *data*, if it is one that names an address.

    *position* is where the record is in its stream.
    """
    length, kind = unpack(_HEAD, data, offset)
    limit = offset + length + 2
    size = type_index = end = 0
    if kind in PROCEDURES:
        fields = unpack(_PROCEDURE, data, offset)
        size, type_index, key, name_at = fields[5], fields[8], key_of(fields[10], fields[9]), 39
        end = fields[3]
    elif kind == S_THUNK32:
        fields = unpack(_THUNK, data, offset)
        size, key, name_at = fields[7], key_of(fields[6], fields[5]), 25
    elif kind == S_LABEL32:
        fields = unpack(_LABEL, data, offset)
        key, name_at = key_of(fields[3], fields[2]), 11
    elif kind in DATA or kind in THREAD_DATA:
        fields = unpack(_DATA, data, offset)
        type_index, key, name_at = fields[2], key_of(fields[4], fields[3]), 14
    else:
        return None
    name = cstring(data, offset + name_at, limit)
    return CodeViewSymbol(kind, text(name), key, size, type_index, position, end)


class ModuleSymbols:
    """The symbols of one module, indexed by address when first asked."""

    def __init__(self, data: bytes) -> None:
        """Take the symbol part of a module's stream, with its 4-byte signature."""
        self.data = data
        self.separated: list[SeparatedCode] = []
        self.trampolines: list[Trampoline] = []
        self._by_position: list[int] | None = None
        code: list[int] = []
        named: list[int] = []
        labels: list[int] = []
        end, position, head, place = len(data), 4, _HEAD.unpack_from, _PROCEDURE_PLACE.unpack_from
        last = end - 3
        while position < last:
            length, kind = head(data, position)
            after = position + length + 2
            if length < 2 or after > end:
                break
            if kind in PROCEDURES:
                if length + 2 < _PROCEDURE.size:
                    break
                close, offset, section = place(data, position)
                code.append(section << 64 | offset << 32 | position)
                # What _after_scope does, in place: this is the loop that counts.
                if after <= close < last:
                    length, kind = head(data, close)
                    if kind in _ENDS:
                        after = close + 2 + length
            elif kind in DATA:
                fields = unpack(_DATA, data, position)
                named.append(fields[4] << 64 | fields[3] << 32 | position)
            elif kind == S_THUNK32:
                fields = unpack(_THUNK, data, position)
                code.append(fields[6] << 64 | fields[5] << 32 | position)
                after = self._after_scope(fields[3], after)
            elif kind == S_LABEL32:
                fields = unpack(_LABEL, data, position)
                labels.append(fields[3] << 64 | fields[2] << 32 | position)
            elif kind == S_SEPCODE:
                self._add_separated(position)
                after = self._after_scope(unpack(_END_OF_SCOPE, data, position)[3], after)
            elif kind == S_TRAMPOLINE:
                self._add_trampoline(position)
            position = after
        self._code, self._named, self._labels = Places(code), Places(named), Places(labels)
        self.separated.sort(key=_key)
        self.trampolines.sort(key=_key)

    def _after_scope(self, close: int, after: int) -> int:
        """Return where the records go on behind a scope that ends at *close*.

        *after* is the offset behind the record that opens it: where to go on if *close* is no end
        of a scope. Then the records of the body follow, of which none names an address but labels.
        """
        data = self.data
        if after <= close and close + 4 <= len(data):
            length, kind = _HEAD.unpack_from(data, close)
            if kind in _ENDS:
                return close + 2 + int(length)
        return after

    def _add_separated(self, position: int) -> None:
        _, _, _, _, size, _, offset, parent, section, parent_section = unpack(
            _SEPCODE, self.data, position
        )
        self.separated.append(
            SeparatedCode(key_of(section, offset), size, key_of(parent_section, parent))
        )

    def _add_trampoline(self, position: int) -> None:
        _, _, kind, size, thunk, target, thunk_section, target_section = unpack(
            _TRAMPOLINE, self.data, position
        )
        self.trampolines.append(
            Trampoline(
                key_of(thunk_section, thunk), size, key_of(target_section, target), kind == 0
            )
        )

    def symbol(self, position: int) -> CodeViewSymbol | None:
        """Return the symbol whose record is at *position*, if it is one that names an address."""
        return read_symbol(self.data, position, position)

    def separated_at(self, key: int) -> SeparatedCode | None:
        """Return the separated part of a function that covers *key*."""
        rank = bisect_right(self.separated, key, key=_key) - 1
        if rank >= 0 and key < self.separated[rank].key + self.separated[rank].size:
            return self.separated[rank]
        return None

    def trampoline_at(self, key: int) -> Trampoline | None:
        """Return the linker's jump that covers *key*."""
        rank = bisect_right(self.trampolines, key, key=_key) - 1
        if rank >= 0 and key < self.trampolines[rank].key + self.trampolines[rank].size:
            return self.trampolines[rank]
        return None

    def code_at(self, key: int) -> CodeViewSymbol | None:
        """Return the function or thunk that contains *key*; of folded ones the first."""
        place = self._code.below(key)
        steps = 8  # a thunk or an empty function can stand inside another's range
        while place is not None and steps:
            found = self.symbol(place[1])
            if found is not None and key < found.key + max(found.size, 1):
                return found
            place = self._code.below(place[0] - 1)
            steps -= 1
        return None

    def below(self, key: int) -> CodeViewSymbol | None:
        """Return the nearest code or data symbol at or below *key* (labels do not count)."""
        code, data = self._code.below(key), self._named.below(key)
        if code is None or (data is not None and data[0] > code[0]):
            code = data
        return self.symbol(code[1]) if code is not None else None

    def above(self, key: int) -> CodeViewSymbol | None:
        """Return the nearest code or data symbol above *key*."""
        code, data = self._code.above(key), self._named.above(key)
        if code is None or (data is not None and data[0] < code[0]):
            code = data
        return self.symbol(code[1]) if code is not None else None

    def starting_at(self, key: int) -> list[CodeViewSymbol]:
        """Return the functions, thunks, data and labels that start at *key*, in that order."""
        found = []
        for places in (self._code, self._named, self._labels):
            for position in places.starting_at(key):
                symbol = self.symbol(position)
                if symbol is not None:
                    found.append(symbol)
        return found

    def function_around(self, position: int) -> CodeViewSymbol | None:
        """Return the function whose scope holds the record at *position*."""
        if self._by_position is None:
            self._by_position = sorted(offset for _, offset in self._code)
        rank = bisect_right(self._by_position, position) - 1
        found = self.symbol(self._by_position[rank]) if rank >= 0 else None
        inside = found is not None and found.is_procedure and position < found.end
        return found if inside else None

    def data_named(self, name: bytes) -> Iterator[CodeViewSymbol]:
        """Yield the static and global data of the module that is called *name*."""
        wanted = name + b"\0"
        hit = self.data.find(wanted)
        while hit >= 0:
            position = hit - _DATA.size
            if position >= 4 and position & 3 == 0:
                kind = self.data[position + 2] | self.data[position + 3] << 8
                found = self.symbol(position) if kind in DATA else None
                if found is not None:
                    yield found
            hit = self.data.find(wanted, hit + 1)

    def sites_of_function(self, function_id: int) -> Iterator[int]:
        """Yield the offsets of the inline-site records of an inlined function."""
        wanted = struct.pack("<I", function_id)
        hit = self.data.find(wanted)
        while hit >= 0:
            position = hit - 12
            if position >= 4 and position & 3 == 0:
                kind = self.data[position + 2] | self.data[position + 3] << 8
                if kind in (S_INLINESITE, S_INLINESITE2):
                    yield position
            hit = self.data.find(wanted, hit + 1)

    def function_starting_at(self, key: int) -> CodeViewSymbol | None:
        """Return the first function that starts at *key*."""
        for symbol in self.starting_at(key):
            if symbol.is_procedure:
                return symbol
        return None


def debug_range(procedure: bytes) -> tuple[int, int]:
    """Return from where to where in a function, in bytes from its start, its frame is made; (0, 0)
    where its record does not say. *procedure* begins with the record."""
    fields = unpack(_PROCEDURE, procedure, 0)
    return fields[6], fields[7]


def is_optimised(procedure: bytes) -> bool:
    """Tell whether a function's variables are described as those of optimised code. *procedure*
    begins with its record."""
    return bool(unpack(_PROCEDURE, procedure, 0)[11] & _OPTIMISED)


def records_within(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (position, kind, size, depth) of the records in the scope of the record at *start*.

    *end* is the offset of the record that ends the scope; depth 1 is the scope's own level.
    """
    position, depth = start + unpack(_HEAD, data, start)[0] + 2, 1
    end = min(end, len(data))
    while position + 4 <= end:
        length, kind = _HEAD.unpack_from(data, position)
        size = length + 2
        if length < 2 or position + size > end:
            return
        if kind in _ENDS:
            depth -= 1
            if depth < 1:
                return
        yield position, kind, size, depth
        if kind in _SCOPES:
            depth += 1
            if depth > _MAX_DEPTH:
                return
        position += size


def parameter_types(scope: bytes) -> list[int]:
    """Return the types of the parameters that have a variable record, but for ``this``.

    They include the hidden ones of constructors and destructors, which the type does not. *scope*
    is a function's record with those of its scope.
    """
    types = []
    for position, kind, size, depth in records_within(scope, 0, len(scope)):
        if depth == 1 and kind == S_LOCAL:
            _, _, type_index, flags = unpack(_LOCAL, scope, position)
            name = cstring(scope, position + 10, position + size)
            if flags & _LOCAL_PARAMETER and name != b"this":
                types.append(type_index)
    return types
