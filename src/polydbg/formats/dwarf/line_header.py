"""Headers of line programs: directories, files and the sizes of operations.

Numbers of files begin at 1 in versions 2 to 4, where directory 0 is the one of compilation, and at
0 in version 5. Source: DWARF 5 section 6.2.4, DWARF 4 section 6.2.4.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.dwarf import constants as c
from polydbg.formats.dwarf.abbrev import Encoding
from polydbg.formats.dwarf.forms import Value, read_value
from polydbg.formats.dwarf.reading import cstring, initial_length, uleb128, unsigned
from polydbg.formats.section import Section
from polydbg.memory.space import ByteOrder

_MAX_NAMES = 1 << 20
_MAX_FORMATS = 64
_LNCT_PATH, _LNCT_DIRECTORY, _LNCT_MD5 = 1, 2, 5

StringReader = Callable[[int, Value], bytes | None]
"""From (form, value) of a name to its bytes: what :meth:`Unit.string` does."""


class FileEntry(msgspec.Struct, frozen=True):
    """A file of the table: its name, the number of its directory, its MD5 or ``b""``."""

    name: str
    directory: int
    md5: bytes = b""


class LineHeader(msgspec.Struct, frozen=True):
    """The header of a line program. *program* is the operations' bytes, *first_file* 0 or 1."""

    version: int
    address_size: int
    order: ByteOrder
    min_instruction_length: int
    default_is_stmt: bool
    line_base: int
    line_range: int
    opcode_base: int
    opcode_lengths: bytes
    directories: tuple[str, ...]
    files: tuple[FileEntry, ...]
    program: bytes

    @property
    def first_file(self) -> int:
        return 0 if self.version >= 5 else 1

    def path(self, number: int, comp_dir: str) -> str:
        """Return the path of file *number*, ``""`` where the table has no such file."""
        index = number - self.first_file
        if not 0 <= index < len(self.files):
            return ""
        entry = self.files[index]
        if is_absolute(entry.name):
            return entry.name
        directory = entry.directory - self.first_file
        folder = self.directories[directory] if 0 <= directory < len(self.directories) else ""
        if not is_absolute(folder):
            folder = join(comp_dir, folder)
        return join(folder, entry.name)


def is_absolute(path: str) -> bool:
    """Tell whether *path* begins at a root, in the notation of Unix or Windows."""
    return path[:1] in ("/", "\\") or (path[1:2] == ":" and path[:1].isalpha())


def join(folder: str, name: str) -> str:
    """Return *name* within *folder*, with the separator that the folder uses."""
    if not folder or not name:
        return folder or name
    if folder[-1] in "/\\":
        return folder + name
    separator = "\\" if "\\" in folder and "/" not in folder else "/"
    return f"{folder}{separator}{name}"


def read_header(
    section: Section, offset: int, address_size: int, strings: StringReader
) -> LineHeader:
    """Return the header of the line program at *offset* of ``.debug_line``.

    *address_size* holds for versions before 5, which do not say it. A program that passes the end
    of its section is cut there.

    :raises FormatError: unknown version, or the header is damaged.
    """
    order = section.order
    length, offset_size, start = initial_length(section.rest(offset, 12), 0, order)
    data = section.rest(offset, start + length)
    position = start
    version = unsigned(data, position, 2, order)
    position += 2
    if not 2 <= version <= 5:
        raise FormatError(f"DWARF line table of version {version}", offset=offset)
    if version >= 5:
        address_size = unsigned(data, position, 1, order)
        position += 2
    header_length = unsigned(data, position, offset_size, order)
    position += offset_size
    program = position + header_length
    min_length = unsigned(data, position, 1, order)
    # The operations of one instruction (VLIW) are not told apart.
    position += 2 if version >= 4 else 1
    is_stmt, base, line_range, opcode_base = data[position : position + 4].ljust(4, b"\0")
    position += 4
    lengths = data[position : position + max(opcode_base - 1, 0)]
    position += len(lengths)
    if address_size not in (1, 2, 4, 8) or program > len(data):
        raise FormatError("the header of a DWARF line table is damaged", offset=offset)
    encoding = Encoding(version, address_size, offset_size)
    if version >= 5:
        folders, position = _entries(data, position, encoding, order, strings)
        files, position = _entries(data, position, encoding, order, strings)
        directories = tuple(each.name for each in folders)
    else:
        directories, files = _old_tables(data[:program], position)
    return LineHeader(
        version,
        address_size,
        order,
        min_length,
        is_stmt != 0,
        base - 256 if base > 127 else base,
        line_range,
        opcode_base,
        lengths,
        directories,
        files,
        data[program:],
    )


def _old_tables(data: bytes, position: int) -> tuple[tuple[str, ...], tuple[FileEntry, ...]]:
    directories: list[str] = []
    files: list[FileEntry] = []
    for _ in range(_MAX_NAMES):
        name, position = cstring(data, position)
        if not name:
            break
        directories.append(text(name))
    for _ in range(_MAX_NAMES):
        name, position = cstring(data, position)
        if not name:
            break
        entry, position = old_file(data, position, name)
        files.append(entry)
    return tuple(directories), tuple(files)


def old_file(data: bytes, position: int, name: bytes) -> tuple[FileEntry, int]:
    """Return the file entry of a version before 5 whose numbers begin at *position*."""
    directory, position = uleb128(data, position)
    _, position = uleb128(data, position)
    _, position = uleb128(data, position)
    return FileEntry(text(name), directory), position


def _entries(
    data: bytes, position: int, encoding: Encoding, order: ByteOrder, strings: StringReader
) -> tuple[tuple[FileEntry, ...], int]:
    """Return a table of version 5, which describes its own columns."""
    count = unsigned(data, position, 1, order)
    position += 1
    if count > _MAX_FORMATS:
        raise FormatError("a DWARF line table has too many columns", offset=position)
    columns: list[tuple[int, int]] = []
    for _ in range(count):
        content, position = uleb128(data, position)
        form, position = uleb128(data, position)
        columns.append((content, form))
    rows, position = uleb128(data, position)
    if rows > min(_MAX_NAMES, len(data)):
        raise FormatError("a DWARF line table has too many files", offset=position)
    found: list[FileEntry] = []
    for _ in range(rows):
        name, directory, md5 = "", 0, b""
        for content, form in columns:
            form, value, position = read_value(data, position, form, 0, encoding, order)
            if content == _LNCT_PATH:
                name = text(strings(form, value) or b"")
            elif content == _LNCT_DIRECTORY and isinstance(value, int):
                directory = value
            elif content == _LNCT_MD5 and isinstance(value, bytes) and form == c.FORM_DATA16:
                md5 = value
        found.append(FileEntry(name, directory, md5))
    return tuple(found), position


def text(name: bytes) -> str:
    """Return a name as text: UTF-8, else each byte as a character."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")
