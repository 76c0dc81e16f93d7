"""``!sym list``: the ids by which files are asked for, without asking for any."""

from __future__ import annotations

from pathlib import Path

import pytest

from polydbg.commands.output import CommandEnd, Item
from polydbg.commands.symbol_ids import IDS_VERSION, FileId, ModuleIds, SymbolIds
from polydbg.engine.wanted_files import WantedFile
from polydbg.service.api import ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient
from polydbg.symbols.store import FileKind, Wanted


def listed(dump: Path, path: str = "") -> list[Item]:
    client = LocalClient()
    try:
        request = OpenRequest([str(dump)], path, path, use_environment=False, first_screen=False)
        events = [*client.open(request), *client.execute("!sym list")]
    finally:
        client.close()
    items = [i for e in events if isinstance(e, ItemsEvent) for i in e.items]
    return [item for item in items if not isinstance(item, CommandEnd)]


def files_of(items: list[Item], module: str) -> dict[str, FileId]:
    (row,) = (i for i in items if isinstance(i, ModuleIds) and i.module == module)
    return {file.kind: file for file in row.files}


@pytest.fixture
def samples(data_dir: Path) -> Path:
    return data_dir / "samples"


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_ids_come_from_the_dump_alone(no_cache: Path, samples: Path) -> None:
    items = listed(samples / "win" / "dumps" / "fastpath.dmp.zst")
    assert isinstance(items[0], SymbolIds)
    assert (items[0].version, items[0].dump) == (IDS_VERSION, "fastpath.dmp.zst")
    files = files_of(items, "fastpath")
    assert files["image"].key == "6B02EA0F3e000"
    assert files["pdb"].key == files["breakpad"].key == "364578E8445C60634C4C44205044422E1"
    assert not any(file.found for file in files.values())


def test_what_is_at_hand_says_where(no_cache: Path, samples: Path) -> None:
    binaries = samples / "win" / "bin"
    items = listed(samples / "win" / "dumps" / "fastpath.dmp.zst", str(binaries))
    files = files_of(items, "fastpath")
    assert files["pdb"].found == str(binaries / "fastpath.pdb")
    assert files["image"].found == str(binaries / "fastpath.exe")


def test_a_pdb_without_a_record_says_why(no_cache: Path, samples: Path) -> None:
    items = listed(samples / "win" / "dumps" / "fastpath.dmp.zst")
    pdb = files_of(items, "ntdll")["pdb"]
    assert pdb.key == ""
    assert pdb.reason.startswith("the dump holds no record")


def test_elf_files_have_build_ids_and_the_kernels_image_is_no_file(
    no_cache: Path, samples: Path
) -> None:
    items = listed(samples / "linux" / "cores" / "cargo-clang-O0-dwarf5.core.zst")
    files = files_of(items, "cargo_clang_O0_dwarf5")
    build_id = "8b534abedb4924786ad03404a229e7b7850d0e14"
    assert files["executable"].build_id == files["debuginfo"].build_id == build_id
    assert files["debuginfo"].key == f"elf-buildid-sym-{build_id}"
    (vdso,) = (i for i in items if isinstance(i, ModuleIds) and i.module == "linux_vdso_so")
    assert not vdso.files
    assert vdso.reason


@pytest.mark.parametrize(
    ("name", "key"), [("..", "AB"), ("a|b.pdb", "AB"), ("a.pdb", "../x"), ("nul.pdb", "1")]
)
def test_names_and_keys_that_are_no_part_of_a_path_are_refused(name: str, key: str) -> None:
    file = FileId.of(WantedFile("pdb", Wanted(FileKind.PDB, name, key)))
    assert file.key == ""
    assert file.reason
