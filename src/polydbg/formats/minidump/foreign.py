"""Streams of other writers: Breakpad, Crashpad, Linux copies of /proc, Mozilla.

Facts: Breakpad's minidump_format.h, Crashpad's minidump_extensions.h, Mozilla's minidump-common.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from polydbg.base.errors import FormatError
from polydbg.formats.minidump.lists import Stream
from polydbg.formats.minidump.process import Location
from polydbg.formats.minidump.view import View, utf8_text, utf16_text

MAX_ITEMS = 10_000
MAX_ANNOTATIONS = 20_000
MAX_VALUE = 0x10000
MAX_MACOS_STRING = 8192
MACOS_RECORDS = 20
ANNOTATION_STRING = 1
MAX_LINKER_VERSION = 0xFF
"""Of ``r_debug``; 1 and 2 are known, and 0 before the dynamic linker has run."""

if TYPE_CHECKING:
    from uuid import UUID


class BreakpadInfo(msgspec.Struct, frozen=True):
    """Thread ids that are ``None`` are not valid in the stream."""

    dump_thread_id: int | None
    requesting_thread_id: int | None


class BreakpadAssertion(msgspec.Struct, frozen=True):
    """*kind* 1 invalid parameter, 2 pure virtual call."""

    expression: str
    function: str
    file: str
    line: int
    kind: int


class Annotation(msgspec.Struct, frozen=True):
    """A Crashpad annotation object: *kind* 1 is a string, 0x8000 and above the user's own."""

    name: str
    kind: int
    value: bytes


class CrashpadModule(msgspec.Struct, frozen=True):
    """Annotations of the module at *index* of the module list."""

    index: int
    list_annotations: tuple[str, ...]
    simple_annotations: dict[str, str]
    objects: tuple[Annotation, ...]


class CrashpadInfo(msgspec.Struct, frozen=True):
    """*address_mask* is for pointer authentication; 0 in files that do not have it."""

    version: int
    report_id: UUID
    client_id: UUID
    annotations: dict[str, str]
    modules: tuple[CrashpadModule, ...]
    address_mask: int


class LinkMap(msgspec.Struct, frozen=True):
    """An object of the dynamic linker's list: where it lies, its file, its dynamic section."""

    address: int
    name: str
    dynamic: int


class DsoDebug(msgspec.Struct, frozen=True):
    """The dynamic linker's list of objects, and the executable's dynamic section."""

    version: int
    brk: int
    loader_base: int
    dynamic: int
    link_map: tuple[LinkMap, ...]
    dynamic_section: bytes


class MacosCrashRecord(msgspec.Struct, frozen=True):
    """A ``__crash_info`` record; fields above the record's version are 0 or empty."""

    version: int
    thread: int
    dialog_mode: int
    abort_cause: int
    module_path: str
    message: str
    signature_string: str
    backtrace: str
    message2: str


def parse_breakpad_info(view: View, stream: Stream) -> BreakpadInfo:
    """:raises FormatError: below 12 bytes."""
    validity, dumper, requester = struct.unpack("<III", _need(view, stream, 12))
    return BreakpadInfo(dumper if validity & 1 else None, requester if validity & 2 else None)


def parse_assertion(view: View, stream: Stream) -> BreakpadAssertion:
    """:raises FormatError: below 776 bytes."""
    data = _need(view, stream, 776)
    texts = [utf16_text(data[at : at + 256]) for at in (0, 256, 512)]
    line, kind = struct.unpack_from("<II", data, 768)
    return BreakpadAssertion(texts[0], texts[1], texts[2], line, kind)


def parse_crashpad_info(view: View, stream: Stream) -> CrashpadInfo:
    """Return Crashpad's own information; annotations that are damaged are left out with a warning.

    :raises FormatError: below 0x34 bytes.
    """
    from uuid import UUID  # it imports much that few dumps need

    data = _need(view, stream, 0x34)
    reader = _Crashpad(view)
    version = int.from_bytes(data[:4], "little")
    simple = Location(*struct.unpack_from("<II", data, 0x24))
    modules = Location(*struct.unpack_from("<II", data, 0x2C))
    mask = view.clipped(stream.rva + 0x38, 8) if stream.size >= 0x40 else b""
    return CrashpadInfo(
        version,
        UUID(bytes_le=data[4:0x14]),
        UUID(bytes_le=data[0x14:0x24]),
        reader.dictionary(simple),
        reader.modules(modules),
        int.from_bytes(mask, "little"),
    )


class _Crashpad:
    """Follows Crashpad's nested lists with one limit for all of them, and each text read once."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.left = MAX_ANNOTATIONS
        self.texts: dict[int, str] = {}

    def modules(self, location: Location) -> tuple[CrashpadModule, ...]:
        modules = []
        for index, size, rva in struct.iter_unpack("<III", self.items(location, 12)):
            data = self.view.clipped(rva, min(size, 28))
            if len(data) < 20:
                self.view.warn("dump.truncated", f"CrashpadInfoStream: module {index} is cut off")
                continue
            places = struct.unpack("<6I", data[4:].ljust(24, b"\0"))
            texts, simple, objects = (Location(*places[at : at + 2]) for at in (0, 2, 4))
            modules.append(
                CrashpadModule(
                    index, self.strings(texts), self.dictionary(simple), self.objects(objects)
                )
            )
        return tuple(modules)

    def strings(self, location: Location) -> tuple[str, ...]:
        items = struct.iter_unpack("<I", self.items(location, 4))
        return tuple(self.text(rva) for (rva,) in items)

    def dictionary(self, location: Location) -> dict[str, str]:
        pairs = struct.iter_unpack("<II", self.items(location, 8))
        return {self.text(key): self.text(value) for key, value in pairs}

    def objects(self, location: Location) -> tuple[Annotation, ...]:
        items = struct.iter_unpack("<IHHI", self.items(location, 12))
        return tuple(
            Annotation(self.text(name), kind, self.value(rva)) for name, kind, _, rva in items
        )

    def items(self, location: Location, size: int) -> bytes:
        """Return the whole items of a counted list, as many as there are."""
        if not location.rva:
            return b""
        count = int.from_bytes(self.view.clipped(location.rva, 4), "little")
        data = self.view.clipped(location.rva + 4, min(count, self.left) * size)
        kept = len(data) // size
        self.left -= kept
        if kept < count:
            self.view.warn(
                "dump.count-clamped",
                f"CrashpadInfoStream: {kept} of {count} items at {location.rva:#x}",
            )
        return data[: kept * size]

    def text(self, rva: int) -> str:
        if rva not in self.texts:
            try:
                self.texts[rva] = self.view.utf8(rva)
            except FormatError:
                self.view.warn("dump.bad-string", f"CrashpadInfoStream: no string at {rva:#x}")
                self.texts[rva] = ""
        return self.texts[rva]

    def value(self, rva: int) -> bytes:
        size = int.from_bytes(self.view.clipped(rva, 4), "little")
        data = self.view.clipped(rva + 4, min(size, MAX_VALUE))
        try:
            self.view.charge(len(data))
        except FormatError as error:
            self.view.warn(error.identifier, error.message)
            return b""
        return data


def _dso_layout(size: int, pointer_size: int) -> tuple[struct.Struct, struct.Struct]:
    """Return the layouts of the fixed part and of a link-map entry.

    64-bit writers differ in whether the compiler padded both; the dynamic section that follows
    the fixed part is made of 16-byte entries and tells them apart.
    """
    if pointer_size != 8:
        return struct.Struct("<IIIIII"), struct.Struct("<III")
    if size >= 0x28 and (size - 0x28) % 16 == 0:
        return struct.Struct("<III4xQQQ"), struct.Struct("<QI4xQ")
    return struct.Struct("<IIIQQQ"), struct.Struct("<QIQ")


def parse_dso_debug(view: View, stream: Stream, pointer_size: int) -> DsoDebug:
    """Return the linker's list of objects.

    :raises FormatError: shorter than its fixed part, or a version that ``r_debug`` never had.
    """
    fixed, entry = _dso_layout(stream.size, pointer_size)
    version, map_rva, count, brk, base, dynamic = fixed.unpack(_need(view, stream, fixed.size))
    if version > MAX_LINKER_VERSION:
        raise FormatError(
            f"{stream.name}: version {version:#x} of r_debug",
            offset=stream.rva,
            identifier="dump.bad-stream",
        )
    data = view.clipped(map_rva, min(count, MAX_ITEMS) * entry.size)
    if len(data) < count * entry.size:
        view.warn(
            "dump.count-clamped", f"{stream.name}: {len(data) // entry.size} of {count} objects"
        )
    entries = entry.iter_unpack(data[: len(data) // entry.size * entry.size])
    objects = tuple(
        LinkMap(address, view.name_at(name, "shared object"), where)
        for address, name, where in entries
    )
    section = view.clipped(stream.rva + fixed.size, stream.size - fixed.size)
    return DsoDebug(version, brk, base, dynamic, objects, section)


def parse_macos_crash_info(view: View, stream: Stream) -> tuple[MacosCrashRecord, ...]:
    """Return Mozilla's copies of macOS ``__crash_info``, damaged records left out with a warning.

    :raises FormatError: shorter than its fixed part.
    """
    fixed = 12 + MACOS_RECORDS * 8
    data = _need(view, stream, fixed)
    _, count, record_size = struct.unpack_from("<III", data)
    records = []
    for index in range(min(count, MACOS_RECORDS)):
        size, rva = struct.unpack_from("<II", data, 12 + index * 8)
        raw = view.clipped(rva, min(size, 0x20000))
        if len(raw) < 24 or record_size < 24 or len(raw) < record_size:
            view.warn("dump.truncated", f"{stream.name}: record {index} is cut off")
            continue
        records.append(_macos_record(raw, record_size))
    return tuple(records)


def _macos_record(raw: bytes, record_size: int) -> MacosCrashRecord:
    numbers = [
        int.from_bytes(raw[at : at + 8], "little") if at + 8 <= record_size else 0
        for at in range(8, 40, 8)
    ]
    texts = [utf8_text(part[:MAX_MACOS_STRING]) for part in raw[record_size:].split(b"\0", 5)[:5]]
    texts += [""] * (5 - len(texts))
    return MacosCrashRecord(*numbers, *texts)  # type: ignore[arg-type]


def parse_boot_arguments(view: View, stream: Stream) -> str:
    """Return the kernel's boot arguments of a MozMacosBootargs stream.

    :raises FormatError: below 12 bytes, or no string.
    """
    _, rva = struct.unpack("<IQ", _need(view, stream, 12))
    return view.utf16(rva)


def _need(view: View, stream: Stream, size: int) -> bytes:
    if stream.size < size:
        raise FormatError(
            f"{stream.name}: {stream.size} of {size} bytes",
            offset=stream.rva,
            identifier="dump.truncated",
        )
    return view.slice(stream.rva, size)
