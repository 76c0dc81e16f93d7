"""Threads, exception, modules: the streams that nearly every minidump has.

Facts: MINIDUMP_THREAD, _THREAD_EX, _THREAD_INFO, _THREAD_NAME, _EXCEPTION_STREAM, _MODULE and
_UNLOADED_MODULE of Microsoft's documentation of minidumpapiset.h.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.base.identifiers import DebugId
from polydbg.formats.minidump.lists import Stream, counted, extended
from polydbg.formats.minidump.view import View, ansi_text, utf8_text, utf16_text

MAX_THREADS = 100_000
MAX_MODULES = 50_000
MAX_PARAMETERS = 15
MAX_RECORD = 0x10000
FIXED_FILE_INFO_SIGNATURE = 0xFEEF04BD

_THREAD = struct.Struct("<4I2Q4I")
_BACKING = struct.Struct("<QII")
_THREAD_INFO = struct.Struct("<4I6Q")
_THREAD_NAME = struct.Struct("<IQ")
_EXCEPTION = struct.Struct("<IIIIQQII15QII")
_MODULE = struct.Struct("<QIIII13I4I")
_UNLOADED = struct.Struct("<QIIII")


class Location(msgspec.Struct, frozen=True):
    """*size* bytes at file offset *rva*."""

    size: int
    rva: int


class MemoryDescriptor(msgspec.Struct, frozen=True):
    """*size* bytes of memory at *start*, stored at file offset *rva*."""

    start: int
    size: int
    rva: int


class Thread(msgspec.Struct, frozen=True):
    """MINIDUMP_THREAD; *backing_store* only in a ThreadExList (IA-64)."""

    id: int
    suspend_count: int
    priority_class: int
    priority: int
    teb: int
    stack: MemoryDescriptor
    context: Location
    backing_store: MemoryDescriptor | None = None


class ThreadDetails(msgspec.Struct, frozen=True):
    """MINIDUMP_THREAD_INFO: times are FILETIMEs (create, exit) and 100 ns ticks."""

    thread_id: int
    dump_flags: int
    dump_error: int
    exit_status: int
    create_time: int
    exit_time: int
    kernel_time: int
    user_time: int
    start_address: int
    affinity: int


class ExceptionInfo(msgspec.Struct, frozen=True):
    """MINIDUMP_EXCEPTION_STREAM. *context* is that of the fault, not of the dump's writer."""

    thread_id: int
    code: int
    flags: int
    record: int
    address: int
    parameters: tuple[int, ...]
    context: Location


class FixedFileInfo(msgspec.Struct, frozen=True):
    """VS_FIXEDFILEINFO; versions as four numbers, high to low."""

    structure_version: int
    file_version: tuple[int, int, int, int]
    product_version: tuple[int, int, int, int]
    flags_mask: int
    flags: int
    os: int
    file_type: int
    subtype: int
    date: int


class Module(msgspec.Struct, frozen=True):
    """MINIDUMP_MODULE; the records at *codeview* and *misc* are decoded on demand."""

    base: int
    size: int
    checksum: int
    timestamp: int
    name: str
    version: FixedFileInfo | None
    codeview: Location
    misc: Location


class UnloadedModule(msgspec.Struct, frozen=True):
    """MINIDUMP_UNLOADED_MODULE."""

    base: int
    size: int
    checksum: int
    timestamp: int
    name: str


class CodeView(msgspec.Struct, frozen=True):
    """What a CodeView record says.

    *signature* is ``RSDS``, ``NB10``, ``BpEL`` or the four characters found; ids of ELF files come
    from the first 16 bytes of the *build_id*, as Breakpad has it.
    """

    signature: str
    debug_id: DebugId | None
    path: str = ""
    build_id: bytes = b""


def parse_threads(view: View, stream: Stream) -> tuple[Thread, ...]:
    """Return the threads of a ThreadListStream.

    :raises FormatError: the stream holds no list.
    """
    entries = counted(view, stream, _THREAD.size, MAX_THREADS)
    return tuple(
        _thread(_THREAD.unpack(view.slice(at, _THREAD.size)), None) for at in entries.offsets()
    )


def parse_threads_ex(view: View, stream: Stream) -> tuple[Thread, ...]:
    """Return the threads of a ThreadExListStream (entries of 0x40 bytes).

    :raises FormatError: the stream holds no list.
    """
    threads = []
    for at in counted(view, stream, _THREAD.size + _BACKING.size, MAX_THREADS).offsets():
        fields = _THREAD.unpack(view.slice(at, _THREAD.size))
        backing = _BACKING.unpack(view.slice(at + _THREAD.size, _BACKING.size))
        threads.append(_thread(fields, MemoryDescriptor(*backing)))
    return tuple(threads)


def _thread(fields: tuple[int, ...], backing: MemoryDescriptor | None) -> Thread:
    ident, suspend, cls, priority, teb, start, size, rva, ctx_size, ctx_rva = fields
    stack = MemoryDescriptor(start, size, rva)
    context = Location(ctx_size, ctx_rva)
    return Thread(ident, suspend, cls, priority, teb, stack, context, backing)


def parse_thread_details(view: View, stream: Stream) -> tuple[ThreadDetails, ...]:
    """Return the entries of a ThreadInfoListStream.

    :raises FormatError: the stream holds no list.
    """
    entries = extended(
        view, stream, least_entry=_THREAD_INFO.size, wide_count=False, limit=MAX_THREADS
    )
    return tuple(
        ThreadDetails(*_THREAD_INFO.unpack(view.slice(at, _THREAD_INFO.size)))
        for at in entries.offsets()
    )


def parse_thread_names(view: View, stream: Stream) -> dict[int, str]:
    """Return the name of each thread id, the first one where an id is named twice.

    :raises FormatError: the stream holds no list.
    """
    names: dict[int, str] = {}
    for at in counted(view, stream, _THREAD_NAME.size, MAX_THREADS).offsets():
        ident, rva = _THREAD_NAME.unpack(view.slice(at, _THREAD_NAME.size))
        if ident not in names:
            names[ident] = view.name_at(rva, f"thread {ident:x}")
    return names


def parse_exception(view: View, stream: Stream) -> ExceptionInfo:
    """Return the exception; bytes that are cut off read as zero.

    :raises FormatError: cut before the exception's address.
    """
    data = view.clipped(stream.rva, min(stream.size, _EXCEPTION.size))
    if len(data) < 0x20:
        raise FormatError(
            f"{stream.name}: {len(data)} bytes hold no exception record",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    if len(data) < _EXCEPTION.size:
        view.warn("dump.truncated", f"{stream.name}: {len(data)} of {_EXCEPTION.size} bytes")
    fields = _EXCEPTION.unpack(data.ljust(_EXCEPTION.size, b"\0"))
    thread_id, _, code, flags, record, address, count, _ = fields[:8]
    if count > MAX_PARAMETERS:
        view.warn("dump.count-clamped", f"{stream.name}: {count} parameters, {MAX_PARAMETERS} kept")
    parameters = fields[8 : 8 + min(count, MAX_PARAMETERS)]
    context = Location(fields[23], fields[24])
    return ExceptionInfo(thread_id, code, flags, record, address, parameters, context)


def parse_modules(view: View, stream: Stream) -> tuple[Module, ...]:
    """Return the modules of a ModuleListStream in its order.

    :raises FormatError: the stream holds no list.
    """
    modules = []
    size = _MODULE.size + 16
    for index, at in enumerate(counted(view, stream, size, MAX_MODULES).offsets()):
        fields = _MODULE.unpack(view.slice(at, _MODULE.size))
        base, image_size, checksum, timestamp, name_rva = fields[:5]
        modules.append(
            Module(
                base,
                image_size,
                checksum,
                timestamp,
                view.name_at(name_rva, f"module {index}"),
                _fixed_file_info(fields[5:18]),
                Location(fields[18], fields[19]),
                Location(fields[20], fields[21]),
            )
        )
    return tuple(modules)


def _fixed_file_info(fields: tuple[int, ...]) -> FixedFileInfo | None:
    if fields[0] != FIXED_FILE_INFO_SIGNATURE:
        return None
    return FixedFileInfo(
        fields[1],
        (fields[2] >> 16, fields[2] & 0xFFFF, fields[3] >> 16, fields[3] & 0xFFFF),
        (fields[4] >> 16, fields[4] & 0xFFFF, fields[5] >> 16, fields[5] & 0xFFFF),
        fields[6],
        fields[7],
        fields[8],
        fields[9],
        fields[10],
        fields[11] << 32 | fields[12],
    )


def parse_unloaded_modules(view: View, stream: Stream) -> tuple[UnloadedModule, ...]:
    """Return the modules of an UnloadedModuleListStream.

    :raises FormatError: the stream holds no list.
    """
    entries = extended(
        view, stream, least_entry=_UNLOADED.size, wide_count=False, limit=MAX_MODULES
    )
    modules = []
    for index, at in enumerate(entries.offsets()):
        base, size, checksum, timestamp, rva = _UNLOADED.unpack(view.slice(at, _UNLOADED.size))
        name = view.name_at(rva, f"unloaded module {index}")
        modules.append(UnloadedModule(base, size, checksum, timestamp, name))
    return tuple(modules)


def _record(view: View, location: Location) -> bytes:
    """Return the bytes of a record that a module points to, ``b""`` when there is none."""
    if not location.rva:
        return b""
    data = view.clipped(location.rva, min(location.size, MAX_RECORD))
    try:
        view.charge(len(data))
    except FormatError as error:
        view.warn(error.identifier, error.message)
        return b""
    return data


def parse_codeview(view: View, location: Location) -> CodeView | None:
    """Return the CodeView record at *location*; ``None`` when there is none or it is cut short."""
    data = _record(view, location)
    if len(data) < 4:
        return None
    signature = data[:4]
    if signature == b"RSDS" and len(data) >= 0x18:
        age = int.from_bytes(data[0x14:0x18], "little")
        found = DebugId.from_guid_bytes(data[4:0x14], age)
        return CodeView("RSDS", None if found.is_null else found, utf8_text(data[0x18:]))
    if signature == b"NB10" and len(data) >= 0x10:
        _, stamp, age = struct.unpack_from("<III", data, 4)
        return CodeView("NB10", DebugId(f"{stamp:08X}", age), ansi_text(data[0x10:]))
    if signature == b"LEpB" and len(data) > 4:  # 'BpEL' as a number, stored low byte first
        build_id = data[4:]
        found = DebugId.from_guid_bytes(build_id[:16].ljust(16, b"\0"), 0)
        return CodeView("BpEL", None if found.is_null else found, "", build_id)
    return CodeView(signature.decode("latin-1"), None)


def parse_misc_record(view: View, location: Location) -> str | None:
    """Return the image name in an IMAGE_DEBUG_MISC record (it names a ``.dbg``), or ``None``."""
    data = _record(view, location)
    if len(data) < 12:
        return None
    kind, length, is_unicode = struct.unpack_from("<IIB", data)
    if kind != 1:
        return None
    text = data[12 : max(12, min(length, len(data)))]
    return utf16_text(text) if is_unicode else ansi_text(text)
