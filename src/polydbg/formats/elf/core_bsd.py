"""The notes of FreeBSD's, NetBSD's and OpenBSD's cores.

Facts: FreeBSD's ``core(5)``, ``<sys/elf_common.h>``, ``<sys/procfs.h>``, ``<sys/ptrace.h>`` and
``<sys/user.h>`` (``kinfo_vmentry``, ``kinfo_file``); NetBSD's ``core(5)`` and ``<sys/exec_elf.h>``
(``netbsd_elfcore_procinfo``); OpenBSD's ``core(5)`` and ``<sys/exec_elf.h>``
(``elfcore_procinfo``). NetBSD and OpenBSD put a thread's id behind the owner: ``NetBSD-CORE@1``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polydbg.formats.elf.core_records import (
    MAX_THREADS,
    CoreNotes,
    CoreProcess,
    CoreThread,
    FileMapping,
    OpenFile,
    SignalInfo,
    note_text,
)
from polydbg.formats.elf.header import ElfHeader
from polydbg.formats.elf.notes import Note

# FreeBSD: notes of threads, then NT_PROCSTAT_*.
_PRSTATUS, _FPREGSET, _PRPSINFO, _THRMISC = 1, 2, 3, 7
_FILES, _VMMAP, _PSSTRINGS, _AUXV, _LWPINFO = 9, 10, 15, 16, 17
_FREEBSD_SETS = {
    _FPREGSET: "float",
    0x200: "segment-bases",
    0x202: "xstate",
    0x400: "vfp",
    0x401: "tls",
    0x100: "altivec",
    0x102: "vsx",
}
_PL_FLAG_SIGINFO = 0x20
_FREEBSD_SENT = range(0x10001, 0x10008)  # SI_USER, SI_QUEUE, SI_TIMER, ..., SI_LWP
_FILE_KINDS = (
    "none", "vnode", "socket", "pipe", "fifo", "kqueue", "crypto", "mqueue", "shm", "sem", "pts",
    "procdesc", "dev", "eventfd",
)  # fmt: skip
_MAX_ENTRIES = 1 << 20
_PATH_ROOM = 1024
_VMENTRY_PATH = 136

# NetBSD and OpenBSD. Types of registers are machine-dependent: 32 or 33 and two more.
_PROCINFO, _BSD_AUXV, _LWPSTATUS = 1, 2, 24
_NETBSD_SETS = {32: "general", 33: "general", 34: "float", 35: "float", 37: "xfp"}
_OPENBSD_PROCINFO, _OPENBSD_AUXV = 10, 11
_OPENBSD_SETS = {20: "general", 21: "float", 22: "xfp", 24: "pac"}
_SI_NOINFO = 0x7FFF


def parse_freebsd(notes: Sequence[Note], header: ElfHeader) -> CoreNotes:
    """Return what FreeBSD's notes say."""
    groups: list[list[Note]] = []
    single: dict[int, bytes] = {}
    for note in notes:
        if note.owner != "FreeBSD":
            continue
        if note.type == _PRSTATUS and len(groups) < MAX_THREADS:
            groups.append([note])
        elif note.type in (_PRPSINFO, _FILES, _VMMAP, _PSSTRINGS, _AUXV):
            single.setdefault(note.type, note.descriptor)
        elif groups:
            groups[-1].append(note)
    threads = (_freebsd_thread(group, header) for group in groups)
    order = header.order
    return CoreNotes(
        system="freebsd",
        threads=tuple(thread for thread in threads if thread is not None),
        process=_freebsd_process(single.get(_PRPSINFO, b""), header),
        auxiliary=single.get(_AUXV, b"")[4:],
        mappings=tuple(_freebsd_mappings(single.get(_VMMAP, b""), header)),
        open_files=tuple(_freebsd_files(single.get(_FILES, b""), header)),
        strings=int.from_bytes(single.get(_PSSTRINGS, b"")[4 : 4 + header.word], order),
    )


def _freebsd_thread(group: Sequence[Note], header: ElfHeader) -> CoreThread | None:
    """Return a thread: version, sizes of this and of two sets, release, signal, id, registers."""
    status = group[0].descriptor
    ids, registers = (0x28, 0x30) if header.is_64 else (0x18, 0x1C)
    if len(status) < registers:
        return None
    order = header.order
    sets = {"general": status[registers:]}
    name = ""
    signal_info = None
    for note in group[1:]:
        data = note.descriptor
        if note.type == _THRMISC:
            name = note_text(data[:20])
        elif note.type == _LWPINFO:
            signal_info = _freebsd_signal(data[4:], header)
        elif note.type in _FREEBSD_SETS:
            sets.setdefault(_FREEBSD_SETS[note.type], data)
    return CoreThread(
        id=int.from_bytes(status[ids : ids + 4], order),
        signal=int.from_bytes(status[ids - 4 : ids], order),
        sets=sets,
        name=name,
        signal_info=signal_info,
    )


def _freebsd_signal(data: bytes, header: ElfHeader) -> SignalInfo | None:
    """Return the ``siginfo_t`` in a ``ptrace_lwpinfo``: id, event, flags, two sets of signals."""
    word, order = header.word, header.order
    start = 48 if word == 8 else 44
    if len(data) < start + 24 + word:
        return None

    def number(offset: int, size: int = 4, *, signed: bool = False) -> int:
        return int.from_bytes(data[offset : offset + size], order, signed=signed)

    if not number(8) & _PL_FLAG_SIGINFO or not number(start):
        return None
    code = number(start + 8, signed=True)
    pair = (number(start + 12), number(start + 16))
    if code in _FREEBSD_SENT or code <= 0:
        return SignalInfo(number(start), code, None, pair)
    return SignalInfo(number(start), code, number(start + 24, word))


def _freebsd_process(data: bytes, header: ElfHeader) -> CoreProcess | None:
    """Return ``NT_PRPSINFO``: version, size, name of 17 bytes, arguments of 81, and the id."""
    at = 0x10 if header.is_64 else 0x08
    if len(data) < at + 17:
        return None
    ids = at + 17 + 81 + 2
    has_id = len(data) >= ids + 4
    return CoreProcess(
        id=int.from_bytes(data[ids : ids + 4], header.order) if has_id else 0,
        name=note_text(data[at : at + 17]),
        arguments=note_text(data[at + 17 : at + 98]).strip(),
    )


def _entries(data: bytes, header: ElfHeader, minimum: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a ``NT_PROCSTAT_*`` note and the path at the end of each: the size of a
    full entry comes first, each begins with its own, which leaves out the unused room."""
    order = header.order
    full = int.from_bytes(data[:4], order)
    at = 4
    for _ in range(_MAX_ENTRIES):
        size = int.from_bytes(data[at : at + 4], order) or full
        if size < minimum or at + size > len(data):
            return
        entry = data[at : at + size]
        yield entry, entry[max(full - _PATH_ROOM, minimum) :]
        at += size


def _freebsd_mappings(data: bytes, header: ElfHeader) -> Iterator[FileMapping]:
    for entry, path in _entries(data, header, _VMENTRY_PATH):
        start, end, offset = (
            int.from_bytes(entry[i : i + 8], header.order) for i in (0x08, 0x10, 0x18)
        )
        protection = int.from_bytes(entry[0x38:0x3C], header.order)
        permissions = "".join(
            letter if protection >> bit & 1 else "-" for bit, letter in enumerate("rwx")
        )
        if start < end:
            yield FileMapping(start, end, offset, note_text(path), permissions)


def _freebsd_files(data: bytes, header: ElfHeader) -> Iterator[OpenFile]:
    for entry, path in _entries(data, header, 32):
        kind = int.from_bytes(entry[4:8], header.order)
        yield OpenFile(
            descriptor=int.from_bytes(entry[8:12], header.order, signed=True),
            kind=_FILE_KINDS[kind] if kind < len(_FILE_KINDS) else f"kind {kind}",
            path=note_text(path),
            references=int.from_bytes(entry[12:16], header.order),
        )


def parse_netbsd(notes: Sequence[Note], header: ElfHeader) -> CoreNotes:
    """Return what NetBSD's notes say."""
    info = _first(notes, "NetBSD-CORE", _PROCINFO)
    return _parse(
        notes,
        header,
        system="netbsd",
        owner="NetBSD-CORE",
        sets=_NETBSD_SETS,
        info=info,
        places=(0x50, 0x60, 0x7C),
        thread=int.from_bytes(info[0x9C:0xA0], header.order),
        auxiliary=_first(notes, "NetBSD-CORE", _BSD_AUXV),
    )


def parse_openbsd(notes: Sequence[Note], header: ElfHeader) -> CoreNotes:
    """Return what OpenBSD's notes say. The first thread is the one that took the signal."""
    info = _first(notes, "OpenBSD", _OPENBSD_PROCINFO)
    return _parse(
        notes,
        header,
        system="openbsd",
        owner="OpenBSD",
        sets=_OPENBSD_SETS,
        info=info,
        places=(0x20, 0x30, 0x48),
        thread=0,
        auxiliary=_first(notes, "OpenBSD", _OPENBSD_AUXV),
    )


def _first(notes: Sequence[Note], owner: str, kind: int) -> bytes:
    return next((n.descriptor for n in notes if n.owner == owner and n.type == kind), b"")


def _parse(
    notes: Sequence[Note],
    header: ElfHeader,
    *,
    system: str,
    owner: str,
    sets: dict[int, str],
    info: bytes,
    places: tuple[int, int, int],
    thread: int,
    auxiliary: bytes,
) -> CoreNotes:
    """Return the threads and what the process record *info* says: signal and code at 8, ids, users
    and the name at *places*; *thread* took the signal, 0 where the record does not say."""
    found: dict[int, dict[str, bytes]] = {}
    names: dict[int, str] = {}
    for note in notes:
        base, mark, number = note.owner.partition("@")
        if base != owner or not mark or not (number.isascii() and number.isdigit()):
            continue
        ident = int(number[:10])
        if ident not in found and len(found) == MAX_THREADS:
            continue
        if note.type in sets:
            found.setdefault(ident, {}).setdefault(sets[note.type], note.descriptor)
        elif system == "netbsd" and note.type == _LWPSTATUS:
            names[ident] = note_text(note.descriptor[36:56])

    def number_at(offset: int) -> int:
        return int.from_bytes(info[offset : offset + 4], header.order)

    pids, users, name = places
    signal, code = number_at(8), number_at(12)
    thread = thread or next(iter(found), 0)
    known = SignalInfo(signal, 0 if code == _SI_NOINFO else code) if signal else None
    threads = [
        CoreThread(
            id=ident,
            signal=signal if ident == thread else 0,
            sets=registers,
            name=names.get(ident, ""),
            signal_info=known if ident == thread else None,
        )
        for ident, registers in found.items()
    ]
    threads.sort(key=lambda each: each.id != thread)
    process = CoreProcess(
        id=number_at(pids),
        name=note_text(info[name : name + 32]),
        parent=number_at(pids + 4),
        user=number_at(users),
        group=number_at(users + 12),
    )
    return CoreNotes(
        system=system,
        threads=tuple(threads),
        process=process if len(info) >= name else None,
        auxiliary=auxiliary,
    )
