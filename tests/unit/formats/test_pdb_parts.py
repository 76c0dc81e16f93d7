"""Parts of the PDB format by themselves: container, hashes, annotations, OMAP, numbers."""

from __future__ import annotations

import struct
from array import array

import pytest

from polydbg.base.errors import FormatError
from polydbg.formats.pdb.gsi import hash_name
from polydbg.formats.pdb.inlines import decode_annotations
from polydbg.formats.pdb.module import ModuleSymbols
from polydbg.formats.pdb.msf import MAGIC, Msf, Stream
from polydbg.formats.pdb.omap import Omap
from polydbg.formats.pdb.places import Places
from polydbg.formats.pdb.reading import cstring, numeric, text


def blocks(*numbers: int, size: int, data: bytes) -> Stream:
    return Stream(data, 4, array("I", numbers), size, 9)


def test_stream_reads_over_runs_of_blocks() -> None:
    data = b"aaaabbbbccccddddeeee"
    stream = blocks(3, 1, 2, 0, size=15, data=data)
    whole = b"ddddbbbbccccaaa"
    assert stream.all() == whole
    for start in range(16):
        for end in range(start, 16):
            assert stream.read(start, end - start) == whole[start:end]


@pytest.mark.parametrize(("offset", "size"), [(0, 16), (15, 1), (-1, 1), (1, -1), (1 << 40, 1)])
def test_reads_outside_of_a_stream(offset: int, size: int) -> None:
    with pytest.raises(FormatError):
        blocks(0, 1, 2, 3, size=15, data=b"x" * 16).read(offset, size)


def test_block_past_the_end_of_the_file() -> None:
    with pytest.raises(FormatError):
        blocks(0, 900, size=8, data=b"x" * 16).all()


def superblock(*fields: int) -> bytes:
    return (MAGIC + struct.pack("<IIIIII", *fields)).ljust(512, b"\0")


@pytest.mark.parametrize(
    "fields",
    [
        (513, 1, 4, 4, 0, 3),  # block size
        (0, 1, 4, 4, 0, 3),
        (512, 3, 4, 4, 0, 3),  # free map
        (512, 1, 4, 0xFFFFFFFF, 0, 3),  # directory larger than the file
        (512, 1, 4, 4, 0, 0xFFFFFFFF),  # its map outside of the file
        (512, 1, 4, 0, 0, 0),  # empty
    ],
)
def test_damaged_superblock(fields: tuple[int, ...]) -> None:
    with pytest.raises(FormatError):
        Msf(superblock(*fields) + b"\0" * 2048)


def test_a_stream_cannot_be_larger_than_the_file() -> None:
    """Blocks named many times would make a small file claim gigabytes."""
    directory = struct.pack("<II", 1, 1 << 20) + struct.pack("<2048I", *[1] * 2048)
    count = (len(directory) + 511) // 512
    listed = struct.pack(f"<{count}I", *range(4, 4 + count))
    head = superblock(512, 1, 4 + count, len(directory), 0, 3)
    data = head + b"\0" * 1024 + listed.ljust(512, b"\0") + directory.ljust(count * 512, b"\0")
    with pytest.raises(FormatError):
        Msf(data).stream(0)


def test_hash_ignores_case_of_letters() -> None:
    assert hash_name(b"NtClose") == hash_name(b"ntclose")
    assert hash_name(b"") == 0x20242424 ^ 0x2024
    for name in (b"a", b"ab", b"abc", b"abcd", b"abcdefg"):
        assert hash_name(name) == hash_name(name.upper())


# -- annotations: operation, operands ------------------------------------------------------------


@pytest.mark.parametrize(
    ("operations", "ranges"),
    [
        ([], []),
        ([3, 4], [(4, 40, 0)]),  # without a length: to the end of the code
        ([3, 4, 4, 6], [(4, 10, 0)]),
        ([3, 4, 3, 8], [(4, 12, 0), (12, 40, 0)]),  # to where the next begins
        ([6, 4, 3, 4, 4, 2], [(4, 6, 2)]),
        ([6, 5, 3, 4, 4, 2], [(4, 6, -2)]),
        ([11, 0x24, 4, 2], [(4, 6, 1)]),  # packed: line +1, code +4
        ([11, 0x34, 4, 2], [(4, 6, -1)]),
        ([12, 3, 8], [(8, 11, 0)]),
        ([12, 3, 8, 12, 2, 8], [(8, 11, 0), (16, 18, 0)]),
        ([3, 4, 4, 4, 3, 4, 4, 4], [(4, 8, 0), (12, 16, 0)]),  # a delta counts from the end
        ([1, 8, 3, 0, 4, 4], [(8, 12, 0)]),
        ([3, 0x80, 0x84, 4, 4], [(0x84, 0x88, 0)]),  # two-byte number
        ([3, 0xC0, 0, 1, 4, 4, 4], [(0x104, 0x108, 0)]),  # four-byte number
        ([9, 3, 10, 5, 7, 1, 8, 0, 3, 4, 4, 1], [(4, 5, 0)]),  # columns and kinds are skipped
        ([3, 4, 4, 1, 0, 3, 9], [(4, 5, 0)]),  # 0 ends the list
        ([3, 4, 4, 1, 99], [(4, 5, 0)]),  # unknown: what is known stays
    ],
)
def test_annotations(operations: list[int], ranges: list[tuple[int, int, int]]) -> None:
    data = bytes(operations)
    found = decode_annotations(data, 0, len(data), 40)
    assert [(each.start, each.end, each.line) for each in found] == ranges


@pytest.mark.parametrize("operations", [[3, 0xFF], [3, 0x80], [3, 0xC0, 1, 2]])
def test_damaged_annotations(operations: list[int]) -> None:
    with pytest.raises(FormatError):
        decode_annotations(bytes(operations), 0, len(operations), 40)


def test_annotation_of_another_file() -> None:
    data = bytes([5, 24, 3, 4, 4, 4, 5, 0, 3, 4, 4, 4])
    assert [each.file for each in decode_annotations(data, 0, len(data), 40)] == [24, 0]


# -- small things --------------------------------------------------------------------------------


def omap(*pairs: tuple[int, int]) -> Omap:
    data = b"".join(struct.pack("<II", *pair) for pair in pairs)
    return Omap(Stream(data, 512, array("I", [0]), len(data), 1))


def test_omap() -> None:
    table = omap((0x1000, 0x5000), (0x1010, 0), (0x1020, 0x4000))
    assert table.translate(0x1008, nearest=False) == 0x5008
    assert table.translate(0x1010, nearest=False) is None
    assert table.translate(0x1014, nearest=True) == 0x5014
    assert table.translate(0x1024, nearest=False) == 0x4004
    assert table.translate(0xFFF, nearest=True) is None
    assert omap((0x1000, 0)).translate(0x1004, nearest=True) is None


def test_places() -> None:
    places = Places([5 << 32 | 7, 3 << 32 | 9, 5 << 32 | 2])
    assert len(places) == 3
    assert list(places) == [(3, 9), (5, 2), (5, 7)]
    assert places.below(2) is None
    assert places.below(4) == (3, 9)
    assert places.below(6) == (5, 2)  # the first of two
    assert places.above(3) == (5, 2)
    assert places.above(5) is None
    assert places.starting_at(5) == [2, 7]
    assert places.starting_at(4) == []


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x05\0", 5),
        (b"\x00\x80\xff", -1),
        (b"\x01\x80\xfe\xff", -2),
        (b"\x02\x80\xff\xff", 65535),
        (b"\x03\x80\xff\xff\xff\xff", -1),
        (b"\x04\x80\x00\x00\x00\x80", 1 << 31),
        (b"\x09\x80" + b"\xff" * 8, -1),
        (b"\x0a\x80" + b"\xff" * 8, (1 << 64) - 1),
        (b"\x17\x80" + b"\xff" * 16, -1),
        (b"\x06\x80" + b"\0" * 8, 0),
    ],
)
def test_numbers(data: bytes, value: int) -> None:
    assert numeric(data, 0) == (value, len(data))


@pytest.mark.parametrize("data", [b"", b"\x05", b"\x0a\x80\0", b"\xff\xff"])
def test_damaged_numbers(data: bytes) -> None:
    with pytest.raises(FormatError):
        numeric(data, 0)


def test_names() -> None:
    assert cstring(b"ab\0cd", 0) == b"ab"
    assert cstring(b"abcd", 1, 3) == b"bc"
    assert text(b"caf\xc3\xa9") == text(b"caf\xe9") == "café"
    with pytest.raises(FormatError):
        cstring(b"ab", 3)


def test_a_function_without_a_name_ends_no_module() -> None:
    fields = struct.Struct("<HHIIIIIIIIHB")
    records = b"\4\0\0\0"
    for name, offset in ((b"\0", 0x10), (b"second\0\0", 0x40)):
        size = fields.size + len(name)
        records += fields.pack(size - 2, 0x1110, 0, 0, 0, 8, 0, 0, 0, offset, 1, 0) + name
    module = ModuleSymbols(records)
    unnamed, named = module.code_at(1 << 32 | 0x10), module.code_at(1 << 32 | 0x40)
    assert unnamed is not None
    assert unnamed.name == ""
    assert named is not None
    assert named.name == "second"


def test_more_streams_than_their_numbers_allow() -> None:
    directory = struct.pack("<I", 0x10001) + bytes(4 * 0x10001)
    count = -(-len(directory) // 4096)
    data = bytearray(MAGIC + struct.pack("<IIIIII", 4096, 1, count + 4, len(directory), 0, 3))
    data = data.ljust(3 * 4096, b"\0")
    data += struct.pack(f"<{count}I", *range(4, count + 4)).ljust(4096, b"\0")
    data += directory.ljust(count * 4096, b"\0")
    with pytest.raises(FormatError, match="streams"):
        Msf(bytes(data))
