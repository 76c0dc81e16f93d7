"""Every file of data/malformed, and every dump of the corpus cut at many lengths.

In a normal run each dump is cut at 4 of its 200 lengths; POLYDBG_ALL_CUTS=1 takes all of them.
"""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from survival import survive

pytestmark = pytest.mark.corpus

CUTS = 200
TAKEN = CUTS if os.environ.get("POLYDBG_ALL_CUTS") else 4


def _data() -> Path:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("POLYDBG_DATA") or default)


def _names(*folders: str) -> list[str]:
    root = _data()
    files = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(root)) for path in files)


def _unpack(source: Path, destination: Path) -> None:
    if source.suffix == ".xz":
        with lzma.open(source) as packed, destination.open("wb") as out:
            shutil.copyfileobj(packed, out)
    elif source.suffix == ".zst":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        with zstd.open(source) as packed, destination.open("wb") as out:
            shutil.copyfileobj(packed, out)
    else:
        shutil.copyfile(source, destination)
        destination.chmod(0o600)


def _boundaries(data: bytes) -> Iterator[int]:
    """Yield where the parts of a minidump begin and end."""
    yield from (0, 1, 4, 8, 31, 32)
    if data[:4] != b"MDMP" or len(data) < 32:
        return
    count, directory = struct.unpack_from("<II", data, 8)
    yield directory
    for index in range(min(count, 64)):
        at = directory + 12 * index
        if at + 12 > len(data):
            return
        _, size, rva = struct.unpack_from("<III", data, at)
        yield from (at + 12, rva, rva + 4, rva + size - 1, rva + size)


def cut_lengths(data: bytes) -> list[int]:
    """Return the 200 lengths: the boundaries of the file's parts, then evenly spread ones."""
    size = len(data)
    chosen = {at for at in _boundaries(data) if 0 <= at < size}
    chosen = set(sorted(chosen)[:CUTS])
    step = 1
    while len(chosen) < min(CUTS, size):
        chosen.add(step * 0x9E3779B1 % size)  # spread by the golden ratio, the same every time
        step += 1
    return sorted(chosen)


@pytest.mark.parametrize("name", _names("malformed"))
def test_malformed_file(name: str) -> None:
    outcome = survive(_data() / name)
    if not name.endswith("dmp") or "microdump" in name:
        assert outcome in ("dump.unknown-format", "dump.truncated", "dump.bad-version")


@pytest.mark.parametrize("name", _names("minidump", "samples/win/dumps"))
def test_dump_cut_short(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cut.dmp"
    _unpack(_data() / name, path)
    data = path.read_bytes()
    lengths = cut_lengths(data)
    survive(path)
    for length in reversed(lengths[:: max(1, len(lengths) // TAKEN)]):
        os.truncate(path, length)
        survive(path)
