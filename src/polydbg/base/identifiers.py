"""Keys that tie an image to its files: the debug id of a PDB, the code id of a PE image."""

from __future__ import annotations

import msgspec


class DebugId(msgspec.Struct, frozen=True):
    """GUID and age of a debug file. *guid* is 32 upper-case hex digits in display order."""

    guid: str
    age: int

    @classmethod
    def from_guid_bytes(cls, data: bytes, age: int) -> DebugId:
        """Return the id for the 16 bytes of a GUID as Windows stores it (first three fields LE)."""
        text = (
            data[3::-1].hex() + data[5:3:-1].hex() + data[7:5:-1].hex() + data[8:16].hex()
        ).upper()
        return cls(text, age)

    @property
    def is_null(self) -> bool:
        """Tell whether the GUID is all zeros: what writers store where they have none."""
        return not self.guid.strip("0")

    @property
    def key(self) -> str:
        """Return the symbol-store key: GUID digits, then the age in hex without leading zeros."""
        return f"{self.guid}{self.age:X}"

    @property
    def braced(self) -> str:
        """Return ``{8-4-4-4-12}``, the form of ``!lmi``."""
        g = self.guid
        return f"{{{g[:8]}-{g[8:12]}-{g[12:16]}-{g[16:20]}-{g[20:]}}}"


class CodeId(msgspec.Struct, frozen=True):
    """Timestamp and size of a PE image: the store key of images."""

    timestamp: int
    size: int

    @property
    def key(self) -> str:
        return f"{self.timestamp:08X}{self.size:x}"
