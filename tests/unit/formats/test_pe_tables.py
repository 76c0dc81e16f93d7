"""Headers, exports, debug directory and version resource of PE images, from built bytes."""

from __future__ import annotations

import contextlib

import pytest

from polydbg.base.errors import FormatError, MemoryReadError
from polydbg.formats.pe import debug, exports, header
from polydbg.formats.pe.resources import version
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.testing.pe_builder import DATA_RVA, PeBuilder, rsds, u16, u32, version_block

GUID = bytes(range(16))


def image(builder: PeBuilder) -> PeImage:
    return PeImage.from_buffer(builder.build(), "built.dll", "/tmp/built.dll")


def test_header_fields() -> None:
    parsed = image(PeBuilder(characteristics=0x2022)).header
    assert (parsed.machine_name, parsed.is_64bit, parsed.is_dll) == ("amd64", True, True)
    assert parsed.linker_version == (14, 29)
    assert (parsed.os_version, parsed.image_version) == ((6, 1), (7, 8))
    assert (parsed.subsystem, parsed.dll_characteristics) == (3, 0x8160)
    assert (parsed.stack_reserve, parsed.stack_commit) == (0x100000, 0x1000)
    assert (parsed.heap_reserve, parsed.heap_commit) == (0x200000, 0x2000)
    assert parsed.base_of_data is None
    assert [section.name for section in parsed.sections] == [".text", ".data"]
    assert len(parsed.directories) == 16


def test_header_of_32_bits() -> None:
    parsed = image(PeBuilder(machine="x86", image_base=0x400000)).header
    assert (parsed.machine_name, parsed.image_base) == ("x86", 0x400000)
    assert parsed.base_of_data == DATA_RVA
    assert (parsed.subsystem, parsed.heap_commit) == (3, 0x2000)


def test_header_of_something_else() -> None:
    for data in (b"", b"MZ", b"MZ" + bytes(200), b"\x7fELF" + bytes(100)):
        with pytest.raises(FormatError):
            PeImage.from_buffer(data, "x")
    too_many = bytearray(PeBuilder().build())
    too_many[0x86:0x88] = u16(97)
    with pytest.raises(FormatError, match="97 sections"):
        PeImage.from_buffer(bytes(too_many), "x")


def test_fewer_directories_than_sixteen() -> None:
    data = bytearray(PeBuilder().build())
    data[0x80 + 24 + 108 : 0x80 + 24 + 112] = u32(0xFFFFFFFF)  # NumberOfRvaAndSizes
    assert len(PeImage.from_buffer(bytes(data), "x").directories) == 16
    data[0x80 + 24 + 108 : 0x80 + 24 + 112] = u32(1)
    assert not any(PeImage.from_buffer(bytes(data), "x").directories[1:])


def test_exports_by_name_ordinal_and_forwarder() -> None:
    builder = PeBuilder()
    builder.exports(
        "built.dll",
        [("zeta", 0x1010), (None, 0x1020), ("alpha", "NTDLL.RtlZeroMemory"), ("hole", 0)],
        base=5,
    )
    built = image(builder)
    assert [(e.name, e.ordinal, e.rva, e.forwarder) for e in built.exports()[:2]] == [
        ("zeta", 5, 0x1010, None),
        (None, 6, 0x1020, None),
    ]
    assert [(e.name, e.ordinal, e.forwarder) for e in built.exports()[2:]] == [
        ("alpha", 7, "NTDLL.RtlZeroMemory")
    ]
    table = built.export_table()
    assert table is not None
    assert table.dll_name == "built.dll"


def test_export_counts_are_bounded() -> None:
    def table(functions: int, names: int) -> bytes:
        return u32(0, 0, 0, 0, 1, functions, names, 40, 40, 40)

    for functions, names in ((0x10001, 0), (1, 0x40001)):
        with pytest.raises(FormatError, match="too many"):
            exports.parse_exports(
                BufferSpace(table(functions, names) + bytes(64)), header.DataDirectory(0, 40)
            )
    data = table(1, 1)[:28] + u32(40, 40, 44) + u32(1) + u16(7)
    with pytest.raises(FormatError, match="index"):
        exports.parse_exports(BufferSpace(data), header.DataDirectory(0, 40))


def test_export_names_may_not_unfold_without_end() -> None:
    """Many names that share one long string: the total is bounded."""
    count = 0x10000
    long = b"a" * 0x3000 + b"\0"
    body = u32(0, 0, 0, 0, 1, 1, count, 40, 44, 44 + 4 * count) + u32(0x10)
    at = 44 + 6 * count
    body = body[:40] + u32(0x10) + u32(at) * count + u16(0) * count + long
    with pytest.raises(FormatError, match="too long"):
        exports.parse_exports(BufferSpace(body), header.DataDirectory(0, 40))


def test_codeview_and_reproducible() -> None:
    builder = PeBuilder()
    builder.debug((debug.DEBUG_TYPE_CODEVIEW, rsds(GUID, 3, "C:\\x\\app.pdb")), (16, b""))
    built = image(builder)
    record = built.codeview()
    assert record is not None
    assert record.debug_id.key == "03020100050407060809" + "0A0B0C0D0E0F" + "3"
    assert (record.path, record.signature) == ("C:\\x\\app.pdb", "RSDS")
    assert built.is_reproducible
    assert [entry.type_name for entry in built.debug_entries()] == ["CODEVIEW", "REPRO"]


def test_codeview_of_old_linkers() -> None:
    found = debug.parse_codeview(b"NB10" + u32(0, 0x3C5A1B2F, 2) + b"old.pdb\0")
    assert found is not None
    assert (found.debug_id.key, found.path, found.signature) == ("3C5A1B2F2", "old.pdb", "NB10")
    assert debug.parse_codeview(b"NB11" + bytes(20)) is None
    for short in (b"RSDS" + bytes(10), b"NB10" + bytes(4)):
        with pytest.raises(FormatError):
            debug.parse_codeview(short)


def test_debug_directory_is_bounded() -> None:
    with pytest.raises(FormatError):
        debug.parse_debug_directory(BufferSpace(b""), header.DataDirectory(1, 28 * 65))
    assert debug.parse_debug_directory(BufferSpace(b""), header.DataDirectory(0, 0)) == ()


def fixed_info() -> bytes:
    return u32(0xFEEF04BD, 0x10000, 0x000A0001, 0x47BA0546, 0x000A0002, 0x47BA0546) + u32(
        0x3F, 1, 0x40004, 2, 0, 0x01D00000, 5
    )


def test_version_resource() -> None:
    def text(value: str) -> bytes:
        return (value + "\0").encode("utf-16-le")

    table = version_block(
        "040904b0",
        b"",
        version_block("CompanyName", text("Example"), text=True),
        version_block("FileDescription", text("A thing"), text=True),
    )
    builder = PeBuilder()
    builder.version(
        version_block(
            "VS_VERSION_INFO",
            fixed_info(),
            version_block("StringFileInfo", b"", table),
            version_block("VarFileInfo", b"", version_block("Translation", u16(0x409, 0x4B0))),
        )
    )
    found = image(builder).version()
    assert found is not None
    assert found.fixed is not None
    assert found.fixed.file_version == (10, 1, 18362, 1350)
    assert found.fixed.product_version == (10, 2, 18362, 1350)
    assert (found.fixed.flags, found.fixed.os, found.fixed.type) == (1, 0x40004, 2)
    assert found.fixed.date == 0x01D00000_00000005
    assert found.tables[0].key == "040904b0"
    assert found.string("FileDescription") == "A thing"
    assert found.string("Nothing") is None
    assert found.translations == ((0x409, 0x4B0),)


def test_version_resource_cut_and_flipped() -> None:
    whole = version_block("VS_VERSION_INFO", fixed_info(), version_block("StringFileInfo"))
    for length in range(len(whole)):
        with contextlib.suppress(FormatError):
            version.parse_version(whole[:length])
    for index in range(len(whole)):
        for value in (0, 1, 0xFF):
            data = whole[:index] + bytes([value]) + whole[index + 1 :]
            with contextlib.suppress(FormatError):
                version.parse_version(data)


def test_images_without_tables() -> None:
    bare = image(PeBuilder())
    assert bare.exports() == ()
    assert bare.version() is None
    assert bare.codeview() is None
    assert not bare.is_reproducible
    assert not bare.has_unwind_table


def test_cut_files_fail_cleanly() -> None:
    builder = PeBuilder()
    builder.exports("d", [("a", 0x1000), ("b", "x.y")])
    builder.debug((2, rsds(GUID, 1, "a.pdb")))
    data = builder.build()
    for length in range(0, len(data), 37):
        with contextlib.suppress(FormatError, MemoryReadError):
            cut = PeImage.from_buffer(data[:length], "x")
            cut.exports()
            cut.codeview()
