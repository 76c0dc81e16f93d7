"""Fixtures for all tests: where the shared test data is, and sample dumps unpacked once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

# No test leaves processes behind that index what it read, or depends on such an index.
os.environ.setdefault("POLYDBG_DWARF_INDEX", "off")

# Nor does one see what the user's caches hold, or ask the servers of the user's environment.
_CACHE = tempfile.TemporaryDirectory(prefix="polydbg-tests-", ignore_cleanup_errors=True)
os.environ["POLYDBG_CACHE"] = _CACHE.name
for _name in ("DEBUGINFOD_URLS", "_NT_SYMBOL_PATH", "_NT_ALT_SYMBOL_PATH"):
    os.environ.pop(_name, None)

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _decompress(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.decompress(data)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The shared test data; without it a test is skipped, but fails where CI is set."""
    path = Path(os.environ.get("POLYDBG_DATA") or DEFAULT_DATA)
    if not path.is_dir():
        message = f"no test data at {path} (set POLYDBG_DATA)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def sample_dump(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``sample_dump(name)``: the path of samples/win/dumps/NAME.dmp, unpacked if need be."""
    folder = tmp_path_factory.mktemp("dumps")

    def find(name: str) -> Path:
        plain = data_dir / "samples" / "win" / "dumps" / f"{name}.dmp"
        if plain.exists():
            return plain
        unpacked = folder / plain.name
        if not unpacked.exists():
            packed = plain.with_name(plain.name + ".zst")
            unpacked.write_bytes(_decompress(packed.read_bytes()))
        return unpacked

    return find
