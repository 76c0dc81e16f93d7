"""Where an image says that its debug information is: a file by name and CRC, a supplement by build
id, or a compressed symbol table inside itself.

Sources: GDB's manual, "Separate Debug Files" and "MiniDebugInfo"; dwz's documentation of
``.gnu_debugaltlink``; DWARF 5 section 7.3.6 (``.debug_sup``).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import msgspec

from polydbg.formats.dwarf.reading import cstring, uleb128
from polydbg.formats.section import Section
from polydbg.memory.space import Buffer, ByteOrder

_MAX_LINK = 1 << 16
_BLOCK = 1 << 20
_MAX_MINI_DEBUG = 256 << 20


class DebugLink(msgspec.Struct, frozen=True):
    """``.gnu_debuglink``: the name of a file, without folders, and the CRC-32 of all its bytes."""

    name: str
    crc: int


class AltLink(msgspec.Struct, frozen=True):
    """``.gnu_debugaltlink`` or ``.debug_sup``: the path of the supplementary file and its id as
    lower-case hex digits."""

    path: str
    build_id: str


def parse_debug_link(section: Section, order: ByteOrder) -> DebugLink:
    """Return what ``.gnu_debuglink`` says.

    :raises FormatError: the name does not end, or there is no CRC.
    """
    data = section.rest(0, _MAX_LINK)
    name, end = cstring(data, 0)
    crc = section.take((end + 3) // 4 * 4, 4)
    return DebugLink(name.decode("utf-8", "replace"), int.from_bytes(crc, order))


def parse_alt_link(section: Section) -> AltLink:
    """Return what ``.gnu_debugaltlink`` says.

    :raises FormatError: the path does not end.
    """
    data = section.rest(0, _MAX_LINK)
    path, end = cstring(data, 0)
    return AltLink(path.decode("utf-8", "replace"), data[end:].hex())


def parse_supplementary(section: Section) -> AltLink | None:
    """Return the supplementary file that ``.debug_sup`` names; ``None`` in one itself.

    :raises FormatError: it is cut short.
    """
    data = section.rest(0, _MAX_LINK)
    if section.number(0, 2) != 5 or section.number(2, 1) != 0:
        return None
    path, position = cstring(data, 3)
    size, position = uleb128(data, position)
    return AltLink(path.decode("utf-8", "replace"), section.take(position, size).hex())


def crc_of(data: Buffer, poll: Callable[[], None] = lambda: None) -> int:
    """Return the CRC-32 that ``.gnu_debuglink`` uses of a whole file; *poll* is called now and
    then."""
    crc = 0
    for start in range(0, len(data), _BLOCK):
        poll()
        crc = zlib.crc32(data[start : start + _BLOCK], crc)
    return crc


def expand_mini_debug(section: Section) -> bytes:
    """Return the ELF file inside ``.gnu_debugdata``.

    :raises FormatError: damaged, or far larger than such a table can be.
    """
    from polydbg.formats.archives.archive import Budget
    from polydbg.formats.archives.codecs import expand

    budget = Budget(section.size, _MAX_MINI_DEBUG)
    return b"".join(expand(_blocks(section), "xz", budget))


def _blocks(section: Section) -> Iterator[bytes]:
    for start in range(0, section.size, _BLOCK):
        yield section.rest(start, _BLOCK)
