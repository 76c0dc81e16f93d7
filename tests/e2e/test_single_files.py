"""``polydbg sym fetch`` of one file: from debuginfod as its own client gets it, and from stores."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from tests.servers.debuginfod import debuginfod
from tests.servers.unruly import Unruly

from polydbg.cli.main import main
from polydbg.symbols.store.contents import contents_of

PDB = Path(str(resources.files("polydbg") / "demo" / "practice.pdb"))


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEBUGINFOD_CACHE_PATH", str(tmp_path / "client"))
    monkeypatch.setenv("no_proxy", "*")


def fetched(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["sym", "fetch", *words])
    return status, capsys.readouterr().out.rstrip("\n")


class Program:
    """A program that debuginfod serves at *url*, with its source."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.source = folder / "src" / "shop.c"
        notes = subprocess.run(["readelf", "-n", folder / "bin" / "shop"], check=True,
                               capture_output=True, text=True).stdout  # fmt: skip
        found = re.search(r"Build ID: ([0-9a-f]+)", notes)
        assert found is not None
        self.build_id = found[1]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    source = folder / "src" / "shop.c"
    source.parent.mkdir()
    (folder / "bin").mkdir()
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-g", "-o", folder / "bin" / "shop", source], check=True)
    with debuginfod(folder, tmp_path_factory.mktemp("debuginfod")) as url:
        yield Program(url, folder)


@pytest.mark.peer
@pytest.mark.parametrize("what", ["executable", "debuginfo", "section", "source"])
def test_the_file_is_the_one_that_debuginfods_client_gets(
    what: str,
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", program.url)
    name = {"section": ".debug_line", "source": str(program.source)}.get(what, "")
    environment = os.environ | {"DEBUGINFOD_CACHE_PATH": str(tmp_path / "theirs")}
    theirs = subprocess.run(
        ["debuginfod-find", what, program.build_id, *([name] if name else [])],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    rest = "" if not name else name if name.startswith("/") else f"/{name}"
    status, path = fetched(capsys, f"{what}:{program.build_id}{rest}")
    assert status == 0, path
    assert Path(path).is_relative_to(tmp_path / "cache")
    assert Path(path).read_bytes() == Path(theirs).read_bytes()


@pytest.mark.peer
def test_what_debuginfod_does_not_have_is_missing(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEBUGINFOD_URLS", program.url)
    for what in (f"source:{program.build_id}/no/such.c", f"debuginfo:{'ab' * 20}"):
        status, text = fetched(capsys, what)
        assert status == 1
        assert "not on the server" in text


def test_a_file_of_a_store_by_name_and_key(capsys: pytest.CaptureFixture[str]) -> None:
    key = contents_of(PDB)[0].key
    with Unruly({f"/practice.pdb/{key}/practice.pdb": PDB.read_bytes()}) as server:
        status, path = fetched(capsys, "-y", f"srv*{server.url}", f"practice.pdb/{key}")
    assert status == 0
    assert Path(path).read_bytes() == PDB.read_bytes()


def test_without_a_server_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for what in ("debuginfo:" + "ab" * 20, "section:" + "ab" * 20 + "/.text"):
        status, text = fetched(capsys, what)
        assert status == 1
        assert "no server is set" in text


@pytest.mark.parametrize(
    "text",
    ["debuginfo:12", "debuginfo:" + "a" * 41, "section:" + "ab" * 20, "source:" + "ab" * 20 + "/",
     "debuginfo:" + "ab" * 20 + "/x", "source:" + "ab" * 20 + "/a\nb"],
)  # fmt: skip
def test_ids_that_are_none_are_usage_errors(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetched(capsys, text)[0] == 64


@pytest.mark.parametrize("text", ["no/such.dmp", "../x/AB12", "dumps/crash123456"])
def test_paths_are_paths(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetched(capsys, text)[0] == 2
