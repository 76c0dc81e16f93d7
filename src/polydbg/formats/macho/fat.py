"""Universal (fat) files: which part is of which processor.

Facts: Apple's ``<mach-o/fat.h>``; its numbers are big-endian. Class files of Java begin with the
same number, followed by a version that is higher than the count of parts any universal file has.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.macho.header import processor
from polydbg.memory.space import Buffer

_LAYOUTS = {0xCAFEBABE: struct.Struct(">5I"), 0xCAFEBABF: struct.Struct(">IIQQII")}
_MAX_PARTS = 42  # Java's versions begin at 45


class FatPart(msgspec.Struct, frozen=True):
    """A part of *size* bytes at *offset*; *arch* as in :class:`MachHeader`."""

    arch: str
    offset: int
    size: int


def parse_fat(data: Buffer) -> tuple[FatPart, ...] | None:
    """Return the parts of a universal file that begin within *data*, ``None`` for other files.

    :raises FormatError: its list is cut short.
    """
    head = bytes(data[:8])
    layout = _LAYOUTS.get(int.from_bytes(head[:4], "big"))
    count = int.from_bytes(head[4:8], "big")
    if layout is None or len(head) < 8 or count > _MAX_PARTS:
        return None
    raw = bytes(data[8 : 8 + count * layout.size])
    if len(raw) < count * layout.size:
        raise FormatError("the list of a universal file's parts is cut short", offset=8 + len(raw))
    found = []
    for cpu, _, offset, size, *_ in layout.iter_unpack(raw):
        if offset < len(data):
            found.append(FatPart(processor(cpu), offset, min(size, len(data) - offset)))
    return tuple(found)
