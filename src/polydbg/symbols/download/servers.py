"""The addresses at which a server may have a file.

Symbol stores over HTTP have the layout of those on disk: ``NAME/KEY/NAME``, or with ``index2.txt``
in the root ``na/NAME/KEY/NAME``; the file, its compressed form (``NAM_``), or ``file.ptr``. SSQP
servers have the same with names and keys in lower case. debuginfod has ``buildid/ID/executable``,
``.../debuginfo``, ``.../section/NAME`` and ``.../source/PATH``. Sources:
https://learn.microsoft.com/windows-hardware/drivers/debugger/symbol-storage-format,
https://github.com/dotnet/symstore/blob/main/docs/specs/Simple_Symbol_Query_Protocol.md,
debuginfod(8).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

from polydbg.symbols.download.addresses import joined
from polydbg.symbols.store.layout import packed_name, tier_folder
from polydbg.symbols.store.path import MICROSOFT
from polydbg.symbols.store.remote import FetchRequest, Server, ServerKind
from polydbg.symbols.store.trail import FileKind

TIERS_MARK = "index2.txt"
POINTER = "file.ptr"


class Form(enum.Enum):
    """What lies at an address."""

    PLAIN = "plain"
    PACKED = "packed"  # compressed: the last letter of its name is an underscore
    POINTER = "pointer"  # a text that says where the file is


class Candidate(msgspec.Struct, frozen=True):
    """An address at which a file may be; *origin* is that of the text that led there."""

    url: str
    form: Form = Form.PLAIN
    origin: str = ""


def can_have(server: Server, request: FetchRequest) -> bool:
    """Tell whether *server* is of the kind that has such files: debuginfod servers have ELF files
    by build id and nothing else, Microsoft's has no files of Breakpad's."""
    wanted = request.wanted
    if server.kind is ServerKind.ADDRESS:
        return True
    if server.kind is ServerKind.DEBUGINFOD:
        return bool(wanted.build_id) and wanted.kind is not FileKind.BREAKPAD
    return wanted.kind is not FileKind.BREAKPAD or not server.url.startswith(MICROSOFT)


def candidates(server: Server, request: FetchRequest, *, tiered: bool) -> Iterator[Candidate]:
    """Yield the addresses of a request's file on *server*, the likeliest first. *tiered* says that
    the store has folders by the first two letters."""
    if server.kind is ServerKind.ADDRESS:
        yield Candidate(server.url)
        return
    if server.kind is ServerKind.DEBUGINFOD:
        what = "executable" if request.wanted.kind is FileKind.IMAGE else "debuginfo"
        yield Candidate(joined(server.url, "buildid", request.wanted.build_id, what))
        return
    name, key, file_name = request.name, request.key, request.file_name
    tiers = (tier_folder(name),) if tiered else ()
    folder = (*tiers, name, key)
    yield Candidate(joined(server.url, *folder, file_name))
    yield Candidate(joined(server.url, *folder, packed_name(file_name)), Form.PACKED)
    yield Candidate(joined(server.url, *folder, POINTER), Form.POINTER)
    lower = tuple(part.lower() for part in (*folder, file_name))
    if lower != (*folder, file_name):
        yield Candidate(joined(server.url, *lower))


def tiers_mark(server: Server) -> str:
    """Return the address of the file that says that a store has folders by two letters."""
    return joined(server.url, TIERS_MARK)
