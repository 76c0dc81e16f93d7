"""Mach-O images made by hand: from files, universal files and memory."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError, FormatError, MemoryReadError, TargetError
from polydbg.images.macho import MachoImage
from polydbg.memory.ranges import Layer, RangeMap
from polydbg.memory.space import AddressSpace
from polydbg.testing import macho_builder as built
from polydbg.testing.macho_builder import CODE, STUBS, ZEROFILL, MachoBuilder

BASE = built.TEXT_BASE
CODE_AT = 0x400


def usual(**options: int) -> MachoBuilder:
    builder = MachoBuilder(entry=CODE_AT, starts=[CODE_AT, CODE_AT + 0x20], **options)  # type: ignore[arg-type]
    builder.section("__text", b"\x90" * 0x40, flags=CODE)
    builder.section("__stubs", b"\xcc" * 12, flags=STUBS, first=1, stub_size=6)
    builder.section("__data", b"data", segment="__DATA")
    builder.section("__bss", segment="__DATA", flags=ZEROFILL, size=0x30)
    builder.symbol("_main", CODE_AT).symbol("_puts", 0, 1, 0).symbol("__Z1fi", 0, 1, 0)
    return builder.indirect(0, 1, 2)


def memory(builder: MachoBuilder, slide: int) -> AddressSpace:
    parts = built.loaded(builder.build(), slide=slide)
    buffer = b"".join(data for _, data in parts)
    places, at = [], 0
    for address, data in parts:
        places.append((address, len(data), at))
        at += len(data)
    return RangeMap(buffer, [Layer.of(places)])


def test_headers_of_a_file() -> None:
    image = MachoImage.from_buffer(usual().build(), "app")
    assert (image.machine, image.image_base, image.entry_point) == ("amd64", BASE, CODE_AT)
    assert image.size_of_image == 0x3000  # __TEXT, __DATA, __LINKEDIT
    assert image.uuid == bytes(range(1, 17))
    assert image.debug_id is not None
    assert image.debug_id.key == "0102030405060708090A0B0C0D0E0F100"
    names = [(each.name, each.rva, each.size) for each in image.sections()]
    assert names[:3] == [("__text", 0x400, 0x40), ("__stubs", 0x440, 12), ("__data", 0x1000, 4)]
    assert list(image.function_starts) == [0x400, 0x420]
    stubs = [(each.rva, each.size, each.name) for each in image.stubs]
    assert stubs == [(0x440, 6, "_puts"), (0x446, 6, "__Z1fi")]


def test_code_permissions_and_constant_parts() -> None:
    image = MachoImage.from_buffer(usual().build(), "app")
    assert image.is_code(0x400)
    assert image.is_code(0x441)
    assert not image.is_code(0x3F0)
    assert not image.is_code(0x1000)
    assert [image.permissions_at(rva) for rva in (0x400, 0x1000, 0x9000)] == ["r-x", "rw-", None]
    assert [part[0] for part in image.constant_parts()] == [0, 0x2000]
    # Shared caches change such libraries.
    split = MachoBuilder(split_info=True).section("__text", b"\x90", flags=CODE)
    assert MachoImage.from_buffer(split.build(), "lib").constant_parts() == ()


def test_bytes_of_a_file() -> None:
    image = MachoImage.from_buffer(usual().build(), "app")
    assert image.read(0x400, 4) == b"\x90" * 4
    assert image.read(0x1000, 8) == b"data\0\0\0\0"  # zeros up to the end of the segment
    assert image.read_as_loaded(0x43C, 8, 0x7000) == b"\x90" * 4 + b"\xcc" * 4
    with pytest.raises(MemoryReadError) as caught:
        image.read(0x5000, 1)
    assert caught.value.address == 0x5000


def test_encrypted_code_is_not_shown() -> None:
    builder = usual()
    builder.encrypted = (0x400, 0x20)
    image = MachoImage.from_buffer(builder.build(), "app")
    assert image.read(0x3F0, 16) == bytes(16)
    assert image.space.read_some(0x400, 4) == b""
    assert image.read(0x420, 4) == b"\x90" * 4


def test_a_debug_file_has_no_code() -> None:
    image = MachoImage.from_buffer(usual(type=built.DSYM).build(), "app")
    assert image.is_code(0x400)
    assert image.space.read_some(0x400, 4) == b""
    assert image.constant_parts() == ()


@pytest.mark.parametrize("slide", [0, 0x5000, 0x7FFF00000000 - BASE])
def test_an_image_in_memory(slide: int) -> None:
    image = MachoImage.from_memory(memory(usual(), slide), BASE + slide, "app")
    assert not image.is_file
    assert (image.entry_point, image.size_of_image) == (CODE_AT, 0x3000)
    assert image.symbols is not None
    assert image.symbols.symbol(0).name == "_main"
    assert list(image.function_starts) == [0x400, 0x420]
    assert [each.name for each in image.stubs] == ["_puts", "__Z1fi"]
    assert image.debug_sections().get(".debug_info").size == 0


def test_an_image_in_a_shared_cache_has_its_symbols_far_away() -> None:
    builder = usual(linkedit_gap=0x40000000)
    image = MachoImage.from_memory(memory(builder, 0x1000), BASE + 0x1000)
    assert image.size_of_image == 0x2000
    assert image.symbols is not None
    assert image.symbols.symbol(1).name == "_puts"


def test_memory_without_symbols() -> None:
    parts = built.loaded(usual().build())
    space = RangeMap(parts[0][1], [Layer.of([(BASE, len(parts[0][1]), 0)])])
    image = MachoImage.from_memory(space, BASE)
    assert image.read(0x400, 1) == b"\x90"
    assert image.symbols is not None
    with pytest.raises(DebuggerError):
        image.symbols.symbol(0)


def test_universal_files(tmp_path: Path) -> None:
    other = usual(cpu=built.ARM64)
    other.uuid = bytes(range(2, 18))
    path = tmp_path / "app"
    parts = (built.AMD64, usual().build()), (built.ARM64, other.build())
    path.write_bytes(built.universal(*parts))
    for arch, first in (("amd64", 1), ("arm64", 2)):
        image = MachoImage.from_file(path, arch=arch)
        assert image.machine == arch
        assert image.uuid is not None
        assert image.uuid[0] == first
        assert image.read(0x400, 2) == b"\x90\x90"
        assert image.symbols is not None
        assert image.symbols.symbol(0).name == "_main"
        image.close()
    by_uuid = MachoImage.from_file(path, uuid=bytes(range(2, 18)))
    assert by_uuid.machine == "arm64"
    by_uuid.close()
    with pytest.raises(FormatError, match="no part for x86, but for amd64, arm64"):
        MachoImage.from_file(path, arch="x86")


def test_what_is_no_macho(tmp_path: Path) -> None:
    for content in (b"", b"MZ", bytes(100), b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe\0\0\0\x41"):
        path = tmp_path / "x"
        path.write_bytes(content)
        with pytest.raises(FormatError):
            MachoImage.from_file(path)
    with pytest.raises(FormatError, match="cut short"):
        MachoImage.from_buffer(b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(30), "x")
    with pytest.raises(TargetError):
        MachoImage.from_file(tmp_path / "none")


def test_32_bit_and_thumb() -> None:
    builder = MachoBuilder(cpu=built.ARM, is_64=False, base=0x4000, starts=[0x401, 0x421])
    builder.section("__text", bytes(0x40), flags=CODE).symbol("_f", 0x400, description=8)
    image = MachoImage.from_buffer(builder.build(), "app")
    assert (image.machine, image.image_base) == ("arm", 0x4000)
    assert list(image.function_starts) == [0x400, 0x420]
    assert image.symbols is not None
    assert image.symbols.symbol(0).value == 0x4400


def test_debug_sections_plain_and_compressed() -> None:
    packed = b"ZLIB" + struct.pack(">Q", 100) + zlib.compress(bytes(100))
    builder = MachoBuilder(type=built.DSYM)
    builder.section("__debug_info", b"abc", segment="__DWARF")
    builder.section("__debug_str_offsets", b"12345", segment="__DWARF")
    builder.section("__zdebug_line", packed, segment="__DWARF")
    sections = MachoImage.from_buffer(builder.build(), "app").debug_sections()
    assert sections.get(".debug_info").take(0, 3) == b"abc"
    assert sections.get(".debug_str_offsets").size == 5  # its name is cut to 16 bytes
    assert sections.get(".debug_line").size == 100
    assert sections.get(".debug_ranges").size == 0


def test_cut_files_raise_only_our_errors() -> None:
    whole = usual().build()
    for step in range(200):
        data = whole[: len(whole) * step // 200]
        try:
            image = MachoImage.from_buffer(data, "app")
        except FormatError:
            continue
        for part in ("function_starts", "stubs", "section_headers", "uuid"):
            with contextlib.suppress(DebuggerError):
                getattr(image, part)
        image.space.read_some(0x400, 64)
        if image.symbols is not None and len(image.symbols) == 3:
            assert image.symbols.symbol(0).name in "_main"
