"""Tells what a file is by its first bytes: the dumps, images and containers that people open.

Facts: section 2 of the dump-file reference; magic numbers are those of each format's definition.
"""

from __future__ import annotations

import enum

import msgspec

HEAD_SIZE = 512
"""Bytes to read for :func:`identify`."""


class FileClass(enum.Enum):
    """What one can do with a file."""

    MINIDUMP = "minidump"
    USER_DUMP = "legacy user dump"
    ELF_CORE = "ELF core"
    MACHO_CORE = "Mach-O core"
    OTHER_DUMP = "dump"
    CONTAINER = "container"
    IMAGE = "image"
    OTHER = "other"


class FileKind(msgspec.Struct, frozen=True):
    """*name* completes "this is ..."."""

    file_class: FileClass
    name: str


_MAGICS: tuple[tuple[bytes, FileClass, str], ...] = (
    (b"MDMP", FileClass.MINIDUMP, "a minidump"),
    (b"PMDM", FileClass.OTHER_DUMP, "a big-endian minidump"),
    (b"PAGEDU64", FileClass.OTHER_DUMP, "a 64-bit Windows kernel dump"),
    (b"PAGEDUMP", FileClass.OTHER_DUMP, "a 32-bit Windows kernel dump"),
    (b"PAGEPAGE", FileClass.OTHER_DUMP, "an unfinished Windows kernel dump"),
    (b"USERDU64", FileClass.USER_DUMP, "a legacy 64-bit user dump"),
    (b"USERDUMP", FileClass.USER_DUMP, "a legacy 32-bit user dump"),
    (b"KDUMP   ", FileClass.OTHER_DUMP, "a compressed Linux kernel dump (kdump)"),
    (b"DISKDUMP", FileClass.OTHER_DUMP, "a compressed Linux kernel dump (diskdump)"),
    (b"makedumpfile\0", FileClass.OTHER_DUMP, "a flattened Linux kernel dump"),
    (b"minidump FreeBSD/", FileClass.OTHER_DUMP, "a FreeBSD kernel minidump"),
    (b"EMiL", FileClass.OTHER_DUMP, "a LiME memory image"),
    (b"AVML", FileClass.OTHER_DUMP, "an AVML memory image"),
    (b"hibr", FileClass.OTHER_DUMP, "a Windows hibernation file"),
    (b"HIBR", FileClass.OTHER_DUMP, "a Windows hibernation file"),
    (b"wake", FileClass.OTHER_DUMP, "a Windows hibernation file"),
    (b"WAKE", FileClass.OTHER_DUMP, "a Windows hibernation file"),
    (b"RSTR", FileClass.OTHER_DUMP, "a Windows hibernation file"),
    (b"MSCF", FileClass.CONTAINER, "a CAB archive"),
    (b"PK\3\4", FileClass.CONTAINER, "a ZIP archive"),
    (b"PK\5\6", FileClass.CONTAINER, "an empty ZIP archive"),
    (b"\x1f\x8b", FileClass.CONTAINER, "a gzip file"),
    (b"\xfd7zXZ\0", FileClass.CONTAINER, "an xz file"),
    (b"\x28\xb5\x2f\xfd", FileClass.CONTAINER, "a zstd file"),
    (b"\x04\x22\x4d\x18", FileClass.CONTAINER, "an lz4 file"),
    (b"BZh", FileClass.CONTAINER, "a bzip2 file"),
    (b"7z\xbc\xaf\x27\x1c", FileClass.CONTAINER, "a 7z archive"),
    (b"Rar!\x1a\x07", FileClass.CONTAINER, "a RAR archive"),
    (b"ProblemType:", FileClass.CONTAINER, "an apport report"),
    (b"Microsoft C/C++ MSF 7.00", FileClass.OTHER, "a PDB (symbols, not a dump)"),
    (b"MODULE ", FileClass.OTHER, "a Breakpad symbol file"),
    (b"TTD", FileClass.OTHER, "a time-travel trace"),
    (b"version https://git-lfs", FileClass.OTHER, "a Git LFS pointer, not the file itself"),
    (b"MZ", FileClass.IMAGE, "a Windows executable image"),
)

_MACH_MAGICS = {
    b"\xcf\xfa\xed\xfe": "64-bit",
    b"\xce\xfa\xed\xfe": "32-bit",
}


def identify(head: bytes) -> FileKind | None:
    """Return what the file with these first bytes is, or ``None`` when nothing is known of it."""
    for magic, file_class, name in _MAGICS:
        if head.startswith(magic):
            return FileKind(file_class, name)
    if head.startswith(b"\x7fELF"):
        order = "big" if head[5:6] == b"\2" else "little"
        if int.from_bytes(head[16:18], order) == 4:  # type: ignore[arg-type]
            return FileKind(FileClass.ELF_CORE, "an ELF core")
        return FileKind(FileClass.IMAGE, "an ELF image")
    if head[:4] in _MACH_MAGICS:
        bits = _MACH_MAGICS[head[:4]]
        if int.from_bytes(head[12:16], "little") == 4:
            return FileKind(FileClass.MACHO_CORE, f"a {bits} Mach-O core")
        return FileKind(FileClass.IMAGE, f"a {bits} Mach-O image")
    return _by_content(head)


def _by_content(head: bytes) -> FileKind | None:
    if not head:
        return FileKind(FileClass.OTHER, "an empty file")
    if head[257:262] == b"ustar":
        return FileKind(FileClass.CONTAINER, "a tar archive")
    if not any(head):
        return FileKind(FileClass.OTHER, "all zero at its start: an unfinished or sparse copy?")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return FileKind(FileClass.OTHER, "HTML: a download that ended on a web page?")
    if start.startswith(b"<?xml"):
        return FileKind(FileClass.OTHER, "XML")
    if b"-----begin breakpad microdump" in head.lower():
        return FileKind(FileClass.OTHER, "a Breakpad microdump (text)")
    if start[:1] in (b"{", b"["):
        return FileKind(FileClass.OTHER, "JSON")
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return FileKind(FileClass.OTHER, "text")
    return None
