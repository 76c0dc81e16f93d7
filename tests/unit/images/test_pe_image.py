"""Where the bytes of an image come from: file, or target memory with holes."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.errors import FormatError, MemoryReadError, TargetError
from polydbg.images.pe import PeImage
from polydbg.memory.space import BufferSpace
from polydbg.testing.pe_builder import DATA_RVA, TEXT_RVA, PeBuilder, unwind_info


class Pages:
    """Memory of which some pages are missing."""

    def __init__(self, data: bytes, base: int, missing: set[int]) -> None:
        self._inner = BufferSpace(data, base)
        self._base = base
        self._missing = missing

    def read(self, address: int, size: int) -> bytes:
        data = self.read_some(address, size)
        if len(data) < size:
            raise MemoryReadError(address + len(data))
        return data

    def read_some(self, address: int, size: int) -> bytes:
        out = b""
        while size > 0 and (address - self._base) // 0x1000 not in self._missing:
            step = min(size, 0x1000 - address % 0x1000)
            out += self._inner.read_some(address, step)
            address, size = address + step, size - step
        return out

    def next_readable(self, address: int) -> int | None:
        return self._inner.next_readable(address)


def loaded(image: PeImage) -> bytes:
    """The image as the loader would lay it out."""
    out = bytearray(image.size_of_image)
    rva = image.space.next_readable(0)
    while rva is not None and rva < len(out):
        data = image.space.read_some(rva, 0x1000)
        out[rva : rva + len(data)] = data
        rva = image.space.next_readable(rva + len(data))
    return bytes(out)


def test_zeros_past_raw_data_up_to_the_page() -> None:
    image = PeImage.from_buffer(PeBuilder(text=b"\xcc" * 0x10).build(), "x")
    assert image.read(TEXT_RVA, 0x10) == b"\xcc" * 0x10
    assert image.read(TEXT_RVA + 0x200, 0x1E00) == bytes(0x1E00)
    assert image.read(0x400, 0xC00) == bytes(0xC00)
    assert image.read(0, 2) == b"MZ"


def test_gaps_are_absent() -> None:
    image = PeImage.from_buffer(PeBuilder(text_virtual_size=0x10).build(), "x")
    with pytest.raises(MemoryReadError) as caught:
        image.read(TEXT_RVA + 0xFF0, 0x20)
    assert caught.value.address == TEXT_RVA + 0x1000
    assert image.space.next_readable(TEXT_RVA + 0x1000) is None  # no data either
    with pytest.raises(MemoryReadError):
        image.read(0x10000000, 1)


def test_reads_cross_sections() -> None:
    builder = PeBuilder(text_virtual_size=0x3000)
    builder.add(b"data")
    image = PeImage.from_buffer(builder.build(), "x")
    assert image.read(DATA_RVA - 2, 6) == b"\0\0data"
    assert image.section_at(DATA_RVA) is image.section_headers[1]
    assert image.section_at(0x10) is None
    assert image.is_code(TEXT_RVA)
    assert not image.is_code(DATA_RVA)


def test_truncated_raw_data_is_absent_not_zero() -> None:
    data = PeBuilder(text=b"\x90" * 0x400).build()
    image = PeImage.from_buffer(data[:0x500], "x")
    assert image.read(TEXT_RVA, 0x100) == b"\x90" * 0x100
    with pytest.raises(MemoryReadError) as caught:
        image.read(TEXT_RVA, 0x101)
    assert caught.value.address == TEXT_RVA + 0x100
    assert image.space.next_readable(TEXT_RVA + 0x100) == TEXT_RVA + 0x400


def test_from_file(tmp_path: Path) -> None:
    path = tmp_path / "app.exe"
    path.write_bytes(PeBuilder(timestamp=0x12AB).build())
    image = PeImage.from_file(path)
    assert (image.name, image.path) == ("app.exe", str(path))
    assert image.code_id.key == f"000012AB{image.size_of_image:x}"
    assert (image.machine, image.preferred_base, image.checksum) == ("amd64", 0x140000000, 0x1234)
    assert [section.name for section in image.sections()] == [".text", ".data"]
    image.close()


def test_from_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        PeImage.from_file(tmp_path / "missing.dll")
    with pytest.raises(TargetError):
        PeImage.from_file(tmp_path)
    (tmp_path / "empty.dll").write_bytes(b"")
    with pytest.raises(FormatError):
        PeImage.from_file(tmp_path / "empty.dll")


def test_from_memory_with_missing_pages() -> None:
    builder = PeBuilder()
    builder.exports("x.dll", [("f", TEXT_RVA)])
    builder.function(TEXT_RVA, TEXT_RVA + 0x10, unwind_info())
    file_image = PeImage.from_buffer(builder.build(), "x.dll")
    memory = loaded(file_image)
    base = 0x7FF600000000

    whole = PeImage.from_memory(Pages(memory, base, set()), base)
    assert whole.exports() == file_image.exports()
    assert whole.code_id == file_image.code_id
    assert whole.function_at(TEXT_RVA) == file_image.function_at(TEXT_RVA)

    holed = PeImage.from_memory(Pages(memory, base, {DATA_RVA // 0x1000}), base)
    for ask in (holed.exports, lambda: holed.function_at(TEXT_RVA)):
        with pytest.raises(MemoryReadError) as caught:
            ask()
        assert caught.value.address // 0x1000 == DATA_RVA // 0x1000
    with pytest.raises(MemoryReadError):
        holed.read(holed.size_of_image, 1)
    with pytest.raises(MemoryReadError):
        PeImage.from_memory(Pages(memory, base, {0}), base)


def test_long_section_names() -> None:
    data = bytearray(PeBuilder().build())
    at = data.index(b".text\0\0\0")
    data[at : at + 8] = b"/4\0\0\0\0\0\0"
    data[0x8C:0x90] = len(data).to_bytes(4, "little")  # no symbols, then the strings
    data += (15).to_bytes(4, "little") + b".debug_info\0"
    assert PeImage.from_buffer(bytes(data), "x").sections()[0].name == ".debug_info"
