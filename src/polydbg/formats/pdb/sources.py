"""The source-file substream of DBI: which modules name a source file."""

from __future__ import annotations

import struct
from itertools import accumulate

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.dbi import Dbi
from polydbg.formats.pdb.msf import u32_array
from polydbg.formats.pdb.reading import u16


def modules_naming(dbi: Dbi, file_name: bytes) -> list[int]:
    """Return the modules that list a source file with the bare name *file_name*.

    The name is compared without regard to ASCII case. The header's count of files is 16 bits wide
    and overflows; the sum of the modules' counts is what holds.
    """
    data = dbi.stream.read(dbi.sources_at, dbi.sources_size)
    if len(data) < 4:
        return []
    modules = u16(data, 0)
    counts_at = 4 + modules * 2
    offsets_at = counts_at + modules * 2
    if offsets_at > len(data):
        raise FormatError("the list of source files of the PDB ends early")
    counts = struct.unpack_from(f"<{modules}H", data, counts_at)
    starts = list(accumulate(counts, initial=0))
    names_at = offsets_at + starts[-1] * 4
    if names_at > len(data):
        raise FormatError("the list of source files of the PDB ends early")
    wanted = _names_ending_in(data[names_at:], file_name.lower())
    if not wanted:
        return []
    offsets = u32_array(data[offsets_at:names_at])
    return [
        module
        for module in range(modules)
        if not wanted.isdisjoint(offsets[starts[module] : starts[module + 1]])
    ]


def _names_ending_in(names: bytes, file_name: bytes) -> set[int]:
    """Return where the names begin whose last component is *file_name* (lower case)."""
    folded = names.lower()
    needle = file_name + b"\0"
    found = set()
    position = folded.find(needle)
    while position >= 0:
        start = folded.rfind(b"\0", 0, position) + 1
        if start == position or folded[position - 1 : position] in (b"\\", b"/"):
            found.add(start)
        position = folded.find(needle, position + 1)
    return found


def last_component(path: str) -> str:
    """Return the bare file name of a path in Windows' or Unix' notation."""
    return path.replace("/", "\\").rpartition("\\")[2]


def path_matches(stored: str, wanted: str) -> bool:
    """Tell whether *wanted* names *stored*: the whole path, or its last components."""
    stored, wanted = (each.replace("/", "\\").lower() for each in (stored, wanted))
    return stored == wanted or stored.endswith("\\" + wanted.lstrip("\\"))
