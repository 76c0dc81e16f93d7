"""Image files as stand-ins for absent memory."""

from __future__ import annotations

from polydbg.engine.memory import ImageFill


def test_pieces_are_read_within_each_gap() -> None:
    read = ImageFill(lambda at, size: bytes([at & 0xFF]) * size, [(0x30, 0x34), (0x10, 0x18)])
    assert read.size == 12
    assert list(read(0, 0x100)) == [(0x10, b"\x10" * 8), (0x30, b"\x30" * 4)]
    assert list(read(0x12, 0x14)) == [(0x12, b"\x12" * 2)]
    assert list(read(0x18, 0x30)) == []
    assert list(read(0x34, 0x100)) == []


def test_overlapping_modules_and_unreadable_pages() -> None:
    read = ImageFill(
        lambda at, size: b"" if at < 0x1000 else b"x" * size, [(0x800, 0x1004), (0x1000, 0x1002)]
    )
    assert list(read(0, 0x2000)) == [(0x1000, b"xxxx")]
