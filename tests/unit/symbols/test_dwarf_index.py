"""Indexes on disk: the same answers as without them, and none of one that is damaged."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import DebuggerError, FormatError
from polydbg.images.elf import ElfImage
from polydbg.symbols import dwarf_index, dwarf_index_writer
from polydbg.symbols.dwarf import DwarfSource
from polydbg.symbols.dwarf_files import elf_dwarf
from polydbg.symbols.dwarf_index import CHECKED_FROM, COLUMNS, HEADER, DwarfIndex
from polydbg.symbols.elf import ElfSource

pytestmark = pytest.mark.corpus

SMALL = "samples/linux/bin/cargo-gcc-O2-dwarf5"
FILES = (
    SMALL,
    "samples/linux/bin/cargo-clang-O2-dwarf4",
    "samples/linux/bin/cargo-clang-O0-dwarf5",
    "samples/linux/bin/crab",
    "samples/linux/bin/zoo-clang",
)
posix = pytest.mark.skipif(os.name != "posix", reason="about modes of files")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Turn indexes on, for small files too, in a folder of the test's own."""
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("POLYDBG_DWARF_INDEX", "on")
    monkeypatch.setattr(dwarf_index, "SMALLEST", 0)
    monkeypatch.setattr(dwarf_index_writer, "start", lambda image, lowest: None)
    return tmp_path / "cache" / "dwarf"


def made(path: Path) -> Path:
    """Return the index of the file at *path*, made anew."""
    image = ElfImage.from_file(path)
    lowest = dwarf_index.lowest_address(image)
    key = dwarf_index.key_of(image, lowest)
    assert key is not None
    assert dwarf_index_writer.make(path, lowest)
    return dwarf_index.folder() / key[0]


def opened(path: Path) -> DwarfSource:
    image = ElfImage.from_file(path)
    source = elf_dwarf(image, table=ElfSource(image))
    assert source is not None
    return source


def answers(source: DwarfSource, rvas: list[int]) -> list[object]:
    return [
        (
            source.symbol_at(rva),
            tuple(source.symbols_at(rva)),
            source.neighbours(rva),
            source.line_at(rva),
            tuple(source.inlines_at(rva)),
        )
        for rva in rvas
    ]


def places(source: DwarfSource, count: int) -> list[int]:
    """Return RVAs in and around functions of every unit."""
    base = ElfImage.from_file(source.path).image_base
    found: set[int] = set()
    for unit in source.units.all():
        for start, end in zip(unit.functions.starts, unit.functions.ends, strict=True):
            found.update((start - base, (start + end) // 2 - base, end + 1 - base))
    chosen = sorted(found)
    return chosen[:: len(chosen) // count + 1]


def types(source: DwarfSource) -> list[object]:
    """Return what is said of each type by its name, in another case, and of some that are not."""
    names = [each.name for each in source.types_matching("*", CancelToken())]
    found: list[object] = [*names]
    for name in [*names[::3], *(each.upper() for each in names[::29]), "nothing", "a::b", "int"]:
        type_ = source.type_named(name)
        found.append((type_.name, type_.size) if type_ is not None else None)
    return found


@pytest.mark.parametrize("name", FILES)
def test_types_are_the_same(data_dir: Path, name: str) -> None:
    path = data_dir / name
    expected = types(opened(path))
    made(path)
    indexed = opened(path)
    assert indexed.units.index is not None
    assert types(indexed) == expected


@pytest.mark.parametrize("name", FILES)
def test_answers_are_the_same(data_dir: Path, name: str) -> None:
    path = data_dir / name
    plain = opened(path)
    assert plain.units.index is None
    rvas = places(plain, 400)
    expected = answers(plain, rvas)
    made(path)
    indexed = opened(path)
    assert indexed.units.index is not None
    assert answers(indexed, rvas) == expected
    names = [each.name for each in map(plain.symbol_at, rvas[::40]) if each is not None]
    assert [*map(indexed.symbol_named, names)] == [*map(plain.symbol_named, names)]


def test_damaged_indexes_are_not_believed(data_dir: Path) -> None:
    path = data_dir / SMALL
    rvas = places(opened(path), 12)
    expected = answers(opened(path), rvas)
    crates = opened(path).type_named("crate")
    assert crates is not None
    index = made(path)
    good = index.read_bytes()
    chance = random.Random(4)
    step = max(len(good) // 60, 1)
    damaged = [good[:length] for length in [*range(0, 200, 7), *range(200, len(good), step)]]
    for at in [*range(0, 200, 3), *(chance.randrange(len(good)) for _ in range(60))]:
        damaged.append(good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :])
    for data in damaged:
        index.write_bytes(data)
        assert answers(opened(path), rvas) == expected
        found = opened(path).type_named("crate")
        assert found is not None
        assert found.size == crates.size
    assert not index.exists()


def test_lies_with_right_checksums_do_no_harm(data_dir: Path) -> None:
    """Whoever can write here can give wrong answers, but nothing may crash or take for ever."""
    path = data_dir / SMALL
    rvas = places(opened(path), 8)
    index = made(path)
    good = index.read_bytes()
    chance = random.Random(5)
    units, ranges, silent = HEADER.unpack_from(good)[5:8]
    directory = 8 * (COLUMNS * units + 4 * ranges + silent)
    for _ in range(80):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            at = chance.choice((HEADER.size + chance.randrange(directory), chance.randrange(96)))
            data[at] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        for at in range(HEADER.size + directory, len(data), 61):
            if chance.random() < 0.02:
                data[at] = chance.randrange(256)
        repair(data)
        index.write_bytes(data)
        with suppress(DebuggerError):
            answers(opened(path), rvas)
            opened(path).type_named("crate")


def repair(data: bytearray) -> None:
    """Set the checksums of an index."""
    units, ranges, silent, names, _ = HEADER.unpack_from(data)[5:]
    directory = 8 * (COLUMNS * units + 4 * ranges + silent)
    if 0 < names <= len(data) // 8:
        checksum = zlib.crc32(data[len(data) - 8 * (names - 1) :])
        data[HEADER.size - 8 : HEADER.size] = checksum.to_bytes(8, sys.byteorder)
    if directory > len(data) - HEADER.size:
        return

    def word(column: int, row: int) -> int:
        at = HEADER.size + 8 * (column * units + row)
        return int.from_bytes(data[at : at + 8], sys.byteorder)

    for row in range(units):
        _, start, _, functions, sequences, scopes, variables = (word(n, row) for n in range(7))
        size = 8 * (4 * functions + 2 * max(sequences - 1, 0)) + 4 * (2 * scopes + variables)
        if size <= len(data) and start <= len(data):
            checksum = zlib.crc32(data[start : start + size])
            at = HEADER.size + 8 * (2 * units + row)
            data[at : at + 8] = checksum.to_bytes(8, sys.byteorder)
    checksum = zlib.crc32(data[CHECKED_FROM : HEADER.size + directory])
    data[24:28] = checksum.to_bytes(4, sys.byteorder)


def test_an_index_is_of_one_file(data_dir: Path, tmp_path: Path) -> None:
    index = made(data_dir / SMALL)
    data = index.read_bytes()
    image = ElfImage.from_file(data_dir / SMALL)
    key = dwarf_index.key_of(image, dwarf_index.lowest_address(image))
    assert key is not None
    DwarfIndex(data, key[1])
    with pytest.raises(FormatError, match="another file"):
        DwarfIndex(data, bytes(32))
    longer = tmp_path / "longer"
    longer.write_bytes((data_dir / SMALL).read_bytes() + b"\0")
    other = dwarf_index.key_of(ElfImage.from_file(longer), dwarf_index.lowest_address(image))
    assert other is not None
    assert other != key
    assert dwarf_index.find(ElfImage.from_file(longer), dwarf_index.lowest_address(image)) is None
    assert dwarf_index.find(image, dwarf_index.lowest_address(image)) is not None


def test_off(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(data_dir / SMALL)
    monkeypatch.setenv("POLYDBG_DWARF_INDEX", "off")
    assert opened(data_dir / SMALL).units.index is None


@posix
def test_folders_that_others_can_write_to_are_not_used(data_dir: Path, cache: Path) -> None:
    index = made(data_dir / SMALL)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(index.stat().st_mode) == 0o600
    assert opened(data_dir / SMALL).units.index is not None
    for of_folder, of_file in ((0o770, 0o600), (0o700, 0o622)):
        cache.chmod(of_folder)
        index.chmod(of_file)
        assert opened(data_dir / SMALL).units.index is None
    index.chmod(0o600)
    target = cache.with_name("elsewhere")
    cache.rename(target)
    cache.symlink_to(target)
    assert opened(data_dir / SMALL).units.index is None
    image = ElfImage.from_file(data_dir / SMALL)
    assert not dwarf_index_writer.make(data_dir / SMALL, dwarf_index.lowest_address(image))


def test_a_file_without_a_build_id_has_none(data_dir: Path, tmp_path: Path) -> None:
    if shutil.which("objcopy") is None:
        pytest.skip("objcopy is missing")
    bare = tmp_path / "bare"
    argv = ["objcopy", "--remove-section=.note.gnu.build-id", str(data_dir / SMALL), str(bare)]
    subprocess.run(argv, check=True, capture_output=True)
    image = ElfImage.from_file(bare)
    assert dwarf_index.key_of(image, 1) is None
    assert not dwarf_index_writer.make(bare, 1)


def test_one_at_a_time(data_dir: Path, cache: Path) -> None:
    path = data_dir / SMALL
    lowest = dwarf_index.lowest_address(ElfImage.from_file(path))

    def attempt(_: int) -> bool:
        try:
            return dwarf_index_writer.make(path, lowest)
        except FileExistsError:
            return False

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(attempt, range(8)))
    assert any(done)
    assert [each.suffix for each in cache.iterdir()] == [".idx"]
    assert opened(path).units.index is not None


def test_what_was_left_unfinished(data_dir: Path, cache: Path) -> None:
    path = data_dir / SMALL
    index = made(path)
    index.unlink()
    part = index.with_suffix(".part")
    part.write_bytes(b"")
    lowest = dwarf_index.lowest_address(ElfImage.from_file(path))
    assert not dwarf_index_writer.make(path, lowest)
    old = time.time() - 2 * 3600
    os.utime(part, (old, old))
    assert dwarf_index_writer.make(path, lowest)
    assert not part.exists()


def test_the_oldest_go(data_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(data_dir / SMALL)
    os.utime(first, (1, 1))
    second = made(data_dir / FILES[1])
    assert first.exists()
    room = second.stat().st_size * 3 // 2
    monkeypatch.setattr(dwarf_index_writer, "MAX_FOLDER", room)
    os.utime(second, (2, 2))
    third = made(data_dir / FILES[2])
    assert third.exists()
    assert not first.exists()


@posix
def test_in_the_background(data_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ElfImage.from_file(data_dir / SMALL)
    monkeypatch.undo()
    monkeypatch.setenv("POLYDBG_CACHE", str(cache.parent))
    monkeypatch.setenv("POLYDBG_DWARF_INDEX", "on")
    dwarf_index_writer.start(image, dwarf_index.lowest_address(image))
    (child,) = dwarf_index_writer._started
    dwarf_index_writer.start(image, dwarf_index.lowest_address(image))
    assert dwarf_index_writer._started == [child]
    assert child.wait(60) == 0
    assert dwarf_index.find(image, dwarf_index.lowest_address(image)) is not None
