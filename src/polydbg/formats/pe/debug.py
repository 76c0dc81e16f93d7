"""The debug directory of a PE image and its CodeView record.

Layout: Microsoft, "PE Format", section "The .debug Section"; RSDS and NB10 as in LLVM's
``llvm/include/llvm/DebugInfo/CodeView/CVDebugRecord.h``.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.pe.header import DataDirectory
from polydbg.memory.space import AddressSpace

DEBUG_TYPE_CODEVIEW: Final = 2
DEBUG_TYPE_REPRO: Final = 16

DEBUG_TYPE_NAMES: Final = {
    0: "UNKNOWN",
    1: "COFF",
    2: "CODEVIEW",
    3: "FPO",
    4: "MISC",
    5: "EXCEPTION",
    6: "FIXUP",
    7: "OMAP_TO_SRC",
    8: "OMAP_FROM_SRC",
    9: "BORLAND",
    11: "CLSID",
    12: "VC_FEATURE",
    13: "POGO",
    14: "ILTCG",
    15: "MPX",
    16: "REPRO",
    17: "EMBEDDED_PDB",
    19: "PDBCHECKSUM",
    20: "EX_DLLCHARACTERISTICS",
}
"""Names of debug directory types (IMAGE_DEBUG_TYPE_*)."""

_MAX_ENTRIES = 64
_ENTRY = struct.Struct("<IIHHIIII")


class DebugEntry(msgspec.Struct, frozen=True):
    """A debug directory entry: *rva* is 0 when the data is only in the file, at *file_offset*."""

    characteristics: int
    timestamp: int
    version: tuple[int, int]
    type: int
    size: int
    rva: int
    file_offset: int

    @property
    def type_name(self) -> str:
        return DEBUG_TYPE_NAMES.get(self.type, f"{self.type}")


class CodeViewData(msgspec.Struct, frozen=True):
    """What a CodeView record says. For NB10 the id's GUID is the signature's 8 hex digits."""

    signature: str  # "RSDS" or "NB10"
    debug_id: DebugId
    path: str


def parse_debug_directory(space: AddressSpace, directory: DataDirectory) -> tuple[DebugEntry, ...]:
    """Return the entries of the debug directory.

    :raises FormatError: the size is out of range.
    :raises MemoryReadError: the table is not there.
    """
    if not directory:
        return ()
    count = directory.size // _ENTRY.size
    if count > _MAX_ENTRIES:
        raise FormatError(f"{count} debug entries are too many", offset=directory.rva)
    data = space.read(directory.rva, count * _ENTRY.size)
    return tuple(
        DebugEntry(flags, timestamp, (major, minor), kind, size, rva, offset)
        for flags, timestamp, major, minor, kind, size, rva, offset in _ENTRY.iter_unpack(data)
    )


def parse_codeview(data: bytes) -> CodeViewData | None:
    """Return what a CodeView record says, ``None`` for one that names no debug file.

    :raises FormatError: an RSDS or NB10 record is cut short.
    """
    signature = data[:4]
    if signature == b"RSDS":
        if len(data) < 24:
            raise FormatError("RSDS record is cut short")
        debug_id = DebugId.from_guid_bytes(data[4:20], int.from_bytes(data[20:24], "little"))
        return CodeViewData("RSDS", debug_id, _path(data[24:]))
    if signature == b"NB10":
        if len(data) < 16:
            raise FormatError("NB10 record is cut short")
        _offset, stamp, age = struct.unpack_from("<III", data, 4)
        return CodeViewData("NB10", DebugId(f"{stamp:08X}", age), _path(data[16:]))
    return None


def _path(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")
