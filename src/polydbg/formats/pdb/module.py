"""One module's symbol stream: its functions, thunks, labels and static data by address.

Only the top level of the stream is walked. A function's record holds the offset of its end, so
bodies are skipped; inlined calls are read when an address lies in their function.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import msgspec

from polydbg.formats.pdb.dbi import key_of
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
_END_OF_SCOPE = struct.Struct("<HHII")
_THUNK = struct.Struct("<HHIIIIHHB")  # name at 25
_LABEL = struct.Struct("<HHIHB")  # name at 11
_DATA = struct.Struct("<HHIIH")  # name at 14
_LOCAL = struct.Struct("<HHIH")  # name at 10
_LOCAL_PARAMETER = 1
_SEPCODE = struct.Struct("<HHIIIIIIHH")
_TRAMPOLINE = struct.Struct("<HHHHIIHH")
_MAX_DEPTH = 256


class CodeViewSymbol(msgspec.Struct, frozen=True):
    """A record that names an address: packed *key*, *size* in bytes (0: not in the record).

    *position* is the offset of the record in the module's stream.
    """

    kind: int
    name: str
    key: int
    size: int
    type_index: int
    position: int

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


def _end_of_scope(data: bytes, position: int, size: int) -> int:
    """Return the offset of the record that ends the scope at *position*, 0 when it has none."""
    end: int = unpack(_END_OF_SCOPE, data, position)[3]
    if position + size <= end and end + 4 <= len(data):
        kind = data[end + 2] | data[end + 3] << 8
        if kind in _ENDS:
            return end
    return 0


def read_symbol(data: bytes, offset: int, position: int) -> CodeViewSymbol | None:
    """Return the symbol whose record is at *offset* of *data*, if it is one that names an address.

    *position* is where the record is in its stream.
    """
    length, kind = unpack(_HEAD, data, offset)
    limit = offset + length + 2
    size = type_index = 0
    if kind in PROCEDURES:
        fields = unpack(_PROCEDURE, data, offset)
        size, type_index, key, name_at = fields[5], fields[8], key_of(fields[10], fields[9]), 39
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
    return CodeViewSymbol(kind, text(name), key, size, type_index, position)


class ModuleSymbols:
    """The symbols of one module, indexed by address when first asked."""

    def __init__(self, data: bytes) -> None:
        """Take the symbol part of a module's stream, with its 4-byte signature."""
        self.data = data
        self.separated: list[SeparatedCode] = []
        self.trampolines: list[Trampoline] = []
        # (key, order, position, kind): the order keeps folded functions stable.
        code: list[tuple[int, int, int, int]] = []
        named: list[tuple[int, int, int, int]] = []
        for position, kind, _ in self._top_level():
            if kind in PROCEDURES:
                fields = unpack(_PROCEDURE, data, position)
                code.append((key_of(fields[10], fields[9]), len(code), position, kind))
            elif kind in DATA:
                fields = unpack(_DATA, data, position)
                named.append((key_of(fields[4], fields[3]), len(named), position, kind))
            elif kind == S_THUNK32:
                fields = unpack(_THUNK, data, position)
                code.append((key_of(fields[6], fields[5]), len(code), position, kind))
            elif kind == S_LABEL32:
                fields = unpack(_LABEL, data, position)
                named.append((key_of(fields[3], fields[2]), len(named), position, kind))
            elif kind == S_SEPCODE:
                self._add_separated(position)
            elif kind == S_TRAMPOLINE:
                self._add_trampoline(position)
        code.sort()
        named.sort()
        self._code, self._named = code, named
        self._code_keys = [entry[0] for entry in code]
        self._named_keys = [entry[0] for entry in named]
        self.separated.sort(key=_key)
        self.trampolines.sort(key=_key)

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

    def _top_level(self) -> Iterator[tuple[int, int, int]]:
        """Yield (position, kind, size) of the records outside of every scope."""
        data, position, end, depth = self.data, 4, len(self.data), 0
        while position + 4 <= end:
            length, kind = _HEAD.unpack_from(data, position)
            size = length + 2
            if length < 2 or position + size > end:
                return
            if not depth:
                yield position, kind, size
            if kind in _SCOPES:
                close = _end_of_scope(data, position, size)
                if close:
                    position = close + 2 + (data[close] | data[close + 1] << 8)
                    continue
                depth += 1
            elif kind in _ENDS and depth:
                depth -= 1
            position += size

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
        rank = bisect_right(self._code_keys, key) - 1
        steps = 8  # a thunk or an empty function can stand inside another's range
        while rank >= 0 and steps:
            rank = bisect_left(self._code_keys, self._code_keys[rank])
            found = self.symbol(self._code[rank][2])
            if found is not None and key < found.key + max(found.size, 1):
                return found
            rank -= 1
            steps -= 1
        return None

    def below(self, key: int) -> CodeViewSymbol | None:
        """Return the nearest code or data symbol at or below *key* (labels do not count)."""
        best = -1
        position = -1
        rank = bisect_right(self._code_keys, key) - 1
        if rank >= 0:
            rank = bisect_left(self._code_keys, self._code_keys[rank])
            best, _, position, _ = self._code[rank]
        rank = bisect_right(self._named_keys, key) - 1
        while rank >= 0 and self._named_keys[rank] > best:
            if self._named[rank][3] != S_LABEL32:
                position = self._named[rank][2]
                break
            rank -= 1
        return self.symbol(position) if position >= 0 else None

    def above(self, key: int) -> CodeViewSymbol | None:
        """Return the nearest code or data symbol above *key*."""
        position = -1
        best = 1 << 64
        rank = bisect_right(self._code_keys, key)
        if rank < len(self._code):
            best, _, position, _ = self._code[rank]
        rank = bisect_right(self._named_keys, key)
        while rank < len(self._named) and self._named_keys[rank] < best:
            if self._named[rank][3] != S_LABEL32:
                position = self._named[rank][2]
                break
            rank += 1
        return self.symbol(position) if position >= 0 else None

    def starting_at(self, key: int) -> list[CodeViewSymbol]:
        """Return the functions, thunks, data and labels that start at *key*, in that order."""
        found = []
        for keys, entries in ((self._code_keys, self._code), (self._named_keys, self._named)):
            rank = bisect_left(keys, key)
            while rank < len(keys) and keys[rank] == key:
                symbol = self.symbol(entries[rank][2])
                if symbol is not None:
                    found.append(symbol)
                rank += 1
        return found

    def function_starting_at(self, key: int) -> CodeViewSymbol | None:
        """Return the first function that starts at *key*."""
        for symbol in self.starting_at(key):
            if symbol.is_procedure:
                return symbol
        return None

    def records_within(self, function: CodeViewSymbol) -> Iterator[tuple[int, int, int, int]]:
        """Yield (position, kind, size, depth) of the records in a function's scope.

        Depth 1 is the function's own level.
        """
        data = self.data
        length = unpack(_HEAD, data, function.position)[0]
        position, depth = function.position + length + 2, 1
        end = _end_of_scope(data, function.position, length + 2) or len(data)
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

    def parameter_types(self, function: CodeViewSymbol) -> list[int]:
        """Return the types of the parameters that have a variable record, but for ``this``.

        They include the hidden ones of constructors and destructors, which the type does not.
        """
        types = []
        for position, kind, size, depth in self.records_within(function):
            if depth == 1 and kind == S_LOCAL:
                _, _, type_index, flags = unpack(_LOCAL, self.data, position)
                name = cstring(self.data, position + 10, position + size)
                if flags & _LOCAL_PARAMETER and name != b"this":
                    types.append(type_index)
        return types
