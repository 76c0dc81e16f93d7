"""Sections that are read in place."""

from __future__ import annotations

import pytest

from polydbg.formats.section import Section


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_numbers_and_names(kind: type) -> None:
    section = Section(kind(b"xx\x01\x02abc\0defgh"), 2, 10)
    assert section.size == 10
    assert section.number(0, 2) == 0x0201
    assert section.name(2, 100) == b"abc"
    assert section.name(6, 3) == b"def"  # cut
    assert section.name(6, 100) == b"defg"  # without an end
    assert section.name(10, 9) == section.name(-1, 9) == b""
    assert section.window(2, 3).take(0, 3) == b"abc"


def test_of_a_view_only_the_section_is_copied() -> None:
    """A view may be a whole file in a container's image."""
    buffer, start, end = Section(memoryview(bytes(1 << 20)), 0x1000, 16).extent
    assert (len(buffer), start, end) == (16, 0, 16)
