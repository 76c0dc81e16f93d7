"""Writes Mach-O files for tests, from a description of a few lines.

Shares no layout with the reader: what is written here follows ``<mach-o/loader.h>`` a second time.
Segments are laid out in the order they are added, a page or more each; ``__LINKEDIT`` with symbols,
strings, function starts and indirect symbols comes last.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from polydbg.testing.dwarf_builder import uleb

AMD64, X86, ARM64, ARM = 0x01000007, 7, 0x0100000C, 12
EXECUTE, DYLIB, DSYM = 2, 6, 10
CODE, STUBS, ZEROFILL = 0x80000400, 0x80000408, 1
LOCAL, PRIVATE, EXTERN = 0x0E, 0x1E, 0x0F
TEXT_BASE = 0x100000000
_PAGE = 0x1000


@dataclass
class _Section:
    name: str
    data: bytes
    flags: int
    first: int
    stub_size: int
    size: int


@dataclass
class _Segment:
    name: str
    protection: int
    sections: list[_Section] = field(default_factory=list)


@dataclass
class MachoBuilder:
    """Collects parts; :meth:`build` returns the bytes of the file.

    The header is in ``__TEXT`` at *base*, whose sections begin 0x400 bytes behind it. Offsets of
    :meth:`symbol`, *starts* and *entry* count from *base*.
    """

    cpu: int = AMD64
    type: int = EXECUTE
    base: int = TEXT_BASE
    uuid: bytes = bytes(range(1, 17))
    is_64: bool = True
    entry: int | None = None
    starts: list[int] = field(default_factory=list)
    split_info: bool = False
    linkedit_gap: int = 0
    encrypted: tuple[int, int] | None = None
    _segments: list[_Segment] = field(default_factory=lambda: [_Segment("__TEXT", 5)])
    _symbols: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    _indirect: list[int] = field(default_factory=list)

    def section(
        self,
        name: str,
        data: bytes = b"",
        *,
        segment: str = "__TEXT",
        protection: int = 3,
        flags: int = 0,
        first: int = 0,
        stub_size: int = 0,
        size: int | None = None,
    ) -> MachoBuilder:
        """Add a section, and its segment if it is new."""
        found = next((each for each in self._segments if each.name == segment), None)
        if found is None:
            found = _Segment(segment, protection)
            self._segments.append(found)
        room = len(data) if size is None else size
        found.sections.append(_Section(name, data, flags, first, stub_size, room))
        return self

    def symbol(
        self, name: str, offset: int, kind: int = EXTERN, section: int = 1, description: int = 0
    ) -> MachoBuilder:
        """Add a symbol with its linker name; *kind* is ``n_type``, *section* counts from 1."""
        self._symbols.append((name, offset, kind, section, description))
        return self

    def indirect(self, *indexes: int) -> MachoBuilder:
        self._indirect += indexes
        return self

    # -- layout ----------------------------------------------------------------------------

    def build(self) -> bytes:
        """Return the file."""
        body = bytearray()
        commands: list[bytes] = []
        address = self.base
        for segment in self._segments:
            start = len(body)
            at = 0x400 if segment.name == "__TEXT" else 0
            content = bytearray(at)
            headers = []
            for each in segment.sections:
                offset = 0 if each.flags & 0xFF == ZEROFILL else start + len(content)
                headers.append(self._section_header(segment, each, address + at, offset))
                if offset:
                    content += each.data
                at += each.size
            size = -(-max(at, 1) // _PAGE) * _PAGE
            content += bytes(-len(content) % _PAGE)
            filled = 0 if self.type == DSYM and segment.name == "__TEXT" else len(content)
            commands.append(
                self._segment_command(segment, address, size, start, min(filled, size), headers)
            )
            body += content
            address += size
        commands += self._link_edit(body, address + self.linkedit_gap)
        commands.append(struct.pack("<II", 0x1B, 24) + self.uuid)
        if self.entry is not None:
            commands.append(struct.pack("<IIQQ", 0x80000028, 24, self.entry, 0))
        if self.split_info:
            commands.append(struct.pack("<4I", 0x1E, 16, 0, 0))
        if self.encrypted is not None:
            start, length = self.encrypted
            commands.append(struct.pack("<6I", 0x2C, 24, start, length, 1, 0))
        joined = b"".join(commands)
        magic = 0xFEEDFACF if self.is_64 else 0xFEEDFACE
        head = struct.pack(
            "<7I", magic, self.cpu, 3, self.type, len(commands), len(joined), 0
        ) + bytes(4 if self.is_64 else 0)
        assert len(head) + len(joined) <= 0x400
        body[: len(head) + len(joined)] = head + joined
        return bytes(body)

    def _section_header(
        self, segment: _Segment, each: _Section, address: int, offset: int
    ) -> bytes:
        names = struct.pack("<16s16s", each.name.encode(), segment.name.encode())
        place = struct.pack("<QQ" if self.is_64 else "<II", address, each.size)
        rest = struct.pack("<7I", offset, 0, 0, 0, each.flags, each.first, each.stub_size)
        return names + place + rest + bytes(4 if self.is_64 else 0)

    def _segment_command(
        self,
        segment: _Segment,
        address: int,
        size: int,
        offset: int,
        filled: int,
        headers: list[bytes],
    ) -> bytes:
        place = struct.pack("<4Q" if self.is_64 else "<4I", address, size, offset, filled)
        mode = struct.pack("<4I", 7, segment.protection, len(headers), 0)
        body = segment.name.encode().ljust(16, b"\0") + place + mode + b"".join(headers)
        return struct.pack("<II", 0x19 if self.is_64 else 1, 8 + len(body)) + body

    def _link_edit(self, body: bytearray, address: int) -> list[bytes]:
        strings = bytearray(b" \0")
        symbols = bytearray()
        for name, offset, kind, section, description in self._symbols:
            layout = "<IBBHQ" if self.is_64 else "<IBBHI"
            value = self.base + offset if kind & 0x0E else 0
            symbols += struct.pack(layout, len(strings), kind, section, description, value)
            strings += name.encode() + b"\0"
        starts = bytearray()
        before = 0
        for each in self.starts:
            starts += uleb(each - before)
            before = each
        starts += b"\0" if self.starts else b""
        indirect = struct.pack(f"<{len(self._indirect)}I", *self._indirect)
        parts: list[bytes] = [bytes(symbols), bytes(starts), indirect]
        places = []
        start = at = len(body)
        for part in (*parts, bytes(strings)):
            places.append(at)
            body += part
            at = len(body)
        segment = _Segment("__LINKEDIT", 1)
        size = -(-max(at - start, 1) // _PAGE) * _PAGE
        commands = [self._segment_command(segment, address, size, start, at - start, [])]
        count = len(self._symbols)
        commands.append(struct.pack("<6I", 2, 24, places[0], count, places[3], len(strings)))
        commands.append(
            struct.pack("<20I", 0xB, 80, *(0,) * 12, places[2], len(self._indirect), 0, 0, 0, 0)
        )
        if self.starts:
            commands.append(struct.pack("<4I", 0x26, 16, places[1], len(starts)))
        return commands


def loaded(image: bytes, *, slide: int = 0) -> list[tuple[int, bytes]]:
    """Return address and contents of each segment of a 64-bit file as they lie in memory."""
    found = []
    at, count = 32, int.from_bytes(image[16:20], "little")
    for _ in range(count):
        kind, size = struct.unpack_from("<II", image, at)
        if kind == 0x19:
            address, room, offset, filled = struct.unpack_from("<4Q", image, at + 24)
            found.append((address + slide, image[offset : offset + filled].ljust(room, b"\0")))
        at += size
    return found


def universal(*parts: tuple[int, bytes]) -> bytes:
    """Return a universal file of (processor, file) parts."""
    head = struct.pack(">II", 0xCAFEBABE, len(parts))
    at = _PAGE
    body = b""
    for cpu, data in parts:
        head += struct.pack(">5I", cpu, 3, at + len(body), len(data), 12)
        body += data + bytes(-len(data) % _PAGE)
    return head.ljust(_PAGE, b"\0") + body
