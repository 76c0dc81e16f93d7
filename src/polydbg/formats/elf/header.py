"""The ELF header and the program headers, of files and of images in memory.

Sources: gABI chapter 4 ("ELF Header", "Sections" for the counts in section 0) and chapter 5
("Program Header"). Nothing here trusts a count: tables end where the bytes end.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.elf import constants as elf
from polydbg.memory.space import AddressSpace, ByteOrder

#: A core of a process with the most mappings that Linux allows (``vm.max_map_count`` can be raised)
#: stays far below.
_MAX_SEGMENTS = 1 << 22


class ElfHeader(msgspec.Struct, frozen=True):
    """The file header. Counts are those meant, after ``PN_XNUM`` and the like were resolved.

    *entry* is a virtual address (0 none), *phoff* and *shoff* are file offsets; sizes in bytes.
    """

    is_64: bool
    is_big: bool
    os_abi: int
    abi_version: int
    type: int
    machine: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int

    @property
    def mark(self) -> str:
        """Return the byte order as :mod:`struct` writes it."""
        return ">" if self.is_big else "<"

    @property
    def order(self) -> ByteOrder:
        return "big" if self.is_big else "little"

    @property
    def word(self) -> int:
        """Return the size of an address, in bytes."""
        return 8 if self.is_64 else 4

    @property
    def machine_name(self) -> str:
        return elf.machine_name(self.machine, self.is_64)


class ProgramHeader(msgspec.Struct, frozen=True):
    """A segment: *vaddr* as linked, *offset* in the file, sizes in bytes."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    file_size: int
    memory_size: int
    align: int

    @property
    def is_executable(self) -> bool:
        return bool(self.flags & elf.PF_X)

    @property
    def is_writable(self) -> bool:
        return bool(self.flags & elf.PF_W)

    @property
    def permissions(self) -> str:
        """Return ``r-x`` or the like."""
        bits = ((elf.PF_R, "r"), (elf.PF_W, "w"), (elf.PF_X, "x"))
        return "".join(letter if self.flags & bit else "-" for bit, letter in bits)

    @property
    def end(self) -> int:
        """Return the virtual address behind its last byte."""
        return self.vaddr + self.memory_size


def parse_header(space: AddressSpace) -> ElfHeader:
    """Return the header at the start of *space*, which is addressed by file offsets.

    :raises FormatError: not an ELF file, a class or byte order that does not exist, or cut short.
    """
    head = space.read_some(0, 64)
    if head[:4] != elf.MAGIC:
        raise FormatError("not an ELF file", offset=0)
    if len(head) < 16 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise FormatError("an ELF file of unknown class or byte order", offset=4)
    is_64, is_big = head[4] == 2, head[5] == 2
    layout = struct.Struct(
        (">" if is_big else "<") + ("HHIQQQIHHHHHH" if is_64 else "HHIIIIIHHHHHH")
    )
    if len(head) < 16 + layout.size:
        raise FormatError("the ELF header is cut short", offset=len(head))
    kind, machine, _, entry, phoff, shoff, flags, _, phentsize, phnum, shentsize, shnum, strndx = (
        layout.unpack_from(head, 16)
    )
    header = ElfHeader(
        is_64, is_big, head[7], head[8], kind, machine, entry, phoff, shoff, flags,
        phentsize, phnum, shentsize, shnum, strndx,
    )  # fmt: skip
    if shoff and (phnum == elf.PN_XNUM or not shnum or strndx == elf.SHN_XINDEX):
        return _with_real_counts(space, header)
    return header


def _with_real_counts(space: AddressSpace, header: ElfHeader) -> ElfHeader:
    """Take the counts that do not fit 16 bits from section 0."""
    layout = struct.Struct(header.mark + ("IIQQQQIIQQ" if header.is_64 else "IIIIIIIIII"))
    raw = space.read_some(header.shoff, layout.size)
    if len(raw) < layout.size:
        if header.phnum == elf.PN_XNUM:
            # The table of sections of a truncated core is lost, and with it the count: the
            # reader of segments takes what looks like one.
            return msgspec.structs.replace(header, phnum=_MAX_SEGMENTS, shnum=0)
        return header
    fields = layout.unpack(raw)
    return msgspec.structs.replace(
        header,
        phnum=fields[7] if header.phnum == elf.PN_XNUM else header.phnum,
        shnum=header.shnum or fields[5],
        shstrndx=fields[6] if header.shstrndx == elf.SHN_XINDEX else header.shstrndx,
    )


def parse_segments(space: AddressSpace, header: ElfHeader) -> tuple[ProgramHeader, ...]:
    """Return the program headers: as many as there are bytes of, at most ``header.phnum``.

    :raises FormatError: entries smaller than the class needs.
    """
    if not header.phoff or not header.phnum:
        return ()
    layout = struct.Struct(header.mark + ("IIQQQQQQ" if header.is_64 else "IIIIIIII"))
    stride = header.phentsize
    if stride < layout.size:
        raise FormatError(f"ELF program headers of {stride} bytes", offset=header.phoff)
    count = min(header.phnum, _MAX_SEGMENTS)
    raw = space.read_some(header.phoff, count * stride)
    found = []
    for start in range(0, len(raw) - layout.size + 1, stride):
        fields = layout.unpack_from(raw, start)
        if header.is_64:
            kind, flags, offset, vaddr, paddr, file_size, memory_size, align = fields
        else:
            kind, offset, vaddr, paddr, file_size, memory_size, flags, align = fields
        if header.phnum == _MAX_SEGMENTS and kind not in (elf.PT_LOAD, elf.PT_NOTE):
            break  # behind the table, whose length is not known
        found.append(
            ProgramHeader(kind, flags, offset, vaddr, paddr, file_size, memory_size, align)
        )
    return tuple(found)
