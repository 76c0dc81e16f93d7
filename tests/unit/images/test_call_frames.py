"""Where call frame information is found: in the image, its debug file, memory, PE files."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.elf import constants as elf
from polydbg.images.call_frames import call_frames_of
from polydbg.images.elf import ElfImage
from polydbg.memory.space import BufferSpace
from polydbg.testing.elf_builder import ElfBuilder

BASE = 0x400000
FRAME_ADDRESS = BASE + 0x2000
ENTRY = bytes.fromhex("01 78 10 0c0708 9001")


def _sized(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def _number(value: int, size: int = 8) -> bytes:
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def eh_frame(start: int = BASE + 0x1000, program: bytes = b"") -> bytes:
    common = _sized(bytes(4) + b"\1\0" + ENTRY)
    place = _number(start) + _number(0x100)
    return common + _sized(_number(len(common) + 4, 4) + place + program) + bytes(4)


def debug_frame(start: int, program: bytes = b"\x0e\x20") -> bytes:
    common = _sized(b"\xff\xff\xff\xff\1\0" + ENTRY)
    return common + _sized(bytes(4) + _number(start) + _number(0x100) + program)


def image(*frames: tuple[str, bytes, int]) -> ElfImage:
    builder = ElfBuilder()
    builder.section(
        ".text", bytes(0x400), address=BASE + 0x1000, flags=elf.SHF_ALLOC | elf.SHF_EXECINSTR
    )
    builder.segment(elf.PT_LOAD, ".text", 5)
    for name, data, address in frames:
        flags = elf.SHF_ALLOC if address else 0
        builder.section(name, data, address=address, flags=flags)
        if address:
            builder.segment(elf.PT_LOAD, name, 4)
    return ElfImage.from_buffer(builder.build(), "x")


def test_nothing() -> None:
    assert call_frames_of(image()) is None


def test_loaded_frames_come_first_then_those_of_the_debug_file() -> None:
    loaded = image((".eh_frame", eh_frame(), FRAME_ADDRESS))
    debug = image((".debug_frame", debug_frame(BASE + 0x1080) + b"", 0))
    frames = call_frames_of(loaded, debug)
    assert frames is not None
    rva = BASE + 0x1000 - loaded.image_base
    first, second = frames.rules_at(rva), frames.rules_at(rva + 0x140)
    assert first is not None
    assert second is not None
    assert (first.cfa.offset, second.cfa.offset) == (8, 32)
    assert frames.rules_at(rva + 0x80) == frames.rules_at(rva + 0x80)
    assert frames.rules_at(rva + 0x200) is None


def test_damage_is_told_only_where_nothing_else_answers() -> None:
    damaged = (".eh_frame", eh_frame(program=b"\x3f"), FRAME_ADDRESS)
    frames = call_frames_of(image(damaged))
    assert frames is not None
    with pytest.raises(FormatError):
        frames.rules_at(0)
    frames = call_frames_of(image(damaged), image((".debug_frame", debug_frame(BASE + 0x1000), 0)))
    assert frames is not None
    found = frames.rules_at(0)
    assert found is not None
    assert found.cfa.offset == 32


@pytest.mark.corpus
def test_images_in_memory_and_with_holes(data_dir: Path) -> None:
    path = data_dir / "samples/linux/bin/cargo-gcc-O2-dwarf5"
    file = ElfImage.from_file(path)
    whole = file.space.read_some(0, 0x1000)
    pages = bytearray(file.size_of_image)
    for each in file.segments:
        if each.type == elf.PT_LOAD:
            data = file.space.read_some(each.vaddr - file.image_base, each.memory_size)
            start = each.vaddr - file.image_base
            pages[start : start + len(data)] = data
    base = 0x7F0000000000
    loaded = call_frames_of(ElfImage.from_memory(BufferSpace(bytes(pages), base), base))
    plain = call_frames_of(file)
    assert loaded is not None
    assert plain is not None
    entry = file.entry_point or 0
    assert plain.rules_at(entry) is not None
    for rva in range(entry, entry + 0x200, 8):
        assert loaded.rules_at(rva) == plain.rules_at(rva)
    # Only the headers are in memory: where the tables are is known, what they say is not.
    holes = call_frames_of(ElfImage.from_memory(BufferSpace(whole, base), base))
    assert holes is None or holes.rules_at(entry) is None
    file.close()
