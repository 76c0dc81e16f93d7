"""Opening a file as a target: which module takes it, and what the caller may say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.base.errors import TargetError
from polydbg.targets.open import open_target
from polydbg.testing.minidump_builder import MinidumpBuilder


def test_a_named_processor_opens_a_dump_without_one(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(MinidumpBuilder(with_system_info=False).build())
    with pytest.raises(TargetError) as caught:
        open_target(str(path))
    assert "-arch" in caught.value.hint
    target = open_target(str(path), arch="x86")
    assert (target.arch, target.pointer_size) == ("x86", 4)
    target.close()


def test_an_unknown_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError) as caught:
        open_target(str(tmp_path / "x.dmp"), arch="mips")
    assert caught.value.identifier == "target.unknown-machine"
    assert "amd64" in caught.value.hint


def test_a_legacy_dump_takes_no_processor(tmp_path: Path) -> None:
    path = tmp_path / "x.dmp"
    path.write_bytes(b"USERDU64" + bytes(0x1000))
    with pytest.raises(TargetError) as caught:
        open_target(str(path), arch="amd64")
    assert caught.value.identifier == "target.unsupported"
