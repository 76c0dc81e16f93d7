"""Stream 3: which module contributed what to which section, and where its own stream is.

Addresses here are (section, offset) pairs, sections counted from 1, packed into one sortable key.
Section contributions are searched in their raw records: a large PDB has a million of them.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.msf import Msf, Stream
from polydbg.formats.pdb.reading import cstring, text, unpack

NO_STREAM = 0xFFFF
_HEADER = struct.Struct("<iIIHHHHHHIIIIIIIIHHI")
_MODULE = struct.Struct("<4x28xHHIIIHHIII")
_MODULE_SIZES = struct.Struct("<34xHIII")
_CONTRIBUTION = struct.Struct("<H2xIIIH")
_PLACE = struct.Struct("<H2xI")
_SECTION_HEADER = struct.Struct("<8sIIII12xI")
_CONTRIBUTION_SIZES = {0xF12EBA2D: 28, 0xF13151E4: 32}
_FLAG_STRIPPED = 2
_SECTION_CODE = 0x20000020  # executable, contains code
_MAX_SECTIONS = 4096
_SAMPLE = 512

# Positions in the debug header: stream numbers by purpose.
DBG_FPO = 0
DBG_OMAP_TO_SOURCE = 3
DBG_OMAP_FROM_SOURCE = 4
DBG_SECTIONS = 5
DBG_FRAME_DATA = 9
DBG_ORIGINAL_SECTIONS = 10


def key_of(section: int, offset: int) -> int:
    """Return the sortable number of a (section, offset) address."""
    return section << 32 | offset


class Contribution(msgspec.Struct, frozen=True):
    """*size* bytes of a section from packed address *key*, of the module *module* (0-based)."""

    key: int
    size: int
    module: int


class ModuleInfo(msgspec.Struct, frozen=True):
    """One object file: its stream (0xFFFF none) and the byte sizes of the stream's parts."""

    name: str
    object_file: str
    stream: int
    symbol_size: int
    c11_size: int
    c13_size: int


class Modules:
    """The module records, decoded one at a time: a large PDB has tens of thousands."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offsets: list[int] = []
        offset, end, find = 0, len(data), data.find
        while offset + _MODULE.size <= end:
            self._offsets.append(offset)
            first = find(b"\0", offset + 64)
            second = find(b"\0", first + 1) if first >= 0 else -1
            if second < 0:
                break
            offset = (second + 4) & ~3

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> ModuleInfo:
        """Return a module. :raises FormatError: for a number that no module has."""
        if not 0 <= index < len(self._offsets):
            raise FormatError(f"the PDB has no module {index}")
        offset = self._offsets[index]
        _, stream, symbols, c11, c13, *_ = _MODULE.unpack_from(self._data, offset)
        name = cstring(self._data, offset + 64)
        object_file = cstring(self._data, min(offset + 65 + len(name), len(self._data)))
        return ModuleInfo(text(name), text(object_file), stream, symbols, c11, c13)

    def with_symbols(self) -> bool:
        """Tell whether any module has private symbols."""
        for offset in self._offsets:
            stream, symbols, _, _ = _MODULE_SIZES.unpack_from(self._data, offset)
            if stream != NO_STREAM and symbols > 4:
                return True
        return False


class Contributions:
    """The section contributions, searched in place."""

    def __init__(self, stream: Stream, offset: int, size: int) -> None:
        self._stream = stream
        self._offset = offset + 4
        version = stream.u32(offset) if size >= 4 else 0
        self._size = _CONTRIBUTION_SIZES.get(version, 0)
        self._count = (size - 4) // self._size if self._size else 0
        self._order: list[int] | None = None  # set when the file is not in order
        self._checked = False

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rank: int) -> Contribution:
        """Return a contribution by its rank in address order."""
        index = rank if self._order is None else self._order[rank]
        fields = self._stream.unpack(_CONTRIBUTION, self._offset + index * self._size)
        section, offset, size, _, module = fields
        return Contribution(key_of(section, offset), size, module)

    def _key(self, rank: int) -> int:
        index = rank if self._order is None else self._order[rank]
        section, offset = self._stream.unpack(_PLACE, self._offset + index * self._size)
        return int(section) << 32 | int(offset)

    def rank(self, key: int) -> int:
        """Return the rank of the last contribution at or below *key*, -1 when there is none."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) <= key:
                low = middle + 1
            else:
                high = middle
        return low - 1

    def at(self, key: int) -> Contribution | None:
        """Return the contribution that covers *key*.

        Linkers sort the table. One that does not would make the search miss, so the first miss
        checks the order and sorts if need be.
        """
        found = self._search(key)
        if found is None and not self._checked:
            self._checked = True
            if self._sort():
                found = self._search(key)
        return found

    def _search(self, key: int) -> Contribution | None:
        rank = self.rank(key)
        # An empty contribution can stand at the address where a real one begins.
        for index in range(rank, max(rank - 4, -1), -1):
            found = self[index]
            if found.key <= key < found.key + found.size:
                return found
        return None

    def _sort(self) -> bool:
        """Sort the ranks if the file is out of order; tell whether it was.

        Out of order is what a sample is: to look at a million records would take half a second.
        """
        step = max(self._count // _SAMPLE, 1)
        sample = [self._key(rank) for rank in range(0, self._count, step)]
        if all(map(int.__le__, sample, sample[1:])):
            return False
        data = self._stream.read(self._offset, self._count * self._size)
        layout = struct.Struct(f"<H2xI{self._size - 8}x")
        keys = [section << 32 | offset for section, offset in layout.iter_unpack(data)]
        self._order = sorted(range(self._count), key=keys.__getitem__)
        return True


class Sections:
    """The section headers: (section, offset) to RVA and back."""

    def __init__(self, data: bytes) -> None:
        self._sections: list[tuple[int, int]] = []
        self._code: set[int] = set()
        for index in range(min(len(data) // 40, _MAX_SECTIONS)):
            _, virtual, rva, raw, _, flags = unpack(_SECTION_HEADER, data, index * 40)
            self._sections.append((rva, max(virtual, raw)))
            if flags & _SECTION_CODE:
                self._code.add(index + 1)
        order = sorted(range(len(self._sections)), key=lambda index: self._sections[index])
        self._order = order

    def __len__(self) -> int:
        return len(self._sections)

    def rva(self, section: int, offset: int) -> int | None:
        """Return the RVA, or ``None`` for sections that do not exist (absolute symbols)."""
        if not 1 <= section <= len(self._sections):
            return None
        return (self._sections[section - 1][0] + offset) & 0xFFFFFFFF

    def is_code(self, section: int) -> bool:
        """Tell whether a section holds code."""
        return section in self._code

    def locate(self, rva: int) -> tuple[int, int] | None:
        """Return (section, offset) of an RVA, ``None`` outside of every section."""
        for index in reversed(self._order):
            start, size = self._sections[index]
            if start <= rva:
                return (index + 1, rva - start) if rva < start + size else None
        return None


class Dbi:
    """The debug information stream. *age* is the one that the image's debug record names."""

    def __init__(self, msf: Msf) -> None:
        """Read the header; substreams are read when asked for.

        :raises FormatError: when there is none (a PDB of types only), or its header is damaged.
        """
        stream = msf.stream(3)
        if stream.size == 0:
            raise FormatError(
                "this PDB holds only types (written by the compiler, /Zi), not an image's symbols",
                identifier="pdb.types_only",
            )
        fields = stream.unpack(_HEADER, 0)
        if fields[0] != -1:
            raise FormatError(
                "the debug information of this PDB is in a format before 7.0, "
                "which is not supported",
                identifier="pdb.old",
            )
        self.age: int = fields[2]
        self.global_stream: int = fields[3]
        self.public_stream: int = fields[5]
        self.record_stream: int = fields[7]
        self.flags: int = fields[17]
        self.machine: int = fields[18]
        modules, contributions, section_map, sources, type_servers = fields[9:14]
        dbg_size, ec_size = fields[15], fields[16]
        self._msf, self._stream = msf, stream
        offset = _HEADER.size
        self._modules_at, self._modules_size = offset, modules
        offset += modules
        self._contributions_at, self._contributions_size = offset, contributions
        offset += contributions + section_map
        self.sources_at, self.sources_size = offset, sources
        offset += sources + type_servers + ec_size
        if offset + dbg_size > stream.size:
            raise FormatError("the debug information stream of the PDB ends early")
        count = dbg_size // 2
        self._dbg = struct.unpack(f"<{count}H", stream.read(offset, count * 2))
        self._modules: Modules | None = None
        self._contributions: Contributions | None = None

    @property
    def stream(self) -> Stream:
        return self._stream

    @property
    def is_stripped(self) -> bool:
        """Tell whether the linker was asked to leave out private symbols (/PDBSTRIPPED)."""
        return bool(self.flags & _FLAG_STRIPPED)

    @property
    def modules(self) -> Modules:
        if self._modules is None:
            data = self._stream.read(self._modules_at, self._modules_size)
            self._modules = Modules(data)
        return self._modules

    @property
    def contributions(self) -> Contributions:
        if self._contributions is None:
            self._contributions = Contributions(
                self._stream, self._contributions_at, self._contributions_size
            )
        return self._contributions

    def debug_stream(self, purpose: int) -> Stream | None:
        """Return a stream that the debug header names, by one of the ``DBG_`` numbers."""
        if purpose >= len(self._dbg) or self._dbg[purpose] == NO_STREAM:
            return None
        stream = self._msf.stream(self._dbg[purpose])
        return stream if stream.size else None
