"""Searches agree with a plain search of the joined bytes, whatever the ranges are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from polydbg.memory import search
from polydbg.memory.overlay import Overlay
from polydbg.memory.ranges import Layer, RangeMap
from polydbg.memory.search import Area, find_pattern, find_runs, slices
from polydbg.memory.space import BufferSpace

_BASE = 0x1000


def _space(data: bytes, cuts: list[int]) -> RangeMap:
    """Map *data* from _BASE on in pieces; the file holds them in reverse order."""
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    pieces = [(a, data[a:b]) for a, b in itertools.pairwise(edges)]
    file, ranges = b"", []
    for start, piece in reversed(pieces):
        ranges.append((_BASE + start, len(piece), len(file)))
        file += piece
    return RangeMap(file, [Layer.of(ranges)])


def _area(space: RangeMap | BufferSpace, start: int, end: int) -> Area:
    return Area(space, start, end, lambda done: None)


@given(
    st.binary(max_size=200).map(lambda d: bytes(b & 3 for b in d)),
    st.lists(st.integers(0, 400), max_size=5),
    st.binary(min_size=1, max_size=4).map(lambda d: bytes(b & 3 for b in d)),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 30),
    st.integers(0, 220),
)
def test_every_aligned_hit_is_found(
    data: bytes, cuts: list[int], pattern: bytes, granularity: int, skip: int, size: int
) -> None:
    whole = data[skip : skip + size]
    expected = [
        _BASE + skip + at
        for at in range(0, len(whole), granularity)
        if whole.startswith(pattern, at)
    ]
    first = _BASE + skip
    for space in (_space(data, cuts), BufferSpace(data, _BASE)):
        found = list(find_pattern(_area(space, first, first + size), pattern, granularity))
        assert found == expected


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\0", b"\xff", b"xyz"]), max_size=60).map(b"".join),
    st.lists(st.integers(0, 400), max_size=5),
    st.integers(1, 5),
)
def test_runs_are_whole_across_ranges(data: bytes, cuts: list[int], least: int) -> None:
    expected = [
        (_BASE + m.start(), m.group()) for m in re.finditer(rb"[\x20-\x7e]{%d,}" % least, data)
    ]
    area = _area(_space(data, cuts), _BASE, _BASE + len(data))
    assert list(find_runs(area, least, 1, str.isprintable)) == expected


def test_wide_runs_keep_to_even_distances_and_count_surrogates() -> None:
    text = "\U0001f600abc\0d\0efg"
    data = b"\1" + text.encode("utf-16-le")
    area = _area(_space(data, [4, 9]), _BASE + 1, _BASE + len(data))
    found = [
        (a - _BASE, run.decode("utf-16-le")) for a, run in find_runs(area, 3, 2, str.isprintable)
    ]
    assert found == [(1, "\U0001f600abc"), (17, "efg")]
    shifted = _area(_space(data, []), _BASE, _BASE + len(data))
    assert all(
        "abc" not in run.decode("utf-16-le", "replace")
        for _, run in find_runs(shifted, 3, 2, str.isprintable)
    )


def test_hits_span_slices() -> None:
    data = bytearray(3 * search.CHUNK)
    data[search.CHUNK - 2 : search.CHUNK + 2] = b"abcd"
    area = _area(_space(bytes(data), []), _BASE, _BASE + len(data))
    assert list(find_pattern(area, b"abcd")) == [_BASE + search.CHUNK - 2]
    assert [len(piece) for _, piece in slices(area)] == [search.CHUNK] * 3


def test_the_caller_is_polled_also_while_nothing_is_aligned() -> None:
    polled: list[int] = []
    data = b"\1\2" * search.CHUNK
    area = Area(_space(data, []), _BASE, _BASE + len(data), polled.append)
    assert list(find_pattern(area, b"\2\1", 2)) == []
    assert len(polled) > 2 * len(data) // search.CHUNK


@given(st.lists(st.tuples(st.integers(0, 0x3000), st.binary(max_size=40)), max_size=8))
def test_an_overlay_is_what_was_written_last(writes: list[tuple[int, bytes]]) -> None:
    overlay, expected = Overlay(), bytearray(b"\x55" * 0x3100)
    edited: set[int] = set()
    for at, data in writes:
        overlay.write(at, data)
        expected[at : at + len(data)] = data
        edited.update(range(at, at + len(data)))
    assert overlay.apply(0, b"\x55" * 0x3100) == bytes(expected)
    assert overlay.apply(0x800, b"\x55" * 0x900) == bytes(expected[0x800:0x1100])
    assert overlay.count == len(edited)


def test_what_stands_in_for_absent_memory_is_searched_in_order() -> None:
    """Hits reach from memory into its stand-in and back; memory that is there wins."""
    file = b"abcdef"
    space = RangeMap(file, [Layer.of([(0x1000, 3, 0), (0x1010, 3, 3)])])
    stand_in = b"0123456789abcdefghijklmnopqrstuv"  # from 0x1000 on
    asked: list[tuple[int, int]] = []

    def fill(start: int, end: int) -> Iterator[tuple[int, bytes]]:
        asked.append((start, end))
        yield start, stand_in[start - 0x1000 : end - 0x1000]

    area = Area(space, 0x1000, 0x1018, lambda done: None, None, fill)
    joined = b"".join(data for _, data in slices(area))
    assert joined == b"abc" + stand_in[3:16] + b"def" + stand_in[19:24]
    assert asked == [(0x1003, 0x1010), (0x1013, 0x1018)]
    assert list(find_pattern(area, b"c34")) == [0x1002]
    assert list(find_pattern(area, b"fde")) == [0x100F]
