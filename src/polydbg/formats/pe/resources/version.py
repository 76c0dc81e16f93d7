"""The version resource: the fixed numbers, the strings, the translations.

Layout: Microsoft, "Resource Directory Table" in "PE Format", and VS_VERSIONINFO, StringFileInfo,
VarFileInfo (learn.microsoft.com/windows/win32/menurc).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.pe.header import DataDirectory
from polydbg.memory.space import AddressSpace

RT_VERSION: Final = 16
_MAX_ENTRIES = 4096
_MAX_RESOURCE = 0x40000
_MAX_BLOCKS = 4096
_FIXED_SIGNATURE = 0xFEEF04BD
_FIXED = struct.Struct("<13I")


class FixedFileInfo(msgspec.Struct, frozen=True):
    """VS_FIXEDFILEINFO; versions as (major, minor, build, revision), *date* as FILETIME."""

    file_version: tuple[int, int, int, int]
    product_version: tuple[int, int, int, int]
    flags_mask: int
    flags: int
    os: int
    type: int
    subtype: int
    date: int


class StringTable(msgspec.Struct, frozen=True):
    """The strings of one language; *key* is eight hex digits: language, code page."""

    key: str
    strings: dict[str, str]


class VersionResource(msgspec.Struct, frozen=True):
    """A version resource. *translations* are (language, code page) in file order."""

    fixed: FixedFileInfo | None
    tables: tuple[StringTable, ...]
    translations: tuple[tuple[int, int], ...]

    def string(self, name: str) -> str | None:
        """Return a string such as ``FileDescription`` from the first table that has it."""
        for table in self.tables:
            if name in table.strings:
                return table.strings[name]
        return None


def find_version_resource(space: AddressSpace, directory: DataDirectory) -> bytes | None:
    """Return the bytes of the first version resource of an image, ``None`` if it has none.

    :raises FormatError: the resource directory is damaged.
    :raises MemoryReadError: a part of it is not there.
    """
    if not directory:
        return None
    offset: int | None = _child(space, directory, 0, RT_VERSION)
    for _level in range(2):  # name, then language: the first of each
        if offset is None or not offset & 0x80000000:
            return None
        offset = _child(space, directory, offset & 0x7FFFFFFF, None)
    if offset is None or offset & 0x80000000:
        return None
    rva, size = struct.unpack("<II", space.read(directory.rva + offset, 8))
    if size > _MAX_RESOURCE:
        raise FormatError(f"version resource of {size:#x} bytes", offset=directory.rva + offset)
    return space.read(rva, size)


def parse_version(data: bytes) -> VersionResource:
    """Return what the bytes of a VS_VERSIONINFO say.

    :raises FormatError: damaged.
    """
    root = _Reader(data).block(0, len(data))
    if root.key != "VS_VERSION_INFO":
        raise FormatError("no VS_VERSION_INFO")
    fixed = _fixed(data[root.value : root.value + root.value_size])
    tables: list[StringTable] = []
    translations: list[tuple[int, int]] = []
    reader = _Reader(data)
    for block in reader.children(root):
        if block.key == "StringFileInfo":
            tables.extend(_table(data, reader, table) for table in reader.children(block))
        elif block.key == "VarFileInfo":
            for variable in reader.children(block):
                if variable.key == "Translation":
                    raw = data[variable.value : variable.value + (variable.value_size & ~3)]
                    translations.extend(struct.iter_unpack("<HH", raw))
    return VersionResource(fixed, tuple(tables), tuple(translations))


def _child(
    space: AddressSpace, directory: DataDirectory, offset: int, wanted: int | None
) -> int | None:
    """Return the target of a directory's entry *wanted*, of its first entry for ``None``."""
    named, ids = struct.unpack("<HH", space.read(directory.rva + offset + 12, 4))
    if named + ids > _MAX_ENTRIES:
        raise FormatError(f"{named + ids} resource entries", offset=directory.rva + offset)
    entries = space.read(directory.rva + offset + 16, (named + ids) * 8)
    for name, target in struct.iter_unpack("<II", entries):
        if wanted is None or name == wanted:
            return int(target)
    return None


class _Block(msgspec.Struct, frozen=True):
    """A node: header, UTF-16 key, value, children; all offsets in bytes of the resource."""

    key: str
    value: int
    value_size: int
    children: int
    end: int


class _Reader:
    """Reads nodes; counts them, so that a small resource cannot keep us busy."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MAX_BLOCKS

    def block(self, offset: int, limit: int) -> _Block:
        self._left -= 1
        if self._left < 0 or offset + 6 > limit:
            raise FormatError("version resource is damaged", offset=offset)
        length, value_size, kind = struct.unpack_from("<HHH", self._data, offset)
        end = min(offset + length, limit)
        if length < 6:
            raise FormatError("version resource is damaged", offset=offset)
        stop = offset + 6
        while stop + 2 <= end and self._data[stop : stop + 2] != b"\0\0":
            stop += 2
        key = self._data[offset + 6 : stop].decode("utf-16-le", "replace")
        value = (stop + 2 + 3) & ~3
        # Text lengths are in characters, though some resource compilers write bytes.
        size = value_size * 2 if kind == 1 else value_size
        size = max(0, min(size, end - value))
        return _Block(key, value, size, (value + size + 3) & ~3, end)

    def children(self, parent: _Block) -> Iterator[_Block]:
        offset = parent.children
        while offset + 6 <= parent.end:
            block = self.block(offset, parent.end)
            yield block
            offset = (block.end + 3) & ~3


def _table(data: bytes, reader: _Reader, table: _Block) -> StringTable:
    strings: dict[str, str] = {}
    for item in reader.children(table):
        raw = data[item.value : item.value + (item.value_size & ~1)]
        strings.setdefault(item.key, raw.decode("utf-16-le", "replace").split("\0", 1)[0])
    return StringTable(table.key, strings)


def _fixed(raw: bytes) -> FixedFileInfo | None:
    if len(raw) < _FIXED.size:
        return None
    fields = _FIXED.unpack_from(raw)
    if fields[0] != _FIXED_SIGNATURE:
        return None
    _signature, _struct_version, file_ms, file_ls, product_ms, product_ls = fields[:6]
    mask, flags, system, kind, subtype, date_ms, date_ls = fields[6:]
    return FixedFileInfo(
        file_version=_version(file_ms, file_ls),
        product_version=_version(product_ms, product_ls),
        flags_mask=mask,
        flags=flags,
        os=system,
        type=kind,
        subtype=subtype,
        date=date_ms << 32 | date_ls,
    )


def _version(high: int, low: int) -> tuple[int, int, int, int]:
    return high >> 16, high & 0xFFFF, low >> 16, low & 0xFFFF
