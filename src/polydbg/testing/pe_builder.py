"""Writes PE images for tests, from a description of a few lines.

Shares no layout with the reader: what is written here follows Microsoft's "PE Format" and "x64
exception handling" a second time. One section holds everything that is added, at its RVA; others,
with names of any length, follow, then COFF symbols with their strings.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TEXT_RVA = 0x1000
DATA_RVA = 0x4000
_MACHINES = {"amd64": 0x8664, "x86": 0x14C, "arm64": 0xAA64, "arm": 0x1C4}


def u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in values)


def u32(*values: int) -> bytes:
    return b"".join((value & 0xFFFFFFFF).to_bytes(4, "little") for value in values)


def code(offset: int, op: int, info: int = 0, *extra: int) -> list[int]:
    """Return the 16-bit slots of one unwind code; *extra* are the slots after the first."""
    return [offset | op << 8 | info << 12, *extra]


def unwind_info(
    *codes: list[int],
    prolog: int = 0,
    version: int = 1,
    flags: int = 0,
    frame: tuple[int, int] = (0, 0),
    tail: bytes = b"",
) -> bytes:
    """Return UNWIND_INFO; *frame* is register number and offset / 16, *tail* what follows."""
    slots = [slot for one in codes for slot in one]
    data = bytes([version | flags << 3, prolog, len(slots), frame[0] | frame[1] << 4])
    data += u16(*slots)
    return data + bytes(-len(data) % 4) + tail


def rsds(guid: bytes, age: int, path: str) -> bytes:
    return b"RSDS" + guid + u32(age) + path.encode() + b"\0"


def version_block(key: str, value: bytes = b"", *children: bytes, text: bool = False) -> bytes:
    """Return a node of a version resource; a text *value* is UTF-16 with its zero."""
    head = key.encode("utf-16-le") + b"\0\0"
    head += bytes(-(6 + len(head)) % 4)
    body = head + value
    for child in children:
        body += bytes(-(6 + len(body)) % 4) + child
    return u16(6 + len(body), len(value) // (2 if text else 1), int(text)) + body


@dataclass
class PeBuilder:
    """Collects parts; :meth:`build` returns the bytes of the file."""

    machine: str = "amd64"
    timestamp: int = 0x5F000000
    image_base: int = 0x140000000
    entry_point: int = TEXT_RVA
    text: bytes = b"\xc3"
    text_virtual_size: int = 0x2000
    checksum: int = 0x1234
    characteristics: int = 0x22
    functions: list[tuple[int, int, int]] = field(default_factory=list)
    arm_rows: list[tuple[int, int]] = field(default_factory=list)
    directories: dict[int, tuple[int, int]] = field(default_factory=dict)
    sections: list[tuple[str, bytes]] = field(default_factory=list)
    symbols: list[bytes] = field(default_factory=list)
    _data: bytearray = field(default_factory=bytearray)
    _strings: bytearray = field(default_factory=bytearray)

    def add(self, blob: bytes) -> int:
        """Put bytes in the data section, 4-aligned; return their RVA."""
        self._data += bytes(-len(self._data) % 4)
        rva = DATA_RVA + len(self._data)
        self._data += blob
        return rva

    def function(self, begin: int, end: int, info: bytes) -> int:
        """Add a function with unwind information; return the RVA of that."""
        rva = self.add(info)
        self.functions.append((begin, end, rva))
        return rva

    def string(self, text: str) -> int:
        """Put a name in the string table; return its offset."""
        offset = 4 + len(self._strings)
        self._strings += text.encode() + b"\0"
        return offset

    def symbol(
        self,
        name: str,
        value: int,
        section: int = 1,
        *,
        kind: int = 0x20,
        storage_class: int = 2,
        auxiliaries: bytes = b"",
    ) -> None:
        """Add a COFF symbol, *value* bytes into a section; *auxiliaries* are 18 bytes each."""
        raw = name.encode()
        entry = raw.ljust(8, b"\0") if len(raw) <= 8 else u32(0, self.string(name))
        entry += u32(value) + u16(section & 0xFFFF, kind)
        self.symbols.append(entry + bytes([storage_class, len(auxiliaries) // 18]) + auxiliaries)

    def exports(self, dll: str, entries: list[tuple[str | None, int | str]], base: int = 1) -> None:
        """Add an export table: names (or ``None``) with RVAs or forwarder texts."""
        start = DATA_RVA + len(self._data) + -len(self._data) % 4
        named = sorted((name, index) for index, (name, _) in enumerate(entries) if name is not None)
        functions = start + 40
        names = functions + 4 * len(entries)
        ordinals = names + 4 * len(named)
        at = ordinals + 2 * len(named)
        strings = dll.encode() + b"\0"
        name_rvas = []
        for name, _ in named:
            name_rvas.append(at + len(strings))
            strings += name.encode() + b"\0"
        rvas = []
        for _, value in entries:
            if isinstance(value, str):
                rvas.append(at + len(strings))
                strings += value.encode() + b"\0"
            else:
                rvas.append(value)
        blob = u32(0, self.timestamp) + u16(0, 0)
        blob += u32(at, base, len(entries), len(named), functions, names, ordinals)
        blob += u32(*rvas) + u32(*name_rvas) + u16(*(index for _, index in named)) + strings
        assert self.add(blob) == start
        self.directories[0] = (start, len(blob))

    def debug(self, *entries: tuple[int, bytes]) -> None:
        """Add a debug directory of (type, data)."""
        blob = b""
        for kind, data in entries:
            rva = self.add(data) if data else 0
            offset = rva - DATA_RVA + self._data_offset if data else 0
            blob += u32(0, self.timestamp) + u16(0, 0) + u32(kind, len(data), rva, offset)
        self.directories[6] = (self.add(blob), len(blob))

    def version(self, resource: bytes) -> None:
        """Add a resource directory with one version resource."""
        start = DATA_RVA + len(self._data) + -len(self._data) % 4
        level = bytes(12) + u16(0, 1)
        blob = level + u32(16, 0x80000000 | 24)
        blob += level + u32(1, 0x80000000 | 48)
        blob += level + u32(0x409, 72)
        blob += u32(start + 88, len(resource), 0, 0) + resource
        assert self.add(blob) == start
        self.directories[2] = (start, len(blob))

    @property
    def _data_offset(self) -> int:
        return 0x400 + len(self.text) + -len(self.text) % 0x200

    def build(self) -> bytes:
        """Return the file: headers in 0x400 bytes, ``.text``, ``.data``, what else there is."""
        if self.functions:
            rows = b"".join(u32(*row) for row in sorted(self.functions))
            self.directories[3] = (self.add(rows), len(rows))
        if self.arm_rows:
            rows = b"".join(u32(*row) for row in sorted(self.arm_rows))
            self.directories[3] = (self.add(rows), len(rows))
        text = self.text + bytes(-len(self.text) % 0x200)
        data = bytes(self._data) + bytes(-len(self._data) % 0x200)
        size = DATA_RVA + (len(data) + 0xFFF & ~0xFFF)
        headers, contents, size = self._other_sections(0x400 + len(text) + len(data), size)
        symbols, table = b"".join(self.symbols), 0
        if symbols or self._strings:
            table = 0x400 + len(text) + len(data) + len(contents)
            contents += symbols + u32(4 + len(self._strings)) + bytes(self._strings)
        is_64 = self.machine not in ("x86", "arm")
        optional = self._optional(is_64, size)
        out = b"MZ" + bytes(58) + u32(0x80) + bytes(64)
        out += b"PE\0\0" + u16(_MACHINES[self.machine], 2 + len(self.sections))
        out += u32(self.timestamp, table, len(symbols) // 18)
        out += u16(len(optional), self.characteristics) + optional
        out += b".text\0\0\0" + u32(self.text_virtual_size, TEXT_RVA, len(text), 0x400, 0, 0, 0)
        out += u32(0x60000020)
        out += b".data\0\0\0" + u32(len(self._data), DATA_RVA, len(data), 0x400 + len(text))
        out += u32(0, 0, 0, 0xC0000040) + headers
        return out.ljust(0x400, b"\0") + text + data + contents

    def _other_sections(self, offset: int, rva: int) -> tuple[bytes, bytes, int]:
        """Return the headers and the contents of :attr:`sections`, from *offset* of the file and
        *rva* on, and the RVA behind them."""
        headers = contents = b""
        for name, data in self.sections:
            short = name if len(name) <= 8 else f"/{self.string(name)}"
            raw = data + bytes(-len(data) % 0x200)
            headers += short.encode().ljust(8, b"\0")
            headers += u32(len(data), rva, len(raw), offset + len(contents), 0, 0, 0, 0x42000040)
            contents += raw
            rva += len(raw) + 0xFFF & ~0xFFF
        return headers, contents, rva

    def _optional(self, is_64: bool, size: int) -> bytes:
        def wide(*values: int) -> bytes:
            return b"".join(value.to_bytes(8 if is_64 else 4, "little") for value in values)

        out = u16(0x20B if is_64 else 0x10B) + bytes([14, 29])
        out += u32(0x200, 0x400, 0, self.entry_point, TEXT_RVA)
        if not is_64:
            out += u32(DATA_RVA)
        out += wide(self.image_base) + u32(0x1000, 0x200) + u16(6, 1, 7, 8, 6, 2) + u32(0)
        out += u32(size, 0x400, self.checksum) + u16(3, 0x8160)
        out += wide(0x100000, 0x1000, 0x200000, 0x2000) + u32(0, 16)
        return out + b"".join(u32(*self.directories.get(i, (0, 0))) for i in range(16))
