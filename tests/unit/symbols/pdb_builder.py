"""Builds small PDBs for tests: each part as bytes, put together to a file that our reader opens."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from polydbg.formats.pdb.gsi import hash_name
from polydbg.formats.pdb.msf import MAGIC

GUID = bytes(range(16))
BLOCK = 512


def record(kind: int, body: bytes) -> bytes:
    """A CodeView record, padded to 4 bytes."""
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<HH", len(body) + 2, kind) + body


def procedure(
    name: str, section: int, offset: int, size: int, body: bytes = b"", *, at: int
) -> bytes:
    """A function with the records of its scope; *at* is its offset in the module's stream."""
    head = struct.Struct("<IIIIIIIIHB")
    encoded = name.encode() + b"\0"
    start = record(0x1110, head.pack(0, 0, 0, size, 0, 0, 0, offset, section, 0) + encoded)
    end = at + len(start) + len(body)
    start = record(0x1110, head.pack(0, end, 0, size, 0, 0, 0, offset, section, 0) + encoded)
    return start + body + record(0x0006, b"")


def inline_site(function_id: int, annotations: bytes) -> bytes:
    return record(0x114D, struct.pack("<III", 0, 0, function_id) + annotations)


INLINE_END = record(0x114E, b"")


def public(name: str, section: int, offset: int, flags: int = 2) -> bytes:
    return record(0x110E, struct.pack("<IIH", flags, offset, section) + name.encode() + b"\0")


def data(name: str, section: int, offset: int, type_index: int = 0x74) -> bytes:
    return record(0x110D, struct.pack("<IIH", type_index, offset, section) + name.encode() + b"\0")


def reference(name: str, module: int, offset: int) -> bytes:
    return record(0x1125, struct.pack("<IIH", 0, offset, module + 1) + name.encode() + b"\0")


def lines(
    section: int, offset: int, size: int, rows: list[tuple[int, int]], file: int = 0
) -> bytes:
    """A line subsection with one block; rows are (offset, line)."""
    block = struct.pack("<III", file, len(rows), 12 + len(rows) * 8)
    block += b"".join(struct.pack("<II", at, line | 0x80000000) for at, line in rows)
    body = struct.pack("<IHHI", offset, section, 0, size) + block
    return struct.pack("<II", 0xF2, len(body)) + body


def checksums(*names: int) -> bytes:
    body = b"".join(struct.pack("<IBBH", name, 0, 0, 0) for name in names)
    return struct.pack("<II", 0xF4, len(body)) + body


def inlinees(*entries: tuple[int, int, int]) -> bytes:
    body = struct.pack("<I", 0) + b"".join(struct.pack("<III", *entry) for entry in entries)
    return struct.pack("<II", 0xF6, len(body)) + body


def types(records: list[bytes], first: int = 0x1000) -> bytes:
    """A type or id stream without a hash stream."""
    body = b"".join(records)
    head = struct.pack("<IIIII", 20040203, 56, first, first + len(records), len(body))
    return head + struct.pack("<HHIIiIiIiI", 0xFFFF, 0xFFFF, 4, 0x3FFFF, 0, 0, 0, 0, 0, 0) + body


def omap(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<II", *pair) for pair in pairs)


def sections(*places: tuple[int, int, int]) -> bytes:
    """Section headers from (rva, size, characteristics)."""
    return b"".join(
        struct.pack("<8sIIII12xI", b".s", size, rva, size, 0, flags) for rva, size, flags in places
    )


CODE = (0x1000, 0x1000, 0x60000020)
DATA = (0x2000, 0x1000, 0x40000040)


@dataclass
class Module:
    name: str
    symbols: bytes
    c13: bytes = b""


@dataclass
class PdbParts:
    """What a PDB is to hold; :meth:`build` puts it together."""

    modules: list[Module] = field(default_factory=list)
    contributions: list[tuple[int, int, int, int]] = field(default_factory=list)  # seg off size mod
    globals: list[bytes] = field(default_factory=list)
    publics: list[bytes] = field(default_factory=list)
    sections: bytes = sections(CODE, DATA)
    original_sections: bytes = b""
    omap_to: bytes = b""
    omap_from: bytes = b""
    names: list[str] = field(default_factory=list)
    tpi: bytes = b""
    ipi: bytes = b""
    thunks: tuple[int, int, int, int] = (0, 0, 0, 0)  # count size section offset
    features: tuple[int, ...] = (20140508,)
    age: int = 1
    dbi_age: int = 1
    flags: int = 0

    def name_offset(self, index: int) -> int:
        """Where a name stands in /names."""
        return 1 + sum(len(name) + 1 for name in self.names[:index])

    def build(self) -> bytes:
        fixed = [b"", b"", self.tpi, b"", self.ipi]
        streams = list(fixed)

        def add(content: bytes) -> int:
            if not content:
                return 0xFFFF
            streams.append(content)
            return len(streams) - 1

        buffer = b"\0" + b"".join(name.encode() + b"\0" for name in self.names)
        names = add(struct.pack("<III", 0xEFFEEFFE, 1, len(buffer)) + buffer)
        offsets, stream = self._records()
        symbols = add(stream)
        gsi = add(_hash(self.globals, offsets[: len(self.globals)]))
        psi = add(self._publics(offsets[len(self.globals) :]))
        headers = [add(part) for part in (self.omap_to, self.omap_from, self.sections)]
        original = add(self.original_sections)
        modules = b"".join(self._module(module, add) for module in self.modules)
        streams[1] = self._info(names)
        dbg = [0xFFFF, 0xFFFF, 0xFFFF, *headers, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, original]
        streams[3] = self._dbi(modules, gsi, psi, symbols, dbg)
        return msf(streams)

    def _records(self) -> tuple[list[int], bytes]:
        offsets, stream = [], b""
        for each in self.globals + self.publics:
            offsets.append(len(stream))
            stream += each
        return offsets, stream

    def _publics(self, offsets: list[int]) -> bytes:
        def place(offset: int) -> tuple[int, int]:
            each = self.publics[offsets.index(offset)]
            return int.from_bytes(each[12:14], "little"), int.from_bytes(each[8:12], "little")

        ordered = sorted(offsets, key=place)
        table = _hash(self.publics, offsets)
        address_map = b"".join(struct.pack("<I", offset) for offset in ordered)
        count, size, section, offset = self.thunks
        head = struct.pack(
            "<IIIIHHII", len(table), len(address_map), count, size, section, 0, offset, 0
        )
        return head + table + address_map

    def _module(self, module: Module, add: object) -> bytes:
        assert callable(add)
        symbols = struct.pack("<I", 4) + module.symbols
        number = add(symbols + module.c13)
        head = struct.pack(
            "<I28xHHIIIHHIII", 0, 0, number, len(symbols), 0, len(module.c13), *[0] * 5
        )
        text = head + module.name.encode() + b"\0\0"
        return text + b"\0" * (-len(text) % 4)

    def _info(self, names: int) -> bytes:
        head = struct.pack("<III", 20000404, 0, self.age) + GUID
        text = b"/names\0"
        head += struct.pack("<I", len(text)) + text
        head += struct.pack("<II", 1, 2) + struct.pack("<II", 1, 1) + struct.pack("<I", 0)
        head += struct.pack("<II", 0, names) + struct.pack("<I", 0)
        return head + b"".join(struct.pack("<I", each) for each in self.features)

    def _dbi(self, modules: bytes, gsi: int, psi: int, symbols: int, dbg: list[int]) -> bytes:
        table = struct.pack("<I", 0xF12EBA2D) + b"".join(
            struct.pack("<HHIIIHHII", section, 0, offset, size, 0, module, 0, 0, 0)
            for section, offset, size, module in self.contributions
        )
        # Every module lists every name.
        count, files = len(self.modules), len(self.names)
        sources = struct.pack("<HH", count, count * files)
        sources += struct.pack(f"<{2 * count}H", *[0] * count, *[files] * count)
        starts = [self.name_offset(index) - 1 for index in range(files)]
        sources += struct.pack(f"<{count * files}I", *starts * count)
        sources += b"".join(name.encode() + b"\0" for name in self.names)
        debug = struct.pack(f"<{len(dbg)}H", *dbg)
        head = struct.pack(
            "<iIIHHHHHHIIIIIIIIHHI",
            -1, 19990903, self.dbi_age, gsi, 0, psi, 0, symbols, 0,
            len(modules), len(table), 0, len(sources), 0, 0, len(debug), 0, self.flags, 0x8664, 0,
        )  # fmt: skip
        return head + modules + table + sources + debug


def _hash(records: list[bytes], offsets: list[int]) -> bytes:
    buckets: dict[int, list[int]] = {}
    for each, offset in zip(records, offsets, strict=True):
        name = each[14 : each.index(b"\0", 14)]
        buckets.setdefault(hash_name(name) % 4096, []).append(offset)
    entries, starts, bits = b"", b"", 0
    for number in sorted(buckets):
        bits |= 1 << number
        starts += struct.pack("<I", len(entries) // 8 * 12)
        for offset in buckets[number]:
            entries += struct.pack("<II", offset + 1, 1)
    tail = bits.to_bytes(516, "little") + starts
    return struct.pack("<IIII", 0xFFFFFFFF, 0xF12F091A, len(entries), len(tail)) + entries + tail


def msf(streams: list[bytes]) -> bytes:
    """An MSF file; blocks of a stream are written in reverse, so that none are in a row."""
    blocks: list[bytes] = [b"", b"\xff" * BLOCK, b"\xff" * BLOCK]
    numbers: list[int] = []
    for content in streams:
        pieces = [
            content[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(content), BLOCK)
        ]
        first = len(blocks)
        blocks += reversed(pieces)
        numbers += range(first + len(pieces) - 1, first - 1, -1)
    sizes = [len(content) for content in streams]
    directory = struct.pack(f"<I{len(sizes)}I{len(numbers)}I", len(sizes), *sizes, *numbers)
    first = len(blocks)
    count = (len(directory) + BLOCK - 1) // BLOCK
    blocks += [
        directory[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(directory), BLOCK)
    ]
    map_block = len(blocks)
    listed = struct.pack(f"<{count}I", *range(first, first + count))
    assert len(listed) <= BLOCK
    blocks.append(listed.ljust(BLOCK, b"\0"))
    head = MAGIC + struct.pack("<IIIIII", BLOCK, 1, len(blocks), len(directory), 0, map_block)
    blocks[0] = head.ljust(BLOCK, b"\0")
    return b"".join(blocks)
