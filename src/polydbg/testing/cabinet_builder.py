"""Writes cabinets for tests the way makecab does: one folder, checksums, stored or MSZIP.

Shares no code with the reader; the checksum is the loop of [MS-CAB].
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

LZX = 0x1503


def cabinet(
    files: bytes | Mapping[str, bytes], *, method: int = 1, length: int | None = None
) -> bytes:
    """Return a cabinet of *files*, or of one file ``x.pdb``; *method* is 0 stored, 1 MSZIP,
    0x1503 LZX (of blocks that are not compressed; at most 32 KiB in all).

    *length* is what the first file's record says instead of the truth.
    """
    members = {"x.pdb": files} if isinstance(files, bytes) else files
    blocks, count = _blocks(b"".join(members.values()), method)
    records, skip = b"", 0
    for name, data in members.items():
        size = len(data) if length is None or skip else length
        records += struct.pack("<IIHHHH", size, skip, 0, 0, 0, 0x80) + name.encode() + b"\0"
        skip += len(data)
    data_at = 36 + 8 + len(records)
    sizes = (0, data_at + len(blocks), 0, 44, 0, 3, 1, 1, len(members), 0, 0, 0)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", *sizes)
    return head + struct.pack("<IHH", data_at, count, method) + records + blocks


def _blocks(data: bytes, method: int) -> tuple[bytes, int]:
    blocks, window, count = b"", b"", 0
    for at in range(0, len(data), 0x8000):
        part = data[at : at + 0x8000]
        packed = part
        if method == 1:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=window)
            packed = b"CK" + packer.compress(part) + packer.flush()
        elif method == LZX:
            packed = _lzx(part)
        window = part
        sizes = struct.pack("<HH", len(packed), len(part))
        blocks += struct.pack("<I", _checksum(packed, _checksum(sizes, 0))) + sizes + packed
        count += 1
    return blocks, count


def _lzx(data: bytes) -> bytes:
    """Return a stream of one block that is not compressed: [MS-PATCH], "LZX DELTA compression".

    One bit 0 (no translation of calls), three bits 3 (uncompressed), 24 bits of size, up to the
    next word; three repeated offsets; the bytes.
    """
    bits = (3 << 28 - 4) | len(data)
    head = struct.pack("<HH", (bits << 4) >> 16, (bits << 4) & 0xFFFF)
    return head + struct.pack("<III", 1, 1, 1) + data + bytes(len(data) & 1)


def _checksum(data: bytes, seed: int) -> int:
    at = 0
    while len(data) - at >= 4:
        seed ^= int.from_bytes(data[at : at + 4], "little")
        at += 4
    return seed ^ int.from_bytes(data[at:], "big")
