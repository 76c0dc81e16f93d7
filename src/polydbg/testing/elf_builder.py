"""Writes ELF files for tests, from a description of a few lines.

Shares no layout with the reader: what is written here follows the gABI a second time. Sections are
laid out in the order they are added; those with an address are loaded, each by a segment of its
own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PROGBITS, SYMTAB, STRTAB, DYNAMIC, NOTE, NOBITS, DYNSYM = 1, 2, 3, 6, 7, 8, 11
ALLOC, EXEC, TLS, COMPRESSED = 2, 4, 0x400, 0x800
_PAGE = 0x1000


@dataclass
class _Section:
    name: str
    type: int
    flags: int
    address: int
    data: bytes
    size: int
    link: int = 0
    entry_size: int = 0
    offset: int = 0


@dataclass
class ElfBuilder:
    """Collects parts; :meth:`build` returns the bytes of the file."""

    is_64: bool = True
    is_big: bool = False
    machine: int = 62
    type: int = 3
    entry: int = 0
    _sections: list[_Section] = field(default_factory=list)
    _segments: list[tuple[int, int, str]] = field(default_factory=list)
    _symbols: list[tuple[str, int, int, int, int, int]] = field(default_factory=list)

    # -- numbers ---------------------------------------------------------------------------

    def number(self, size: int, *values: int) -> bytes:
        """Return *values* of *size* bytes each in the file's byte order."""
        order = "big" if self.is_big else "little"
        mask = (1 << 8 * size) - 1
        return b"".join((value & mask).to_bytes(size, order) for value in values)  # type: ignore[arg-type]

    def word(self, *values: int) -> bytes:
        """Return *values* as addresses of the class."""
        return self.number(8 if self.is_64 else 4, *values)

    # -- parts -----------------------------------------------------------------------------

    def section(
        self,
        name: str,
        data: bytes = b"",
        *,
        type: int = PROGBITS,
        flags: int = 0,
        address: int = 0,
        size: int | None = None,
        link: int = 0,
        entry_size: int = 0,
    ) -> int:
        """Add a section and return its number; one with an *address* is loaded."""
        flags |= ALLOC if address else 0
        room = len(data) if size is None else size
        self._sections.append(_Section(name, type, flags, address, data, room, link, entry_size))
        return len(self._sections)

    def segment(self, kind: int, section: str, flags: int = 4) -> ElfBuilder:
        """Add a segment of type *kind* around the section called *section*."""
        self._segments.append((kind, flags, section))
        return self

    def symbol(
        self,
        name: str,
        value: int,
        size: int = 0,
        *,
        type: int = 2,
        binding: int = 1,
        section: int = 1,
    ) -> ElfBuilder:
        """Add an entry to ``.symtab``."""
        self._symbols.append((name, value, size, type, binding, section))
        return self

    def note(self, owner: str, kind: int, descriptor: bytes) -> bytes:
        """Return a note, padded to four bytes."""
        name = owner.encode() + b"\0"
        head = self.number(4, len(name), len(descriptor), kind) + name + bytes(-len(name) % 4)
        return head + descriptor + bytes(-len(descriptor) % 4)

    def symbols(self, entries: list[tuple[str, int, int, int, int, int]]) -> tuple[bytes, bytes]:
        """Return a symbol table and its strings, for *entries* of name, value, size, type, binding
        and section number."""
        strings, table = bytearray(b"\0"), bytearray(24 if self.is_64 else 16)
        for name, value, size, kind, binding, section in entries:
            info = bytes([binding << 4 | kind, 0])
            if self.is_64:
                table += self.number(4, len(strings)) + info + self.number(2, section)
                table += self.number(8, value, size)
            else:
                table += self.number(4, len(strings), value, size) + info + self.number(2, section)
            strings += name.encode() + b"\0"
        return bytes(table), bytes(strings)

    # -- the file --------------------------------------------------------------------------

    def build(self) -> bytes:
        sections = list(self._sections)
        if self._symbols:
            table, strings = self.symbols(self._symbols)
            link = len(sections) + 2
            stride = 24 if self.is_64 else 16
            sections.append(_Section(".symtab", SYMTAB, 0, 0, table, len(table), link, stride))
            sections.append(_Section(".strtab", STRTAB, 0, 0, strings, len(strings)))
        names = bytearray(b"\0")
        places = []
        for each in [*sections, _Section(".shstrtab", STRTAB, 0, 0, b"", 0)]:
            places.append(len(names))
            names += each.name.encode() + b"\0"
        sections.append(_Section(".shstrtab", STRTAB, 0, 0, bytes(names), len(names)))

        loaded = [each for each in sections if each.address and not each.flags & TLS]
        headers = 64 if self.is_64 else 52
        program = 56 if self.is_64 else 32
        position = headers + program * (len(loaded) + len(self._segments))
        body = bytearray(position)
        for each in sections:
            # A page's offset in the file and its address agree, as loaders want it.
            step = (each.address - len(body)) % _PAGE if each.address else -len(body) % 8
            body += bytes(step)
            each.offset = len(body)
            if each.type != NOBITS:
                body += each.data
        body += bytes(-len(body) % 8)
        start = len(body)
        body += bytes(64 if self.is_64 else 40)
        for each, place in zip(sections, places, strict=True):
            body += self._section_header(each, place)
        count = len(loaded) + len(self._segments)
        body[:headers] = self._file_header(count, start, len(sections) + 1)
        rows = b"".join(self._segment(1, 5 if s.flags & EXEC else 6, s) for s in loaded)
        for kind, flags, name in self._segments:
            rows += self._segment(kind, flags, next(s for s in sections if s.name == name))
        body[headers : headers + len(rows)] = rows
        return bytes(body)

    def _file_header(self, segments: int, sections_at: int, sections: int) -> bytes:
        ident = b"\x7fELF" + bytes([1 + self.is_64, 1 + self.is_big, 1]) + bytes(9)
        sizes = (64, 56, 64) if self.is_64 else (52, 32, 40)
        head = ident + self.number(2, self.type, self.machine) + self.number(4, 1)
        head += self.word(self.entry, sizes[0], sections_at) + self.number(4, 0)
        head += self.number(2, sizes[0], sizes[1], segments, sizes[2], sections)
        return head + self.number(2, sections - 1)

    def _section_header(self, each: _Section, name: int) -> bytes:
        return (
            self.number(4, name, each.type)
            + self.word(each.flags, each.address, each.offset, each.size)
            + self.number(4, each.link, 0)
            + self.word(8, each.entry_size)
        )

    def _segment(self, kind: int, flags: int, each: _Section) -> bytes:
        file_size = 0 if each.type == NOBITS else len(each.data)
        place = self.word(each.offset, each.address, each.address, file_size, each.size)
        if self.is_64:
            return self.number(4, kind, flags) + place + self.word(_PAGE)
        return self.number(4, kind) + place + self.number(4, flags, _PAGE)
