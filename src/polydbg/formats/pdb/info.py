"""Stream 1: identity of the PDB, its named streams and its feature codes; and ``/names``."""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.msf import MAX_STREAMS, Msf, Stream
from polydbg.formats.pdb.reading import cstring, text, u32, unpack

_HEADER = struct.Struct("<III16s")
_FEATURE_FASTLINK = 0x494E494D
_NAMES_SIGNATURE = 0xEFFEEFFE
_VERSION_VC70 = 20000404
_MAX_FEATURES = 64
_MAX_NAME = 1 << 16
_MAX_STREAM_NAME = 1 << 10


class PdbInfo(msgspec.Struct, frozen=True):
    """Identity: *guid* as stored (16 bytes). *age* counts writes; images name the age of DBI."""

    version: int
    signature: int
    age: int
    guid: bytes
    named_streams: dict[str, int]
    features: tuple[int, ...]

    @property
    def is_fastlink(self) -> bool:
        """Tell whether the PDB is partial: symbols stay in the object files (/DEBUG:FASTLINK)."""
        return _FEATURE_FASTLINK in self.features


def _bit_words(data: bytes, offset: int) -> tuple[bytes, int]:
    count = u32(data, offset)
    end = offset + 4 + count * 4
    if end > len(data):
        raise FormatError("a bit vector of the PDB's named streams ends early", offset=offset)
    return data[offset + 4 : end], end


def _named_streams(data: bytes, offset: int) -> tuple[dict[str, int], int]:
    size = u32(data, offset)
    offset += 4
    names = data[offset : offset + size]
    offset += size
    count = u32(data, offset)
    offset += 8  # the capacity follows
    _, offset = _bit_words(data, offset)  # present
    _, offset = _bit_words(data, offset)  # deleted
    if count > MAX_STREAMS or count * 8 > len(data) - offset:
        raise FormatError("the PDB's map of named streams ends early", offset=offset)
    streams = {}
    for position in range(offset, offset + count * 8, 8):
        at = u32(data, position)
        name = text(cstring(names, at, at + _MAX_STREAM_NAME))
        streams[name] = u32(data, position + 4)
    return streams, offset + count * 8


def read_info(msf: Msf) -> PdbInfo:
    """Read stream 1.

    :raises FormatError: when it is damaged or of a version before Visual C++ 7.
    """
    data = msf.stream(1).all()
    version, signature, age, guid = unpack(_HEADER, data, 0)
    if version < _VERSION_VC70:
        raise FormatError(
            f"this PDB of version {version} has no GUID (NB10, Visual C++ 6 or older), "
            "which is not supported",
            identifier="pdb.old",
        )
    named, offset = _named_streams(data, _HEADER.size)
    offset += 4  # the next free name index
    end = min(len(data) - 3, offset + _MAX_FEATURES * 4)
    features = tuple(u32(data, position) for position in range(offset, end, 4))
    return PdbInfo(version, signature, age, guid, named, features)


class NameTable:
    """The string table ``/names``: names by their offset."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._size = 0
        if stream.size >= 12 and stream.u32(0) == _NAMES_SIGNATURE:
            self._size = min(stream.u32(8), stream.size - 12)

    def name(self, offset: int) -> str:
        """Return the name at *offset*, "" outside of the table."""
        if not 0 <= offset < self._size:
            return ""
        for length in (256, _MAX_NAME):
            available = min(length, self._size - offset)
            piece = self._stream.read(12 + offset, available)
            end = piece.find(b"\0")
            if end >= 0 or available < length:
                return text(piece[: end if end >= 0 else available])
        return ""
