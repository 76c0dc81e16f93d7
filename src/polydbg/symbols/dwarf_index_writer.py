"""Makes the indexes that :mod:`polydbg.symbols.dwarf_index` reads, in a process of its own.

The process is started when a large file is read that has no index, at a low priority, and goes
on after the debugger has ended; ending it does no harm. While it works, and for an hour after it
has failed, its unfinished file keeps others from trying the same. When the folder grows beyond
:data:`MAX_FOLDER`, the indexes that were made first go.

``python -m polydbg.symbols.dwarf_index_writer FILE [LOWEST]`` makes one at once. *LOWEST* is the
address where the code of the program begins, where FILE is its debug file and cannot tell.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from polydbg.base.errors import DebuggerError, FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.coverage import Coverage
from polydbg.formats.dwarf.functions import functions_of
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.intervals import Intervals
from polydbg.formats.dwarf.line_header import read_header
from polydbg.formats.dwarf.line_program import SequenceStarts, sequence_starts
from polydbg.formats.dwarf.named_types import named_types
from polydbg.formats.dwarf.scopes import ScopeTable, scope_table
from polydbg.formats.dwarf.unit import Unit
from polydbg.images.elf import ElfImage
from polydbg.symbols.dwarf_index import (
    CHECKED_FROM,
    COLUMNS,
    HEADER,
    MAGIC,
    ORDER_MARK,
    folder,
    hash_of,
    is_private,
    key_of,
    lowest_address,
    remove,
)

MAX_FOLDER = 1 << 30
"""Bytes that all indexes together may have."""
_MAX_SIZE = 256 << 20
_STALE_SECONDS = 3600
_PRIORITY = 10
_PARTS = 64
_OFFSET_BITS = 31
_started: list[subprocess.Popen[bytes]] = []


def start(image: ElfImage, lowest: int) -> None:
    """Start making the index of *image* in the background, unless another one is being made by this
    process, or this one by another. What prevents it is no error."""
    if any(each.poll() is None for each in _started) or image.path is None:
        return
    program = sys.executable or ""
    if not Path(program).name.lower().startswith("python"):
        return  # part of another program, which does not take our arguments
    with suppress(DebuggerError, OSError, RuntimeError):
        key = key_of(image, lowest)
        place = _prepared() if key is not None else None
        if key is None or place is None or _is_being_made(place / key[0]):
            return
        argv = [program, "-P", "-m", __name__, os.path.abspath(image.path), str(lowest)]
        _started[:] = [
            subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=place,
                start_new_session=True,
                creationflags=_background_flags(),
            )
        ]


def _background_flags() -> int:
    """Return how Windows is told: no console, and a priority below that of what users wait for."""
    return sum(
        getattr(subprocess, name, 0) for name in ("DETACHED_PROCESS", "BELOW_NORMAL_PRIORITY_CLASS")
    )


def make(path: Path, lowest: int | None = None) -> bool:
    """Make the index of the file at *path*; return whether it was made. *lowest* is the address
    where the code of its program begins, ``None`` where the file tells.

    :raises FormatError: the file is no ELF file or damaged.
    :raises OSError: it cannot be read, or the index cannot be written.
    """
    image = ElfImage.from_file(path)
    try:
        if lowest is None:
            lowest = lowest_address(image)
        key = key_of(image, lowest)
        place = _prepared() if key is not None else None
        if key is None or place is None:
            return False
        target = place / key[0]
        part = target.with_suffix(".part")
        if _is_being_made(target):
            return False
        with open(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            is_made = _write(file, image, lowest, key[1])
        if is_made:
            os.replace(part, target)
            _tidy(place)
        return is_made
    finally:
        image.close()


def _prepared() -> Path | None:
    """Return the folder, made if it is not there; ``None`` where others can write to it."""
    place = folder()
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    return place if is_private(place) else None


def _is_being_made(target: Path) -> bool:
    """Tell whether another process makes, or lately failed to make, the index *target*; what it
    left behind long ago is removed."""
    part = target.with_suffix(".part")
    try:
        age = time.time() - part.stat().st_mtime
    except OSError:
        return False
    if 0 <= age < _STALE_SECONDS:
        return True
    remove(part)
    return False


def _tidy(place: Path) -> None:
    """Remove the oldest indexes until the rest is small enough."""
    found: list[tuple[float, int, Path]] = []
    for path in place.glob("*.idx"):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    room = MAX_FOLDER
    for _, size, path in sorted(found, reverse=True):
        room -= size
        if room < 0:
            remove(path)


def _write(file: BinaryIO, image: ElfImage, lowest: int, key: bytes) -> bool:
    """Write the index; return ``False`` for what has none: split units, whose entries lie in other
    files, and what would be too large."""
    dwarf = DwarfFile(image.debug_sections())
    units = [unit for unit in dwarf.units() if not unit.header.is_type]
    code, silent = Coverage(dwarf, lowest).table
    columns = [array("Q") for _ in range(COLUMNS)]
    directory = 8 * (COLUMNS * len(units) + 4 * len(code) + len(silent))
    position = HEADER.size + directory
    file.seek(position)
    for unit in units:
        if _is_split(unit):
            return False
        data, counts = _part(unit, lowest)
        file.write(data)
        row = (unit.header.offset, position, zlib.crc32(data), *counts)
        for column, number in zip(columns, row, strict=True):
            column.append(number)
        position += len(data)
        if position > _MAX_SIZE:
            return False
    names = _type_names(dwarf)
    data = b"".join(names or ())
    file.write(data)
    position += len(data)
    rest = b"".join(map(_wide, (*columns, *_of_intervals(code), silent)))
    known = len(names[0]) // 4 + 1 if names is not None else 0
    sizes = len(units), len(code), len(silent), known, zlib.crc32(data)
    header = HEADER.pack(MAGIC, ORDER_MARK, 0, key, position, *sizes)
    checksum = zlib.crc32(rest, zlib.crc32(header[CHECKED_FROM:]))
    file.seek(0)
    file.write(HEADER.pack(MAGIC, ORDER_MARK, checksum, key, position, *sizes) + rest)
    return True


def _type_names(dwarf: DwarfFile) -> tuple[bytes, bytes] | None:
    """Return the hashes of the plain names of all types, in ascending order, and the offsets of
    their entries, definitions before declarations; ``None`` where these are not all in
    ``.debug_info`` or in this file."""
    info = dwarf.get(".debug_info")
    alien = (".debug_types", ".gnu_debugaltlink", ".debug_sup")
    if info.size >= 1 << _OFFSET_BITS or any(dwarf.sections.get(each).size for each in alien):
        return None
    # One number for each: hash, whether it is a declaration, offset. Sorted by parts, which takes
    # less memory.
    parts = [array("Q") for _ in range(_PARTS)]
    for unit in dwarf.units():
        with suppress(FormatError):
            for offset, name, is_declared in named_types(unit):
                value = hash_of(name)
                row = (value << 1 | is_declared) << _OFFSET_BITS | offset
                parts[value * _PARTS >> 32].append(row)
    hashes, offsets = array("I"), array("I")
    for part in parts:
        for row in sorted(part):
            hashes.append(row >> _OFFSET_BITS + 1)
            offsets.append(row & (1 << _OFFSET_BITS) - 1)
    return hashes.tobytes(), offsets.tobytes()


def _is_split(unit: Unit) -> bool:
    try:
        return not {c.AT_DWO_NAME, c.AT_GNU_DWO_NAME}.isdisjoint(unit.root.attributes)
    except FormatError:
        return False


def _part(unit: Unit, lowest: int) -> tuple[bytes, tuple[int, int, int, int]]:
    """Return the part of *unit*, and the numbers of functions, sequences (plus one; 0 for unknown),
    scopes and variables in it. Of what is damaged nothing is found."""
    functions, scopes, sequences = Intervals(()), _NO_SCOPES, None
    with suppress(FormatError):
        functions = functions_of(unit, lowest)
        scopes = scope_table(unit)
    with suppress(FormatError):
        sequences = _sequences(unit)
    known = sequences or SequenceStarts((), ())
    wide = (*_of_intervals(functions), known.addresses, known.positions)
    narrow = scopes.offsets, scopes.parents, scopes.variables
    data = b"".join([*map(_wide, wide), *(array("I", each).tobytes() for each in narrow)])
    starts = len(known.addresses) + 1 if sequences is not None else 0
    return data, (len(functions), starts, len(scopes.offsets), len(scopes.variables))


_NO_SCOPES = ScopeTable(0, (), (), ())


def _sequences(unit: Unit) -> SequenceStarts | None:
    offset = unit.root.number(c.AT_STMT_LIST)
    if offset is None:
        return None
    section = unit.file.sections.get(".debug_line")
    return sequence_starts(read_header(section, offset, unit.header.address_size, unit.string))


def _of_intervals(intervals: Intervals) -> tuple[Sequence[int], ...]:
    return intervals.starts, intervals.ends, intervals.values, intervals.reaches


def _wide(numbers: Sequence[int]) -> bytes:
    return array("Q", numbers).tobytes()


def main() -> int:
    """Make the index of the file that the command line names."""
    with suppress(AttributeError, OSError):
        os.nice(_PRIORITY)
    try:
        return 0 if make(Path(sys.argv[1]), *map(int, sys.argv[2:3])) else 1
    except (DebuggerError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
