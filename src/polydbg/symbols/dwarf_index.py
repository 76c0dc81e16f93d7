"""What passes over a large file's DWARF found, kept on disk: one index file for each build.

An index answers which entries describe the types of a name, which unit covers an address, and of
each unit which functions cover which code, where the sequences of its line program begin, and which
scopes its entries lie in. All else is read from the file itself. It is used only for the file it
was made of: with the same build id, size and section headers. A file without a build id has none.

Indexes are read as hostile files are: sizes are checked against the file's, the directory and each
unit's part have checksums, and what fails is not used (and made anew, see
:mod:`polydbg.symbols.dwarf_index_writer`). They lie in a folder for the user alone,
``$POLYDBG_CACHE/dwarf`` or ``dwarf`` in the user's cache; where others could write, there are none.
``POLYDBG_DWARF_INDEX=off`` turns them off.

Layout, numbers in the machine's own order (another machine's index is stale): :data:`HEADER`; the
directory of seven columns of 64-bit numbers with an entry for each unit (:data:`COLUMNS`), then the
code of the units (starts, ends, offsets of units, reaches) and the units that do not tell theirs;
the units' parts, each of the functions (starts, ends, offsets of entries, reaches), the sequences
(addresses, positions), all of 64 bits, and of 32 bits, counted from the unit's start, the entries
with the scopes around them and the variables; at last the named types, the hashes of their plain
names in ascending order, then the offsets of their entries, all of 32 bits.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import msgspec

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line_program import SequenceStarts
from polydbg.formats.dwarf.scopes import ScopeTable
from polydbg.images.elf import ElfImage

MAGIC = b"\x7fpolydbg.dwarf.2\n"
#: Magic, order of bytes, CRC of the rest of the header and the directory, key, size of the file,
#: numbers of units, of ranges of code and of silent units.
HEADER = struct.Struct("=17s3xII4x32sQQQQQQ")
CHECKED_FROM = 32
ORDER_MARK = 0x01020304
COLUMNS = 7
"""Offset of the unit, position of its part, CRC of that, numbers of functions, sequences (plus one;
0 where they are not known), entries with scopes, variables."""
SMALLEST = 2 << 20
"""Files with less ``.debug_info`` than this, in bytes, are read as fast without an index."""
_SWITCH = "POLYDBG_DWARF_INDEX"


def is_on() -> bool:
    """Tell whether indexes are read and written."""
    return os.environ.get(_SWITCH, "").lower() not in ("off", "0", "no")


def folder() -> Path:
    """Return the folder of the indexes."""
    from polydbg.symbols.store.hostpath import cache_folder

    return cache_folder("dwarf")


def lowest_address(image: ElfImage) -> int:
    """Return the address below which *image* has no code: what seems to lie there was dropped by
    the linker."""
    code = (each for each in image.section_headers if each.is_executable and each.address)
    return max(min((each.address for each in code), default=1), 1)


def key_of(image: ElfImage, lowest: int) -> tuple[str, bytes] | None:
    """Return the name and the key of the index of *image*, whose code begins at address *lowest*;
    ``None`` where it can have none.

    :raises FormatError: the headers are damaged.
    """
    from hashlib import sha256

    buffer = image.buffer
    if buffer is None or image.build_id is None or not 16 <= len(image.build_id) <= 128:
        return None
    header = image.header
    size = header.shnum * header.shentsize
    headers = bytes(buffer[header.shoff : header.shoff + size])
    digest = sha256(f"{image.build_id} {len(buffer)} {lowest} {size}\n".encode() + headers).digest()
    return f"{image.build_id[:40]}-{digest[:8].hex()}.idx", digest


class UnitPart(msgspec.Struct, frozen=True):
    """What the index has of one unit. *sequences* are those of its line program, ``None``
    where only the program itself tells."""

    functions: Intervals
    sequences: SequenceStarts | None
    scopes: ScopeTable


class DwarfIndex:
    """An index file, read in place."""

    def __init__(self, data: bytes | mmap.mmap, key: bytes, path: Path | None = None) -> None:
        """Check the header and the directory of *data*, which was read from *path*: where a part
        turns out to be damaged, that is removed.

        :raises FormatError: it is damaged, or of another file, machine or version.
        """
        if len(data) < HEADER.size:
            raise FormatError("the index is cut within its header")
        magic, order, checksum, own, size, units, ranges, silent, names, names_checksum = (
            HEADER.unpack_from(data)
        )
        directory = 8 * (COLUMNS * units + 4 * ranges + silent)
        if magic != MAGIC or order != ORDER_MARK or own != key or size != len(data):
            raise FormatError("the index is of another file or version")
        if directory + 8 * max(names - 1, 0) > size - HEADER.size:
            raise FormatError("the directory of the index is cut")
        view = self._view = memoryview(data)
        if zlib.crc32(view[CHECKED_FROM : HEADER.size + directory]) != checksum:
            raise FormatError("the directory of the index is damaged")
        numbers = view[HEADER.size : HEADER.size + directory].cast("Q")
        self._columns = [numbers[units * each : units * (each + 1)] for each in range(COLUMNS)]
        at = COLUMNS * units
        self.code = Intervals.of(*(numbers[at + ranges * n :][:ranges] for n in range(4)))
        """The code of the units; the values are offsets of units."""
        self.silent: Sequence[int] = numbers[at + 4 * ranges :]
        """The offsets of the units that may have code and do not tell where."""
        self._names = names - 1, names_checksum
        self._parts: dict[int, UnitPart | None] = {}
        self._path = path

    @cached_property
    def _types(self) -> tuple[Sequence[int], Sequence[int]] | None:
        """Return hashes and offsets of the named types, ``None`` where they are not known."""
        count, checksum = self._names
        if count < 0:
            return None
        data = self._view[len(self._view) - 8 * count :]
        if zlib.crc32(data) != checksum:
            self._discard()
            return None
        return data[: 4 * count].cast("I"), data[4 * count :].cast("I")

    def types_named(self, name: bytes) -> list[int] | None:
        """Return the offsets in ``.debug_info`` of the entries of types that may have this plain
        name, in whatever case, definitions first; ``None`` where that is not known."""
        if self._types is None:
            return None
        hashes, offsets = self._types
        wanted = hash_of(name)
        rank, found = bisect_left(hashes, wanted), list[int]()
        while rank < len(hashes) and hashes[rank] == wanted:
            found.append(offsets[rank])
            rank += 1
        return found

    def unit(self, offset: int) -> UnitPart | None:
        """Return what is known of the unit at *offset* of ``.debug_info``, ``None`` for nothing."""
        if offset not in self._parts:
            self._parts[offset] = self._read(offset)
        return self._parts[offset]

    def _read(self, offset: int) -> UnitPart | None:
        rank = bisect_left(self._columns[0], offset)
        if rank == len(self._columns[0]) or self._columns[0][rank] != offset:
            return None
        _, start, checksum, functions, sequences, scopes, variables = (
            column[rank] for column in self._columns
        )
        pairs = max(sequences - 1, 0)
        wide, narrow = 8 * (4 * functions + 2 * pairs), 4 * (2 * scopes + variables)
        data = self._view[start : start + wide + narrow]
        if len(data) != wide + narrow or zlib.crc32(data) != checksum:
            self._discard()
            return None
        words, halves = data[:wide].cast("Q"), data[wide:].cast("I")
        at = 4 * functions
        return UnitPart(
            Intervals.of(*(words[functions * n : functions * (n + 1)] for n in range(4))),
            SequenceStarts(words[at : at + pairs], words[at + pairs :]) if sequences else None,
            ScopeTable(offset, halves[:scopes], halves[scopes : 2 * scopes], halves[2 * scopes :]),
        )

    def _discard(self) -> None:
        if self._path is not None:
            remove(self._path)


def hash_of(name: bytes) -> int:
    """Return the hash of a plain name, the same for each case of its ASCII letters."""
    return zlib.crc32(name.lower())


def find(image: ElfImage, lowest: int) -> DwarfIndex | None:
    """Return the index of *image*, whose code begins at address *lowest*; ``None`` where there is
    none that can be used. One that is damaged is removed."""
    try:
        key = key_of(image, lowest)
        path = folder() / key[0] if key is not None and is_on() else None
    except (DebuggerError, OSError, RuntimeError):
        return None  # such as a user without a home
    if path is None or key is None or not is_private(path.parent):
        return None
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not _is_own(status):
                return None
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    try:
        found = DwarfIndex(data, key[1], path)
    except FormatError:
        remove(path)
        return None
    return found


def remove(path: Path) -> None:
    """Delete an index, if that can be done: on Windows not while it is mapped."""
    with suppress(OSError):
        path.unlink()


def is_private(place: Path) -> bool:
    """Tell whether *place* is a folder of the user's own that no one else can write to."""
    try:
        status = os.lstat(place)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_own(status)


def _is_own(status: os.stat_result) -> bool:
    # Windows' rights are inherited from the user's profile; its modes say nothing.
    if os.name != "posix":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022
