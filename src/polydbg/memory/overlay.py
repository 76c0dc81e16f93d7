"""A scratch copy over memory that cannot be written: edits live here, the dump stays as it is."""

from __future__ import annotations


class Overlay:
    """Bytes written by the user, applied over what is read."""

    def __init__(self) -> None:
        self._bytes: dict[int, int] = {}

    def write(self, address: int, data: bytes) -> None:
        """Remember *data* at *address*."""
        for i, byte in enumerate(data):
            self._bytes[address + i] = byte

    def apply(self, address: int, data: bytes) -> bytes:
        """Return *data*, read at *address*, with the edits in it."""
        if not self._bytes:
            return data
        changed = bytearray(data)
        if len(self._bytes) < len(data):
            for at, byte in self._bytes.items():
                if address <= at < address + len(data):
                    changed[at - address] = byte
        else:
            for i in range(len(data)):
                changed[i] = self._bytes.get(address + i, changed[i])
        return bytes(changed)

    @property
    def count(self) -> int:
        """Return how many bytes differ from the dump's own."""
        return len(self._bytes)
