"""Handles, handle operations, tokens and dynamic function tables.

Facts: MINIDUMP_HANDLE_DATA_STREAM, _HANDLE_DESCRIPTOR(_2), _HANDLE_OBJECT_INFORMATION,
_HANDLE_OPERATION_LIST, _TOKEN_INFO_LIST and _FUNCTION_TABLE_STREAM of minidumpapiset.h.
"""

from __future__ import annotations

import struct

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.lists import Stream, extended
from polydbg.formats.minidump.view import View

MAX_HANDLES = 1_000_000
MAX_CHAIN = 64
MAX_TABLES = 100_000
MAX_TOKENS = 100_000

OBJECT_INFORMATION_NAMES: dict[int, str] = {
    0: "None",
    1: "ThreadInformation1",
    2: "MutantInformation1",
    3: "MutantInformation2",
    4: "ProcessInformation1",
    5: "ProcessInformation2",
    6: "EventInformation1",
    7: "SectionInformation1",
    8: "SemaphoreInformation1",
}

_HANDLE = struct.Struct("<QIIIIII")
_OPERATION = struct.Struct("<QIIIIII32Q")
_TABLE = struct.Struct("<QQQII")


class Handle(msgspec.Struct, frozen=True):
    """MINIDUMP_HANDLE_DESCRIPTOR; *object_info_rva* starts a chain, or is 0."""

    handle: int
    type_name: str
    object_name: str
    attributes: int
    granted_access: int
    handle_count: int
    pointer_count: int
    object_info_rva: int = 0


class ObjectInformation(msgspec.Struct, frozen=True):
    """One element of a handle's chain: *info_type* of OBJECT_INFORMATION_NAMES."""

    info_type: int
    data: bytes

    def fields(self) -> dict[str, int]:
        """Return the numbers in it by name, none where type or length is not known.

        The data are what ``NtQueryEvent``, ``NtQueryInformationThread`` and their like return
        (``*_BASIC_INFORMATION``), as wide as the process that wrote them: the length tells.
        """
        for layout in _OBJECT_LAYOUTS.get(self.info_type, ()):
            if struct.calcsize(layout[0]) == len(self.data):
                names = layout[1].split()
                return dict(zip(names, struct.unpack(layout[0], self.data)))
        return {}


_THREAD_FIELDS = "exit_status teb process_id thread_id affinity priority base_priority"
_PROCESS_FIELDS = "exit_status peb affinity base_priority process_id parent_process_id"
_OWNER_FIELDS = "owner_process_id owner_thread_id"
_SECTION_FIELDS = "base attributes size"
_OBJECT_LAYOUTS: dict[int, tuple[tuple[str, str], ...]] = {
    1: (("<i4x4Q2i", _THREAD_FIELDS), ("<i4I2i", _THREAD_FIELDS)),
    2: (("<i2B2x", "count owned_by_caller abandoned"),),
    3: (("<2Q", _OWNER_FIELDS), ("<2I", _OWNER_FIELDS)),
    4: (("<i4x2Qi4x2Q", _PROCESS_FIELDS), ("<i2Ii2I", _PROCESS_FIELDS)),
    6: (("<Ii", "event_type event_state"),),
    7: (("<QI4xq", _SECTION_FIELDS), ("<IIq", _SECTION_FIELDS)),
    8: (("<2i", "count limit"),),
}


class HandleOperation(msgspec.Struct, frozen=True):
    """AVRF_HANDLE_OPERATION: *operation* 1 open, 2 close, 3 bad reference."""

    handle: int
    process_id: int
    thread_id: int
    operation: int
    index: int
    backtrace: tuple[int, ...]


class Token(msgspec.Struct, frozen=True):
    """MINIDUMP_TOKEN_INFO: what was saved of an access token, as bytes."""

    token_id: int
    handle: int
    data: bytes


class FunctionTable(msgspec.Struct, frozen=True):
    """Unwind entries of generated code: *entries* lie in one piece, *entry_size* bytes each."""

    minimum_address: int
    maximum_address: int
    base_address: int
    entry_size: int
    native_descriptor: bytes
    entries: bytes


def parse_handles(view: View, stream: Stream) -> tuple[Handle, ...]:
    """Return the handles of a HandleDataStream, descriptors of version 1 (32 bytes) or 2 (40).

    :raises FormatError: the stream holds no list.
    """
    entries = extended(view, stream, least_entry=_HANDLE.size, wide_count=False, limit=MAX_HANDLES)
    names: dict[int, str] = {0: ""}
    handles = []
    for at in entries.offsets():
        value, type_rva, name_rva, attributes, access, count, pointers = _HANDLE.unpack(
            view.slice(at, _HANDLE.size)
        )
        info = view.u32(at + 0x20) if entries.size >= 0x28 else 0
        for rva in (type_rva, name_rva):
            if rva not in names:
                names[rva] = view.name_at(rva, f"handle {value:x}")
        handles.append(
            Handle(
                value, names[type_rva], names[name_rva], attributes, access, count, pointers, info
            )
        )
    return tuple(handles)


def parse_object_information(view: View, handle: Handle) -> tuple[ObjectInformation, ...]:
    """Return the chain of object information of *handle*; it ends where it is damaged or loops."""
    found = []
    seen: set[int] = set()
    rva = handle.object_info_rva
    while rva and rva not in seen and len(seen) < MAX_CHAIN:
        seen.add(rva)
        data = view.clipped(rva, 12)
        if len(data) < 12:
            view.warn("dump.truncated", f"handle {handle.handle:x}: object information is cut off")
            break
        rva_next, kind, size = struct.unpack("<III", data)
        found.append(ObjectInformation(kind, view.clipped(rva + 12, min(size, 0x10000))))
        rva = rva_next
    return tuple(found)


def parse_handle_operations(view: View, stream: Stream) -> tuple[HandleOperation, ...]:
    """Return the operations of a HandleOperationListStream, in the stream's order.

    :raises FormatError: the stream holds no list.
    """
    entries = extended(
        view, stream, least_entry=_OPERATION.size, wide_count=False, limit=MAX_HANDLES
    )
    operations = []
    for at in entries.offsets():
        fields = _OPERATION.unpack(view.slice(at, _OPERATION.size))
        handle, process, thread, kind, _, depth, index = fields[:7]
        frames = fields[7 : 7 + min(depth, 32)]
        operations.append(HandleOperation(handle, process, thread, kind, index, frames))
    return tuple(operations)


def parse_tokens(view: View, stream: Stream) -> tuple[Token, ...]:
    """Return the tokens of a TokenInformationStream.

    :raises FormatError: no header, or sizes below their least.
    """
    data = view.clipped(stream.rva, min(stream.size, 16))
    if len(data) < 16:
        raise FormatError(f"{stream.name}: no list header", offset=stream.rva)
    _, count, header_size, element_header = struct.unpack("<IIII", data)
    if header_size < 16 or element_header < 16:
        raise FormatError(f"{stream.name}: header sizes are too small", offset=stream.rva)
    tokens: list[Token] = []
    at = stream.rva + header_size
    while len(tokens) < min(count, MAX_TOKENS) and at + element_header <= stream.end:
        size, ident, handle = struct.unpack("<IIQ", view.slice(at, 16))
        if size < element_header:
            break
        end = min(at + size, stream.end)
        tokens.append(
            Token(ident, handle, view.clipped(at + element_header, end - at - element_header))
        )
        at += size
    if len(tokens) < count:
        view.warn("dump.count-clamped", f"{stream.name}: {len(tokens)} of {count} tokens")
    return tuple(tokens)


def parse_function_tables(view: View, stream: Stream) -> tuple[FunctionTable, ...]:
    """Return the dynamic function tables of a FunctionTableStream.

    :raises FormatError: no header, or sizes below their least.
    """
    data = view.clipped(stream.rva, min(stream.size, 24))
    if len(data) < 24:
        raise FormatError(f"{stream.name}: no list header", offset=stream.rva)
    header_size, size, native_size, entry_size, count, pad = struct.unpack("<6I", data)
    if header_size < 24 or size < _TABLE.size:
        raise FormatError(f"{stream.name}: header sizes are too small", offset=stream.rva)
    tables: list[FunctionTable] = []
    at = stream.rva + header_size + pad
    while len(tables) < min(count, MAX_TABLES) and at + size + native_size <= stream.end:
        low, high, base, entries, align_pad = _TABLE.unpack(view.slice(at, _TABLE.size))
        at += size
        native = view.slice(at, native_size)
        at += native_size
        length = min(entries * entry_size, stream.end - at)
        tables.append(FunctionTable(low, high, base, entry_size, native, view.slice(at, length)))
        at += length + align_pad
    if len(tables) < count:
        view.warn("dump.count-clamped", f"{stream.name}: {len(tables)} of {count} tables")
    return tuple(tables)
