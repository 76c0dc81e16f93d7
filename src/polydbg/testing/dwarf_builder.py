"""Builds DWARF sections for tests: entries with labels, abbreviations, line programs.

Everything is written as the standard says, so that a test states what a compiler could have
written, and damages it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.sections import DebugSections
from polydbg.formats.section import Section

_SIZES = {
    c.FORM_DATA1: 1,
    c.FORM_DATA2: 2,
    c.FORM_DATA4: 4,
    c.FORM_DATA8: 8,
    c.FORM_FLAG: 1,
    c.FORM_REF_SIG8: 8,
    c.FORM_STRX1: 1,
    c.FORM_ADDRX1: 1,
}
_LEB = (c.FORM_UDATA, c.FORM_STRX, c.FORM_ADDRX, c.FORM_RNGLISTX)


def uleb(value: int) -> bytes:
    """Return *value* as unsigned LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value: int) -> bytes:
    """Return *value* as signed LEB128."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        is_last = value == (-1 if byte & 0x40 else 0)
        out.append(byte if is_last else byte | 0x80)
        if is_last:
            return bytes(out)


class Entry:
    """An entry to be written. Values of reference forms are labels of entries of the same unit;
    those of string forms are text."""

    def __init__(
        self,
        tag: int,
        *attributes: tuple[int, int, int | str | bytes],
        children: Sequence[Entry] = (),
        label: str = "",
    ) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children = children
        self.label = label

    def walk(self) -> Iterator[Entry]:
        """Yield this entry and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class DwarfBuilder:
    """Collects units and sections. Addresses and offsets have the sizes given, in bytes."""

    def __init__(
        self, version: int = 5, *, big: bool = False, address_size: int = 8, offset_size: int = 4
    ) -> None:
        self.version = version
        self.big = big
        self.address_size = address_size
        self.offset_size = offset_size
        self.sections: dict[str, bytearray] = {}
        self._labels: dict[str, int] = {}

    def number(self, value: int, size: int) -> bytes:
        """Return *value* in the byte order of the file."""
        return (value & (1 << 8 * size) - 1).to_bytes(size, "big" if self.big else "little")

    def address(self, value: int) -> bytes:
        return self.number(value, self.address_size)

    def offset(self, value: int) -> bytes:
        return self.number(value, self.offset_size)

    def add(self, section: str, data: bytes) -> int:
        """Append *data* to *section* and return where it begins there."""
        part = self.sections.setdefault(section, bytearray())
        part += data
        return len(part) - len(data)

    def measured(self, data: bytes) -> bytes:
        """Return *data* behind its initial length."""
        if self.offset_size == 8:
            return b"\xff" * 4 + self.number(len(data), 8) + data
        return self.number(len(data), 4) + data

    # -- units ---------------------------------------------------------------------------------

    def unit(
        self,
        root: Entry,
        *,
        kind: int = c.UT_COMPILE,
        signature: int = 0,
        suffix: str = "",
        type_label: str = "",
    ) -> int:
        """Append a unit and return where it begins. *suffix* is ``.dwo`` for split units."""
        abbreviations, codes = self._abbreviations(root)
        at = self.add(".debug_abbrev" + suffix, abbreviations)
        section = ".debug_types" if self.version < 5 and kind == c.UT_TYPE else ".debug_info"
        head = 12 if self.offset_size == 8 else 4
        for _ in range(2):  # labels are known after the first time
            header = self._header(kind, at, signature, type_label)
            body = bytearray(header)
            self._write(root, codes, body, head, suffix)
        return self.add(section + suffix, self.measured(bytes(body)))

    def _header(self, kind: int, abbreviations: int, signature: int, type_label: str) -> bytes:
        head = self.number(self.version, 2)
        if self.version >= 5:
            head += bytes([kind, self.address_size]) + self.offset(abbreviations)
        else:
            head += self.offset(abbreviations) + bytes([self.address_size])
        if kind in (c.UT_TYPE, c.UT_SPLIT_TYPE):
            head += self.number(signature, 8) + self.offset(self._labels.get(type_label, 0))
        elif self.version >= 5 and kind in (c.UT_SKELETON, c.UT_SPLIT_COMPILE):
            head += self.number(signature, 8)
        return head

    def _abbreviations(self, root: Entry) -> tuple[bytes, dict[Entry, int]]:
        data, codes = b"", dict[Entry, int]()
        for code, entry in enumerate(root.walk(), 1):
            codes[entry] = code
            data += uleb(code) + uleb(entry.tag) + bytes([bool(entry.children)])
            for name, form, value in entry.attributes:
                data += uleb(name) + uleb(form)
                if form == c.FORM_IMPLICIT_CONST and isinstance(value, int):
                    data += sleb(value)
            data += b"\0\0"
        return data + b"\0", codes

    def _write(
        self, entry: Entry, codes: dict[Entry, int], body: bytearray, head: int, suffix: str
    ) -> None:
        if entry.label:
            self._labels[entry.label] = head + len(body)
        body += uleb(codes[entry])
        for _, form, value in entry.attributes:
            body += self._value(form, value, suffix)
        for child in entry.children:
            self._write(child, codes, body, head, suffix)
        if entry.children:
            body += b"\0"

    def _value(self, form: int, value: int | str | bytes, suffix: str) -> bytes:
        if form == c.FORM_REF4 and isinstance(value, str):
            return self.number(self._labels.get(value, 0), 4)
        if isinstance(value, str):
            raw = value.encode() + b"\0"
            if form == c.FORM_STRING:
                return raw
            names = {c.FORM_LINE_STRP: ".debug_line_str"}
            return self.offset(self.add(names.get(form, ".debug_str" + suffix), raw))
        if isinstance(value, bytes):
            return uleb(len(value)) + value if form != c.FORM_DATA16 else value
        if form in _LEB:
            return uleb(value)
        if form == c.FORM_SDATA:
            return sleb(value)
        if form in (c.FORM_FLAG_PRESENT, c.FORM_IMPLICIT_CONST):
            return b""
        if form == c.FORM_ADDR:
            return self.address(value)
        size = _SIZES.get(form, self.offset_size)
        return self.number(value, size)

    # -- other sections ------------------------------------------------------------------------

    def aranges(self, unit: int, *ranges: tuple[int, int]) -> None:
        """Append a set of (start, size) to ``.debug_aranges``."""
        body = self.number(2, 2) + self.offset(unit) + bytes([self.address_size, 0])
        head = 12 if self.offset_size == 8 else 4
        body += bytes(-(head + len(body)) % (2 * self.address_size))
        for start, size in (*ranges, (0, 0)):
            body += self.address(start) + self.address(size)
        self.add(".debug_aranges", self.measured(body))

    def lines(
        self,
        program: bytes,
        *,
        directories: Sequence[str] = (),
        files: Sequence[tuple[str, int]] = (),
        line_base: int = -5,
        line_range: int = 14,
        min_length: int = 1,
    ) -> int:
        """Append a line program and return where it begins. *files* are (name, directory)."""
        rest = bytes([min_length]) + (b"\x01" if self.version >= 4 else b"")
        rest += bytes([1, line_base & 0xFF, line_range, 13])
        rest += bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
        if self.version >= 5:
            rest += b"\x01\x01\x08" + uleb(len(directories))
            rest += b"".join(each.encode() + b"\0" for each in directories)
            rest += b"\x02\x01\x08\x02\x0b" + uleb(len(files))
            rest += b"".join(name.encode() + b"\0" + bytes([place]) for name, place in files)
        else:
            rest += b"".join(each.encode() + b"\0" for each in directories) + b"\0"
            for name, place in files:
                rest += name.encode() + b"\0" + bytes([place, 0, 0])
            rest += b"\0"
        head = self.number(self.version, 2)
        if self.version >= 5:
            head += bytes([self.address_size, 0])
        return self.add(
            ".debug_line", self.measured(head + self.offset(len(rest)) + rest + program)
        )

    def set_address(self, address: int) -> bytes:
        """Return the operation that begins a sequence at *address*."""
        return b"\0" + uleb(1 + self.address_size) + b"\x02" + self.address(address)

    def debug_sections(self) -> DebugSections:
        """Return what was built, as readers want it."""

        def load(name: str) -> Section | None:
            data = self.sections.get(name)
            return None if data is None else Section(bytes(data), big=self.big)

        return DebugSections(load, big=self.big, address_size=self.address_size)


END_SEQUENCE = b"\0\x01\x01"
