"""Symbols for a machine without a network: listed there, fetched elsewhere, added there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.servers import unruly
from tests.servers.debuginfod import debuginfod
from tests.servers.unruly import Unruly

from polydbg.cli.main import main
from polydbg.images.pe import PeImage
from polydbg.symbols.pdb import open_pdb

DEMO = Path(str(resources.files("polydbg") / "demo"))


def _names() -> tuple[str, str]:
    """The places of the practice PDB and image in a store."""
    pdb, image = open_pdb(DEMO / "practice.pdb"), PeImage.from_file(DEMO / "practice.exe")
    places = (
        f"practice.pdb/{pdb.debug_id.key}/practice.pdb",
        f"practice.exe/{image.code_id.key}/practice.exe",
    )
    pdb.close()
    image.close()
    return places


PDB, EXE = _names()


class Machines:
    """Two machines, A without and B with a network: a cache for each, one folder for both."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.dump = folder / "practice.dmp"
        self.dump.write_bytes((DEMO / "practice.dmp").read_bytes())
        self.ids, self.pack = folder / "ids.json", folder / "pack.zip"

    def run(self, machine: str, *words: str | Path) -> tuple[int, str]:
        """The exit status and the output of a command line on one of them."""
        self._monkeypatch.setenv("POLYDBG_CACHE", str(self.folder / machine))
        self._monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(self.folder / f"{machine}-client"))
        status = main([str(word) for word in words])
        return status, self._capsys.readouterr().out

    def list_ids(self, dump: Path | None = None) -> None:
        status, text = self.run("A", "sym", "list", "--json", dump or self.dump)
        assert status == 0
        self.ids.write_text(text)

    def index(self) -> dict[str, list[dict[str, object]]]:
        with zipfile.ZipFile(self.pack) as pack:
            assert pack.testzip() is None
            found: dict[str, list[dict[str, object]]] = json.loads(pack.read("polydbg-pack.json"))
        return found

    def reasons(self) -> dict[str, str]:
        """Why each missing file is missing."""
        return {str(row["file_name"]): str(row["reason"]) for row in self.index()["missing"]}


@pytest.fixture
def machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Machines:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    return Machines(tmp_path, monkeypatch, capsys)


@pytest.fixture
def server() -> Iterator[Unruly]:
    files = {
        f"/{PDB}": (DEMO / "practice.pdb").read_bytes(),
        f"/{EXE}": (DEMO / "practice.exe").read_bytes(),
    }
    with Unruly(files) as running:
        yield running


def test_the_round_trip_gives_names_and_lines(machines: Machines, server: Unruly) -> None:
    status, before = machines.run("A", machines.dump, "-c", "k; q")
    assert "practice!" not in before
    machines.list_ids()
    assert not server.paths, "listing asks nobody"
    path = f"srv*{server.url}"
    status, text = machines.run("B", "sym", "fetch", "-y", path, "-o", machines.pack, machines.ids)
    rows = [line for line in text.split("\n") if line.startswith("in ")]
    assert [row.split()[2] for row in rows] == ["practice.exe", "practice.pdb"]
    assert status == 1, "Windows' own files are missing"
    status, text = machines.run("A", "sym", "add", machines.pack)
    assert status == 0
    assert "2 added, 0 already there, 0 refused" in text
    status, after = machines.run("A", machines.dump, "-c", ".ecxr; k; q")
    assert "practice!" in after
    assert "orders.c @ " in after


def test_the_pack_is_a_store_with_an_index(machines: Machines, server: Unruly) -> None:
    machines.list_ids()
    path = f"srv*{server.url}"
    machines.run("B", "sym", "fetch", "-y", path, "-o", machines.pack, machines.ids)
    files = {str(row["path"]): row for row in machines.index()["files"]}
    assert set(files) == {PDB.lower(), EXE.lower()}
    assert files[PDB.lower()]["host"] == server.url.removeprefix("http://")
    assert "not on the server" in machines.reasons()["ntdll.dll"]
    with zipfile.ZipFile(machines.pack) as pack:
        pack.extractall(machines.folder / "store")
    _, text = machines.run("B2", machines.dump, "-y", machines.folder / "store", "-c", "k; q")
    assert "practice!" in text


def test_what_is_at_hand_is_not_fetched(machines: Machines, server: Unruly) -> None:
    machines.run("A", "sym", "add", DEMO / "practice.exe")
    machines.list_ids()
    path = f"srv*{server.url}"
    machines.run("B", "sym", "fetch", "-y", path, "-o", machines.pack, machines.ids)
    assert [row["name"] for row in machines.index()["files"]] == ["practice.pdb"]


def test_a_file_of_another_build_does_not_get_in(machines: Machines, server: Unruly) -> None:
    machines.list_ids()
    server.files[f"/{PDB}"] = (DEMO / "practice.exe").read_bytes()
    server.behaviours[f"/{EXE}"] = unruly.page()
    path = f"srv*{server.url}"
    status, text = machines.run("B", "sym", "fetch", "-y", path, "-o", machines.pack, machines.ids)
    assert status == 1
    assert "no pack was written" in text
    assert not machines.pack.exists()
    assert "practice.pdb" in text


def test_dumps_are_fetched_for_without_a_list(machines: Machines) -> None:
    store = machines.folder / "store"
    machines.run("B", "sym", "add", "--to", store, DEMO / "practice.pdb", DEMO / "practice.exe")
    machines.run("B", "sym", "fetch", "-y", f"srv*{store}", "-o", machines.pack, machines.dump)
    names = sorted(str(row["name"]) for row in machines.index()["files"])
    assert names == ["practice.exe", "practice.pdb"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_ids_may_come_through_powershell(machines: Machines, encoding: str) -> None:
    machines.list_ids()
    machines.ids.write_text(machines.ids.read_text(), encoding=encoding)
    status, text = machines.run("B", "sym", "fetch", "-o", machines.pack, machines.ids)
    assert status == 1
    assert "no server is set" in text


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{",
        '{"items": 1}',
        '{"items": [{"type": "symbol_ids", "version": 99, "dump": ""}]}',
        '{"items": [{"type": "symbol_ids", "version": 1, "dump": ""}, {"type": "module_ids", '
        '"files": [{"kind": 1}]}]}',
        "[" * 100_000,
        '{"items": ' + "[" * 100_000,
    ],
    ids=["empty", "cut", "no-list", "version", "fields", "no-object", "deep"],
)
def test_what_is_no_list_of_ids_is_said(machines: Machines, text: str) -> None:
    machines.ids.write_text(text)
    status, _ = machines.run("B", "sym", "fetch", "-o", machines.pack, machines.ids)
    assert status == 2
    assert not machines.pack.exists()


def test_ids_of_paths_leave_no_cache(machines: Machines, server: Unruly) -> None:
    machines.list_ids()
    text = machines.ids.read_text().replace('"name": "practice.pdb"', '"name": "../../x.pdb"')
    machines.ids.write_text(text.replace('"key": "', '"key": "../'))
    path = f"srv*{server.url}"
    status, _ = machines.run("B", "sym", "fetch", "-y", path, "-o", machines.pack, machines.ids)
    assert status == 1
    assert not server.paths


def test_a_second_run_asks_again_for_what_was_missing(machines: Machines, server: Unruly) -> None:
    machines.list_ids()
    pdb = server.files.pop(f"/{PDB}")
    words = ["sym", "fetch", "-y", f"srv*{server.url}", "-o", machines.pack, machines.ids]
    machines.run("B", *words)
    assert [row["name"] for row in machines.index()["files"]] == ["practice.exe"]
    server.files[f"/{PDB}"] = pdb
    machines.run("B", *words)
    assert len(machines.index()["files"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_run_that_is_stopped_leaves_a_pack_of_what_came(
    machines: Machines, server: Unruly
) -> None:
    machines.list_ids()
    server.behaviours[f"/{PDB}"] = unruly.silent(20.0)
    environment = os.environ | {"POLYDBG_CACHE": str(machines.folder / "B")}
    command = [sys.executable, "-m", "polydbg", "sym", "fetch", "-y", f"srv*{server.url}"]
    process = subprocess.Popen(
        [*command, "-o", machines.pack, machines.ids],
        env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        for _ in range(200):
            if f"/{PDB}" in server.paths:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=15)
    assert process.returncode == 130
    assert "in       image      practice.exe" in text
    assert [row["name"] for row in machines.index()["files"]] == ["practice.exe"]
    assert "stopped" in machines.reasons()["practice.pdb"]


def test_the_readmes_chapter_does_what_it_shows(machines: Machines, server: Unruly) -> None:
    """Typed as written, but for the address of the server and the host it is on."""
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    chapter = text[text.index("## No network here") :].split("\n## ")[0]
    blocks = "".join(re.findall(r"```\n(.*?)```", chapter, re.DOTALL))
    steps = [part.split("\n") for part in re.split(r"^\$ ", blocks, flags=re.MULTILINE) if part]
    machines.dump.rename(machines.folder / "crash.dmp")
    on = {"list": "A", "fetch": "B", "add": "A", "crash.dmp": "A"}
    host = server.url.removeprefix("http://")
    for command, *shown in steps:
        _, *words = shlex.split(command.replace("srv*", f"srv*{server.url}"))
        redirected = words[-1] if ">" in words else ""
        words = words[:-2] if redirected else words
        machine = on[words[1] if words[0] == "sym" else words[0]]
        _, printed = machines.run(machine, *words)
        if redirected:
            Path(redirected).write_text(printed)
            continue
        lines = [line.replace("msdl.microsoft.com", host) for line in shown]
        pattern = "".join(
            r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
            for line in lines
            if line
        )
        assert re.fullmatch(pattern, printed), (pattern, printed)


@pytest.mark.peer
def test_a_core_gets_its_files_from_debuginfod(
    machines: Machines, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux = data_dir / "samples" / "linux"
    name = "cargo-gcc-O0-dwarf4"
    core = linux / "cores" / f"{name}.core.zst"
    served, scratch = machines.folder / "served", machines.folder / "scratch"
    served.mkdir()
    scratch.mkdir()
    shutil.copy(linux / "bin" / name, served)
    machines.list_ids(core)
    with debuginfod(served, scratch) as url:
        monkeypatch.setenv("DEBUGINFOD_URLS", url)
        _, text = machines.run("B", "sym", "fetch", "-o", machines.pack, machines.ids)
    monkeypatch.delenv("DEBUGINFOD_URLS")
    assert f"in       executable {name}" in text
    assert "in       debuginfo  _.debug" in text
    subprocess.run(["unzip", "-tq", machines.pack], check=True, stdout=subprocess.DEVNULL)
    assert machines.run("A", "sym", "add", machines.pack)[0] == 0
    _, stack = machines.run("A", core, "-c", "k; q")
    assert "main" in stack
    assert ".c @ " in stack
