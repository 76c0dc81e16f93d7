"""Runs of entries by expressions find what the pass over single entries finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.formats.dwarf import skipping
from polydbg.formats.dwarf.functions import functions_of
from polydbg.formats.dwarf.info import DwarfFile
from polydbg.formats.dwarf.scopes import Scopes
from polydbg.formats.dwarf.unit import Unit
from polydbg.images.elf import ElfImage
from polydbg.testing.dwarf_sample import sample

Found = tuple[list[int], list[int], list[int], dict[int, list[int]]]
SHAPES = [
    (version, big, address_size, offset_size)
    for version in (2, 3, 4, 5)
    for big in (False, True)
    for address_size, offset_size in ((8, 4), (4, 4), (8, 8))
    if (version, offset_size) != (2, 8)
]
FILES = (
    "samples/linux/bin/cargo-clang-O2-dwarf4",
    "samples/linux/bin/cargo-gcc-O2-dwarf5",
    "samples/linux/bin/zoo-gxx",
    "symbols/symbolic-linux/cross_language_lto.debug",
)


def found_in(unit: Unit, entries: list[int]) -> Found:
    functions = functions_of(unit)
    around = {entry: Scopes(unit).around(entry) for entry in entries}
    return list(functions.starts), list(functions.ends), list(functions.values), around


def compare(file: DwarfFile, monkeypatch: pytest.MonkeyPatch) -> None:
    for unit in file.units():
        entries = list(functions_of(unit).values)
        entries = entries[:: len(entries) // 20 + 1]
        one_by_one = found_in(unit, entries)
        with monkeypatch.context() as patch:
            patch.setattr(skipping, "_LARGE_UNIT", 0)
            assert skipping.is_large(unit)
            assert found_in(unit, entries) == one_by_one


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sample(shape: tuple[int, bool, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    version, big, address_size, offset_size = shape
    made = sample(version, big=big, address_size=address_size, offset_size=offset_size)
    compare(DwarfFile(made.debug_sections()), monkeypatch)


@pytest.mark.corpus
@pytest.mark.parametrize("name", FILES)
def test_real_files(data_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(DwarfFile(ElfImage.from_file(data_dir / name).debug_sections()), monkeypatch)


def test_scopes_of_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = DwarfFile(sample(5).debug_sections()).unit(0)
    entry = functions_of(unit).values[0]
    for large in (0, 1 << 40):
        monkeypatch.setattr(skipping, "_LARGE_UNIT", large)
        assert Scopes(unit).around(entry + 1) == []
