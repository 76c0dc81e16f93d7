"""Packs: written and read, and what is hostile in them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zipfile
from importlib import resources
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.base.errors import Cancelled, FormatError
from polydbg.symbols.store.adding import StoreAdder, Taken
from polydbg.symbols.store.contents import contents_of
from polydbg.symbols.store.hostpath import DirectoryCache
from polydbg.symbols.store.layout import LocalStore
from polydbg.symbols.store.pack import INDEX_NAME, LackingFile, Pack, PackWriter

PDB = Path(str(resources.files("polydbg") / "demo" / "practice.pdb"))
KEY = contents_of(PDB)[0].key
PLACE = f"practice.pdb/{KEY}/practice.pdb".lower()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def added(store: Path, source: Path, cancel: CancelToken | None = None) -> list[Taken]:
    adder = StoreAdder(LocalStore(store, DirectoryCache()), cancel or CancelToken())
    return list(adder.add(source))


def written(folder: Path) -> Path:
    place = folder / "pack.zip"
    with PackWriter(place, ["a.dmp"], "test") as pack:
        pack.add(PDB, "pdb", ("practice.pdb", KEY, "practice.pdb"), "host")
        pack.finish([LackingFile("image", "x.dll", "1", "x.dll", "not there")])
    return place


def test_nothing_is_left_of_a_pack_for_which_the_disk_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = zipfile.ZipFile.close

    def full(self: zipfile.ZipFile) -> None:
        if self.fp is not None:
            close(self)
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "close", full)
    with pytest.raises(OSError, match="No space"):
        written(tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def crafted(folder: Path, *, data: bytes | None = None, **changes: object) -> Path:
    """A pack whose index says something else, or whose file is something else."""
    content = PDB.read_bytes() if data is None else data
    row: dict[str, object] = {
        "kind": "pdb",
        "name": "practice.pdb",
        "key": KEY,
        "file_name": "practice.pdb",
        "path": PLACE,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    row |= changes
    place = folder / "crafted.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr(PLACE, content)
        pack.writestr(INDEX_NAME, json.dumps({"files": [row]}))
    return place


def files_in(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file() and path.name != "pingme.txt"]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    place = written(tmp_path)
    with zipfile.ZipFile(place) as zipped:
        assert zipped.testzip() is None
        assert zipped.namelist() == [PLACE, INDEX_NAME]
    with place.open("rb") as stream:
        index = Pack(stream, place.stat().st_size).index
    (file,), (missing,) = index.files, index.missing
    assert (file.path, file.host, file.size) == (PLACE, "host", PDB.stat().st_size)
    assert (missing.name, missing.reason) == ("x.dll", "not there")
    assert index.dumps == ("a.dmp",)


def test_a_file_given_twice_is_packed_once(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "pack.zip") as pack:
        for _ in range(2):
            pack.add(PDB, "pdb", ("practice.pdb", KEY, "practice.pdb"))
        assert len(pack.finish().files) == 1


def test_a_pack_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "pack.zip") as pack:
        pack.add(PDB, "pdb", ("practice.pdb", KEY, "practice.pdb"))
    assert not list(tmp_path.iterdir())


def test_added_once_and_there_afterwards(tmp_path: Path, store: Path) -> None:
    place = written(tmp_path)
    (first,), (second,) = added(store, place), added(store, place)
    assert (first.outcome, second.outcome) == ("added", "already there")
    target = store / "practice.pdb" / KEY / "practice.pdb"
    assert target.read_bytes() == PDB.read_bytes()
    assert files_in(store) == [target]


def test_a_damaged_file_in_the_store_is_replaced(tmp_path: Path, store: Path) -> None:
    target = store / "practice.pdb" / KEY / "practice.pdb"
    target.parent.mkdir(parents=True)
    target.write_bytes(PDB.read_bytes()[:5000])
    (taken,) = added(store, written(tmp_path))
    assert taken.outcome == "added"
    assert target.read_bytes() == PDB.read_bytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "../x.pdb"}, "unsafe name"),
        ({"name": "a/b"}, "unsafe name"),
        ({"name": "..\\x"}, "unsafe name"),
        ({"name": "nul"}, "unsafe name"),
        ({"file_name": "../practice.pdb"}, "unsafe name"),
        ({"file_name": ""}, "unsafe name"),
        ({"key": "../.."}, "no store key"),
        ({"key": KEY[:-1] + "7"}, "another file"),
        ({"kind": "image"}, "kind"),
        ({"kind": "script"}, "kind"),
        ({"path": "elsewhere"}, "not in the zip"),
        ({"size": 5}, "another size"),
        ({"sha256": "0" * 64}, "sha256"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_what_the_index_lies_about_is_refused(
    tmp_path: Path, store: Path, changes: dict[str, object], reason: str
) -> None:
    (taken, *_) = added(store, crafted(tmp_path, **changes))
    assert taken.outcome == "refused"
    assert reason in taken.reason
    assert not files_in(store)
    assert not list(tmp_path.rglob("x.pdb"))


def test_content_of_another_kind_is_refused(tmp_path: Path, store: Path) -> None:
    (taken,) = added(store, crafted(tmp_path, data=b"#!/bin/sh\n"))
    assert taken.outcome == "refused"
    assert not files_in(store)


def test_bombs_links_and_doubles_are_refused(tmp_path: Path, store: Path) -> None:
    (bomb,) = added(store, crafted(tmp_path, data=bytes(80 << 20)))
    assert "expands to" in bomb.reason
    place = crafted(tmp_path)
    with zipfile.ZipFile(place) as good:
        index = good.read(INDEX_NAME)
    entry = zipfile.ZipInfo(PLACE)
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(place, "w") as linked:
        linked.writestr(entry, PDB.read_bytes())
        linked.writestr(INDEX_NAME, index)
    (link,) = added(store, place)
    assert "symbolic link" in link.reason
    with zipfile.ZipFile(place, "w") as doubled:
        doubled.writestr(PLACE, PDB.read_bytes())
        with pytest.warns(UserWarning, match="Duplicate"):
            doubled.writestr(PLACE, PDB.read_bytes())
        doubled.writestr(INDEX_NAME, index)
    (double,) = added(store, place)
    assert "twice" in double.reason
    assert not files_in(store)


def test_members_that_the_index_does_not_list_stay_outside(tmp_path: Path, store: Path) -> None:
    place = written(tmp_path)
    with zipfile.ZipFile(place, "a") as pack:
        pack.writestr("../../evil.sh", b"x")
    outcomes = {taken.source: taken.outcome for taken in added(store, place)}
    assert outcomes == {PLACE: "added", "../../evil.sh": "refused"}


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_packs_that_are_cut_short_are_refused(tmp_path: Path, store: Path, cut: float) -> None:
    data = written(tmp_path).read_bytes()
    place = tmp_path / "cut.zip"
    place.write_bytes(data[: int(len(data) * cut)])
    try:
        outcomes = [taken.outcome for taken in added(store, place)]
    except FormatError:
        outcomes = []
    assert "added" not in outcomes
    assert not files_in(store) if store.exists() else True


@pytest.mark.parametrize(
    "index", [b"", b"[]", b"{", b'{"files": 3}', b'{"version": 2}', b'{"format": "x"}', b"[" * 9999]
)
def test_an_index_that_cannot_be_read_is_refused(tmp_path: Path, store: Path, index: bytes) -> None:
    place = tmp_path / "pack.zip"
    with zipfile.ZipFile(place, "w") as pack:
        pack.writestr(INDEX_NAME, index)
    with pytest.raises(FormatError):
        added(store, place)


def test_a_zip_file_without_an_index_is_no_pack(tmp_path: Path, store: Path) -> None:
    place = tmp_path / "other.zip"
    with zipfile.ZipFile(place, "w") as pack:
        pack.writestr("a.pdb", PDB.read_bytes())
    with pytest.raises(FormatError, match="no pack"):
        added(store, place)


def test_bytes_that_change_in_a_pack_change_nothing_in_the_store(
    tmp_path: Path, store: Path
) -> None:
    """Every 997th byte turned: errors are ours alone, and what gets in is the file."""
    data = written(tmp_path).read_bytes()
    place = tmp_path / "turned.zip"
    for at in range(0, len(data), max(997, len(data) // 60)):
        place.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        try:
            added(store / str(at), place)
        except FormatError:
            continue
    for path in files_in(store):
        assert path.read_bytes() == PDB.read_bytes()


def test_folders_and_loose_files_go_by_their_content(tmp_path: Path, store: Path) -> None:
    folder = tmp_path / "from-a-colleague"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "practice.pdb").write_bytes(PDB.read_bytes())
    (folder / "readme.txt").write_text("hello")
    if os.name == "posix":
        (folder / "loop").symlink_to(folder)
        (folder / "link.pdb").symlink_to(PDB)
    outcomes = {Path(taken.source).name: taken.outcome for taken in added(store, folder)}
    assert outcomes == {"practice.pdb": "added", "readme.txt": "not a symbol file"}
    assert files_in(store) == [store / "practice.pdb" / KEY / "practice.pdb"]


def test_adding_can_be_stopped(tmp_path: Path, store: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        added(store, written(tmp_path), cancel)
    assert not files_in(store)
