"""Writes ELF and Mach-O cores for tests. Shares no layout with the readers."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field


@dataclass
class ElfCoreBuilder:
    """Notes are (owner, type, descriptor), segments (address, bytes, size in memory, flags)."""

    is_64: bool = True
    is_big: bool = False
    machine: int = 62
    os_abi: int = 0
    notes: list[tuple[str, int, bytes]] = field(default_factory=list)
    segments: list[tuple[int, bytes, int, int]] = field(default_factory=list)
    note_align: int = 4

    @property
    def mark(self) -> str:
        return ">" if self.is_big else "<"

    def words(self, *values: int) -> bytes:
        """Return words of the processor's size."""
        limit = 1 << (64 if self.is_64 else 32)
        letter = "Q" if self.is_64 else "I"
        return struct.pack(f"{self.mark}{len(values)}{letter}", *(v % limit for v in values))

    def numbers(self, *values: int) -> bytes:
        """Return 32-bit numbers."""
        return struct.pack(f"{self.mark}{len(values)}I", *(v % (1 << 32) for v in values))

    def note(self, owner: str, kind: int, data: bytes) -> ElfCoreBuilder:
        self.notes.append((owner, kind, data))
        return self

    def memory(
        self, address: int, data: bytes, size: int | None = None, flags: int = 6
    ) -> ElfCoreBuilder:
        self.segments.append((address, data, len(data) if size is None else size, flags))
        return self

    def thread(self, ident: int, signal: int, *registers: int) -> ElfCoreBuilder:
        """Add ``NT_PRSTATUS`` of Linux with *registers* in its order."""
        head = self.numbers(signal, 0, 0) + struct.pack(f"{self.mark}HH", signal, 0)
        if self.is_64:
            head += self.words(0, 0) + self.numbers(ident, 0, 0, 0) + bytes(64)
        else:
            head += self.words(0, 0) + self.numbers(ident, 0, 0, 0) + bytes(32)
        return self.note("CORE", 1, head + self.words(*registers) + self.numbers(0, 0))

    def signal_info(self, number: int, code: int, *rest: int) -> ElfCoreBuilder:
        """Add ``NT_SIGINFO``; *rest* are the 32-bit numbers of the union."""
        data = self.numbers(number, 0, code) + (self.numbers(0) if self.is_64 else b"")
        return self.note("CORE", 0x53494749, (data + self.numbers(*rest)).ljust(128, b"\0"))

    def files(self, *rows: tuple[int, int, int, str]) -> ElfCoreBuilder:
        """Add ``NT_FILE``: rows of start, end, offset in pages, path."""
        data = self.words(len(rows), 0x1000)
        data += b"".join(self.words(start, end, offset) for start, end, offset, _ in rows)
        return self.note(
            "CORE", 0x46494C45, data + b"".join(path.encode() + b"\0" for *_, path in rows)
        )

    def auxiliary(self, **values: int) -> ElfCoreBuilder:
        """Add ``NT_AUXV``: ``at3=0x400040`` and so on."""
        pairs = [n for name, value in values.items() for n in (int(name[2:]), value)]
        return self.note("CORE", 6, self.words(*pairs, 0, 0))

    def build(self) -> bytes:
        head_size, entry_size = (64, 56) if self.is_64 else (52, 32)
        notes = b"".join(self._note(*each) for each in self.notes)
        at = head_size + entry_size * (len(self.segments) + 1)
        table = self._entry(4, at, 0, len(notes), 0, 4, self.note_align)
        at += len(notes)
        body = b""
        for address, data, size, flags in self.segments:
            table += self._entry(1, at + len(body), address, len(data), size, flags, 0x1000)
            body += data
        ident = b"\x7fELF" + bytes([2 if self.is_64 else 1, 2 if self.is_big else 1, 1])
        head = ident + bytes([self.os_abi]) + bytes(8)
        head += struct.pack(self.mark + "HHI", 4, self.machine, 1)
        head += self.words(0, head_size, 0) + self.numbers(0)
        head += struct.pack(
            self.mark + "6H", head_size, entry_size, len(self.segments) + 1, 0, 0, 0
        )
        return head + table + notes + body

    def _note(self, owner: str, kind: int, data: bytes) -> bytes:
        name = owner.encode() + b"\0"
        head = self.numbers(len(name), len(data), kind) + name
        return self._padded(self._padded(head) + data)

    def _padded(self, data: bytes) -> bytes:
        return data + bytes(-len(data) % self.note_align)

    def _entry(
        self, kind: int, offset: int, address: int, size: int, room: int, flags: int, align: int
    ) -> bytes:
        if self.is_64:
            rest = self.words(offset, address, 0, size, room, align)
            return self.numbers(kind, flags) + rest
        return self.numbers(kind, offset, address, 0, size, room, flags, align)


@dataclass
class MachCoreBuilder:
    """A 64-bit core: threads are load-command states (flavor, bytes), segments (address, bytes),
    notes (owner, bytes)."""

    cpu: int = 0x01000007
    threads: list[list[tuple[int, bytes]]] = field(default_factory=list)
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    notes: list[tuple[str, bytes]] = field(default_factory=list)

    def build(self) -> bytes:
        commands = []
        for states in self.threads:
            body = b"".join(
                struct.pack("<II", flavor, len(data) // 4) + data for flavor, data in states
            )
            commands.append(struct.pack("<II", 4, 8 + len(body)) + body)
        size = sum(map(len, commands)) + 72 * len(self.segments) + 40 * len(self.notes)
        at = 32 + size
        body = b""
        for address, data in self.segments:
            place = (address, len(data), at + len(body), len(data))
            commands.append(struct.pack("<II16s4Q4I", 0x19, 72, b"", *place, 7, 5, 0, 0))
            body += data
        for owner, data in self.notes:
            commands.append(
                struct.pack("<II16sQQ", 0x31, 40, owner.encode(), at + len(body), len(data))
            )
            body += data
        head = struct.pack("<8I", 0xFEEDFACF, self.cpu, 3, 4, len(commands), size, 0, 0)
        return head + b"".join(commands) + body


def mach_image(path: str, uuid: bytes, text_size: int = 0x1000, kind: int = 6) -> bytes:
    """Return the header of an image in memory: ``__TEXT``, its UUID, its name."""
    text = struct.pack("<II16sQQQQIIII", 0x19, 72, b"__TEXT", 0, text_size, 0, 0, 5, 5, 0, 0)
    name = path.encode() + bytes(8 - len(path) % 8)
    named = struct.pack("<6I", 0xD, 24 + len(name), 24, 0, 0, 0) + name
    commands = text + struct.pack("<II", 0x1B, 24) + uuid + named
    head = struct.pack("<8I", 0xFEEDFACF, 0x01000007, 3, kind, 3, len(commands), 0, 0)
    return (head + commands).ljust(text_size, b"\0")
