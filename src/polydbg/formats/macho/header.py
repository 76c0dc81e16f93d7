"""The Mach-O header and the load commands that images and cores share.

Facts: Apple's ``<mach-o/loader.h>``. Files of one processor only, little-endian, which is all that
is written today. Commands are read one after another, each with its own size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from polydbg.base.errors import FormatError
from polydbg.memory.space import AddressSpace

MAGIC_64, MAGIC_32 = 0xFEEDFACF, 0xFEEDFACE
MH_EXECUTE, MH_CORE, MH_DYLIB, MH_DYLINKER, MH_DSYM = 2, 4, 6, 7, 10
LC_SEGMENT, LC_SYMTAB, LC_THREAD, LC_DYSYMTAB = 0x1, 0x2, 0x4, 0xB
LC_ID_DYLIB, LC_ID_DYLINKER, LC_SEGMENT_64, LC_UUID = 0xD, 0xF, 0x19, 0x1B
LC_ENCRYPTION_INFO, LC_FUNCTION_STARTS, LC_ENCRYPTION_INFO_64 = 0x21, 0x26, 0x2C
LC_MAIN, LC_NOTE = 0x80000028, 0x31
S_ZEROFILL, S_GB_ZEROFILL, S_SYMBOL_STUBS, S_THREAD_LOCAL_ZEROFILL = 0x1, 0xC, 0x8, 0x12
S_ATTR_PURE_INSTRUCTIONS, S_ATTR_SOME_INSTRUCTIONS = 0x80000000, 0x400

_PROCESSORS = {
    7: "x86",
    0x01000007: "amd64",
    12: "arm",
    0x0100000C: "arm64",
    0x0200000C: "arm64-ilp32",
    18: "ppc",
    0x01000012: "ppc64",
}
_MAX_COMMANDS = 1 << 20
_MAX_COMMAND_BYTES = 256 << 20
_SECTION_LAYOUTS = {True: struct.Struct("<16s16sQQ7I4x"), False: struct.Struct("<16s16sII7I")}
_ZEROFILL = (S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL)


class MachHeader(msgspec.Struct, frozen=True):
    """The header: *arch* is what :func:`processor` says."""

    is_64: bool
    arch: str
    file_type: int
    command_count: int
    command_bytes: int

    @property
    def size(self) -> int:
        return 32 if self.is_64 else 28

    @property
    def word(self) -> int:
        return 8 if self.is_64 else 4


class MachSegment(msgspec.Struct, frozen=True):
    """A segment: *address* and sizes in bytes, *protection* 1 read, 2 write, 4 execute; *raw* is
    the command, behind whose head the sections lie."""

    name: str
    address: int
    size: int
    offset: int
    file_size: int
    protection: int
    section_count: int
    raw: bytes

    @property
    def end(self) -> int:
        return self.address + self.size


class MachSection(msgspec.Struct, frozen=True):
    """A section: *address* as linked, *size* in bytes, *offset* in the file; of
    ``S_SYMBOL_STUBS`` *indirect* is the first of its numbers in the table of indirect symbols,
    *stub_size* the bytes of a stub."""

    name: str
    segment: str
    address: int
    size: int
    offset: int
    flags: int
    indirect: int
    stub_size: int

    @property
    def end(self) -> int:
        return self.address + self.size

    @property
    def is_code(self) -> bool:
        return bool(self.flags & (S_ATTR_PURE_INSTRUCTIONS | S_ATTR_SOME_INSTRUCTIONS))

    @property
    def has_bytes(self) -> bool:
        """Tell whether the file has its contents."""
        return self.flags & 0xFF not in _ZEROFILL and self.offset > 0


class Command(msgspec.Struct, frozen=True):
    """A load command with its head of 8 bytes."""

    kind: int
    data: bytes


def processor(cpu: int) -> str:
    """Return ``amd64``, ``x86``, ``arm64``, ``arm``, ... or ``cpu-XX`` for a type of processor."""
    return _PROCESSORS.get(cpu, f"cpu-{cpu:X}")


def parse_header(space: AddressSpace, at: int = 0) -> MachHeader:
    """Return the header at *at* of *space*, a file or memory.

    :raises FormatError: none is there, or it is cut short.
    """
    raw = space.read_some(at, 32)
    magic = int.from_bytes(raw[:4], "little")
    if magic not in (MAGIC_64, MAGIC_32):
        raise FormatError("not a Mach-O file", offset=at)
    if len(raw) < 28:
        raise FormatError("the Mach-O header is cut short", offset=at)
    _, cpu, _, kind, count, size = struct.unpack_from("<6I", raw)
    is_64 = magic == MAGIC_64
    return MachHeader(is_64, processor(cpu), kind, count, size)


def load_commands(space: AddressSpace, header: MachHeader, at: int = 0) -> Iterator[Command]:
    """Yield the load commands of the header at *at*: as many as there are bytes of."""
    size = min(header.command_bytes, _MAX_COMMAND_BYTES)
    data = space.read_some(at + header.size, size)
    position = 0
    for _ in range(min(header.command_count, _MAX_COMMANDS)):
        if position + 8 > len(data):
            return
        kind, length = struct.unpack_from("<II", data, position)
        if length < 8 or position + length > len(data):
            return
        yield Command(kind, data[position : position + length])
        position += length


def parse_segment(command: Command) -> MachSegment | None:
    """Return the segment of ``LC_SEGMENT`` or ``LC_SEGMENT_64``, ``None`` if it is cut short."""
    layout = struct.Struct("<16sQQQQIII" if command.kind == LC_SEGMENT_64 else "<16sIIIIIII")
    if len(command.data) < 8 + layout.size:
        return None
    name, address, size, offset, file_size, _, protection, count = layout.unpack_from(
        command.data, 8
    )
    return MachSegment(
        _name(name), address, size, offset, file_size, protection, count, command.data
    )


def parse_sections(segment: MachSegment, *, is_64: bool) -> Iterator[MachSection]:
    """Yield the sections of *segment*: as many as its command holds."""
    start = 72 if is_64 else 56
    layout = _SECTION_LAYOUTS[is_64]
    for index in range(segment.section_count):
        at = start + index * layout.size
        if at + layout.size > len(segment.raw):
            return
        name, owner, address, size, offset, _, _, _, flags, first, second = layout.unpack_from(
            segment.raw, at
        )
        yield MachSection(_name(name), _name(owner), address, size, offset, flags, first, second)


def section_address(segment: MachSegment, name: str, *, is_64: bool) -> int | None:
    """Return the address, as linked, of the section called *name*."""
    found = parse_sections(segment, is_64=is_64)
    return next((each.address for each in found if each.name == name), None)


def command_text(command: Command) -> str:
    """Return the text whose offset in the command is its first number (``LC_ID_DYLIB``)."""
    at = int.from_bytes(command.data[8:12], "little")
    return _name(command.data[at:]) if at >= 12 else ""


def _name(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
