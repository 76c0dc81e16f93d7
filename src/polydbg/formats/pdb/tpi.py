"""Type records (TPI) and id records (IPI): records by index, and names as the debugger writes them.

Source: LLVM "The PDB TPI and IPI Streams", "CodeView Type Records"; the spelling of names follows
the debugger's output (``unsigned int64``, ``<function> *``, enumerations without a keyword).
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.msf import Msf, Stream
from polydbg.formats.pdb.reading import cstring, numeric, qualified, text, u16, u32, unpack

LF_VTSHAPE = 0x000A
LF_MODIFIER = 0x1001
LF_POINTER = 0x1002
LF_PROCEDURE = 0x1008
LF_MFUNCTION = 0x1009
LF_ARGLIST = 0x1201
LF_BITFIELD = 0x1205
LF_ARRAY = 0x1503
LF_CLASS = 0x1504
LF_STRUCTURE = 0x1505
LF_UNION = 0x1506
LF_ENUM = 0x1507
LF_INTERFACE = 0x1519
LF_CLASS2 = 0x1608
LF_STRUCTURE2 = 0x1609
LF_UNION2 = 0x160A
LF_INTERFACE2 = 0x160B
LF_FUNC_ID = 0x1601
LF_MFUNC_ID = 0x1602
LF_SUBSTR_LIST = 0x1604
LF_STRING_ID = 0x1605

_HEADER = struct.Struct("<IIIIIHHIIiIiIiI")
FIRST_INDEX = 0x1000
_MAX_DEPTH = 24
_MAX_STEP = 1 << 20
_MAX_MARKED_STEP = 1 << 14
_MAX_CANDIDATES = 4096
_MAX_BUCKETS = 256
_CHUNK = 1 << 18
_PASS = 1 << 18
_PROPERTY_FORWARD = 0x80
_PROPERTY_SCOPED = 0x100
KEYWORDS = {
    LF_CLASS: "class ",
    LF_STRUCTURE: "struct ",
    LF_INTERFACE: "interface ",
    LF_UNION: "union ",
    LF_ENUM: "",
    LF_CLASS2: "class ",
    LF_STRUCTURE2: "struct ",
    LF_INTERFACE2: "interface ",
    LF_UNION2: "union ",
}
_WIDE = frozenset((LF_CLASS2, LF_STRUCTURE2, LF_UNION2, LF_INTERFACE2))  # since Visual C++ 2019

#: Simple types by the low byte of their index: name and size in bytes.
SIMPLE = {
    0x00: ("<NoType>", 0),
    0x03: ("void", 0),
    0x07: ("<NoType>", 0),
    0x08: ("HRESULT", 4),
    0x10: ("char", 1),
    0x11: ("short", 2),
    0x12: ("long", 4),
    0x13: ("int64", 8),
    0x14: ("int128", 16),
    0x20: ("unsigned char", 1),
    0x21: ("unsigned short", 2),
    0x22: ("unsigned long", 4),
    0x23: ("unsigned int64", 8),
    0x24: ("unsigned int128", 16),
    0x30: ("bool", 1),
    0x31: ("bool", 2),
    0x32: ("bool", 4),
    0x33: ("bool", 8),
    0x40: ("float", 4),
    0x41: ("double", 8),
    0x42: ("long double", 10),
    0x43: ("long double", 16),
    0x46: ("half", 2),
    0x68: ("char", 1),
    0x69: ("unsigned char", 1),
    0x70: ("char", 1),
    0x71: ("wchar_t", 2),
    0x72: ("short", 2),
    0x73: ("unsigned short", 2),
    0x74: ("int", 4),
    0x75: ("unsigned int", 4),
    0x76: ("int64", 8),
    0x77: ("unsigned int64", 8),
    0x78: ("int128", 16),
    0x79: ("unsigned int128", 16),
    0x7A: ("char16_t", 2),
    0x7B: ("char32_t", 4),
    0x7C: ("char8_t", 1),
}
SIMPLE_POINTER_SIZES = {1: 2, 2: 4, 3: 4, 4: 4, 5: 6, 6: 8, 7: 16}


class Aggregate(NamedTuple):
    """A class, structure, union or enumeration."""

    name: str
    unique_name: str
    is_forward: bool
    size: int
    underlying: int
    fields: int = 0  # the index of its list of members, 0 without one
    member_count: int = 0  # overloaded methods count each for itself
    is_scoped: bool = False  # declared within a function or class


class TypeStream:
    """Records by index. Offsets come from the hash stream's table, one per 8 kB of records."""

    def __init__(self, msf: Msf, index: int) -> None:
        stream = msf.stream(index)
        self._stream = stream
        self.first = self.end = FIRST_INDEX
        self._base = 0
        self._size = 0
        self._cache: dict[int, tuple[int, bytes]] = {}
        self._hash: Stream | None = None
        self._marks: tuple[int, int] = (0, 0)
        self._values: tuple[int, int] = (0, 0)
        self._bucket_count = 0
        self._buckets: dict[int, list[int]] = {}
        if stream.size < _HEADER.size:
            return
        fields = stream.unpack(_HEADER, 0)
        _, self._base, self.first, self.end, size, hash_stream = fields[:6]
        self._size = min(size, max(0, stream.size - self._base))
        if self.end < self.first:
            raise FormatError("the type indices of the PDB end before they begin")
        if msf.size_of(hash_stream):
            self._hash = msf.stream(hash_stream)
            values_at, values_size, marks_at, marks_size = fields[9:13]
            self._bucket_count = fields[8]
            self._marks = self._part(marks_at, marks_size // 8)
            self._values = self._part(values_at, values_size // 4)

    def _part(self, offset: int, count: int) -> tuple[int, int]:
        return (offset, count) if offset >= 0 else (0, 0)

    def record(self, index: int) -> tuple[int, bytes]:
        """Return (leaf, body) of a type.

        :raises FormatError: when the stream has no such type.
        """
        known = self._cache.get(index)
        if known is None:
            if len(self._cache) > 4096:
                self._cache.clear()
            known = self._cache[index] = self._read(index)
        return known

    def _read(self, index: int) -> tuple[int, bytes]:
        if not self.first <= index < self.end:
            raise FormatError(f"the PDB has no type {index:#x}")
        at, offset = self._mark_below(index)
        if index - at > (_MAX_MARKED_STEP if self._marks[1] else _MAX_STEP):
            raise FormatError("the table of type offsets is damaged")
        chunk, start = b"", 0
        while True:
            position = offset - start
            if position + 4 > len(chunk):
                start, position = offset, 0
                chunk = self._read_chunk(offset, 0x2000)
            size = (chunk[position] | chunk[position + 1] << 8) + 2
            if at == index:
                if position + size > len(chunk):
                    chunk, position = self._read_chunk(offset, size), 0
                if size < 4 or position + size > len(chunk):
                    raise FormatError(f"type {index:#x} is damaged", offset=offset)
                leaf = chunk[position + 2] | chunk[position + 3] << 8
                return leaf, chunk[position + 4 : position + size]
            offset += size
            at += 1

    def _read_chunk(self, offset: int, size: int) -> bytes:
        available = self._size - offset
        if available < 4:
            raise FormatError("the type records end before their count", offset=offset)
        return self._stream.read(self._base + offset, min(size, available))

    def _mark_below(self, index: int) -> tuple[int, int]:
        """Return (type index, offset) of the last entry at or below *index*."""
        at, count = self._marks
        if self._hash is None or not count:
            return self.first, 0
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if self._hash.u32(at + middle * 8) <= index:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return self.first, 0
        mark = at + (low - 1) * 8
        return max(self._hash.u32(mark), self.first), self._hash.u32(mark + 4)

    def containing(self, literal: bytes, poll: Callable[[], None]) -> Iterator[tuple[int, bytes]]:
        """Yield (index, whole record, at least its leaf) of those that contain *literal*, folded.

        *literal* is in lower case; *poll* is called every few milliseconds.
        """
        for indices, offsets, end in self._passes():
            poll()
            first = offsets[0]
            chunk = self._stream.read_once(self._base + first, end - first)
            starts = [each - first for each in offsets]
            yield from _records_with(chunk, literal, indices, starts)

    def _passes(self) -> Iterator[tuple[list[int], list[int], int]]:
        """Yield the records in pieces of some size: the indices and offsets of records in each,
        ascending, and where it ends."""
        windows = self._windows()
        done = 0  # windows of a damaged table may overlap: each record is read once
        indices: list[int] = []
        offsets: list[int] = []
        for number, (index, offset) in enumerate(windows):
            end = windows[number + 1][1] if number + 1 < len(windows) else self._size
            if not done <= offset < end <= self._size:
                continue
            if offsets and (offset != done or done - offsets[0] >= _PASS):
                yield indices, offsets, done
                indices, offsets = [], []
            indices.append(index)
            offsets.append(offset)
            done = end
        if offsets:
            yield indices, offsets, done

    def _windows(self) -> list[tuple[int, int]]:
        """Return the (index, offset) pairs of the hash stream, at least that of the first type."""
        at, count = self._marks
        if self._hash is None or not count:
            return [(self.first, 0)]
        words = self._hash.u32_array(at, count * 2)
        return list(zip(words[0::2], words[1::2], strict=True))

    def candidates(self, bucket: int) -> list[int]:
        """Return the indices of the types whose hash is *bucket*."""
        found = self._buckets.get(bucket)
        if found is None:
            if len(self._buckets) >= _MAX_BUCKETS:
                self._buckets.clear()
            found = self._buckets[bucket] = self._find_bucket(bucket)
        return found

    def _find_bucket(self, bucket: int) -> list[int]:
        at, count = self._values
        if self._hash is None or not count:
            return []
        wanted = struct.pack("<I", bucket)
        # A number's upper half is mostly 0, which is slow to look for at the end. Its highest byte
        # is always 0 (there are at most 0x40000 buckets): that of the number before is sought.
        needle = b"\0" + wanted[:2]
        found: list[int] = []
        for start in range(0, 4 * count, _CHUNK):
            data = b"\0" + self._hash.read(at + start, min(_CHUNK, 4 * count - start))
            position = data.find(needle)
            while position >= 0 and len(found) < _MAX_CANDIDATES:
                if position % 4 == 0 and data.startswith(wanted, position + 1):
                    found.append(self.first + (start + position) // 4)
                position = data.find(needle, position + 1)
        return found

    @property
    def size(self) -> int:
        """Return how many bytes of records there are."""
        return self._size

    @property
    def bucket_count(self) -> int:
        return self._bucket_count


def _records_with(
    chunk: bytes, literal: bytes, indices: list[int], starts: list[int]
) -> Iterator[tuple[int, bytes]]:
    """Yield those of the records in *chunk* that contain *literal*, folded; *indices* are those of
    the records that begin at *starts*."""
    folded = chunk.lower()
    hit = folded.find(literal)
    position, index = 0, indices[0]
    # Records are stepped over, not looked into, until one has the hit.
    while hit >= 0 and position + 4 <= len(chunk):
        rank = bisect_right(starts, hit) - 1
        if starts[rank] > position:
            position, index = starts[rank], indices[rank]
        following = position + (chunk[position] | chunk[position + 1] << 8) + 2
        while 0 <= hit < following:
            if hit + len(literal) <= following:
                if following - position >= 4:  # less holds no leaf: damaged
                    yield index, chunk[position:following]
                hit = folded.find(literal, following)
            else:  # it runs on into the next record
                hit = folded.find(literal, hit + 1)
        position = following
        index += 1


def aggregate(leaf: int, body: bytes) -> Aggregate:
    """Return what a class, structure, union or enumeration record says."""
    properties, count = u16(body, 2), u16(body, 0)
    underlying, fields = 0, u32(body, 4)
    if leaf == LF_ENUM:
        underlying, fields, size, offset = u32(body, 4), u32(body, 8), 0, 12
    elif leaf == LF_UNION:
        size, offset = numeric(body, 8)
    elif leaf in _WIDE:  # wider properties first, the count of members before the size
        properties = u16(body, 0)
        count, offset = numeric(body, 8 if leaf == LF_UNION2 else 16)
        size, offset = numeric(body, offset)
    else:
        size, offset = numeric(body, 16)
    name = cstring(body, offset)
    unique = b""
    if properties & 0x200 and offset + len(name) + 1 <= len(body):
        unique = cstring(body, offset + len(name) + 1)
    forward = bool(properties & _PROPERTY_FORWARD)
    scoped = bool(properties & _PROPERTY_SCOPED)
    return Aggregate(text(name), text(unique), forward, size, underlying, fields, count, scoped)


class Types:
    """Names, sizes and parameter lists from the type stream, names of ids from the id stream."""

    def __init__(self, msf: Msf) -> None:
        self._msf = msf
        self._tpi: TypeStream | None = None
        self._ipi: TypeStream | None = None
        self._sizes: dict[int, int] = {}

    @property
    def tpi(self) -> TypeStream:
        if self._tpi is None:
            self._tpi = TypeStream(self._msf, 2)
        return self._tpi

    @property
    def ipi(self) -> TypeStream:
        if self._ipi is None:
            self._ipi = TypeStream(self._msf, 4)
        return self._ipi

    # -- names ---------------------------------------------------------------------------------

    def name(self, index: int, depth: int = 0) -> str:
        """Return a type's name as ``x`` prints it for parameters: references are pointers there."""
        if index < FIRST_INDEX:
            return _simple_name(index)
        if depth > _MAX_DEPTH:
            raise FormatError("the types of the PDB refer to each other without end")
        leaf, body = self.tpi.record(index)
        if leaf == LF_MODIFIER:
            return self.name(u32(body, 0), depth + 1)
        if leaf == LF_POINTER:
            return _pointer_to(self.name(u32(body, 0), depth + 1))
        if leaf in (LF_PROCEDURE, LF_MFUNCTION):
            return "<function>"
        if leaf == LF_ARRAY:
            return self._array_name(index, depth)
        if leaf == LF_BITFIELD:
            return self.name(u32(body, 0), depth + 1)
        if leaf in KEYWORDS:
            return KEYWORDS[leaf] + aggregate(leaf, body).name
        return "<unknown>"

    def _array_name(self, index: int, depth: int) -> str:
        dimensions: list[str] = []
        while index >= FIRST_INDEX and len(dimensions) <= _MAX_DEPTH:
            leaf, body = self.tpi.record(index)
            if leaf != LF_ARRAY:
                break
            element = u32(body, 0)
            size, _ = numeric(body, 8)
            unit = self.size(element)
            dimensions.append(f"[{size // unit if unit else 0}]")
            index = element
        name = self.name(index, depth + 1)
        # `void *[2]`, but `char [16]`: a pointer's star stands for the blank.
        return name + ("" if name.endswith("*") else " ") + "".join(dimensions)

    # -- sizes ---------------------------------------------------------------------------------

    def size(self, index: int) -> int:
        """Return a type's size in bytes, 0 when it has none."""
        if index < FIRST_INDEX:
            mode = index >> 8 & 15
            if mode:
                return SIMPLE_POINTER_SIZES.get(mode, 0)
            return SIMPLE.get(index & 0xFF, ("", 0))[1]
        known = self._sizes.get(index)
        if known is None:
            known = self._sizes[index] = self._size(index)
        return known

    def _size(self, index: int) -> int:
        for _ in range(_MAX_DEPTH):
            if index < FIRST_INDEX:
                return self.size(index)
            leaf, body = self.tpi.record(index)
            if leaf in (LF_MODIFIER, LF_BITFIELD):
                index = u32(body, 0)
            elif leaf == LF_POINTER:
                return u32(body, 4) >> 13 & 0x3F
            elif leaf == LF_ARRAY:
                return numeric(body, 8)[0]
            elif leaf == LF_ENUM:
                index = aggregate(leaf, body).underlying
            elif leaf in KEYWORDS:
                found = aggregate(leaf, body)
                return self._complete(leaf, found).size if found.is_forward else found.size
            else:
                return 0
        return 0

    def _complete(self, leaf: int, forward: Aggregate) -> Aggregate:
        """Return the definition of a type that is only declared, or the declaration itself."""
        index = self.definition_of(forward, is_enumeration=leaf == LF_ENUM)
        return aggregate(*self.tpi.record(index)) if index is not None else forward

    def definition_of(self, forward: Aggregate, *, is_enumeration: bool = False) -> int | None:
        """Return the index of the definition of a type that is only declared, ``None`` where the
        file has none."""
        wanted = forward.unique_name or forward.name
        # Definitions are hashed by their unique name where they are scoped, else by their name.
        spellings = (wanted, forward.name) if forward.is_scoped else (forward.name, wanted)
        for name in dict.fromkeys(spellings):
            for index in self._candidates(name):
                leaf, body = self.tpi.record(index)
                if leaf not in KEYWORDS or (leaf == LF_ENUM) is not is_enumeration:
                    continue
                found = aggregate(leaf, body)
                if not found.is_forward and (found.unique_name or found.name) == wanted:
                    return index
        return None

    def named(self, name: str, is_meant: Callable[[str], bool] | None = None) -> int | None:
        """Return the index of the class or enumeration of that name as the type hash knows it: its
        definition, else a declaration. *is_meant* takes other names with the same hash: that does
        not tell the case of letters."""
        matches = is_meant or name.__eq__
        declared: int | None = None
        for index in self._candidates(name):
            leaf, body = self.tpi.record(index)
            if leaf not in KEYWORDS:
                continue
            found = aggregate(leaf, body)
            if not matches(found.name):
                continue
            if not found.is_forward:
                return index
            declared = declared or index
        return declared

    def _candidates(self, name: str) -> Iterator[int]:
        """Yield the indices of the types whose hash is that of *name*."""
        from polydbg.formats.pdb.gsi import hash_name

        tpi = self.tpi
        if tpi.bucket_count:
            for index in tpi.candidates(hash_name(name.encode()) % tpi.bucket_count):
                if tpi.first <= index < tpi.end:
                    yield index

    # -- functions -----------------------------------------------------------------------------

    def parameters(self, index: int) -> list[int] | None:
        """Return a function type's parameter types, without ``this``.

        ``None`` when the type is no function. A variable argument list adds nothing.
        """
        if index < FIRST_INDEX:
            return None
        leaf, body = self.tpi.record(index)
        if leaf == LF_PROCEDURE:
            arguments = u32(body, 8)
        elif leaf == LF_MFUNCTION:
            arguments = u32(body, 16)
        else:
            return None
        leaf, body = self.tpi.record(arguments)
        if leaf != LF_ARGLIST:
            raise FormatError("a function of the PDB has no list of arguments")
        count = u32(body, 0)
        (*types,) = unpack(struct.Struct(f"<{min(count, len(body) // 4)}I"), body, 4)
        return [each for each in types if each != 0]

    def this_adjustment(self, index: int) -> int:
        """Return how many bytes behind the start of the object ``this`` points in a method of type
        *index*; 0 for other types."""
        if index < FIRST_INDEX:
            return 0
        leaf, body = self.tpi.record(index)
        return int.from_bytes(body[20:24], "little", signed=True) if leaf == LF_MFUNCTION else 0

    def function_type_of_id(self, index: int) -> int:
        """Return the type of the function that an id record names, 0 when it is none."""
        leaf, body = self.ipi.record(index)
        return u32(body, 4) if leaf in (LF_FUNC_ID, LF_MFUNC_ID) else 0

    def function_name_of_id(self, index: int) -> str:
        """Return the qualified name of the function that an id record names."""
        leaf, body = self.ipi.record(index)
        if leaf == LF_MFUNC_ID:
            scope = self._class_name(u32(body, 0))
        elif leaf == LF_FUNC_ID:
            number = u32(body, 0)
            scope = self.string_of_id(number) if number else ""
        else:
            raise FormatError(f"id {index:#x} of the PDB is not a function")
        name = text(cstring(body, 8))
        return qualified(f"{scope}::{name}" if scope else name)

    def _class_name(self, index: int) -> str:
        if index < FIRST_INDEX:
            return ""
        leaf, body = self.tpi.record(index)
        return aggregate(leaf, body).name if leaf in KEYWORDS else ""

    def string_of_id(self, index: int) -> str:
        """Return the text of a string id (with the strings it continues, if any)."""
        leaf, body = self.ipi.record(index)
        if leaf != LF_STRING_ID:
            return ""
        result = text(cstring(body, 4))
        prefix = u32(body, 0)
        if prefix:
            leaf, parts = self.ipi.record(prefix)
            if leaf == LF_SUBSTR_LIST:
                count = min(u32(parts, 0), len(parts) // 4 - 1, 256)
                for number in range(count):
                    part_leaf, part = self.ipi.record(u32(parts, 4 + number * 4))
                    if part_leaf == LF_STRING_ID:
                        result = text(cstring(part, 4)) + result
        return result


def _pointer_to(name: str) -> str:
    return name + "*" if name.endswith("*") else name + " *"


def _simple_name(index: int) -> str:
    name = SIMPLE.get(index & 0xFF, ("<unknown>", 0))[0]
    return _pointer_to(name) if index >> 8 & 15 else name
