"""ELF images from builder-made files, and from memory that holds some of their pages."""

from __future__ import annotations

import lzma
import struct
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError, FormatError, MemoryReadError, TargetError
from polydbg.base.identifiers import DebugId
from polydbg.formats.elf import constants as elf
from polydbg.images.elf import ElfImage
from polydbg.memory.ranges import Layer, RangeMap
from polydbg.memory.space import AddressSpace
from polydbg.testing import elf_builder
from polydbg.testing.elf_builder import ElfBuilder

LAYOUTS = [(True, False), (True, True), (False, False), (False, True)]
BASE = 0x40_0000
STRINGS = b"\0libx.so.1\0libc.so.6\0puts\0answer\0V1\0"


def library(is_64: bool = True, is_big: bool = False, start: int = BASE) -> bytes:
    """A library: one page of tables, one of code, one of data with zeros behind."""
    builder = ElfBuilder(is_64, is_big, entry=start + 0x1008)
    hashes = builder.number(4, 1, 3) + builder.number(4, 0, 0, 0, 0)
    table, _ = builder.symbols([])
    rows = [(21, 0, 0, 2, 1, 0), (26, start + 0x1008, 8, 2, 1, 3)]
    for name, value, size, kind, binding, section in rows:
        info = bytes([binding << 4 | kind, 0])
        if is_64:
            table += builder.number(4, name) + info + builder.number(2, section)
            table += builder.number(8, value, size)
        else:
            table += builder.number(4, name, value, size) + info + builder.number(2, section)
    versions = builder.number(2, 0, 0, 2)
    defined = builder.number(2, 1, 0, 2, 1) + builder.number(4, 0, 20, 0, 33, 0)
    tables = hashes.ljust(32, b"\0") + table.ljust(96, b"\0") + STRINGS.ljust(64, b"\0")
    tables += versions.ljust(16, b"\0") + defined
    note = builder.note("GNU", 3, bytes(range(20)))
    tags = [
        (14, 1), (1, 11), (4, start + 0x800), (6, start + 0x820), (5, start + 0x880),
        (10, len(STRINGS)), (11, 24 if is_64 else 16), (0x6FFFFFF0, start + 0x8C0),
        (0x6FFFFFFC, start + 0x8D0), (0x6FFFFFFD, 1), (0, 0),
    ]  # fmt: skip
    builder.section(".note.id", note, type=elf_builder.NOTE, address=start + 0x700)
    builder.section(".tables", tables, address=start + 0x800)
    builder.section(".text", bytes(range(64)), flags=elf_builder.EXEC, address=start + 0x1000)
    builder.section(
        ".dynamic",
        b"".join(builder.word(*pair) for pair in tags),
        type=elf_builder.DYNAMIC,
        address=start + 0x2000,
    )
    builder.section(".bss", type=elf_builder.NOBITS, address=start + 0x3000, size=0x1234)
    builder.segment(elf.PT_DYNAMIC, ".dynamic").segment(elf.PT_NOTE, ".note.id")
    return builder.build()


def loaded(data: bytes, at: int, *pages: int) -> AddressSpace:
    """Memory with the given pages of the library, loaded at *at*, with the header in page 0."""
    image = ElfImage.from_buffer(data, "x")
    memory = bytearray(0x5000)
    for part in image.segments:
        if part.type == 1:
            start = part.vaddr - image.image_base
            memory[start : start + part.file_size] = data[part.offset :][: part.file_size]
    memory[:0x700] = data[:0x700]
    ranges = [(at + 0x1000 * page, 0x1000, 0x1000 * page) for page in pages]
    return RangeMap(bytes(memory), [Layer.of(ranges)])


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
@pytest.mark.parametrize("start", [BASE, 0x1000])
def test_file(is_64: bool, is_big: bool, start: int) -> None:
    image = ElfImage.from_buffer(library(is_64, is_big, start), "libx.so")
    assert (image.image_base, image.size_of_image, image.entry_point) == (start, 0x5000, 0x1008)
    assert image.read(0x1002, 3) == b"\2\3\4"
    assert image.read(0x3000, 0x1234) == bytes(0x1234)
    with pytest.raises(MemoryReadError) as caught:
        image.read(0x1000, 65)
    assert caught.value.address == 0x1040
    assert image.is_code(0x1000)
    assert not image.is_code(0x2000)
    assert not image.is_code(0x1040)
    section = image.section_at(0x4233)
    assert section is not None
    assert section.name == ".bss"
    assert image.section_at(0x4234) is None
    segment = image.segment_at(0x1000)
    assert segment is not None
    assert segment.is_executable
    assert image.build_id == bytes(range(20)).hex()
    assert image.debug_id == DebugId("03020100050407060809" + bytes(range(10, 16)).hex().upper(), 0)
    assert [each.name for each in image.sections()][1:3] == [".tables", ".text"]
    assert (image.sections()[2].rva, image.sections()[-1].file_size) == (0x1000, 0)
    assert (image.soname, image.dynamic.needed) == ("libx.so.1", ("libc.so.6",))
    assert (image.interp, image.is_pie, image.is_static) == (None, False, False)
    symbols = image.dynamic_symbols
    assert symbols is not None
    assert [s.versioned_name for s in symbols.symbols()] == ["puts", "answer@@V1"]
    assert image.symbols is None
    assert (image.package, image.abi, image.eh_frame, image.mini_debug) == (None, None, None, None)


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
def test_memory(is_64: bool, is_big: bool) -> None:
    base = 0x5555_0000
    image = ElfImage.from_memory(loaded(library(is_64, is_big), base, 0, 1, 2), base)
    assert (image.base, image.image_base, image.size_of_image) == (base, BASE, 0x5000)
    assert image.section_headers == ()
    assert image.build_id == bytes(range(20)).hex()
    assert image.soname == "libx.so.1"
    symbols = image.dynamic_symbols
    assert symbols is not None
    assert [s.versioned_name for s in symbols.symbols()] == ["puts", "answer@@V1"]
    assert image.is_code(0x1000)
    assert not image.is_code(0x2000)
    with pytest.raises(MemoryReadError) as caught:
        image.read(0x2FFF, 2)
    assert caught.value.address == 0x3000


def test_memory_with_pages_missing() -> None:
    base = 0x5555_0000
    data = library()
    image = ElfImage.from_memory(loaded(data, base, 0), base)
    assert image.build_id == bytes(range(20)).hex()
    assert (image.soname, image.dynamic.entries) == (None, [])
    assert image.dynamic_symbols is None
    with pytest.raises(FormatError):
        ElfImage.from_memory(loaded(data, base, 1), base)
    small = ElfImage.from_memory(loaded(data, base, 0, 1, 2), base, 0x1000)
    with pytest.raises(MemoryReadError):
        small.read(0x1000, 1)


def test_pointers_that_the_loader_wrote() -> None:
    image = ElfImage.from_memory(loaded(library(), 0x7000_0000, 0, 1, 2), 0x7000_0000)
    assert image.rva_of_pointer(0x7000_0800) == 0x800
    assert image.rva_of_pointer(BASE + 0x800) == 0x800


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot open"):
        ElfImage.from_file(tmp_path / "none")
    for data in (b"", b"MZ", b"\x7fELF"):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(FormatError):
            ElfImage.from_file(tmp_path / "x")
    (tmp_path / "x").write_bytes(library())
    image = ElfImage.from_file(tmp_path / "x")
    assert image.build_id is not None
    image.close()


def test_kinds_of_programs() -> None:
    static = ElfBuilder(type=2)
    static.section(".text", b"\xc3", flags=elf_builder.EXEC, address=0x401000)
    image = ElfImage.from_buffer(static.build(), "x")
    assert (image.is_static, image.is_pie) == (True, False)
    static_pie = ElfBuilder()
    flags = static_pie.word(elf.DT_FLAGS_1, elf.DF_1_PIE, 0, 0)
    static_pie.section(".dynamic", flags, type=elf_builder.DYNAMIC, address=0x1000)
    static_pie.segment(elf.PT_DYNAMIC, ".dynamic")
    image = ElfImage.from_buffer(static_pie.build(), "x")
    assert (image.is_static, image.is_pie) == (True, True)
    program = ElfBuilder()
    program.section(".interp", b"/lib/ld.so\0", address=0x1000)
    program.segment(elf.PT_INTERP, ".interp")
    image = ElfImage.from_buffer(program.build(), "x")
    assert (image.interp, image.is_static, image.is_pie) == ("/lib/ld.so", False, True)


def test_unwind_tables_without_sections() -> None:
    builder = ElfBuilder()
    head = b"\1\x1b\3\x3b" + struct.pack("<i", 0x100 - 4)
    builder.section(".eh_frame_hdr", head, address=0x1000)
    builder.section(".rest", bytes(0x300), address=0x1008)
    builder.segment(elf.PT_GNU_EH_FRAME, ".eh_frame_hdr")
    image = ElfImage.from_buffer(builder.build(), "x")
    index, table = image.eh_frame_hdr, image.eh_frame
    assert index is not None
    assert table is not None
    assert (image.image_base, index.rva, index.data.size) == (0x1000, 0, 8)
    assert (table.rva, table.data.size) == (0x100, 0x208)
    assert image.debug_frame is None


def test_unwind_tables_of_debug_files_have_no_bytes() -> None:
    builder = ElfBuilder()
    builder.section(".eh_frame_hdr", type=elf_builder.NOBITS, address=0x1000, size=8)
    builder.section(".eh_frame", type=elf_builder.NOBITS, address=0x1010, size=8)
    builder.section(".debug_frame", b"frames")
    builder.segment(elf.PT_GNU_EH_FRAME, ".eh_frame_hdr")
    image = ElfImage.from_buffer(builder.build(), "x")
    assert image.eh_frame_hdr is None
    assert image.eh_frame is None
    found = image.debug_frame
    assert found is not None
    assert (found.rva, found.data.take(0, 6)) == (None, b"frames")
    assert image.debug_sections().get(".debug_frame").size == 6
    assert image.debug_sections().get(".debug_info").size == 0


def test_side_files() -> None:
    inner = ElfBuilder().symbol("hidden", 0x1000)
    builder = ElfBuilder()
    builder.section(".gnu_debuglink", b"x.debug\0\1\2\3\4")
    builder.section(".gnu_debugaltlink", b"y.alt\0\xab\xcd")
    builder.section(".gnu_debugdata", lzma.compress(inner.build()))
    image = ElfImage.from_buffer(builder.build(), "x")
    link, alt, mini = image.debug_link(), image.alt_link(), image.mini_debug
    assert link is not None
    assert alt is not None
    assert mini is not None
    assert (link.name, link.crc) == ("x.debug", 0x04030201)
    assert (alt.path, alt.build_id) == ("y.alt", "abcd")
    assert mini.symbols is not None
    assert [each.name for each in mini.symbols.symbols()] == ["hidden"]


def everything(image: ElfImage) -> None:
    for read in (
        lambda: image.build_id, lambda: image.package, lambda: image.abi, lambda: image.soname,
        lambda: image.interp, lambda: image.symbols, lambda: image.dynamic_symbols,
        lambda: image.dynamic.needed, lambda: image.plt_names, lambda: image.eh_frame,
        lambda: image.is_code(0x1000), lambda: image.mini_debug, image.debug_link, image.alt_link,
        lambda: image.debug_frame, lambda: image.read(0x1000, 64), lambda: image.is_static,
    ):  # fmt: skip
        try:
            read()
        except DebuggerError:
            continue


def test_cut_at_every_length() -> None:
    data = library()
    for size in [*range(0x900), *range(0x900, len(data), 97)]:
        try:
            image = ElfImage.from_buffer(data[:size], "x")
        except FormatError:
            assert size < 64
            continue
        everything(image)


def test_numbers_that_are_too_large() -> None:
    """Each word of the headers, of the tables and of the dynamic table, one after the other."""
    data = library()
    for offset in [*range(16, 0x200, 4), *range(0x800, 0x900, 4), *range(0x2000, 0x20B0, 4)]:
        hostile = bytearray(data)
        hostile[offset : offset + 4] = b"\xff\xff\xff\xff"
        try:
            everything(ElfImage.from_buffer(bytes(hostile), "x"))
        except FormatError:
            continue


def test_segments_that_overlap_and_wrap() -> None:
    data = bytearray(library())
    for number in range(3):
        at = 64 + 56 * number
        struct.pack_into("<QQQQQ", data, at + 8, 0, (1 << 64) - 8, 0, 1 << 63, (1 << 64) - 1)
    image = ElfImage.from_buffer(bytes(data), "x")
    everything(image)
    assert image.size_of_image >= 0
