"""Writes legacy user dumps (USERDUMP, USERDU64) for tests.

Shares no layout with the reader. The wide form follows a file of DbgEng, the narrow one the same
records with 32-bit pointers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

_MACHINES = {"amd64": 0x8664, "x86": 0x14C, "arm64": 0xAA64}


@dataclass
class UserDumpBuilder:
    """Threads are (id, TEB, context), modules (base, size, path), memory (address, bytes)."""

    arch: str = "amd64"
    version: tuple[int, int, int] = (10, 0, 17134)
    threads: list[tuple[int, int, bytes]] = field(default_factory=list)
    modules: list[tuple[int, int, str]] = field(default_factory=list)
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    event: tuple[int, int, int, int] = (0, 0, 0, 0)  # process, thread, code, address; 0: none
    parameters: tuple[int, ...] = ()
    counts: tuple[int, int, int] | None = None  # threads, modules, regions as the header says

    @property
    def is_wide(self) -> bool:
        return "64" in self.arch

    def build(self) -> bytes:
        """Return the file, its parts in the order of DbgEng."""
        pointer = "Q" if self.is_wide else "I"
        head_size = 0x60 if self.is_wide else 0x40
        event = self._event()
        regions = b"".join(self._region(start, len(data)) for start, data in self.memory)
        contexts = b"".join(context for _, _, context in self.threads)
        states = b"".join(
            struct.pack(f"<IIII{pointer}", ident, 1, 32, 0, teb) + bytes(56 if self.is_wide else 28)
            for ident, teb, _ in self.threads
        )
        modules = b"".join(
            struct.pack(f"<{pointer}II", base, size, len(name) + 1) + name.encode() + b"\0"
            for base, size, name in self.modules
        )
        memory = b"".join(data for _, data in self.memory)
        texts = "CRASH: OS SP\0Service Pack 1\0CRASH: Hotfixes\0none\0\0".encode("utf-16-le")
        at = head_size
        places = {}
        parts = {
            "event": event,
            "regions": regions,
            "contexts": contexts,
            "states": states,
            "modules": modules,
            "memory": memory,
            "texts": texts,
        }
        for name, data in parts.items():
            places[name] = at
            at += len(data)
        order = ("contexts", "modules", "memory", "regions", "event", "states", "texts")
        head = self._header() + struct.pack(f"<7{pointer}", *(places[name] for name in order))
        return head.ljust(head_size, b"\0") + b"".join(parts.values())

    def _header(self) -> bytes:
        major, minor, build = self.version
        counts = self.counts or (len(self.threads), len(self.modules), len(self.memory))
        magic = b"USERDU64" if self.is_wide else b"USERDUMP"
        numbers = (major, build << 16 | minor, _MACHINES[self.arch], *counts)
        return magic + struct.pack("<6I", *numbers)

    def _region(self, start: int, size: int) -> bytes:
        if self.is_wide:
            return struct.pack("<QQIIQIIII", start, start, 4, 0, size, 0x1000, 4, 0x20000, 0)
        return struct.pack("<7I", start, start, 4, size, 0x1000, 4, 0x20000)

    def _event(self) -> bytes:
        process, thread, code, address = self.event
        head = struct.pack("<III", 1 if code else 0, process, thread)
        values = [*self.parameters, *[0] * (15 - len(self.parameters))]
        count = len(self.parameters)
        if self.is_wide:
            record = struct.pack("<IIQQII15QI", code, 0, 0, address, count, 0, *values, 1)
            return head + bytes(4) + record
        return head + struct.pack("<5I15II", code, 0, 0, address, count, *values, 1)
