"""How many bytes of a dump are touched: a question must not read what it does not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.targets.minidump import MinidumpTarget

DUMP = Path(__file__).resolve().parents[2] / "src" / "polydbg" / "demo" / "practice.dmp"


class CountingBuffer:
    """A file that remembers how many bytes were asked of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.touched = 0

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, where: slice) -> bytes:
        part = self._data[where]
        self.touched += len(part)
        return part


@pytest.fixture
def buffer() -> CountingBuffer:
    return CountingBuffer(DUMP.read_bytes())


def test_opening_reads_the_directory_only(buffer: CountingBuffer) -> None:
    MinidumpTarget(buffer, str(DUMP))
    assert buffer.touched < 2_000


def test_the_event_and_its_registers_read_little(buffer: CountingBuffer) -> None:
    """Thread list, module list, exception and one context: 5 kB of 200 kB."""
    target = MinidumpTarget(buffer, str(DUMP))
    registers = target.exception_registers()
    assert target.event() is not None
    assert registers is not None
    assert registers["rip"] == 0x1_4000_1567
    assert len(target.threads()) == 2
    assert buffer.touched < 8_000


def test_a_read_of_memory_reads_no_more_than_asked(buffer: CountingBuffer) -> None:
    target = MinidumpTarget(buffer, str(DUMP))
    target.memory.read(0x11FC70, 8)
    before = buffer.touched
    assert int.from_bytes(target.memory.read(0x11FC70, 4), "little") == 503
    assert buffer.touched - before <= 64
