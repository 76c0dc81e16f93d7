"""``polydbg sym store``: files by their content, books as symstore keeps them, taken back again."""

from __future__ import annotations

import multiprocessing
import os
import re
from pathlib import Path

import pytest
from tests.servers.stores import DEMO, practice_store

from polydbg.cli.main import main

KIOSK = DEMO / "container" / "symbols" / "kiosk.debug"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["sym", "store", *words])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def files(root: Path) -> list[str]:
    found = [Path(at) / name for at, _, names in os.walk(root) for name in names]
    return sorted(path.relative_to(root).as_posix() for path in found)


def test_files_are_put_where_clients_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "store"
    status, shown = run(capsys, "add", "--comment", "nightly", str(root), str(DEMO), str(KIOSK))
    assert status == 0
    for path, data in practice_store().items():
        assert (root / path[1:]).read_bytes() == data
    debug = next(root.glob("_.debug/elf-buildid-sym-*/_.debug"))
    assert debug.read_bytes() == KIOSK.read_bytes()
    assert re.search(r"^0000000001  \d\d/\d\d/\d{4} .* \d+ files  nightly$", shown, re.MULTILINE)
    assert "pingme.txt" in files(root)


def test_the_books(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "store"
    pdb, exe = str(DEMO / "practice.pdb"), str(DEMO / "practice.exe")
    run(capsys, "add", str(root), pdb)
    run(capsys, "add", "--product", "shop", "--product-version", "2", str(root), pdb, exe)
    admin = root / "000Admin"
    assert (admin / "lastid.txt").read_text() == "0000000002\n"
    rows = (admin / "server.txt").read_text().splitlines()
    assert re.fullmatch(r'0000000001,add,file,\d\d/\d\d/\d{4},[\d:]{8},"","","",', rows[0])
    assert rows[1].endswith(',"shop","2","",')
    assert (admin / "history.txt").read_text().splitlines() == rows
    key = next(root.glob("practice.pdb/*")).name
    listed = (admin / "0000000001").read_text()
    assert listed == f'"practice.pdb\\{key}","{pdb}"\n'
    references = (root / "practice.pdb" / key / "refs.ptr").read_text().splitlines()
    assert references == [f'0000000001,file,"{pdb}"', f'0000000002,file,"{pdb}"']

    status, shown = run(capsys, "list", str(root))
    assert status == 0
    assert re.search(r"^0000000002 .* shop 2$", shown, re.MULTILINE)

    status, shown = run(capsys, "remove", str(root), "2")
    assert status == 0
    assert "removed        practice.exe/" in shown
    assert "practice.pdb" not in shown, "the first transaction wants it"
    assert not (root / "practice.exe").exists()
    status, shown = run(capsys, "remove", str(root), "0000000001")
    assert status == 0
    assert not (root / "practice.pdb").exists()
    assert (admin / "server.txt").read_text() == ""
    history = (admin / "history.txt").read_text().splitlines()
    assert history[2:] == ["0000000003,del,0000000002", "0000000004,del,0000000001"]


def test_two_tiers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "store"
    run(capsys, "add", "--two-tier", str(root), str(DEMO / "practice.pdb"))
    assert (root / "index2.txt").exists()
    assert len(list(root.glob("pr/practice.pdb/*/practice.pdb"))) == 1
    status, shown = run(capsys, "remove", str(root), "1")
    assert status == 0
    assert "pr/practice.pdb/" in shown


def test_what_lay_there_before_is_nobodys_to_remove(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, data in practice_store().items():
        place = tmp_path / path[1:]
        place.parent.mkdir(parents=True)
        place.write_bytes(data)
    status, shown = run(capsys, "add", str(tmp_path), str(DEMO / "practice.pdb"))
    assert status == 0
    assert "already there" in shown
    assert "0000000001" not in shown


def test_what_is_no_symbol_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no symbols")
    status, shown = run(capsys, "add", str(tmp_path / "s"), str(text))
    assert status == 1
    assert "not a symbol file" in shown
    status, shown = run(capsys, "add", str(tmp_path / "s"), str(tmp_path / "nothing"))
    assert status == 1
    assert "No such file" in shown


def test_mistakes_have_one_line_and_a_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["list", str(tmp_path / "none")], ["remove", str(tmp_path), "7"],
                  ["remove", str(tmp_path), "../x"]):  # fmt: skip
        status, shown = run(capsys, *words)
        assert status == 2
        assert "Traceback" not in shown
    assert main(["sym", "store", "add", str(tmp_path)]) == 64


def test_hostile_books_remove_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, victim = tmp_path / "store", tmp_path / "victim"
    victim.mkdir()
    (victim / "refs.ptr").write_text("0000000001,file,x\n")
    run(capsys, "add", str(root), str(DEMO / "practice.pdb"))
    book = root / "000Admin" / "0000000001"
    book.write_text('"..\\victim","x"\n"000Admin\\K","x"\n""\nnothing\n' + book.read_text())
    status, _ = run(capsys, "remove", str(root), "1")
    assert status == 0
    assert (victim / "refs.ptr").exists()
    assert not (root / "practice.pdb").exists()


def _add(root: str, name: str) -> None:
    main(["sym", "store", "add", root, str(DEMO / name)])


def test_writers_take_turns(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    root = str(tmp_path / "store")
    names = ["practice.pdb", "practice.exe", "container/symbols/kiosk.debug"]
    writers = [context.Process(target=_add, args=(root, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    rows = (tmp_path / "store" / "000Admin" / "server.txt").read_text().splitlines()
    assert [row[:10] for row in rows] == ["0000000001", "0000000002", "0000000003"]
