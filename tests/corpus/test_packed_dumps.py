"""Packed dumps of the corpus open as they are, and answer as their unpacked copies do."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from polydbg.targets.open import open_target
from polydbg.targets.target import Target

pytestmark = pytest.mark.corpus


def facts(target: Target) -> object:
    threads = [(t.id, dict(target.registers(t))) for t in target.threads()]
    found = (target.system(), target.modules(), target.event(), threads, target.kind_line)
    target.close()
    return found


@pytest.mark.parametrize("name", ["nullwrite-data", "nullwrite-full", "shelf", "overflow"])
def test_zstd(data_dir: Path, sample_dump: Callable[[str], Path], name: str) -> None:
    packed = open_target(str(data_dir / "samples" / "win" / "dumps" / f"{name}.dmp.zst"))
    assert packed.member == f"{name}.dmp"
    assert facts(packed) == facts(open_target(str(sample_dump(name))))


def test_xz(data_dir: Path) -> None:
    target = open_target(str(data_dir / "minidump" / "kdlib" / "stacktest_wow64.dmp.xz"))
    assert (len(target.threads()), len(target.modules())) == (4, 12)
    assert target.process_id == 31488
    target.close()


def test_every_dump_of_a_zip_can_be_picked(
    tmp_path: Path, sample_dump: Callable[[str], Path]
) -> None:
    names = ("shelf", "fastpath", "nullwrite.wine")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(sample_dump(name), f"dumps/{name}.dmp")
    path = tmp_path / "all.zip"
    path.write_bytes(stream.getvalue())
    for name in names:
        packed = open_target(str(path), f"{name}.dmp")
        assert facts(packed) == facts(open_target(str(sample_dump(name))))
    commands = '||; .opendump /c "fastpath.dmp"; ||; .opendump /c nosuch'
    done = subprocess.run(
        [sys.executable, "-m", "polydbg", "-z", str(path), "-c", commands],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert f"Loading Dump File [{path}: dumps/shelf.dmp]" in done.stdout
    assert "3 dumps in" in done.stdout
    assert f"User mini dump: {path}: dumps/fastpath.dmp" in done.stdout
    assert "no member nosuch" in done.stdout + done.stderr
