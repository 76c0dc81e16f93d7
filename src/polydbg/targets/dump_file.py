"""The file behind a target: mapped, or the member of an archive, and what to say when it is none.

A :class:`DumpFile` owns its mappings; a target closes it.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

from polydbg.base.errors import FormatError, TargetError
from polydbg.base.text import sanitise_line
from polydbg.base.warnings import Warning
from polydbg.formats.identify import HEAD_SIZE, FileClass, identify
from polydbg.memory.space import Buffer

_LONGEST_HEADER = 64  # of an ELF core


class DumpFile(msgspec.Struct, eq=False):
    """A dump's bytes. *path* is the file as the user gave it, *member* the way to the dump in it
    where that is an archive (``inner.tar/crash.dmp``), *warnings* what was noticed on the way."""

    path: str
    buffer: Buffer
    member: str = ""
    warnings: tuple[Warning, ...] = ()
    release: Callable[[], None] | None = None

    @property
    def shown(self) -> str:
        """Return the words that name the dump: the path, and the member of an archive."""
        return shown_path(self.path, self.member)

    def close(self) -> None:
        """Give up the mappings; the buffer may not be used afterwards."""
        if isinstance(self.buffer, memoryview):
            self.buffer.release()
        elif isinstance(self.buffer, mmap.mmap):
            self.buffer.close()
        if self.release is not None:
            self.release()


def shown_path(path: str, member: str) -> str:
    """Return ``PATH``, or ``PATH: MEMBER`` for a dump in an archive."""
    return f"{path}: {sanitise_line(member)}" if member else path


def map_file(path: str) -> DumpFile:
    """Map the file at *path*.

    :raises TargetError: ``dump.not-found``, ``dump.access``.
    """
    try:
        with open(path, "rb") as file:
            try:
                return DumpFile(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            except ValueError:  # an empty file cannot be mapped
                return DumpFile(path, b"")
    except FileNotFoundError as error:
        raise TargetError(
            f"{path}: {error.strerror}",
            hint=_missing_hint(path),
            identifier="dump.not-found",
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TargetError(
            f"{path}: {reason}",
            hint="the file must be a regular file that you may read",
            identifier="dump.access",
        ) from error


def _missing_hint(path: str) -> str:
    """Return what to do about a path that leads nowhere; a relative one says from where."""
    if os.path.isabs(path):
        return "check the path"
    try:
        return f"check the path; it begins at {os.getcwd()}"
    except OSError:  # the current folder itself is gone
        return "check the path"


class FileTarget:
    """What targets that are a file have in common."""

    def __init__(self, file: DumpFile) -> None:
        """Take *file*, which belongs to the target from here on."""
        self._file = file

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def member(self) -> str:
        return self._file.member

    @property
    def file_size(self) -> int:
        """Return how many bytes the file has, which may be fewer than its headers say."""
        return len(self._file.buffer)

    def close(self) -> None:
        """Give up the mapping."""
        self._file.close()


_Made = TypeVar("_Made", bound=FileTarget)


def opened(file: DumpFile, make: Callable[[], _Made]) -> _Made:
    """Return the target that *make* builds over *file*, which is closed when that fails.

    :raises TargetError: with the name of the file: of the identifier that *make* gave its error,
        without one ``dump.truncated`` if no header fits into the file, else ``dump.damaged``.
    """
    try:
        return make()
    except (FormatError, TargetError) as error:
        head = bytes(file.buffer[:HEAD_SIZE])
        file.close()
        identifier = error.identifier
        if identifier == "dump.unknown-format":
            raise refusal(file.shown, head) from None
        if identifier == FormatError.identifier:
            identifier = "dump.truncated" if len(head) < _LONGEST_HEADER else "dump.damaged"
        raise TargetError(
            f"{file.shown}: {error.message}", hint=error.hint, identifier=identifier
        ) from error


def refused_kernel(format_name: str, kernel: str) -> TargetError:
    """Return the error for a core of a *kernel*, whose name is as the core has it."""
    return TargetError(
        f"this is {format_name} core of a kernel ({sanitise_line(kernel[:80])}), which is not yet "
        "opened by this version",
        hint="only cores of processes are opened",
        identifier="dump.unsupported-format",
    )


def refusal(shown: str, head: bytes) -> TargetError:
    """Return the error for a file that starts with *head* and is no dump that can be opened."""
    kind = identify(head)
    if kind is not None and kind.file_class in (FileClass.OTHER_DUMP, FileClass.CONTAINER):
        unpack = kind.file_class is FileClass.CONTAINER
        return TargetError(
            f"{shown}: this is {kind.name}, which is not yet opened by this version",
            hint="unpack it and open the dump inside" if unpack else "only user dumps are opened",
            identifier="dump.unsupported-format",
        )
    guess = f"; looks like {kind.name}" if kind is not None else ""
    start = head[:16].hex(" ") or "nothing"
    return TargetError(
        f"{shown}: not a dump: starts with {start}{guess}",
        hint="a minidump starts with 4d 44 4d 50 (MDMP), an ELF core with 7f 45 4c 46",
        identifier="dump.unknown-format",
    )
