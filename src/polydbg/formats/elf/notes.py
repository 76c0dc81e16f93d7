"""Notes of images: the build id, the system's ABI, the package a file came in.

Sources: gABI chapter 5 ("Note Section"), the GNU ABI extensions (``NT_GNU_*``), systemd's
"Package metadata for executable files". A note of cores has the same frame; what cores put inside
is in :mod:`polydbg.formats.elf.core`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from polydbg.memory.space import ByteOrder

NT_GNU_ABI_TAG, NT_GNU_BUILD_ID = 1, 3
NT_PACKAGE = 0xCAFE1A7E
_SYSTEMS = ("Linux", "Hurd", "Solaris", "FreeBSD", "NetBSD", "Syllable", "NaCl")
MAX_NOTES = 1 << 20
_MAX_BUILD_ID = 64
_MAX_PACKAGE = 1 << 16


class Note(msgspec.Struct, frozen=True):
    """A note: *owner* without its NUL, *offset* of the descriptor in the data that was read."""

    owner: str
    type: int
    descriptor: bytes
    offset: int


def iterate_notes(
    data: bytes, *, big: bool = False, align: int = 4, start: int = 0
) -> Iterator[Note]:
    """Yield the notes in *data*, a note segment or section; *align* is the segment's own (8 is
    honoured, all else means 4). Stops where the data ends or makes no sense. Offsets count from
    *start*, where the data begins.

    Fillers of zeros between notes are skipped.
    """
    layout = struct.Struct(">III" if big else "<III")
    unit = 8 if align == 8 else 4
    position, size = 0, len(data)
    for _ in range(MAX_NOTES):
        # A size of zero begins a filler: nobody writes notes without an owner.
        while position + 12 <= size and not any(data[position : position + 4]):
            position += 4
        if position + 12 > size:
            return
        name_size, desc_size, kind = layout.unpack_from(data, position)
        # The name begins behind twelve bytes; what is aligned are positions, not lengths.
        name = position + 12
        body = (name + name_size + unit - 1) // unit * unit
        if body + desc_size > size:
            return
        owner = data[name : name + name_size].split(b"\0", 1)[0].decode("utf-8", "replace")
        yield Note(owner, kind, data[body : body + desc_size], start + body)
        position = (body + desc_size + unit - 1) // unit * unit


def build_id_of(notes: Iterator[Note]) -> str | None:
    """Return the GNU build id as lower-case hex digits, ``None`` if there is none."""
    for note in notes:
        is_id = note.owner == "GNU" and note.type == NT_GNU_BUILD_ID
        if is_id and 0 < len(note.descriptor) <= _MAX_BUILD_ID:
            return note.descriptor.hex()
    return None


def package_of(notes: Iterator[Note]) -> dict[str, str] | None:
    """Return the texts of the package note (``type``, ``name``, ``version``, ``os``, ...), ``None``
    if there is none or it is not an object of JSON."""
    for note in notes:
        if note.type != NT_PACKAGE or note.owner != "FDO":
            continue
        text = note.descriptor[:_MAX_PACKAGE].rstrip(b"\0")
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if isinstance(found, dict):
            return {key: value for key, value in found.items() if isinstance(value, str)}
    return None


def abi_of(notes: Iterator[Note], *, big: bool = False) -> str | None:
    """Return the system and the oldest kernel of the ABI tag (``Linux 3.2.0``), ``None`` if there
    is none."""
    order: ByteOrder = "big" if big else "little"
    for note in notes:
        if note.owner == "GNU" and note.type == NT_GNU_ABI_TAG and len(note.descriptor) >= 16:
            system, *version = (
                int.from_bytes(note.descriptor[i : i + 4], order) for i in range(0, 16, 4)
            )
            name = _SYSTEMS[system] if system < len(_SYSTEMS) else f"system {system}"
            return f"{name} {'.'.join(map(str, version))}"
    return None
