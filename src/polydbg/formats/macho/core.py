"""Mach-O cores: threads with their registers, and what ``LC_NOTE`` says of the process.

Facts: Apple's ``<mach/machine/thread_status.h>`` for the flavors of ``LC_THREAD``, LLDB's
documentation "Mach-O corefiles" and its ``ObjectFileMachO`` for the notes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.macho import header as macho
from polydbg.formats.macho.header import Command, MachHeader, MachSegment
from polydbg.formats.register_fields import Field, fxsave, numbered, read_fields, row
from polydbg.memory.space import AddressSpace

_MAX_THREADS = 100_000
_MAX_IMAGES = 1 << 16
_MAX_PATH = 4096
_MAX_METADATA = 16 << 20
_NO_ADDRESS = (1 << 64) - 1

_AMD64 = row("rax rbx rcx rdx rdi rsi rbp rsp", 0, 8) + row(
    f"{numbered('r', 8, 8)} rip efl cs fs gs", 64, 8
)
_X86 = row("eax ebx ecx edx edi esi ebp esp ss efl eip cs ds es fs gs", 0, 4)
_ARM64 = (*row(f"{numbered('x', 29)} fp lr sp pc", 0, 8), Field("cpsr", 0x108, 4))
_ARM = row(f"{numbered('r', 13)} sp lr pc cpsr", 0, 4)
#: FXSAVE behind two reserved numbers.
_FLOAT_64 = (Field("mxcsr", 8 + 0x18, 4), *fxsave(8, 16))
_FLOAT_32 = (Field("mxcsr", 8 + 0x18, 4), *fxsave(8, 8))
_NEON = (*row(numbered("v", 32), 0, 16), *row("fpsr fpcr", 512, 4))
_X86_TRAP_64 = (*row("trap", 0, 2), *row("error", 4, 4), *row("fault", 8, 8))
_X86_TRAP_32 = (*row("trap", 0, 2), *row("error fault", 4, 4))
_ARM64_TRAP = (*row("fault", 0, 8), *row("syndrome trap", 8, 4))

_REGISTERS: dict[tuple[str, int], tuple[Field, ...]] = {
    ("amd64", 4): _AMD64,
    ("amd64", 5): _FLOAT_64,
    ("x86", 1): _X86,
    ("x86", 2): _FLOAT_32,
    ("arm64", 6): _ARM64,
    ("arm64", 17): _NEON,
    ("arm", 1): _ARM,
}
_TRAPS: dict[tuple[str, int], tuple[Field, ...]] = {
    ("amd64", 6): _X86_TRAP_64,
    ("x86", 3): _X86_TRAP_32,
    ("arm64", 7): _ARM64_TRAP,
}
#: A flavor that says in a head of its own which one follows.
_WRAPPERS = {("amd64", 7), ("amd64", 8), ("amd64", 9), ("x86", 7), ("x86", 8), ("x86", 9)}


class MachThread(msgspec.Struct, frozen=True):
    """A thread's *registers* by WinDbg's names, and its last *trap*: ``trap`` (number), ``error``,
    ``fault`` (address), on ARM64 ``syndrome``; empty where there is none."""

    registers: dict[str, int]
    trap: dict[str, int]


class CoreImage(msgspec.Struct, frozen=True):
    """An image that a note names: *path* or ``""``, *address* of its header, *uuid* of 16 bytes or
    empty."""

    path: str
    address: int
    uuid: bytes


class MachCore(msgspec.Struct, frozen=True):
    """What a core says. *thread_ids* are those of the threads in order, as far as a note has them;
    *code_bits* is how many bits of an address count, 0 where no note says; *kernel* is the version
    text of a kernel, or ``kernel``, ``""`` for a process; *needed* how long the file should be."""

    header: MachHeader
    segments: tuple[MachSegment, ...]
    threads: tuple[MachThread, ...]
    thread_ids: tuple[int, ...] = ()
    images: tuple[CoreImage, ...] = ()
    code_bits: int = 0
    kernel: str = ""
    needed: int = 0


def parse_core(space: AddressSpace) -> MachCore:
    """Return what the core in *space*, addressed by file offsets, says.

    :raises FormatError: not a Mach-O core.
    """
    header = macho.parse_header(space)
    if header.file_type != macho.MH_CORE:
        raise FormatError("not a Mach-O core", identifier="dump.unknown-format")
    segments = []
    threads: list[MachThread] = []
    notes = _Notes(space, header)
    for command in macho.load_commands(space, header):
        if command.kind in (macho.LC_SEGMENT, macho.LC_SEGMENT_64):
            segment = macho.parse_segment(command)
            if segment is not None:
                segments.append(segment)
        elif command.kind == macho.LC_THREAD and len(threads) < _MAX_THREADS:
            threads.append(parse_thread(command, header.arch))
        elif command.kind == macho.LC_NOTE:
            notes.add(command)
    return MachCore(
        header,
        tuple(segments),
        tuple(threads),
        tuple(notes.thread_ids),
        tuple(notes.images),
        notes.code_bits,
        notes.kernel,
        max(
            header.size + header.command_bytes,
            notes.end,
            max((each.offset + each.file_size for each in segments), default=0),
        ),
    )


def parse_thread(command: Command, arch: str) -> MachThread:
    """Return the thread of ``LC_THREAD``: flavor, count of 32-bit numbers, state, repeated."""
    registers: dict[str, int] = {}
    trap: dict[str, int] = {}
    data = command.data
    at = 8
    while at + 8 <= len(data):
        flavor, count = struct.unpack_from("<II", data, at)
        state = data[at + 8 : at + 8 + 4 * count]
        at += 8 + 4 * count
        if (arch, flavor) in _WRAPPERS and len(state) >= 8:
            flavor = int.from_bytes(state[:4], "little")
            state = state[8:]
        registers |= read_fields(state, _REGISTERS.get((arch, flavor), ()), "little")
        trap |= read_fields(state, _TRAPS.get((arch, flavor), ()), "little")
    return MachThread(registers, trap)


class _Notes:
    """Gathers what the notes of a core say."""

    def __init__(self, space: AddressSpace, header: MachHeader) -> None:
        self._space = space
        self._header = header
        self.thread_ids: list[int] = []
        self.images: list[CoreImage] = []
        self.code_bits = 0
        self.kernel = ""
        self.end = 0

    def add(self, command: Command) -> None:
        """Take the note that *command* points to: owner of 16 bytes, file offset, size."""
        if len(command.data) < 40:
            return
        owner = command.data[8:24].split(b"\0", 1)[0]
        offset, size = struct.unpack_from("<QQ", command.data, 24)
        self.end = max(self.end, offset + size)
        data = self._space.read_some(offset, min(size, _MAX_METADATA))
        if owner == b"process metadata":
            self.thread_ids.extend(_thread_ids(data))
        elif owner == b"all image infos":
            self.images.extend(self._all_images(data))
        elif owner == b"load binary" and len(data) >= 36:
            uuid, address = struct.unpack_from("<16sQ", data, 4)
            self._add_image(_text(data[36:]), address, uuid)
        elif owner == b"main bin spec" and len(data) >= 16:
            self._main_binary(data)
        elif owner == b"addrable bits" and len(data) >= 8:
            self.code_bits = min(int.from_bytes(data[4:8], "little"), 64)
        elif owner == b"kern ver str":
            self.kernel = _text(data[4 : 4 + _MAX_PATH]) or "kernel"

    def _main_binary(self, data: bytes) -> None:
        version, kind, address = struct.unpack_from("<IIQ", data)
        if kind == 1:
            self.kernel = self.kernel or "kernel"
        uuid = data[24:40] if version >= 2 else data[16:32]
        if kind == 2 and len(uuid) == 16:
            self._add_image("", address, uuid)

    def _add_image(self, path: str, address: int, uuid: bytes) -> None:
        if address != _NO_ADDRESS and len(self.images) < _MAX_IMAGES:
            self.images.append(CoreImage(path, address, uuid if any(uuid) else b""))

    def _all_images(self, data: bytes) -> Iterator[CoreImage]:
        """Yield the entries of ``all image infos``: version, count, file offset and size of an
        entry; path, UUID, address, place and number of its segments."""
        if len(data) < 20:
            return
        _, count, offset, size = struct.unpack_from("<IIQI", data)
        if size < 48:
            return
        table = self._space.read_some(offset, min(count, _MAX_IMAGES) * size)
        for at in range(0, len(table) - 47, size):
            path, uuid, address, segments, segment_count = struct.unpack_from("<Q16sQQI", table, at)
            if address == _NO_ADDRESS:
                address = self._text_address(segments, segment_count)
            if address is not None:
                name = _text(self._space.read_some(path, _MAX_PATH)) if path else ""
                yield CoreImage(name, address, uuid if any(uuid) else b"")

    def _text_address(self, offset: int, count: int) -> int | None:
        """Return where ``__TEXT`` lies: name of 16 bytes, address, reserved."""
        table = self._space.read_some(offset, min(count, 256) * 32)
        for at in range(0, len(table) - 31, 32):
            if table[at : at + 16].split(b"\0", 1)[0] == b"__TEXT":
                return int.from_bytes(table[at + 16 : at + 24], "little")
        return None


def _thread_ids(data: bytes) -> Sequence[int]:
    """Return the ids of ``{"threads": [{"thread_id": 775}, ...]}``."""
    try:
        found = msgspec.json.decode(data.rstrip(b"\0"), type=_Metadata)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    return [entry.thread_id for entry in found.threads[:_MAX_THREADS]]


class _ThreadEntry(msgspec.Struct):
    thread_id: int = 0


class _Metadata(msgspec.Struct):
    threads: list[_ThreadEntry] = []


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")
