"""How many bytes of a file are touched: a question must not read what it does not need."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import cast

import pytest

from polydbg.symbols.pdb import PdbSource
from polydbg.targets.minidump import MinidumpTarget

ROOT = Path(__file__).resolve().parents[2]
DUMP = ROOT / "src" / "polydbg" / "demo" / "practice.dmp"
PRACTICE = DUMP.with_suffix(".pdb")
CRASH_RVA = 0x1567


class CountingBuffer:
    """A file that remembers how many bytes were asked of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._before = 0
        self._touched = 0

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, where: slice) -> bytes:
        part = self._data[where]
        self._touched += len(part)
        return part

    def touched(self) -> int:
        """Bytes touched since the last call."""
        touched, self._before = self._touched - self._before, self._touched
        return touched


def _target() -> tuple[MinidumpTarget, CountingBuffer]:
    buffer = CountingBuffer(DUMP.read_bytes())
    return MinidumpTarget(cast(bytes, buffer), str(DUMP)), buffer


def test_opening_a_dump_reads_its_directory_only() -> None:
    _, buffer = _target()
    assert buffer.touched() < 2_000


def test_the_event_and_its_registers_read_little() -> None:
    """Thread list, module list, exception and one context: a few kB of 200 kB."""
    target, buffer = _target()
    registers = target.exception_registers()
    assert target.event() is not None
    assert registers is not None
    assert registers["rip"] == 0x1_4000_0000 + CRASH_RVA
    assert len(target.threads()) == 2
    assert buffer.touched() < 8_000


def test_a_read_of_memory_reads_no_more_than_asked() -> None:
    target, buffer = _target()
    target.memory.read(0x11FC70, 8)
    buffer.touched()
    assert int.from_bytes(target.memory.read(0x11FC70, 4), "little") == 503
    assert buffer.touched() <= 64


def _open(path: Path) -> tuple[PdbSource, CountingBuffer]:
    buffer = CountingBuffer(path.read_bytes())
    return PdbSource(cast(bytes, buffer), str(path)), buffer


def test_practice_pdb() -> None:
    """Of 135 kB: headers, then one module's symbols and lines."""
    source, buffer = _open(PRACTICE)
    assert buffer.touched() < 2_000
    symbol = source.symbol_at(CRASH_RVA)
    assert symbol is not None
    assert symbol.name == "price_line"
    assert buffer.touched() < 24_000
    line = source.line_at(CRASH_RVA)
    assert line is not None
    assert (line.file, line.line) == (r"C:\practice\orders.c", 68)
    assert [site.name for site in source.inlines_at(CRASH_RVA)] == ["record_sale"]
    assert buffer.touched() < 4_000
    source.symbol_at(CRASH_RVA + 4)
    assert buffer.touched() < 1_000, "a module once read is read again"


@pytest.fixture(scope="module")
def small_pdb() -> Path:
    """One unit of the benchmark's large program: 17 MB, a minute to build, kept in its cache."""
    if shutil.which("clang++-19") is None or shutil.which("lld-link-19") is None:
        pytest.skip("no clang++-19 or lld-19")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import big_program
    finally:
        sys.path.pop(0)
    try:
        dump = big_program.build(ROOT / "benchmarks" / ".cache" / "small", units=1, count=1)
    except big_program.BuildError as error:
        pytest.skip(str(error))
    return Path(dump).with_suffix(".pdb")


@pytest.mark.peer
def test_opening_a_larger_pdb_reads_as_little(small_pdb: Path) -> None:
    """The hash streams' headers grow with the program, nothing else that opening reads does."""
    _, buffer = _open(small_pdb)
    assert buffer.touched() < 100_000


@pytest.mark.peer
def test_an_address_of_a_larger_pdb(small_pdb: Path) -> None:
    """The worst case: all of the program's symbols and lines are in one module."""
    source, buffer = _open(small_pdb)
    buffer.touched()
    symbol = source.symbol_named("crash_unit_0")
    assert symbol is not None
    assert buffer.touched() < 100_000
    line = source.line_at(symbol.rva)
    assert line is not None
    assert line.file.endswith("unit.cpp")
    assert buffer.touched() < len(buffer) // 4
