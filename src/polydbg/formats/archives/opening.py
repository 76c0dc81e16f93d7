"""Opens an archive by its first bytes, and names the kinds that are not opened."""

from __future__ import annotations

from collections.abc import Iterator

from polydbg.base.errors import FormatError
from polydbg.formats.archives.archive import (
    Archive,
    Budget,
    CompressionError,
    SeekableStream,
)

HEAD_SIZE = 512

_REFUSED = {
    b"SZDD": "SZDD",
    b"KWAJ": "KWAJ",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "lz4",
}


def open_archive(stream: SeekableStream, size: int, name: str = "") -> Archive | None:
    """Return the archive in *stream*, of *size* bytes, or ``None`` when it is none.

    *name* is what the only member of a compressed file is called.

    :raises FormatError: it is damaged.
    :raises CompressionError: an archive of a kind that is not opened.
    """
    from polydbg.formats.archives.codecs import MAGICS, CompressedFile

    stream.seek(0)
    head = stream.read(HEAD_SIZE)
    stream.seek(0)
    if head.startswith(b"MSCF"):
        from polydbg.formats.archives.cabinet import CabinetArchive

        return CabinetArchive(stream)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        from polydbg.formats.archives.zip_archive import ZipArchive

        return ZipArchive(stream, size)
    for magic, codec in MAGICS.items():
        if head.startswith(magic):
            return CompressedFile(stream, codec, name)
    from polydbg.formats.archives.tar_archive import TarArchive, is_tar

    if is_tar(head):
        return TarArchive(stream, size)
    for magic, kind in _REFUSED.items():
        if head.startswith(magic):
            raise CompressionError(f"compressed as {kind}, which is not supported")
    return None


def expand_first(stream: SeekableStream, size: int, most: int) -> Iterator[bytes]:
    """Yield the first file in *stream*, a packed file of *size* bytes: stores compress one file at
    a time. *most* bounds what comes out, in bytes.

    :raises FormatError: damaged, or beyond the bounds of size and ratio.
    :raises CompressionError: packed in another way.
    """
    archive = open_archive(stream, size)
    if archive is None:
        raise FormatError("neither a cabinet nor a zip file", offset=0)
    if not archive.members:
        raise FormatError("an empty archive")
    return archive.expand(archive.members[0], Budget(size, most))
