"""The hash of global symbols, the hash of public symbols, and the publics by address.

The records themselves are in the symbol-record stream; the hashes hold their offsets plus one.
Source: LLVM "The PDB Global and Public Symbol Streams", microsoft-pdb ``gsi.cpp`` (MIT).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from polydbg.formats.pdb.msf import Stream
from polydbg.formats.pdb.places import Places
from polydbg.formats.pdb.reading import U32

_HASH_HEADER = struct.Struct("<IIII")
_SIGNATURE = 0xFFFFFFFF
_VERSION = 0xEFFE0000 + 19990810
_BUCKETS = 4096
_MAX_BUCKET = 8192  # two million names make buckets of some 500
_BITMAP_SIZE = (_BUCKETS + 32) // 32 * 4
_BUCKET_UNIT = 12  # offsets count records of the 32-bit linker's memory
_PUBLICS_HEADER = struct.Struct("<IIIIH2xII")
_DATA_PLACE = struct.Struct("<8xIH")
_CHUNK = 1 << 21
_OVERLAP = 1 << 16  # the longest record
_MAX_RECORD = 1 << 13
_ENDINGS = frozenset((0, 0xF1, 0xF2, 0xF3))  # of a name, or of the padding behind it
_ADDRESS = struct.Struct("<HHIIH")
S_PUB32 = 0x110E


def hash_name(name: bytes) -> int:
    """Return the version-1 hash of a name; ASCII letters hash alike in either case."""
    size = len(name)
    result = 0
    for (word,) in U32.iter_unpack(name[: size & ~3]):
        result ^= word
    tail = name[size & ~3 :]
    if len(tail) >= 2:
        result ^= tail[0] | tail[1] << 8
        tail = tail[2:]
    if tail:
        result ^= tail[0]
    result |= 0x20202020
    result ^= result >> 11
    return result ^ (result >> 16)


class SymbolRecords:
    """The stream of global symbol records: everything the hashes point to."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def record(self, offset: int) -> bytes:
        """Return a whole record, with its length and kind; FormatError outside of the stream."""
        available = self.stream.size - offset
        # One read is enough for nearly every record; names of templates are longer.
        head = self.stream.read(offset, min(128, available) if available > 4 else 4)
        size = (head[0] | head[1] << 8) + 2
        return head[:size] if size <= len(head) else self.stream.read(offset, size)


class DataIndex:
    """The data records of the global stream by address.

    Not every variable has a public name, and a global one is in no module's stream, so to name an
    address of a data section takes a pass over the records (0.3 s for 120 MB), made once.
    """

    def __init__(self, records: SymbolRecords, kinds: frozenset[int]) -> None:
        stream = records.stream
        found: list[int] = []
        for position in range(0, stream.size, _CHUNK):
            chunk = stream.read(position, min(_CHUNK + _OVERLAP, stream.size - position))
            for kind in kinds:
                found += _data_places(chunk, position, kind)
        self.places = Places(found)


def _data_places(chunk: bytes, base: int, kind: int) -> Iterator[int]:
    """Yield ``address << 32 | offset`` of the data records of a kind that begin in a chunk."""
    wanted = struct.pack("<H", kind)
    hit = chunk.find(wanted)
    while 0 <= hit < _CHUNK + 2:
        start = hit - 2
        if (base + start) & 3 == 0 and start >= 0 and _is_record(chunk, start):
            offset, section = _DATA_PLACE.unpack_from(chunk, start)
            yield section << 64 | offset << 32 | (base + start)
        hit = chunk.find(wanted, hit + 2)


def _is_record(chunk: bytes, start: int) -> bool:
    """Tell whether a data record begins at *start*: its name must end where the record does."""
    end = start + 2 + (chunk[start] | chunk[start + 1] << 8)
    if end > len(chunk) or end & 3 or not 16 <= end - start <= _MAX_RECORD:
        return False
    return chunk[end - 1] in _ENDINGS and 0 < end - chunk.find(b"\0", start + 14, end) <= 4


class SymbolHash:
    """A hash of symbol records by name."""

    def __init__(self, stream: Stream, offset: int, records: SymbolRecords) -> None:
        self._stream = stream
        self._records = records
        self._count = 0
        self._bits: int | None = None  # which buckets there are
        self._entries_at = offset + _HASH_HEADER.size
        self._buckets_at = self._bucket_count = 0
        if offset + _HASH_HEADER.size > stream.size:
            return
        signature, version, size, bucket_size = stream.unpack(_HASH_HEADER, offset)
        if signature != _SIGNATURE or version != _VERSION:
            return  # an older hash: there is only the record stream to go by
        self._count = size // 8
        self._bitmap_at = self._entries_at + size
        self._buckets_at = self._bitmap_at + _BITMAP_SIZE
        self._bucket_count = max(0, bucket_size - _BITMAP_SIZE) // 4

    def __len__(self) -> int:
        return self._count

    def order(self) -> array[int]:
        """Return the record offsets in the order of the hash: the order ``x`` lists symbols in."""
        entries = self._stream.u32_array(self._entries_at, self._count * 2)
        return entries[0::2]  # each plus one

    def bucket(self, name: bytes) -> Iterator[int]:
        """Yield the offsets of the records that share the bucket of *name*."""
        if not self._bucket_count:
            return
        number = hash_name(name) % _BUCKETS
        if self._bits is None:
            bitmap = self._stream.read(self._bitmap_at, _BITMAP_SIZE)
            self._bits = int.from_bytes(bitmap, "little")
        if not self._bits >> number & 1:
            return
        slot = (self._bits & ((1 << number) - 1)).bit_count()
        if slot >= self._bucket_count:
            return
        start = self._stream.u32(self._buckets_at + slot * 4) // _BUCKET_UNIT
        end = self._count
        if slot + 1 < self._bucket_count:
            end = self._stream.u32(self._buckets_at + slot * 4 + 4) // _BUCKET_UNIT
        end = min(end, self._count, start + _MAX_BUCKET)
        if start < end:
            entries = self._stream.u32_array(self._entries_at + start * 8, (end - start) * 2)
            for offset in entries[0::2]:
                if offset:
                    yield offset - 1

    def find(self, name: bytes, *, fold: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, record) of the symbols called *name* whose names stand at byte 14.

        That is the place in data, procedure-reference and public records. *fold* ignores case.
        """
        wanted = (name.lower() if fold else name) + b"\0"
        stream, size = self._records.stream, len(wanted)
        for offset in self.bucket(name):
            at = offset + 14
            if at + size > stream.size:
                continue
            found = stream.read(at, size)
            if (found.lower() if fold else found) == wanted:
                record = self._records.record(offset)
                if len(record) > 14 and record[3] == 0x11:
                    yield offset, record


class Publics:
    """The public symbols by name and by address, and where the incremental-link thunks are."""

    def __init__(self, stream: Stream, records: SymbolRecords) -> None:
        self._stream = stream
        self._records = records
        self._count = 0
        self.thunk_count = self.thunk_size = self.thunk_section = self.thunk_offset = 0
        self.names = SymbolHash(stream, _PUBLICS_HEADER.size, records)
        if stream.size < _PUBLICS_HEADER.size:
            return
        fields = stream.unpack(_PUBLICS_HEADER, 0)
        hash_size, map_size, self.thunk_count, self.thunk_size = fields[:4]
        self.thunk_section, self.thunk_offset, _ = fields[4:]
        self._map_at = _PUBLICS_HEADER.size + hash_size
        self._count = map_size // 4

    def __len__(self) -> int:
        return self._count

    def record_offset(self, rank: int) -> int:
        """Return where the record of the *rank*-th public by address is."""
        return self._stream.u32(self._map_at + rank * 4)

    def key(self, rank: int) -> int:
        """Return the packed (section, offset) of the *rank*-th public by address."""
        _, _, _, offset, section = self._records.stream.unpack(_ADDRESS, self.record_offset(rank))
        return int(section) << 32 | int(offset)

    def rank(self, key: int) -> int:
        """Return the rank of the first public above *key* (so one less is at or below it)."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) <= key:
                low = middle + 1
            else:
                high = middle
        return low

    def thunk_index(self, key: int) -> int | None:
        """Return the number of the incremental-link thunk at *key*, if there is one."""
        start = self.thunk_section << 32 | self.thunk_offset
        if not self.thunk_size or not start <= key < start + self.thunk_count * self.thunk_size:
            return None
        return (key - start) // self.thunk_size
