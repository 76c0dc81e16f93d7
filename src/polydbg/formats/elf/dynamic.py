"""The dynamic table and the counts of the dynamic symbols, which need no section headers.

Sources: gABI chapter 5 ("Dynamic Section", "Hash Table"); the GNU hash table as glibc's
loader reads it: four numbers, a Bloom filter, buckets, chains.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from polydbg.base.errors import MemoryReadError
from polydbg.formats.elf import constants as elf
from polydbg.memory.space import AddressSpace

_MAX_ENTRIES = 1 << 16
_MAX_SYMBOLS = 1 << 24
_MAX_BUCKETS = 1 << 22
_MAX_CHAIN = 1 << 16
_CHAIN_BLOCK = 1 << 12


def parse_dynamic(data: bytes, mark: str, word: int) -> list[tuple[int, int]]:
    """Return (tag, value) up to ``DT_NULL`` or the end of *data*, with both unsigned.

    *mark* is the byte order as in :mod:`struct`, *word* the size of an address in bytes.
    """
    layout = struct.Struct(mark + ("QQ" if word == 8 else "II"))
    usable = min(len(data) // layout.size, _MAX_ENTRIES) * layout.size
    found = []
    for tag, value in layout.iter_unpack(data[:usable]):
        if tag == elf.DT_NULL:
            break
        found.append((tag, value))
    return found


def count_by_hash(space: AddressSpace, rva: int, mark: str, entry: int = 4) -> int:
    """Return the number of symbols that the System V hash table at *rva* is for.

    *entry* is 8 on Alpha and 64-bit s390, whose tables have wide entries.

    :raises MemoryReadError: the table is not there.
    """
    chains = int.from_bytes(space.read(rva + entry, entry), "big" if mark == ">" else "little")
    return min(chains, _MAX_SYMBOLS)


def count_by_gnu_hash(space: AddressSpace, rva: int, mark: str, word: int) -> int:
    """Return the number of symbols by the GNU hash table at *rva*: one more than the highest in a
    chain. Where nothing is hashed, undefined symbols behind the first may be missed.

    :raises MemoryReadError: the table is not there.
    """
    buckets: int
    first: int
    blooms: int
    buckets, first, blooms, _ = struct.unpack(mark + "4I", space.read(rva, 16))
    if buckets > _MAX_BUCKETS or blooms > _MAX_BUCKETS:
        raise MemoryReadError(rva)
    start = rva + 16 + blooms * word
    highest: int = max(
        struct.unpack(f"{mark}{buckets}I", space.read(start, 4 * buckets)), default=0
    )
    if highest < first:
        return min(first, _MAX_SYMBOLS)
    chain = start + 4 * buckets + 4 * (highest - first)
    for count, value in enumerate(_chain(space, chain, mark)):
        if value & 1:
            return min(highest + count + 1, _MAX_SYMBOLS)
    raise MemoryReadError(chain)


def _chain(space: AddressSpace, rva: int, mark: str) -> Iterator[int]:
    for position in range(rva, rva + 4 * _MAX_CHAIN, 4 * _CHAIN_BLOCK):
        data = space.read_some(position, 4 * _CHAIN_BLOCK)
        yield from struct.unpack(f"{mark}{len(data) // 4}I", data[: len(data) // 4 * 4])
        if len(data) < 4 * _CHAIN_BLOCK:
            return
