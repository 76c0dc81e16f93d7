"""What a file is to a symbol store, by its content: its kind, its folder and its key.

PDBs and PE images are kept under their own names, Breakpad's files under that of the file which
they are about; ELF and Mach-O files have keys with a word before the id, their debug information
the name ``_.debug`` or ``_.dwarf``. Source of the keys:
https://github.com/dotnet/symstore/blob/main/docs/specs/SSQP_Key_Conventions.md
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from polydbg.base.errors import FormatError, TargetError
from polydbg.symbols.store.hostpath import base_name
from polydbg.symbols.store.remote import IdCheck
from polydbg.symbols.store.trail import FileKind

_BUILD_ID = re.compile(r"(?:[0-9a-f]{2}){4,64}")
_BUILD_ID_SIZE = 20  # bytes of a build id in keys; shorter ones are padded
_MACHO = frozenset(
    bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")
)


class Content(msgspec.Struct, frozen=True):
    """What a file serves as. *kind* is ``pdb``, ``image``, ``executable``, ``debuginfo`` or
    ``breakpad``; *name* the folder in a store, ``""`` where it is the file's own name; *build_id*
    what debuginfod knows it by, or ``""``."""

    kind: str
    key: str
    name: str = ""
    build_id: str = ""

    @property
    def store_kind(self) -> FileKind:
        """Return the kind of file as searches name it."""
        if self.kind == "breakpad":
            return FileKind.BREAKPAD
        return FileKind.IMAGE if self.kind in ("image", "executable") else FileKind.PDB


def is_build_id(text: str) -> bool:
    """Tell whether *text* is a build id as keys and addresses have it: lower-case hex digits."""
    return _BUILD_ID.fullmatch(text) is not None


def elf_key(build_id: str, *, debug: bool) -> str:
    """Return the key of an ELF file, or of the debug information of one, by its build id."""
    return f"elf-buildid-{'sym-' if debug else ''}{build_id.ljust(2 * _BUILD_ID_SIZE, '0')}"


def macho_key(uuid: bytes, *, debug: bool) -> str:
    """Return the key of a Mach-O file, or of the debug information of one, by its UUID."""
    return f"mach-uuid-{'sym-' if debug else ''}{uuid.hex()}"


def contents_of(path: Path, key: str = "") -> tuple[Content, ...]:
    """Return what the file at *path* serves as: an ELF file that was not stripped is executable and
    debug information. Of a universal Mach-O file the part that *key* is of counts, else the first.

    :raises FormatError: it is no such file, damaged, or has no id.
    :raises OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(32)
    try:
        found = _contents(path, start, key)
    except TargetError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise
    if not found:
        raise FormatError("the file does not say of which build it is")
    return found


def _contents(path: Path, start: bytes, key: str) -> tuple[Content, ...]:
    if start.startswith(b"Microsoft C/C++ "):
        return _of_pdb(path)
    if start.startswith(b"MZ"):
        return _of_pe(path)
    if start.startswith(b"\x7fELF"):
        return _of_elf(path)
    if start[:4] in _MACHO:
        return _of_macho(path, key)
    if start.startswith(b"MODULE "):
        return _of_breakpad(path)
    raise FormatError("neither a PDB nor an image, debug information or a Breakpad file")


def _of_pdb(path: Path) -> tuple[Content, ...]:
    from polydbg.symbols.pdb import open_pdb

    source = open_pdb(path)
    try:
        return (Content("pdb", source.debug_id.key),)
    finally:
        source.close()


def _of_pe(path: Path) -> tuple[Content, ...]:
    from polydbg.images.pe import PeImage

    image = PeImage.from_file(path)
    try:
        return (Content("image", image.code_id.key),)
    finally:
        image.close()


def _of_elf(path: Path) -> tuple[Content, ...]:
    from polydbg.images.elf import ElfImage

    image = ElfImage.from_file(path)
    try:
        build_id = image.build_id
        if not build_id:
            return ()
        found = []
        if not image.is_debug_only:
            found.append(Content("executable", elf_key(build_id, debug=False), "", build_id))
        if image.debug_sections().get(".debug_info").size or image.is_debug_only:
            debug_key = elf_key(build_id, debug=True)
            found.append(Content("debuginfo", debug_key, "_.debug", build_id))
        return tuple(found)
    finally:
        image.close()


def _of_macho(path: Path, key: str) -> tuple[Content, ...]:
    from polydbg.formats.macho.header import MH_DSYM
    from polydbg.images.macho import MachoImage

    digits = key.rpartition("-")[2]
    is_uuid = len(digits) == 32 and not digits.strip("0123456789abcdef")
    image = MachoImage.from_file(path, uuid=bytes.fromhex(digits) if is_uuid else None)
    try:
        uuid = image.uuid
        if uuid is None:
            return ()
        if image.header.file_type == MH_DSYM:
            return (Content("debuginfo", macho_key(uuid, debug=True), "_.dwarf"),)
        return (Content("executable", macho_key(uuid, debug=False)),)
    finally:
        image.close()


def _of_breakpad(path: Path) -> tuple[Content, ...]:
    from polydbg.symbols.breakpad import open_breakpad

    source = open_breakpad(path)
    try:
        debug_id = source.debug_id
        return (
            (Content("breakpad", debug_id.key, base_name(source.module_name)),) if debug_id else ()
        )
    finally:
        source.close()


def check_content(path: Path, kind: str, key: str) -> IdCheck:
    """Tell whether the file at *path* is the one of that kind and key: what verifies a file by
    nothing but its place in a store.

    :raises FormatError: as :func:`contents_of`.
    :raises OSError: it cannot be read.
    """
    found = contents_of(path, key)
    matches = any(each.kind == kind and each.key.lower() == key.lower() for each in found)
    other = found[0]
    same_key = not matches and any(each.key.lower() == key.lower() for each in found)
    difference = f"it is of kind {other.kind}, not {kind}" if same_key or other.kind != kind else ""
    return IdCheck(matches, other.key, difference="" if matches else difference)
