"""Records of an executable image: its sections, its exports, the name of its debug file."""

from __future__ import annotations

import msgspec

from polydbg.base.identifiers import DebugId


class Section(msgspec.Struct, frozen=True):
    """A section: *rva* and *size* in memory, both in bytes; *characteristics* as in the header."""

    name: str
    rva: int
    size: int
    file_offset: int
    file_size: int
    characteristics: int


class Export(msgspec.Struct, frozen=True):
    """An export; *name* is ``None`` with an ordinal only, *forwarder* ``DLL.Name`` or ``None``."""

    name: str | None
    ordinal: int
    rva: int
    forwarder: str | None


class CodeViewRecord(msgspec.Struct, frozen=True):
    """Where the linker put the debug file: its id and the path it wrote."""

    debug_id: DebugId
    path: str
    signature: str  # "RSDS", "NB10"
