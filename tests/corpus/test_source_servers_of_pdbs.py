"""Source-server streams of real PDBs."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.symbols.pdb import open_pdb

pytestmark = pytest.mark.corpus


def test_mozilla_names_addresses(data_dir: Path) -> None:
    pdb = open_pdb(data_dir / "symbols/samply-win64/softokn3.pdb")
    try:
        name = "security/nss/lib/freebl/loader.c"
        found = pdb.source_record(0, f"/builds/worker/checkouts/gecko/{name}")
        revision = "1706d4d54ec68fae1280305b70a02cb24c16ff68"
        assert found.urls == (f"https://hg.mozilla.org/mozilla-central/raw-file/{revision}/{name}",)
    finally:
        pdb.close()


def test_a_target_on_disk_is_no_address(data_dir: Path) -> None:
    pdb = open_pdb(data_dir / "symbols/symbolic-windows/crash_with_srcsrv.pdb")
    try:
        path = r"c:\projects\breakpad-tools\deps\breakpad\src\common\scoped_ptr.h"
        found = pdb.source_record(0, path)
        assert found.urls == ()
        assert found.command == ""
    finally:
        pdb.close()
