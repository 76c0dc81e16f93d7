"""The export directory of a PE image.

Layout: Microsoft, "PE Format", section ".edata": a 40-byte directory, an array of function RVAs,
and two parallel arrays that give names (sorted by byte value) to some of the functions. An RVA
inside the directory itself is a forwarder: text ``DLL.Name`` or ``DLL.#Ordinal``.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.pe.header import DataDirectory
from polydbg.formats.pe.strings import read_c_string
from polydbg.memory.space import AddressSpace

MAX_FUNCTIONS: Final = 0x10000
"""Ordinals have 16 bits, so no image can export more functions, nor index more from names."""

MAX_NAMES: Final = 0x40000
MAX_NAME_LENGTH: Final = 0x4000
MAX_NAME_BYTES: Final = 0x4000000
_MAX_BLOCK = 0x4000000
_DIRECTORY = struct.Struct("<IIHHIIIIIII")


class ExportEntry(msgspec.Struct, frozen=True):
    """An exported function or datum: *rva* in bytes; *name* ``None`` for an ordinal alone."""

    name: str | None
    ordinal: int
    rva: int
    forwarder: str | None


class ExportTable(msgspec.Struct, frozen=True):
    """The directory's own fields, and its entries by ordinal, then by name."""

    dll_name: str
    timestamp: int
    ordinal_base: int
    entries: tuple[ExportEntry, ...]


class _Block:
    """The directory read once; strings outside it come from the image."""

    def __init__(self, space: AddressSpace, directory: DataDirectory) -> None:
        self._space = space
        self._start = directory.rva
        self._data = space.read_some(directory.rva, min(directory.size, _MAX_BLOCK))
        self._budget = MAX_NAME_BYTES

    def array(self, rva: int, count: int, width: int) -> bytes:
        """Return *count* items of *width* bytes."""
        offset = rva - self._start
        if offset >= 0 and offset + count * width <= len(self._data):
            return self._data[offset : offset + count * width]
        return self._space.read(rva, count * width)

    def text(self, rva: int) -> str:
        offset = rva - self._start
        if 0 <= offset < len(self._data):
            end = self._data.find(b"\0", offset, offset + MAX_NAME_LENGTH)
            if end >= 0:
                return self._spend(self._data[offset:end])
        return self._spend(read_c_string(self._space, rva, MAX_NAME_LENGTH))

    def _spend(self, raw: bytes) -> str:
        # Names may overlap, so a small file could otherwise unfold into gigabytes.
        self._budget -= len(raw)
        if self._budget < 0:
            raise FormatError("export names are too long in total")
        return raw.decode("utf-8", "replace")


def parse_exports(space: AddressSpace, directory: DataDirectory) -> ExportTable:
    """Return the export table at *directory* of an image.

    A function with several names gives several entries; functions with RVA 0 are holes and are
    left out.

    :raises FormatError: counts or indices make no sense.
    :raises MemoryReadError: a part of the table is not there.
    """
    fields = _DIRECTORY.unpack(space.read(directory.rva, _DIRECTORY.size))
    _flags, timestamp, _major, _minor, name_rva, base, function_count, name_count = fields[:8]
    if function_count > MAX_FUNCTIONS or name_count > MAX_NAMES:
        raise FormatError(
            f"{function_count} exports with {name_count} names are too many", offset=directory.rva
        )
    block = _Block(space, directory)
    functions = struct.unpack(
        f"<{function_count}I", block.array(fields[8], function_count, 4) if function_count else b""
    )
    names = _names_by_index(block, fields[9], fields[10], name_count, function_count)
    end = directory.rva + directory.size
    entries: list[ExportEntry] = []
    for index, rva in enumerate(functions):
        if rva == 0:
            continue
        forwarder = block.text(rva) if directory.rva <= rva < end else None
        for name in names.get(index, (None,)):
            entries.append(ExportEntry(name, base + index, rva, forwarder))
    return ExportTable(_dll_name(block, name_rva), timestamp, base, tuple(entries))


class ExportAddresses:
    """The named functions of an export table by address; names are read when they are asked for.

    Forwarders, which name code of another image, are left out.
    """

    def __init__(self, space: AddressSpace, directory: DataDirectory) -> None:
        """Read the three arrays of the table.

        :raises FormatError: counts make no sense.
        :raises MemoryReadError: a part of the table is not there.
        """
        fields = _DIRECTORY.unpack(space.read(directory.rva, _DIRECTORY.size))
        function_count, name_count = fields[6:8]
        if function_count > MAX_FUNCTIONS or name_count > MAX_NAMES:
            raise FormatError("too many exports", offset=directory.rva)
        self._block = _Block(space, directory)
        functions = self._integers(fields[8], function_count, "I")
        self._names = self._integers(fields[9], name_count, "I")
        end = directory.rva + directory.size
        self._addresses = [
            functions[index] if index < function_count else 0
            for index in self._integers(fields[10], name_count, "H")
        ]
        self.starts = sorted(
            {rva for rva in self._addresses if rva and not directory.rva <= rva < end}
        )

    def _integers(self, rva: int, count: int, letter: str) -> tuple[int, ...]:
        width = 4 if letter == "I" else 2
        data = self._block.array(rva, count, width) if count else b""
        return struct.unpack(f"<{count}{letter}", data)

    def names_at(self, rva: int) -> list[str]:
        """Return the names of the function at *rva*, in the order of the name table."""
        return [
            self._block.text(name)
            for name, address in zip(self._names, self._addresses, strict=True)
            if address == rva
        ]


def _names_by_index(
    block: _Block, names_rva: int, ordinals_rva: int, count: int, function_count: int
) -> dict[int, list[str | None]]:
    names: dict[int, list[str | None]] = {}
    if not count:
        return names
    rvas = struct.unpack(f"<{count}I", block.array(names_rva, count, 4))
    indices = struct.unpack(f"<{count}H", block.array(ordinals_rva, count, 2))
    for rva, index in zip(rvas, indices, strict=True):
        if index >= function_count:
            raise FormatError(f"export name index {index} of {function_count}", offset=ordinals_rva)
        names.setdefault(index, []).append(block.text(rva))
    return names


def _dll_name(block: _Block, rva: int) -> str:
    # Informative only: an image without a readable name still exports its functions.
    if not rva:
        return ""
    try:
        return block.text(rva)
    except (FormatError, MemoryReadError):
        return ""
