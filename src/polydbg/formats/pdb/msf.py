"""The container of a PDB: a file system of numbered streams made of blocks (MSF 7.00).

Source: LLVM "The MSF File Format". A stream is a list of block numbers; reads coalesce runs of
consecutive blocks, so that a stream written in one go costs one slice of the mapped file.
"""

from __future__ import annotations

import struct
from array import array
from itertools import accumulate
from typing import Any, Protocol

from polydbg.base.errors import FormatError
from polydbg.base.pages import give_back
from polydbg.formats.identify import identify
from polydbg.formats.pdb.reading import U16, U32

MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_MAGIC_OLD = b"Microsoft C/C++ program database"  # 2.00, then JG
_SUPERBLOCK = struct.Struct("<IIIIII")
_ABSENT = 0xFFFFFFFF
MAX_STREAMS = 1 << 16  # their numbers have 16 bits
_BLOCK_SIZES = frozenset(512 << n for n in range(8))  # 512 bytes to 64 kB (/PDBPAGESIZE)


class Buffer(Protocol):
    """A mapped file or bytes: what the container needs of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> bytes: ...


def u32_array(data: bytes) -> array[int]:
    """Return little-endian 32-bit numbers as an array (trailing bytes are dropped)."""
    numbers = array("I")
    if numbers.itemsize != 4:  # no platform of ours, but the C type promises only 16 bits
        numbers = array("L")
    numbers.frombytes(data[: len(data) & ~3])
    if struct.pack("=H", 1) != b"\1\0":
        numbers.byteswap()
    return numbers


class Stream:
    """One stream: random access over its blocks. Sizes and offsets are in bytes."""

    __slots__ = ("_block_size", "_blocks", "_data", "index", "size")

    def __init__(
        self, data: Buffer, block_size: int, blocks: array[int], size: int, index: int
    ) -> None:
        self._data = data
        self._block_size = block_size
        self._blocks = blocks
        self.size = size
        self.index = index

    def read(self, offset: int, size: int) -> bytes:
        """Return *size* bytes from *offset*.

        :raises FormatError: when the range leaves the stream or the file.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(
                f"PDB stream {self.index} ends before offset {offset + size:#x}", offset=offset
            )
        block_size = self._block_size
        index, skip = divmod(offset, block_size)
        if skip + size <= block_size:
            if not size:
                return b""
            start = self._blocks[index] * block_size + skip
            piece = self._data[start : start + size]
        else:
            piece = self._read_runs(index, skip, size)
        if len(piece) != size:
            raise FormatError(f"PDB stream {self.index} lies past the end of the file")
        return piece

    def _read_runs(self, index: int, skip: int, size: int) -> bytes:
        block_size, blocks = self._block_size, self._blocks
        last = index + (skip + size - 1) // block_size
        pieces = []
        while size > 0:
            first = block = blocks[index]
            while index < last and blocks[index + 1] == block + 1:
                index += 1
                block += 1
            start = first * block_size + skip
            count = min(size, (block + 1) * block_size - start)
            pieces.append(self._data[start : start + count])
            size -= count
            skip = 0
            index += 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_once(self, offset: int, size: int) -> bytes:
        """Return what :meth:`read` does, for passes over much: the file's pages do not stay in
        memory."""
        data = self.read(offset, size)
        if size:
            block_size = self._block_size
            last = (offset + size - 1) // block_size
            at = offset // block_size
            while at <= last:
                first = at
                while at < last and self._blocks[at + 1] == self._blocks[at] + 1:
                    at += 1
                start = self._blocks[first] * block_size
                give_back(self._data, start, start + (at - first + 1) * block_size)
                at += 1
        return data

    def all(self) -> bytes:
        """Return the whole stream."""
        return self.read(0, self.size)

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[Any, ...]:
        """Return the fields of *layout* at *offset*; FormatError past the end."""
        return layout.unpack(self.read(offset, layout.size))

    def u16(self, offset: int) -> int:
        """Return the 16-bit number at *offset*; FormatError past the end."""
        return int(U16.unpack(self.read(offset, 2))[0])

    def u32(self, offset: int) -> int:
        """Return the 32-bit number at *offset*; FormatError past the end."""
        return int(U32.unpack(self.read(offset, 4))[0])

    def u32_array(self, offset: int, count: int) -> array[int]:
        """Return *count* 32-bit numbers from *offset*."""
        return u32_array(self.read(offset, count * 4))


def refuse_other_formats(head: bytes) -> None:
    """Refuse by name what is called ``.pdb`` and is none of ours. *head*: the first 64 bytes."""
    if head.startswith(MAGIC):
        return
    if head.startswith(b"BSJB"):
        raise FormatError(
            "this is a portable PDB of .NET (BSJB), which describes managed code only",
            identifier="pdb.portable",
        )
    if head.startswith(_MAGIC_OLD):
        raise FormatError(
            "this is a PDB of format 2.00 (JG, Visual C++ 6 or older), which is not supported",
            identifier="pdb.old",
        )
    if head.startswith(b"MSCF"):
        raise FormatError(
            "this is a cabinet (compressed .pd_), not a PDB; expand it first",
            identifier="pdb.compressed",
        )
    if head.startswith(b"MODULE "):
        raise FormatError(
            "this is a Breakpad symbol file (text, MODULE ...), not a PDB",
            identifier="pdb.breakpad",
        )
    kind = identify(head)
    looks = f" (it looks like {kind.name})" if kind and "PDB" not in kind.name else ""
    raise FormatError(f"this is not a PDB: the MSF 7.00 magic is missing{looks}", offset=0)


def _refuse_cut(size: int, block_count: int, block_size: int) -> None:
    """Refuse a file whose last block, as its header counts them, is not there at all."""
    if size <= (block_count - 1) * block_size:
        raise FormatError(
            f"the file is cut: it has {size} bytes, its header says {block_count * block_size}",
            offset=size,
            hint="copy or download it again",
            identifier="format.truncated",
        )


class Msf:
    """The directory of streams."""

    def __init__(self, data: Buffer) -> None:
        """Read the directory of *data*.

        :raises FormatError: for another format, or a damaged superblock or directory.
        """
        refuse_other_formats(data[0:64])
        head = data[0 : len(MAGIC) + _SUPERBLOCK.size]
        if len(head) < len(MAGIC) + _SUPERBLOCK.size:
            raise FormatError("the PDB ends within its superblock", offset=len(head))
        fields = _SUPERBLOCK.unpack_from(head, len(MAGIC))
        block_size, free_map, self.block_count, directory_size, _, map_block = fields
        if block_size not in _BLOCK_SIZES:
            raise FormatError(f"the PDB has a block size of {block_size}", offset=len(MAGIC))
        if free_map not in (1, 2):
            raise FormatError(f"the PDB has its free block map at {free_map}", offset=36)
        if directory_size > len(data):
            raise FormatError("the stream directory is larger than the PDB", offset=44)
        _refuse_cut(len(data), self.block_count, block_size)
        self._data = data
        self.block_size = block_size
        directory = self._read_directory(directory_size, map_block)
        count = directory[0] if directory else 0
        if count > MAX_STREAMS:
            raise FormatError(f"the PDB claims {count} streams, more than {MAX_STREAMS}")
        if count + 1 > len(directory):
            raise FormatError("the stream directory ends within its sizes")
        self._directory = directory
        self._sizes = [0 if size == _ABSENT else size for size in directory[1 : count + 1]]
        counts = ((size + block_size - 1) // block_size for size in self._sizes)
        self._starts = list(accumulate(counts, initial=count + 1))

    def _read_directory(self, size: int, map_block: int) -> array[int]:
        block_size = self.block_size
        count = (size + block_size - 1) // block_size
        start = map_block * block_size
        blocks = u32_array(self._data[start : start + count * 4])
        if len(blocks) != count:
            raise FormatError("the map of directory blocks lies past the end of the PDB")
        return u32_array(Stream(self._data, block_size, blocks, size, -1).all())

    @property
    def stream_count(self) -> int:
        return len(self._sizes)

    def size_of(self, index: int) -> int:
        """Return a stream's size in bytes; 0 for one that does not exist."""
        return self._sizes[index] if 0 <= index < len(self._sizes) else 0

    def stream(self, index: int) -> Stream:
        """Return a stream; one that does not exist is empty (0xFFFF stands for "none").

        :raises FormatError: when the directory ends before the stream's blocks.
        """
        size = self.size_of(index)
        if size == 0:
            return Stream(self._data, self.block_size, array("I"), 0, index)
        if size > len(self._data):
            raise FormatError(f"PDB stream {index} is larger than the file")
        start, end = self._starts[index], self._starts[index + 1]
        if end > len(self._directory):
            raise FormatError(f"the stream directory ends before the blocks of stream {index}")
        return Stream(self._data, self.block_size, self._directory[start:end], size, index)
