"""Every file of ``data/minidump`` against its row in MANIFEST.md: one test for each file.

The rows were measured by another reader. Where this reader knows more than that one, the test says
so beside the fact.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from polydbg.arch.registers import program_counter
from polydbg.images.pe import PeImage
from polydbg.targets.minidump import MinidumpTarget
from polydbg.targets.open import open_target
from polydbg.targets.userdump import UserDumpTarget

pytestmark = pytest.mark.corpus

FILES_IN_MANIFEST = 65
DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # as in conftest.py
OTHER_NAMES = {"BreakpadAssertionInfo": "AssertionInfo", "TokenInformation": "Token"}
"""Names of streams that the manifest shortens."""
CONTEXTS_OF_TWO_BYTES = "minidump/lldb-yaml/linux-x86_64_null_signal.dmp"
"""Made by hand: it has two bytes where a thread's registers belong."""
ARCHITECTURES = {"x86": "x86", "x86_64": "amd64", "arm": "arm", "arm64": "arm64"}


class Row(msgspec.Struct, frozen=True):
    """A row of the table: *kind*, *system* and *facts* are its columns' texts."""

    path: str
    kind: str
    system: str
    size: int
    facts: str

    def number(self, words: str) -> int | None:
        """Return the number that follows *words* among the measured facts."""
        measured = self.facts.partition("measured: ")[2]
        found = re.search(rf"(?:^|; ){words} (\d+)", measured)
        return int(found[1]) if found else None


def _rows() -> Iterator[Row]:
    manifest = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA) / "MANIFEST.md"
    if not manifest.is_file():
        return
    for line in manifest.read_text(encoding="utf-8").splitlines():
        columns = [text.strip() for text in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(columns) == 7 and re.match(r"minidump/\S", columns[0]):
            yield Row(columns[0], columns[1], columns[2], int(columns[4]), columns[6])


ROWS = list(_rows())


def rows(*kinds: str) -> pytest.MarkDecorator:
    """Parametrise a test by the rows whose kind begins with one of *kinds*."""
    chosen = [row for row in ROWS if row.kind.startswith(kinds)]
    return pytest.mark.parametrize("row", chosen, ids=[row.path for row in chosen])


MINIDUMP = ("minidump", "full-memory minidump")


@pytest.fixture
def target(data_dir: Path, row: Row) -> Iterator[MinidumpTarget]:
    opened = open_target(str(data_dir / row.path))
    assert isinstance(opened, MinidumpTarget)
    yield opened
    opened.close()


def test_no_file_is_left_out(data_dir: Path) -> None:
    assert len(ROWS) == FILES_IN_MANIFEST
    folder = data_dir / "minidump"
    files = {path.relative_to(data_dir).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {row.path for row in ROWS}
    kinds = (*MINIDUMP, "legacy Windows full user dump", "PE image")
    assert not [row.kind for row in ROWS if not row.kind.startswith(kinds)]
    for row in ROWS:
        assert (data_dir / row.path).stat().st_size == row.size, row.path


@rows(*MINIDUMP)
def test_streams(row: Row, target: MinidumpTarget) -> None:
    flags = re.search(r"flags (0x\w+)", row.kind)
    assert flags
    assert target.dump.header.flags == int(flags[1], 16)
    listed = row.kind.partition("streams ")[2].split(", ")
    found = [entry.name.removesuffix("Stream") for entry in target.dump.directory]
    # The manifest names a stream once and leaves out those of type 0.
    found = [name for name in dict.fromkeys(found) if name != "Unused"]
    assert {OTHER_NAMES.get(name, name) for name in found} == set(listed)


@rows(*MINIDUMP)
def test_every_stream_can_be_decoded(row: Row, target: MinidumpTarget) -> None:
    for name, member in vars(type(target.dump)).items():
        if isinstance(member, functools.cached_property):
            getattr(target.dump, name)
    target.unloaded_modules(), target.regions(), target.handles()
    assert all(len(warning.message) < 300 for warning in target.warnings())


@rows(*MINIDUMP)
def test_system(row: Row, target: MinidumpTarget) -> None:
    arch, _, system = row.system.partition(" / ")
    assert target.arch == ARCHITECTURES[arch.removesuffix("(breakpad)")]
    platform, _, version = system.partition(" ")
    info = target.system()
    assert info.platform == platform.lower()
    assert version in ("", f"{info.major}.{info.minor}.{info.build}")
    assert row.number("CPUs") == info.processor_count
    # Measured in MiscInfo alone; Breakpad's dumps of Linux have the id in a copy of status.
    misc = target.dump.misc_info
    assert row.number("pid") == (misc.process_id if misc else None)
    if row.number("pid") is None and "LinuxProcStatus" in row.kind:
        assert target.process_id is not None


@rows(*MINIDUMP)
def test_counts(row: Row, target: MinidumpTarget) -> None:
    assert (row.number("threads") or 0) == len(target.threads())
    assert (row.number("modules") or 0) == len(target.modules())
    assert (row.number("memory ranges") or 0) == len(target.dump.memory_list)
    ranges = target.dump.memory64_list
    assert (row.number("Memory64 ranges") or 0) == (len(ranges) if ranges else 0)
    assert (row.number("MemoryInfo entries") or 0) == len(target.dump.regions)
    assert (row.number("handles") or 0) == len(target.handles())
    bad = {warning.identifier for warning in target.warnings()} - {"dump.unknown-stream"}
    assert bad <= {"dump.truncated", "dump.bad-context"}, target.warnings()
    for thread in target.threads():
        known = program_counter(target.registers(thread)) is not None
        assert known == (row.path != CONTEXTS_OF_TWO_BYTES)


@rows(*MINIDUMP)
def test_exception(row: Row, target: MinidumpTarget) -> None:
    pattern = r"exception (0x\w+) at (0x\w+) tid (\d+) params \[(.*?)\]"
    found = re.search(pattern, row.facts)
    event = target.event()
    if not found:
        assert event is None or not event.is_stored
        return
    assert event is not None
    assert event.exception.code == int(found[1], 16)
    assert event.exception.address == int(found[2], 16)
    assert event.thread_id == int(found[3])
    parameters = [int(text, 16) for text in found[4].split(", ") if text]
    assert list(event.exception.parameters) == parameters
    assert (target.exception_registers() is not None) == (row.path != CONTEXTS_OF_TWO_BYTES)


@rows(*MINIDUMP)
def test_first_module(row: Row, target: MinidumpTarget) -> None:
    pattern = r"first module (.*?) base (0x\w+) size (0x\w+) id (build-id )?(\w+)"
    found = re.search(pattern, row.facts)
    if not found:
        assert not target.modules()
        return
    module = target.modules()[0]
    assert module.image_path == found[1]
    assert (module.base, module.size) == (int(found[2], 16), int(found[3], 16))
    if found[4]:
        assert module.build_id.hex() == found[5]
    elif found[5] == "None" or not found[5].strip("0"):
        assert module.debug_id is None  # an id of zeros stands for none
    else:
        assert module.debug_id is not None
        assert module.debug_id.key == found[5]


@rows("legacy")
def test_legacy_dump(row: Row, data_dir: Path) -> None:
    found = re.search(r"(\d+) threads, (\d+) modules, (0x\w+) memory regions", row.facts)
    assert found
    opened = open_target(str(data_dir / row.path))
    assert isinstance(opened, UserDumpTarget)
    assert len(opened.threads()) == int(found[1])
    assert len(opened.modules()) == int(found[2])
    assert len(opened.regions()) == int(found[3], 16)
    assert (opened.arch, opened.system().build) == ("amd64", 17134)
    opened.close()


@rows("PE image")
def test_images_beside_dumps(row: Row, data_dir: Path) -> None:
    found = re.search(r"stamp (\w+) size (0x\w+)", row.kind)
    assert found
    image = PeImage.from_file(data_dir / row.path)
    assert (image.timestamp, image.size_of_image) == (int(found[1], 16), int(found[2], 16))
