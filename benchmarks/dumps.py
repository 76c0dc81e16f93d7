"""Writes the dumps that the benchmarks need, without Windows.

Layouts: MINIDUMP_HEADER, MINIDUMP_DIRECTORY and the stream structures of Microsoft's
minidumpapiset.h; the x64 CONTEXT of winnt.h.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

THREAD_LIST, MEMORY_LIST, MEMORY64_LIST = 3, 5, 9
WITH_FULL_MEMORY = 2
MIB = 1 << 20

_HEADER = struct.Struct("<4sIIIIIQ")
_DIRECTORY = struct.Struct("<III")

# CONTEXT (x64): ContextFlags at 0x30, segments 0x38, EFlags 0x44, Rax..R15 from 0x78, Rip 0xf8.
_CONTEXT_SIZE = 0x4D0
_CONTEXT_FLAGS = 0x10000B
GENERAL = (
    *("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)


@dataclass(frozen=True, slots=True)
class Crash:
    """One thread that wrote to ``address``: its registers and the bytes of its stack."""

    registers: dict[str, int]
    stack_base: int
    stack: bytes
    address: int


@dataclass(frozen=True, slots=True)
class Module:
    """What the module list says of an image; ``codeview`` is its CV_INFO_PDB70 record."""

    path: str
    base: int
    size: int
    checksum: int
    timestamp: int
    codeview: bytes


class _Writer:
    """A file image that grows, remembering where each part went."""

    def __init__(self, reserved: int) -> None:
        self.data = bytearray(reserved)

    def add(self, content: bytes) -> int:
        self.data += bytes(-len(self.data) % 8)
        position = len(self.data)
        self.data += content
        return position


def _context(registers: dict[str, int]) -> bytes:
    context = bytearray(_CONTEXT_SIZE)
    struct.pack_into("<II", context, 0x30, _CONTEXT_FLAGS, 0x1F80)
    struct.pack_into("<6HI", context, 0x38, 0x33, 0x2B, 0x2B, 0x53, 0x2B, 0x2B, 0x10246)
    struct.pack_into("<17Q", context, 0x78, *(registers[name] for name in GENERAL))
    return bytes(context)


def write_crash_dump(path: Path, module: Module, crash: Crash) -> None:
    """A small dump of one module and one thread, as MiniDumpNormal would hold."""
    streams: list[tuple[int, int, int]] = []
    writer = _Writer(_HEADER.size + 5 * _DIRECTORY.size)

    def stream(kind: int, content: bytes) -> None:
        streams.append((kind, len(content), writer.add(content)))

    context = writer.add(_context(crash.registers))
    stack = writer.add(crash.stack)
    memory = struct.pack("<QII", crash.stack_base, len(crash.stack), stack)
    empty = writer.add(struct.pack("<IH", 0, 0))
    # Processor AMD64, level, revision; one CPU, product type workstation; Windows NT 10.0.19045.
    system = struct.pack("<HHHBBIIIIIHHI", 9, 6, 0, 1, 1, 10, 0, 19045, 2, empty, 0, 0, 0)
    stream(7, system + bytes(20))
    name = module.path.encode("utf-16-le")
    name_at = writer.add(struct.pack("<I", len(name)) + name + b"\0\0")
    codeview = writer.add(module.codeview)
    head = (module.base, module.size, module.checksum, module.timestamp, name_at)
    stream(
        4,
        struct.pack("<I", 1)
        + struct.pack("<QIIII", *head)
        + bytes(52)
        + struct.pack("<IIIIQQ", len(module.codeview), codeview, 0, 0, 0, 0),
    )
    thread = struct.pack("<IIIIQ", 0x1234, 0, 0, 0, 0x7FF0000000)
    stream(3, struct.pack("<I", 1) + thread + memory + struct.pack("<II", _CONTEXT_SIZE, context))
    stream(MEMORY_LIST, struct.pack("<I", 1) + memory)
    record = struct.pack("<IIQQII", 0xC0000005, 0, 0, crash.registers["rip"], 2, 0)
    record += struct.pack("<15Q", 1, crash.address, *([0] * 13))
    stream(6, struct.pack("<II", 0x1234, 0) + record + struct.pack("<II", _CONTEXT_SIZE, context))

    header = _HEADER.pack(b"MDMP", 0xA793, len(streams), _HEADER.size, 0, 0x6923C000, 0)
    directory = b"".join(_DIRECTORY.pack(*entry) for entry in streams)
    writer.data[: len(header) + len(directory)] = header + directory
    path.write_bytes(writer.data)


# -- a full-memory dump made of a small one -------------------------------------------------------


def heap_blocks(total: int, needle: bytes, places: Sequence[int]) -> Iterator[bytes]:
    """``total`` bytes of heap in blocks of 1 MiB, ``needle`` at each offset of ``places``.

    A needle may lie across two blocks.

    The bytes look like data: a quarter random, the rest pointers, text and zeros. No block holds
    the needle by chance (it has bytes that the blocks never have in that order).
    """
    source = random.Random(20261124)
    parts = []
    for _ in range(MIB // 256):
        pointers = [0x1_4000_0000 + source.randrange(1 << 28) for _ in range(8)]
        numbers = (source.randrange(10**8), source.randrange(10**8))
        text = b"customer %08d, order %08d, paid in full" % numbers
        parts += [
            source.randbytes(64),
            struct.pack("<8Q", *pointers),
            text.ljust(64, b"\0"),
            bytes(64),
        ]
    pattern = b"".join(parts)[:MIB].ljust(MIB, b"\0")
    for start in range(0, total, MIB):
        block = bytearray(pattern)
        struct.pack_into("<QQ", block, 0, start, ~start & (1 << 64) - 1)
        for place in places:
            low, high = max(place, start), min(place + len(needle), start + MIB)
            if low < high:
                block[low - start : high - start] = needle[low - place : high - place]
        yield bytes(block)


def write_full_dump(
    small: Path, path: Path, heap_base: int, heap: Iterator[bytes], heap_size: int
) -> None:
    """The dump ``small`` with its memory list turned into a Memory64 list and a heap added.

    Everything else stays as it is, so both dumps answer every question about the crash alike.
    """
    data = bytearray(small.read_bytes())
    signature, version, count, directory, checksum, stamp, flags = _HEADER.unpack_from(data)
    position = stream_at = 0
    for index in range(count):
        kind, _, rva = _DIRECTORY.unpack_from(data, directory + index * _DIRECTORY.size)
        if kind == MEMORY_LIST:
            position, stream_at = directory + index * _DIRECTORY.size, rva
    (ranges,) = struct.unpack_from("<I", data, stream_at)
    parts = [(heap_base, heap_size, b"")]
    for index in range(ranges):
        base, size, rva = struct.unpack_from("<QII", data, stream_at + 4 + 16 * index)
        parts.append((base, size, bytes(data[rva : rva + size])))
    parts.sort()
    data += bytes(-len(data) % 8)
    stream = len(data)
    payload = stream + 16 + 16 * len(parts)
    data += struct.pack("<QQ", len(parts), payload)
    for base, size, _ in parts:
        data += struct.pack("<QQ", base, size)
    _DIRECTORY.pack_into(data, position, MEMORY64_LIST, 16 + 16 * len(parts), stream)
    flags |= WITH_FULL_MEMORY
    _HEADER.pack_into(data, 0, signature, version, count, directory, checksum, stamp, flags)
    with path.open("wb") as file:
        file.write(data)
        for base, _, content in parts:
            if base == heap_base:
                file.writelines(heap)
            else:
                file.write(content)


def write_many_threads(small: Path, path: Path, count: int) -> None:
    """Write *small* with *count* threads: its own ones over and over, each under an id of its own.

    The new thread list stands behind the file's end; contexts and stacks are shared.
    """
    data = bytearray(small.read_bytes())
    _, _, streams, directory, *_ = _HEADER.unpack_from(data)
    for index in range(streams):
        at = directory + index * _DIRECTORY.size
        kind, _, rva = _DIRECTORY.unpack_from(data, at)
        if kind == THREAD_LIST:
            break
    else:
        raise ValueError(f"{small} has no thread list")
    own = int.from_bytes(data[rva : rva + 4], "little")
    entries = [bytes(data[rva + 4 + 48 * i : rva + 52 + 48 * i]) for i in range(own)]
    listed = struct.pack("<I", count)
    for index in range(count):
        entry = entries[index % own]
        ident = entry[:4] if index < own else struct.pack("<I", 0x10000 + 4 * index)
        listed += ident + entry[4:]
    data += bytes(-len(data) % 8)
    _DIRECTORY.pack_into(data, at, THREAD_LIST, len(listed), len(data))
    path.write_bytes(data + listed)
