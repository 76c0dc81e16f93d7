"""The range map: lookups, joins, overlaps, edges, and a comparison with a plain dictionary."""

from __future__ import annotations

import random
import time

import pytest

from polydbg.base.errors import MemoryReadError
from polydbg.memory.ranges import Layer, Range, RangeMap, clipped, clipped_ascending

TOP = (1 << 64) - 1
DATA = bytes(range(256))


def mapped(*layers: list[Range], data: bytes = DATA) -> RangeMap:
    return RangeMap(data, [Layer.of(layer) for layer in layers])


def test_reads_inside_a_range() -> None:
    space = mapped([(0x1000, 16, 32)])
    assert space.read(0x1004, 4) == DATA[36:40]
    assert space.read_some(0x100C, 100) == DATA[44:48]
    assert space.read_some(0xFFF, 4) == b""
    assert space.read_some(0x1010, 4) == b""
    assert space.read_some(0x1000, 0) == b""


def test_missing_byte_is_named() -> None:
    space = mapped([(0x1000, 16, 0)])
    with pytest.raises(MemoryReadError) as caught:
        space.read(0x1008, 16)
    assert caught.value.address == 0x1010


def test_neighbours_are_joined() -> None:
    space = mapped([(0x1008, 8, 100), (0x1000, 8, 0), (0x1010, 8, 50), (0x1020, 8, 0)])
    assert space.read(0x1000, 24) == DATA[:8] + DATA[100:108] + DATA[50:58]
    assert space.read_some(0x1004, 1 << 70) == DATA[4:8] + DATA[100:108] + DATA[50:58]


def test_first_range_wins_within_and_between_layers() -> None:
    space = mapped([(10, 10, 0), (5, 10, 100)], [(0, 30, 200)])
    expected = DATA[200:205] + DATA[100:105] + DATA[0:10] + DATA[220:230]
    assert space.read(0, 30) == expected


def test_long_range_resumes_after_an_earlier_short_one() -> None:
    space = mapped([(4, 2, 0), (0, 10, 100)])
    assert space.read(0, 10) == DATA[100:104] + DATA[0:2] + DATA[106:110]


def test_next_readable() -> None:
    space = mapped([(0x1000, 16, 0), (0x2000, 16, 0)])
    assert space.next_readable(0) == 0x1000
    assert space.next_readable(0x100F) == 0x100F
    assert space.next_readable(0x1010) == 0x2000
    assert space.next_readable(0x2010) is None
    assert space.next_readable(TOP) is None
    assert mapped([]).next_readable(0) is None


def test_the_ends_of_the_address_space() -> None:
    space = mapped([(0, 4, 0), (TOP - 3, 100, 10)])
    assert space.read(0, 4) == DATA[:4]
    assert space.read_some(TOP - 3, 100) == DATA[10:14]
    assert space.read_some(TOP, 1) == DATA[13:14]
    assert space.read_some(TOP + 1, 1) == b""
    assert space.read_some(-1, 4) == b""
    assert space.next_readable(TOP) == TOP
    assert space.next_readable(TOP + 1) is None


def test_empty_ranges_are_dropped() -> None:
    assert list(mapped([(5, 0, 0), (6, 1, 0), (6, 0, 9)]).ranges()) == [(6, 1, 0)]


def test_ranges_from_an_address_on() -> None:
    space = mapped([(0, 4, 0), (4, 4, 50), (16, 4, 8)])
    assert list(space.ranges()) == [(0, 4, 0), (4, 4, 50), (16, 4, 8)]
    assert list(space.ranges(5)) == [(4, 4, 50), (16, 4, 8)]
    assert list(space.ranges(8)) == [(16, 4, 8)]
    assert list(space.ranges(20)) == []
    assert sum(size for _, size, _ in space.ranges()) == 12


def test_clipping_at_the_end_of_the_file() -> None:
    layer = Layer.of([(0, 10, 0), (20, 10, 95), (40, 10, 200)])
    for clip in (clipped, clipped_ascending):
        kept, lost = clip(layer, 100)
        assert list(kept) == [(0, 10, 0), (20, 5, 95)]
        assert lost == 15
        assert clip(layer, 1000) == (layer, 0)


def test_random_layers_agree_with_a_dictionary() -> None:
    rng = random.Random(7)
    for _ in range(200):
        layers = [
            [
                (rng.randrange(64), rng.randrange(24), rng.randrange(200))
                for _ in range(rng.randrange(9))
            ]
            for _ in range(3)
        ]
        expected: dict[int, int] = {}
        for layer in layers:
            for start, size, offset in layer:
                for index in range(size):
                    expected.setdefault(start + index, DATA[offset + index])
        space = mapped(*layers)
        for address in range(96):
            run = bytearray()
            while address + len(run) in expected:
                run.append(expected[address + len(run)])
            assert space.read_some(address, 100) == bytes(run)
            following = [known for known in expected if known >= address]
            assert space.next_readable(address) == min(following, default=None)
        assert sum(size for _, size, _ in space.ranges()) == len(expected)


def test_many_overlapping_ranges_take_bounded_time() -> None:
    count = 20_000
    layer = [(index, count, index % 100) for index in range(count)]
    started = time.perf_counter()
    space = mapped(layer, data=bytes(2 * count))
    assert time.perf_counter() - started < 2
    assert sum(size for _, size, _ in space.ranges()) == 2 * count - 1
