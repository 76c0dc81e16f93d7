"""Parts of ELF files, from bytes of a builder and from hand-made ones."""

from __future__ import annotations

import lzma
import random
import struct
import zlib

import pytest

from polydbg.base.errors import DebuggerError, FormatError, MemoryReadError
from polydbg.formats.elf import address_index, debug_links, dynamic, notes, plt, versions
from polydbg.formats.elf import constants as elf
from polydbg.formats.elf.address_index import AddressIndex, SymbolsByAddress
from polydbg.formats.elf.header import parse_header, parse_segments
from polydbg.formats.elf.sections import contents, parse_sections, section_named
from polydbg.formats.elf.symbol_table import SymbolTable
from polydbg.formats.section import Section
from polydbg.memory.space import BufferSpace
from polydbg.testing import elf_builder
from polydbg.testing.elf_builder import ElfBuilder

LAYOUTS = [(True, False), (True, True), (False, False), (False, True)]


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
def test_header_segments_and_sections(is_64: bool, is_big: bool) -> None:
    builder = ElfBuilder(is_64, is_big, machine=elf.EM_MIPS, type=2, entry=0x10010)
    builder.section(".text", b"code", flags=elf_builder.EXEC, address=0x10000)
    builder.section(".bss", type=elf_builder.NOBITS, address=0x20000, size=0x123)
    data = builder.build()
    space = BufferSpace(data)
    header = parse_header(space)
    assert (header.is_64, header.is_big, header.type) == (is_64, is_big, elf.ET_EXEC)
    assert (header.entry, header.machine_name) == (0x10010, "mips64" if is_64 else "mips")
    text, bss = parse_segments(space, header)
    assert (text.type, text.vaddr, text.file_size, text.is_executable) == (1, 0x10000, 4, True)
    assert (bss.vaddr, bss.file_size, bss.memory_size, bss.end) == (0x20000, 0, 0x123, 0x20123)
    sections = parse_sections(space, header)
    assert [each.name for each in sections] == ["", ".text", ".bss", ".shstrtab"]
    found = contents(data, header, sections[1])
    assert found is not None
    assert found.take(0, 4) == b"code"
    assert contents(data, header, sections[2]) is None


@pytest.mark.parametrize(
    ("machine", "narrow", "wide"),
    [
        (3, "x86", "x86"), (62, "x32", "amd64"), (40, "arm", "arm"), (8, "mips", "mips64"),
        (183, "arm64-ilp32", "arm64"), (243, "riscv32", "riscv64"), (20, "ppc", "ppc"),
        (21, "ppc64", "ppc64"), (22, "s390", "s390x"), (258, "loongarch32", "loongarch64"),
        (2, "sparc", "sparc64"), (43, "sparc64", "sparc64"), (15, "parisc", "parisc64"),
        (4, "m68k", "m68k"), (0x9026, "alpha", "alpha"), (0xBEEF, "machine-BEEF", "machine-BEEF"),
    ],
)  # fmt: skip
def test_machines(machine: int, narrow: str, wide: str) -> None:
    assert elf.machine_name(machine, False) == narrow
    assert elf.machine_name(machine, True) == wide


def _patched(data: bytes, *changes: tuple[int, str, int]) -> bytes:
    result = bytearray(data)
    for offset, layout, value in changes:
        struct.pack_into(layout, result, offset, value)
    return bytes(result)


def test_counts_that_do_not_fit_are_in_section_0() -> None:
    builder = ElfBuilder()
    builder.section(".text", b"x", address=0x1000)
    builder.section(".data", b"y", address=0x2000)
    data = builder.build()
    start = parse_header(BufferSpace(data)).shoff
    big = _patched(
        data,
        (56, "<H", 0xFFFF), (60, "<H", 0), (62, "<H", 0xFFFF),
        (start + 32, "<Q", 4), (start + 40, "<I", 3), (start + 44, "<I", 2),
    )  # fmt: skip
    header = parse_header(BufferSpace(big))
    assert (header.phnum, header.shnum, header.shstrndx) == (2, 4, 3)
    assert len(parse_segments(BufferSpace(big), header)) == 2
    assert parse_sections(BufferSpace(big), header)[1].name == ".text"
    # The sections of a cut core are lost: what looks like a segment is one.
    cut = big[:start]
    header = parse_header(BufferSpace(cut))
    assert len(parse_segments(BufferSpace(cut), header)) == 2
    assert parse_sections(BufferSpace(cut), header) == ()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fELF", b"MZ" + bytes(80), b"\x7fELF\3\1" + bytes(80), b"\x7fELF\1\0" + bytes(80)],
)
def test_what_is_not_elf(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_header(BufferSpace(data))


def test_impossible_tables() -> None:
    data = ElfBuilder().build()
    small = _patched(data, (54, "<H", 8), (56, "<H", 1))
    with pytest.raises(FormatError, match="program headers of 8"):
        parse_segments(BufferSpace(small), parse_header(BufferSpace(small)))
    small = _patched(data, (58, "<H", 8))
    with pytest.raises(FormatError, match="section headers of 8"):
        parse_sections(BufferSpace(small), parse_header(BufferSpace(small)))
    start = parse_header(BufferSpace(data)).shoff
    many = _patched(data, (60, "<H", 0), (start + 32, "<Q", 0xFFFFFFFF))
    with pytest.raises(FormatError, match="4294967295 sections"):
        parse_sections(BufferSpace(many), parse_header(BufferSpace(many)))


# Compressed sections


def _expanded(name: str, data: bytes, flags: int, builder: ElfBuilder) -> bytes:
    builder.section(name, data, flags=flags)
    file = builder.build()
    header = parse_header(BufferSpace(file))
    section = section_named(parse_sections(BufferSpace(file), header), name)
    assert section is not None
    found = contents(file, header, section)
    assert found is not None
    return found.take(0, found.size)


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
def test_compressed_sections(is_64: bool, is_big: bool) -> None:
    zstd = pytest.importorskip("backports.zstd")
    body = b"debug information " * 100
    for kind, packed in ((1, zlib.compress(body)), (2, zstd.compress(body))):
        builder = ElfBuilder(is_64, is_big)
        head = builder.number(4, kind) + (bytes(4) if is_64 else b"") + builder.word(len(body), 1)
        flags = elf_builder.COMPRESSED
        assert _expanded(".debug_info", head + packed, flags, builder) == body
    head = b"ZLIB" + len(body).to_bytes(8, "big")
    builder = ElfBuilder(is_64, is_big)
    assert _expanded(".zdebug_info", head + zlib.compress(body), 0, builder) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<IIQQ", 1, 0, 10, 1),
        struct.pack("<IIQQ", 1, 0, 10, 1) + b"not deflated",
        struct.pack("<IIQQ", 1, 0, 10, 1) + zlib.compress(b"x" * 9),
        struct.pack("<IIQQ", 1, 0, 10, 1) + zlib.compress(b"x" * 1000000),
        struct.pack("<IIQQ", 1, 0, 10, 1) + zlib.compress(b"x" * 10)[:-1],
        struct.pack("<IIQQ", 7, 0, 10, 1) + zlib.compress(b"x" * 10),
        struct.pack("<IIQQ", 1, 0, 1 << 63, 1) + zlib.compress(b"x" * 10),
        struct.pack("<IIQQ", 2, 0, 1 << 33, 1) + zlib.compress(b"x" * 10),
    ],
)
def test_damaged_compression(data: bytes) -> None:
    with pytest.raises(FormatError):
        _expanded(".debug_info", data, elf_builder.COMPRESSED, ElfBuilder())


# Notes


@pytest.mark.parametrize("is_big", [False, True])
def test_notes(is_big: bool) -> None:
    builder = ElfBuilder(is_big=is_big)
    data = builder.note("GNU", 1, builder.number(4, 0, 3, 2, 0))
    data += bytes(16) + builder.note("GNU", 3, bytes.fromhex("0123456789abcdef00"))
    data += builder.note("FDO", 0xCAFE1A7E, b'{"name":"coreutils","version":"9.1","n":1}\0')

    def read() -> list[notes.Note]:
        return list(notes.iterate_notes(data, big=is_big))

    assert [note.owner for note in read()] == ["GNU", "GNU", "FDO"]
    assert notes.build_id_of(iter(read())) == "0123456789abcdef00"
    assert notes.abi_of(iter(read()), big=is_big) == "Linux 3.2.0"
    assert notes.package_of(iter(read())) == {"name": "coreutils", "version": "9.1"}


def test_notes_on_eight_byte_boundaries() -> None:
    one = struct.pack("<III", 4, 4, 5) + b"GNU\0" + b"abcd" + bytes(4)
    found = list(notes.iterate_notes(one + one, align=8))
    assert [(note.descriptor, note.offset) for note in found] == [(b"abcd", 16), (b"abcd", 40)]


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff", b"[" * 5000])
def test_odd_package_notes(text: bytes) -> None:
    data = ElfBuilder().note("FDO", 0xCAFE1A7E, text)
    assert notes.package_of(notes.iterate_notes(data)) is None


def test_notes_that_end_early() -> None:
    data = ElfBuilder().note("GNU", 3, bytes(range(1, 21)))
    for size in range(len(data)):
        assert list(notes.iterate_notes(data[:size])) == []
    assert list(notes.iterate_notes(struct.pack("<III", 0xFFFFFFFF, 0xFFFFFFFF, 3))) == []
    assert notes.build_id_of(iter(())) is None
    empty = ElfBuilder().note("GNU", 3, b"")
    assert notes.build_id_of(notes.iterate_notes(empty)) is None


# The dynamic table and its counts


def test_dynamic_entries() -> None:
    data = struct.pack("<6Q", 1, 5, 14, 9, 0, 0) + struct.pack("<2Q", 1, 7)
    assert dynamic.parse_dynamic(data, "<", 8) == [(1, 5), (14, 9)]
    assert dynamic.parse_dynamic(data[:20], "<", 8) == [(1, 5)]
    assert dynamic.parse_dynamic(struct.pack(">4I", 5, 6, 0, 0), ">", 4) == [(5, 6)]


def test_counts_by_hash_tables() -> None:
    space = BufferSpace(struct.pack("<2I", 3, 17))
    assert dynamic.count_by_hash(space, 0, "<") == 17
    assert dynamic.count_by_hash(BufferSpace(struct.pack("<2Q", 3, 18)), 0, "<", 8) == 18
    table = struct.pack("<4I", 2, 5, 1, 6) + bytes(8) + struct.pack("<2I", 5, 7)
    chains = struct.pack("<5I", 2, 3, 4, 6, 9)
    assert dynamic.count_by_gnu_hash(BufferSpace(table + chains), 0, "<", 8) == 10
    empty = struct.pack("<4I", 1, 4, 1, 6) + bytes(8) + struct.pack("<I", 0)
    assert dynamic.count_by_gnu_hash(BufferSpace(empty), 0, "<", 8) == 4
    with pytest.raises(MemoryReadError):  # a chain without an end
        dynamic.count_by_gnu_hash(BufferSpace(table + chains[:12]), 0, "<", 8)
    with pytest.raises(MemoryReadError):
        dynamic.count_by_gnu_hash(BufferSpace(b"\xff" * 64), 0, "<", 8)


# Symbols


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
def test_symbols(is_64: bool, is_big: bool) -> None:
    builder = ElfBuilder(is_64, is_big)
    data, strings = builder.symbols([("main", 0x1000, 8, 2, 1, 1), ("data", 0x1004, 4, 1, 0, 2)])
    table = SymbolTable(Section(data, big=is_big), Section(strings), is_64=is_64)
    assert len(table) == 3
    main, other = table.symbols()
    assert (main.name, main.value, main.size, main.type, main.binding) == ("main", 0x1000, 8, 2, 1)
    assert (other.name, other.section, other.versioned_name) == ("data", 2, "data")
    (columns,) = table.chunks()
    assert list(columns.values) == [0, 0x1000, 0x1004]
    assert list(columns.sections) == [0, 1, 2]
    assert columns.infos == bytes([0, 0x12, 0x01])
    index = AddressIndex(table, lambda number: number == 1)
    assert (index.at(0x1000), index.at(0x1004), len(index)) == ([1], [], 1)
    assert (index.at_or_below(0x2000), index.at_or_below(0xFFF)) == (0x1000, None)
    assert (index.above(0xFFF), index.above(0x1000)) == (0x1000, None)


@pytest.mark.parametrize(("is_64", "is_big"), LAYOUTS)
def test_long_tables_answer_by_the_entries_near(
    is_64: bool, is_big: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    builder = ElfBuilder(is_64, is_big)
    entries = [
        (f"f{n}", chance.randrange(0x10000, 0x90000), 8, chance.choice((1, 2, 3)), 1, n % 3)
        for n in range(400)
    ]
    entries += [("far", 0x5000000, 8, 2, 1, 1), ("low", 0x20, 8, 2, 1, 1)]
    data, strings = builder.symbols(entries)
    table = SymbolTable(Section(data, big=is_big), Section(strings), is_64=is_64)
    whole = AddressIndex(table, lambda number: number == 1)
    monkeypatch.setattr(address_index, "_SHORT_TABLE", 0)
    asked = [value + more for _, value, *_ in entries for more in (-1, 0, 1)]
    asked += [0, -1, 0x1000000, 0x4FFFFFF, 0x6000000, (1 << 64) - 1, 1 << 64]
    for pages in (12, 3):
        monkeypatch.setattr(address_index, "_MAX_PAGES", pages)
        near = SymbolsByAddress(table, lambda number: number == 1)
        chance.shuffle(asked)
        for address in asked:
            assert near.at(address) == whole.at(address)
            if address >= 0:
                assert near.at_or_below(address) == whole.at_or_below(address)
            assert near.above(address) == whole.above(address)


def test_odd_symbol_tables() -> None:
    with pytest.raises(FormatError, match="entries of 7"):
        SymbolTable(Section(bytes(48)), Section(b"\0"), is_64=True, entry_size=7)
    table = SymbolTable(
        Section(struct.pack("<IBBHQQ", 9, 2, 0, 1, 0, 0)), Section(b"\0a"), is_64=True
    )
    assert table.symbol(0).name == ""
    assert table.name_at(1) == "a"
    with pytest.raises(FormatError):
        table.symbol(1)


def test_section_numbers_that_do_not_fit() -> None:
    data = bytes(24) + struct.pack("<IBBHQQ", 1, 2, 0, 0xFFFF, 0, 0)
    indexes = Section(struct.pack("<2I", 0, 70000))
    table = SymbolTable(Section(data), Section(b"\0a\0"), is_64=True, section_indexes=indexes)
    assert table.symbol(1).section == 70000


def test_versions() -> None:
    strings = Section(b"\0lib.so\0V1\0V2\0GLIBC_2.17\0")
    defined = struct.pack("<HHHHIII", 1, 1, 1, 1, 0, 20, 28) + struct.pack("<II", 1, 0)
    defined += struct.pack("<HHHHIII", 1, 0, 2, 1, 0, 20, 28) + struct.pack("<II", 8, 0)
    defined += struct.pack("<HHHHIII", 1, 0, 3, 1, 0, 20, 0) + struct.pack("<II", 11, 0)
    needed = struct.pack("<HHIII", 1, 1, 1, 16, 0) + struct.pack("<IHHII", 0, 0, 4, 14, 0)
    names = versions.defined_versions(Section(defined), strings, 3)
    assert names == {2: "V1", 3: "V2"}
    wanted = versions.needed_versions(Section(needed), strings, 1)
    assert wanted == {4: "GLIBC_2.17"}
    found = versions.SymbolVersions(
        Section(struct.pack("<6H", 0, 1, 2, 0x8003, 4, 9)), names, wanted
    )
    assert [found.of(n) for n in range(7)] == [
        ("", True), ("", True), ("V1", True), ("V2", False), ("GLIBC_2.17", False),
        ("", True), ("", True),
    ]  # fmt: skip


def test_hostile_versions() -> None:
    loop = struct.pack("<HHHHIII", 1, 0, 2, 1, 0, 0xFFFFFFFF, 1) * 3
    assert versions.defined_versions(Section(loop), Section(b"\0"), 0xFFFFFFFF) == {}
    many = struct.pack("<HHIII", 1, 0xFFFF, 1, 0, 1) * 50
    assert isinstance(versions.needed_versions(Section(many), Section(b"\0"), 0xFFFFFFFF), dict)


# Procedure linkage tables


def test_plt_of_amd64() -> None:
    head = b"\xff\x35\0\0\0\0\xff\x25\0\0\0\0\x0f\x1f\x40\x00"
    entry = b"\xff\x25\x10\0\0\0\x68\0\0\0\0\xe9\0\0\0\0"
    found = plt.parse_plt(elf.EM_X86_64, head + entry, 0x1000)
    assert found == [plt.PltEntry(0x1010, 16, 0x1026)]
    second = b"\xf3\x0f\x1e\xfa\xf2\xff\x25\x10\0\0\0\x0f\x1f\x44\0\0"
    assert plt.parse_plt(elf.EM_X86_64, second * 2, 0x1000) == [
        plt.PltEntry(0x1000, 16, 0x101B),
        plt.PltEntry(0x1010, 16, 0x102B),
    ]


def test_plt_of_i386() -> None:
    fixed = b"\xff\x25\x0c\xa0\x04\x08\x68\0\0\0\0\xe9\0\0\0\0"
    assert plt.parse_plt(elf.EM_386, fixed, 0x8048300) == [plt.PltEntry(0x8048300, 16, 0x804A00C)]
    moving = b"\xff\xa3\x0c\0\0\0\x68\0\0\0\0\xe9\0\0\0\0"
    found = plt.parse_plt(elf.EM_386, moving, 0x1030, got=0x4000)
    assert found == [plt.PltEntry(0x1030, 16, 0x400C)]


def test_plt_of_arm64() -> None:
    head = struct.pack("<4I", 0xA9BF7BF0, 0x90000090, 0xF947FE11, 0x913FE210) + bytes(16)
    entry = struct.pack("<4I", 0xB0000090, 0xF9400211, 0x91000210, 0xD61F0220)
    protected = struct.pack("<6I", 0xD503245F, 0xB0000090, 0xF9400611, 0x91002210, 0xD61F0220, 0)
    found = plt.parse_plt(elf.EM_AARCH64, head + entry + protected, 0x5E0)
    assert [(each.address, each.slot) for each in found] == [(0x600, 0x11000), (0x610, 0x11008)]


def test_plt_of_arm() -> None:
    words = (0xE28FC600, 0xE28CCA10, 0xE5BCFD28)
    found = plt.parse_plt(elf.EM_ARM, struct.pack("<3I", *words), 0x102E8)
    assert found == [plt.PltEntry(0x102E8, 12, 0x102F0 + 0x10000 + 0xD28)]
    thumb = struct.pack("<4I", 0x46C04778, *words)
    assert plt.parse_plt(elf.EM_ARM, thumb, 0x102E4)[0].address == 0x102E4


def test_plt_of_what_is_not_code() -> None:
    for machine in (elf.EM_X86_64, elf.EM_386, elf.EM_AARCH64, elf.EM_ARM, elf.EM_S390):
        for data in (b"", b"\xff", bytes(64), b"\xff" * 61):
            assert plt.parse_plt(machine, data, 0x1000) == []


def test_relocations() -> None:
    data = struct.pack("<QQq", 0x4000, 5 << 32 | 7, -1) + b"cut"
    (found,) = plt.parse_relocations(data, "<", True, True, {0x4000})
    assert found == plt.Relocation(0x4000, 7, 5, -1)
    data = struct.pack(">4I", 0x4000, 5 << 8 | 7, 0x4008, 6 << 8 | 7)
    (found,) = plt.parse_relocations(data, ">", False, False, {0x4008})
    assert found == plt.Relocation(0x4008, 7, 6, 0)


# Links to debug files


def test_debug_links() -> None:
    data = b"a.debug\0" + (0xCBF43926).to_bytes(4, "little")
    link = debug_links.parse_debug_link(Section(data), "little")
    assert link == debug_links.DebugLink("a.debug", debug_links.crc_of(b"123456789"))
    data = b"ab.debug\0\0\0\0" + bytes([0, 0, 0, 1])
    assert debug_links.parse_debug_link(Section(data), "big").crc == 1
    found = debug_links.parse_alt_link(Section(b"/x.alt\0\x01\xab"))
    assert found == debug_links.AltLink("/x.alt", "01ab")
    data = b"\5\0\0/sup\0\2\xaa\xbb"
    assert debug_links.parse_supplementary(Section(data)) == debug_links.AltLink("/sup", "aabb")
    assert debug_links.parse_supplementary(Section(b"\5\0\1\0\2\xaa\xbb")) is None


@pytest.mark.parametrize("data", [b"", b"name", b"name\0", b"name\0\0\0\0\1"])
def test_damaged_debug_links(data: bytes) -> None:
    with pytest.raises(FormatError):
        debug_links.parse_debug_link(Section(data), "little")


def test_mini_debug() -> None:
    packed = lzma.compress(b"\x7fELF rest")
    assert debug_links.expand_mini_debug(Section(packed)) == b"\x7fELF rest"
    for data in (b"", packed[:-4], b"junk"):
        with pytest.raises(DebuggerError):
            debug_links.expand_mini_debug(Section(data))
