"""Finding the dump in an archive and unpacking it: bounded, cancellable, and never left behind.

Members that lie in their archive as they are (stored zip members, tar) are used in place. Others
are expanded into a temporary file without a name, which the system removes when it is closed,
even when we are killed. Names of members are only ever shown and compared.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Sequence

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import FormatError, TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.formats.archives.archive import (
    Archive,
    Budget,
    BudgetError,
    CompressionError,
    EncryptionError,
    Member,
)
from polydbg.formats.archives.opening import HEAD_SIZE, open_archive
from polydbg.formats.archives.streams import BufferStream
from polydbg.formats.identify import FileClass, identify
from polydbg.memory.temporary import unpacked
from polydbg.targets.dump_file import DumpFile, shown_path

MAX_DEPTH = 3
MAX_UNPACKED = 8 << 30
"""Most bytes that one dump, with the archives around it, may expand to."""
FREE_UNPACKED = 2 << 30
"""Bytes that it may expand to however small it is: the memory of cores is mostly zeros, which
take no room on most disks."""
MAX_HEADS = 256
"""How many members without the name of a dump are looked into."""

Progress = Callable[[str, int, int], None]

_DUMP_NAMES = (".dmp", ".mdmp", ".hdmp", ".kdmp")
_DUMPS = (
    FileClass.MINIDUMP,
    FileClass.USER_DUMP,
    FileClass.ELF_CORE,
    FileClass.MACHO_CORE,
    FileClass.OTHER_DUMP,
)
_PACKED_NAMES = (".gz", ".xz", ".bz2", ".zst", ".zip", ".cab", ".tar")
_NAMES_SHOWN = 8


class _Unpacker:
    """Goes down from the file to the dump, one archive at a time."""

    def __init__(
        self, file: DumpFile, wanted: str, cancel: CancelToken | None, progress: Progress | None
    ) -> None:
        self.file = file  # the archive that is open now: it owns those around it
        self._wanted = wanted.replace("\\", "/").strip("/")
        self._cancel = cancel
        self._progress = progress
        self._budget = Budget(len(file.buffer), MAX_UNPACKED, FREE_UNPACKED)
        self._warnings = list(file.warnings)

    def run(self) -> DumpFile:
        for depth in range(MAX_DEPTH + 1):
            file = self.file
            stream = BufferStream(file.buffer, self._watch)
            with _errors(file.shown):
                archive = open_archive(stream, stream.size, _plain_name(file.member or file.path))
            if archive is None:
                break
            if depth == MAX_DEPTH:
                raise _bad(file.shown, f"archives lie in archives more than {MAX_DEPTH} deep")
            self.file = self._descend(file, archive)
        self.file.warnings = tuple(self._warnings)
        return self.file

    def _watch(self, done: int, total: int) -> None:
        if self._cancel is not None:
            self._cancel.check()
        if self._progress is not None:
            self._progress(f"Unpacking {sanitise_line(self.file.path)}", done, total)

    def _descend(self, file: DumpFile, archive: Archive) -> DumpFile:
        """Return the chosen member of *archive*, which *file* is; *file* belongs to it."""
        member = self._choose(file, archive)
        path = f"{file.member}/{member.name}" if file.member else member.name
        shown = shown_path(file.path, path)
        with _errors(shown):
            member = _located(archive, member)
            if member.offset is not None and member.size is not None:
                view = memoryview(file.buffer)[member.offset : member.offset + member.size]
                return DumpFile(file.path, view, path, release=file.close)
            buffer = unpacked(archive.expand(member, self._budget))
        file.close()
        return DumpFile(file.path, buffer, path)

    def _choose(self, file: DumpFile, archive: Archive) -> Member:
        members = [m for m in archive.members if not _base(m.name).startswith("._")]
        if self._wanted:
            return self._named(file, archive, members)
        if len(members) == 1:
            return members[0]
        heads = self._heads(archive, members)
        dumps = [m for m in members if _is_named_dump(m) or _class(heads, m) in _DUMPS]
        if len(dumps) > 1:
            names = ", ".join(_shown_names(dumps))
            text = f"{len(dumps)} dumps in {file.shown}: {names}; opened the first"
            self._warnings.append(Warning("dump.many-in-archive", text))
        inner = [m for m in members if _class(heads, m) is FileClass.CONTAINER]
        for found in (dumps, inner):
            if found:
                return found[0]
        raise _no_dump(file.shown, members)

    def _named(self, file: DumpFile, archive: Archive, members: Sequence[Member]) -> Member:
        """Return the member that the user asked for, or the archive that it must be in."""
        wanted = self._wanted.lower()
        for member in members:
            name = member.name.lower()
            if wanted in (name, _base(name)):
                self._wanted = ""
                return member
        for member in members:
            if wanted.startswith(member.name.lower() + "/"):
                self._wanted = self._wanted[len(member.name) + 1 :]
                return member
        if len(members) == 1 and not _is_named_dump(members[0]):
            return members[0]
        raise TargetError(
            f"{file.shown} has no member {sanitise_line(self._wanted)}",
            hint=_inside(members),
            identifier="dump.no-such-member",
        )

    def _heads(self, archive: Archive, members: Sequence[Member]) -> dict[int, bytes]:
        """Return the first bytes of members whose name does not tell that they are dumps."""
        heads = {}
        # A budget of its own, for all of them: what is looked at is not kept.
        budget = Budget(len(self.file.buffer), MAX_UNPACKED, FREE_UNPACKED)
        for member in [m for m in members if not _is_named_dump(m)][:MAX_HEADS]:
            head = b""
            try:
                blocks = archive.expand(member, budget)
                while len(head) < HEAD_SIZE and (block := next(blocks, b"")):
                    head += block
            except FormatError:
                continue
            heads[member.index] = head[:HEAD_SIZE]
        return heads


def unpack(
    file: DumpFile,
    wanted: str = "",
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> DumpFile:
    """Return the dump in the archive *file*, or *file* itself where it is no archive.

    *wanted* names a member; without it the first one is taken that has the name or the first bytes
    of a dump. What is returned need not be a dump: its reader says so. *file* belongs to the
    result, and is closed when this fails.

    :raises TargetError: ``dump.bad-archive``, ``dump.codec-missing``, ``dump.no-dump-inside``,
        ``dump.no-such-member``, ``dump.access`` (no room to unpack).
    :raises Cancelled: the user asked to stop.
    """
    unpacker = _Unpacker(file, wanted, cancel, progress)
    try:
        return unpacker.run()
    except BaseException:
        unpacker.file.close()
        raise


def _located(archive: Archive, member: Member) -> Member:
    from polydbg.formats.archives.zip_archive import ZipArchive

    return archive.located(member) if isinstance(archive, ZipArchive) else member


class _errors:  # noqa: N801 - reads as a statement
    """Turns errors of readers and of the disk into errors about the archive *shown*."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __enter__(self) -> None:
        return

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, CompressionError):
            raise TargetError(
                f"{self._shown}: {error.message}",
                hint=error.hint or "unpack it with its own tool and open the dump inside",
                identifier="dump.codec-missing",
            ) from error
        if isinstance(error, FormatError):
            hint = "try to unpack it with its own tool"
            if isinstance(error, EncryptionError):
                hint = "unpack it with its password and open the dump inside"
            elif isinstance(error, BudgetError):
                hint = "a damaged or hostile archive? unpack it by hand if you trust it"
            raise _bad(self._shown, error.message, hint) from error
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise TargetError(
                f"{self._shown}: cannot unpack into {tempfile.gettempdir()}: {error.strerror}",
                hint="set TMPDIR to a folder with room" if full else "check TMPDIR",
                identifier="dump.access",
            ) from error


def _bad(shown: str, message: str, hint: str = "unpack it by hand") -> TargetError:
    return TargetError(f"{shown}: {message}", hint=hint, identifier="dump.bad-archive")


def _no_dump(shown: str, members: Sequence[Member]) -> TargetError:
    return TargetError(
        f"{shown}: no dump is inside", hint=_inside(members), identifier="dump.no-dump-inside"
    )


def _inside(members: Sequence[Member]) -> str:
    return f"inside: {', '.join(_shown_names(members))}" if members else "the archive is empty"


def _shown_names(members: Sequence[Member]) -> list[str]:
    names = [sanitise_line(member.name)[:100] for member in members[:_NAMES_SHOWN]]
    if len(members) > _NAMES_SHOWN:
        names.append(f"and {len(members) - _NAMES_SHOWN} more")
    return names


def _class(heads: dict[int, bytes], member: Member) -> FileClass | None:
    kind = identify(heads[member.index]) if heads.get(member.index) else None
    return kind.file_class if kind is not None else None


def _is_named_dump(member: Member) -> bool:
    return member.name.lower().endswith(_DUMP_NAMES)


def _base(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def _plain_name(path: str) -> str:
    """Return what a compressed file is called when unpacked: ``crash.dmp.xz`` is ``crash.dmp``."""
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, extension = name.rpartition(".")
    if f".{extension.lower()}" == ".tgz":
        return f"{stem}.tar"
    return stem if dot and f".{extension.lower()}" in _PACKED_NAMES else name
