"""The notes of core files: threads, process, signal, auxiliary vector, mapped files.

Facts: Linux's ``fs/binfmt_elf.c`` as documented by ``elf(5)`` and ``core(5)``, ``<sys/procfs.h>``
of glibc for the layout of ``NT_PRSTATUS`` and ``NT_PRPSINFO``, ``sigaction(2)`` for ``siginfo_t``.
Notes come in groups: ``NT_PRSTATUS`` opens a thread, what follows belongs to it. What the BSDs
write is in :mod:`polydbg.formats.elf.core_bsd`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import islice

from polydbg.formats.elf import core_bsd
from polydbg.formats.elf.constants import EM_MIPS
from polydbg.formats.elf.core_records import (
    MAX_THREADS,
    CoreNotes,
    CoreProcess,
    CoreThread,
    FileMapping,
    SignalInfo,
    note_text,
)
from polydbg.formats.elf.header import ElfHeader
from polydbg.formats.elf.notes import MAX_NOTES, Note
from polydbg.memory.space import ByteOrder

NT_PRSTATUS, NT_FPREGSET, NT_PRPSINFO, NT_AUXV = 1, 2, 3, 6
NT_FILE, NT_SIGINFO = 0x46494C45, 0x53494749
NT_X86_XSAVE_LAYOUT = 0x205

#: Sets of registers that follow a thread's ``NT_PRSTATUS``, of owner ``CORE`` or ``LINUX``.
_SETS = {
    NT_FPREGSET: "float",
    0x46E62B7F: "xfp",
    0x100: "altivec",
    0x102: "vsx",
    0x200: "tls",
    0x202: "xstate",
    0x309: "vxrs-low",
    0x30A: "vxrs-high",
    0x400: "vfp",
    0x401: "tls",
    0x405: "sve",
    0x406: "pac",
    0x901: "vector",
}
_EM_M68K = 4
_MAX_FILES = 1 << 20
_MAX_PATH = 4096
_MICROSECONDS = 1_000_000
_MAX_SECONDS = 1 << 32
_OTHER_OWNERS = frozenset({"GNU", "GDB", "LLDB"})

_SIGCHLD_CODES = range(1, 7)
_SENT_CODES = frozenset({0, -1, -2, -3, -6})
_SI_TIMER = -2
#: Numbers of SIGSYS and SIGCHLD: those of MIPS differ.
_SIGSYS, _MIPS_SIGSYS = 31, 12
_SIGSEGV, _SEGV_BNDERR, _SEGV_PKUERR = 11, 3, 4
_SIGCHLD, _MIPS_SIGCHLD = 17, 18


def parse_core_notes(notes: Iterable[Note], header: ElfHeader) -> CoreNotes:
    """Return what *notes* of the core with *header* say; records that are cut are passed over."""
    found = tuple(islice(notes, MAX_NOTES))
    owners = {note.owner.partition("@")[0] for note in found}
    for kernel_owner, name in (("VMCOREINFO", "Linux"), ("QEMU", "QEMU guest")):
        if kernel_owner in owners:
            return CoreNotes("linux", (), kernel=name)
    if "FreeBSD" in owners:
        return core_bsd.parse_freebsd(found, header)
    if "NetBSD-CORE" in owners:
        return core_bsd.parse_netbsd(found, header)
    if "OpenBSD" in owners:
        return core_bsd.parse_openbsd(found, header)
    return _parse_linux(found, header)


def _parse_linux(notes: Sequence[Note], header: ElfHeader) -> CoreNotes:
    groups: list[list[Note]] = []
    process = None
    auxiliary = b""
    mappings: tuple[FileMapping, ...] = ()
    layout: dict[int, tuple[int, int]] = {}
    early: list[Note] = []
    for note in notes:
        if note.owner in _OTHER_OWNERS:
            continue
        if note.type == NT_PRSTATUS and len(groups) < MAX_THREADS:
            groups.append([note])
        elif note.type == NT_PRPSINFO and process is None:
            process = _process(note.descriptor, header)
        elif note.type == NT_AUXV and not auxiliary:
            auxiliary = note.descriptor
        elif note.type == NT_FILE and not mappings:
            mappings = parse_mapped_files(note.descriptor, header)
        elif note.type == NT_X86_XSAVE_LAYOUT:
            layout = _xsave_layout(note.descriptor)
        else:
            (groups[-1] if groups else early).append(note)
    if groups:
        groups[0].extend(early)
    threads = (_thread(group, header) for group in groups)
    return CoreNotes(
        system="linux" if groups or process else "unknown",
        threads=tuple(thread for thread in threads if thread is not None),
        process=process,
        auxiliary=auxiliary,
        mappings=mappings,
        xsave_layout=layout,
    )


def status_layout(header: ElfHeader) -> tuple[int, int]:
    """Return where ``NT_PRSTATUS`` of Linux holds the thread's id and its registers."""
    if header.is_64:
        return 0x20, 0x70
    if header.machine == _EM_M68K:  # numbers of four bytes are aligned to two
        return 0x16, 0x46
    return 0x18, 0x48


def _thread(group: Sequence[Note], header: ElfHeader) -> CoreThread | None:
    status = group[0].descriptor
    at, registers = status_layout(header)
    if len(status) < at + 4:
        return None
    order = header.order
    sets = {"general": status[registers:]}
    signal_info = None
    for note in group[1:]:
        if note.type == NT_SIGINFO:
            signal_info = signal_info or parse_signal_info(note.descriptor, header)
        elif note.type in _SETS:
            sets.setdefault(_SETS[note.type], note.descriptor)
    return CoreThread(
        id=int.from_bytes(status[at : at + 4], order),
        signal=int.from_bytes(status[0x0C:0x0E], order),
        sets=sets,
        signal_info=signal_info,
        times=_times(status, at + 0x10, header),
    )


def _times(status: bytes, at: int, header: ElfHeader) -> tuple[int, int] | None:
    """Return user and kernel time in microseconds: two ``timeval`` (seconds, microseconds)."""
    word, order = header.word, header.order
    if len(status) < at + 4 * word:
        return None
    parts = [
        int.from_bytes(status[place : place + word], order)
        for place in range(at, at + 4 * word, word)
    ]
    if parts[1] >= _MICROSECONDS or parts[3] >= _MICROSECONDS or max(parts) > _MAX_SECONDS:
        return None
    return parts[0] * _MICROSECONDS + parts[1], parts[2] * _MICROSECONDS + parts[3]


def parse_signal_info(data: bytes, header: ElfHeader) -> SignalInfo | None:
    """Return the ``siginfo_t`` in *data*, ``None`` where it is cut short or says no signal."""
    start = 0x10 if header.is_64 else 0x0C
    if len(data) < start + 16:
        return None
    order: ByteOrder = header.order
    is_mips = header.machine == EM_MIPS

    def number(offset: int, size: int = 4, *, signed: bool = False) -> int:
        return int.from_bytes(data[offset : offset + size], order, signed=signed)

    signal = number(0)
    code = number(4 if is_mips else 8, signed=True)
    if not signal:
        return None
    pair = (number(start), number(start + 4))
    if code == _SI_TIMER or (code < 0 and code not in _SENT_CODES):
        return SignalInfo(signal, code)
    if code in _SENT_CODES:
        value = (number(start + 8, header.word),) if code in (-1, -3) else ()
        return SignalInfo(signal, code, None, pair + value)
    if signal == (_MIPS_SIGCHLD if is_mips else _SIGCHLD) and code in _SIGCHLD_CODES:
        return SignalInfo(signal, code, None, pair)
    address = number(start, header.word)
    if signal == (_MIPS_SIGSYS if is_mips else _SIGSYS):
        return SignalInfo(signal, code, address, (number(start + header.word),))
    extra = start + 2 * header.word  # behind si_addr_lsb, at an address of a pointer
    if signal == _SIGSEGV and code == _SEGV_BNDERR:
        bounds = (number(extra, header.word), number(extra + header.word, header.word))
        return SignalInfo(signal, code, address, bounds)
    if signal == _SIGSEGV and code == _SEGV_PKUERR:
        return SignalInfo(signal, code, address, (number(extra),))
    return SignalInfo(signal, code, address)


def _process(data: bytes, header: ElfHeader) -> CoreProcess | None:
    """Return ``NT_PRPSINFO``: 32-bit systems have user ids of two bytes, or of four (128 bytes)."""
    order = header.order
    if header.is_64:
        users, width, pids, name = 0x10, 4, 0x18, 0x28
    elif len(data) >= 128:
        users, width, pids, name = 0x08, 4, 0x10, 0x20
    else:
        users, width, pids, name = 0x08, 2, 0x0C, 0x1C
    if len(data) < name + 16:
        return None

    def number(offset: int, size: int = 4) -> int:
        return int.from_bytes(data[offset : offset + size], order)

    return CoreProcess(
        id=number(pids),
        name=note_text(data[name : name + 16]),
        arguments=note_text(data[name + 16 : name + 96]).strip(),
        parent=number(pids + 4),
        user=number(users, width),
        group=number(users + width, width),
    )


def parse_mapped_files(data: bytes, header: ElfHeader) -> tuple[FileMapping, ...]:
    """Return the files of ``NT_FILE``: count, page size, a row of three words for each (start, end,
    offset in pages), then their paths."""
    word, order = header.word, header.order
    if len(data) < 2 * word:
        return ()
    count = int.from_bytes(data[:word], order)
    page = int.from_bytes(data[word : 2 * word], order)
    if count > min(_MAX_FILES, (len(data) - 2 * word) // (3 * word)):
        return ()
    head = 2 * word
    names = data[head + 3 * word * count :].split(b"\0", count)
    limit = 1 << 8 * word
    rows = struct.iter_unpack(
        f"{header.mark}3{'Q' if header.is_64 else 'I'}", data[head : head + 3 * word * count]
    )
    found = []
    for index, (start, end, offset) in enumerate(rows):
        path = names[index][:_MAX_PATH] if index < len(names) else b""
        if start < end:
            offset = min(offset * page, limit - 1)
            found.append(FileMapping(start, end, offset, path.decode("utf-8", "replace")))
    return tuple(found)


def _xsave_layout(data: bytes) -> dict[int, tuple[int, int]]:
    """Return the places of XSAVE components: type, size, offset, flags of 32 bits each."""
    found = {}
    for row in range(0, min(len(data), 64 * 16) - 15, 16):
        kind, size, offset = (
            int.from_bytes(data[row + i : row + i + 4], "little") for i in (0, 4, 8)
        )
        found[kind] = (offset, size)
    return found
