"""What the notes of a core say, whichever system wrote them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

MAX_THREADS = 100_000


class SignalInfo(msgspec.Struct, frozen=True):
    """``siginfo_t``: *code* is ``si_code``, signed; *address* ``si_addr``, ``None`` where the
    signal has none or the note does not store it. *parameters* of a signal that was sent are the
    sender's process and user and the value that came along, of SIGSYS the number of the system
    call, of a fault of bounds the lower and the upper one, of protection keys the key."""

    number: int
    code: int = 0
    address: int | None = None
    parameters: tuple[int, ...] = ()


class CoreThread(msgspec.Struct, frozen=True):
    """A thread: its system's *id*, the *signal* it was stopped by (0 none), and its sets of
    registers by name as the system stores them: ``general``, ``float``, ``xstate``, ``xfp``,
    ``vfp``, ``tls``, ``sve``, ``pac``, ``altivec``, ``vsx``, ``access``. *times* are the
    microseconds that it ran in user and in kernel mode: on Linux those of the process's first
    thread are those of the whole process, of threads that ended too."""

    id: int
    signal: int
    sets: Mapping[str, bytes]
    name: str = ""
    signal_info: SignalInfo | None = None
    times: tuple[int, int] | None = None


class CoreProcess(msgspec.Struct, frozen=True):
    """The process: *name* is the file's name, often cut, *arguments* one text with blanks between
    them, cut as well (80 bytes on Linux)."""

    id: int
    name: str = ""
    arguments: str = ""
    parent: int | None = None
    user: int | None = None
    group: int | None = None


class FileMapping(msgspec.Struct, frozen=True):
    """A file in memory: addresses *start* to *end*, *offset* in the file, all in bytes.
    *permissions* as in ``r-x``, ``""`` where the note has none; *path* is ``""`` for memory
    that is no file's."""

    start: int
    end: int
    offset: int
    path: str
    permissions: str = ""


class OpenFile(msgspec.Struct, frozen=True):
    """An open file: its *descriptor* (negative numbers are the system's own uses), kind, path, and
    how many *references* the kernel holds to it."""

    descriptor: int
    kind: str
    path: str
    references: int


class CoreNotes(msgspec.Struct, frozen=True):
    """All notes. *system* is ``linux``, ``freebsd``, ``netbsd``, ``openbsd`` or ``unknown``; the
    first of *threads* is the one that took the signal. *auxiliary* is the auxiliary vector as it
    was, *strings* the address of FreeBSD's ``ps_strings``, *xsave_layout* the places in the XSAVE
    area by component (offset, size), empty where no note has them. *kernel* names the kernel dump
    that this is, ``""`` for a process."""

    system: str
    threads: tuple[CoreThread, ...]
    process: CoreProcess | None = None
    auxiliary: bytes = b""
    mappings: tuple[FileMapping, ...] = ()
    open_files: tuple[OpenFile, ...] = ()
    strings: int = 0
    xsave_layout: Mapping[int, tuple[int, int]] = {}
    kernel: str = ""
    is_cut: bool = False


def note_text(data: bytes) -> str:
    """Return *data* up to its first NUL."""
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
